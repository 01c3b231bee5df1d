"""What was made from what: golden images, their snapshots, and below each the zones that were cloned from it.

ZFS knows best: a zone hangs below the snapshot that is its root's origin. What zonemgr wrote down is asked only for
zones whose root is missing, or was promoted. Four host commands, however many zones there are.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zonemgr.host import zfs, zoneadm
from zonemgr.host.door import Host
from zonemgr.model import Dataset, DatasetRow, ZoneRow
from zonemgr.workflows import imageset, survey
from zonemgr.workflows.survey import DIZ, GIZ

BE_UUID = "org.opensolaris.libbe:uuid"
_KIND, _ORIGIN, _CURRENT, _RUN = "zonemgr:kind", "zonemgr:origin", "zonemgr:current", "zonemgr:run"
_FILESYSTEM = (
    "mountpoint", "mounted", "origin", "used", "referenced", "usedbydataset", survey.PARENTBE, survey.ACTIVE, BE_UUID,
    _KIND, _ORIGIN, _CURRENT, _RUN,
)  # fmt: skip
_SNAPSHOT = ("creation", "used", "referenced", "userrefs")


@dataclass(frozen=True)
class Size:
    """Bytes. `used`: with all snapshots and children; `referenced`: what its root shows, shared or not; `unique`:
    what belongs to nothing else."""

    used: int = 0
    referenced: int = 0
    unique: int = 0


@dataclass
class Zone:
    """A zone of zonemgr's, or somebody's clone of an image, or what is left of a zone."""

    name: str
    kind: str  # giz, diz; clone: a dataset that is no zone's; remains: a zone's home without the zone
    dataset: str
    state: str = ""
    brand: str = ""
    origin: str = ""  # NAME@SNAP, template:NAME or brand:NAME
    current: str = ""
    run: str = ""
    root: str = ""  # dataset
    contents: str = ""  # what an image holds, if that is on record
    fault: str = ""  # why it is not what it should be
    size: Size = field(default_factory=Size)
    snapshots: list[Snap] = field(default_factory=list)

    @property
    def served(self) -> bool:
        return bool(self.current)

    def as_dict(self) -> dict[str, Any]:
        """For machines: sizes in bytes."""
        told: dict[str, Any] = {
            "name": self.name, "kind": self.kind, "dataset": self.dataset, "state": self.state, "brand": self.brand,
            "origin": self.origin, "run": self.run, "fault": self.fault, **vars(self.size),
        }  # fmt: skip
        if self.kind == GIZ:
            told |= {
                "current": self.current, "served": self.served, "contents": self.contents,
                "snapshots": [one.as_dict() for one in self.snapshots],
            }  # fmt: skip
        return told


@dataclass
class Snap:
    """A snapshot of an image's root, and what was cloned from it. `unique` is what its destruction would free."""

    name: str
    dataset: str
    current: bool
    created: str
    holds: int
    size: Size
    zones: list[Zone] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "dataset": self.dataset, "current": self.current, "created": self.created,
            "holds": self.holds, **vars(self.size), "zones": [one.as_dict() for one in self.zones],
        }  # fmt: skip


@dataclass(frozen=True)
class Tree:
    """`images`: those that were made from nothing; `orphans`: what came from something that is gone."""

    images: tuple[Zone, ...]
    orphans: tuple[Zone, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "images": [one.as_dict() for one in self.images],
            "orphans": [one.as_dict() for one in self.orphans],
        }


def tree(host: Host) -> Tree:
    """The lineage of all that zonemgr has on this host."""
    rows = zfs.list_datasets(host, properties=_FILESYSTEM)
    paths = {row.path: row for row in zoneadm.list_zones(host)}
    kinds = {row.name: row[_KIND] for row in rows}
    homes = [row for row in rows if _is_home(row, kinds)]
    current = next((row[BE_UUID] for row in rows if row["mountpoint"] == "/" and row["mounted"] == "yes"), "")
    ground = _Ground(rows, current or survey.running_be(host), imageset.read(host))
    zones = {row.name: _zone(ground, row, paths.get(row["mountpoint"])) for row in homes}
    images = {dataset: zone for dataset, zone in zones.items() if zone.kind == GIZ}
    places = _hang_snapshots(host, ground, images)
    return _hang_zones(ground, zones, places)


@dataclass(frozen=True)
class _Ground:
    """What was asked of the host."""

    rows: Sequence[DatasetRow]
    current_be: str
    sets: Mapping[Dataset, imageset.ImageSet]

    def roots(self, home: str) -> list[DatasetRow]:
        """The active root first, the others after it."""
        found = [row for row in self.rows if row.name.rpartition("/")[0] == f"{home}/ROOT"]
        return sorted(found, key=lambda row: (not self.active(row), row.name))

    def active(self, root: DatasetRow) -> bool:
        return root[survey.PARENTBE] == self.current_be and root[survey.ACTIVE] == "on"


def _is_home(row: DatasetRow, kinds: Mapping[str, str]) -> bool:
    """A zone's home has a kind, and what is below it inherits that."""
    kind = row[_KIND]
    return kind in (GIZ, DIZ) and kinds.get(row.name.rpartition("/")[0]) != kind


def _zone(ground: _Ground, home: DatasetRow, row: ZoneRow | None) -> Zone:
    roots = ground.roots(home.name)
    active = [root for root in roots if ground.active(root)]
    contents = ground.sets.get(Dataset(home.name))
    zone = Zone(
        row.name if row else home.name.rpartition("/")[2],
        home[_KIND] if row else "remains",
        home.name,
        str(row.state) if row else "",
        row.brand if row else "",
        home[_ORIGIN].removeprefix("giz:"),
        home[_CURRENT],
        home[_RUN],
        roots[0].name if roots else "",
        str(contents) if contents else "",
        size=Size(
            _number(home["used"]),
            sum(_number(root["referenced"]) for root in roots[:1]),
            sum(_number(root["usedbydataset"]) for root in roots[:1]),
        ),
    )
    zone.fault = _fault(zone, len(active))
    return zone


def _fault(zone: Zone, active: int) -> str:
    if zone.kind == "remains":
        return f"there is no such zone; see: zonemgr log {zone.run}"
    if active != 1:
        return "more than one active root" if active else "no root for the running boot environment"
    if zone.kind == GIZ and not zone.served:
        return "not served: half-made, or being upgraded"
    return ""


def _hang_snapshots(host: Host, ground: _Ground, images: Mapping[str, Zone]) -> dict[str, Snap]:
    """Give each image the snapshots of its roots; they by their full names."""
    tops = sorted({Dataset(str(Dataset(home).parent)) for home in images})
    found = zfs.list_datasets(host, *tops, properties=_SNAPSHOT, types="snapshot", depth=-1) if tops else []
    places: dict[str, Snap] = {}
    owners = {
        root.name: (zone, number)
        for home, zone in images.items()
        for number, root in enumerate(ground.roots(home))
    }
    for row in found:
        dataset, _, name = row.name.partition("@")
        if dataset in owners:
            zone, number = owners[dataset]
            places[row.name] = _snap(row, dataset, name, current=not number and name == zone.current)
            zone.snapshots.append(places[row.name])
    for zone in images.values():
        if zone.served and zone.kind == GIZ and not any(one.current for one in zone.snapshots):
            zone.fault = zone.fault or f"its current snapshot {zone.current} is gone"
    return places


def _snap(row: DatasetRow, dataset: str, name: str, *, current: bool) -> Snap:
    unique = _number(row["used"])
    size = Size(unique, _number(row["referenced"]), unique)
    return Snap(name, dataset, current, _when(row["creation"]), _number(row["userrefs"]), size)


def _hang_zones(ground: _Ground, zones: Mapping[str, Zone], places: Mapping[str, Snap]) -> Tree:
    images: list[Zone] = []
    orphans: list[Zone] = []
    named = {f"{zone.name}@{snap.name}": snap for zone in zones.values() for snap in zone.snapshots}
    for home, zone in zones.items():
        # A root that an upgrade has promoted is the origin of the one before it, in the same home.
        origins = [root["origin"] for root in ground.roots(home) if not root["origin"].startswith(f"{home}/")]
        place = next((places[one] for one in origins if one in places), None)
        if place is None and (not any(origins) or zone.kind == "remains"):
            place = named.get(zone.origin)
        if place is not None:
            place.zones.append(zone)
        elif zone.kind == GIZ and ("@" not in zone.origin or zone.origin.startswith("archive:")):
            images.append(zone)
        else:
            zone.fault = zone.fault or f"its origin {zone.origin} is gone"
            orphans.append(zone)
    for clone, place in _strangers(ground, zones, places):
        place.zones.append(clone)
    return Tree(tuple(images), tuple(orphans))


def _strangers(
    ground: _Ground, zones: Mapping[str, Zone], places: Mapping[str, Snap]
) -> Iterable[tuple[Zone, Snap]]:
    """Clones of an image that are no zone's: they keep it from being destroyed, so they are shown."""
    for row in ground.rows:
        if row["origin"] not in places or row.name.partition("/ROOT/")[0] in zones:
            continue
        size = Size(_number(row["used"]), _number(row["referenced"]), _number(row["usedbydataset"]))
        fault = "somebody's clone, no zone"
        yield Zone(row.name, "clone", row.name, fault=fault, size=size), places[row["origin"]]


def _when(seconds: str) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_number(seconds)))


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
