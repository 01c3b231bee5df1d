"""Which datasets of the host may be delegated to a zone, or cloned for one, and where they appear in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zonemgr.errors import NotThere, ZonemgrError
from zonemgr.host import zfs, zoneadm, zonecfg
from zonemgr.host.door import Host
from zonemgr.model import Dataset, ZoneName
from zonemgr.workflows import survey

# On a zone's home: the datasets that were made to be delegated to it. Root in the zone can set any mark on what it was
# given, and read this run's; but not this, which it only sees. What is not named here was there before, and stays.
MADE = "zonemgr:made"
CLONES = "_clones"  # the dataset, in each pool, that holds the zones' clones of host datasets
# Directories that every zone has. They are not empty, so `zfs mount -a` in the zone would fail there, and with it
# svc:/system/filesystem/local; below some of them there is room.
TAKEN = (
    "bin", "boot", "dev", "devices", "etc", "home", "kernel", "lib", "net", "platform", "proc", "root", "sbin",
    "system", "tmp", "usr",
)  # fmt: skip
ROOMY = ("export", "export/home", "mnt", "opt", "var", "var/tmp")


def place_of(dataset: str) -> str:
    """Where a dataset that is made for a zone is mounted in it: by its name without the pool, if that can be."""
    _, _, below = dataset.partition("/")
    taken = below in ROOMY or below.partition("/")[0] in TAKEN
    return f"/{dataset}" if taken else f"/{below}"


def check_delegated(host: Host, dataset: str, homes: Sequence[str], *, own: str = "") -> None:
    """Raise when this dataset cannot be delegated to a zone.

    `homes`: the containment datasets, and last the home of the zone. `own`: the run that made the zone, if it exists:
    what was made for it and dropped can be given back, as long as it is there.
    """
    rows = {row.name: row for row in survey.filesystems(host)}
    _check_not_vital(dataset, rows, homes)
    if dataset in rows:
        _check_ready_made(host, dataset, own)
        return
    if zfs.exists(host, Dataset(dataset)):
        raise ZonemgrError(
            f"{dataset} is a volume, not a file system", hint="delegate the dataset above it, or another"
        )
    pool = dataset.partition("/")[0]
    if pool not in rows:
        raise NotThere(f"there is no dataset {pool} to make {dataset} in", hint="see: zpool list")
    for home in homes[:-1]:
        if home not in rows and f"{dataset}/".startswith(f"{home}/") and not homes[-1].startswith(f"{home}/"):
            raise NotThere(f"there is no dataset {home} to make {dataset} in", hint="make a zone in it first")
    above = next(parent for parent in parents(dataset) if parent in rows)
    if zfs.get(host, Dataset(above), "zoned").get("zoned") == "on":
        raise ZonemgrError(
            f"{above} is in the hands of a zone, so {dataset} cannot be made below it for another",
            hint="delegate a dataset beside it",
        )


def _check_ready_made(host: Host, dataset: str, own: str) -> None:
    """It is taken as it is; so a boot must be able to: an inherited mount point fails to verify.

    See docs/illumos.md: ZFS.
    """
    maker = survey.mark(host, Dataset(dataset))
    if maker and maker != own:
        raise ZonemgrError(
            f"{dataset} was made for another zone, by run {maker}, and goes with that",
            hint="delegate another one",
        )
    if not {"mountpoint"} & zfs.get_local(host, Dataset(dataset), "mountpoint").keys():
        where = zfs.get(host, Dataset(dataset), "mountpoint").get("mountpoint", "none")
        raise ZonemgrError(
            f"the mount point of {dataset} is inherited, and no zone boots with such a dataset",
            hint=f"zfs set mountpoint={where} {dataset}",
        )
    for zone, other in delegated(host):
        if f"{dataset}/".startswith(f"{other}/") or f"{other}/".startswith(f"{dataset}/"):
            raise ZonemgrError(
                f"{other} is delegated to zone {zone} already, and so {dataset} cannot be given to another",
                hint=f"see: zonecfg -z {zone} info dataset",
            )


def delegated(host: Host) -> list[tuple[str, str]]:
    """Zone and dataset for all that is delegated; one command for each zone of the host."""
    return [
        (row.name, dataset)
        for row in zoneadm.list_zones(host)
        if row.name != "global"
        for dataset in zonecfg.export(host, ZoneName(row.name)).dataset
    ]


def parents(dataset: str) -> list[str]:
    """What lies above a dataset, the nearest first."""
    found = []
    while "/" in dataset:
        dataset = dataset.rpartition("/")[0]
        found.append(dataset)
    return found


def _check_not_vital(dataset: str, rows: Mapping[str, survey.FileSystem], homes: Sequence[str]) -> None:
    """A zone may do as it likes with what is delegated to it: not with the host's root, nor with zones."""
    if "/" not in dataset:
        raise ZonemgrError(f"{dataset} is a whole pool", hint="delegate a dataset made for the purpose")
    what = _in_the_way(dataset, rows, homes)
    if what:
        raise ZonemgrError(
            f"{dataset} cannot be delegated because of {what}",
            hint="delegate a dataset made for the purpose",
        )


def _in_the_way(dataset: str, rows: Mapping[str, survey.FileSystem], homes: Sequence[str]) -> str:
    """In words, what this dataset is, holds or lies in that is not to be given away; or nothing."""
    vital = [row.name for row in rows.values() if row.mountpoint == "/"]
    zones = [row.name for row in rows.values() if row.marks.get("kind") or f"/{CLONES}" in row.name]
    for name in (*vital, *zones, *homes):
        inside = name in (*vital, *zones, homes[-1]) and f"{dataset}/".startswith(f"{name}/")
        if inside or f"{name}/".startswith(f"{dataset}/"):
            return "the host's own root" if name in vital else f"{name}, where zones live"
    return ""


def check_source(host: Host, source: str, snapshot: str, homes: Sequence[str]) -> None:
    """Raise when this dataset cannot be cloned for a zone, whatever the reason."""
    rows = {row.name: row for row in survey.filesystems(host)}
    kind = _type_of(host, source)
    if kind != "filesystem":
        raise ZonemgrError(
            f"{source} is a {kind}, not a file system, and cannot be cloned for a zone",
            hint="name a file system",
        )
    what = "its being a whole pool" if "/" not in source else _in_the_way(source, rows, homes)
    if what:
        raise ZonemgrError(
            f"{source} cannot be cloned for a zone because of {what}", hint="clone another dataset"
        )
    maker = survey.mark(host, Dataset(source))
    if maker:
        raise ZonemgrError(
            f"{source} was made for a zone, by run {maker}, and goes with that", hint="clone another dataset"
        )
    if snapshot and not zfs.exists(host, Dataset(source).at(snapshot)):
        raise NotThere(
            f"there is no snapshot {source}@{snapshot} to clone",
            hint=f"see: zfs list -r -t snapshot {source}",
        )
    if zfs.key_is_missing(host, Dataset(source)):
        raise ZonemgrError(
            f"{source} is encrypted and its key is not loaded, so a clone of it could not be read",
            hint=f"zfs load-key {source}",
        )


def _type_of(host: Host, source: str) -> str:
    rows = zfs.list_datasets(host, Dataset(source), properties=("type",), types="filesystem,volume")
    if not rows:
        raise NotThere(f"there is no dataset {source} to clone", hint="see: zfs list")
    return rows[0]["type"]
