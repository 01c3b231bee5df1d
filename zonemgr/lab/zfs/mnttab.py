"""What is mounted and how large it is, for the lab's other commands, whether ZFS is emulated or the machine's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zonemgr.lab.world import World
from zonemgr.lab.zfs import mounting
from zonemgr.lab.zfs.catalogue import Catalogue, Mount


@dataclass(frozen=True)
class Entry:
    """A mounted file system."""

    dataset: str
    path: str  # as the global zone names it
    options: tuple[str, ...]  # as in illumos' /etc/mnttab
    at: int  # when, in seconds since the epoch


def entries(world: World) -> list[Entry]:
    """All, in the order of mounting."""
    if world.pool:
        return list(_of_the_machine(world))
    cat = Catalogue(world)
    cat.bulk_mounts()
    return [_entry(cat, each) for each in cat.mounts()]


def holding(world: World, path: str) -> Entry | None:
    """The file system a path of the global zone lies in."""
    if world.pool:
        holders = [each for each in entries(world) if f"{path}/".startswith(each.path.rstrip("/") + "/")]
        return max(holders, key=lambda each: len(each.path), default=None)
    cat = Catalogue(world)
    found = cat.mount_holding(path)
    return None if found is None else _entry(cat, found)


def _entry(cat: Catalogue, mounted: Mount) -> Entry:
    ds = cat.by_id(mounted.ds)
    return Entry(ds.name, mounted.path, tuple(_options(cat, mounted)), int(mounted.at))


def _of_the_machine(world: World) -> Iterator[Entry]:
    """Linux does not remember when something was mounted: the host's boot stands for it."""
    from zonemgr.lab.openzfs import mounts

    at = int(float(world.get("host.booted", "0")))
    for each in mounts.mounted(world):
        yield Entry(each.dataset, each.path, tuple(each.illumos_options()), at)


def _options(cat: Catalogue, mounted: Mount) -> list[str]:
    """As the kernel writes them into /etc/mnttab: every one that can be on or off."""
    ds = cat.by_id(mounted.ds)

    def option(name: str, yes: str, no: str) -> str:
        return yes if mounting.temporary(cat, ds, name).text == "on" else no

    return [
        option("readonly", "ro", "rw"),
        option("devices", "devices", "nodevices"),
        option("setuid", "setuid", "nosetuid"),
        option("nbmand", "nbmand", "nonbmand"),
        option("exec", "exec", "noexec"),
        option("xattr", "xattr", "noxattr"),
        option("atime", "atime", "noatime"),
    ]


def sizes(world: World, dataset: str) -> tuple[int, int]:
    """Bytes a file system refers to, and bytes that are free for it."""
    if world.pool:
        from zonemgr.lab.openzfs.machine import Machine

        machine = Machine(world)
        row = machine.rows("list", "-H", "-p", "-o", "referenced,available", machine.real(dataset))[0]
        return int(row[0]), int(row[1])
    from zonemgr.lab.zfs.space import Space

    cat = Catalogue(world)
    ds, space = cat.get(dataset), Space(cat)
    return (0, 0) if ds is None else (space.refer(ds), space.available(ds))


def children(world: World, dataset: str) -> list[str]:
    """The file systems and volumes right below one."""
    if world.pool:
        from zonemgr.lab.openzfs.kept import Table
        from zonemgr.lab.openzfs.machine import Machine

        names = Table(Machine(world)).types
        return [name for name in names if name.rpartition("/")[0] == dataset]
    cat = Catalogue(world)
    top = cat.get(dataset)
    return [] if top is None else [each.name for each in cat.children(top)]


def content(world: World, dataset: str) -> Path | None:
    """Where a file system's files are on this machine; None where there is no such one, or it is out of reach."""
    if world.pool:
        from zonemgr.lab.openzfs import mounts

        mounted = mounts.of(world, dataset)
        return None if mounted is None else world.host / mounted.path.lstrip("/")
    from zonemgr.lab.zfs.store import Store

    cat = Catalogue(world)
    ds = cat.get(dataset)
    return None if ds is None else mounting.content(cat, Store(world), ds)[0]
