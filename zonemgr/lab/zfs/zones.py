"""What a zone sees of ZFS: the datasets delegated to it and all below, and the names of those above.

The rules are the kernel's: zone_dataset_visible() and zfs_dozonecheck() of illumos. Paths in a zone are those of its
root; the lab keeps mounts under their path in the global zone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from zonemgr.lab.call import Call
from zonemgr.lab.zfs.names import file_system_of

_HOPS = 40


@dataclass(frozen=True)
class View:
    zone: str
    root: str  # the zone's root as the global zone names it
    given: tuple[str, ...]
    mounted: tuple[str, ...] = ()  # file systems the global zone mounted in it: seen, but not its own

    def writable(self, name: str) -> bool:
        """Is it delegated, or below something that is? (A bookmark is as its file system.)"""
        head = file_system_of(name)
        return any(head == each or head.startswith(each + "/") for each in self.given)

    def visible(self, name: str) -> bool:
        """Also what is above, by name: never its snapshots."""
        known = (*self.given, *self.mounted)
        return self.writable(name) or name in known or any(each.startswith(name + "/") for each in known)

    def outside(self, path: str) -> str:
        """The global zone's name for a path in the zone."""
        return os.path.normpath(self.root + "/" + path.lstrip("/"))

    def within(self, path: str) -> str | None:
        """The zone's name for a path of the global zone; None for one outside of it."""
        if path == self.root:
            return "/"
        return path.removeprefix(self.root) if path.startswith(self.root + "/") else None

    def resolved(self, host: Path, path: str) -> Path:
        """Where a path in the zone is on this machine; a symbolic link in the zone leads nowhere else."""
        root = host / self.root.lstrip("/")
        todo = [part for part in path.split("/") if part not in ("", ".")][::-1]
        done: list[str] = []
        hops = 0
        while todo:
            part = todo.pop()
            if part == "..":
                done = done[:-1]
                continue
            target = _link(root.joinpath(*done, part)) if hops < _HOPS else None
            if target is None:
                done.append(part)
                continue
            hops += 1
            done = [] if target.startswith("/") else done
            todo += [piece for piece in target.split("/") if piece not in ("", ".")][::-1]
        return root.joinpath(*done)


def _link(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def view(call: Call) -> View | None:
    """The view of the zone a command was started in; None: the global zone's, which is everything."""
    if call.zone is None or call.root is None:
        return None
    from zonemgr.lab import zonestore

    mounted = tuple(fs.special for fs in zonestore.load(call.world, call.zone).fs if fs.type == "zfs")
    return View(call.zone, "/" + call.root.relative_to(call.world.host).as_posix(), call.given, mounted)
