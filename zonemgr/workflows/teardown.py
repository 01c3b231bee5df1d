"""Destroying a zone: one step that goes through to the end, also when it is taken up again after a crash."""

from __future__ import annotations

from dataclasses import dataclass

from zonemgr import records
from zonemgr.errors import NotOurs, ZonemgrError
from zonemgr.host import system, zonecfg
from zonemgr.host.door import Host
from zonemgr.model import Dataset, ZoneName, ZoneRow, ZoneState
from zonemgr.workflows import (
    extent,
    furnish,
    keeping,
    parts,
    pending,
    privilege,
    removing,
    steps,
    storage,
    survey,
)
from zonemgr.workflows.job import Job, Site, glimpse, job
from zonemgr.workflows.steps import Remembering, Step


@dataclass(frozen=True)
class DropConfiguration(Step):
    """Delete the configuration of a zone that has nothing else; zonecfg does it whole or not at all."""

    zone: str

    def __str__(self) -> str:
        return f"delete the configuration of {self.zone}"

    def do(self, host: Host) -> None:
        zonecfg.delete(host, ZoneName(self.zone))

    def prove(self, host: Host) -> None:
        if survey.find(host, self.zone) is not None:
            raise ZonemgrError(
                f"zone {self.zone} is still configured", hint=f"see: zoneadm -z {self.zone} list -v"
            )


@dataclass(frozen=True)
class TakeDown(Step):
    """Stop, uninstall, delete, remove VNICs and made datasets, prove it gone.

    There is no way back from the middle, so undoing it is finishing it.
    """

    zone: str
    home: str
    run: str  # of the run that made the zone: what bears it goes with the zone
    vnics: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()  # delegated datasets made for the zone that are to stay

    def __str__(self) -> str:
        return f"take down {self.zone}"

    def do(self, host: Host) -> None:
        if not self._still_ours(host):
            raise NotOurs(
                f"zone {self.zone} is another one now", hint=f"see: zonecfg -z {self.zone} info attr"
            )
        home = Dataset(self.home)
        state = parts.stop(host, self.zone)
        if state in (ZoneState.INSTALLED, ZoneState.INCOMPLETE):
            parts.uninstall(host, self.zone, home)
        if state is not None:
            zonecfg.delete(host, ZoneName(self.zone))
        for name in parts.remove_vnics(host, self.vnics):
            steps.warn(f"VNIC {name} of zone {self.zone} stays busy; it is left for: zonemgr gc --yes")
        keeping.keep(host, self.zone, self.kept, self.run)
        storage.remove_made(host, self.zone, self.datasets, self.run)

    def prove(self, host: Host) -> None:
        look = Remembering(host)
        if survey.below(survey.filesystems(look), self.home):
            parts.remove_remains(host, Dataset(self.home), self.run)
            look = Remembering(host)
        parts.gone(look, self.zone, Dataset(self.home))

    def undo(self, host: Host) -> None:
        if not self._still_ours(host) or survey.disposables_of(host, Dataset(self.home)):
            return  # the name has a new owner; or the image was cloned from since, so nothing was taken down yet
        self.do(host)
        self.prove(host)

    def _still_ours(self, host: Host) -> bool:
        """Is the zone gone, or the one this step was made for?"""
        if survey.find(host, self.zone) is None:
            return True
        return (zonecfg.export(host, ZoneName(self.zone)).attribute(parts.RUN_ATTR) or "") == self.run


def destroy(site: Site, name: str, *, keep_datasets: bool = False) -> tuple[str, ...]:
    """Destroy a managed zone. A golden image whose clones live is refused.

    `keep_datasets`: the delegated datasets made for it stay, as they do for any disposable zone if diz.keep_datasets is
    set. Returns the names of those that stay.
    """
    zone = ZoneName(name)
    look = glimpse(site)
    privilege.require(look, "zone", "zfs")
    if _only_configured(look, site, survey.zone(look, zone)):
        with job(site, [zone], records.new_run_id(), supersede=True) as work:
            if _only_configured(site.host, site, survey.zone(site.host, zone)):
                work.do(DropConfiguration(zone))
        return ()
    kind = _managed_or_half_made(look, site, zone).kind
    images = [zone] if kind == survey.GIZ else []
    keep = keep_datasets or (kind == survey.DIZ and site.config.diz.keep_datasets)
    with job(site, [zone], records.new_run_id(), images=images, supersede=True) as work:
        look = glimpse(site)
        if survey.find(look, zone) is None:
            return ()  # clearing up after a dead run has removed it
        step = step_for(look, site, zone, keep_datasets=keep)
        work.do(step, look=look)
    return step.kept


def _only_configured(look: Host, site: Site, row: ZoneRow) -> bool:
    """A configuration where zonemgr keeps its zones, without its attrs, and nothing on disk: made by hand, or by the
    predecessor. There is nothing to lose but the configuration.
    """
    kept = [survey.containment(site.config, kind)[1] for kind in (survey.GIZ, survey.DIZ)]
    if row.state is not ZoneState.CONFIGURED or row.path.rpartition("/")[0] not in kept:
        return False
    attrs = [attr.name for attr in zonecfg.export(look, ZoneName(row.name)).attr]
    if any(name.startswith("zonemgr.") for name in attrs):
        return False
    homes = [survey.home_of(site.config, kind, row.name)[0] for kind in (survey.GIZ, survey.DIZ)]
    there = any(fs.name in homes or fs.mountpoint == row.path for fs in survey.filesystems(look))
    return not there and not system.path_exists(look, row.path)


def step_for(look: Host, site: Site, name: str, *, keep_datasets: bool = False) -> TakeDown:
    """The take-down of an existing zone, after everything that forbids it was looked for."""
    zone = _managed_or_half_made(look, site, name)
    settings = zonecfg.export(look, ZoneName(name))
    if settings.attribute(parts.KIND_ATTR) != zone.kind:
        raise NotOurs(
            f"zone {name} does not bear the mark of zonemgr, only its dataset does",
            hint=f"see: zonecfg -z {name} info attr; zfs get zonemgr:kind {zone.dataset}",
        )
    foreign = parts.foreign_things(look, zone.dataset)
    if foreign:
        raise NotOurs(
            f"{foreign[0]} lies in the home of zone {name}, was not made by zonemgr, and would go with it",
            hint="move it away or destroy it yourself, then try again",
        )
    run = settings.attribute(parts.RUN_ATTR) or ""
    _refuse_golden_in_use(look, zone)
    survey.one_owner(look, zone.row.path, zone.dataset)
    given = [one for one in extent.delegations(look, settings) if one in settings.dataset]
    kept = removing.ours(look, given, run) if keep_datasets else []
    going = [one for one in given if one not in kept]
    storage.check_removable(look, name, going, run)
    made = furnish.recall_vnics(settings.attribute(parts.VNIC_ATTR) or "")
    waiting = pending.of(look, zone.dataset)
    vnics = (*(vnic.name for vnic in made), *waiting.vnics)
    return TakeDown(name, zone.dataset, run, vnics, (*going, *waiting.delegated), tuple(kept))


def _managed_or_half_made(look: Host, site: Site, name: str) -> survey.Managed:
    """A zone whose dataset is gone, or never got there, is still known by its attrs, which are the truth."""
    try:
        return survey.managed(look, name)
    except NotOurs:
        settings = zonecfg.export(look, ZoneName(name))
        kind = settings.attribute(parts.KIND_ATTR)
        if kind not in (survey.GIZ, survey.DIZ):
            raise
        dataset, _ = survey.home_of(site.config, kind, name)
        return survey.Managed(survey.zone(look, name), kind, dataset, {})


def _refuse_golden_in_use(look: Host, zone: survey.Managed) -> None:
    clones = survey.disposables_of(look, zone.dataset)
    if not clones:
        return
    by_home = {one.dataset: one.name for one in survey.managed_zones(look)}
    names = sorted({by_home.get(Dataset(clone.partition("/ROOT")[0]), clone) for clone in clones})
    raise ZonemgrError(
        f"golden image {zone.name} has clones: {', '.join(names)}",
        hint=f"destroy them first: zonemgr destroy {names[0]}",
    )


def discard(work: Job, step: TakeDown) -> None:
    """Take down a zone that this very run made; its own steps then have nothing left to undo.

    The command has run to its end, and what it said is the answer: a zone that stays is only warned of.
    """
    try:
        work.do(step)
    except ZonemgrError as failed:
        work.report.warn(
            f"zone {step.zone} could not be taken down: {failed}; try again with: zonemgr recover"
        )
        work.unsettled = True
    work.begun.clear()
