"""df: -k, -h, -P, -m, -n, of the file systems that the mnttab of the global zone or of a zone has.

Sizes of ZFS are the lab's plausible ones; what is no file system on a disk shows zeroes, as proc and the like do.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from zonemgr.lab import gzmounts, options, zonefs
from zonemgr.lab.call import Call
from zonemgr.lab.zfs import mnttab
from zonemgr.lab.zfs.store import host_path
from zonemgr.lab.zfs.text import nice
from zonemgr.lab.zfs.zones import View, view
from zonemgr.lab.zonefs import Entry

USAGE = "Usage: df [-F FSType] [-abeghklmntVvZ] [-o FSType-specific_options] [directory | block_device | resource]"
HEADS = {"k": ("1024-blocks", 1024), "m": ("1M-blocks", 1024 * 1024), "P": ("512-blocks", 512)}


def df(call: Call) -> int:
    try:
        found, operands = options.parse(call.argv[1:], "F:abeghiklmno:PtVvZ")
    except options.BadOption:
        return call.fail(USAGE, 1)
    given = {letter for letter, _ in found}
    unknown = given - {"k", "h", "P", "m", "n", "F", "a", "l"}
    if unknown or not given & {"k", "h", "P", "m", "n"}:
        return call.fail(f"lab: df {'-' + min(unknown) if unknown else 'without -k or -h'} is not emulated")
    where = view(call)
    kind = dict(found).get("F", "")
    every = gzmounts.entries(call.world) if where is None else zonefs.entries(call.world, where.zone)
    listed = [each for each in every if kind in ("", each.type)]
    status = 0
    if operands:
        wanted = [(operand, _holding(call, where, listed, operand)) for operand in operands]
        for operand, entry in wanted:
            if entry is None:
                status = call.fail(f"df: ({operand}) not a block device, directory or mounted resource", 1)
        listed = [entry for _, entry in wanted if entry is not None]
    _show(call, where, listed, given)
    return status


def _holding(call: Call, where: View | None, listed: list[Entry], operand: str) -> Entry | None:
    """The file system a path lies in, or the one mounted from a resource."""
    if where is None:
        path = host_path(call.world, os.path.join(call.cwd, operand))
    else:
        path = where.resolved(call.world.host, os.path.join(call.cwd, operand))
    if not path.exists():
        return next((each for each in listed if each.special == operand), None)
    name = "/" + path.relative_to(call.world.host).as_posix()
    real = (name if where is None else where.within(name) or "/").rstrip(".")
    holders = [each for each in listed if f"{real}/".startswith(each.point.rstrip("/") + "/")]
    return max(holders, key=lambda each: len(each.point), default=None)


def _show(call: Call, where: View | None, listed: list[Entry], given: set[str]) -> None:
    if "n" in given:
        call.out("".join(f"{each.point:<19}: {each.type}\n" for each in listed))
        return
    sizes = _sizes(call, where)
    if not listed:
        return
    if "h" in given:
        call.out(f"{'Filesystem':<20} {'Size':>6} {'Used':>6} {'Available':>10} {'Capacity':<9} Mounted on\n")
    else:
        head, unit = HEADS["k" if "k" in given else "m" if "m" in given else "P"]
        call.out(f"{'Filesystem':<20} {head:>11} {'Used':>11} {'Available':>11} {'Capacity':<9} Mounted on\n")
    for each in listed:
        used, free = sizes(each)
        part = used / (used + free) * 100.0 + 0.5 if used + free else 0.0
        capacity = f"{part:5.0f}%"
        if "h" in given:
            numbers = f"{nice(used + free):>6} {nice(used):>6} {nice(free):>10}"
        else:
            numbers = f"{(used + free) // unit:>11} {used // unit:>11} {free // unit:>11}"
        call.out(f"{each.special:<20} {numbers} {capacity:<9} {each.point}\n")


def _sizes(call: Call, where: View | None) -> Callable[[Entry], tuple[int, int]]:
    def of(entry: Entry) -> tuple[int, int]:
        if entry.type in ("zfs", "lofs"):
            path = (
                entry.special
                if entry.type == "lofs"
                else where.outside(entry.point)
                if where
                else entry.point
            )
            mounted = mnttab.holding(call.world, path)
            if mounted is not None:
                return mnttab.sizes(call.world, mounted.dataset)
        if entry.special == "swap":
            return 0, 4 * 1024**3
        return 0, 0

    return of
