"""Upgrading one golden image: update, boot once, prove it in a disposable zone, and only then serve it.

The packages are updated from outside (`pkg -R` on the mounted root of the halted zone). A golden image has no network
of its own to do it from inside, and from outside pkg always changes the active root in place and never makes another
one (pkg5's api.py: without a live root there is no new boot environment), so that one snapshot is the whole way back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from zonemgr import locks, records
from zonemgr.errors import CommandTimeout, NotThere, ZonemgrError
from zonemgr.host import pkg, pkgplan, smf, system, zlogin
from zonemgr.host.door import Host
from zonemgr.host.pkgplan import PackageChange
from zonemgr.model import RunId, ZoneName, ZoneState
from zonemgr.workflows import (
    building,
    disposable,
    furnish,
    golden,
    imageset,
    naming,
    packages,
    release,
    surplus,
    survey,
    teardown,
)
from zonemgr.workflows.job import Job, Site, glimpse, job, recover_zone
from zonemgr.workflows.steps import Step
from zonemgr.workflows.survey import Managed

UPGRADED, UNCHANGED, FAILED, SKIPPED, DUE = "upgraded", "unchanged", "failed", "skipped", "due"
_TAIL = 2000  # bytes of the canary's last words


@dataclass(frozen=True)
class Terms:
    """What holds for every image of one call. `keep`: how many upgrade snapshots of each; limits in seconds."""

    canary: str = "true"
    canary_limit: float = 0
    keep: int = 3


@dataclass(frozen=True)
class Result:
    """How it went with one image. `snapshot`: what is served from now on; `parent`: the image it is derived from."""

    image: str
    outcome: str
    seconds: float = 0
    parent: str = ""
    snapshot: str = ""
    changes: tuple[PackageChange, ...] = ()
    dropped: tuple[str, ...] = ()
    message: str = ""
    hint: str = ""
    notes: tuple[str, ...] = ()
    run: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Result:
        """The same again, after its way through JSON."""
        changes = tuple(PackageChange(**one) for one in plain["changes"])
        lists = {name: tuple(plain[name]) for name in ("dropped", "notes")}
        return cls(**{**plain, **lists, "changes": changes})


def upgrade(site: Site, name: str, terms: Terms, *, parent: str = "") -> Result:
    """Upgrade one image, or leave it just as it was; whatever goes wrong with it is in the result.

    Only an interrupt is raised: it ends the whole call, once everything begun here was undone.
    """
    begun = time.monotonic()
    try:
        found = _upgrade(site, name, terms)
    except Exception as failure:  # noqa: BLE001 - the other images go on, and the report says it
        found = failed(name, failure)
    return replace(found, parent=parent, seconds=round(time.monotonic() - begun, 1))


def failed(name: str, failure: Exception) -> Result:
    told = isinstance(failure, ZonemgrError)
    message = str(failure) if told else f"this should not happen: {type(failure).__name__}: {failure}"
    return Result(
        name,
        FAILED,
        message=message,
        hint=getattr(failure, "hint", None) or "",
        notes=tuple(getattr(failure, "__notes__", ())),
        run=getattr(failure, "run", ""),
    )


def _upgrade(site: Site, name: str, terms: Terms) -> Result:
    run = records.new_run_id()
    unfit = _unfit(glimpse(site), name)
    if unfit:
        return Result(name, SKIPPED, message=unfit[0], hint=unfit[1])
    changes, silent = _pending(site, name, run)
    if not changes:
        message = "no updates, as far as is known" if silent else ""
        return Result(name, UNCHANGED, message=message, notes=(*silent, *_older(site, name)))
    release.refuse_plan(site.host, name, changes)
    if site.host.dry_run:
        return Result(name, DUE, changes=changes)
    try:
        done = _carry_out(site, name, terms, run, changes)
        return replace(done, notes=(*silent, *done.notes))
    except Exception as failure:
        failure.run = run  # type: ignore[attr-defined]  # the record has the commands and what they said
        raise


# -- is there anything to do? ----------------------------------------------------------------------------------


def _unfit(look: Host, name: str) -> tuple[str, str] | None:
    """Why an image is passed over, and what to do about it; nothing for one that can be upgraded."""
    image = survey.managed(look, name, survey.GIZ)
    if image.row.brand not in golden.IPS_BRANDS:
        return f"brand {image.row.brand} has no packages that pkg could update", "update it by its own means"
    if not image.marks.get("current"):
        return (
            "it is half-made: no snapshot of it is served",
            f"see: zonemgr runs; or: zonemgr destroy {name}",
        )
    return None


Pending = tuple[tuple[PackageChange, ...], tuple[str, ...]]  # and the repositories that did not answer


def _pending(site: Site, name: str, run: RunId) -> Pending:
    """Fetch the image's catalogues and ask for the plan; nothing else of the image is changed.

    A publisher none of whose repositories answers makes the image fail: otherwise a repository that is gone would
    pass for "no updates" night after night. Where another repository of the publisher has answered, the one that did
    not is only told of.

    Clones may be made meanwhile, so the image's own lock is only taken to clear up after a dead run.
    """
    if site.host.dry_run:
        site.report.note(
            f"what is due for {name} is judged by its catalogues as they are, without the refresh"
        )
        return _plan_of(site, _ready(glimpse(site), name)), ()
    note, patience = site.report.note, site.config.state.image_wait
    with locks.zone_lock(site.config, name, run, wait=patience, waiting=note):
        with locks.image_lock(site.config, name, run, waiting=note):
            recover_zone(site, name)
        image = _ready(glimpse(site), name)
        if _root_is_mounted(site, image):
            silent = _refreshed(site, image)
            return _plan_of(site, image), silent
    _mount_root(site, image)
    return _pending(site, name, run)


def _refreshed(site: Site, image: Managed) -> tuple[str, ...]:
    """Fetch the catalogues; returns what did not answer."""
    site.report.note(f"look for updates of {image.name}")
    where = packages.image_of(site.host, image.name, image.dataset, image.row.path)
    done = pkg.refresh(site.host, where, limit=site.config.host.install_limit)
    return tuple(map(str, done.silent))


def _packages_of(site: Site, image: Managed) -> pkg.Image:
    return packages.image_of(site.host, image.name, image.dataset, image.row.path)


def _older(site: Site, name: str) -> tuple[str, ...]:
    """What is to be said of an image whose release the host has left behind."""
    image = survey.managed(glimpse(site), name, survey.GIZ)
    if site.host.dry_run or not _root_is_mounted(site, image):
        return ()
    told = release.older(site.host, name, _packages_of(site, image))
    return (told,) if told else ()


def _plan_of(site: Site, image: Managed) -> tuple[PackageChange, ...]:
    where = packages.image_of(site.host, image.name, image.dataset, image.row.path)
    return tuple(pkgplan.update(site.host, where.root, limit=site.config.host.install_limit))


def _ready(look: Host, name: str) -> Managed:
    """The image, if it is served and halted; raises ZonemgrError otherwise."""
    image = survey.managed(look, name, survey.GIZ)
    if image.row.state is not ZoneState.INSTALLED:
        hint = f"zonemgr halt {name}" if image.row.state.active else f"see: zonemgr get-state {name}"
        raise ZonemgrError(f"golden image {name} is {image.row.state}, so it was not upgraded", hint=hint)
    current = image.marks.get("current", "")
    root = survey.root_of(look, image.dataset, name)
    if current not in {str(row.snapshot.name) for row in survey.snapshots_of(look, root.name)}:
        raise NotThere(
            f"golden image {name} is to serve {current or 'nothing'}, which its root does not have",
            hint=f"see: zonemgr list-snapshots {name}; serve what is left: zonemgr rollback {name}",
        )
    return image


def _root_is_mounted(site: Site, image: Managed) -> bool:
    return f"{image.row.path}/root" in system.zfs_mounts(site.host)


def _mount_root(site: Site, image: Managed) -> None:
    """After a reboot of the host a root may not be mounted; a job of its own, as it can be cut short."""
    with job(site, [image.name], records.new_run_id(), wait=site.config.state.image_wait) as work:
        work.do(packages.MountRoot(image.name, image.dataset, image.row.path))
    if not _root_is_mounted(site, image):
        raise ZonemgrError(
            f"the root of golden image {image.name} does not get mounted",
            hint=f"see: zonemgr mount {image.name}; zonemgr unmount {image.name}",
        )


# -- the upgrade -----------------------------------------------------------------------------------------------


_HINT = "the image serves what it served before; try the command yourself with: zonemgr exec-diz"


class CanaryFailed(ZonemgrError):
    """The upgraded image does not do what it is for."""

    verdict = "failed"


class _Canary:
    """What the canary says, on its way into the record of the run, and the end of it for a message."""

    def __init__(self, work: Job) -> None:
        self._record = work.record
        self._tail = b""

    def on_stdout(self, chunk: bytes) -> None:
        if self._record is not None:
            self._record.stdout(chunk)
        self._tail = (self._tail + chunk)[-_TAIL:]

    def on_stderr(self, chunk: bytes) -> None:
        if self._record is not None:
            self._record.stderr(chunk)
        self._tail = (self._tail + chunk)[-_TAIL:]

    def __str__(self) -> str:
        lines = [line.strip() for line in self._tail.decode(errors="replace").splitlines() if line.strip()]
        return f": {lines[-1][-300:]}" if lines else ""


def _carry_out(site: Site, name: str, terms: Terms, run: RunId, changes: tuple[PackageChange, ...]) -> Result:
    canary, patience = naming.disposable(name, run), site.config.state.image_wait
    with job(site, [name, canary], run, images=[name], wait=patience) as work:
        look = glimpse(site)
        image = _ready(look, name)
        current, upgraded = image.marks["current"], _free_name(look, image, surplus.AFTER)
        if work.record is not None:  # the report names a few
            work.record.stdout("".join(f"{change}\n" for change in changes).encode())
        work.do(*_plan(look, site, image, run), look=look)
        if not site.host.dry_run:
            release.refuse_newer(site.host, name, _packages_of(site, image))
        work.do(*_versions(site, image), building.TakeSnapshot(name, image.dataset, upgraded, run))
        _prove_in_clone(work, image, canary, upgraded, terms)
        going = surplus.planned(glimpse(site), image, upgraded, terms.keep)
        work.do(going, building.PublishImage(name, image.dataset, upgraded, current))
        work.keep_only([step for step in work.begun if step is not going])
        trouble = surplus.finish(work, going)
    made = Result(name, UPGRADED, snapshot=upgraded, changes=changes, run=run, notes=_older(site, name))
    return replace(made, notes=(*made.notes, trouble)) if trouble else replace(made, dropped=going.names)


def _plan(look: Host, site: Site, image: Managed, run: RunId) -> list[Step]:
    """From an image with old packages to one with new packages and their manifests imported, halted."""
    limits, name, home = site.config.host, image.name, image.dataset
    before = _free_name(look, image, surplus.BEFORE)
    return [
        building.TakeSnapshot(name, home, before, run, hold=False),
        packages.return_to(look, image, before),
        *packages.update(name, home, image.row.path, limits.install_limit),
        packages.BootForManifests(name, image.run, smf.SINGLE_USER, limits.boot_limit, single_user=True),
        building.HaltZone(name),
    ]


def _versions(site: Site, image: Managed) -> list[Step]:
    """Who asks for the old version of a package is not to be given this image any more."""
    known = imageset.read(site.host).get(image.dataset)
    if known is None or not any("@" in one for one in known.packages):
        return []
    where = packages.image_of(site.host, image.name, image.dataset, image.row.path)
    wanted = imageset.as_installed(known, pkg.contents(site.host, where))
    return [] if wanted == known else [packages.follow(site.host, image.dataset, wanted)]


def _prove_in_clone(work: Job, image: Managed, canary: str, upgraded: str, terms: Terms) -> None:
    """A zone cloned from the very snapshot, the command in it, and the zone gone again whatever came of it.

    When it fails the steps of the clone are undone with all others, before the snapshot it was made from.
    """
    home, zonepath = survey.home_of(work.site.config, survey.DIZ, canary)
    zone = disposable.Disposable(
        canary, f"{image.name}@{upgraded}", home, zonepath, work.run, furnish.Furniture(), image_locked=True
    )
    disposable.bring_up(work, zone)
    _run_canary(work, canary, terms)
    work.do(teardown.TakeDown(canary, home, work.run))


def _run_canary(work: Job, zone: str, terms: Terms) -> None:
    """Run the command in the clone; raises CanaryFailed. No step: what it did goes with the zone."""
    command = terms.canary or "true"
    work.report.note(f"run the canary in {zone}: {command}")
    said = _Canary(work)
    try:
        ended = zlogin.run(
            work.site.host, ZoneName(zone), command, on_stdout=said.on_stdout, on_stderr=said.on_stderr,
            limit=terms.canary_limit or None,
        )  # fmt: skip
    except CommandTimeout:
        words = f"the canary did not end within {terms.canary_limit:g} seconds{said}"
        raise CanaryFailed(words, hint=_HINT) from None
    if ended.status is None:
        raise CanaryFailed(f"nothing is known of the canary: {ended.trouble}", hint=_HINT)
    if ended.status:
        how = f"was killed by signal {ended.signal}" if ended.signal else f"exited with {ended.status}"
        raise CanaryFailed(f"the canary {how}{said}", hint=_HINT)


def _free_name(look: Host, image: Managed, prefix: str) -> str:
    """With the time of day, and a number behind it if this second has one already."""
    taken = {str(row.snapshot.name) for row in survey.snapshots(look, f"{image.dataset}/ROOT")}
    name = wanted = f"{prefix}{naming.stamp()}"
    number = 1
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name
