"""Snapshots of a zone's root: take, roll back, list, destroy. A root with children is treated as one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from zonemgr import records
from zonemgr.errors import AlreadyThere, CommandError, NotThere, ZonemgrError
from zonemgr.host import zfs, zoneadm
from zonemgr.host.door import Host
from zonemgr.model import Dataset, RunId, SnapshotName, ZoneName, ZoneState
from zonemgr.workflows import building, life, naming, parts, privilege, survey
from zonemgr.workflows.job import Job, Site, glimpse, job
from zonemgr.workflows.steps import Step
from zonemgr.workflows.survey import SnapshotRow


@dataclass(frozen=True)
class StopForNow(Step):
    """Shut a running zone down for the time of the job; undo starts it again."""

    zone: str
    limit: float
    made_by: str  # the run that made the zone, by which it is known again

    def __str__(self) -> str:
        return f"stop {self.zone}"

    def do(self, host: Host) -> None:
        if survey.zone(host, self.zone).state is ZoneState.RUNNING:
            with contextlib.suppress(CommandError):  # a zone that does not shut down is halted below
                zoneadm.shutdown(host, ZoneName(self.zone), limit=self.limit)
        parts.stop(host, self.zone)

    def undo(self, host: Host) -> None:
        parts.boot_again(host, self.zone, self.made_by)


@dataclass(frozen=True)
class RollBack(Step):
    """Roll a halted zone's root, and its children, back; what is newer goes.

    One dataset is rolled back at once or not at all, so there is nothing to undo; with several, undoing a half-done
    rollback is finishing it, as long as nobody has used the zone since.
    """

    zone: str
    home: str
    name: str
    made_by: str

    def __str__(self) -> str:
        return f"roll {self.zone} back to {self.name}"

    def check(self, host: Host) -> None:
        root = survey.root_of(host, Dataset(self.home), self.zone).name
        for dataset in _with_snapshot(host, root, self.name):
            newer = _newer(host, dataset, self.name)
            cloned = [row for row in newer if row.clones]
            if cloned:
                raise ZonemgrError(
                    f"{cloned[0].snapshot} is newer and has clones: {', '.join(cloned[0].clones)}",
                    hint="destroy those zones first; zonemgr never destroys clones to roll back",
                )

    def do(self, host: Host) -> None:
        root = survey.root_of(host, Dataset(self.home), self.zone).name
        for dataset in _with_snapshot(host, root, self.name):
            for row in _newer(host, dataset, self.name):
                if row.userrefs:
                    zfs.release(host, row.snapshot)
            zfs.rollback(host, Dataset(dataset).at(self.name), discard_newer=True)

    def undo(self, host: Host) -> None:
        row = survey.find(host, self.zone)
        if (
            row is None
            or row.state is not ZoneState.INSTALLED
            or not parts.bears_mark(host, self.zone, self.made_by)
        ):
            return
        root = survey.root_of(host, Dataset(self.home), self.zone).name
        datasets = _with_snapshot(host, root, self.name)
        done = [dataset for dataset in datasets if not _newer(host, dataset, self.name)]
        if 0 < len(done) < len(datasets):
            self.check(host)
            self.do(host)


@dataclass(frozen=True)
class DropSnapshot(Step):
    """Destroy one of our snapshots of a root and its children. Undoing it is finishing it."""

    zone: str
    home: str
    name: str

    def __str__(self) -> str:
        return f"destroy snapshot {self.zone}@{self.name}"

    def do(self, host: Host) -> None:
        for row in survey.filesystems(host):
            if not row.name.startswith(f"{self.home}/ROOT/"):
                continue
            for snapshot in survey.snapshots_of(host, row.name):
                if snapshot.snapshot.name == self.name:
                    self._drop(host, snapshot)

    def _drop(self, host: Host, row: SnapshotRow) -> None:
        run = survey.mark(host, row.snapshot)
        if not run:
            return
        if row.userrefs:
            zfs.release(host, row.snapshot)
        zfs.destroy(host, row.snapshot, made_by=RunId(run))

    def undo(self, host: Host) -> None:
        self.do(host)


def snapshot(site: Site, name: str, snap: str = "") -> str:
    """Snapshot a zone's root (held on golden images, so that no clone takes it along); returns the snapshot's name.

    A running zone is stopped before and started after: a build's half-written files are no good to return to.
    """
    wanted = str(SnapshotName(snap or naming.stamp()))
    with _open(site, name) as (work, zone):
        running = zone.row.state is ZoneState.RUNNING
        if zone.row.state not in (ZoneState.RUNNING, ZoneState.INSTALLED):
            raise ZonemgrError(
                f"zone {zone.name} is {zone.row.state}; a snapshot needs it installed or running",
                hint=f"zonemgr halt {zone.name}",
            )
        _refuse_taken(glimpse(site), zone, wanted)
        if running:
            work.do(StopForNow(zone.name, site.config.host.shutdown_limit, zone.run))
        taking = building.TakeSnapshot(
            zone.name, zone.dataset, wanted, work.run, hold=zone.kind == survey.GIZ
        )
        work.do(taking)
        work.keep(taking)
        if running:
            life.bring_up(site, ZoneName(zone.name))
    return wanted


def rollback(site: Site, name: str, snap: str = "") -> str:
    """Halt, roll back to a snapshot (the newest if none is named), start again if it was running."""
    with _open(site, name) as (work, zone):
        look = glimpse(site)
        root = survey.root_of(look, zone.dataset, zone.name).name
        wanted = _existing(look, zone, root, snap)
        running = zone.row.state is ZoneState.RUNNING
        back = RollBack(zone.name, zone.dataset, wanted, zone.run)
        back.check(look)
        if zone.row.state.active:
            work.do(StopForNow(zone.name, site.config.host.shutdown_limit, zone.run))
        serve = _serve_instead(look, zone, root, wanted)
        work.do(*serve, back)
        work.keep(*serve, back)
        if running:
            life.bring_up(site, ZoneName(zone.name))
    return wanted


def _serve_instead(look: Host, zone: survey.Managed, root: str, wanted: str) -> list[Step]:
    """A golden image whose served snapshot goes with the rollback serves the older one, from before it goes."""
    current = zone.marks.get("current")
    names = [str(row.snapshot.name) for row in survey.snapshots_of(look, root)]
    if not current or current in names[: names.index(wanted) + 1]:
        return []
    return [building.PublishImage(zone.name, zone.dataset, wanted, current)]


def listing(host: Host, name: str) -> list[SnapshotRow]:
    """A managed zone's snapshots, oldest first."""
    zone = survey.managed(host, ZoneName(name))
    return survey.snapshots_of(host, survey.root_of(host, zone.dataset, zone.name).name)


def destroy_snapshot(site: Site, name: str, snap: str) -> None:
    """Destroy a snapshot that zonemgr took, if no clone needs it and no golden image serves it."""
    wanted = SnapshotName(snap)
    with _open(site, name) as (work, zone):
        look = glimpse(site)
        root = survey.root_of(look, zone.dataset, zone.name).name
        row = _row(look, zone, root, wanted)
        if row.clones:
            raise ZonemgrError(
                f"{zone.name}@{wanted} has clones: {', '.join(row.clones)}", hint="destroy those zones first"
            )
        if zone.marks.get("current") == wanted:
            raise ZonemgrError(
                f"{zone.name}@{wanted} is what new clones of this golden image are made from",
                hint=f"take another snapshot first, or: zonemgr destroy {zone.name}",
            )
        if not survey.mark(look, row.snapshot):
            raise ZonemgrError(
                f"{row.snapshot} was not taken by zonemgr, so it is left alone",
                hint=f"if it is yours: zfs destroy {row.snapshot}",
            )
        work.do(DropSnapshot(zone.name, zone.dataset, wanted))


class _open:  # noqa: N801 - reads as a verb where it is used
    """A job on one managed zone: `with _open(site, name) as (work, zone)`."""

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name = site, ZoneName(name)

    def __enter__(self) -> tuple[Job, survey.Managed]:
        look = glimpse(self.site)
        privilege.require(look, "zone", "zfs")
        kind = survey.managed(look, self.name).kind
        images = [self.name] if kind == survey.GIZ else []
        self.job = job(self.site, [self.name], records.new_run_id(), images=images)
        work = self.job.__enter__()
        return work, survey.managed(glimpse(self.site), self.name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> bool | None:
        return self.job.__exit__(kind, error, trace)  # type: ignore[arg-type]


def _with_snapshot(host: Host, root: str, name: str) -> list[str]:
    """The root and those children that have this snapshot, the root first."""
    found = {row.dataset for row in survey.snapshots(host, root) if row.snapshot.name == name}
    return sorted(found)


def _newer(host: Host, dataset: str, name: str) -> list[SnapshotRow]:
    rows = survey.snapshots_of(host, dataset)
    position = next(n for n, row in enumerate(rows) if row.snapshot.name == name)
    return rows[position + 1 :]


def _existing(look: Host, zone: survey.Managed, root: str, snap: str) -> str:
    rows = survey.snapshots_of(look, root)
    if snap:
        return str(_row(look, zone, root, SnapshotName(snap)).snapshot.name)
    if not rows:
        raise NotThere(
            f"zone {zone.name} has no snapshot to roll back to",
            hint=f"take one: zonemgr snapshot {zone.name}",
        )
    return str(rows[-1].snapshot.name)


def _row(look: Host, zone: survey.Managed, root: str, name: str) -> SnapshotRow:
    row = next((row for row in survey.snapshots_of(look, root) if row.snapshot.name == name), None)
    if row is None:
        raise NotThere(
            f"zone {zone.name} has no snapshot {name}", hint=f"see: zonemgr list-snapshots {zone.name}"
        )
    return row


def _refuse_taken(look: Host, zone: survey.Managed, name: str) -> None:
    root = survey.root_of(look, zone.dataset, zone.name).name
    if name in {row.snapshot.name for row in survey.snapshots_of(look, root)}:
        raise AlreadyThere(
            f"zone {zone.name} has a snapshot {name} already", hint="choose another name with -s"
        )
