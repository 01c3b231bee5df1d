"""zoneadm's own way to clone, for brands without a clone hook: a ZFS clone of the zonepath's dataset, or a copy."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from zonemgr.lab.brands.common import mounts
from zonemgr.lab.brands.files import remove_directory
from zonemgr.lab.brands.options import Parsed
from zonemgr.lab.zoneadm import zonepaths
from zonemgr.lab.zoneadm.request import ERROR, OK, Request


def built_in(request: Request, given: Parsed, source: str, path: str) -> int:
    """Clone or copy one zonepath to another; 0 when it was done."""
    method = given.get("m")
    if method and method != "copy":
        from zonemgr.lab.zoneadm.words import sub_usage

        request.call.err(sub_usage(request.command))
        return ERROR
    if given.has("s"):
        return _from_snapshot(request, given.get("s"), path)
    if not method and _zfs_clone(request, source, path):
        return OK
    return copy(request, source, path)


def _zfs_clone(request: Request, source: str, path: str) -> bool:
    dataset = zonepaths.mounted_dataset(request.call, source)
    if not dataset:
        return False
    if any(point == path for _, point in mounts(request.call)):
        request.plain(f"A file system is already mounted on {path},\npreventing use of a ZFS clone.")
        return False
    target = zonepaths.name_for(request.call, path)
    if not target:
        return False
    snapshot = f"{dataset}@SUNWzone{_last_number(request, dataset) + 1}"
    if request.call.run("zfs", "snapshot", snapshot).exit_code:
        return False
    if not _clone(request, snapshot, target, path):
        request.call.run("zfs", "destroy", snapshot)
        return False
    request.call.out("Instead of copying, a ZFS clone has been created for this zone.\n")
    return True


def _last_number(request: Request, dataset: str) -> int:
    listed = request.call.run("zfs", "list", "-H", "-t", "snapshot", "-o", "name", "-r", dataset).stdout
    found = re.findall(rf"^{re.escape(dataset)}@SUNWzone(\d+)$", listed, re.MULTILINE)
    return max(map(int, found), default=0)


def _clone(request: Request, snapshot: str, target: str, path: str) -> bool:
    call = request.call
    call.out(f"Cloning snapshot {snapshot}\n")
    call.run("zfs", "clone", "-o", "sharenfs=off", "-o", "sharesmb=off", snapshot, target)
    if call.run("zfs", "list", "-H", "-o", "name", target).exit_code:
        return False
    if zonepaths.mounted_dataset(call, path) != target:
        request.plain(f"could not mount ZFS clone {target}")
        return False
    for name in ("SUNWdetached.xml", "SUNWattached.xml"):
        request.world.path(f"{path}/{name}").unlink(missing_ok=True)
    return True


def _from_snapshot(request: Request, snapshot: str, path: str) -> int:
    call = request.call
    asked = call.run("zfs", "get", "-H", "-o", "value", "mountpoint", snapshot.partition("@")[0])
    if "@" not in snapshot or asked.exit_code:
        request.plain(f"unable to find path for {snapshot}.")
        return ERROR
    if call.run("zfs", "list", "-H", "-t", "snapshot", "-o", "name", snapshot).exit_code:
        request.set_state("configured")  # nothing was done: there is no such snapshot
        return ERROR
    target = zonepaths.name_for(call, path)
    if target and _clone(request, snapshot, target, path):
        return OK
    call.err("lab: copying a zone out of a snapshot is not emulated\n")
    return ERROR


def copy(request: Request, source: str, path: str) -> int:
    """Copy everything below a zonepath, unless something is mounted there."""
    below = [point for _, point in mounts(request.call) if point.startswith(f"{source}/")]
    if below:
        request.error(f"These file systems are mounted on subdirectories of {source}.\n")
        for point in below:
            request.error(f"  {point}\n")
        return ERROR
    zonepaths.create(request, path)
    request.call.out(f"Copying {source}...\n")
    _copy_tree(request.world.path(source), request.world.path(path))
    return OK


def _copy_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


# -- taking it away again ----------------------------------------------------------------------------------


def destroy(request: Request, path: str) -> bool:
    """Destroy the zonepath's dataset; a clone of it inherits first. False when that is not possible."""
    call = request.call
    dataset = zonepaths.mounted_dataset(call, path)
    if not dataset or not _hand_over(request, dataset):
        return False
    for snapshot in _snapshots(request, dataset):
        call.run("zfs", "destroy", snapshot)
    origin = call.run("zfs", "get", "-H", "-o", "value", "origin", dataset).stdout.strip()
    if len(call.run("zfs", "list", "-H", "-o", "name", "-t", "all", "-r", dataset).stdout.splitlines()) > 1:
        request.plain(f"zfs destroy {dataset} failed: the dataset still has dependents")
        return False
    done = call.run("zfs", "destroy", dataset)
    if done.exit_code:
        request.plain(f"zfs destroy {dataset} failed: {done.stderr.strip().rpartition(': ')[2]}")
        return False
    remove_directory(call, path)
    call.out("The ZFS file system for this zone has been destroyed.\n")
    if origin not in ("", "-"):
        call.run("zfs", "destroy", origin)
    return True


def _snapshots(request: Request, dataset: str) -> list[str]:
    columns = ("list", "-H", "-t", "snapshot", "-s", "creation", "-o", "name", "-r", dataset)
    listed = request.call.run("zfs", *columns).stdout.splitlines()
    return [name for name in listed if name.startswith(f"{dataset}@")]


def _hand_over(request: Request, dataset: str) -> bool:
    """Promote the clone of the youngest snapshot that has one; its snapshots get numbers that are free there."""
    call = request.call
    listed = call.run(
        "zfs", "list", "-H", "-t", "filesystem", "-o", "name,origin", "-r", dataset.partition("/")[0]
    )
    rows = (line.split("\t") for line in listed.stdout.splitlines())
    clones = {origin: name for name, origin in rows if origin.startswith(f"{dataset}@")}
    cloned = [name for name in _snapshots(request, dataset) if name in clones]
    if not cloned:
        return True
    heir = clones[cloned[-1]]
    number = max(_last_number(request, heir), _last_number(request, dataset)) + 1
    for snapshot in _snapshots(request, dataset):
        if re.fullmatch(r".*@SUNWzone\d+", snapshot):
            call.run("zfs", "rename", snapshot, f"{dataset}@SUNWzone{number}")
            number += 1
    done = call.run("zfs", "promote", heir)
    if done.exit_code:
        request.plain(f"failed to promote {heir}: {done.stderr.strip().rpartition(': ')[2]}")
    return done.exit_code == 0
