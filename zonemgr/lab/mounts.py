"""The lab's mount and umount: what illumos' generic commands do for ZFS; other file system types are refused."""

from __future__ import annotations

import os
import time

from zonemgr.lab.call import Call
from zonemgr.lab.zfs import mnttab, mounting
from zonemgr.lab.zfs.job import Job
from zonemgr.lab.zfs.names import FS
from zonemgr.lab.zfs.store import changing, reconcile
from zonemgr.lab.zfs.text import Refused, Usage, flags, not_emulated, options

_MOUNT_USAGE = """Usage:
mount [-v | -p]
mount [-F FSType] [-V] [current_options] [-o specific_options]
\t{special | mount_point}
mount [-F FSType] [-V] [current_options] [-o specific_options]
\tspecial mount_point
mount -a [-F FSType ] [-V] [current_options] [-o specific_options]
\t[mount_point ...]
"""
_UMOUNT_USAGE = """Usage:
umount [-f] [-V] [-o specific_options] {special | mount-point}
umount -a [-f] [-V] [-o specific_options] [mount_point ...]
"""


def mount(call: Call) -> int:
    try:
        found, operands = options(call.argv[1:], "acf:F:gmno:pqrvVO")
    except Usage:
        call.err(_MOUNT_USAGE)
        return 1
    given = flags(found)
    if len(given & {"p", "v", "a"}) > 1:
        call.err("mount: -a, -p, and -v are mutually exclusive\n" + _MOUNT_USAGE)
        return 1
    if "a" in given:
        return call.fail("lab: mount -a is not emulated")
    if operands and given & {"p", "v"}:
        call.err("mount: Cannot use -p and -v with arguments\n" + _MOUNT_USAGE)
        return 1
    if not operands and not given - {"p", "v"}:
        reconcile(call.world)
        return _list(call, given) if call.zone is None else _list_zone(call, given)
    if not 1 <= len(operands) <= 2:
        call.err(_MOUNT_USAGE)
        return 1
    return _mount(call, dict(found), given, operands)


def _mount(call: Call, found: dict[str, str], given: set[str], operands: list[str]) -> int:
    if len(operands) < 2:
        return call.fail("lab: mount by /etc/vfstab is not emulated")
    kind = found.get("F", found.get("f", ""))
    if call.zone is not None and kind in ("nfs", ""):
        return _mount_nfs(call, found.get("o", ""), operands)
    if kind != "zfs":
        what = f"mount -F {kind}" if kind else "mount without -F zfs"
        return call.fail(f"lab: {what} is not emulated")
    refused = given & {"V", "m", "c", "g", "q", "n"}
    if refused:
        return call.fail(f"lab: mount -{min(refused)} is not emulated")
    opts = ",".join(part for part in ("ro" if "r" in given else "", found.get("o", "")) if part)
    if call.world.pool:
        from zonemgr.lab.openzfs import mountcmd

        return mountcmd.by_hand(call, operands, opts, overlay="O" in given)
    with changing(call.world) as store:
        job = Job(call, store)
        try:
            _manual_mount(job, operands, opts, overlay="O" in given)
        except Refused as reason:
            return job.report(reason)
    return 0


def _mount_nfs(call: Call, opts: str, operands: list[str]) -> int:
    """mount -F nfs host:/path /point, in a zone; texts and statuses are those of mount_nfs(8)."""
    from zonemgr.lab import autofs

    host, colon, path = operands[0].partition(":")
    if not colon or not path.startswith("/"):
        return call.fail("nfs mount: nfs file system; use [host:]path", 33)
    if not call.privileged:
        return call.fail("nfs mount: insufficient privileges", 33)
    point = os.path.normpath(os.path.join(call.cwd, operands[1]))
    new = autofs.Nfs(point, host, path, opts, automatic=False)
    reason = autofs.exported(call.world, new)
    if reason == "Unknown host":
        return call.fail(f"nfs mount: {host}: Unknown host", 32)
    if not autofs.point_of(call, point).is_dir():
        return call.fail(f"nfs mount: mount: {point}: No such file or directory", 33)
    if reason:
        return call.fail(f"nfs mount: {new.special}: {reason}", 33)
    reason = autofs.by_hand(call.world, call.zone or "", new)
    return call.fail(f"nfs mount: mount: {point}: {reason}", 33) if reason else 0


def _manual_mount(job: Job, operands: list[str], opts: str, *, overlay: bool) -> None:
    """A legacy mount. Like the kernel it does not mind a directory that is not empty, as zfs itself would."""
    dataset, path = operands
    full = os.path.normpath(os.path.join(job.call.cwd, path))
    if not mounting.place(job, full).exists():
        raise Refused(f"mount: {path}: No such file or directory")
    real = mounting.real_path(job, full)
    ds = job.open(dataset, FS)
    if job.cat.mountpoint(ds).text != "legacy":
        raise Refused(
            f"filesystem '{dataset}' cannot be mounted using 'mount -F zfs'\n"
            f"Use 'zfs set mountpoint={full if job.cat.view else real}' instead.\n"
            "If you must use 'mount -F zfs' or /etc/vfstab, use 'zfs set mountpoint=legacy'.\n"
            "See zfs(8) for more information."
        )
    if not job.allowed:
        raise Refused("mount failed: Not owner")
    if overlay and job.cat.mount_at(real) is not None:
        raise not_emulated("mounting over a mount point")
    if "remount" in opts.split(","):
        raise not_emulated("mount -o remount")
    reason = mounting.attach(job, ds, full, opts)
    if reason:
        raise Refused(f"mount failed: {reason}")


# -- what is mounted -----------------------------------------------------------------------------------------


def _list(call: Call, given: set[str]) -> int:
    for mounted in mnttab.entries(call.world):
        special, opts = mounted.dataset, list(mounted.options)
        if "p" in given:
            call.out(f"{special} - {mounted.path} zfs - no {','.join(opts)}\n")
            continue
        when = time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(mounted.at))
        if "v" in given:
            call.out(f"{special} on {mounted.path} type zfs {_flags(opts, 'read-only')} on {when}\n")
        else:
            call.out(f"{mounted.path} on {special} {_flags(opts, 'read only')} on {when}\n")
    return 0


def _list_zone(call: Call, given: set[str]) -> int:
    from zonemgr.lab import zonefs

    for each in zonefs.entries(call.world, call.zone or ""):
        when = time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(each.at))
        opts = each.options.split(",")
        if "p" in given:
            call.out(f"{each.special} - {each.point} {each.type} - no {each.options}\n")
        elif "v" in given:
            shown = _flags(opts, "read-only")
            call.out(f"{each.special} on {each.point} type {each.type} {shown} on {when}\n")
        else:
            call.out(f"{each.point} on {each.special} {_flags(opts, 'read only')} on {when}\n")
    return 0


def _flags(opts: list[str], readonly: str) -> str:
    known = {"ro", "rw", "setuid", "nosetuid", "devices", "nodevices"}
    first = [readonly if "ro" in opts else "read/write"]
    first += [
        "nosetuid" if "nosetuid" in opts else "setuid",
        "nodevices" if "nodevices" in opts else "devices",
    ]
    return "/".join(first + [option for option in opts if option not in known])


# -- umount --------------------------------------------------------------------------------------------------


def umount(call: Call) -> int:
    try:
        found, operands = options(call.argv[1:], "ao:Vf")
    except Usage:
        call.err(_UMOUNT_USAGE)
        return 1
    given = flags(found)
    if given & {"a", "V", "o"}:
        return call.fail(f"lab: umount -{min(given & {'a', 'V', 'o'})} is not emulated")
    if len(operands) != 1:
        call.err(_UMOUNT_USAGE)
        return 1
    if call.zone is not None:
        from zonemgr.lab import autofs

        what = operands[0] if ":" in operands[0] else os.path.normpath(os.path.join(call.cwd, operands[0]))
        reason = autofs.detach(call.world, call.zone, what) if call.privileged else None
        if reason is not None:
            return call.fail(f"nfs umount: {what}: {reason}") if reason else 0
    if call.world.pool:
        from zonemgr.lab.openzfs import mountcmd

        return mountcmd.unmount_by_hand(call, operands[0], force="f" in given)
    with changing(call.world) as store:
        job = Job(call, store)
        try:
            return _manual_unmount(job, operands[0], force="f" in given)
        except Refused as reason:
            return job.report(reason)


def _manual_unmount(job: Job, what: str, *, force: bool) -> int:
    """By mount point, or by the dataset mounted there."""
    path = os.path.join(job.call.cwd, what)
    mounted = job.cat.mount_at(mounting.real_path(job, path))
    if mounted is None:
        ds = job.cat.seen(what)
        mounted = None if ds is None else job.cat.mount(ds)
    if mounted is None:
        job.err(f"umount: warning: {what} not in mnttab")
        reason = "Invalid argument" if mounting.place(job, path).exists() else "No such file or directory"
        raise Refused(f"umount: {what}: {reason}")
    return 0 if mounting.unmount(job, job.cat.by_id(mounted.ds), force=force) else 1
