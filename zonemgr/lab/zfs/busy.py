"""Who uses a mounted file system: real processes, zones, the caller's own working directory."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from zonemgr.lab.world import World

if TYPE_CHECKING:
    from zonemgr.lab.zonestore import ZoneConfig

_DEEP = 100  # levels a path is followed upwards
_LOOKS, _MOMENT = 3, 0.005  # seconds
Id = tuple[int, int]


def in_use(world: World, path: str, cwd: str) -> bool:
    """Would illumos answer `Device busy` for this mount point? `cwd` is where the caller stands."""
    if _within(os.path.normpath(cwd), path) or zone_uses(world, path):
        return True
    top = world.host / path.lstrip("/")
    return process_uses(top) and _still(world, top)


# -- those who only measure --------------------------------------------------------------------------------


@contextlib.contextmanager
def measuring(world: World) -> Iterator[None]:
    """While files are counted: what ZFS has in its books the lab must look for, and has directories open meanwhile."""
    with _sizes(world, fcntl.LOCK_SH):
        yield


def _still(world: World, top: Path) -> bool:
    """Also when nobody measures, and a moment later? The lab reads files where illumos asks through a door."""
    with _sizes(world, fcntl.LOCK_EX):
        for _ in range(_LOOKS):
            time.sleep(_MOMENT)
            if not process_uses(top):
                return False
    return True


@contextlib.contextmanager
def _sizes(world: World, how: int) -> Iterator[None]:
    folder = world.dir / "locks"
    folder.mkdir(exist_ok=True)
    file = os.open(folder / "sizes", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(file, how)
        yield
    finally:
        os.close(file)


def _within(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


# -- zones -------------------------------------------------------------------------------------------------


def zone_root(world: World, path: str) -> bool:
    """Does an active zone have its root in this file system?"""
    return any(_within(str(root), path) for (root,) in world.db.execute("select root from kernel_zones"))


def zone_uses(world: World, path: str) -> bool:
    """Is it an active zone's root, or does one have a directory of it by lofs?"""
    return zone_root(world, path) or any(_within(special, path) for special in _lofs_sources(world))


def _lofs_sources(world: World) -> Iterator[str]:
    for config in _active_configs(world):
        for fs in config.fs:
            if fs.type == "lofs":
                yield os.path.normpath(fs.special)


def lofs_points(world: World, zone: str) -> list[str]:
    """Where a zone has file systems of the global zone by lofs."""
    from zonemgr.lab import zonestore

    return [os.path.normpath(fs.dir) for fs in zonestore.load(world, zone).fs]


def delegated(world: World, name: str) -> bool:
    """Has an active zone this dataset, or one above it, among its `dataset` resources?"""
    return any(
        name == given or name.startswith(given + "/")
        for config in _active_configs(world)
        for given in config.dataset
    )


def _active_configs(world: World) -> Iterator[ZoneConfig]:
    from zonemgr.lab import zonestore

    for (name,) in world.db.execute("select name from kernel_zones").fetchall():
        with contextlib.suppress(zonestore.StoreError):
            yield zonestore.load(world, name)


# -- processes ---------------------------------------------------------------------------------------------


def process_uses(top: Path) -> bool:
    """Has any process but this one its working directory, root or an open file below `top`?

    Compared by device and inode on the way up, never by path: a process may live in another mount
    namespace, where the same directory has another name.
    """
    try:
        about = top.stat()
    except OSError:
        return False
    target = (about.st_dev, about.st_ino)
    me = str(os.getpid())
    return any(_uses(f"/proc/{pid}", target) for pid in os.listdir("/proc") if pid.isdigit() and pid != me)


def _uses(process: str, target: Id) -> bool:
    if any(_leads_to(f"{process}/{link}", target) for link in ("cwd", "root")):
        return True
    try:
        open_files = os.listdir(f"{process}/fd")
    except OSError:  # gone meanwhile, or not ours to see
        return False
    return any(_file_in(process, number, target) for number in open_files)


def _leads_to(path: str, target: Id) -> bool:
    """Is `target` this directory or one above it?"""
    below: Id | None = None
    for _ in range(_DEEP):
        try:
            about = os.stat(path)
        except OSError:
            return False
        here = (about.st_dev, about.st_ino)
        if here == target:
            return True
        if here == below:  # the root is its own parent
            return False
        below, path = here, path + "/.."
    return False


def _file_in(process: str, number: str, target: Id) -> bool:
    link = f"{process}/fd/{number}"
    try:
        about = os.stat(link)
        if about.st_dev != target[0]:
            return False
        if stat.S_ISDIR(about.st_mode):
            return _leads_to(link, target)
        name = os.readlink(link)
    except OSError:
        return False
    # A file knows no way up, but its name as the process sees it does, seen through the process' own root.
    return name.startswith("/") and _leads_to(f"{process}/root{os.path.dirname(name)}", target)
