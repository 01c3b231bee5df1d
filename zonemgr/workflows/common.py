"""What golden images and disposable zones have in common: their homes, their marks, their configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from zonemgr import limits
from zonemgr.config import Config
from zonemgr.errors import AlreadyThere, UsageError, ZonemgrError
from zonemgr.host import system, zonechange, zonescript
from zonemgr.host.door import Host
from zonemgr.model import Attr, Dataset, Net, RunId, ZoneSettings
from zonemgr.workflows import building, naming, parts, survey
from zonemgr.workflows.furnish import Furniture
from zonemgr.workflows.job import Site
from zonemgr.workflows.steps import Step


def containment(host: Host, site: Site, kind: str, run: RunId) -> list[Step]:
    """Steps for the dataset that holds all zones of a kind, and for its missing ancestors."""
    dataset, mountpoint = survey.containment(site.config, kind)
    there = {row.name: row for row in survey.filesystems(host)}
    if dataset in there:
        _check_containment(there[dataset], mountpoint)
        return []
    if dataset.pool not in there:
        raise ZonemgrError(
            f"there is no pool {dataset.pool} for {kind}.dataset = {dataset}",
            hint="see: zpool list; zonemgr config show",
        )
    steps: list[Step] = []
    ancestor = dataset.parent
    while ancestor is not None and ancestor not in there:
        properties = {"mountpoint": _ancestor_path(ancestor, dataset, mountpoint)}
        steps.insert(0, building.MakeFilesystem(ancestor, _pairs(properties), run, shared=True))
        ancestor = ancestor.parent
    inherited = _path_below(steps, there, dataset)
    tuned = {
        # Where it would be mounted there anyway nothing is set: zfs destroy leaves the directory of a set one behind.
        **({} if inherited == mountpoint else {"mountpoint": mountpoint}),
        **tuning(site.config, kind),
    }
    return [*steps, building.MakeFilesystem(dataset, _pairs(tuned), run, shared=True)]


def tuning(config: Config, kind: str) -> dict[str, str]:
    """The properties by which the dataset of all zones of a kind, and so each of these, is tuned."""
    section = config.giz if kind == survey.GIZ else config.diz
    return {
        "compression": section.compression,
        "atime": config.zfs.atime,
        "dedup": config.zfs.dedup,
        "com.sun:auto-snapshot": str(config.zfs.auto_snapshot).lower(),
    }


def _path_below(steps: list[Step], there: Mapping[str, survey.FileSystem], dataset: Dataset) -> str:
    """Where a new dataset is mounted if nothing is said."""
    parent = str(dataset.parent)
    for step in steps:
        if isinstance(step, building.MakeFilesystem) and step.dataset == parent:
            return f"{dict(pair.split('=', 1) for pair in step.properties).get('mountpoint')}/{dataset.last}"
    return f"{there[parent].mountpoint}/{dataset.last}" if parent in there else ""


def _ancestor_path(ancestor: Dataset, dataset: Dataset, mountpoint: str) -> str:
    """Keep the shape of the configured mount point: rpool/zones at /zones for rpool/zones/giz at /zones/giz."""
    below = dataset.removeprefix(ancestor)
    return mountpoint.removesuffix(below) if mountpoint.endswith(below) and mountpoint != below else "none"


def _check_containment(row: survey.FileSystem, mountpoint: str) -> None:
    if row.mountpoint != mountpoint or not row.mounted:
        where = f"mounted on {row.mountpoint}" if row.mounted else "not mounted"
        raise ZonemgrError(
            f"{row.name} is {where}, but zones are to live in {mountpoint}",
            hint=f"zfs set mountpoint={mountpoint} {row.name}; zfs mount {row.name}; or change the settings",
        )


def check_free(host: Host, zonepath: str, dataset: Dataset) -> None:
    """A zonepath must be nobody's: no plain directory, no other dataset's mount point.

    See docs/illumos.md: Brand scripts.
    """
    survey.one_owner(host, zonepath, dataset)
    if zonepath not in {row.mountpoint for row in survey.filesystems(host)} and system.directory_exists(
        host, zonepath
    ):
        raise AlreadyThere(
            f"there is a directory {zonepath} already", hint="remove it, or choose another name (-z)"
        )


def home(
    site: Site, kind: str, name: str, run: RunId, *, origin: str, marks: Mapping[str, str] | None = None
) -> Step:
    """The step for a zonepath dataset: made by us, in one command, with everything a list needs to know.

    `marks`: further properties, such as the set of packages (imageset.marks).
    """
    dataset, zonepath = survey.home_of(site.config, kind, name)
    limits.check_new_zone(name, dataset, zonepath)
    all_marks = {
        "zonemgr:kind": kind,
        "zonemgr:origin": origin,
        "zonemgr:created": naming.stamp(),
        "zonemgr:owner": system.identity(site.host).name,
        **(marks or {}),
    }
    return building.MakeFilesystem(dataset, _pairs(all_marks), run)


@dataclass(frozen=True)
class Configuration:
    """The zonecfg commands that make a zone, and those that give it what it must not have while it is set up."""

    first: tuple[str, ...]
    resources: tuple[str, ...]

    def add(self, zone: str) -> list[Step]:
        """The step that adds the resources, if there are any."""
        return [building.AddResources(zone, self.resources)] if self.resources else []


def configuration(
    zonepath: str, kind: str, origin: str, run: RunId, *, brand: str, template: str = "",
    furniture: Furniture | None = None,
) -> Configuration:  # fmt: skip
    """How a zone is configured; its attrs are the truth about it.

    File systems, links and datasets come last, when the zone has been set up: zoneadmd mounts a zone's file systems
    below its maintenance root, too, so a script that resets a clone would write into directories of the host.
    """
    things = furniture or Furniture()
    attrs = {parts.KIND_ATTR: kind, parts.ORIGIN_ATTR: origin, parts.RUN_ATTR: run}
    if things.auto_vnics:
        attrs[parts.VNIC_ATTR] = " ".join(str(vnic) for vnic in things.auto_vnics)
    wanted = ZoneSettings(
        zonepath=zonepath,
        brand=brand,
        ip_type="exclusive",
        more=things.caps.globals,
        fs=things.fs,
        net=tuple(Net(link) for link in things.links),
        attr=tuple(Attr(name, value) for name, value in attrs.items()),
        dataset=things.datasets,
        other=things.caps.resources,
    )
    first = tuple(attr for attr in wanted.attr if attr.name != parts.VNIC_ATTR)
    bare = replace(wanted, fs=(), net=(), dataset=(), attr=first)
    create = f"create -t {template}" if template else "create -b"
    return Configuration(
        tuple(zonescript.script_for(bare, create=create)), tuple(zonechange.lines(bare, wanted))
    )


def no_breakers(text: str, what: str) -> None:
    """Refuse quotes and control characters in a value that ends up in a command or a configuration."""
    if not text or re.search(r"[\"'\x00-\x20\x7f]", text):
        raise UsageError(f"{text!r} is not a {what}", hint="no blanks, quotes or control characters")


def _pairs(properties: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in properties.items())
