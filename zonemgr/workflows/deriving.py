"""Making a golden image from another: clone its served snapshot, apply the difference, boot once, serve it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from zonemgr import locks, records
from zonemgr.errors import CommandError, UsageError
from zonemgr.host import smf
from zonemgr.host.door import Host
from zonemgr.model import Dataset, RunId, SnapshotName, ZoneName
from zonemgr.workflows import (
    building,
    common,
    disposable,
    furnish,
    golden,
    imageset,
    layers,
    naming,
    packages,
    privilege,
    survey,
)
from zonemgr.workflows.imageset import ImageSet
from zonemgr.workflows.job import Job, Site, glimpse, job
from zonemgr.workflows.steps import Step


@dataclass(frozen=True)
class Layer:
    """A golden image to be made from another, as planned."""

    zone: str
    home: Dataset
    zonepath: str
    run: RunId
    origin: str
    snapshot: str  # of the origin; empty: the served one
    contents: ImageSet
    change: packages.Change
    furniture: furnish.Furniture

    @property
    def ready(self) -> str:
        return naming.initial("postinstalled", self.zone)


def create(site: Site, request: golden.GoldenRequest, *, plan: layers.Plan | None = None) -> golden.Golden:
    """Clone a golden image into a new one with the request's changes; a failure leaves nothing.

    `plan`: by which the request was made, without locks. Then the name may have got its image meanwhile, which is the
    answer, and layers.Moved is raised when the origin holds something else by now.
    """
    run = records.new_run_id()
    layer = prepare(glimpse(site), site, request, run, plan)
    patience = site.config.state.image_wait if plan else None
    if plan is None:
        building.name_is_free(glimpse(site), layer.zone)
    with job(site, [layer.zone], run, images=[layer.zone], wait=patience) as work:
        if plan is None or survey.find(glimpse(site), layer.zone) is None:
            _make(work, request, plan, layer)
    return golden.Golden(layer.zone, layer.ready, run)


def attempt(site: Site, zone: str, start: layers.Start, wanted: ImageSet, wishes: furnish.Wishes) -> bool:
    """Make an image from the nearest one; False when pkg would not take something out of it.

    What is to go may be a dependency of what stays: then it is no removal that is needed, but another start.
    """
    way = start.way
    request = golden.GoldenRequest(
        zone=zone, origin=start.image, packages=way.add, remove_packages=way.remove,
        publishers=way.add_publishers, wishes=wishes,
    )  # fmt: skip
    try:
        create(site, request, plan=layers.Plan(start.contents, wanted))
    except CommandError as refused:
        if not (way.remove and "pkg" in refused.argv[:1]):
            raise
        site.report.note(f"{start.image} is no start for {zone}: {refused}; it is made from nothing instead")
        return False
    return True


def prepare(
    look: Host, site: Site, request: golden.GoldenRequest, run: RunId, plan: layers.Plan | None = None
) -> Layer:
    """Everything that can be refused without changing the host."""
    if request.snapshot:
        SnapshotName(request.snapshot)
    image = survey.managed(look, ZoneName(request.origin), survey.GIZ)
    base = layers.contents_of(look, image, request.snapshot)
    layers.same_brand(look, site, base.brand, request.brand, request.template)
    change = packages.parse(
        request.packages, request.remove_packages, request.publishers, request.remove_publishers
    )
    if plan and base != plan.base:
        raise layers.Moved(f"golden image {request.origin} has changed meanwhile", hint="try again")
    contents = plan.wanted if plan else _contents(look, base, request)
    name = str(ZoneName(request.zone or contents.name))
    home, zonepath = survey.home_of(site.config, survey.GIZ, name)
    things = golden.furniture(look, site, request.wishes, name, run)
    packages.check_linked(look, name, base.brand, change)
    privilege.require(look, "zone", "zfs", "packages", *(["network"] if things.links else []))
    golden.served_snapshot(look, image, request.snapshot)
    return Layer(
        name, home, zonepath, run, request.origin, request.snapshot, contents, change, things
    )  # fmt: skip


def _contents(look: Host, base: ImageSet, request: golden.GoldenRequest) -> ImageSet:
    own = imageset.own(look) if request.publishers or request.remove_publishers else ()
    return layers.changed(
        base, packages=request.packages, remove_packages=request.remove_packages, publishers=request.publishers,
        remove_publishers=request.remove_publishers, extras=layers.extras(request.wishes), own=own,
    )  # fmt: skip


def _make(work: Job, request: golden.GoldenRequest, plan: layers.Plan | None, planned: Layer) -> None:
    site = work.site
    with contextlib.ExitStack() as stack:
        if not site.host.dry_run:  # the origin must stay as it is until the clone stands
            lock = locks.image_lock(site.config, planned.origin, planned.run, waiting=site.report.note)
            stack.enter_context(lock)
        look = glimpse(site)
        layer = prepare(look, site, request, planned.run, plan)
        if layer.zone != planned.zone:  # it was to be named by its contents
            raise layers.Moved(f"golden image {layer.origin} has changed meanwhile", hint="try again")
        configuration = configured(look, layer)
        work.do(*plan_clone(look, site, layer, configuration), look=look)
    work.do(*plan_contents(site, layer, configuration))


def configured(look: Host, layer: Layer) -> common.Configuration:
    image = survey.managed(look, layer.origin, survey.GIZ)
    return common.configuration(
        layer.zonepath, survey.GIZ, _origin(look, layer, image), layer.run, brand=image.row.brand,
        furniture=layer.furniture,
    )  # fmt: skip


def _origin(look: Host, layer: Layer, image: survey.Managed) -> str:
    snapshot = golden.served_snapshot(look, image, layer.snapshot)
    return f"giz:{layer.origin}@{snapshot.rpartition('@')[2]}"


def plan_clone(look: Host, site: Site, layer: Layer, configuration: common.Configuration) -> list[Step]:
    """From nothing to a clone of the origin that is mounted for maintenance."""
    image = survey.managed(look, layer.origin, survey.GIZ)
    snapshot = golden.served_snapshot(look, image, layer.snapshot)
    origin = _origin(look, layer, image)
    marks = golden.marks(layer.contents, layer.furniture)
    _check_neighbours(look, site, image, layer)
    return [
        *common.containment(look, site, survey.GIZ, layer.run),
        common.home(site, survey.GIZ, layer.zone, layer.run, origin=origin, marks=marks),
        *golden.before_configuration(look, layer.furniture, layer.run),
        building.ConfigureZone(layer.zone, layer.run, configuration.first),
        *disposable.hold(look, snapshot),
        building.CloneZone(
            layer.zone, layer.home, layer.run, layer.origin, snapshot, site.config.host.clone_limit
        ),
    ]  # fmt: skip


def plan_contents(site: Site, layer: Layer, configuration: common.Configuration) -> list[Step]:
    """From a mounted clone to a golden image of its own, served last."""
    limits, zone = site.config.host, layer.zone
    return [
        disposable.set_up(site, zone, layer.run, furnish.Furniture(), reset=True),
        *packages.on_root(zone, layer.home, layer.zonepath, layer.change, limits.install_limit),
        building.TakeSnapshot(zone, layer.home, naming.initial("installed", zone), layer.run),
        building.BootZone(zone, layer.run, smf.SINGLE_USER, limits.boot_limit, single_user=True),
        building.HaltZone(zone),
        *golden.set_up(site, zone, layer.run, layer.furniture),
        *configuration.add(zone),
        building.TakeSnapshot(zone, layer.home, naming.initial("manifest_import_booted", zone), layer.run),
        building.TakeSnapshot(zone, layer.home, layer.ready, layer.run),
        building.PublishImage(zone, layer.home, layer.ready),
    ]


def _check_neighbours(look: Host, site: Site, image: survey.Managed, layer: Layer) -> None:
    """What would lead the brand scripts astray (docs/illumos.md: Brand scripts)."""
    dataset, mountpoint = survey.containment(site.config, survey.GIZ)
    if dataset.pool != image.dataset.pool:
        raise UsageError(
            f"golden image {image.name} is in pool {image.dataset.pool}, new ones are to be in {dataset.pool}",
            hint="a clone stays in its pool; see giz.dataset in: zonemgr config show",
        )
    survey.one_owner(look, image.row.path, image.dataset)
    survey.one_owner(look, mountpoint, dataset)
    building.name_is_free(look, layer.zone)
    common.check_free(look, layer.zonepath, layer.home)
