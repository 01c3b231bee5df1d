"""The ipkg family's attach hook, for a zone whose datasets are there (media are not emulated)."""

from __future__ import annotations

import os
import tempfile

from zonemgr.lab.brands import common, hook
from zonemgr.lab.brands.common import ACTIVE, PARENT
from zonemgr.lab.brands.hook import NOT_COMPLETE, OK, Hook, HookExit
from zonemgr.lab.brands.plain import mounted_dataset
from zonemgr.lab.call import Call

USAGE = (
    "attach [-a archive] [-d dataset] [-n] [-r zfs-recv] [-u]\n"
    "\tThe -a archive option specifies a tar file or cpio archive.\n"
    "\tThe -d dataset option specifies an existing dataset.\n"
    "\tThe -r zfs-recv option receives the output of a 'zfs send' command\n"
    "\tof an existing zone root dataset.\n"
    "\tThe -u option indicates that the software should be updated to match\n"
    "\tthe current host."
)


def attach(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, _attach, usage=USAGE)


def _attach(h: Hook) -> None:
    h.zone, h.zonepath = h.argv[1], h.argv[2]
    given = h.options("a:d:nr:u", h.argv[3:])
    if given.has("n"):
        return
    if given.has("a") or given.has("d") or given.has("r"):
        h.err("lab: attaching a zone from an archive, a directory or a stream is not emulated\n")
        raise HookExit(NOT_COMPLETE)
    _log_file(h)
    parent = common.zonepath_dataset(h, h.zonepath.rpartition("/")[0] or "/")
    common.refuse_root_pool(h, parent)
    root = f"{h.zonepath}/root"
    dataset = mounted_dataset(h.call, root)
    if not dataset:
        raise h.fatal(f"Failed to locate any dataset mounted at {root}.  Attach requires a mounted dataset.")
    try:
        _take_in(h, dataset)
        _same_software(h, update=given.has("u"))
    except HookExit:
        _give_back(h, dataset)
        raise


def _log_file(h: Hook) -> None:
    handle, name = tempfile.mkstemp(prefix=f"{h.zone}.attach_log.", dir=h.call.world.path("/var/tmp"))
    os.close(handle)
    h.log = [name]
    h.out(f"Log File: /var/tmp/{os.path.basename(name)}\n")


def _take_in(h: Hook, dataset: str) -> None:
    """Give the dataset that is mounted on the root the properties of an active ZBE."""
    top = f"{common.words(common.zonepath_dataset(h, h.zonepath))[0]}/ROOT"
    if h.run("zfs", "list", "-H", "-t", "filesystem", "-o", "name", top, quiet=True).exit_code:
        raise h.fatal("no active dataset.")
    gzbe = common.current_gzbe(h)
    for prop in ("zoned=off", "mountpoint=legacy", "zoned=on"):
        _set(h, top, prop, "set", prop)
    for prop in (f"{PARENT}={gzbe}", f"{ACTIVE}=on", "canmount=noauto", "zoned=off"):
        _set(h, dataset, prop, "set", prop)
    for prop in ("mountpoint", "zoned"):
        _set(h, dataset, f"'inherit {prop}'", "inherit", prop)
    root = f"{h.zonepath}/root"
    if not mounted_dataset(h.call, root) and not h.ok("mount", "-F", "zfs", dataset, root):
        raise h.fatal(common.NO_MOUNT)
    h.out(f"               Attach Path: {h.zonepath}/root\n        Attach ZFS Dataset: {dataset}\n\n")


def _set(h: Hook, dataset: str, what: str, *command: str) -> None:
    if not h.ok("zfs", *command, dataset):
        raise h.fatal(f"Failed to configure dataset {dataset}: could not set {what}.")


def _same_software(h: Hook, *, update: bool) -> None:
    """The zone's `entire` must be the global zone's; `-u` makes it so."""
    root = f"{h.zonepath}/root"
    here, there = _entire(h, "/"), _entire(h, root)
    h.out(f"       Global zone version: {here}\n   Non-Global zone version: {there}\n")
    h.out("  Updating non-global zone: Output follows\n")
    if here == there:
        h.out("\n                    Result: Attach Succeeded.\n")
        return
    if not update:
        h.out(
            f"\n                Evaluation: Packages in zone {h.zone} are out of sync with the global zone. "
            "To proceed, retry with the -u flag.\n"
        )
        raise HookExit(NOT_COMPLETE)
    done = h.run("pkg", "-R", root, "update", "--accept")
    h.out(done.stdout)
    if done.exit_code not in (OK, 4):
        raise h.fatal("Could not update attaching zone")
    h.out("\n  Updating non-global zone: Zone updated.\n                    Result: Attach Succeeded.\n")


def _entire(h: Hook, image: str) -> str:
    info = h.run("pkg", "-R", image, "info", "pkg:/entire", quiet=True)
    found = next((line for line in info.stdout.splitlines() if "FMRI" in line), "")
    return f"entire@{found.partition('@')[2]}" if found else ""


def _give_back(h: Hook, dataset: str) -> None:
    for prop in ("zoned=off", "canmount=on", f"mountpoint={h.zonepath}/root"):
        if not h.ok("zfs", "set", prop, dataset):
            h.error(f"Failed to configure dataset {dataset}: could not set {prop}.")
    h.out("                    Result: Attach Failed.\n")
