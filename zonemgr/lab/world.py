"""The world of one lab, a folder: an SQLite file for what a kernel would know, real directories for files.

    LAB/lab.json       flavour, latency profile, version of the layout
    LAB/world.sqlite   datasets, links, kernel zones, log, faults, ...
    LAB/host/          the global zone's root: etc/, var/, zones/, rpool/, export/, ... (real files)
    LAB/store/         contents of file systems that are not mounted, and of snapshots

A mounted file system's content *is* the directory at its mount point below LAB/host: mounting renames it
there, unmounting renames it back. illumos mounts only over empty directories, so nothing is hidden by that.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

LAYOUT = 1
INSIDE = Path("/.lab/dir")  # a lab's directory as its global zone sees it
FLAVOURS = ("openindiana", "omnios")
LATENCIES = ("none", "illumos")

# Top-level directories of the global zone that are not the lab's own: the machine's programs and libraries, shown
# read-only, and what is made when the host boots. Everything else is below LAB/host, and only `--share` brings in more.
SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
MADE = ("proc", "dev", ".lab")
# Emptied when the host boots: tmpfs on illumos (svc:/system/filesystem/minimal; /etc/vfstab for /tmp).
VOLATILE = ("tmp", "var/run", "etc/svc/volatile")
# Permissions of a directory below LAB/host that is only a mount point for a directory of the machine.
MACHINE_MARK = 0o1555


class LabError(Exception):
    """The lab itself (not the host it plays) cannot go on; the text says what to do."""


def pool_of(directory: Path) -> str:
    """POOL/DATASET of the machine's ZFS that a lab lives in; "" where its ZFS is emulated."""
    return str(json.loads((directory / "lab.json").read_text()).get("pool", ""))


class World:
    """An open lab. Cheap to open; one per emulated command in program mode, one per test in-process."""

    def __init__(self, directory: Path) -> None:
        self.dir = directory
        try:
            self.settings: dict[str, Any] = json.loads((directory / "lab.json").read_text())
        except FileNotFoundError:
            raise LabError(
                f"{directory} is not a lab; make one with: zonemgr lab create {directory}"
            ) from None
        self.flavour: str = self.settings["flavour"]
        self.latency: str = self.settings["latency"]
        self.pool: str = self.settings.get(
            "pool", ""
        )  # POOL/DATASET of the machine's ZFS; "": it is emulated
        # File systems of the machine's ZFS are mounted in the global zone's namespace only, whose root this is.
        self.host = Path("/") if self.pool and directory == INSIDE else directory / "host"
        self.store = directory / "store"
        self._connections: dict[int, sqlite3.Connection] = {}  # by process
        self._depth = 0
        self._offset = float(self.get("clock.offset", "0"))

    @property
    def omnios(self) -> bool:
        return self.flavour == "omnios"

    @property
    def db(self) -> sqlite3.Connection:
        """This process' own connection: one that was opened before a fork serves only the process that opened it.

        Even closing the parent's would harm the parent, so a child leaves it open and unused.
        """
        mine = self._connections.get(os.getpid())
        if mine is None:
            mine = sqlite3.connect(self.dir / "world.sqlite", timeout=60, isolation_level=None)
            mine.row_factory = sqlite3.Row
            mine.execute("pragma synchronous=off")
            self._connections[os.getpid()] = mine
            self._depth = 0
        return mine

    def close(self) -> None:
        mine = self._connections.pop(os.getpid(), None)
        if mine is not None:
            mine.close()

    # -- paths ---------------------------------------------------------------------------------------------

    def path(self, host_path: str | os.PathLike[str]) -> Path:
        """The machine's path for an absolute path as the global zone sees it."""
        text = os.path.normpath(os.fspath(host_path))
        first = text.lstrip("/").split("/", 1)[0]
        own = self.owns(first) or text.startswith("/dev/shm/")
        return self.host / text.lstrip("/") if own else Path(text)

    def owns(self, first: str) -> bool:
        """Is this top-level name of the global zone (`""` for / itself) the lab's, or the machine's?"""
        return first not in SYSTEM and first not in MADE

    # -- time ----------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since the epoch on the lab's clock, which `advance` can move ahead of the machine's."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Let time pass without waiting (a test's way to sleep)."""
        self._offset += seconds
        self.put("clock.offset", repr(self._offset))

    # -- SQLite --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, one writer at a time; may be nested (the outermost counts)."""
        if self._depth == 0:
            self.db.execute("begin immediate")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._depth == 0:
                self.db.execute("rollback")
            raise
        self._depth -= 1
        if self._depth == 0:
            self.db.execute("commit")

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read all as it is at one moment, whatever others change meanwhile; nothing may be written in it."""
        if self._depth:
            yield
            return
        self.db.execute("begin")
        try:
            yield
        finally:
            self.db.execute("commit")

    def get(self, key: str, default: str = "") -> str:
        row = self.db.execute("select value from facts where key = ?", (key,)).fetchone()
        return default if row is None else str(row[0])

    def put(self, key: str, value: str) -> None:
        self.db.execute("insert or replace into facts values (?, ?)", (key, value))

    def count(self, key: str) -> int:
        """A counter that never runs backwards: 1, 2, 3, … (zone ids, dataset ids)."""
        with self.transaction():
            value = int(self.get(key, "0")) + 1
            self.put(key, str(value))
        return value


# Every tool that keeps rows of its own registers its tables here, in its own file.
SCHEMA: list[str] = [
    "create table facts (key text primary key, value text not null)",
]
# What a fresh lab is given, in this order, after the schema: functions of the open world.
FIRST_DAY: list[Callable[[World], None]] = []
# What a power cut does to a tool's rows: called in this order when the host comes up again.
HOST_BOOT: list[Callable[[World], None]] = []


def check(directory: Path, *, flavour: str, latency: str) -> None:
    """Raises LabError where `create` would, before anything is made."""
    if flavour not in FLAVOURS:
        raise LabError(f"no flavour {flavour!r}; there are: {', '.join(FLAVOURS)}")
    if latency not in LATENCIES:
        raise LabError(f"no latency profile {latency!r}; there are: {', '.join(LATENCIES)}")
    if directory.exists() and any(directory.iterdir()):
        raise LabError(
            f"{directory} is not empty; choose another directory, or: zonemgr lab destroy {directory}"
        )


def create(
    directory: Path,
    *,
    flavour: str = "openindiana",
    latency: str = "none",
    zfs: Mapping[str, str] | None = None,
    shares: Sequence[str] = (),
) -> World:
    """Make a new lab in a directory that is absent or empty; raises LabError otherwise.

    `zfs`: settings of the machine's ZFS, if that is to be used: `pool`, the dataset the lab lives in, and
    `zfs_programs`, the folder of its commands, if not the usual one. `shares`: what its global zone shows of the
    machine, as shares.Share writes it.
    """
    check(directory, flavour=flavour, latency=latency)
    from zonemgr.lab import tools  # every tool registers its tables when imported

    tools.load_all()
    for part in ("host", "store"):
        (directory / part).mkdir(parents=True)
    database = sqlite3.connect(directory / "world.sqlite", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    for statement in SCHEMA:
        database.execute(statement)
    database.close()
    # lab.json comes last but one: a lab whose making was cut short is not taken for a lab.
    (directory / "lab.json").write_text(
        json.dumps(
            {"layout": LAYOUT, "flavour": flavour, "latency": latency, "shares": list(shares), **(zfs or {})},
            indent=1,
        )
        + "\n"
    )
    world = World(directory)
    for first in FIRST_DAY:
        first(world)
    return world
