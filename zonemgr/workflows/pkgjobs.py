"""The pkg-… jobs: packages and publishers of a zone that exists, with a snapshot before and one after.

Both are named after the job and the time: `before-pkg-install-20260131T235959Z`, `after-pkg-install-…`. What fails is
rolled back to the first. Where pkg had nothing to do neither is left, and nothing has moved.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from zonemgr import records
from zonemgr.errors import CommandError, UsageError, ZonemgrError
from zonemgr.host import pkg, smf, zoneadm
from zonemgr.host.door import Host
from zonemgr.model import Dataset, ZoneName, ZoneState
from zonemgr.workflows import building, imageset, life, naming, packages, privilege, snaps, survey
from zonemgr.workflows.job import Job, Site, glimpse, job
from zonemgr.workflows.packages import Change
from zonemgr.workflows.steps import Step


@dataclass(frozen=True)
class Outcome:
    """What came of it. Packages are full FMRIs; `before` and `after` are snapshots, empty when nothing changed."""

    zone: str
    run: str
    changed: bool = False
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()  # as they are now
    publishers: tuple[str, ...] = ()  # NAME URI, where they were to be changed
    before: str = ""
    after: str = ""
    root: str = ""  # the ZBE that is active now

    def as_dict(self) -> dict[str, Any]:
        lists = {name: list(getattr(self, name)) for name in ("added", "removed", "updated", "publishers")}
        return {**self.__dict__, **lists}

    def __str__(self) -> str:
        counts = {"added": self.added, "removed": self.removed, "updated": self.updated}
        told = [
            f"{len(what)} package{'s' if len(what) > 1 else ''} {word}"
            for word, what in counts.items()
            if what
        ]
        told += ["publishers changed"] if self.changed and self.publishers else []
        return ", ".join(told) or ("" if self.changed else "nothing to do")


@dataclass(frozen=True)
class Task:
    """One of the four jobs."""

    name: str
    change: Change = field(default_factory=Change)

    def steps(self, zone: survey.Managed, limit: float, *, inside: bool) -> list[Step]:
        where = (zone.name, str(zone.dataset), zone.row.path)
        if self.name == "pkg-upgrade":
            return packages.update(*where, limit, inside=inside)
        if self.name == "pkg-refresh":
            return packages.refresh(*where, limit, inside=inside)
        return packages.on_root(*where, self.change, limit, inside=inside)

    @property
    def foreseeable(self) -> list[tuple[str, ...]]:
        """What pkg can be asked for beforehand, word by word; nothing where other publishers come first."""
        change = self.change
        if self.name == "pkg-upgrade":
            return [("update", "--accept")]
        if change.add_publishers or change.remove_publishers:
            return []
        removal = [("uninstall", "--ignore-missing", *change.remove)] if change.remove else []
        return [*removal, *([("install", "--accept", *change.add)] if change.add else [])]


def install(site: Site, name: str, change: Change) -> Outcome:
    """Publishers out and in, packages out and in."""
    if not change:
        raise UsageError(
            "which packages are to be installed?", hint=f"zonemgr pkg-install -z {name} -p PACKAGE"
        )
    return _run(site, name, Task("pkg-install", change))


def uninstall(site: Site, name: str, change: Change) -> Outcome:
    if not change:
        raise UsageError(
            "which packages are to be removed?", hint=f"zonemgr pkg-uninstall -z {name} -P PACKAGE"
        )
    return _run(site, name, Task("pkg-uninstall", change))


def refresh(site: Site, name: str) -> Outcome:
    """The catalogues of the zone's publishers, as they are now."""
    return _run(site, name, Task("pkg-refresh"))


def upgrade(site: Site, name: str) -> Outcome:
    """The newest of all that is installed."""
    return _run(site, name, Task("pkg-upgrade"))


def _run(site: Site, name: str, task: Task) -> Outcome:
    look = glimpse(site)
    privilege.require(look, "zone", "zfs", "packages")
    zone = survey.managed(look, ZoneName(name))
    _check(look, zone, task)
    images = [zone.name] if zone.kind == survey.GIZ else []
    with job(site, [zone.name], records.new_run_id(), images=images) as work:
        look = glimpse(site)
        zone = survey.managed(look, ZoneName(name))
        wanted = _check(look, zone, task)
        return _Visit(site, work, zone, task, wanted).run()


def _check(look: Host, zone: survey.Managed, task: Task) -> imageset.ImageSet | None:
    """Refuse what cannot work; returns what a golden image is to hold, if that is known and changes."""
    if zone.row.state not in (ZoneState.INSTALLED, ZoneState.RUNNING):
        verb = "unmount" if zone.row.state is ZoneState.MOUNTED else "halt"
        hint = f"zonemgr {verb} {zone.name}" if zone.row.state.active else f"zonemgr destroy {zone.name}"
        raise ZonemgrError(
            f"zone {zone.name} is {zone.row.state}; {task.name} needs it installed or running", hint=hint
        )
    packages.check_linked(look, zone.name, zone.row.brand, task.change)
    known = imageset.read(look).get(zone.dataset) if zone.kind == survey.GIZ and task.change else None
    if known is None:
        return None
    change = task.change
    moved = change.add_publishers or change.remove_publishers
    return known.changed(
        add=change.add, remove=change.remove, add_publishers=change.add_publishers,
        remove_publishers=change.remove_publishers, own=imageset.own(look) if moved else (),
    )  # fmt: skip


@dataclass
class _Visit:
    """One job under way on one zone, under its lock."""

    site: Site
    work: Job
    zone: survey.Managed
    task: Task
    wanted: imageset.ImageSet | None  # what a golden image holds afterwards
    inside: bool = False

    @property
    def host(self) -> Host:
        return self.site.host

    @property
    def golden(self) -> bool:
        return self.zone.kind == survey.GIZ

    def run(self) -> Outcome:
        running = self.zone.row.state is ZoneState.RUNNING
        nothing = Outcome(self.zone.name, self.work.run)
        if running and not self.golden:
            status = self._foreseen()
            if status == pkg.NOTHING_TO_DO:
                return nothing
            self.inside = status != pkg.NOT_LIVE
        if self.inside:
            self.work.do(packages.RunAgain(self.zone.name, self.zone.run))
        elif running:
            limit = self.site.config.host.shutdown_limit
            self.work.do(snaps.StopForNow(self.zone.name, limit, self.zone.run))
        outcome = self._changed()
        if running and not self.inside:
            life.bring_up(self.site, ZoneName(self.zone.name))
        if outcome.changed and self.golden:
            self._follow_versions(outcome)
            self._serve(outcome.after)
        self.work.keep()
        return outcome

    def _foreseen(self) -> int:
        """What pkg would say to it inside, before anything is touched: a mistyped name must not cost a restart."""
        asked = self.task.foreseeable
        found = {self._planned(words, alone=len(asked) == 1) for words in asked} or {0}
        if pkg.NOT_LIVE in found:
            self.site.report.note(
                f"this cannot be done in running zone {self.zone.name}; it is stopped for it"
            )
            return pkg.NOT_LIVE
        return 0 if 0 in found else pkg.NOTHING_TO_DO

    def _planned(self, words: tuple[str, ...], *, alone: bool) -> int:
        limit = self.site.config.host.install_limit
        try:
            plan = pkg.plan(self.host, pkg.Image(zone=ZoneName(self.zone.name)), *words, limit=limit)
        except CommandError:
            if alone:
                raise
            return 0  # what is in its way now the removal before it may take away
        if plan.status == pkg.NOTHING_TO_DO:  # otherwise the change itself tells of it
            for one in plan.silent:
                self.site.report.warn(str(one))
        return plan.status

    def _changed(self) -> Outcome:
        """Snapshot, change, snapshot; without the snapshots when nothing has changed."""
        zone, home, stamp = self.zone, str(self.zone.dataset), self._stamp()
        if not self.inside:
            self.work.do(packages.MountRoot(zone.name, home, zone.row.path))
        image = packages.image_of(self.host, zone.name, home, zone.row.path, inside=self.inside)
        before = self._seen(image)
        self._tell_missing(before[0])
        taken = self._snapshot(f"before-{self.task.name}-{stamp}")
        back = packages.return_to(glimpse(self.site), zone, taken.name)
        self.work.do(taken, back)
        self.work.do(*self.task.steps(zone, self.site.config.host.install_limit, inside=self.inside))
        root = self._settled(back)
        now = self._seen(image)
        outcome = _difference(zone.name, self.work.run, before, now, root)
        if before == now and self.task.name != "pkg-refresh" and not self.host.dry_run:
            self.work.keep(back)
            self.work.do(snaps.DropSnapshot(zone.name, home, taken.name))
            return outcome
        return self._done(outcome, taken)

    def _tell_missing(self, installed: Iterable[str]) -> None:
        """pkg passes over what is not there; a mistyped name should not go by unseen."""
        for word in self.task.change.remove if not self.host.dry_run else ():
            if not any(imageset.fits(word, one) for one in installed):
                self.site.report.note(f"{word} is not installed in {self.zone.name}")

    def _done(self, outcome: Outcome, taken: building.TakeSnapshot) -> Outcome:
        limits = self.site.config.host
        if self.golden and self.task.name != "pkg-refresh":
            name, maker = self.zone.name, self.zone.run
            self.work.do(
                packages.BootForManifests(name, maker, smf.SINGLE_USER, limits.boot_limit, single_user=True),
                building.HaltZone(name),
            )
        after = self._snapshot(taken.name.replace("before", "after", 1))
        self.work.do(after)
        return Outcome(**{**outcome.__dict__, "changed": True, "before": taken.name, "after": after.name})

    def _snapshot(self, name: str) -> building.TakeSnapshot:
        return building.TakeSnapshot(
            self.zone.name, str(self.zone.dataset), name, self.work.run, hold=self.golden, job=self.task.name
        )

    def _stamp(self) -> str:
        """The time, unless a job of this very second has taken it."""
        taken = {str(row.snapshot.name) for row in survey.snapshots(glimpse(self.site), self.zone.dataset)}
        now = naming.stamp()
        choices = [now, *(f"{now}-{n}" for n in range(2, 100))]
        return next(one for one in choices if f"before-{self.task.name}-{one}" not in taken)

    def _seen(self, image: pkg.Image) -> tuple[dict[str, str], tuple[str, ...]]:
        """Packages by name, and publishers if they are to change. A dry run has nothing to compare."""
        if self.host.dry_run:
            return {}, ()
        change = self.task.change
        named: Iterable[str] = ()
        if change.add_publishers or change.remove_publishers:
            rows = pkg.publishers(self.host, image)
            named = (f"{row.name} {uri}" for row in rows for uri in row.origins)
        return pkg.contents(self.host, image), tuple(named)

    def _settled(self, back: packages.ReturnToRoot) -> str:
        """The active ZBE. A new one is booted into; one that pkg made and could not activate is a failure, exit 0 or
        not.
        """
        if self.host.dry_run:
            return back.zbe
        look = glimpse(self.site)
        active = survey.root_of(look, Dataset(self.zone.dataset), self.zone.name).name
        new = [
            zbe for zbe in packages.zbes(look, self.zone.dataset) if zbe not in back.known and zbe != active
        ]
        if new:
            raise ZonemgrError(
                f"pkg made {new[0]} and could not activate it",
                hint=f"stop the zone first, then it needs none: zonemgr stop {self.zone.name}",
            )
        if active != back.zbe and self.inside:
            name = ZoneName(self.zone.name)
            self.site.report.note(f"zone {name} is rebooted into {active.rpartition('/')[2]}")
            zoneadm.reboot(self.host, name)
            life.wait(self.site, name, smf.MULTI_USER_SERVER, self.site.config.host.boot_limit)
        return active

    def _follow_versions(self, outcome: Outcome) -> None:
        """After an update: packages that were asked for in a version they no longer have."""
        known = imageset.read(self.host).get(self.zone.dataset) if self.task.name == "pkg-upgrade" else None
        if known is not None:
            names = {fmri.partition("@")[0].split("/", 3)[-1]: fmri for fmri in outcome.updated}
            wanted = imageset.as_installed(known, names)
            self.wanted = wanted if wanted != known else self.wanted

    def _serve(self, snapshot: str) -> None:
        """The set follows what changed, and new clones come from the new snapshot; last of all."""
        home, current = self.zone.dataset, self.zone.marks.get("current")
        if self.wanted is not None:
            self.work.do(packages.follow(self.host, home, self.wanted))
        if current:  # a half-made image is not served by this
            self.work.do(building.PublishImage(self.zone.name, home, snapshot, current))


def _difference(
    zone: str, run: str, before: tuple[dict[str, str], tuple[str, ...]],
    after: tuple[dict[str, str], tuple[str, ...]], root: str,
) -> Outcome:  # fmt: skip
    old, new = before[0], after[0]
    return Outcome(
        zone,
        run,
        added=tuple(sorted(new[name] for name in new.keys() - old.keys())),
        removed=tuple(sorted(old[name] for name in old.keys() - new.keys())),
        updated=tuple(sorted(new[name] for name in new.keys() & old.keys() if new[name] != old[name])),
        publishers=after[1],
        root=root,
    )
