"""detach, attach and move."""

from __future__ import annotations

import os
import shutil

from zonemgr.lab import zonestore
from zonemgr.lab.brands.common import mounts
from zonemgr.lab.brands.hook import OK as HOOK_OK
from zonemgr.lab.brands.hook import USAGE as HOOK_USAGE
from zonemgr.lab.zoneadm import locks, sanity, verify, zonepaths
from zonemgr.lab.zoneadm.request import ERROR, OK, Request, Stop, shell_words


def detach(request: Request) -> int:
    given, help_wanted = request.own_options("n")
    dry = given.has("n") or help_wanted
    if not dry:
        sanity.check(request, inactive=True)
        verify.details(request)
    elif not request.zone:
        raise request.stop("no zone specified")
    elif request.zone == "global":
        raise request.stop("detach operation is invalid for the global zone.")
    if help_wanted:
        return OK
    if dry:
        return _detach_steps(request)
    with locks.operation(request):
        status = _detach_steps(request)
        if status == OK:
            request.set_state("configured")
    return status


def _detach_steps(request: Request) -> int:
    brand, path = request.its_brand(), request.zonepath
    if brand.detach:
        argv = ["detach", "-z", request.zone, "-R", path, *shell_words(request.args)]
        status = request.hook(brand.detach, argv)
        return OK if status == HOOK_OK else ERROR
    document = request.world.path(f"/etc/zones/{request.zone}.xml").read_bytes()
    if "-n" in request.args:
        request.call.out(document.decode("utf-8", "surrogateescape"))
        return OK
    below = [point for _, point in mounts(request.call) if point.startswith(f"{path}/")]
    if below:
        request.plain(f"These file systems are mounted on subdirectories of {path}.")
        for point in below:
            request.error(f"  {point}\n")
        return ERROR
    request.world.path(f"{path}/SUNWdetached.xml").write_bytes(document)
    return OK


def attach(request: Request) -> int:
    given, help_wanted = request.own_options("Fn:U")
    if given.has("F") and given.has("n") and not help_wanted:
        raise request.stop("-F and -n flags are mutually exclusive")
    if help_wanted:
        return OK
    if given.has("n"):
        return request.call.fail("lab: validating a manifest with attach -n is not emulated")
    sanity.check(request, inactive=True, force=given.has("U"))
    verify.details(request)
    path, brand = request.zonepath, request.its_brand()
    words = shell_words([word.replace("U", "u") if word.startswith("-") else word for word in request.args])
    with locks.operation(request):
        if not given.has("F") and brand.attach:
            status = request.hook(brand.attach, ["attach", request.zone, path, *words])
            if status != HOOK_OK:
                if status == HOOK_USAGE:
                    raise request.misused()
                return ERROR
        if not verify.zonepath(request, path, "attach"):
            request.plain(f"could not verify zonepath {path} because of the above errors.")
            return ERROR
        _forget_detachment(request, path, forced=given.has("F"))
        request.set_state("installed")
    return OK


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
    fresh = not request.world.path(target).exists()
    if not verify.zonepath(request, target, "move"):
        return ERROR
    if any(request.world.path(target).iterdir()):
        request.plain(f"could not move zone to {target}: directory not empty")
        return ERROR
    path = request.zonepath
    root = _root_mounted(request, path)
    with locks.operation(request):
        return _move(request, path, target, root, fresh=fresh)


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


def _move(request: Request, path: str, target: str, root: str, *, fresh: bool) -> int:
    run = request.call.run
    if root and (done := run("umount", f"{path}/root")).exit_code:
        request.error(f"unable to unmount zone root {path}/root: {done.stderr.strip().rpartition(': ')[2]}")
        return ERROR
    if not _move_files(request, path, target, fresh=fresh):
        if root:
            run("mount", "-F", "zfs", root, f"{path}/root")
        return ERROR
    if root and run("mount", "-F", "zfs", root, f"{target}/root").exit_code:
        request.error(f"unable to mount zone root {target}/root: Device busy")
        return ERROR
    return _set_zonepath(request, target)


def _move_files(request: Request, path: str, target: str, *, fresh: bool) -> bool:
    run, world = request.call.run, request.world
    dataset = zonepaths.mounted_dataset(request.call, path)
    if dataset and run("zfs", "set", f"mountpoint={target}", dataset).exit_code == 0:
        _remove_empty(request, path)
        return True
    source, place = world.path(path), world.path(target)
    if os.stat(source).st_dev == os.stat(place).st_dev and not dataset:
        place.rmdir()
        source.rename(place)
        return True
    request.call.out(f"Moving across file systems; copying zonepath {path}...\n")
    shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
    request.call.out(f"Cleaning up zonepath {path}...\n")
    return zonepaths.clean_up(request, path, everything=True)


def _remove_empty(request: Request, path: str) -> None:
    from zonemgr.lab.brands.files import remove_directory

    remove_directory(request.call, path)


def _set_zonepath(request: Request, target: str) -> int:
    """Write the new zonepath into the document and the index."""
    from dataclasses import replace

    from zonemgr.lab.zonecfg.document import serialise

    world, zone = request.world, request.zone
    document = zonestore.read_document(world, zone)
    document.set("zonepath", target)
    zonestore.write_file(world, zonestore.xml_path(zone), serialise(document))
    zonestore.change_entry(world, zone, lambda old: replace(old, zonepath=target))
    return OK
