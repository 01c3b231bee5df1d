"""What vanished zones have left behind: VNICs, datasets, clones, empty ancestors, snapshots of jobs that are over.

Only what is provably ours: a dataset or snapshot with a mark of its own, a temporary VNIC with a name that zonemgr
alone makes up. On a dataset that was a zone's the mark is no proof, as root in the zone may have set it: there the
record of the run that made it must say so. What a zone that is configured names is not left over, nor what belongs to
a zone of another boot environment, nor to a run with a journal: it is alive, or `recover` will see to it.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from zonemgr import records
from zonemgr.errors import CommandError, NotOurs, ZonemgrError
from zonemgr.host import dladm, zfs, zoneadm, zonecfg
from zonemgr.host.door import Host
from zonemgr.model import Dataset, DatasetRow, LeftOver, RunId, Snapshot, ZoneName, ZoneSettings
from zonemgr.workflows import (
    datasets,
    furnish,
    journal,
    naming,
    parts,
    pending,
    privilege,
    removing,
    storage,
    survey,
)
from zonemgr.workflows.job import Site, glimpse, job
from zonemgr.workflows.steps import Step, warn

VNIC = re.compile(r"zm([0-9a-f]{6})_[0-9]+")
KIND = "zonemgr:kind"
# Snapshots that a job takes for itself alone and destroys at its end; others are for people to return to.
PASSING = re.compile(r"before-exec-[0-9]{8}T[0-9]{6}Z")
# Of datasets of the host, for a zone's clones; named after the run that took them, also one that changed the zone.
TAKEN = re.compile(r"zonemgr-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
# What zfs says of what somebody uses or hangs on: that stays, and the rest goes on.
IN_USE = re.compile(r"busy|dependent clones|has children|is a clone of")


@dataclass(frozen=True)
class Thing:
    """One thing left over. `what`: vnic, home (of a vanished zone), dataset, clones, empty, snapshot."""

    what: str
    name: str
    run: str = ""  # that made it; of a VNIC only the tail is known
    used: int = 0  # bytes

    def __str__(self) -> str:
        return "|".join((self.what, self.name, self.run))

    @classmethod
    def recall(cls, text: str) -> Thing:
        what, name, run = text.split("|")
        return cls(what, name, run)

    def as_dict(self) -> dict[str, object]:
        return {"what": self.what, "name": self.name, "run": self.run, "used": self.used}


@dataclass
class Sweep:
    """What was found, what of it is gone, and what would not go."""

    found: list[Thing]
    removed: list[Thing] = field(default_factory=list)
    left: list[LeftOver] = field(default_factory=list)


def collect(site: Site, *, remove: bool = False) -> Sweep:
    """List what is left over, and with `remove` remove what was listed; what is in use stays, and is told."""
    look = glimpse(site)
    if remove:
        privilege.require(look, "zone", "zfs", "network")
    else:
        zoneadm.list_zones(look)  # raises where this is no global zone
    found = find(look, site)
    for run, zones in journal.dead(records.runs_directory(site.config)):
        site.report.note(f"run {run} on {' '.join(zones) or 'no zone'} was cut short; see: zonemgr recover")
    sweep = Sweep(found)
    if found and remove:
        _remove(site, sweep)
    return sweep


def _remove(site: Site, sweep: Sweep) -> None:
    """Remove what is still left over once the names of the vanished zones are locked."""
    zones = [name for thing in sweep.found if (name := _zone_of(thing))]
    with job(site, zones, records.new_run_id()) as work:
        again = {str(thing) for thing in find(glimpse(site), site)}
        work.do(ClearAway(tuple(str(thing) for thing in sweep.found if str(thing) in again)))
    if site.host.dry_run:
        return
    still = _there(site.host, sweep.found)
    sweep.removed = [thing for thing in sweep.found if thing.name not in still]
    sweep.left = [
        LeftOver(f"{thing.what} {thing.name}", "it is in use") for thing in sweep.found if thing.name in still
    ]


def _there(host: Host, things: Sequence[Thing]) -> set[str]:
    """Names of all links, file systems and, if there are any among the things, snapshots."""
    whats = {thing.what for thing in things}
    links = [link.name for link in dladm.links(host)] if "vnic" in whats else []
    types = "filesystem,snapshot" if "snapshot" in whats else "filesystem"
    rows = zfs.list_datasets(host, types=types) if whats != {"vnic"} else []
    return {*links, *(row.name for row in rows)}


def _zone_of(thing: Thing) -> str:
    """The name of the zone that a home was for."""
    name = thing.name.rpartition("/")[2]
    return name if thing.what == "home" and ZoneName.fault(name) is None else ""


# -- finding ---------------------------------------------------------------------------------------------------------


def find(look: Host, site: Site) -> list[Thing]:
    """All that is left over, VNICs first, then file systems, the deepest of nested ones first, then snapshots."""
    journalled = {run for run, _ in _journals(site)}
    vnics = _vnics(look, journalled)
    marked = _marked(look, journalled)
    snapshots = _snapshots(look, journalled)
    if not (vnics or marked or snapshots):
        return []
    zones = Zones.seen(look)
    homes = _file_systems(look, site, marked, zones)
    return [
        *(Thing("vnic", name, tail) for name, tail in vnics if name not in zones.links),
        *homes,
        *_loose_snapshots(look, snapshots, homes, zones),
    ]


def _journals(site: Site) -> Iterator[tuple[str, str]]:
    for path in records.runs_directory(site.config).glob(f"*/{journal.NAME}*"):
        yield path.parent.name, str(path)


@dataclass(frozen=True)
class Zones:
    """What the configured zones have."""

    paths: frozenset[str]
    runs: frozenset[str]
    links: frozenset[str]
    datasets: frozenset[str]
    roots: frozenset[str]  # of zones in other boot environments, which have their own /etc/zones

    @classmethod
    def seen(cls, look: Host) -> Zones:
        rows = [row for row in zoneadm.list_zones(look) if not row.is_global]
        all_settings = [zonecfg.export(look, ZoneName(row.name)) for row in rows]
        paths = frozenset(row.path for row in rows)
        # What was taken from a zone that still runs is no longer in its configuration.
        homes = [fs for fs in survey.filesystems(look) if fs.mountpoint in paths]
        waiting = [pending.Pending.parse(fs.marks.get("pending", "")) for fs in homes]
        links = [*(_links_of(one) for one in all_settings), *(one.vnics for one in waiting)]
        named = [*(_datasets_of(one) for one in all_settings), *(one.datasets for one in waiting)]
        current = survey.running_be(look)
        away = [fs for fs in survey.filesystems(look) if fs.parentbe not in (current, "")]
        runs = [*(one.attribute(parts.RUN_ATTR) or "" for one in all_settings)]
        return cls(
            paths,
            frozenset([*runs, *(fs.marks.get("run", "") for fs in away)]),
            frozenset(name for some in links for name in some),
            frozenset(name for some in named for name in some),
            frozenset(fs.name for fs in away),
        )

    def use(self, dataset: str) -> bool:
        """Does one of them name this dataset, one above it, or one below it?"""
        return any(
            f"{dataset}/".startswith(f"{name}/") or name.startswith(f"{dataset}/") for name in self.datasets
        )


def _links_of(settings: ZoneSettings) -> list[str]:
    made = furnish.recall_vnics(settings.attribute(parts.VNIC_ATTR) or "")
    return [*(vnic.name for vnic in made), *(net.physical for net in settings.net)]


def _datasets_of(settings: ZoneSettings) -> list[str]:
    return [*settings.dataset, *(fs.special for fs in settings.fs if fs.type == "zfs")]


def _vnics(look: Host, journalled: Iterable[str]) -> list[tuple[str, str]]:
    """Temporary VNICs with a name of ours, and the tail of the run in it, without those of runs under way."""
    busy = {naming.tail(RunId(run)) for run in journalled}
    named = [(link.name, VNIC.fullmatch(link.name)) for link in dladm.links(look) if link.kind == "vnic"]
    ours = [(name, match[1]) for name, match in named if match and match[1] not in busy]
    lasting = dladm.persistent_links(look) if ours else set()
    return [(name, tail) for name, tail in ours if name not in lasting]


def _marked(look: Host, journalled: Iterable[str]) -> dict[str, dict[str, str]]:
    """Local properties of ours of each file system with a mark of its own, by name."""
    found: dict[str, dict[str, str]] = {}
    for name, key, value in zfs.local_values(look, zfs.MADE_BY, KIND, storage.SOURCES, removing.SHARED):
        found.setdefault(name, {})[key] = value
    busy = set(journalled)
    return {name: had for name, had in found.items() if had.get(zfs.MADE_BY, "") not in {"", *busy}}


def _file_systems(
    look: Host, site: Site, marked: Mapping[str, Mapping[str, str]], zones: Zones
) -> list[Thing]:
    columns = ("used", "zoned", "mountpoint", "canmount", "creation")
    rows = {row.name: row for row in zfs.list_datasets(look, properties=columns)}
    kept = {str(survey.containment(site.config, kind)[0]) for kind in (survey.GIZ, survey.DIZ)}
    found: list[Thing] = []
    for name in sorted(marked, key=lambda name: (name.count("/"), name)):
        if name in kept or name not in rows or marked[name][zfs.MADE_BY] in zones.runs or zones.use(name):
            continue
        if any(name.startswith(f"{thing.name}/") for thing in found):
            continue
        what = _what(name, marked[name], rows[name]["zoned"] == "on", kept)
        if what == "dataset" and not _on_record(site, name, int(rows[name]["creation"] or 0)):
            site.report.note(f"{name} bears a mark of zonemgr, but no record says that it was made by it")
            continue
        if what == "home" and (rows[name]["mountpoint"] in zones.paths or _needed(look, name)):
            continue
        if what:
            found.append(Thing(what, name, marked[name][zfs.MADE_BY], int(rows[name]["used"] or 0)))
    shared = [name for name in marked if name not in kept and removing.SHARED in marked[name]]
    found += _empty(look, shared, marked, rows, found, zones)
    return found


def _what(name: str, had: Mapping[str, str], zoned: bool, kept: Iterable[str]) -> str:
    """What was a zone's may bear any mark: it is a dataset and nothing else. The others lie where we make them."""
    above = name.rpartition("/")[0]
    if zoned:
        return "dataset"
    if had.get(KIND) in (survey.GIZ, survey.DIZ) and above in kept:
        return "home"
    return "clones" if storage.SOURCES in had and above.endswith(f"/{datasets.CLONES}") else ""


def _on_record(site: Site, name: str, created: int) -> bool:
    """Was this dataset made by a run that is on record, and not another one of its name before or since?"""
    for run in records.list_runs(site.config):
        if not any(step.title == f"create {name}" for step in run.steps):
            continue
        begun = calendar.timegm(time.strptime(run.id.partition("-")[0], "%Y%m%dT%H%M%SZ"))
        if -removing.CLOCKS <= created - begun <= (run.seconds or 0) + removing.CLOCKS:
            return True
    return False


def _needed(look: Host, home: str) -> bool:
    """Does a dataset elsewhere hang on a snapshot in here?"""
    return bool(survey.disposables_of(look, Dataset(home)))


def _empty(
    look: Host,
    names: Sequence[str],
    marked: Mapping[str, Mapping[str, str]],
    rows: Mapping[str, DatasetRow],
    found: Sequence[Thing],
    zones: Zones,
) -> list[Thing]:
    """Shared ancestors in which nothing is, or nothing but what goes."""
    going = {thing.name for thing in found}
    empty: list[Thing] = []
    for name in sorted(names, key=lambda name: (-name.count("/"), name)):
        if name not in rows or any(f"{name}/".startswith(f"{gone}/") for gone in going) or zones.use(name):
            continue
        # One that was given a mount point since may be full of files.
        if rows[name]["zoned"] == "on" or rows[name]["canmount"] != "off":
            continue
        below = [other for other in rows if other.startswith(f"{name}/")]
        if any(not any(f"{other}/".startswith(f"{gone}/") for gone in going) for other in below):
            continue
        if zfs.list_datasets(look, Dataset(name), types="snapshot,volume", depth=1):
            continue
        going.add(name)
        empty.append(Thing("empty", name, marked[name][zfs.MADE_BY]))
    return empty


def _snapshots(look: Host, journalled: Iterable[str]) -> dict[str, str]:
    """Runs of the snapshots that jobs took for themselves alone, by name."""
    busy = set(journalled)
    found = {}
    for name, run in zfs.marked_snapshots(look):
        last = name.partition("@")[2]
        if run not in busy and (PASSING.fullmatch(last) or TAKEN.fullmatch(last)):
            found[name] = run
    return found


def _loose_snapshots(
    look: Host, snapshots: Mapping[str, str], going: Sequence[Thing], zones: Zones
) -> list[Thing]:
    """Without those that go with what they are of, and those that a zone's clone or another dataset hangs on."""
    loose = {
        name: run
        for name, run in snapshots.items()
        if not any(f"{name.partition('@')[0]}/".startswith(f"{thing.name}/") for thing in going)
        and (PASSING.fullmatch(name.partition("@")[2]) or run not in zones.runs)
        and name.partition("@")[0] not in zones.roots
    }
    clones = zfs.clones(look, *map(Snapshot.parse, loose)) if loose else {}
    gone = [thing.name for thing in going]
    return [
        Thing("snapshot", name, run)
        for name, run in loose.items()
        if all(any(f"{clone}/".startswith(f"{top}/") for top in gone) for clone in clones.get(name, []))
    ]


# -- removing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClearAway(Step):
    """Remove things that were found, one after the other; what is in use stays. Undoing it is finishing it."""

    things: tuple[str, ...]

    def __str__(self) -> str:
        return f"clear away {len(self.things)} thing{'s' if len(self.things) != 1 else ''} left over"

    def do(self, host: Host) -> None:
        for text in self.things:
            thing = Thing.recall(text)
            try:
                _clear(host, thing)
            except NotOurs as foreign:
                warn(f"{thing.name} stays: {foreign}")
            except ZonemgrError as failed:
                if not IN_USE.search(f"{failed} {getattr(failed, 'stderr', '')}"):
                    raise
                warn(f"{thing.name} stays: {failed}")

    def undo(self, host: Host) -> None:
        self.do(host)


def _clear(host: Host, thing: Thing) -> None:
    if thing.what == "vnic":
        left = dladm.delete_vnic(host, thing.name)
        if left:
            warn(str(left))
    elif thing.what == "snapshot":
        _clear_snapshot(host, thing)
    elif zfs.exists(host, Dataset(thing.name)):
        _clear_dataset(host, thing)


def _clear_snapshot(host: Host, thing: Thing) -> None:
    snapshot = Snapshot.parse(thing.name)
    if not zfs.exists(host, snapshot) or not survey.marked(host, snapshot, thing.run):
        return
    if zfs.HOLD_TAG in zfs.holds(host, snapshot).get(thing.name, set()):
        zfs.release(host, snapshot)
    zfs.destroy_named(host, snapshot)


def _clear_dataset(host: Host, thing: Thing) -> None:
    dataset = Dataset(thing.name)
    if thing.what == "home":
        foreign = parts.foreign_things(host, dataset)
        if foreign:
            raise NotOurs(f"{foreign[0]} in it was not made by zonemgr", hint="move it away, then try again")
    if thing.what == "empty":
        if survey.marked(host, dataset, thing.run) and removing.is_ancestor(host, dataset):
            _destroy_empty(host, dataset)
        return
    if thing.what == "clones":
        removing.refuse_foreign(host, thing.name)
    sources = zfs.get_local(host, dataset, storage.SOURCES).get(storage.SOURCES, "").split()
    removing.remove_marked(host, [thing.name], thing.run, sources=sources)


def _destroy_empty(host: Host, dataset: Dataset) -> None:
    try:
        zfs.destroy_named(host, dataset)
    except CommandError as failed:
        if "has children" not in failed.stderr:  # somebody has moved in again
            raise
