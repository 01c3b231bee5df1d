"""OmniOS' sparse and pkgsrc brands: a ZBE with overlay datasets for lib/svc and usr/lib/fm."""

from __future__ import annotations

import re

from zonemgr.lab.brands import common, hook, ipkg, uninstall
from zonemgr.lab.brands.hook import FATAL, Hook, HookExit
from zonemgr.lab.brands.ipkg import HALT, READY, SYSBOOT, CloneKind, Source
from zonemgr.lab.brands.uninstall import Uninstall
from zonemgr.lab.call import Call

OVERLAYS = {"svc": "lib/svc", "fm": "usr/lib/fm"}  # dataset below the ZBE -> where it is mounted
KEY_FILE = ".org.opensolaris,pkgkey"


# -- clone -------------------------------------------------------------------------------------------------


def _clone_overlays(h: Hook, source: Source, zbe: str) -> None:
    for name in OVERLAYS:
        if not h.ok("zfs", "clone", f"{source.dataset}/{name}@{source.snapshot}", f"{zbe}/{name}"):
            raise h.incomplete(f"Unable to clone zone's {name} ZFS dataset.")


def _overlays_noauto(h: Hook, zbe: str) -> None:
    for name in OVERLAYS:
        if not h.ok("zfs", "set", "canmount=noauto", f"{zbe}/{name}"):
            raise h.incomplete("")


KIND = CloneKind(("-r",), _clone_overlays, _overlays_noauto)


def clone(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, lambda h: ipkg.clone_steps(h, KIND), usage=ipkg.CLONE_USAGE)


# -- uninstall ---------------------------------------------------------------------------------------------


def remove(call: Call, argv: list[str]) -> int:
    return uninstall.run(call, argv, _one_environment)


def _one_environment(job: Uninstall, zbes: list[str]) -> None:
    if len(zbes) != 1:
        job.h.out(f"Error: Found {len(zbes)} top-level filesystems.\n  {' '.join(zbes)}\n")
        raise HookExit(FATAL)
    for name in OVERLAYS:
        _promote_own_clone(job, f"{zbes[0]}/{name}")


def _promote_own_clone(job: Uninstall, overlay: str) -> None:
    """Promote a clone of the overlay's youngest snapshot, if this zone itself has one."""
    listed = job.lines("list", "-H", "-t", "snapshot", "-s", "creation", "-o", "name", "-r", overlay)
    own = [name for name in listed if name.startswith(f"{overlay}@")]
    if not own:
        return
    columns = ("list", "-H", "-t", "filesystem", "-s", "creation", "-o", "name,origin", "-r")
    rows = job.lines(*columns, *common.words(job.root))
    clones = [row.split("\t")[0] for row in rows if re.search(own[-1], row)]
    if clones:
        job.promote(clones[0])


# -- state changes -----------------------------------------------------------------------------------------


def prestate(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, _prestate)


def _prestate(h: Hook) -> None:
    state, command = ipkg.take_state(h)
    if command != READY:
        return
    zbe = _active(h)
    _unmount_overlays(h)
    _unmount_root(h)
    if not h.ok("mount", "-F", "zfs", zbe, f"{h.zonepath}/root"):
        raise h.fatal(common.NO_MOUNT)
    if state == SYSBOOT:
        mount_overlays(h, zbe)
    else:
        ipkg.config_network(h)


def poststate(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, _poststate)


def _poststate(h: Hook) -> None:
    _, command = ipkg.take_state(h)
    if command in (READY, HALT):
        mount_overlays(h, _active(h))
    if command == HALT:
        ipkg.unconfig_network(h)


def verify(call: Call, argv: list[str]) -> int:
    """The brand's check before a zoneadm command: an uninstall finds the overlays unmounted."""
    return hook.run(call, argv, _verify)


def _verify(h: Hook) -> None:
    h.zone, h.zonepath = h.argv[1], h.argv[2]
    if h.argv[3] == "uninstall":
        _unmount_overlays(h)


def _active(h: Hook) -> str:
    gzbe = common.current_gzbe(h)
    return common.active_dataset(h, gzbe, common.zonepath_dataset(h, h.zonepath))


def _unmount_overlays(h: Hook) -> None:
    for place in OVERLAYS.values():
        if common.mounted_at(h.call, f"{h.zonepath}/root/{place}"):
            h.ok("umount", f"{h.zonepath}/root/{place}")


def _unmount_root(h: Hook) -> None:
    root = f"{h.zonepath}/root"
    if common.mounted_at(h.call, root) and not h.ok("umount", root):
        raise h.fatal(common.STILL_MOUNTED.format("").rstrip("\n"))


def mount_overlays(h: Hook, zbe: str) -> None:
    root = h.call.world.path(f"{h.zonepath}/root")
    for name, place in OVERLAYS.items():
        (root / place).mkdir(parents=True, exist_ok=True)
        if not h.ok("mount", "-F", "zfs", "-O", f"{zbe}/{name}", f"{h.zonepath}/root/{place}"):
            raise h.fatal(common.NO_MOUNT)
        _mark(h, zbe, name, place)


def _mark(h: Hook, zbe: str, name: str, place: str) -> None:
    """The file pkg looks for before it touches the zone, and the line that mounts the overlay in other BEs."""
    from zonemgr.lab.place import inside

    root = h.call.world.path(f"{h.zonepath}/root")
    inside(root, f"{place}/{KEY_FILE}").touch()
    if not (root / "etc").is_dir():
        return
    table = inside(root, "etc/vfstab")
    lines = table.read_text().splitlines() if table.exists() else []
    if not any(line.startswith(f"{zbe}/{name} ") for line in lines):
        table.write_text("".join(f"{line}\n" for line in [*lines, f"{zbe}/{name} - /{place} zfs - no -"]))
