"""Brands whose zones are cloned by zoneadm itself: illumos (image zones) and bhyve, kvm, emu (a miniroot)."""

from __future__ import annotations

import time

from zonemgr.lab import zonestore
from zonemgr.lab.brands import common, hook, ipkg
from zonemgr.lab.brands.common import PARENT
from zonemgr.lab.brands.files import remove_tree
from zonemgr.lab.brands.hook import FATAL, NOT_COMPLETE, USAGE, Hook, HookExit
from zonemgr.lab.brands.options import getopts
from zonemgr.lab.call import Call

BE_UUID = "org.opensolaris.libbe:uuid"

SEED_USAGE = (
    "Available options are:\n"
    "\t-s <dataset|snapshot|pathname>\tZone installation source\n"
    "\t(-t is a backwards compatible alias for -s)\n\n"
)


def mounted_dataset(call: Call, directory: str) -> str:
    """The file system mounted on exactly this directory, empty when there is none."""
    return next((special for special, point in reversed(common.mounts(call)) if point == directory), "")


def _zonepath_dataset(h: Hook) -> str:
    found = mounted_dataset(h.call, h.zonepath)
    if found:
        return found
    parent = h.zonepath.rpartition("/")[0] or "/"
    if not mounted_dataset(h.call, parent):
        raise h.fatal(
            f"Could not find parent dataset for {h.zonepath}\nMake sure that {parent} is a ZFS dataset"
        )
    raise h.fatal(f"Could not find a ZFS dataset for {h.zonepath}")


def uninstall(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, _uninstall)


def _uninstall(h: Hook) -> None:
    h.zone, h.zonepath = h.argv[1], h.argv[2]
    if not h.call.world.path(h.zonepath).is_dir():
        path, h.zonepath = h.zonepath, ""
        raise h.fatal(f"{path} is not a directory")
    dataset = mounted_dataset(h.call, h.zonepath)
    if not dataset:
        remove_tree(h.call, h.zonepath)
    elif not h.ok("zfs", "destroy", "-r", dataset):
        raise HookExit(FATAL)


# -- illumos -----------------------------------------------------------------------------------------------


def illumos_install(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, _illumos_install)


def _illumos_install(h: Hook) -> None:
    given = getopts("R:s:t:z:v", h.argv[1:])
    h.zone, h.zonepath = given.get("z"), given.get("R")
    source = given.get("s") or given.get("t")
    if given.wrong or not source:
        h.out(SEED_USAGE if given.wrong else f"The installation source must be specified.\n\n{SEED_USAGE}")
        raise HookExit(FATAL)
    dataset = _zonepath_dataset(h)
    if not h.ok("zfs", "create", "-o", "mountpoint=legacy", "-o", "zoned=on", f"{dataset}/ROOT"):
        raise h.fatal(f"Could not create {dataset}/ROOT")
    root = f"{dataset}/ROOT/illumos"
    if h.call.path(source).is_file():
        _seed_from_file(h, source, root)
    else:
        _seed_from_dataset(h, source, root)
    h.call.world.path(f"{h.zonepath}/root").mkdir(exist_ok=True)
    uuid = zonestore.new_uuid()
    for prop in ("canmount=noauto", f"{PARENT}={uuid}", f"{common.ACTIVE}=on"):
        h.ok("zfs", "set", prop, root)
    h.ok("zfs", "set", f"{BE_UUID}={uuid}", f"{dataset}/ROOT")


def _seed_from_dataset(h: Hook, source: str, root: str) -> None:
    snapshot = _seed_snapshot(h, source)
    h.out(f"Installing zone from ZFS filesystem {snapshot}\nCloning from snapshot {snapshot}\n")
    if not h.ok("zfs", "clone", snapshot, root):
        raise h.fatal(f"ZFS clone ({snapshot} to {root}) failed (1)")


def _seed_from_file(h: Hook, source: str, root: str) -> None:
    """A tar file or a ZFS stream, as it is or compressed with gzip, bzip2 or xz."""
    from zonemgr.lab.brands import archives

    try:
        data = archives.seed(h.call.path(source).read_bytes())
    except archives.Unreadable as trouble:
        raise h.fatal(f"Seed file {source} not in a supported format ({trouble})") from None
    if archives.kind(data[:512]) == "zfs":
        h.out("Installing zone from ZFS stream\n")
        received = h.call.run("zfs", "receive", "-F", root, stdin=data)
        if received.exit_code:
            h.err(received.stderr)
            raise h.fatal(f"ZFS receive command failed ({received.exit_code})")
        return
    h.out(f"Installing zone from tar file {source}\n")
    place = h.call.world.path(f"{h.zonepath}/root")
    if not h.ok("zfs", "create", root):
        raise h.fatal(f"Cannot create {root}")
    place.mkdir(exist_ok=True)
    if not h.ok("mount", "-F", "zfs", root, f"{h.zonepath}/root"):
        raise h.fatal(f"Could not mount {root} on {h.zonepath}/root")
    try:
        archives.unpack(list(archives.entries(data)), place, filtered=False)
    except archives.Unreadable as trouble:
        raise h.fatal(str(trouble)) from None
    h.ok("umount", f"{h.zonepath}/root")


def _seed_snapshot(h: Hook, source: str) -> str:
    if source.startswith("/"):
        raise h.fatal(f"Source file '{source}' not found")
    kind = "snapshot" if "@" in source else "filesystem"
    found = h.run("zfs", "list", "-Ht", kind, "-o", "name", source, quiet=True).stdout.strip()
    if found != source:
        raise h.fatal(f"Could not find ZFS {kind} {source}")
    if "@" in source:
        return source
    snapshot = f"{source}@{time.strftime('%Y-%m-%d:%H:%M:%S', time.gmtime(h.call.world.now()))}"
    if not h.ok("zfs", "snapshot", snapshot):
        raise h.fatal(f"ZFS snapshot ({snapshot}) failed (1)")
    return snapshot


def illumos_prestate(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, _illumos_prestate)


def _illumos_prestate(h: Hook) -> None:
    _, command = ipkg.take_state(h)
    if command != ipkg.READY:
        return
    dataset = _zonepath_dataset(h)
    uuid = _be_uuid(h, dataset)
    if uuid:
        _mount(h, common.active_dataset(h, uuid, dataset))
    ipkg.config_network(h)


def _mount(h: Hook, dataset: str) -> None:
    root = f"{h.zonepath}/root"
    if common.mounted_at(h.call, root) and not h.ok("umount", root):
        h.out(common.STILL_MOUNTED.format(root))
        return
    if not h.ok("mount", "-F", "zfs", dataset, root):
        raise h.fatal(common.NO_MOUNT)


def illumos_poststate(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, _illumos_poststate)


def _illumos_poststate(h: Hook) -> None:
    _, command = ipkg.take_state(h)
    if command != ipkg.HALT:
        return
    dataset = _zonepath_dataset(h)
    ipkg.unconfig_network(h)
    root = f"{h.zonepath}/root"
    if _be_uuid(h, dataset) and not h.ok("umount", root):
        h.out(common.STILL_MOUNTED.format(root))


def _be_uuid(h: Hook, dataset: str) -> str:
    asked = h.run("zfs", "get", "-pH", "-o", "value", BE_UUID, f"{dataset}/ROOT", quiet=True)
    return asked.stdout.strip().removeprefix("-")  # `-`: not set


# -- bhyve, kvm, emu ---------------------------------------------------------------------------------------


def miniroot_install(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, _miniroot_install)


def _miniroot_install(h: Hook) -> None:
    given = h.options("R:z:", h.argv[1:])
    h.zone, h.zonepath = given.get("z"), given.get("R")
    if not h.zone or not h.zonepath:
        h.err("Brand error: No zone path or name.\n")
        raise HookExit(USAGE)
    _zonepath_dataset(h)
    root = h.call.world.path(f"{h.zonepath}/root")
    try:
        root.mkdir()
    except OSError:
        h.err("ERROR: Failed to build miniroot\n")
        raise HookExit(NOT_COMPLETE) from None
    for name in ("dev", "etc", "usr", "sbin", "lib", "var/run", "tmp", "var/tmp"):
        (root / name).mkdir(parents=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    (root / "bin").symlink_to("usr/bin")
    (root / "etc/passwd").write_text("root:x:0:0:Super-User:/:/sbin/sh\n")
    entry = zonestore.entry(h.call.world, h.zone)
    (root / "etc/uuid").write_text(f"{entry.uuid if entry else ''}\n")
