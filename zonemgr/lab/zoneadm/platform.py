"""The virtual platform of a zone: the kernel's entry, datasets, mount points, links, and the cell it runs in."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from zonemgr.lab import zonestore
from zonemgr.lab.brands import common
from zonemgr.lab.world import LabError
from zonemgr.lab.zoneadm import fs, protection
from zonemgr.lab.zoneadm.verify import plumbed
from zonemgr.lab.zonestore import ZoneConfig

if TYPE_CHECKING:
    from zonemgr.lab.zoneadm.daemon import Daemon, Failed


def create(daemon: Daemon, *, scratch: bool) -> None:
    """The kernel knows the zone from here on."""
    world, zonepath = daemon.world, daemon.request.zonepath
    text = daemon.fault("ready")
    if text and not scratch:
        raise daemon.fail(text)
    real = f"{zonepath}/root"
    _not_in_use(daemon, real)
    if not world.path(real).is_dir():
        raise daemon.fail(f"can't stat {real}: No such file or directory")
    root = real
    if scratch:
        root = f"{zonepath}/lu"
        world.path(root).mkdir(mode=0o755, exist_ok=True)
    _nothing_below(daemon, root)
    config = daemon.config()
    _datasets_free(daemon, config)
    entry = zonestore.entry(world, daemon.zone)
    world.db.execute(
        "insert into kernel_zones (id, name, state, root, uuid, brand) values (?, ?, ?, ?, ?, ?)",
        (
            world.count("zoneid"),
            daemon.zone,
            "mounted" if scratch else "ready",
            root,
            entry.uuid if entry else "",
            config.brand,
        ),
    )


def _not_in_use(daemon: Daemon, root: str) -> None:
    for row in daemon.world.db.execute("select name, root from kernel_zones"):
        one, other = f"{root}/", f"{row['root']}/"
        if one.startswith(other) or other.startswith(one):
            raise daemon.fail(f"zone root {root} already in use by zone {row['name']}")


def _nothing_below(daemon: Daemon, root: str) -> None:
    below = [point for _, point in common.mounts(daemon.request.call) if point.startswith(f"{root}/")]
    if below:
        daemon.say(f"These file-systems are mounted on subdirectories of {root}:")
        for point in below:
            daemon.say(f"  {point}")
        raise failed()


def failed() -> Failed:
    from zonemgr.lab.zoneadm.daemon import Failed

    return Failed()


# -- datasets, mount points, links -------------------------------------------------------------------------


def _datasets_free(daemon: Daemon, config: ZoneConfig) -> None:
    """A delegated dataset can be in one active zone only, and neither can one above or below it."""
    for name in config.dataset:
        for row in daemon.world.db.execute("select name from kernel_zones").fetchall():
            for other in zonestore.load(daemon.world, row["name"]).dataset:
                if f"{name}/".startswith(f"{other}/") or f"{other}/".startswith(f"{name}/"):
                    raise daemon.fail(f"ZFS dataset '{name}' is in use by zone '{row['name']}'")


def furnish(daemon: Daemon, *, scratch: bool) -> None:
    config, zonepath = daemon.config(), daemon.request.zonepath
    if not scratch:
        _delegate(daemon, config)
    daemon.world.path(f"{zonepath}/dev").mkdir(mode=0o755, exist_ok=True)
    if not fs.make_points(daemon.request, config, f"{zonepath}/root", daemon.say, scratch=scratch):
        raise failed()
    if not scratch and config.ip_type == "exclusive":
        _move_links(daemon, config)


def _delegate(daemon: Daemon, config: ZoneConfig) -> None:
    run = daemon.request.call.run
    for name in config.dataset:
        asked = run("zfs", "get", "-H", "-o", "value", "type,zoned", name)
        answers = asked.stdout.split()
        if asked.exit_code or answers[:1] != ["filesystem"]:
            raise daemon.fail(f"cannot open ZFS dataset '{name}'")
        if answers[1] != "on" and run("zfs", "set", "zoned=on", name).exit_code:
            raise daemon.fail(f"cannot set 'zoned' property for ZFS dataset '{name}'\n")


def _move_links(daemon: Daemon, config: ZoneConfig) -> None:
    if not config.net:
        return
    taken = plumbed(daemon.request)
    for net in config.net:
        _move_link(daemon, net.physical, taken)
    protection.hand_over(daemon, config)


def _move_link(daemon: Daemon, name: str, taken: set[str]) -> None:
    from zonemgr.lab import links

    link = links.find(daemon.world, name, up=True)
    if link is None:
        raise daemon.fail("failed to add network device: No such file or directory")
    if name in taken:
        daemon.say(f"WARNING: skipping network interface '{name}' which is used in the global zone")
    elif link["zone"] not in ("", daemon.zone):
        daemon.say(f"WARNING: unable to add network interface: {name}: link busy")
    else:
        daemon.world.db.execute("update links set zone = ? where name = ?", (daemon.zone, name))
        return
    raise daemon.fail("failed to add network device: Device busy")


# -- init --------------------------------------------------------------------------------------------------


def _write_index(daemon: Daemon, root: Path) -> None:
    """The zone's own /etc/zones/index, of itself alone (zoneadmd, write_index_file); what fails is not minded."""
    from zonemgr.lab import place

    entry = zonestore.entry(daemon.world, daemon.zone)
    if entry is not None:
        with contextlib.suppress(OSError, LabError):
            place.write(root, "etc/zones/index", f"{entry.name}:{entry.state}:/:{entry.uuid}\n")


def run_init(daemon: Daemon, words: str) -> None:
    """Start the zone's cell. The zone is running as soon as that is there, long before its services."""
    from zonemgr.lab import cell

    world, zone = daemon.world, daemon.zone
    root = f"{daemon.request.zonepath}/root"
    world.db.execute(
        "update kernel_zones set booted = ?, boot_args = ? where name = ?", (world.now(), words, zone)
    )
    protection.configure_by_files(world, zone, world.path(root))
    _write_index(daemon, world.path(root))
    pid, started = cell.start(world, zone, world.path(root), daemon.config())
    world.db.execute(
        "update kernel_zones set state = 'running', init_pid = ?, init_start = ? where name = ?",
        (pid, started, zone),
    )


def tear_down(daemon: Daemon) -> None:
    """Kill everything, give back links, forget the zone; a fault may keep it half-way."""
    from zonemgr.lab import links, smf, zonefs

    world, zone = daemon.world, daemon.zone
    row = world.db.execute("select * from kernel_zones where name = ?", (zone,)).fetchone()
    if row is None:
        raise daemon.fail("unable to get zoneid: Invalid argument")
    stuck = daemon.fault("halt") if row["state"] in ("running", "shutting_down", "down") else ""
    if row["state"] == "running":
        smf.halted(world, zone)
        _stop_cell(daemon)
        world.db.execute(
            "update kernel_zones set state = 'shutting_down', init_pid = 0, init_start = 0 where name = ?",
            (zone,),
        )
    if stuck == "shutting_down":
        raise daemon.fail("unable to unmount file systems in zone")
    _unmount_below(daemon, str(row["root"]))
    links.release(world, zone)
    if stuck == "down":
        world.db.execute("update kernel_zones set state = 'down' where name = ?", (zone,))
        raise daemon.fail("unable to destroy zone: Device busy")
    world.db.execute("delete from kernel_zones where name = ?", (zone,))
    zonefs.undo_boot(world, zone)
    if row["state"] == "mounted":
        _empty(daemon, f"{daemon.request.zonepath}/lu")


def _unmount_below(daemon: Daemon, root: str) -> None:
    """Unmount what is below the root the kernel knows: of a mounted zone the scratch root, its own stays as it is."""
    points = [point for _, point in common.mounts(daemon.request.call) if point.startswith(f"{root}/")]
    for point in reversed(points):
        done = daemon.request.call.run("umount", point)
        if done.exit_code:
            daemon.say(f"unable to unmount '{point}': Device busy")
            raise daemon.fail("unable to unmount file systems in zone")


def _stop_cell(daemon: Daemon) -> None:
    from zonemgr.lab import cell

    try:
        cell.stop(daemon.world, daemon.zone)
    except LabError as trouble:
        raise daemon.fail(f"lab: {trouble}") from None


def _empty(daemon: Daemon, scratch: str) -> None:
    """The scratch root was a tmpfs: nothing in it outlives it, only the directory."""
    from zonemgr.lab.brands.files import remove_tree

    place = daemon.world.path(scratch)
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(each.name for each in place.iterdir()):
            remove_tree(daemon.request.call, f"{scratch}/{name}")
