"""What a lab has mounted of the machine's datasets: the kernel's own table, mounting and unmounting.

Mounts are made below the lab's root in the mount namespace this process is in: the lab's global zone, or for a lab
that is used without namespaces the machine's.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path

from zonemgr.lab.openzfs.machine import Machine
from zonemgr.lab.world import World

BOOT_ENVIRONMENT = "openzfs.root"  # fact: the dataset that counts as mounted at /
TABLE = Path("/proc/self/mountinfo")
# property and value: what mount(2) is told
FLAGS = {
    ("readonly", "on"): 1,
    ("setuid", "off"): 2,
    ("devices", "off"): 4,
    ("exec", "off"): 8,
    ("atime", "off"): 1024,
}
# option of a mount command: property and value in its place
OPTIONS = {
    "ro": (("readonly", "on"),),
    "rw": (("readonly", "off"),),
    "nosetuid": (("setuid", "off"),),
    "setuid": (("setuid", "on"),),
    "nosuid": (("setuid", "off"), ("devices", "off")),
    "suid": (("setuid", "on"), ("devices", "on")),
    "nodevices": (("devices", "off"),),
    "devices": (("devices", "on"),),
    "noexec": (("exec", "off"),),
    "exec": (("exec", "on"),),
    "noatime": (("atime", "off"),),
    "atime": (("atime", "on"),),
}


@dataclass(frozen=True)
class Mounted:
    dataset: str
    path: str  # as the lab's global zone has it
    flags: frozenset[str]  # the machine's words: ro, nosuid, ...

    def illumos_options(self) -> list[str]:
        """As illumos writes them into /etc/mnttab: every one that can be on or off."""
        lacks = self.flags
        return [
            "ro" if "ro" in lacks else "rw",
            "nodevices" if "nodev" in lacks else "devices",
            "nosetuid" if "nosuid" in lacks else "setuid",
            "nonbmand",
            "noexec" if "noexec" in lacks else "exec",
            "xattr",
            "noatime" if "noatime" in lacks else "atime",
        ]


def mounted(world: World) -> list[Mounted]:
    """All that is mounted, in the order of mounting; the boot environment counts as mounted at /."""
    found = []
    root = world.get(BOOT_ENVIRONMENT)
    if root:
        found.append(Mounted(root, "/", frozenset()))
    return found + parse(TABLE.read_text(errors="surrogateescape"), Machine(world), world.host)


def parse(text: str, machine: Machine, host: Path) -> list[Mounted]:
    """The lines of a mountinfo (proc(5)) that are about datasets of the lab, mounted below the lab's root."""
    found = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, (kind, special, *more) = left.split(), right.split()
        point = Path(_plain(fields[4]))
        if kind != "zfs" or not machine.owns(_plain(special)) or not point.is_relative_to(host):
            continue
        flags = frozenset({*fields[5].split(","), *(more[0].split(",") if more else ())})
        path = "/" + point.relative_to(host).as_posix()
        found.append(Mounted(machine.lab(_plain(special)), path, flags))
    return found


def _plain(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def at(world: World, path: str) -> Mounted | None:
    """What is mounted exactly here, the last one where there are several."""
    wanted = path.rstrip("/") or "/"
    return next((each for each in reversed(mounted(world)) if each.path == wanted), None)


def of(world: World, dataset: str) -> Mounted | None:
    return next((each for each in mounted(world) if each.dataset == dataset), None)


def holding(world: World, path: str) -> Mounted | None:
    """The file system a path lies in."""
    holders = [each for each in mounted(world) if f"{path}/".startswith(each.path.rstrip("/") + "/")]
    return max(holders, key=lambda each: len(each.path), default=None)


def below(world: World, path: str) -> list[Mounted]:
    return [
        each for each in mounted(world) if each.path != path and each.path.startswith(path.rstrip("/") + "/")
    ]


# -- the system calls --------------------------------------------------------------------------------------------


def mount(machine: Machine, dataset: str, where: Path, options: str) -> None:
    """Raises OSError. What the dataset's properties say of reading, setuid and so on is said to the kernel, too."""
    from zonemgr.lab import namespaces as ns

    ns.mount(machine.real(dataset), str(where), "zfs", _flags(machine, dataset, options))


def _flags(machine: Machine, dataset: str, options: str) -> int:
    names = ",".join(name for name, _ in FLAGS)
    rows = machine.rows("get", "-H", "-p", "-o", "property,value", names, machine.real(dataset))
    wanted = {row[0]: row[1] for row in rows}
    for option in options.split(","):
        wanted |= dict(OPTIONS.get(option, ()))
    return sum(flag for (name, value), flag in FLAGS.items() if wanted.get(name) == value)


def unmount(where: Path, *, force: bool) -> str:
    """The errno's text in illumos' words, "" when done. By force what is in use goes on until it is let go."""
    from zonemgr.lab import namespaces as ns

    try:
        (ns.detach if force else ns.unmount)(str(where))
    except OSError as reason:
        return words(reason)
    return ""


def words(reason: OSError) -> str:
    if reason.errno == errno.EBUSY:
        return "Device busy"
    if reason.errno in (errno.EPERM, errno.EACCES):
        return "Not owner"
    return os.strerror(reason.errno or errno.EIO)
