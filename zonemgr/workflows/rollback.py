"""Rolling a zone back, all its datasets as one: what that takes is worked out and checked before anything is changed.

zfs rolls back one dataset at a time, and what is newer than the snapshot goes: snapshots, datasets made below since,
and older roots that `pkg update` has left as clones of newer snapshots. From the moment the zonepath dataset says
`zonemgr:rolled-back=SNAPSHOT RUN` there is no way back, and whoever recovers goes through with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from zonemgr.errors import CommandError, NotThere, ZonemgrError
from zonemgr.host import zfs
from zonemgr.host.door import Host
from zonemgr.model import Dataset, DatasetRow, ZoneState
from zonemgr.workflows import extent, keepsake, parts, survey
from zonemgr.workflows.steps import Remembering, Step
from zonemgr.workflows.survey import SnapshotRow

COMMITTED = "zonemgr:rolled-back"


@dataclass(frozen=True)
class Way:
    """What a rollback destroys and rolls back."""

    datasets: tuple[str, ...]
    newer: tuple[SnapshotRow, ...]  # snapshots that go
    made_since: tuple[str, ...]  # datasets that go, the deepest first
    old_roots: tuple[str, ...]  # roots that go, in this order
    strays: tuple[SnapshotRow, ...]  # newer snapshots of the zonepath dataset


def way(host: Host, zone: str, home: Dataset, name: str, *, leave: Sequence[str] = ()) -> Way:
    """How to get a zone back to this snapshot; raises ZonemgrError when one of its datasets cannot be rolled back.

    `leave`: datasets given to the zone after the snapshot, which stay as they are.
    """
    covered = extent.of(host, zone, home)
    names = [one for one in covered.datasets if not _inside(one, leave)]
    rows = extent.snapshots(host, covered)
    created = _created(rows[covered.root], zone, name)
    _check_all_there(host, covered, zone, name)
    details = {row.name: row for row in _details(host, names)}
    back, since = [], []
    for one in names:
        if name in {row.snapshot.name for row in rows[one]}:
            back.append(one)
        elif one in (covered.root, *covered.given) or int(details[one]["creation"] or 0) < created:
            raise NotThere(
                f"{one} has no snapshot {name}, so zone {zone} cannot be rolled back as one",
                hint=f"see: zfs list -r -t snapshot {one}; if it was given to the zone since: "
                f"zonemgr modify {zone} --drop-delegate-dataset {one}",
            )
        else:
            since.append(one)
    newer = [row for one in back for row in _after(rows[one], name)]
    found = _Doomed(host, covered, set(since), survey.zone(host, zone).state.active)
    found.check_unmounted(details)
    found.take(newer, why="is newer")
    found.take([row for one in since for row in rows[one]], why="goes with the rollback")
    _check_holds(host, [*newer, *found.snapshots])
    strays = [
        row
        for row in _after(rows[covered.home], name)
        if row.snapshot.name in {r.snapshot.name for r in newer}
    ]
    return Way(tuple(back), tuple(newer), tuple(reversed(since)), tuple(reversed(found.roots)), tuple(strays))


@dataclass
class _Doomed:
    """Old roots of the zone that go because they are clones of what goes; raises for clones that belong elsewhere."""

    host: Host
    covered: extent.Extent
    since: set[str]
    active: bool  # the zone is up, and what it has mounted is not when it is down
    roots: list[str] = field(default_factory=list)  # clones after their origins
    snapshots: list[SnapshotRow] = field(default_factory=list)

    def take(self, rows: Sequence[SnapshotRow], *, why: str) -> None:
        for row in rows:
            for clone in row.clones:
                self._clone(row, clone, why)

    def _clone(self, row: SnapshotRow, clone: str, why: str) -> None:
        if clone in self.since:
            return
        roots = f"{self.covered.home}/ROOT/"
        top = roots + clone.removeprefix(roots).partition("/")[0]
        if not clone.startswith(roots) or top == self.covered.root:
            raise ZonemgrError(
                f"{row.snapshot} {why} and has clones: {', '.join(row.clones)}",
                hint="destroy those zones first; zonemgr never destroys clones to roll back",
            )
        if top in self.roots:
            return
        self._check_root(top)
        self.roots.append(top)
        below = survey.snapshots(self.host, top)
        self.snapshots += below
        self.take(below, why="goes with an old root of the zone")

    def _check_root(self, root: str) -> None:
        row = next(row for row in survey.filesystems(self.host) if row.name == root)
        mounted = row.mounted and not self.active
        if mounted or row.parentbe not in (survey.running_be(self.host), ""):
            raise ZonemgrError(
                f"{root} is newer than the snapshot, and is "
                + ("mounted" if mounted else "a root of another boot environment"),
                hint=f"see: zfs list -r -o name,origin,mounted {self.covered.home}",
            )

    def check_unmounted(self, details: dict[str, DatasetRow]) -> None:
        for name in self.since:
            if details[name]["mounted"] == "yes" and not details[name]["zoned"] == "on":
                raise ZonemgrError(
                    f"{name} was made after the snapshot and is mounted on the host",
                    hint=f"zfs umount {name}, or fuser -c {details[name]['mountpoint']}",
                )


def _check_all_there(host: Host, covered: extent.Extent, zone: str, name: str) -> None:
    """A dataset that was in the snapshot and is gone cannot be had again, so none is rolled back.

    One that the configuration no longer names, but is there with its snapshot, comes back with the configuration.
    """
    home = Dataset(covered.home)
    for lost in extent.recalled(covered, keepsake.covered(host, home, name)):
        if lost not in covered.datasets and not zfs.exists(host, Dataset(lost).at(name)):
            raise NotThere(
                f"{lost} was in snapshot {name} and is gone, so zone {zone} cannot be rolled back as one",
                hint=f"to roll back what is left: zfs inherit {keepsake.COVERS} {home.at(name)}; then again",
            )


def _details(host: Host, names: Sequence[str]) -> list[DatasetRow]:
    columns = ("creation", "mounted", "mountpoint", "zoned")
    return zfs.list_datasets(host, *map(Dataset, names), properties=columns, types="filesystem,volume")


def _created(rows: Sequence[SnapshotRow], zone: str, name: str) -> int:
    row = next((row for row in rows if row.snapshot.name == name), None)
    if row is None:
        raise NotThere(f"zone {zone} has no snapshot {name}", hint=f"see: zonemgr list-snapshots {zone}")
    return row.created


def _after(rows: Sequence[SnapshotRow], name: str) -> list[SnapshotRow]:
    """What is newer than the snapshot of this name; nothing where there is none."""
    position = next((n for n, row in enumerate(rows) if row.snapshot.name == name), len(rows))
    return list(rows[position + 1 :])


def _inside(name: str, tops: Sequence[str]) -> bool:
    return any(f"{name}/".startswith(f"{top}/") for top in tops)


def _check_holds(host: Host, rows: Sequence[SnapshotRow]) -> None:
    """Somebody else's hold on what would go stops all of it, before anything is lost."""
    for name, tags in zfs.holds(host, *(row.snapshot for row in rows if row.userrefs)).items():
        others = sorted(tags - {zfs.HOLD_TAG})
        if others:
            raise ZonemgrError(
                f"{name} is newer and held by {', '.join(others)}",
                hint=f"if it may go: zfs release {others[0]} {name}",
            )


@dataclass(frozen=True)
class RollBack(Step):
    """Roll a halted zone back, root, children and what was made for it; what is newer goes.

    Undoing it once it has begun in earnest is finishing it, as long as nobody has used the zone since.
    """

    zone: str
    home: str
    name: str
    made_by: str
    run: str = ""  # of this job
    leave: tuple[str, ...] = ()  # datasets that stay as they are
    surplus: tuple[str, ...] = ()  # VNICs made for the zone that the configuration then does not have

    def __str__(self) -> str:
        return f"roll {self.zone} back to {self.name}"

    @property
    def word(self) -> str:
        """By which it is known that there is no way back any more."""
        return f"{self.name} {self.run}".strip()

    def check(self, host: Host) -> None:
        way(host, self.zone, Dataset(self.home), self.name, leave=self.leave)

    def do(self, host: Host) -> None:
        found = way(Remembering(host), self.zone, Dataset(self.home), self.name, leave=self.leave)
        zfs.set_properties(host, Dataset(self.home), {COMMITTED: self.word})
        begun: list[str] = []
        try:
            self._go(host, found, begun)
        except CommandError:
            if not begun:  # zfs may have a reason to refuse that nobody foresaw; nothing is lost yet
                self._as_before(host, found)
            raise

    def undo(self, host: Host) -> None:
        if not committed(host, self.home, self.word) or not parts.bears_mark(host, self.zone, self.made_by):
            return
        look = Remembering(host)
        found = way(look, self.zone, Dataset(self.home), self.name, leave=self.leave)
        if survey.zone(look, self.zone).state is ZoneState.INSTALLED:
            self._go(host, found, [])
        elif found.newer or found.made_since or found.old_roots:
            raise ZonemgrError(
                f"zone {self.zone} was rolled back half-way and has been started since",
                hint=f"zonemgr halt {self.zone}; zonemgr recover",
            )

    def _go(self, host: Host, found: Way, begun: list[str]) -> None:
        for top in (*found.made_since, *found.old_roots):  # before the snapshots they may be clones of
            begun.append(top)
            _let_go(host, survey.snapshots(host, top))
            parts.remove_tree(host, Dataset(top))
        for dataset in found.datasets:
            _let_go(host, [row for row in found.newer if row.dataset == dataset])
            zfs.rollback(host, Dataset(dataset).at(self.name), discard_newer=True)
            begun.append(dataset)
        extent.drop(host, found.strays)
        parts.remove_vnics(host, self.surplus)

    def _as_before(self, host: Host, found: Way) -> None:
        held = [row.snapshot for row in found.newer if row.userrefs and row.dataset == found.datasets[0]]
        if held:
            zfs.hold(host, *held)
        zfs.inherit(host, Dataset(self.home), COMMITTED)


def committed(host: Host, home: str, word: str) -> bool:
    """Has the rollback of this word come to where it must be finished?"""
    if not any(row.name == home for row in survey.filesystems(host)):
        return False
    return zfs.get_local(host, Dataset(home), COMMITTED).get(COMMITTED) == word


def _let_go(host: Host, rows: Sequence[SnapshotRow]) -> None:
    held = [row.snapshot for row in rows if row.userrefs]
    if held:
        zfs.release(host, *held)


def forget(host: Host, home: str, name: str) -> None:
    """Take the word of a rollback to this snapshot off again, before the snapshot goes."""
    if not any(row.name == home for row in survey.filesystems(host)):
        return
    word = zfs.get_local(host, Dataset(home), COMMITTED).get(COMMITTED, "")
    if word.partition(" ")[0] == name:
        zfs.inherit(host, Dataset(home), COMMITTED)
