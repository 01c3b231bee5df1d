"""The zonepath as a file system of its own: made at install, moved, and cleaned away."""

from __future__ import annotations

import posixpath

from zonemgr.lab.brands.common import mounts
from zonemgr.lab.brands.files import remove_tree
from zonemgr.lab.call import Call
from zonemgr.lab.zoneadm.request import Request

STANDARD = ("dev", "lu", "root", "SUNWattached.xml")


def mounted_dataset(call: Call, directory: str) -> str:
    """The ZFS file system mounted on exactly this directory, empty when there is none."""
    found = [special for special, point in mounts(call) if point == directory]
    return found[-1] if found else ""


def file_system(request: Request, path: str) -> str:
    """The dataset a path lies in, by the mount points above it; empty when it is none of a pool's."""
    points = {point: special for special, point in mounts(request.call)}
    while path not in points and path not in ("", "/"):
        path = posixpath.dirname(path)
    return points.get(path, "")


def name_for(call: Call, path: str) -> str:
    """The dataset a zonepath should be: a child of the file system mounted on its parent directory, or empty."""
    parent = mounted_dataset(call, posixpath.dirname(path))
    return f"{parent}/{posixpath.basename(path)}" if parent else ""


def create(request: Request, path: str) -> None:
    """Make the zonepath's dataset if its parent directory is one; failing that a directory has to do."""
    call = request.call
    name = name_for(call, path)
    if not name or call.run("zfs", "list", "-H", "-o", "name", name).exit_code == 0:
        return
    made = call.run("zfs", "create", "-o", "sharenfs=off", "-o", "sharesmb=off", name)
    if made.exit_code or mounted_dataset(call, path) != name:
        _not_made(request, name, made.stderr)
        return
    request.world.path(path).chmod(0o700)
    call.out("A ZFS file system has been created for this zone.\n")


def _not_made(request: Request, name: str, stderr: str) -> None:
    reason = stderr.strip().splitlines()[0].rpartition("': ")[2] if stderr.strip() else "unknown error"
    if request.call.run("zfs", "list", "-H", "-o", "name", name).exit_code:
        request.plain(f"cannot create ZFS dataset {name}: {reason}")
        return
    request.plain(f"cannot mount ZFS dataset {name}: {reason}")
    request.call.run("zfs", "destroy", name)


def clean_up(request: Request, path: str, *, everything: bool = False) -> bool:
    """Remove what zoneadm knows to be in a zonepath, and the zonepath if that is all; False when it fails."""
    place = request.world.path(path)
    if not place.is_dir():
        return True
    foreign = [each.name for each in place.iterdir() if each.name not in STANDARD]
    if foreign and not everything:
        good = _remove(request, *(f"{path}/{name}" for name in STANDARD))
        request.plain(
            f"WARNING: Unable to completely remove {path}\nbecause it contains additional user data.  "
            "Only the standard directory\nentries have been removed."
        )
        return good
    if mounted_dataset(request.call, path):
        from zonemgr.lab.zoneadm import cloning

        if cloning.destroy(request, path):
            return True
        return _remove(request, *(f"{path}/{each.name}" for each in place.iterdir()))
    return _remove(request, path)


def _remove(request: Request, *paths: str) -> bool:
    complaints = [line for path in paths for line in remove_tree(request.call, path)]
    for line in complaints:
        request.plain(line)
    if complaints:
        request.error("'/usr/bin/rm -rf' failed with exit code 2.")
    return not complaints
