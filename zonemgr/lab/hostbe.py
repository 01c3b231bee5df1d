"""libbe in the global zone: boot environments below rpool/ROOT, and those of its zones that go with them.

illumos lib/libbe, be_create.c, be_mount.c, be_utils.c. A lab's host boots one boot environment only, so another one can
be made, looked into and destroyed, and not activated.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from zonemgr.lab.call import Call, Finished

UUID = "org.opensolaris.libbe:uuid"
POLICY = "org.opensolaris.libbe:policy"
PARENT = "org.opensolaris.libbe:parentbe"
ACTIVE = "org.opensolaris.libbe:active"
TOP = "rpool/ROOT"
AUTOMATIC = re.compile(r"\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d")
# Brands whose zones are cloned along (be_zones.c: be_get_supported_brandlist, read from /usr/lib/brand).
BRANDS = ("ipkg", "lipkg", "nlipkg", "sparse", "labeled")


class BeError(Exception):
    """libbe's complaint: a whole text for beadm to print, or its name for the reason."""


@dataclass(frozen=True)
class Snapshot:
    name: str
    used: int
    created: int


@dataclass(frozen=True)
class Be:
    name: str
    dataset: str
    uuid: str
    running: bool
    next: bool
    mounted: str
    used: int
    policy: str
    created: int
    origin: str
    snapshots: tuple[Snapshot, ...] = ()


class Host:
    """The boot environments of the global zone."""

    def __init__(self, call: Call) -> None:
        self.call = call

    def zfs(self, *argv: str) -> Finished:
        return self.call.run("zfs", *argv)

    def must(self, *argv: str) -> str:
        done = self.zfs(*argv)
        if done.exit_code:
            raise BeError(done.stderr.strip())
        return done.stdout

    # -- what there is ---------------------------------------------------------------------------------------

    def every(self) -> list[Be]:
        columns = f"name,{UUID},mounted,mountpoint,used,creation,{POLICY},origin"
        listed = self.zfs("list", "-Hp", "-d", "1", "-t", "filesystem", "-o", columns, TOP)
        booted = self.call.run("zpool", "get", "-H", "-o", "value", "bootfs", "rpool").stdout.strip()
        rows = (line.split("\t") for line in listed.stdout.splitlines())
        return [self._be(row, booted) for row in rows if row[0] != TOP]

    def _be(self, row: list[str], booted: str) -> Be:
        name, number, mounted, point, used, created, policy, origin = row
        where = point if mounted == "yes" else ""
        return Be(
            name.rpartition("/")[2],
            name,
            number.strip("-"),
            where == "/",
            name == booted,
            where,
            int(used),
            policy.strip("-") or "static",
            int(created),
            origin.strip("-"),
            tuple(self._snapshots(name)),
        )

    def _snapshots(self, dataset: str) -> Iterator[Snapshot]:
        listed = self.zfs("list", "-Hp", "-d", "1", "-t", "snapshot", "-o", "name,used,creation", dataset)
        for line in listed.stdout.splitlines():
            name, used, created = line.split("\t")
            yield Snapshot(name.partition("@")[2], int(used), int(created))

    def get(self, name: str) -> Be | None:
        return next((each for each in self.every() if each.name == name), None)

    def running(self) -> Be:
        return next(each for each in self.every() if each.running)

    # -- changes ---------------------------------------------------------------------------------------------

    def snapshot(self, be: Be, word: str) -> None:
        self.must("snapshot", "-r", f"{be.dataset}@{word}")

    def copy(self, source: Be, word: str, name: str) -> None:
        """Clone a BE, from this snapshot or (empty) from a new one named after the time, with its zones' roots."""
        fresh = not word
        if fresh:
            word = time.strftime("%Y-%m-%d-%H:%M:%S", time.gmtime(self.call.world.now()))
            self.snapshot(source, word)
        target, number = f"{TOP}/{name}", str(uuid.uuid4())
        properties = (
            "-o",
            "canmount=noauto",
            "-o",
            "mountpoint=/",
            "-o",
            f"{UUID}={number}",
            "-o",
            f"{POLICY}=static",
        )
        self.must("clone", *properties, f"{source.dataset}@{word}", target)
        if fresh:
            for root in self._zone_roots(source.uuid):
                self._copy_zone(root, word, number)

    def _zone_roots(self, parent: str) -> list[str]:
        """The active roots that zones have in a BE, by what libbe left on them."""
        from zonemgr.lab import zonestore

        entries = zonestore.index(self.call.world)
        paths = [
            each.zonepath for each in entries if zonestore.load(self.call.world, each.name).brand in BRANDS
        ]
        listed = self.zfs("list", "-H", "-t", "filesystem", "-o", f"name,mountpoint,{PARENT},{ACTIVE}")
        rows = [line.split("\t") for line in listed.stdout.splitlines()]
        tops = {f"{row[0]}/ROOT" for row in rows if row[1] in paths}
        return [row[0] for row in rows if row[0].rpartition("/")[0] in tops and row[2:] == [parent, "on"]]

    def _copy_zone(self, root: str, word: str, parent: str) -> None:
        container, _, name = root.rpartition("/")
        base = re.sub(r"-\d+$", "", name)
        listed = self.zfs("list", "-H", "-d", "1", "-o", "name", container).stdout.split()
        taken = [
            int(match[1]) for each in listed if (match := re.search(rf"/{re.escape(base)}-(\d+)$", each))
        ]
        target = f"{container}/{base}-{max(taken, default=0) + 1}"
        self.must("snapshot", "-r", f"{root}@{word}")
        self.must("clone", "-o", "canmount=noauto", f"{root}@{word}", target)
        self.must("set", f"{PARENT}={parent}", target)
        self.must("set", f"{ACTIVE}=on", target)

    def destroy(self, be: Be, *, snapshots: bool) -> None:
        for root in self._zone_roots(be.uuid):
            origin = self.must("get", "-H", "-o", "value", "origin", root).strip()
            self.must("destroy", "-r", root)
            self._destroy_origin(origin)
        self.must("destroy", *(("-r",) if snapshots else ()), be.dataset)
        self._destroy_origin(be.origin)

    def _destroy_origin(self, origin: str) -> None:
        """A snapshot that was made for the clone goes with it, unless others were cloned from it."""
        if AUTOMATIC.fullmatch(origin.partition("@")[2]):
            self.zfs("destroy", origin)

    def mount(self, be: Be, where: str) -> None:
        self.must("set", f"mountpoint={where}", be.dataset)
        done = self.zfs("mount", be.dataset)
        if done.exit_code:
            self.zfs("set", "mountpoint=/", be.dataset)
            raise BeError(done.stderr.strip())

    def unmount(self, be: Be, *, force: bool) -> None:
        self.must("unmount", *(("-f",) if force else ()), be.dataset)
        self.must("set", "mountpoint=/", be.dataset)
