"""The end of the host's power, and the boot after it: what is left of the world then."""

from __future__ import annotations

from zonemgr.lab import tools
from zonemgr.lab.call import Call
from zonemgr.lab.world import HOST_BOOT, World


def reboot(world: World) -> None:
    """No zone is active, what was temporary is gone, file systems are mounted as at boot.

    Each tool says for its own rows what a boot does to them (HOST_BOOT).
    """
    tools.load_all()
    world.db.execute("delete from kernel_zones")
    for after_boot in HOST_BOOT:
        after_boot(world)
    _file_systems(world)


def _file_systems(world: World) -> None:
    """What is mounted by hand (zone roots are) is not there after a boot; what mounts itself is."""
    from zonemgr.lab import zfs

    if world.pool and not zfs.mounts(world)[1:]:
        return  # mounts go with the namespace they were in, and are made when the next one begins: see gz
    root = Call(world, ["zfs"])
    listed = root.run("zfs", "list", "-H", "-t", "filesystem", "-o", "name,mountpoint,canmount,zoned,mounted")
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    by_hand = {
        name
        for name, point, can, zoned, yes in rows
        if yes == "yes" and (point == "legacy" or can != "on" or zoned == "on")
    }
    for name, path in reversed(zfs.mounts(world)):
        if name in by_hand and path != "/":
            root.run("umount", "-f", path)
    root.run("zfs", "mount", "-a")
