"""Snapshots of a zone: take, roll back, list, destroy; all its datasets as one, and its configuration with them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zonemgr import records
from zonemgr.errors import AlreadyThere, CommandError, NotThere, ZonemgrError
from zonemgr.host import zfs, zoneadm, zonecfg, zonechange
from zonemgr.host.door import Host
from zonemgr.host.zonescript import parse_export
from zonemgr.model import Dataset, SnapshotName, ZoneName, ZoneState
from zonemgr.workflows import (
    building,
    extent,
    keepsake,
    life,
    naming,
    packages,
    parts,
    pending,
    privilege,
    restoring,
    survey,
)
from zonemgr.workflows.job import Job, Site, glimpse, job
from zonemgr.workflows.rollback import RollBack, forget
from zonemgr.workflows.steps import Remembering, Step
from zonemgr.workflows.survey import SnapshotRow

__all__ = [
    "DropSnapshot",
    "RollBack",
    "StopForNow",
    "destroy_snapshot",
    "details",
    "listing",
    "rollback",
    "snapshot",
]


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
class GatherSnapshots(Step):
    """Promote an active root over an inactive one of the same zone that has taken its snapshots (see strayed)."""

    root: str
    other: str

    def __str__(self) -> str:
        return f"gather the snapshots of {self.root}"

    def do(self, host: Host) -> None:
        zfs.promote(host, Dataset(self.root))

    def undo(self, host: Host) -> None:
        there = {row.name: row for row in survey.filesystems(host)}
        if self.other in there and there[self.other].origin.startswith(f"{self.root}@"):
            zfs.promote(host, Dataset(self.other))


@dataclass(frozen=True)
class DropSnapshot(Step):
    """Destroy one of our snapshots of a zone, on all its datasets. Undoing it is finishing it."""

    zone: str
    home: str
    name: str

    def __str__(self) -> str:
        return f"destroy snapshot {self.zone}@{self.name}"

    def do(self, host: Host) -> None:
        forget(host, self.home, self.name)
        extent.drop(host, extent.named(Remembering(host), self.zone, Dataset(self.home), self.name))

    def undo(self, host: Host) -> None:
        self.do(host)


def snapshot(site: Site, name: str, snap: str = "") -> str:
    """Snapshot a zone and its configuration (held on golden images, so that no clone takes it along); returns its name.

    Covers the root and what was made for the zone elsewhere. A running zone is stopped before and started after: a
    build's half-written files are no good to return to.
    """
    wanted = str(SnapshotName(snap or naming.stamp()))
    with opened(site, name) as (work, zone):
        running = zone.row.state is ZoneState.RUNNING
        if zone.row.state not in (ZoneState.RUNNING, ZoneState.INSTALLED):
            raise ZonemgrError(
                f"zone {zone.name} is {zone.row.state}; a snapshot needs it installed or running",
                hint=down_hint(zone),
            )
        _refuse_taken(glimpse(site), zone, wanted)
        if running:
            work.do(StopForNow(zone.name, site.config.host.shutdown_limit, zone.run))
        taking = building.TakeSnapshot(
            zone.name, zone.dataset, wanted, work.run, hold=zone.kind == survey.GIZ, job="snapshot"
        )
        work.do(taking)
        work.keep(taking)
        work.do(*_settling(glimpse(site), zone))
        if running:
            life.bring_up(site, ZoneName(zone.name))
    return wanted


def rollback(site: Site, name: str, snap: str = "") -> str:
    """Halt, roll back to a snapshot (the newest if none is named), start again if it was running.

    All datasets of the zone are rolled back, or none; and its configuration becomes what it was, as far as the host
    still has what that names. Quotas and other properties of datasets stay: zfs does not roll those back.
    """
    with opened(site, name) as (work, zone):
        look = glimpse(site)
        wanted = _existing(look, zone, snap)
        running = zone.row.state is ZoneState.RUNNING
        steps = _way_back(site, look, zone, wanted, work.run)
        for step in steps:
            step.check(look)
        if zone.row.state.active:
            work.do(StopForNow(zone.name, site.config.host.shutdown_limit, zone.run))
        work.do(*steps)
        work.keep(*steps)
        work.do(*_settling(look, zone))
        if running:
            life.bring_up(site, ZoneName(zone.name))
    return wanted


def down_hint(zone: survey.Managed) -> str:
    """What brings a zone that is in an odd state to `installed`."""
    if not zone.row.state.active:
        return f"see: zonemgr get-state {zone.name}"
    verb = "unmount" if zone.row.state is ZoneState.MOUNTED else "halt"
    return f"zonemgr {verb} {zone.name}"


def _way_back(site: Site, look: Host, zone: survey.Managed, wanted: str, run: str) -> list[Step]:
    """What a golden image serves, the configuration, and then the datasets: what cannot be undone comes last."""
    text = zonecfg.export_text(look, ZoneName(zone.name))
    now = parse_export(text)
    kept = keepsake.read(look, zone.dataset, wanted)
    if kept is None:
        site.report.warn(
            f"no configuration was kept with {zone.name}@{wanted}; the zone keeps the one it has"
        )
        back = restoring.Restored(now, leave=_without(look, zone, wanted))
    else:
        back = restoring.restored(look, zone.name, parse_export(kept), now)
    for warning in back.warnings:
        site.report.warn(warning)
    rolling = RollBack(
        zone.name, zone.dataset, wanted, zone.run, run=run, leave=back.leave, surplus=back.surplus
    )
    lines = zonechange.lines(now, back.settings)
    changing = restoring.Reconfigure(
        zone.name, zone.run, tuple(lines), before=text, home=zone.dataset, unless=rolling.word
    )
    root = survey.root_of(look, zone.dataset, zone.name).name
    return [*_serve_instead(look, zone, root, wanted), *([changing] if lines else []), rolling]


def _without(look: Host, zone: survey.Managed, wanted: str) -> tuple[str, ...]:
    """What was made for the zone but is not in a snapshot that zonemgr did not take."""
    settings = zonecfg.export(look, ZoneName(zone.name))
    covered = {row.dataset for row in extent.named(look, zone.name, zone.dataset, wanted)}
    return tuple(name for name in extent.made_for(look, settings) if name not in covered)


def _settling(look: Host, zone: survey.Managed) -> list[Step]:
    return [pending.Settle(zone.name, zone.dataset)] if pending.of(look, zone.dataset) else []


def _serve_instead(look: Host, zone: survey.Managed, root: str, wanted: str) -> list[Step]:
    """A golden image whose served snapshot goes with the rollback serves the older one, from before it goes."""
    current = zone.marks.get("current")
    names = [str(row.snapshot.name) for row in survey.snapshots_of(look, root)]
    if not current or current in names[: names.index(wanted) + 1]:
        return []
    kept = zfs.local_properties(look, zone.dataset.at(wanted))
    return [
        packages.recall_set(look, zone.dataset, kept),
        building.PublishImage(zone.name, zone.dataset, wanted, current),
    ]


def listing(host: Host, name: str) -> list[SnapshotRow]:
    """A managed zone's snapshots, oldest first."""
    look = Remembering(host)
    zone = survey.managed(look, ZoneName(name))
    root = survey.root_of(look, zone.dataset, zone.name)
    return [*_strayed_rows(look, zone, root), *survey.snapshots_of(look, root.name)]


def _strayed_rows(look: Host, zone: survey.Managed, root: survey.FileSystem) -> list[SnapshotRow]:
    """Snapshots of the root that an inactive one has taken: all up to the one that the root is now a clone of."""
    if not root.origin.startswith(f"{zone.dataset}/ROOT/"):
        return []
    rows = survey.snapshots_of(look, root.origin.partition("@")[0])
    last = next((n for n, row in enumerate(rows) if str(row.snapshot) == root.origin), -1)
    return rows[: last + 1]


@dataclass(frozen=True)
class SnapshotDetails:
    """A snapshot of a zone over all its datasets; `used` in bytes, all of them together."""

    row: SnapshotRow
    used: int
    clones: tuple[str, ...]
    datasets: tuple[str, ...]
    run: str  # empty: not taken by zonemgr
    job: str
    user: str
    configuration: bool  # is the zone's configuration kept with it?
    served: bool  # do new clones of the golden image use it?

    @property
    def name(self) -> str:
        return str(self.row.snapshot.name)

    def as_dict(self) -> dict[str, object]:
        return {
            **self.row.as_dict(), "used": self.used, "clones": list(self.clones), "datasets": list(self.datasets),
            "run": self.run, "job": self.job, "user": self.user, "configuration": self.configuration,
            "served": self.served,
        }  # fmt: skip


def details(host: Host, name: str) -> list[SnapshotDetails]:
    """A managed zone's snapshots with what there is to know of them, oldest first."""
    look = Remembering(host)
    zone = survey.managed(look, ZoneName(name))
    covered = extent.of(look, zone.name, zone.dataset)
    rows = extent.snapshots(look, covered)
    told = zfs.local_below(look, zone.dataset, zfs.MADE_BY, keepsake.JOB, keepsake.USER, keepsake.HEAD)
    root = survey.root_of(look, zone.dataset, zone.name)
    own = [*_strayed_rows(look, zone, root), *rows[covered.root]]
    return [_details(zone, covered, rows, told, row) for row in own]


def _details(
    zone: survey.Managed,
    covered: extent.Extent,
    rows: Mapping[str, Sequence[SnapshotRow]],
    told: Mapping[str, Mapping[str, str]],
    row: SnapshotRow,
) -> SnapshotDetails:
    """Who took it is told by the zonepath dataset's snapshot; what root in the zone may have written is no witness."""
    name = row.snapshot.name
    alike = [one for dataset in covered.datasets for one in rows[dataset] if one.snapshot.name == name]
    alike += [row] if row not in alike else []
    said = told.get(str(zone.dataset.at(name)), {})
    run = said.get(zfs.MADE_BY, "") or told.get(str(row.snapshot), {}).get(zfs.MADE_BY, "")
    return SnapshotDetails(
        row,
        sum(one.used for one in alike),
        tuple(sorted({clone for one in alike for clone in one.clones})),
        tuple(one.dataset for one in alike),
        run,
        said.get(keepsake.JOB, "") or (keepsake.job_of(str(name)) if run else ""),
        said.get(keepsake.USER, ""),
        keepsake.HEAD in said,
        zone.marks.get("current") == name,
    )


def destroy_snapshot(site: Site, name: str, snap: str) -> None:
    """Destroy a snapshot that zonemgr took, on all datasets of the zone: if no clone needs it anywhere, nobody else
    holds it, and no golden image serves it.
    """
    wanted = SnapshotName(snap)
    with opened(site, name) as (work, zone):
        look = glimpse(site)
        rows = extent.named(look, zone.name, zone.dataset, wanted)
        if not rows:
            raise _no_snapshot(zone, wanted)
        if zone.marks.get("current") == wanted:
            raise ZonemgrError(
                f"{zone.name}@{wanted} is what new clones of this golden image are made from",
                hint="it can go when another one is served, as after: zonemgr upgrade-giz, pkg-install or rollback",
            )
        _check_free_to_go(look, zone, rows)
        work.do(DropSnapshot(zone.name, zone.dataset, wanted))


def _check_free_to_go(look: Host, zone: survey.Managed, rows: Sequence[SnapshotRow]) -> None:
    makers = zfs.marks(look, *(row.snapshot for row in rows))
    for row in rows:
        if row.clones:
            raise ZonemgrError(
                f"{row.snapshot} has clones: {', '.join(row.clones)}", hint="destroy those zones first"
            )
        if str(row.snapshot) not in makers:
            raise ZonemgrError(
                f"{row.snapshot} was not taken by zonemgr, so it is left alone",
                hint=f"if it is yours: zfs destroy {row.snapshot}",
            )
    for name, tags in zfs.holds(look, *(row.snapshot for row in rows if row.userrefs)).items():
        others = sorted(tags - {zfs.HOLD_TAG})
        if others:
            raise ZonemgrError(
                f"{name} is held by {', '.join(others)}", hint=f"if it may go: zfs release {others[0]} {name}"
            )


class opened:  # noqa: N801 - reads as a verb where it is used
    """A job on one managed zone: `with opened(site, name) as (work, zone)`."""

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name = site, ZoneName(name)

    def __enter__(self) -> tuple[Job, survey.Managed]:
        look = glimpse(self.site)
        privilege.require(look, "zone", "zfs")
        kind = survey.managed(look, self.name).kind
        images = [self.name] if kind == survey.GIZ else []
        self.job = job(self.site, [self.name], records.new_run_id(), images=images)
        work = self.job.__enter__()
        look = glimpse(self.site)
        zone = survey.managed(look, self.name)
        try:
            for root, other in extent.strayed(look, zone.name, zone.dataset):
                work.do(GatherSnapshots(root, other))
        except BaseException as failure:
            self.job.__exit__(type(failure), failure, failure.__traceback__)
            raise
        return work, zone

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> bool | None:
        return self.job.__exit__(kind, error, trace)  # type: ignore[arg-type]


def _existing(look: Host, zone: survey.Managed, snap: str) -> str:
    root = survey.root_of(look, zone.dataset, zone.name).name
    names = [str(row.snapshot.name) for row in survey.snapshots_of(look, root)]
    if snap:
        if SnapshotName(snap) not in names:
            raise _no_snapshot(zone, snap)
        return snap
    if not names:
        raise NotThere(
            f"zone {zone.name} has no snapshot to roll back to",
            hint=f"take one: zonemgr snapshot {zone.name}",
        )
    return names[-1]


def _no_snapshot(zone: survey.Managed, name: str) -> NotThere:
    return NotThere(
        f"zone {zone.name} has no snapshot {name}", hint=f"see: zonemgr list-snapshots {zone.name}"
    )


def _refuse_taken(look: Host, zone: survey.Managed, name: str) -> None:
    """The name must be free on every dataset; the zonepath dataset alone does not count (see TakeSnapshot)."""
    covered = extent.of(look, zone.name, zone.dataset)
    rows = extent.snapshots(look, covered)
    taken = [one for one in covered.datasets if name in {row.snapshot.name for row in rows[one]}]
    if taken:
        raise AlreadyThere(
            f"zone {zone.name} has a snapshot {name} already"
            + ("" if covered.root in taken else f", on {taken[0]}"),
            hint=f"choose another name with -s, or: zonemgr destroy-snapshot {zone.name} -s {name}",
        )
