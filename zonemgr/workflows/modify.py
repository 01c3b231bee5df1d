"""Changing a zone that exists: checked as a whole, done as one job, undone wholly when any of it fails.

Nothing changes a running zone's configuration under it (docs/illumos.md: zonecfg): what is in zonecfg is in force at
its next
boot, which `restart` brings at once. What was made for the zone and is dropped is removed when the zone is down, at
once or later (see pending). What has to be done inside is done now: in a running zone as it is, with its old files
kept until all is well; a halted zone is mounted for it, without its file systems, after a snapshot to return to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zonemgr.errors import NotThere, UsageError, ZonemgrError
from zonemgr.host import smf, zfs, zonecfg, zonechange, zonescript
from zonemgr.host.door import Host
from zonemgr.host.zonescript import parse_export
from zonemgr.model import Dataset, RunId, ZoneName, ZoneSettings, ZoneState
from zonemgr.workflows import (
    addresses,
    building,
    datasets,
    furnish,
    inside,
    naming,
    packages,
    parts,
    pending,
    privilege,
    removing,
    restoring,
    setup,
    snaps,
    storage,
    survey,
)
from zonemgr.workflows.execute import RestoreRoot
from zonemgr.workflows.furnish import Furniture, Wishes
from zonemgr.workflows.job import Job, Site, glimpse
from zonemgr.workflows.steps import Step, warn
from zonemgr.workflows.wanted import Drops, Wanted, work_out

INSIDE = {
    "users": "--copy-users", "groups": "--copy-groups", "elevated": "--elevate-users", "autonfs": "--mount-autonfs",
    "tmpfs_size": "--tmpfs-size",
}  # fmt: skip


@dataclass(frozen=True)
class Modified:
    """What came of it."""

    zone: str
    changed: tuple[str, ...]  # the steps, in an administrator's words
    in_force: str  # "now", "at the next boot"
    waiting: str  # what is removed at the next halt

    def as_dict(self) -> dict[str, object]:
        return {
            "zone": self.zone, "changed": list(self.changed), "in_force": self.in_force,
            "waiting": self.waiting.split(),
        }  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """A change, worked out."""

    zone: survey.Managed
    things: Furniture
    drops: Drops
    wanted: Wanted
    text: str  # what `zonecfg export` says now
    running: bool
    restart: bool

    @property
    def inside(self) -> bool:
        """Is there anything to do inside the zone?"""
        things, drops = self.things, self.drops
        added = things.users or things.groups or things.elevated or things.autonfs or things.links
        dropped = drops.users or drops.groups or drops.elevated or drops.autonfs or self.wanted.links
        return bool(added or dropped or things.caps.tmpfs or drops.tmpfs_size)


@dataclass(frozen=True)
class SetQuota(Step):
    """Limit the disk space of a zone's home; `none` for no limit. Undo sets what was there before."""

    home: str
    quota: str
    before: str  # bytes, or `none`

    def __str__(self) -> str:
        return f"set the quota of {self.home} to {self.quota}"

    def check(self, host: Host) -> None:
        if self.quota == "none":
            return
        used = int(zfs.get(host, Dataset(self.home), "used").get("used", "0"))
        if (zonescript.size(self.quota) or 0) < used:
            raise ZonemgrError(
                f"{self.home} uses more than {self.quota} already: {used} bytes",
                hint=f"see: zfs list -o space -r {self.home}",
            )

    def do(self, host: Host) -> None:
        zfs.set_properties(host, Dataset(self.home), {"quota": self.quota})

    def undo(self, host: Host) -> None:
        if zfs.exists(host, Dataset(self.home)):
            zfs.set_properties(host, Dataset(self.home), {"quota": self.before})


@dataclass(frozen=True)
class BootAgain(building.BootZone):
    """Boot a zone that may have missed a reboot of the host: its temporary VNICs are made again first."""

    def do(self, host: Host) -> None:
        parts.remake_vnics(host, self.zone)
        super().do(host)


@dataclass(frozen=True)
class TidyUp(Step):
    """Remove what the zone no longer needs, and the snapshot of the way back. Undoing it is finishing it."""

    zone: str
    home: str
    snapshot: str  # its name; empty: none was taken
    was_down: bool = False  # since its configuration changed

    def __str__(self) -> str:
        return f"tidy up after changing {self.zone}"

    def do(self, host: Host) -> None:
        if self.snapshot:
            snaps.DropSnapshot(self.zone, self.home, self.snapshot).do(host)
        for text in pending.settle(host, self.zone, Dataset(self.home), was_down=self.was_down):
            warn(text)

    def undo(self, host: Host) -> None:
        self.do(host)


def modify(
    site: Site, name: str, wishes: Wishes | None = None, drops: Drops | None = None, *, restart: bool = False
) -> Modified:
    """Change what a zone has. With `restart` a running zone is stopped and started; a halted one stays halted."""
    wishes, drops = wishes or Wishes(), drops or Drops()
    if replace(wishes, force_mount=False) == Wishes() and drops == Drops():
        raise UsageError(f"what is to change in zone {name}?", hint="see: zonemgr modify --help")
    drops.check()
    _refuse_contradiction(wishes, drops)
    _network(site, wishes, drops)
    with snaps.opened(site, name) as (work, zone):
        look = glimpse(site)
        _check_state(zone)
        _check_golden(zone, wishes, drops)
        plan = _plan(look, site, zone, wishes, drops, restart, work.run)
        host_side = _on_the_host(look, plan)
        changed = tuple(str(step) for step in host_side)
        for text in plan.wanted.told:
            site.report.note(text)
        if plan.running and not restart:
            changed += _live(work, plan, host_side)
        else:
            changed += _down(work, plan, host_side)
    return _outcome(site, plan, changed)


def _refuse_contradiction(wishes: Wishes, drops: Drops) -> None:
    """Rights for an account that goes, or that are to go: somebody mistyped one of the two."""
    copied = set(wishes.users.split())
    for user in wishes.elevated.split():
        if (user in drops.names("users") and user not in copied) or user in drops.names("elevated"):
            raise UsageError(
                f"{user} cannot be elevated and dropped at once", hint="leave one of the two out"
            )


def _network(site: Site, wishes: Wishes, drops: Drops) -> None:
    if wishes.vnics or wishes.over or drops.vnics:
        privilege.require(glimpse(site), "network")


def _check_state(zone: survey.Managed) -> None:
    if zone.row.state not in (ZoneState.RUNNING, ZoneState.INSTALLED):
        raise ZonemgrError(
            f"zone {zone.name} is {zone.row.state}; to be changed it must be installed or running",
            hint=snaps.down_hint(zone),
        )


def _check_golden(zone: survey.Managed, wishes: Wishes, drops: Drops) -> None:
    """Clones are made from a golden image's snapshot, so what is changed inside would never reach one."""
    if zone.kind != survey.GIZ:
        return
    for word, option in INSIDE.items():
        if getattr(wishes, word) or getattr(drops, word):
            raise UsageError(
                f"{option} in golden image {zone.name} would not reach its clones: they are made from a snapshot",
                hint=f"give it to the clones: create-diz {option} …; or make an image that has it: "
                f"create-giz -c {zone.name} {option} …",
            )


def _plan(
    look: Host, site: Site, zone: survey.Managed, wishes: Wishes, drops: Drops, restart: bool, run: RunId
) -> Plan:
    text = zonecfg.export_text(look, ZoneName(zone.name))
    now = parse_export(text)
    things = furnish.parse(wishes, tag=naming.tail(run))
    wanted = work_out(look, now, things, drops)  # says of what the zone has already that it has it
    homes = [survey.containment(site.config, kind)[0] for kind in (survey.GIZ, survey.DIZ)]
    things.check_on(look, homes=[*homes, zone.dataset], config=site.config, own=zone.run)
    things = storage.settle(look, site, things.seen_on(look), zone.name, run)
    for text in things.hidden:
        site.report.note(text)
    wanted = work_out(look, now, things, drops)  # once more, knowing what the clones come to
    setup.accounts_there(look, things.users, things.groups, things.elevated)
    removing.check_marked(look, wanted.datasets, zone.run)
    running = zone.row.state is ZoneState.RUNNING
    return Plan(zone, things, drops, wanted, text, running, restart)


def _on_the_host(look: Host, plan: Plan) -> list[Step]:
    """Steps outside the zone, the configuration after what it names and before what it no longer names."""
    zone, home = plan.zone, plan.zone.dataset
    steps: list[Step] = []
    if plan.things.made:
        before = zone.marks.get("made", "")
        made = " ".join(dict.fromkeys([*before.split(), *plan.things.made]))
        old = (f"{datasets.MADE}={before}",) if before else ()
        steps.append(packages.SetMarks(str(home), (f"{datasets.MADE}={made}",), old))
    steps += storage.before_configuration(look, plan.things, zone.run)
    steps += _quota(look, plan)
    lines = zonechange.lines(parse_export(plan.text), plan.wanted.settings)
    if lines:
        steps.append(restoring.Reconfigure(zone.name, zone.run, tuple(lines), plan.text))
    waiting = pending.of(look, home)
    more = waiting.with_these(plan.wanted.vnics, plan.wanted.datasets)
    if str(more) != str(waiting):
        steps.append(pending.Remember(zone.name, home, str(more), str(waiting)))
    return steps


def _quota(look: Host, plan: Plan) -> list[Step]:
    quota, home = plan.things.caps.quota, plan.zone.dataset
    if not (quota or plan.drops.quota):
        return []
    before = zfs.get(look, home, "quota").get("quota", "none")
    before = "none" if before == "0" else before
    if plan.drops.quota and before == "none":
        raise NotThere("the zone has no --quota to drop", hint=f"see: zfs get quota {home}")
    return [SetQuota(home, quota or "none", before)]


def _live(work: Job, plan: Plan, host_side: Sequence[Step]) -> tuple[str, ...]:
    """In a running zone: what can be changed now; the rest waits for its next boot."""
    zone = plan.zone
    within = _within(plan) if plan.inside else []
    keeping: list[Step] = []
    if within:
        mounts = [mount.dir for now in (parse_export(plan.text), plan.wanted.settings) for mount in now.fs]
        homes = inside.homes(work.site.host, plan.things.users, mounts)
        limit = work.site.config.host.single_user_limit
        keeping = [inside.KeepFiles(zone.name, work.run, zone.run, homes, limit)]
    work.do(*host_side, *keeping, *within)
    work.keep_only(list(work.begun))
    if within:
        work.do(inside.ForgetFiles(zone.name, work.run, zone.run))
    return tuple(str(step) for step in within)


def _down(work: Job, plan: Plan, host_side: Sequence[Step]) -> tuple[str, ...]:
    """In a zone that is halted, or stopped for this and started again."""
    zone, limits = plan.zone, work.site.config.host
    if plan.running:
        work.do(snaps.StopForNow(zone.name, limits.shutdown_limit, zone.run))
    work.do(*host_side)
    snapshot = ""
    within: list[Step] = []
    if plan.inside:
        snapshot = naming.before("modify")
        within = [_set_up(plan, limits.change_limit)]
        work.do(
            building.TakeSnapshot(zone.name, zone.dataset, snapshot, work.run, hold=False, job="modify"),
            RestoreRoot(zone.name, zone.dataset, snapshot, zone.run),
            *_without_mounts(zone, plan.wanted.settings, within),
        )
    if plan.running:
        work.do(BootAgain(zone.name, zone.run, smf.MULTI_USER_SERVER, limits.boot_limit))
    if plan.running:
        work.do(*addresses.awaited(zone.name, plan.things))
    work.keep_only(list(work.begun))
    work.do(TidyUp(zone.name, zone.dataset, snapshot, was_down=True))
    return tuple(str(step) for step in within)


def _without_mounts(zone: survey.Managed, settings: ZoneSettings, within: Sequence[Step]) -> list[Step]:
    """These steps, with the zone's file systems out of its configuration meanwhile: they would be mounted, too."""
    bare = replace(settings, fs=tuple(fs for fs in settings.fs if fs.type == "zfs"))
    there = zonechange.lines(settings, bare)
    if not there:
        return list(within)
    texts = ["\n".join(zonescript.script_for(each, create="create -b")) for each in (settings, bare)]
    back = zonechange.lines(bare, settings)
    return [
        restoring.Reconfigure(zone.name, zone.run, tuple(there), texts[0]),
        *within,
        restoring.Reconfigure(zone.name, zone.run, tuple(back), texts[1]),
    ]


def _set_up(plan: Plan, limit: float) -> Step:
    """All that is to be done in the root of a halted zone."""
    zone, things, drops = plan.zone, plan.things, plan.drops
    settings = plan.wanted.settings
    users, groups, elevated, autonfs = (drops.names(w) for w in ("users", "groups", "elevated", "autonfs"))
    kept = tuple(net.physical for net in settings.net if net.physical not in things.links)
    tmpfs = "" if drops.tmpfs_size and not things.caps.tmpfs else things.caps.tmpfs or None
    return building.SetUp(
        zone.name, zone.run, limit, False, things.temporary_links, things.lasting_links, kept, things.users,
        things.groups, things.elevated, tuple(fs.dir for fs in settings.fs), tuple(map(str, things.autonfs)), tmpfs,
        users, groups, elevated, autonfs, tuple(plan.wanted.links),
    )  # fmt: skip


def _within(plan: Plan) -> list[Step]:
    """Steps inside a running zone: away with what goes, then what comes."""
    zone, things, drops = plan.zone, plan.things, plan.drops
    steps: list[Step] = []
    users, groups, elevated, autonfs = (drops.names(w) for w in ("users", "groups", "elevated", "autonfs"))
    links = tuple(plan.wanted.links)
    mounted = tuple(
        dict.fromkeys(fs.dir for now in (parse_export(plan.text), plan.wanted.settings) for fs in now.fs)
    )
    _refuse_mounted(zone.name, mounted)
    if users or groups or elevated or autonfs or links:
        steps.append(inside.DropInside(zone.name, users, groups, elevated, autonfs, links, mounted))
    if things.caps.tmpfs or drops.tmpfs_size:
        steps.append(storage.SizeTmp(zone.name, things.caps.tmpfs))
    if things.users or things.groups or things.elevated or things.autonfs or things.links:
        kept = [net.physical for net in plan.wanted.settings.net if net.physical not in things.links]
        steps.append(
            inside.AddInside(
                zone.name, things.temporary_links, things.lasting_links, tuple(kept), things.users, things.groups,
                things.elevated, mounted, tuple(map(str, things.autonfs)), 600.0,
            )
        )  # fmt: skip
    return steps


def _refuse_mounted(zone: str, mounted: Sequence[str]) -> None:
    """Nothing is written below a mount of the host: what a running zone has as its /etc may be the host's."""
    for directory in mounted:
        if f"{directory}/".startswith("/etc/") or directory == "/etc":
            raise ZonemgrError(
                f"{directory} of zone {zone} is a directory of the host, so nothing can be changed in there",
                hint="change it while the zone is down: --restart",
            )


def _outcome(site: Site, plan: Plan, changed: tuple[str, ...]) -> Modified:
    waiting = "" if site.host.dry_run else str(pending.of(glimpse(site), plan.zone.dataset))
    force = "now" if plan.running and plan.restart else "at the next boot"
    if (
        plan.running
        and not plan.restart
        and not zonechange.lines(parse_export(plan.text), plan.wanted.settings)
    ):
        force = "now"
    if waiting:
        site.report.note(f"removed when zone {plan.zone.name} is halted: {waiting}")
    return Modified(plan.zone.name, changed, force, waiting)
