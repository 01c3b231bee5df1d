"""zfs mount and unmount."""

from __future__ import annotations

import os

from zonemgr.lab.zfs import mounting
from zonemgr.lab.zfs.catalogue import Ds, Mount
from zonemgr.lab.zfs.job import Job
from zonemgr.lab.zfs.mounting import ChangeList, place, real_path
from zonemgr.lab.zfs.names import FS
from zonemgr.lab.zfs.text import Refused, Usage, flags, not_emulated, options

# -- mount -------------------------------------------------------------------------------------------------


def mount(job: Job, args: list[str]) -> int:
    found, operands = options(args, "alvo:O", missing="missing argument for '{}' option")
    given = flags(found)
    opts = [value for letter, value in found if letter == "o"]
    if "" in opts:
        raise Usage("empty mount options (-o) specified")
    if "a" in given:
        if operands:
            raise Usage("too many arguments")
        return _mount_all(job, ",".join(opts), overlay="O" in given)
    if not operands:
        if opts:
            raise Usage("missing filesystem argument (specify -a for all)")
        return _show_mounts(job)
    if len(operands) > 1:
        raise Usage("too many arguments")
    return mount_one(job, job.open(operands[0], FS), ",".join(opts), overlay="O" in given)


def _show_mounts(job: Job) -> int:
    for mounted in job.cat.mounts():
        job.out(f"{job.cat.by_id(mounted.ds).name:<30}  {job.cat.shown(mounted)}")
    return 0


def _mount_all(job: Job, opts: str, *, overlay: bool) -> int:
    """By mount point, so that what holds a mount point comes before what is mounted there."""
    cat, status = job.cat, 0
    cat.under(None)
    todo = [
        ds
        for pool in cat.pools()
        for ds in cat.under(pool)
        if cat.sees(ds.name) and (cat.view is None or cat.on(ds, "zoned"))
        if mounting.mountable(cat, ds) and cat.native(ds, "canmount").text == "on" and cat.mount(ds) is None
    ]
    for ds in sorted(todo, key=lambda each: cat.mountpoint(each).text):
        status |= 0 if mounting.mount(job, ds, opts, overlay=overlay) else 1
    return status


def mount_one(job: Job, ds: Ds, opts: str, *, overlay: bool) -> int:
    doing = f"cannot mount '{ds.name}'"
    zoned = job.cat.on(ds, "zoned")
    if job.cat.view is not None and not zoned:
        raise Refused(f"{doing}: permission denied")
    if job.cat.view is None and zoned:
        raise Refused(f"{doing}: dataset is exported to a local zone")
    mountpoint = job.cat.mountpoint(ds).text
    if mountpoint == "legacy":
        raise Refused(f"{doing}: legacy mountpoint\nuse mount(8) to mount this filesystem")
    if mountpoint == "none":
        raise Refused(f"{doing}: no mountpoint set")
    if job.cat.native(ds, "canmount").text == "off":
        raise Refused(f"{doing}: 'canmount' property is set to 'off'")
    if "remount" in opts.split(","):
        raise not_emulated("mount -o remount")
    if job.cat.mount(ds) is not None:
        raise Refused(f"{doing}: filesystem already mounted")
    return 0 if mounting.mount(job, ds, opts, overlay=overlay) else 1


# -- unmount -----------------------------------------------------------------------------------------------


def unmount(job: Job, args: list[str]) -> int:
    found, operands = options(args, "af")
    force = "f" in flags(found)
    if "a" in flags(found):
        if operands:
            raise Usage("too many arguments")
        return _unmount_all(job, force)
    if not operands:
        raise Usage("missing filesystem argument")
    if len(operands) > 1:
        raise Usage("too many arguments")
    if operands[0].startswith("/"):
        return _unmount_path(job, operands[0], force=force)
    return _unmount_named(job, job.open(operands[0], FS), force)


def _unmount_named(job: Job, ds: Ds, force: bool) -> int:
    doing = f"cannot unmount '{ds.name}'"
    if job.cat.mountpoint(ds).text == "legacy":
        raise Refused(f"{doing}: legacy mountpoint\nuse umount(8) to unmount this filesystem")
    if job.cat.mount(ds) is None:
        raise Refused(f"{doing}: not currently mounted")
    return 0 if ChangeList(job, ds, "mountpoint", force=force).prefix() else 1


def _unmount_all(job: Job, force: bool) -> int:
    """All that `zfs mount -a` would mount again, deepest first."""
    status = 0
    for mounted in sorted(job.cat.mounts(), key=lambda each: each.path, reverse=True):
        ds = job.cat.by_id(mounted.ds)
        legacy = job.cat.mountpoint(ds).text == "legacy"
        if not legacy and job.cat.native(ds, "canmount").text != "noauto":
            status |= 0 if mounting.unmount(job, ds, force=force) else 1
    return status


def _unmount_path(job: Job, path: str, *, force: bool) -> int:
    """By mount point."""
    doing = f"cannot unmount '{path}'"
    mounted = _at_path(job, path, doing)
    ds = job.cat.by_id(mounted.ds)
    if job.cat.mountpoint(ds).text == "legacy":
        raise Refused(
            f"cannot unmount '{ds.name}': legacy mountpoint\nuse umount(8) to unmount this filesystem"
        )
    return 0 if ChangeList(job, ds, "mountpoint", force=force).prefix() else 1


def _at_path(job: Job, path: str, doing: str) -> Mount:
    full = os.path.join(job.call.cwd, path)
    if not place(job, full).exists():
        raise Refused(f"{doing}: No such file or directory")
    mounted = job.cat.mount_at(real_path(job, full))
    if mounted is None:
        raise Refused(f"{doing}: not a mountpoint")
    return mounted
