"""What a job must know of the host before it starts, asked once and put together from zoneadm, zfs and dladm."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zonemgr.config import Config
from zonemgr.errors import NotOurs, NotThere, ZonemgrError
from zonemgr.host import system, zfs, zoneadm
from zonemgr.host.door import Host
from zonemgr.model import Dataset, Snapshot, ZoneRow

GIZ, DIZ = "giz", "diz"
PARENTBE, ACTIVE = "org.opensolaris.libbe:parentbe", "org.opensolaris.libbe:active"
MARKS = ("kind", "origin", "run", "created", "owner", "expires", "current", "pending", "made")


@dataclass(frozen=True)
class FileSystem:
    """A file system as the jobs see it; `parentbe` and `active` are empty where they are not set."""

    name: str
    mountpoint: str
    mounted: bool
    canmount: str
    origin: str
    parentbe: str
    active: str
    marks: Mapping[str, str]  # what zonemgr wrote on it, or on what is above it: inherited, so never a proof
    zoned: bool = False  # in a zone's hands: root in there can set its mount point and any mark


@dataclass(frozen=True)
class SnapshotRow:
    """A snapshot; `created` in seconds since the epoch, `used` in bytes, `userrefs` the number of its holds."""

    snapshot: Snapshot
    created: int
    used: int
    userrefs: int
    clones: tuple[str, ...]

    @property
    def dataset(self) -> str:
        return str(self.snapshot.dataset)

    @property
    def when(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.created))

    def as_dict(self) -> dict[str, object]:
        return {
            "snapshot": str(self.snapshot.name), "dataset": self.dataset, "created": self.when, "used": self.used,
            "holds": self.userrefs, "clones": list(self.clones),
        }  # fmt: skip


@dataclass(frozen=True)
class Managed:
    """A zone that zonemgr made: its row, its kind and what its zonepath dataset says of it."""

    row: ZoneRow
    kind: str
    dataset: Dataset
    marks: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def run(self) -> str:
        """The run that made it."""
        return self.marks.get("run", "")


def zone(host: Host, name: str) -> ZoneRow:
    """One zone's row; raises NotThere."""
    found = find(host, name)
    if found is None:
        raise NotThere(f"there is no zone {name}", hint="see: zonemgr list, or: zoneadm list -cv")
    return found


def find(host: Host, name: str) -> ZoneRow | None:
    return next((row for row in zoneadm.list_zones(host) if row.name == name), None)


def filesystems(host: Host) -> list[FileSystem]:
    """All file systems of the host with what any job wants to know of them, in zfs' order; one command."""
    columns = (
        "mountpoint",
        "mounted",
        "canmount",
        "origin",
        PARENTBE,
        ACTIVE,
        "zoned",
        *(f"zonemgr:{w}" for w in MARKS),
    )
    return [
        FileSystem(
            row.name, row["mountpoint"], row["mounted"] == "yes", row["canmount"], row["origin"], row[PARENTBE],
            row[ACTIVE], {word: row[f"zonemgr:{word}"] for word in MARKS if row[f"zonemgr:{word}"]},
            row["zoned"] == "on",
        )
        for row in zfs.list_datasets(host, properties=columns)
    ]  # fmt: skip


def snapshots(host: Host, top: str) -> list[SnapshotRow]:
    """The snapshots of a dataset and of all below it, each dataset's by creation; one command."""
    columns = ("creation", "used", "userrefs", "clones")
    rows = zfs.list_datasets(host, Dataset(top), properties=columns, types="snapshot", depth=-1)
    return [
        SnapshotRow(
            Snapshot.parse(row.name), int(row["creation"] or 0), int(row["used"] or 0), int(row["userrefs"] or 0),
            tuple(sorted(name for name in row["clones"].split(",") if name)),
        )
        for row in rows
    ]  # fmt: skip


def mark(host: Host, target: Dataset | Snapshot) -> str:
    """The run that made this very dataset or snapshot; empty when it bears no mark of its own."""
    return zfs.get_local(host, target, zfs.MADE_BY).get(zfs.MADE_BY, "")


def marked(host: Host, target: Dataset | Snapshot, run: str) -> bool:
    return bool(run) and mark(host, target) == run


def managed_zones(host: Host) -> list[Managed]:
    """All managed zones in zoneadm's order; two host commands however many there are."""
    rows = zoneadm.list_zones(host)
    # What lies below a zonepath dataset inherits its kind, but is mounted elsewhere (ROOT: legacy).
    homes = {
        fs.mountpoint: fs for fs in filesystems(host) if fs.marks.get("kind") in (GIZ, DIZ) and not fs.zoned
    }
    return [
        Managed(row, homes[row.path].marks["kind"], Dataset(homes[row.path].name), homes[row.path].marks)
        for row in rows
        if row.path in homes
    ]


def managed(host: Host, name: str, kind: str | None = None) -> Managed:
    """One managed zone, of one kind if given; raises NotThere for an unknown one, NotOurs for another's."""
    row = zone(host, name)
    found = next((one for one in managed_zones(host) if one.name == name), None)
    if found is None:
        raise NotOurs(
            f"zone {name} was not made by zonemgr, so it is left alone",
            hint=f"see its attributes: zonecfg -z {name} info attr; its path is {row.path}",
        )
    if kind and found.kind != kind:
        words = {GIZ: "a golden-image zone", DIZ: "a disposable zone"}
        raise NotOurs(f"zone {name} is {words[found.kind]}, not {words[kind]}", hint="see: zonemgr list")
    return found


def containment(config: Config, kind: str) -> tuple[Dataset, str]:
    """Dataset and mount point that hold all zones of a kind."""
    section = config.giz if kind == GIZ else config.diz
    return Dataset(section.dataset), section.mountpoint


def home_of(config: Config, kind: str, name: str) -> tuple[Dataset, str]:
    """Zonepath dataset and zonepath of a zone to be made."""
    dataset, mountpoint = containment(config, kind)
    return dataset.child(name), f"{mountpoint}/{name}"


def below(rows: Iterable[FileSystem], dataset: str) -> list[FileSystem]:
    """The dataset itself and all under it."""
    return [row for row in rows if row.name == dataset or row.name.startswith(f"{dataset}/")]


# The boot environment a host runs cannot change under a running zonemgr.
_RUNNING: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def running_be(host: Host) -> str:
    """The uuid of the boot environment that runs now; asked once per host."""
    door = getattr(host, "behind", host)
    if door not in _RUNNING:
        _RUNNING[door] = system.current_be(host).uuid
    return _RUNNING[door]


def root_of(host: Host, home: Dataset, name: str) -> FileSystem:
    """The active ZBE of an IPS-brand zone: parentbe is the running boot environment's and active is on.

    Exactly one must match (docs/illumos.md: ZFS); raises ZonemgrError otherwise.
    """
    current = running_be(host)
    zbes = [
        row
        for row in filesystems(host)
        if row.name.rpartition("/")[0] == f"{home}/ROOT" and row.parentbe == current and row.active == "on"
    ]
    if len(zbes) == 1:
        return zbes[0]
    hint = f"see: zfs list -r -o name,org.opensolaris.libbe:parentbe,org.opensolaris.libbe:active {home}"
    if zbes:
        names = ", ".join(row.name for row in zbes)
        raise ZonemgrError(f"zone {name} has more than one active root: {names}", hint=hint)
    raise ZonemgrError(f"zone {name} has no root for the running boot environment", hint=hint)


def one_owner(host: Host, path: str, dataset: Dataset) -> None:
    """Refuse when another dataset claims the path: the brand scripts take the first in name order."""
    owners = [row.name for row in filesystems(host) if row.mountpoint == path]
    strangers = [name for name in owners if name != dataset]
    if strangers:
        raise ZonemgrError(
            f"{strangers[0]} has the mountpoint {path} too, which would confuse the zone's brand",
            hint=f"give it another one: zfs set mountpoint=none {strangers[0]}",
        )


def disposables_of(host: Host, home: Dataset) -> list[str]:
    """Names of file systems elsewhere whose origin lies below this zonepath dataset."""
    return [
        row.name
        for row in filesystems(host)
        if row.origin.startswith((f"{home}/", f"{home}@")) and not f"{row.name}/".startswith(f"{home}/")
    ]


def snapshots_of(host: Host, root: str) -> list[SnapshotRow]:
    """A root's own snapshots, oldest first."""
    return [row for row in snapshots(host, root) if row.dataset == root]
