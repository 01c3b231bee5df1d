"""Booting, halting and all between: one zone, one change, one wait. These keep no journal: there is nothing to undo."""

from __future__ import annotations

import contextlib

from zonemgr import locks, records
from zonemgr.errors import CommandError, ZonemgrError
from zonemgr.host import smf, zlogin, zoneadm
from zonemgr.host.door import Host
from zonemgr.model import UserName, ZoneName, ZoneState
from zonemgr.workflows import job, parts, pending, privilege, survey
from zonemgr.workflows.job import Site, glimpse


def boot(site: Site, name: str) -> None:
    """Boot and return at once; fine when it runs already."""
    with _zone(site, name) as zone:
        _missing_vnics(site, zone)
        zoneadm.boot(site.host, zone)


def start(site: Site, name: str) -> None:
    """Boot and wait for multi-user-server."""
    with _zone(site, name) as zone:
        bring_up(site, zone)


def bring_up(site: Site, zone: ZoneName) -> None:
    """Boot a zone whose lock is held, its VNICs first, and wait for its last milestone."""
    _missing_vnics(site, zone)
    zoneadm.boot(site.host, zone)
    wait(site, zone, smf.MULTI_USER_SERVER, site.config.host.boot_limit)


def singleuser(site: Site, name: str) -> None:
    """Boot to single-user and wait; refused for a zone that runs already, as it would stay where it is."""
    with _zone(site, name) as zone:
        row = survey.zone(site.host, zone)
        if row.state is ZoneState.RUNNING:
            raise ZonemgrError(f"zone {zone} is running already", hint=f"halt it first: zonemgr halt {zone}")
        _missing_vnics(site, zone)
        zoneadm.boot(site.host, zone, "-s")
        wait(site, zone, smf.SINGLE_USER, site.config.host.single_user_limit)


def halt(site: Site, name: str) -> None:
    with _zone(site, name) as zone:
        zoneadm.halt(site.host, zone, limit=site.config.host.halt_limit)


def shutdown(site: Site, name: str, limit: float = 0) -> None:
    """Shut down gracefully; fails when the zone is still up after `limit` seconds."""
    with _zone(site, name) as zone:
        zoneadm.shutdown(site.host, zone, limit=limit or site.config.host.shutdown_limit)


def stop(site: Site, name: str, limit: float = 0) -> None:
    """Shut down, and halt when that does not work."""
    with _zone(site, name) as zone:
        bring_down(site, zone, limit)


def bring_down(site: Site, zone: ZoneName, limit: float = 0) -> None:
    """Stop a zone whose lock is held, from whatever state it is in."""
    state = survey.zone(site.host, zone).state
    if state is ZoneState.RUNNING:
        try:
            zoneadm.shutdown(site.host, zone, limit=limit or site.config.host.shutdown_limit)
            return
        except CommandError as refused:
            site.report.warn(f"{zone} did not shut down ({refused}); it is halted")
    if state is ZoneState.MOUNTED:
        zoneadm.unmount(site.host, zone)
    elif state.active:
        zoneadm.halt(site.host, zone, limit=site.config.host.halt_limit)


def poweroff(site: Site, name: str) -> None:
    """Ask the zone itself to power off, and wait until it has; the predecessor's `poweroff`."""
    with _zone(site, name) as zone:
        if survey.zone(site.host, zone).state is not ZoneState.RUNNING:
            raise ZonemgrError(f"zone {zone} is not running", hint=f"see: zonemgr get-state {zone}")
        limit = site.config.host.halt_limit
        try:
            zlogin.run_script(site.host, zone, "/usr/sbin/poweroff || /sbin/init 5\n", limit=limit)
            until_installed(site, zone, limit)
        except ZonemgrError as refused:
            site.report.warn(f"{zone} did not power off ({refused}); it is halted")
            zoneadm.halt(site.host, zone)


def until_installed(site: Site, zone: ZoneName, limit: float) -> None:
    """Poll until the zone is down; raises after `limit` seconds of the host's own time."""
    waited, step = 0.0, 0.05
    while survey.zone(site.host, zone).state is not ZoneState.INSTALLED:
        if waited >= limit:
            raise ZonemgrError(
                f"zone {zone} is still up after {limit:g} seconds", hint=f"zonemgr halt {zone}"
            )
        site.host.pause(step)
        waited, step = waited + step, min(step * 2, 1.0)


def reboot(site: Site, name: str) -> None:
    """Halt and boot at once, not graceful."""
    taken = _zone(site, name)
    with taken as zone:
        _missing_vnics(site, zone)
        zoneadm.reboot(site.host, zone)
        taken.settle(was_down=True)


def restart(site: Site, name: str) -> None:
    """Stop, then start and wait."""
    taken = _zone(site, name)
    with taken as zone:
        bring_down(site, zone)
        taken.settle()
        bring_up(site, zone)


def ready(site: Site, name: str) -> None:
    with _zone(site, name) as zone:
        _missing_vnics(site, zone)
        zoneadm.ready(site.host, zone)


def mount(site: Site, name: str) -> None:
    with _zone(site, name) as zone:
        zoneadm.mount(site.host, zone)


def unmount(site: Site, name: str) -> None:
    with _zone(site, name) as zone:
        zoneadm.unmount(site.host, zone)


def login(site: Site, name: str, user: str = "") -> int:
    """An interactive session; its exit status is zlogin's, which is 0 after any session.

    See docs/illumos.md: zlogin and rights.
    """
    look = glimpse(site)
    privilege.require(look, "zone")
    found = survey.managed(look, ZoneName(name))
    zone = found.name
    if found.row.state not in (ZoneState.RUNNING, ZoneState.MOUNTED):
        raise ZonemgrError(f"zone {zone} is {found.row.state}, not running", hint=f"zonemgr start {zone}")
    if user == "-S":
        return site.host.interact("zlogin", "-S", zone)
    return zlogin.login(site.host, ZoneName(zone), user=UserName(user) if user else None)


def console(site: Site, name: str) -> int:
    """The console; it works from `installed` on, and is left with ~. as any console."""
    look = glimpse(site)
    privilege.require(look, "zone")
    return zlogin.console(site.host, ZoneName(survey.managed(look, ZoneName(name)).name))


def wait(site: Site, zone: ZoneName, milestone: str, limit: float) -> None:
    if not site.host.dry_run:
        smf.wait_for(site.host, zone, milestone, limit=limit)


class _zone:  # noqa: N801 - reads as a verb where it is used: with _zone(site, name) as zone
    """A managed zone under its lock, after what dead runs left on it was cleared up.

    A golden image under its second lock as well: it is not cloned while it changes its state.
    """

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name = site, ZoneName(name)

    def __enter__(self) -> ZoneName:
        look = glimpse(self.site)
        privilege.require(look, "zone")
        found = survey.managed(look, self.name)
        kind, self.home, self.waiting = found.kind, found.dataset, bool(found.marks.get("pending"))
        with contextlib.ExitStack() as taken:
            if not self.site.host.dry_run:
                config, run, waiting = self.site.config, records.new_run_id(), self.site.report.note
                taken.enter_context(locks.zone_lock(config, self.name, run, waiting=waiting))
                if kind == survey.GIZ:
                    taken.enter_context(locks.image_lock(config, self.name, run, waiting=waiting))
                job.recover_zone(self.site, self.name)
                self.settle()
            self.locks = taken.pop_all()
        return self.name

    def __exit__(self, *trouble: object) -> None:
        with self.locks:
            if not trouble[0]:
                self.settle()

    def settle(self, *, was_down: bool = False) -> None:
        """What was taken from the zone while it ran goes when it is down, before it boots or after it has halted."""
        if self.waiting and not self.site.host.dry_run:
            try:
                left = pending.settle(self.site.host, self.name, self.home, was_down=was_down)
            except ZonemgrError as refused:  # no reason not to halt or boot
                left = [str(refused)]
            for text in left:
                self.site.report.warn(text)


def _missing_vnics(site: Site, zone: ZoneName) -> None:
    """Make a zone's own VNICs again if the host was rebooted since: they are temporary."""
    for name in parts.remake_vnics(site.host, zone):
        site.report.note(f"VNIC {name} is made again")


def state(host: Host, name: str) -> str:
    """The zone's state as zoneadm says it."""
    return str(survey.zone(host, name).state)
