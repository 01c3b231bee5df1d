"""What is mounted in the global zone, and its /etc/mnttab, which every command that may have changed that writes anew.

On illumos /etc/mnttab is a file system of the kernel's. Here it is a file, current after each emulated command.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from zonemgr.lab.world import World
from zonemgr.lab.zfs import mnttab
from zonemgr.lab.zonefs import Entry

FILE = "etc/mnttab"
CHANGERS = ("zfs", "zpool", "mount", "umount", "zoneadm", "beadm", "pkg", "useradd", "zlogin", "svcs")

# What the kernel and the boot mount besides ZFS (gate, cmd/svc/milestone: fs-root, fs-minimal, devices-local).
VIRTUAL = (
    ("/devices", "/devices", "devfs", "dev=9ac0000"),
    ("/dev", "/dev", "dev", "dev=9b00000"),
    ("ctfs", "/system/contract", "ctfs", "dev=9bc0001"),
    ("proc", "/proc", "proc", "dev=9b40000"),
    ("mnttab", "/etc/mnttab", "mntfs", "dev=9c00001"),
    ("swap", "/etc/svc/volatile", "tmpfs", "xattr,dev=9c40001"),
    ("objfs", "/system/object", "objfs", "dev=9c80001"),
    ("sharefs", "/etc/dfs/sharetab", "sharefs", "dev=9cc0001"),
    ("fd", "/dev/fd", "fd", "rw,dev=9e00001"),
    ("swap", "/tmp", "tmpfs", "xattr,dev=9c40002"),
    ("swap", "/var/run", "tmpfs", "xattr,dev=9c40003"),
)


def entries(world: World) -> list[Entry]:
    """In the order of mounting, the root first; those of zones' roots are among them, as on illumos."""
    booted = int(float(world.get("host.booted", "0")))
    mounted = [
        Entry(each.dataset, each.path, "zfs", ",".join(each.options), each.at)
        for each in mnttab.entries(world)
    ]
    root = [each for each in mounted if each.point == "/"]
    virtual = [Entry(what, point, kind, how, booted) for what, point, kind, how in VIRTUAL]
    return [*root, *virtual, *(each for each in mounted if each.point != "/"), *_lofs(world)]


def _lofs(world: World) -> Iterator[Entry]:
    """What zoneadmd has mounted in the roots of active zones."""
    from zonemgr.lab import zonestore

    rows = world.db.execute("select name, root, booted from kernel_zones where state in ('ready', 'running')")
    for row in rows.fetchall():
        for fs in zonestore.load(world, row["name"]).fs:
            if fs.type == "lofs":
                point = f"{row['root']}{fs.dir}"
                yield Entry(fs.special, point, "lofs", ",".join(fs.options) or "rw", int(row["booted"] or 0))


def write(world: World) -> None:
    """Make the file say what is mounted now; a caller who may not write leaves it as it is."""
    path = world.host / FILE
    text = "".join(each.line() for each in entries(world))
    with suppress(OSError):
        if not path.exists() or path.read_text() != text:
            fresh = Path(f"{path}.new")
            fresh.write_text(text)
            fresh.chmod(0o444)
            fresh.replace(path)
