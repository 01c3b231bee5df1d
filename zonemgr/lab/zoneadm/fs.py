"""The fs resources of a zone: checked at verify, mount points made and checked when it becomes ready.

The mounting itself is the cell's. A path in the zone is walked one component at a time, and a symbolic link on it
is refused: a build may have planted it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from zonemgr.lab.zoneadm.request import Request
from zonemgr.lab.zonestore import Fs, ZoneConfig

FORBIDDEN = ("proc", "mntfs", "autofs")
KNOWN = (
    "lofs",
    "zfs",
    "tmpfs",
    "ufs",
    "hsfs",
    "pcfs",
    "udfs",
    "smbfs",
    "dev",
    "fd",
    "ctfs",
    "objfs",
    "sharefs",
)
WITH_FSCK = ("ufs", "pcfs", "udfs")  # those with an fsck: need a raw device, unless special is a file

Complain = Callable[[str], None]


def verify(request: Request, config: ZoneConfig) -> bool:
    """Look whether the file systems can be mounted; only what is found of the last one counts.

    verify_filesystems (zoneadm.c) keeps one return code and overwrites it for each file system whose type is known.
    """
    good = True
    for fs in config.fs:
        trouble = _trouble(request, fs)
        if trouble:
            request.plain(trouble)
        good = not trouble
    return good


def _trouble(request: Request, fs: Fs) -> str:
    if fs.type in FORBIDDEN or fs.type.startswith("nfs"):
        return f"cannot verify fs {fs.dir}: type {fs.type} is not allowed."
    if fs.type not in KNOWN:
        return f"could not verify fs {fs.dir}: could not access /usr/lib/fs/{fs.type}/mount: {_ABSENT}"
    if fs.raw and fs.type not in WITH_FSCK:
        return (
            f"cannot verify fs {fs.dir}: 'raw' device specified but no fsck executable exists for {fs.type}"
        )
    special = request.world.path(fs.special)
    if not fs.raw and fs.type in WITH_FSCK and not special.is_file():
        return f"could not verify fs {fs.dir}: must specify 'raw' device for {fs.type} file systems"
    return _special(request, fs)


_ABSENT = "No such file or directory"


def _special(request: Request, fs: Fs) -> str:
    if fs.type == "zfs":
        return _legacy(request, fs)
    try:
        os.stat(request.world.path(fs.special))
    except OSError as trouble:
        return f"could not verify fs {fs.dir}: could not access {fs.special}: {trouble.strerror}"
    if fs.raw and not request.world.path(fs.raw).exists():
        return f"could not verify fs {fs.dir}: could not access {fs.raw}: {_ABSENT}"
    return ""


def _legacy(request: Request, fs: Fs) -> str:
    asked = request.call.run("zfs", "get", "-H", "-o", "value", "type,mountpoint", fs.special)
    if asked.exit_code:
        return f"could not verify fs {fs.dir}: could not access zfs dataset '{fs.special}'"
    kind, mountpoint = asked.stdout.split("\n")[:2]
    if kind != "filesystem":
        return f"cannot verify fs {fs.dir}: '{fs.special}' is not a file system"
    if mountpoint != "legacy":
        return f"could not verify fs {fs.dir}: zfs '{fs.special}' mountpoint is not \"legacy\""
    return ""


# -- at ready ----------------------------------------------------------------------------------------------


def make_points(
    request: Request, config: ZoneConfig, root: str, complain: Complain, *, scratch: bool = False
) -> bool:
    """Make the mount points below the zone's root; False when one of them must not be used.

    `scratch`: for a maintenance root, where they are mounted below /a, and zfs file systems are left out.
    """
    for fs in sorted(config.fs, key=lambda each: each.dir):
        if scratch and fs.type == "zfs":
            continue
        if fs.type not in ("lofs", "zfs"):
            complain(f"lab: mounting a {fs.type} file system in a zone is not emulated")
            return False
        if not _point(request, root, fs, complain):
            return False
        if fs.type == "zfs" and not _mount(request, root, fs, complain):
            return False
    return True


def _mount(request: Request, root: str, fs: Fs, complain: Complain) -> bool:
    """zoneadmd runs the type's own mount program; a lofs mount is left to the cell."""
    options = ["-o", ",".join(fs.options)] if fs.options else []
    done = request.call.run("mount", "-F", "zfs", *options, fs.special, f"{root}{fs.dir}")
    if done.exit_code:
        complain(done.stderr.strip().splitlines()[-1])
    return done.exit_code == 0


def _point(request: Request, root: str, fs: Fs, complain: Complain) -> bool:
    found = _walk(request, root, fs.dir, complain)
    if found == "bad":
        complain(f"{root}{fs.dir} is not a valid mount point")
        return False
    place = request.world.path(root) / fs.dir.lstrip("/")
    if found == "absent":
        try:
            place.mkdir(parents=True, mode=0o755)
        except OSError as trouble:
            complain(f"mkdirp of {root}{fs.dir} failed: {trouble.strerror}")
            complain("failed to create mount point")
            return False
    return fs.type == "zfs" or _same_kind(request, fs, root, complain)


def _walk(request: Request, root: str, directory: str, complain: Complain) -> str:
    """ok, absent or bad; every component but the last must be a directory, none a symbolic link."""
    if os.path.normpath(directory) != directory:
        complain(f"{root}{directory} is not a canonical path")
        return "bad"
    place, shown = request.world.path(root), root
    parts = directory.strip("/").split("/")
    for number, part in enumerate(["", *parts]):
        if part:
            place, shown = place / part, f"{shown}/{part}"
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            return "absent"
        if stat.S_ISLNK(mode):
            complain(f"{shown} is a symlink")
            return "bad"
        if number < len(parts) and not stat.S_ISDIR(mode):
            complain(f"{shown} is not a directory")
            return "bad"
    return "ok"


def _same_kind(request: Request, fs: Fs, root: str, complain: Complain) -> bool:
    """lofs puts a directory on a directory and a file on a file."""
    special, point = request.world.path(fs.special), request.world.path(root) / fs.dir.lstrip("/")
    if not special.exists():
        complain(f"'{fs.special}' -> '{root}{fs.dir}': No such file or directory")
        return False
    if special.is_dir() != point.is_dir():
        complain(f"cannot mount {fs.special} on {root}{fs.dir}: Not a directory")
        return False
    return True
