"""The file systems of a running zone: those it mounts itself when it boots, and its /etc/mnttab.

What svc:/system/filesystem/local and svc:/system/filesystem/autofs do at a boot happens here when somebody next looks
(zlogin, or a question from inside), as all that services do in the lab: nothing runs in between.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, replace
from pathlib import Path

from zonemgr.lab.call import Call
from zonemgr.lab.world import World

LOCAL = "svc:/system/filesystem/local:default"
DONE = "zonefs"  # fact, by zone: the boot whose local file systems were mounted
DATASET_FS = "zfs"
ONLINE = ("online", "degraded")


@dataclass(frozen=True)
class Entry:
    """A line of a zone's /etc/mnttab."""

    special: str
    point: str
    type: str
    options: str
    at: int

    def line(self) -> str:
        return f"{self.special}\t{self.point}\t{self.type}\t{self.options}\t{self.at}\n"


# -- at boot -----------------------------------------------------------------------------------------------


def settle(world: World, zone: str) -> None:
    """Let a running zone's own mounts happen as far as its services have come."""
    row = world.db.execute(
        "select state, root, booted, boot_args from kernel_zones where name = ?", (zone,)
    ).fetchone()
    if row is None or row["state"] != "running":
        return
    from zonemgr.lab import autofs, zonestore
    from zonemgr.lab.smf import repository

    config = zonestore.load(world, zone)
    boot = repr(row["booted"])
    if config.dataset and world.get(f"{DONE}.{zone}") != boot and _is_up(world, zone, LOCAL):
        world.put(f"{DONE}.{zone}", boot)
        _mount_local(world, zone, tuple(config.dataset), str(row["root"]))
    root = world.path(row["root"])
    if repository.load(root) is not None:
        autofs.settle(world, zone, root)


def _is_up(world: World, zone: str, fmri: str) -> bool:
    from zonemgr.lab import place, smf
    from zonemgr.lab.smf import repository

    where = place.of_zone(world, zone)
    if where is None:
        return False
    if repository.load(where.root) is None:  # a root made by hand, without services
        return fmri == LOCAL
    return smf.state(where, fmri) in ONLINE


def _mount_local(world: World, zone: str, datasets: tuple[str, ...], root: str) -> None:
    """`zfs mount -a`; when that fails so does the service, and all that waits for it."""
    out = io.BytesIO()
    call = Call(world, ["zfs", "mount", "-a"], stdout=out, stderr=out, zone=zone)
    call.root, call.given = world.path(root), datasets
    from zonemgr.lab.zfs import zfs

    status = zfs(call)
    if status:
        _failed(world, zone, out.getvalue().decode("utf-8", "replace"), status)


def _failed(world: World, zone: str, said: str, status: int) -> None:
    from zonemgr.lab import place
    from zonemgr.lab.smf import reach, repository

    where = place.of_zone(world, zone)
    if where is None or repository.load(where.root) is None:
        return
    with reach.changing(where) as machine:
        reach.put_into_maintenance(machine.repository, LOCAL, "method_failed", where.now)
    log = where.root / "var/svc/log/system-filesystem-local:default.log"
    text = f"{said}WARNING: /sbin/zfs mount -a failed: exit status {status}\n"
    place.write(where.root, str(log.relative_to(where.root)), text)


def undo_boot(world: World, zone: str) -> None:
    """The zone goes down: the next boot begins anew."""
    world.db.execute("delete from facts where key in (?, ?)", (f"{DONE}.{zone}", f"autofs.{zone}"))


# -- what is mounted ---------------------------------------------------------------------------------------

VIRTUAL = (
    ("/dev", "/dev", "dev", "zonedevfs"),
    ("proc", "/proc", "proc", "nodevices"),
    ("ctfs", "/system/contract", "ctfs", "nodevices"),
    ("mnttab", "/etc/mnttab", "mntfs", "nodevices"),
    ("objfs", "/system/object", "objfs", "nodevices"),
    ("swap", "/etc/svc/volatile", "tmpfs", "nodevices,xattr"),
    ("fd", "/dev/fd", "fd", "rw,nodevices"),
    ("swap", "/tmp", "tmpfs", "nodevices,xattr"),
    ("swap", "/var/run", "tmpfs", "nodevices,xattr"),
)


def entries(world: World, zone: str) -> list[Entry]:
    """What a zone's mnttab has, in the order of mounting, its root first."""
    from zonemgr.lab import autofs, zonestore
    from zonemgr.lab.zfs import mnttab

    row = world.db.execute("select root, booted from kernel_zones where name = ?", (zone,)).fetchone()
    if row is None:
        return []
    root, at = str(row["root"]), int(row["booted"] or world.now())
    holder = mnttab.holding(world, root)
    special = holder.dataset if holder is not None else root
    options = ",".join(holder.options) if holder is not None else "rw"
    found = [Entry(special, "/", DATASET_FS, options, at)]
    found += [Entry(what, point, kind, how, at) for what, point, kind, how in VIRTUAL]
    for fs in zonestore.load(world, zone).fs:
        if fs.type != DATASET_FS:  # those come with the other file systems of ZFS
            found.append(Entry(fs.special, fs.dir, fs.type, ",".join(fs.options) or "rw", at))
    for mounted in mnttab.entries(world):
        if mounted.path.startswith(root + "/"):
            how = ",".join(mounted.options)
            found.append(Entry(mounted.dataset, mounted.path.removeprefix(root), DATASET_FS, how, mounted.at))
    return found + [replace(each, at=at) for each in autofs.entries(world, zone)]


def mnttab_file(lab: Path, zone: str) -> Path:
    """The file shown as the zone's /etc/mnttab; it is written in place, for a bind mount follows the file."""
    return lab / "cells/.mnttab" / zone


def write_mnttab(world: World, zone: str) -> Path:
    path = mnttab_file(world.dir, zone)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(each.line() for each in entries(world, zone))
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with os.fdopen(handle, "r+") as file:
        if file.read() != text:
            file.seek(0)
            file.write(text)
            file.truncate()
    return path
