"""The lab's mount and umount: what illumos' generic commands do for ZFS; other file system types are refused."""

from __future__ import annotations

import os
import time

from zonemgr.lab.call import Call
from zonemgr.lab.zfs import mountcmd, mounting
from zonemgr.lab.zfs.catalogue import Catalogue, Mount
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
        return _list(call, given)
    if not 1 <= len(operands) <= 2:
        call.err(_MOUNT_USAGE)
        return 1
    return _mount(call, dict(found), given, operands)


def _mount(call: Call, found: dict[str, str], given: set[str], operands: list[str]) -> int:
    if len(operands) < 2:
        return call.fail("lab: mount by /etc/vfstab is not emulated")
    kind = found.get("F", found.get("f", ""))
    if kind != "zfs":
        what = f"mount -F {kind}" if kind else "mount without -F zfs"
        return call.fail(f"lab: {what} is not emulated")
    refused = given & {"V", "m", "c", "g", "q", "n"}
    if refused:
        return call.fail(f"lab: mount -{min(refused)} is not emulated")
    opts = ",".join(part for part in ("ro" if "r" in given else "", found.get("o", "")) if part)
    with changing(call.world) as store:
        job = Job(call, store)
        try:
            _manual_mount(job, operands, opts, overlay="O" in given)
        except Refused as reason:
            return job.report(reason)
    return 0


def _manual_mount(job: Job, operands: list[str], opts: str, *, overlay: bool) -> None:
    """A legacy mount. Like the kernel it does not mind a directory that is not empty, as zfs itself would."""
    dataset, path = operands
    where = mounting.place(job, os.path.join(job.call.cwd, path))
    if not where.exists():
        raise Refused(f"mount: {path}: No such file or directory")
    real = "/" + str(where.relative_to(job.world.host))
    ds = job.open(dataset, FS)
    if job.cat.mountpoint(ds).text != "legacy":
        raise Refused(
            f"filesystem '{dataset}' cannot be mounted using 'mount -F zfs'\n"
            f"Use 'zfs set mountpoint={real}' instead.\n"
            "If you must use 'mount -F zfs' or /etc/vfstab, use 'zfs set mountpoint=legacy'.\n"
            "See zfs(8) for more information."
        )
    if not job.allowed:
        raise Refused("mount failed: Not owner")
    if overlay and job.cat.mount_at(real) is not None:
        raise not_emulated("mounting over a mount point")
    if "remount" in opts.split(","):
        raise not_emulated("mount -o remount")
    reason = mounting.attach(job, ds, real, opts)
    if reason:
        raise Refused(f"mount failed: {reason}")


# -- what is mounted -----------------------------------------------------------------------------------------


def _mnttab_options(cat: Catalogue, mounted: Mount) -> list[str]:
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


def _list(call: Call, given: set[str]) -> int:
    cat = Catalogue(call.world)
    cat.bulk_mounts()
    for mounted in cat.mounts():
        special, opts = cat.by_id(mounted.ds).name, _mnttab_options(cat, mounted)
        if "p" in given:
            call.out(f"{special} - {mounted.path} zfs - no {','.join(opts)}\n")
            continue
        when = time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(int(mounted.at)))
        if "v" in given:
            call.out(f"{special} on {mounted.path} type zfs {_flags(opts, 'read-only')} on {when}\n")
        else:
            call.out(f"{mounted.path} on {special} {_flags(opts, 'read only')} on {when}\n")
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
    with changing(call.world) as store:
        job = Job(call, store)
        try:
            return _manual_unmount(job, operands[0], force="f" in given)
        except Refused as reason:
            return job.report(reason)


def _manual_unmount(job: Job, what: str, *, force: bool) -> int:
    """By mount point, or by the dataset mounted there."""
    mounted = None
    path = os.path.join(job.call.cwd, what)
    if mounting.place(job, path).is_dir():
        real = "/" + str(mounting.place(job, path).relative_to(job.world.host)).removeprefix(".")
        mounted = job.cat.mount_at(real)
    if mounted is None:
        ds = job.cat.get(what)
        mounted = None if ds is None else job.cat.mount(ds)
    if mounted is None:
        job.err(f"umount: warning: {what} not in mnttab")
        reason = "Invalid argument" if mounting.place(job, path).exists() else "No such file or directory"
        raise Refused(f"umount: {what}: {reason}")
    return mountcmd.unmount_path(job, mounted.path, force=force, manual=True)
