"""Where a command works: the root of the global zone or of a zone, and what it can know there.

The same program answers in a zone (`svcs`) and for a zone (`svcs -z ZONE`), so what such a tool keeps lies in
files below that zone's root, where ZFS snapshots, rollbacks and clones carry it along as on illumos.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zonemgr.lab.world import LabError, World

if TYPE_CHECKING:
    import sqlite3

    from zonemgr.lab.call import Call

ZONE_FILE = ".lab/zone.json"  # what a zone's cell is told about itself
LONG = 3600.0


@dataclass(frozen=True)
class Link:
    """A data link as its zone sees it."""

    name: str
    klass: str = "vnic"
    over: str = ""
    mac: str = ""
    vid: int = 0
    mtu: int = 1500
    mactype: str = ""
    temporary: bool = False
    zone: str = ""
    dhcp: bool = True  # a DHCP server answers on it


@dataclass(frozen=True)
class Place:
    root: Path
    zone: str | None  # None: the global zone
    flavour: str
    latency: str
    booted: float
    boot_args: str
    now: float
    links: tuple[Link, ...] = ()
    given: tuple[tuple[str, str], ...] = ()  # addresses the global zone set for the zone: (link, addr/len)
    at_boot: str = "[]"  # what network/physical made of the zone's files, a JSON list (see ipboot)
    updates: int = 0  # how often the package repositories were updated since the lab was made

    @property
    def waited(self) -> float:
        """Seconds that network/physical spent at this boot on waiting for a DHCP server that is not there."""
        return sum(float(entry.get("waited", 0)) for entry in json.loads(self.at_boot))

    @property
    def omnios(self) -> bool:
        return self.flavour == "omnios"

    def boot_words(self) -> list[str]:
        try:
            return shlex.split(self.boot_args)
        except ValueError:
            return self.boot_args.split()


def here(call: Call) -> Place:
    """The place a command was started in."""
    return _in_zone(call) if call.zone is not None else global_zone(call.world)


def global_zone(world: World) -> Place:
    booted = float(world.get("host.booted", "0"))
    updates = int(world.get("pkg.updates", "0"))
    return Place(world.host, None, world.flavour, world.latency, booted, "", world.now(), updates=updates)


def of_zone(world: World, name: str) -> Place | None:
    """A running zone as the global zone reaches it; None when it does not run."""
    row = world.db.execute("select * from kernel_zones where name = ?", (name,)).fetchone()
    if row is None or row["state"] != "running":
        return None
    return _active(world, name, world.path(row["root"]), row)


def booting(world: World, name: str, root: Path) -> Place:
    """An active zone with its links and what it was booted with, running or about to."""
    row = world.db.execute("select * from kernel_zones where name = ?", (name,)).fetchone()
    return _active(world, name, root, row)


def _active(world: World, name: str, root: Path, row: sqlite3.Row) -> Place:
    rows = world.db.execute("select * from links where zone = ? order by id", (name,)).fetchall()
    links = [_told(world, link) for link in rows]
    return replace(
        at_root(world, name, root),
        booted=row["booted"],
        boot_args=row["boot_args"],
        links=tuple(link_of(link) for link in links),
        given=tuple(_given(links)),
        at_boot=_at_boot(links),
    )


def at_root(world: World, zone: str | None, root: Path) -> Place:
    """Any root reached from the global zone, nothing running in it: `pkg -R ROOT`, a zone being installed."""
    return replace(global_zone(world), root=root, zone=zone, booted=0.0)


def _in_zone(call: Call) -> Place:
    root = call.root or Path("/")
    known = told_at(root)
    entries = [] if known.get("ip_type") == "shared" else known.get("links", [])
    now, booted = time.time() + float(known.get("clock", 0.0)), float(known.get("booted", 0.0))
    return Place(
        root,
        call.zone,
        str(known.get("flavour", "openindiana")),
        str(known.get("latency", "none")),
        booted,
        str(known.get("boot_args", "")),
        # A lab whose clock was moved ahead booted the zone in its own future: then it booted long ago.
        now if now >= booted else booted + LONG,
        tuple(link_of(entry) for entry in entries),
        tuple(_given(entries)),
        _at_boot(entries),
        int(known.get("updates", 0)),
    )


def told(call: Call) -> dict[str, Any]:
    """What the cell of the caller's zone knows of itself."""
    return told_at(call.root or Path("/"))


def told_at(root: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads((root / ZONE_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return known


def link_of(entry: Any) -> Link:
    """A link from a row of the table, or from what a cell is told."""
    if isinstance(entry, str):
        return Link(entry)
    return Link(
        str(entry["name"]),
        str(entry.get("class", "vnic")),
        str(entry.get("over") or ""),
        str(entry.get("mac") or ""),
        int(entry.get("vid") or 0),
        int(entry.get("mtu") or 1500),
        str(entry.get("mactype") or ""),
        bool(entry.get("temporary")),
        str(entry.get("zone") or ""),
        bool(entry.get("dhcp", True)),
    )


def _told(world: World, row: sqlite3.Row) -> dict[str, Any]:
    from zonemgr.lab import links

    return links.told(world, row)


def _given(entries: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """The addresses that the global zone set on links, as (link, address)."""
    for entry in entries:
        yield from ((str(entry["name"]), str(address)) for address in _props(entry).get("_given", ()))


def _at_boot(entries: Iterable[Any]) -> str:
    return json.dumps([made for entry in entries for made in _props(entry).get("_files", ())])


def _props(entry: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(entry.get("props") or "{}") if isinstance(entry, dict) else {}
    return found


# -- files of a root -----------------------------------------------------------------------------------


def inside(root: Path, name: str) -> Path:
    """A file below a root; a symbolic link that a zone's user planted must not lead the lab out of it."""
    path = root / name
    real_root, real = os.path.realpath(root), os.path.realpath(path.parent)
    if os.path.commonpath([real_root, real]) != real_root or path.is_symlink():
        raise LabError(f"{path} is or crosses a symbolic link")
    return path


def read(root: Path, name: str) -> str | None:
    """A file's text, None when it is not there or cannot be read."""
    try:
        return inside(root, name).read_text()
    except (OSError, UnicodeDecodeError):
        return None


def write(root: Path, name: str, text: str, mode: int = 0o644) -> None:
    """Replace a file in one step, making its directories; raises OSError where the caller may not."""
    path = inside(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(root: Path, name: str) -> Iterator[None]:
    """One writer at a time for the files in this directory of a root; without a directory nobody waits."""
    try:
        directory = os.open(inside(root, f"{name}/."), os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield
        return
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
