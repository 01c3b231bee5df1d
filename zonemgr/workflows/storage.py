"""Datasets of a zone: those made for it and delegated, and clones of the host's, which go again with the zone.

A clone is no delegated dataset but a file system of the zone (`add fs; set type=zfs`): zoneadmd mounts it before
anything in the zone runs, over whatever the image has there, and the zone can neither snapshot nor promote nor
destroy it, since it is visible there but not writable (illumos, zone_dataset_visible). It lives in its source's
pool, in `POOL/…/_clones/ZONE/NAME`, not mounted on the host, and outside the zone's home, so that the brand's
uninstall leaves it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zonemgr.config import Config
from zonemgr.errors import AlreadyThere, CommandError, NotThere, UsageError, ZonemgrError
from zonemgr.host import system, zfs, zlogin
from zonemgr.host.door import Host
from zonemgr.model import Dataset, RunId, Snapshot, ZoneName
from zonemgr.workflows import building, datasets, places, removing, survey
from zonemgr.workflows.furnish import ClonedFs, DatasetClone, Furniture
from zonemgr.workflows.job import Site
from zonemgr.workflows.steps import Step

SOURCES = "zonemgr:sources"  # on the home of a zone's clones: the snapshots they were cloned from


# -- planning ------------------------------------------------------------------------------------------------


def settle(look: Host, site: Site, things: Furniture, zone: str, run: str) -> Furniture:
    """The same furniture, knowing what each wished clone comes to on this host.

    Raises UsageError for a clone that has no place in the zone, and when two things claim the same place.
    """
    cloned: list[ClonedFs] = []
    for wish in things.clones:
        home = clones_home(site.config, wish.source, zone)
        taken = [row.name for row in survey.filesystems(look)] + [one.dataset for one in cloned]
        first = 1 + sum(str(Dataset(name).parent) == home for name in taken)
        name = wish.snapshot or f"zonemgr-{run}"
        for number, (source, place) in enumerate(_to_clone(look, site, wish), first):
            last = source.rpartition("/")[2]
            cloned.append(ClonedFs(str(home.child(f"{number}-{last}")), f"{source}@{name}", place))
    _no_twins(look, things, cloned)
    _no_new_directories(look, things, cloned)
    for name in things.datasets:
        if _there(look, name) and zfs.get(look, Dataset(name), "zoned").get("zoned") != "on":
            site.report.note(
                f"booting the zone makes {name} zoned; to mount it on the host again: zfs set zoned=off {name}"
            )
    return replace(things, cloned=tuple(cloned))


def _no_new_directories(look: Host, things: Furniture, cloned: Sequence[ClonedFs]) -> None:
    """zoneadmd makes mount points that are missing: below a lofs mount that would be in the host's own directory."""
    for one in cloned:
        for mount in things.lofs:
            place = f"{mount.host}{one.inside.removeprefix(mount.inside)}"
            if one.inside.startswith(f"{mount.inside}/") and not system.directory_exists(look, place):
                raise NotThere(
                    f"the host has no directory {place}, and the zone's {one.inside} is to be there",
                    hint=f"make it first: mkdir -p {place}; or mount the clone elsewhere",
                )


def _no_twins(look: Host, things: Furniture, cloned: Sequence[ClonedFs]) -> None:
    places = [mount.inside for mount in things.lofs] + [one.inside for one in cloned]
    places += [datasets.place_of(name) for name in things.datasets if not _there(look, name)]
    for place in places:
        if places.count(place) > 1:
            raise UsageError(f"two things are to be mounted on {place}", hint="name another place behind '|'")


def clones_home(config: Config, source: str, zone: str) -> Dataset:
    """Where a zone's clones live: in the pool of their source, beside the home of disposable zones."""
    between = config.diz.dataset.split("/")[1:-1]
    return Dataset("/".join([source.partition("/")[0], *between, datasets.CLONES, zone]))


def _to_clone(look: Host, site: Site, wish: DatasetClone) -> list[tuple[str, str]]:
    """The source and what is mounted below it, and where each goes; the rest is left out, with a note."""
    rows = survey.below(survey.filesystems(look), wish.source)
    top = rows[0].mountpoint
    inside = wish.inside or top
    if not inside.startswith("/"):
        raise UsageError(
            f"{wish.source} has no mount point of its own", hint=f"--clone-dataset '{wish.source}|/work/src'"
        )
    places.own_place(inside, f"{wish.source}|{inside}", f"{wish.source}|/work/src", force=wish.force)
    found = [(wish.source, inside)]
    for row in rows[1:]:
        place = _place_below(row, top, inside)
        if place and not (wish.snapshot and not zfs.exists(look, Dataset(row.name).at(wish.snapshot))):
            found.append((row.name, place))
        else:
            site.report.note(f"{row.name} is left out of the clone of {wish.source}")
    return found


def _place_below(row: survey.FileSystem, top: str, inside: str) -> str:
    if (
        row.canmount != "on"
        or not top.startswith("/")
        or not row.mountpoint.startswith(f"{top.rstrip('/')}/")
    ):
        return ""
    return f"{inside}/{row.mountpoint.removeprefix(top).lstrip('/')}"


def _there(look: Host, name: str) -> bool:
    return any(row.name == name for row in survey.filesystems(look))


def before_configuration(look: Host, things: Furniture, run: str) -> list[Step]:
    """Steps for what the zone's configuration will name: datasets, clones, VNICs. For any kind of zone.

    `things` must be settled. For a zone that exists already `run` is the run that made it: what bears its mark goes
    with the zone.
    """
    return [*delegations(look, things.datasets, run), *clonings(look, things, run), *_vnics(things)]


def delegations(look: Host, names: Sequence[str], run: str) -> list[Step]:
    """What does not exist is made, mounted in the zone only; what exists is taken as it is."""
    return [
        MakeDataset(name, (f"mountpoint={datasets.place_of(name)}", "zoned=on"), run)
        for name in names
        if not _there(look, name)
    ]


def clonings(look: Host, things: Furniture, run: str) -> list[Step]:
    steps: list[Step] = []
    homes: dict[str, list[str]] = {}
    for one in things.cloned:
        homes.setdefault(str(Dataset(one.dataset).parent), []).append(one.origin)
    for home, origins in homes.items():
        if not _there(look, home):
            told = f"{SOURCES}={' '.join(origins)}"
            steps.append(MakeDataset(home, (*_UNSEEN, "com.sun:auto-snapshot=false", told), run))
        else:
            steps.append(TellSources(home, tuple(origins)))
    for wish in things.clones:
        if not wish.snapshot:
            steps.append(SnapshotSource(wish.source, _name_of(things, wish), run))
    return steps + [CloneDataset(one.dataset, one.origin, run) for one in things.cloned]


def _name_of(things: Furniture, wish: DatasetClone) -> str:
    """The name of the snapshot that is taken of a wish's source."""
    origins = dict(one.origin.split("@") for one in things.cloned)
    return origins[wish.source]


def _vnics(things: Furniture) -> list[Step]:
    return [building.MakeVnic(vnic.name, vnic.over, vnic.vlan, vnic.mac) for vnic in things.auto_vnics]


# -- steps ---------------------------------------------------------------------------------------------------

_UNSEEN = ("mountpoint=none", "canmount=off")


@dataclass(frozen=True)
class MakeDataset(Step):
    """One dataset with properties and mark, and its missing ancestors, which belong to all who move in."""

    dataset: str
    properties: tuple[str, ...]
    run: str

    def __str__(self) -> str:
        return f"create {self.dataset}"

    def check(self, host: Host) -> None:
        if zfs.exists(host, Dataset(self.dataset)):
            raise AlreadyThere(
                f"there is a dataset {self.dataset} already",
                hint=f"look what it is: zfs list -r {self.dataset}; zonemgr gc removes what is left over",
            )

    def do(self, host: Host) -> None:
        properties = dict(pair.split("=", 1) for pair in self.properties)
        tries = 3  # another run may take an empty ancestor away under our feet
        while True:
            self._make_ancestors(host)
            try:
                zfs.create(host, Dataset(self.dataset), made_by=RunId(self.run), properties=properties)
                return
            except CommandError as failed:
                tries -= 1
                if not tries or "parent does not exist" not in failed.stderr:
                    raise

    def _make_ancestors(self, host: Host) -> None:
        there = {row.name for row in survey.filesystems(host)}
        properties = {**dict(pair.split("=", 1) for pair in _UNSEEN), removing.SHARED: "on"}
        for parent in reversed(datasets.parents(self.dataset)):
            if parent in there:
                continue
            try:
                zfs.create(host, Dataset(parent), made_by=RunId(self.run), properties=properties)
            except CommandError as failed:
                if "dataset already exists" not in failed.stderr:
                    raise

    def undo(self, host: Host) -> None:
        removing.remove_marked(host, [self.dataset], self.run)
        removing.remove_ancestors(host, self.dataset)


@dataclass(frozen=True)
class TellSources(Step):
    """Note on the home of a zone's clones what further ones are cloned from."""

    home: str
    origins: tuple[str, ...]

    def __str__(self) -> str:
        return f"note what is cloned into {self.home}"

    def do(self, host: Host) -> None:
        told = zfs.get_local(host, Dataset(self.home), SOURCES).get(SOURCES, "").split()
        words = " ".join(dict.fromkeys([*told, *self.origins]))
        zfs.set_properties(host, Dataset(self.home), {SOURCES: words})

    def undo(self, host: Host) -> None:
        if not _there(host, self.home):
            return
        used = {row.origin for row in survey.filesystems(host) if str(Dataset(row.name).parent) == self.home}
        told = zfs.get_local(host, Dataset(self.home), SOURCES).get(SOURCES, "").split()
        words = " ".join(word for word in told if word in used or word not in self.origins)
        zfs.set_properties(host, Dataset(self.home), {SOURCES: words})


@dataclass(frozen=True)
class SnapshotSource(Step):
    """A snapshot of a dataset of the host and of all below it, to clone from; marked, and gone with the clones."""

    source: str
    name: str
    run: str

    def __str__(self) -> str:
        return f"snapshot {self.source}@{self.name}"

    def do(self, host: Host) -> None:
        snapshot = Dataset(self.source).at(self.name)
        zfs.snapshot(host, snapshot, made_by=RunId(self.run), recursive=True)

    def undo(self, host: Host) -> None:
        removing.remove_snapshots(host, f"{self.source}@{self.name}", self.run)


@dataclass(frozen=True)
class CloneDataset(Step):
    """A zone's own clone of one file system, to be mounted by zoneadmd."""

    dataset: str
    origin: str
    run: str

    def __str__(self) -> str:
        return f"clone {self.origin} to {self.dataset}"

    def check(self, host: Host) -> None:
        if zfs.exists(host, Dataset(self.dataset)):
            raise AlreadyThere(f"there is a dataset {self.dataset} already", hint="see: zonemgr gc")

    def do(self, host: Host) -> None:
        # No device nodes: what the zone makes of them would be the host's devices.
        properties = {"mountpoint": "legacy", "devices": "off"}
        zfs.clone(
            host,
            Snapshot.parse(self.origin),
            Dataset(self.dataset),
            made_by=RunId(self.run),
            properties=properties,
        )

    def prove(self, host: Host) -> None:
        found = zfs.get(host, Dataset(self.dataset), "origin", "mountpoint")
        if found != {"origin": self.origin, "mountpoint": "legacy"}:
            raise ZonemgrError(
                f"{self.dataset} is not what a clone of {self.origin} should be",
                hint=f"see: zfs get origin,mountpoint {self.dataset}",
            )

    def undo(self, host: Host) -> None:
        removing.remove_marked(host, [self.dataset], self.run, sources=[self.origin])


def size_tmp(zone: str, things: Furniture) -> list[Step]:
    """For a zone that is up: the step that gives its /tmp the wished size, if one was wished."""
    return [SizeTmp(zone, things.caps.tmpfs)] if things.caps.tmpfs else []


# The third field of a vfstab line is the mount point; fs-minimal mounts /tmp by that line, at each boot.
_TMP = """set -eu
options={options}
t=$(printf '\\t')
grep -v "^[^#$t ][^$t ]*[$t ][$t ]*[^$t ][^$t ]*[$t ][$t ]*/tmp[$t ]" /etc/vfstab > /etc/vfstab.zonemgr || [ $? -eq 1 ]
printf 'swap\\t-\\t/tmp\\ttmpfs\\t-\\tyes\\t%s\\n' "${{options:--}}" >> /etc/vfstab.zonemgr
cat /etc/vfstab.zonemgr > /etc/vfstab
rm -f /etc/vfstab.zonemgr
mount -F tmpfs -o "remount${{options:+,$options}}" swap /tmp || echo "setup: /tmp is sized at the next boot" >&2
"""


@dataclass(frozen=True)
class SizeTmp(Step):
    """Set the size of a zone's /tmp, from inside: in its /etc/vfstab, and at once. Cloning resets the file."""

    zone: str
    size: str  # as an option of mount_tmpfs takes it; empty: no limit

    def __str__(self) -> str:
        return (
            f"give /tmp of {self.zone} a size of {self.size}"
            if self.size
            else f"take the limit off /tmp of {self.zone}"
        )

    def do(self, host: Host) -> None:
        script = _TMP.format(options=f"size={self.size}" if self.size else "")
        zlogin.run_script(host, ZoneName(self.zone), script)


# -- removing ------------------------------------------------------------------------------------------------


def remove_made(host: Host, zone: str, names: Sequence[str], run: str) -> None:
    """All datasets that were made for a zone: of the delegated ones (`names`) those with its mark, and its clones.

    Can be taken up again wherever it was cut short: the home of the clones, which tells their sources, goes last.
    """
    removing.remove_marked(host, names, run)
    for name in names:
        removing.remove_ancestors(host, name)
    for home in _homes_of(host, zone, run):
        removing.refuse_foreign(host, home)
        sources = zfs.get_local(host, Dataset(home), SOURCES).get(SOURCES, "").split()
        inside = [row.name for row in survey.filesystems(host) if Dataset(row.name).parent == home]
        removing.remove_marked(host, inside, run, sources=sources)
        for source in sources:
            removing.remove_snapshots(host, source, run)
        removing.remove_marked(host, [home], run)
    rows = [row.name for row in survey.filesystems(host)]
    for name in rows:  # also when it was cut short just here
        if name.endswith(f"/{datasets.CLONES}") and not any(row.startswith(f"{name}/") for row in rows):
            removing.remove_ancestors(host, f"{name}/{zone}")


def check_removable(look: Host, zone: str, names: Sequence[str], run: str) -> None:
    """Raise while nothing has happened yet when something else hangs on what was made for a zone."""
    removing.check_marked(look, names, run)
    for home in _homes_of(look, zone, run):
        removing.refuse_foreign(look, home)
        sources = zfs.get_local(look, Dataset(home), SOURCES).get(SOURCES, "").split()
        removing.check_marked(look, [home], run, sources=sources)


def _homes_of(host: Host, zone: str, run: str) -> list[str]:
    rows = [row.name for row in survey.filesystems(host) if row.name.endswith(f"/{datasets.CLONES}/{zone}")]
    marked = [name for name in rows if survey.marked(host, Dataset(name), run)]
    # A zone can make a dataset of such a name, with such marks, in what is delegated to it.
    return [name for name in marked if zfs.get(host, Dataset(name), "zoned").get("zoned") != "on"]


def drop_clone(host: Host, dataset: str, run: str) -> None:
    """One clone of a zone that is not active; its home with the last one, the snapshot if it was taken for it."""
    home = str(Dataset(dataset).parent)
    if not _there(host, home):
        return
    told = zfs.get_local(host, Dataset(home), SOURCES).get(SOURCES, "").split()
    removing.remove_marked(host, [dataset], run, sources=told)
    for source in told:
        removing.remove_snapshots(host, source, run)
    if not any(str(Dataset(row.name).parent) == home for row in survey.filesystems(host)):
        removing.remove_marked(host, [home], run)
        removing.remove_ancestors(host, home)


def find_clone(settings_fs: Sequence[tuple[str, str]], host: Host, source: str) -> list[tuple[str, str]]:
    """Of a zone's file systems (dir, special) the clone of this source, and what below it was cloned along with it."""
    origins: dict[tuple[str, str], Snapshot] = {}
    for inside, special in settings_fs:
        if f"/{datasets.CLONES}/" in special and _there(host, special):
            told = zfs.get(host, Dataset(special), "origin").get("origin", "")
            if "@" in told:
                origins[inside, special] = Snapshot.parse(told)
    own = [pair for pair, origin in origins.items() if origin.dataset == source]
    together = {(origins[pair].name, pair[0]) for pair in own}
    found = [
        pair
        for pair, origin in origins.items()
        if pair in own
        or any(
            origin.name == name and origin.dataset.startswith(f"{source}/") and pair[0].startswith(f"{top}/")
            for name, top in together
        )
    ]
    if not found:
        raise NotThere(f"the zone has no clone of {source}", hint="see: zfs list -o name,origin")
    return found
