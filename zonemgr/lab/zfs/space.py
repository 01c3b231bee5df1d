"""Sizes: measured from the real files, put together by ZFS' rules. Plausible, not exact."""

from __future__ import annotations

import os
from pathlib import Path

from zonemgr.lab.zfs import busy
from zonemgr.lab.zfs.catalogue import Catalogue, Ds, Mount
from zonemgr.lab.zfs.names import parent_of, pool_of
from zonemgr.lab.zfs.store import Store

EMPTY = 24 * 1024  # what a file system without files takes
POOL_SIZE = 128 * 1024**3
_ENOUGH = 20_000  # files looked at in one file system; bigger ones are taken to be as big as that
_SLOP = 32  # this part of a pool is never available


def _walk(top: Path, holes: frozenset[str]) -> int:
    total, seen, todo = 0, 0, [str(top)]
    while todo and seen < _ENOUGH:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if entry.is_dir(follow_symlinks=False):
                        if entry.path not in holes:
                            todo.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:  # removed while we look, or not ours to see
            continue
    return total


class Space:
    """All sizes of one command; each file system is measured at most once."""

    def __init__(self, cat: Catalogue) -> None:
        self.cat, self.store = cat, Store(cat.world)
        self._refer: dict[int, int] = {}
        self._used: dict[int, int] = {}

    def measure(self, ds: Ds) -> int:
        mounted: Mount | None = self.cat.mount(ds)
        with busy.measuring(self.cat.world):
            if mounted is None:
                return EMPTY + _walk(self.store.fs(ds.id), frozenset())
            host = str(self.cat.world.host)
            holes = frozenset(host + below.path for below in self.cat.mounts_below(mounted.path))
            return EMPTY + _walk(Path(host + mounted.path), holes)

    def refer(self, ds: Ds) -> int:
        if ds.type in ("snapshot", "bookmark"):
            return ds.refer
        if ds.id not in self._refer:
            self._refer[ds.id] = EMPTY // 2 if ds.type == "volume" else self.measure(ds)
        return self._refer[ds.id]

    def by_dataset(self, ds: Ds) -> int:
        origin = self.cat.origin(ds)
        shared = origin.refer if origin is not None else 0
        return max(self.refer(ds) - shared, 1024)

    def unique(self, snap: Ds) -> int:
        """A snapshot's own blocks: what its successor has not."""
        head = self.cat.get(snap.name.partition("@")[0])
        assert head is not None
        younger = [each for each in self.cat.snapshots(head) if each.txg > snap.txg]
        following = younger[0].refer if younger else self.refer(head)
        return max(snap.refer - following, 0)

    def by_snapshots(self, ds: Ds) -> int:
        return sum(self.unique(snap) for snap in self.cat.snapshots(ds))

    def by_children(self, ds: Ds) -> int:
        return sum(
            max(self.used(child), self.cat.number(child, "reservation")) for child in self.cat.children(ds)
        )

    def by_reservation(self, ds: Ds) -> int:
        return max(self.cat.number(ds, "refreservation") - self.by_dataset(ds), 0)

    def used(self, ds: Ds) -> int:
        if ds.type == "snapshot":
            return self.unique(ds)
        if ds.id not in self._used:
            own = self.by_dataset(ds) + self.by_snapshots(ds)
            self._used[ds.id] = own + self.by_children(ds) + self.by_reservation(ds)
        return self._used[ds.id]

    def available(self, ds: Ds) -> int:
        """What may still be written: the least any quota on the way up leaves, own reservations included."""
        root = self.cat.get(pool_of(ds.name))
        assert root is not None
        left = self.pool_size(root.name) * (_SLOP - 1) // _SLOP - self.used(root)
        left += self._reserved_below(ds, root)
        here: Ds | None = ds
        while here is not None:
            quota = self.cat.number(here, "quota") if here.type == "filesystem" else 0
            if quota:
                left = min(left, quota - self.used(here))
            above = parent_of(here.name)
            here = None if above is None else self.cat.get(above)
        if ds.type == "filesystem" and self.cat.number(ds, "refquota"):
            left = min(left, self.cat.number(ds, "refquota") - self.refer(ds))
        return max(left + self.by_reservation(ds), 0)

    def _reserved_below(self, ds: Ds, root: Ds) -> int:
        """A reservation between here and the pool that is not used up yet is ours to use."""
        extra, name = 0, ds.name
        while name != root.name:
            here = self.cat.get(name)
            assert here is not None
            extra += max(self.cat.number(here, "reservation") - self.used(here), 0)
            name = parent_of(name) or root.name
        return extra

    def pool_size(self, pool: str) -> int:
        row = self.cat.db.execute("select size from zfs_pools where name = ?", (pool,)).fetchone()
        return int(row[0])

    def written(self, ds: Ds, since: Ds | None = None) -> int:
        """New since a snapshot; without one, since the last one before."""
        if since is None:
            head = self.cat.get(ds.name.partition("@")[0])
            assert head is not None
            older = [each for each in self.cat.snapshots(head) if ds.type != "snapshot" or each.txg < ds.txg]
            since = older[-1] if older else None
        return self.refer(ds) if since is None else max(self.refer(ds) - since.refer, 0)


def volume_reservation(volsize: int, blocksize: int, copies: int) -> int:
    """What a volume of this size may need with all its metadata (per level 1024 pointers, 128K each)."""
    blocks = volsize // blocksize
    indirect = 7
    while blocks > 1:
        blocks = (blocks + 1023) // 1024
        indirect += blocks
    return volsize * copies + indirect * min(3, copies + 1) * 128 * 1024
