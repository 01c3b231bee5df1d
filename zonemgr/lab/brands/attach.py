"""The ipkg family's attach hook: for a zone whose datasets are there, or from an archive or a directory."""

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
    media = [letter for letter in "adr" if given.has(letter)]
    if len(media) > 1 or (media and given.has("n")):
        raise h.fatal(USAGE)
    if given.has("n"):
        return
    _log_file(h)
    parent = common.zonepath_dataset(h, h.zonepath.rpartition("/")[0] or "/")
    common.refuse_root_pool(h, parent)
    if media and given.get(media[0]) != "-":
        _from_media(h, common.words(parent)[0], media[0], given.get(media[0]), update=given.has("u"))
        return
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


HOW = {"a": "archive", "d": "directory", "r": "stdin"}


def _from_media(h: Hook, parent: str, letter: str, source: str, *, update: bool) -> None:
    """Make the datasets, lay the image down and take it in; what fails is uninstalled again."""
    from zonemgr.lab.brands import image_install, ipkg_install

    try:
        zonepath = f"{parent}/{h.zonepath.rpartition('/')[2]}"
        there = h.run("zfs", "list", "-H", "-t", "filesystem", "-o", "name", zonepath, quiet=True)
        if there.exit_code and not h.ok("zfs", "create", zonepath):
            raise h.fatal(common.NO_CREATE)
        dataset = ipkg_install.create_active(h)
        h.out(f"               Attach Path: {h.zonepath}/root\n        Attach ZFS Dataset: {dataset}\n\n")
        image_install.lay_down(image_install.Image(h), HOW[letter], source)
        _same_software(h, update=update)
    except HookExit as end:
        image_install.take_back(h)
        h.out("                    Result: Attach Failed.\n")
        raise HookExit(end.status or NOT_COMPLETE) from None


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
    _check_variant(h, root)
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
    # The incorporation is what the script asks for. It brings along all it locks to the same build, which in the
    # lab no package knows: so what is older is updated besides.
    wanted = [("install", "--accept", "--no-refresh", here)]
    for words in [*wanted, *([("update", "--accept", "--no-refresh")] if there < here else [])]:
        done = h.run("pkg", "-R", root, *words)
        h.out(done.stdout)
        if done.exit_code not in (OK, 4):
            raise h.fatal("Could not update attaching zone")
    h.out("\n  Updating non-global zone: Zone updated.\n                    Result: Attach Succeeded.\n")


def _check_variant(h: Hook, root: str) -> None:
    """An image of a global zone is none for a zone; and the zone gets to know the global zone's publishers."""
    from zonemgr.lab import place
    from zonemgr.lab.pkg import shelves
    from zonemgr.lab.pkg.image import load

    world = h.call.world
    at = shelves.of(world)
    image = load(place.at_root(world, None, world.path(root)), at)
    if image is None:
        raise h.fatal("  Sanity Check: FAILED, couldn't determine variant.opensolaris.zone from image.")
    if not image.zone:
        raise h.fatal(
            "  Sanity Check: FAILED, appears to be a global zone (variant.opensolaris.zone=global)."
        )
    ours = load(place.global_zone(world), at)
    image.copy_publishers(ours.publishers if ours else [])
    image.refresh()
    image.save()


def _entire(h: Hook, image: str) -> str:
    info = h.run("pkg", "-R", image, "info", "pkg:/entire", quiet=True)
    found = next((line for line in info.stdout.splitlines() if "FMRI" in line), "")
    return f"entire@{found.partition('@')[2]}" if found else ""


def _give_back(h: Hook, dataset: str) -> None:
    for prop in ("zoned=off", "canmount=on", f"mountpoint={h.zonepath}/root"):
        if not h.ok("zfs", "set", prop, dataset):
            h.error(f"Failed to configure dataset {dataset}: could not set {prop}.")
    h.out("                    Result: Attach Failed.\n")
