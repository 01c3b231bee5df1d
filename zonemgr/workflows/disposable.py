"""Cloning a disposable zone from a golden image, furnishing it, and bringing it up."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from zonemgr import locks, records
from zonemgr.errors import UsageError
from zonemgr.host import smf, zfs
from zonemgr.host.door import Host
from zonemgr.model import Dataset, RunId, SnapshotName, ZoneName
from zonemgr.workflows import (
    addresses,
    building,
    common,
    furnish,
    golden,
    layers,
    naming,
    privilege,
    setup,
    storage,
    survey,
)
from zonemgr.workflows.job import Job, Site, glimpse, job
from zonemgr.workflows.steps import Step


@dataclass(frozen=True)
class DisposableRequest(furnish.Wishes):
    """What `create-diz` or `exec-diz` was asked for, as it stood on the command line."""

    origin: str = ""  # empty: the golden image that has just what `image` asks for
    zone: str = ""
    snapshot: str = ""
    image: layers.ImageWish = field(default_factory=layers.ImageWish)

    @property
    def wishes(self) -> furnish.Wishes:
        return furnish.Wishes(**{one.name: getattr(self, one.name) for one in fields(furnish.Wishes)})


@dataclass(frozen=True)
class Disposable:
    """A disposable zone as planned, and made."""

    zone: str
    origin: str
    home: str
    zonepath: str
    run: RunId
    furniture: furnish.Furniture
    image_locked: bool = False  # the caller holds the image's lock already


def create(site: Site, request: DisposableRequest) -> Disposable:
    """Make a disposable zone and leave it running; a golden image that does not exist is made first."""
    zone = prepare(site, request)
    with job(site, [zone.zone], zone.run) as work:
        bring_up(work, zone)
    return zone


def prepare(site: Site, request: DisposableRequest) -> Disposable:
    """Everything that can be refused without changing the host, and the golden image if it is missing."""
    run = records.new_run_id()
    look = glimpse(site)
    guess = layers.guess(look, site, request.image, request.origin, request.snapshot)
    origin = ZoneName(guess.name if guess else request.origin)
    name = ZoneName(request.zone or naming.disposable(origin, run))
    if request.snapshot:
        SnapshotName(request.snapshot)
    furniture = furnish.parse(request.wishes, tag=naming.tail(run))
    home, zonepath = survey.home_of(site.config, survey.DIZ, name)
    privilege.require(look, "zone", "zfs", *(["network"] if furniture.links else []))
    homes = [survey.containment(site.config, kind)[0] for kind in (survey.GIZ, survey.DIZ)]
    furniture.check_on(look, homes=[*homes, home], config=site.config)
    furniture = furniture.seen_on(look)
    furniture = storage.settle(look, site, furniture, name, run)
    for text in furniture.hidden:
        site.report.note(text)
    setup.accounts_there(look, furniture.users, furniture.groups, furniture.elevated)
    if not guess.found if guess else survey.find(look, origin) is None:
        origin = _make_origin(site, look, origin, request, name, guess)
        if site.host.dry_run:  # there is no image yet to say more about
            served = f"{origin}@{naming.initial('postinstalled', origin)}"
            return Disposable(str(name), served, home, zonepath, run, furniture)
        look = glimpse(site)
    image = survey.managed(look, origin, survey.GIZ)
    snapshot = golden.served_snapshot(look, image, "" if guess else request.snapshot)
    return Disposable(str(name), f"{origin}@{snapshot.rpartition('@')[2]}", home, zonepath, run, furniture)


def _make_origin(
    site: Site,
    look: Host,
    origin: ZoneName,
    request: DisposableRequest,
    name: str,
    guess: layers.Sought | None,
) -> ZoneName:
    """The golden image does not exist: make it, unless what was asked for rules it out or cannot work anyway."""
    building.name_is_free(look, name)
    if guess:
        return ZoneName(layers.provide(site, request.image, request.origin, request.snapshot))
    if request.snapshot:
        survey.zone(look, origin)  # raises: a snapshot of nothing cannot be meant
    site.report.note(f"there is no golden image {origin} yet; it is made first")
    golden.create(site, request.image.request(origin), unless_there=True)
    return origin


def bring_up(work: Job, zone: Disposable) -> None:
    """Clone, set up before any service of the zone has run, and boot to multi-user."""
    site, source = work.site, zone.origin.partition("@")[0]
    if site.host.dry_run and survey.find(site.host, source) is None:
        site.report.note(f"then {zone.zone} would be cloned from {zone.origin}")
        return
    with contextlib.ExitStack() as stack:
        # The image must stay as it is until the clone stands.
        if not (site.host.dry_run or zone.image_locked):
            stack.enter_context(locks.image_lock(site.config, source, zone.run, waiting=site.report.note))
        look = glimpse(site)
        configuration = configured(look, site, zone)
        work.do(*plan_clone(look, site, zone, configuration), look=look)
    work.do(*plan_setup(site, zone, configuration))


def configured(look: Host, site: Site, zone: Disposable) -> common.Configuration:
    """How the zone is configured; its brand is that of its origin."""
    image = survey.managed(look, zone.origin.partition("@")[0], survey.GIZ)
    return common.configuration(
        zone.zonepath,
        survey.DIZ,
        f"giz:{zone.origin}",
        zone.run,
        brand=image.row.brand,
        furniture=zone.furniture,
    )


def plan_clone(look: Host, site: Site, zone: Disposable, configuration: common.Configuration) -> list[Step]:
    """From nothing to a clone that is mounted for maintenance."""
    source, _, name = zone.origin.partition("@")
    limits = site.config.host
    image = survey.managed(look, source, survey.GIZ)
    snapshot = golden.served_snapshot(look, image, name)
    origin = f"giz:{zone.origin}"
    things = zone.furniture
    _check_neighbours(look, site, image, zone)
    return [
        *common.containment(look, site, survey.DIZ, zone.run),
        common.home(site, survey.DIZ, zone.zone, zone.run, origin=origin, marks=things.home_properties),
        *storage.before_configuration(look, things, zone.run),
        building.ConfigureZone(zone.zone, zone.run, configuration.first),
        *hold(look, snapshot),
        building.CloneZone(zone.zone, zone.home, zone.run, source, snapshot, limits.clone_limit),
    ]  # fmt: skip


def plan_setup(site: Site, zone: Disposable, configuration: common.Configuration) -> list[Step]:
    """From a mounted clone to a zone that is ready for work."""
    limits = site.config.host
    return [
        set_up(site, zone.zone, zone.run, zone.furniture, reset=True),
        *configuration.add(zone.zone),
        building.BootZone(zone.zone, zone.run, smf.MULTI_USER_SERVER, limits.boot_limit),
        *addresses.awaited(zone.zone, zone.furniture),
    ]


def set_up(site: Site, zone: str, run: str, things: furnish.Furniture, *, reset: bool) -> building.SetUp:
    """The step that gives a zone its accounts, rights, automounts, interface files and name."""
    return building.SetUp(
        zone, run, site.config.host.change_limit, reset, things.temporary_links, things.lasting_links, (),
        things.users, things.groups, things.elevated, things.mounted, tuple(map(str, things.autonfs)),
        things.caps.tmpfs or None,
    )  # fmt: skip


def _check_neighbours(look: Host, site: Site, image: survey.Managed, zone: Disposable) -> None:
    """What would lead the brand scripts astray (docs/illumos.md: Brand scripts)."""
    dataset, mountpoint = survey.containment(site.config, survey.DIZ)
    if dataset.pool != image.dataset.pool:
        raise UsageError(
            f"golden image {image.name} is in pool {image.dataset.pool}, disposable zones are to be in {dataset.pool}",
            hint="a clone stays in its pool; see diz.dataset in: zonemgr config show",
        )
    survey.one_owner(look, image.row.path, image.dataset)
    survey.one_owner(look, mountpoint, dataset)
    building.name_is_free(look, zone.zone)
    common.check_free(look, zone.zonepath, Dataset(zone.home))


def hold(look: Host, snapshot: str) -> Sequence[Step]:
    """A step that holds a golden snapshot (full name), if we do not hold it yet."""
    root, _, name = snapshot.rpartition("@")
    row = next((row for row in survey.snapshots_of(look, root) if row.snapshot.name == name), None)
    if row is None:
        return []
    # Somebody else's hold is no use: it goes when they like.
    held = row.userrefs and zfs.HOLD_TAG in zfs.holds(look, row.snapshot).get(snapshot, set())
    return [] if held else [building.HoldSnapshot(snapshot)]
