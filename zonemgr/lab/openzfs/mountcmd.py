"""zfs mount and unmount, mount -F zfs and umount, on the machine's ZFS."""

from __future__ import annotations

import os

from zonemgr.lab.call import Call
from zonemgr.lab.openzfs import mounts
from zonemgr.lab.openzfs.job import ChangeList, Job
from zonemgr.lab.openzfs.mounts import Mounted
from zonemgr.lab.zfs.text import Refused, Usage, flags, not_emulated, options

# -- zfs mount, zfs unmount --------------------------------------------------------------------------------------


def mount(job: Job, args: list[str]) -> int:
    found, operands = options(args, "alvo:O", missing="missing argument for '{}' option")
    given = flags(found)
    opts = ",".join(text for letter, text in found if letter == "o")
    if "a" in given:
        if operands:
            raise Usage("too many arguments")
        return mount_all(job, opts, overlay="O" in given)
    if not operands:
        for each in _seen(job):
            job.out(f"{each.dataset:<30}  {job.shown(each)}")
        return 0
    if len(operands) > 1:
        raise Usage("too many arguments")
    return _mount_one(job, operands[0], opts, overlay="O" in given)


def _seen(job: Job) -> list[Mounted]:
    listed = mounts.mounted(job.world)
    if job.view is None:
        return listed
    return [each for each in listed if job.view.visible(each.dataset) and job.view.within(each.path)]


def mount_all(job: Job, opts: str = "", *, overlay: bool = False) -> int:
    """By mount point, so that what holds a mount point comes before what is mounted there."""
    table, status = job.table, 0
    there = {each.dataset for each in mounts.mounted(job.world)}
    todo = [
        name
        for name in table.types
        if name not in there
        and (job.view is None or job.view.writable(name))
        and table.mountable(name, in_zone=job.view is not None)
        and table.text(name, "canmount") == "on"
    ]
    for name in sorted(todo, key=lambda each: table.text(each, "mountpoint")):
        status |= 0 if job.mount(name, opts, overlay=overlay) else 1
    return status


def _mount_one(job: Job, name: str, opts: str, *, overlay: bool) -> int:
    doing = f"cannot mount '{name}'"
    _exists(job, name)
    zoned = job.table.zoned(name)
    if job.view is not None and not zoned:
        raise Refused(f"{doing}: permission denied")
    if job.view is None and zoned:
        raise Refused(f"{doing}: dataset is exported to a local zone")
    mountpoint = job.table.text(name, "mountpoint")
    if mountpoint == "legacy":
        raise Refused(f"{doing}: legacy mountpoint\nuse mount(8) to mount this filesystem")
    if mountpoint == "none":
        raise Refused(f"{doing}: no mountpoint set")
    if job.table.text(name, "canmount") == "off":
        raise Refused(f"{doing}: 'canmount' property is set to 'off'")
    if "remount" in opts.split(","):
        raise not_emulated("mount -o remount")
    if mounts.of(job.world, name) is not None:
        raise Refused(f"{doing}: filesystem already mounted")
    return 0 if job.mount(name, opts, overlay=overlay) else 1


def _exists(job: Job, name: str) -> None:
    job.named(name)
    kind = job.table.types.get(name)
    if kind is None:
        raise Refused(f"cannot open '{name}': dataset does not exist")
    if kind != "filesystem":
        raise Refused(f"cannot open '{name}': operation not applicable to datasets of this type")


def unmount(job: Job, args: list[str]) -> int:
    found, operands = options(args, "af")
    force = "f" in flags(found)
    if "a" in flags(found):
        if operands:
            raise Usage("too many arguments")
        return _unmount_all(job, force=force)
    if len(operands) != 1:
        raise Usage("too many arguments" if operands else "missing filesystem argument")
    name = operands[0]
    if name.startswith("/"):
        name = _at_path(job, name).dataset
    _exists(job, name)
    doing = f"cannot unmount '{name}'"
    if job.table.text(name, "mountpoint") == "legacy":
        raise Refused(f"{doing}: legacy mountpoint\nuse umount(8) to unmount this filesystem")
    if mounts.of(job.world, name) is None:
        raise Refused(f"{doing}: not currently mounted")
    return 0 if ChangeList(job, [name, *job.table.follow(name)], force=force).prefix() else 1


def _unmount_all(job: Job, *, force: bool) -> int:
    """All that `zfs mount -a` would mount again, deepest first."""
    status = 0
    for each in sorted(_seen(job), key=lambda one: one.path, reverse=True):
        legacy = job.table.text(each.dataset, "mountpoint") == "legacy"
        if not legacy and job.table.text(each.dataset, "canmount") != "noauto":
            status |= 0 if job.unmount(each.dataset, force=force) else 1
    return status


def _at_path(job: Job, path: str) -> Mounted:
    doing = f"cannot unmount '{path}'"
    full = os.path.join(job.call.cwd, path)
    if not job.place(full).exists():
        raise Refused(f"{doing}: No such file or directory")
    mounted = mounts.at(job.world, job.real_path(full))
    if mounted is None:
        raise Refused(f"{doing}: not a mountpoint")
    return mounted


# -- mount(8), umount(8) -----------------------------------------------------------------------------------------


def by_hand(call: Call, operands: list[str], opts: str, *, overlay: bool) -> int:
    """mount -F zfs DATASET PATH."""
    job = Job(call)
    try:
        _by_hand(job, operands[0], operands[1], opts, overlay=overlay)
    except Refused as reason:
        return job.report(reason)
    return 0


def _by_hand(job: Job, dataset: str, path: str, opts: str, *, overlay: bool) -> None:
    """A legacy mount, which minds no directory that is not empty."""
    call = job.call
    full = os.path.normpath(os.path.join(call.cwd, path))
    if not job.place(full).exists():
        raise Refused(f"mount: {path}: No such file or directory")
    _exists(job, dataset)
    if job.table.text(dataset, "mountpoint") != "legacy":
        raise Refused(
            f"filesystem '{dataset}' cannot be mounted using 'mount -F zfs'\n"
            f"Use 'zfs set mountpoint={full if job.view else job.real_path(full)}' instead.\n"
            "If you must use 'mount -F zfs' or /etc/vfstab, use 'zfs set mountpoint=legacy'.\n"
            "See zfs(8) for more information."
        )
    if not call.privileged:
        raise Refused("mount failed: Not owner")
    if "remount" in opts.split(",") or (overlay and mounts.at(job.world, job.real_path(full))):
        raise not_emulated("mount -o remount" if "remount" in opts else "mounting over a mount point")
    reason = job.attach(dataset, full, opts)
    if reason:
        raise Refused(f"mount failed: {reason}")


def unmount_by_hand(call: Call, what: str, *, force: bool) -> int:
    """umount, by mount point or by the dataset mounted there."""
    job = Job(call)
    try:
        mounted = _to_unmount(job, what)
    except Refused as refusal:
        return job.report(refusal)
    reason = job.detach(mounted, force=force)
    if reason:
        job.err(f"cannot unmount '{job.shown(mounted)}': {reason}")
    return 1 if reason else 0


def _to_unmount(job: Job, what: str) -> Mounted:
    path = os.path.join(job.call.cwd, what)
    mounted = mounts.at(job.world, job.real_path(path))
    if mounted is None and (job.view is None or job.view.visible(what)):
        mounted = mounts.of(job.world, what)
    if mounted is None:
        job.err(f"umount: warning: {what} not in mnttab")
        reason = "Invalid argument" if job.place(path).exists() else "No such file or directory"
        raise Refused(f"umount: {what}: {reason}")
    return mounted
