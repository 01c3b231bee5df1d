"""detach, attach and move."""

from __future__ import annotations

import shutil

from zonemgr.lab import zonestore
from zonemgr.lab.brands.common import mounts
from zonemgr.lab.brands.files import remove_directory
from zonemgr.lab.brands.hook import OK as HOOK_OK
from zonemgr.lab.brands.hook import USAGE as HOOK_USAGE
from zonemgr.lab.brands.options import Parsed
from zonemgr.lab.zoneadm import locks, manifests, sanity, verify, words, zonepaths
from zonemgr.lab.zoneadm.cmdline import Line
from zonemgr.lab.zoneadm.request import ERROR, OK, Request, Stop


def detach(request: Request) -> int:
    given, help_wanted = request.own_options("?n")
    dry = given.has("n") or help_wanted
    if not dry:
        sanity.check(request, inactive=True)
        verify.details(request)
    elif not request.zone:
        raise request.stop("no zone specified")
    elif request.zone == "global":
        raise request.stop("detach operation is invalid for the global zone.")
    path, brand = request.zonepath, request.its_brand()
    line = request.line_with("detach", ["detach", "-z", request.zone, "-R", path]) if brand.detach else None
    if dry:
        return _detach(request, path, line, help_wanted=help_wanted, dry=True)
    with locks.operation(request):
        status = _detach(request, path, line)
        if status == OK:
            request.set_state("configured")
    return status


def _detach(
    request: Request, path: str, line: Line | None, *, help_wanted: bool = False, dry: bool = False
) -> int:
    if line is not None:
        status = request.hook(request.its_brand().detach, line, "brand-specific detach")
        if status == HOOK_USAGE and not help_wanted:
            request.call.err(words.sub_usage(request.command))
        return OK if status == HOOK_OK else ERROR
    return OK if help_wanted else _detach_without_script(request, path, dry=dry)


def _detach_without_script(request: Request, path: str, *, dry: bool) -> int:
    below = [point for _, point in mounts(request.call) if point.startswith(f"{path}/")]
    if below and not dry:
        request.plain(f"These file systems are mounted on subdirectories of {path}.")
        for point in below:
            request.error(f"  {point}\n")
        return ERROR
    manifest = manifests.of(request.world, request.zone)
    if dry:
        request.call.stdout.write(manifest)
    else:
        request.world.path(f"{path}/SUNWdetached.xml").write_bytes(manifest)
    return OK


# -- attach ------------------------------------------------------------------------------------------------


def attach(request: Request) -> int:
    given, help_wanted = request.own_options("?Fn:U")
    force = given.has("F") and not help_wanted
    dry = given.has("n") and not help_wanted
    request.args = _forced_update(request.args, given)
    if dry and force:
        raise request.stop("-F and -n flags are mutually exclusive")
    if dry:
        return manifests.check(request, given)
    if not help_wanted:
        sanity.check(request, inactive=True, force=given.has("U"))
        verify.details(request)
    path, brand = request.zonepath, request.its_brand()
    line = request.line_with("attach", ["attach", request.zone, path]) if brand.attach else None
    if help_wanted:
        return _run_attach(request, line, help_wanted=True)
    with locks.operation(request):
        if not force and (status := _run_attach(request, line)) != OK:
            return status
        if not verify.zonepath(request, path, "attach"):
            request.plain(f"could not verify zonepath {path} because of the above errors.")
            return ERROR
        _forget_detachment(request, path, forced=force)
        request.set_state("installed")
    return OK


def _forced_update(args: list[str], given: Parsed) -> list[str]:
    """The arguments with each option `-U` turned into `-u`, which is what the brand knows."""
    changed = list(args)
    for (letter, _), at in zip(given.options, given.at, strict=True):
        if letter == "U":
            changed[at] = changed[at].replace("U", "u", 1)
    return changed


def _run_attach(request: Request, line: Line | None, *, help_wanted: bool = False) -> int:
    if line is None:
        return OK
    status = request.hook(request.its_brand().attach, line, "brand-specific attach")
    if status == HOOK_USAGE and not help_wanted:
        request.call.err(words.sub_usage(request.command))
    return OK if status == HOOK_OK else ERROR


def _forget_detachment(request: Request, path: str, *, forced: bool) -> None:
    detached = request.world.path(f"{path}/SUNWdetached.xml")
    attached = request.world.path(f"{path}/SUNWattached.xml")
    if forced:
        if detached.exists():
            detached.replace(attached)
        return
    attached.unlink(missing_ok=True)
    detached.unlink(missing_ok=True)


# -- move --------------------------------------------------------------------------------------------------


def move(request: Request) -> int:
    given = request.options("", operands=1)
    target = given.rest[0]
    sanity.check(request, inactive=True)
    verify.details(request)
    if not verify.zonepath(request, target, "move"):
        return ERROR
    if any(request.world.path(target).iterdir()):
        request.plain(f"could not move zone to {target}: directory not empty")
        return ERROR
    path = request.zonepath
    root = _root_mounted(request, path)
    with locks.operation(request):
        return _move(request, path, target, root)


def _root_mounted(request: Request, path: str) -> str:
    """What is mounted on the zone's root, empty if nothing is; anything else below the zonepath is in the way."""
    root, others = "", []
    for special, point in mounts(request.call):
        if point == f"{path}/root":
            root = special
        elif point.startswith(f"{path}/"):
            others.append(point)
    if others:
        request.error(f"These file systems are mounted on subdirectories of {path}.\n")
        for point in others:
            request.error(f"  {point}\n")
        raise Stop
    return root


def _move(request: Request, path: str, target: str, root: str) -> int:
    if root and (done := request.call.run("umount", f"{path}/root")).exit_code:
        request.error(f"unable to unmount zone root {path}/root: {done.stderr.strip().rpartition(': ')[2]}")
        return ERROR
    how = _move_files(request, path, target)
    if not how:
        _mount_root(request, path, root)
        return ERROR
    if _moved(request, target, root):
        return _clean_up(request, path) if how == COPIED else OK
    _move_back(request, path, target, how)
    _mount_root(request, path, root)
    return ERROR


RESET, RENAMED, COPIED = (
    "the dataset's mountpoint",
    "the directory's name",
    "copied",
)  # how a zonepath was moved


def _moved(request: Request, target: str, root: str) -> bool:
    """Mount the root again and write the new zonepath down; False when either fails."""
    if not _mount_root(request, target, root):
        request.error(f"unable to mount zone root {target}/root: Device busy")
        return False
    try:
        zonestore.set_zonepath(request.world, request.zone, target)
    except zonestore.StoreError as trouble:
        request.plain(f"zoneadm: zonecfg save failed: {trouble}")
        if root:
            request.call.run("umount", "-f", f"{target}/root")
        return False
    return True


def _mount_root(request: Request, path: str, root: str) -> bool:
    return not root or request.call.run("mount", "-F", "zfs", root, f"{path}/root").exit_code == 0


def _move_files(request: Request, path: str, target: str) -> str:
    """How the zonepath got to its new place; empty when it did not."""
    world, dataset = request.world, zonepaths.mounted_dataset(request.call, path)
    if dataset and _reset(request, dataset, path, target):
        return RESET
    if zonepaths.file_system(request, path) == zonepaths.file_system(request, target):
        world.path(target).rmdir()
        world.path(path).rename(world.path(target))
        return RENAMED
    zonepaths.create(request, target)
    request.call.out(f"Moving across file systems; copying zonepath {path}...\n")
    shutil.copytree(world.path(path), world.path(target), symlinks=True, dirs_exist_ok=True)
    return COPIED


def _reset(request: Request, dataset: str, path: str, target: str) -> bool:
    if request.call.run("zfs", "set", f"mountpoint={target}", dataset).exit_code:
        return False
    remove_directory(request.call, path)
    return True


def _move_back(request: Request, path: str, target: str, how: str) -> None:
    """Undo a move whose end failed (move_func of zoneadm.c: `revert`)."""
    world = request.world
    if how == COPIED:
        _clean_up(request, target)
    elif how == RENAMED:
        world.path(target).rename(world.path(path))
    elif not _reset(request, zonepaths.mounted_dataset(request.call, target), target, path):
        request.plain(f"could not restore zonepath, the zfs mountpoint is set as:\n{target}")


def _clean_up(request: Request, path: str) -> int:
    request.call.out(f"Cleaning up zonepath {path}...\n")
    return OK if zonepaths.clean_up(request, path, everything=True) else ERROR
