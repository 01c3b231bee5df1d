"""The processes of the lab's host as its global zone sees them, or those of one zone as that zone does.

Real ones are what runs in the lab: read from the /proc of the global zone's or the cell's pid namespace, so never the
machine's. Those that only keep the lab going are left out. The rest is as `daemons` has it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from zonemgr.lab import daemons, place
from zonemgr.lab.call import Call
from zonemgr.lab.place import Place
from zonemgr.lab.world import LabError, World

PSARGS = 79  # bytes of a command line that the kernel keeps (gate, sys/procfs.h: PRARGSZ - 1)
FNAME = 15  # and of a program's name (PRFNSZ - 1)
NOBODY = -1  # who started the first
KERNEL = ("sched", "/sbin/init", "pageout", "fsflush")
HIDDEN = ("zonemgr-zoned", "zonemgr-lab")  # beside a cell, see kernel; the lab's holder
IDLE = "sleep 2147483647"  # what a cell's first process waits for; see cell


# Where the lab's programs are, and those of the machine that stand in for illumos' (see programs).
PROGRAMS = ("/usr/bin/", "/usr/sbin/", "/sbin/", "/bin/", "/.lab/tools/")
MACHINES = "/.lab/usr/"


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    zone: str
    zone_id: int
    user: str
    uid: int
    group: str
    gid: int
    name: str  # of the program: its file's last component
    args: str
    start: float  # on the lab's clock
    seconds: float = 0.0  # of processor time
    state: str = "S"
    terminal: str = ""  # such as pts/1
    process_group: int = 0
    session: int = 0
    contract: int = 0  # 0: none
    size: int = 0  # KB of address space
    resident: int = 0  # KB
    system: bool = False  # of the kernel: no signal reaches it
    service: str = ""  # the FMRI it belongs to, when only the lab's books know it
    real: bool = False  # a process of the machine

    @property
    def zombie(self) -> bool:
        return self.state == "Z"


@dataclass(frozen=True)
class _Raw:
    """What /proc says of a process of the machine."""

    pid: int
    parent: int
    comm: str
    words: tuple[str, ...]
    state: str
    group: int
    session: int
    terminal: int
    seconds: float
    start: float  # seconds since the epoch
    size: int
    resident: int
    uid: int
    gid: int
    space: str  # its pid namespace
    contract: int


class Names:
    """Users and groups of a root, by number and name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.users = dict(self._read("passwd"))
        self.groups = dict(self._read("group"))

    def _read(self, file: str) -> Iterator[tuple[int, str]]:
        for line in reversed((place.read(self.root, f"etc/{file}") or "").splitlines()):
            fields = line.split(":")
            if len(fields) > 2 and fields[2].isdigit():
                yield int(fields[2]), fields[0]

    def user(self, uid: int) -> str:
        return self.users.get(uid, str(uid))

    def group(self, gid: int) -> str:
        return self.groups.get(gid, str(gid))

    def uid(self, name: str) -> int | None:
        return next((uid for uid, each in self.users.items() if each == name), None)

    def gid(self, name: str) -> int | None:
        return next((gid for gid, each in self.groups.items() if each == name), None)


def table(call: Call) -> list[Process]:
    """All processes the caller can see, by number."""
    found = _of_zone(call) if call.zone is not None else _of_host(call)
    return sorted(found, key=lambda each: each.pid)


def zone_ids(call: Call) -> dict[str, int]:
    """The active zones the caller can see, with their ids."""
    if call.zone is not None:
        return {call.zone: int(place.told(call).get("id", 1))}
    rows = call.world.db.execute("select id, name from kernel_zones")
    return {"global": 0, **{str(row["name"]): int(row["id"]) for row in rows}}


def zone_id(call: Call, text: str) -> int | None:
    """A zone by name or number; None when no active zone is meant (gate, libzonecfg: zone_get_id)."""
    ids = zone_ids(call)
    if text in ids:
        return ids[text]
    return int(text) if text.isdigit() and int(text) in ids.values() else None


# -- seen from a zone --------------------------------------------------------------------------------------


def _of_zone(call: Call) -> Iterator[Process]:
    where, ids = place.here(call), zone_ids(call)
    zone = _Zone(call.zone or "", ids[call.zone or ""], "running", where)
    names = Names(where.root)
    raws = list(_raws()) if Path("/.lab/zone.json").exists() else []
    first = 1 if raws else 0
    books = zone.books(names, first)
    sched = books[0].pid
    yield replace(books[0], parent=sched)
    yield from books[1:]
    for raw in raws:
        if raw.pid != 1 and not _keeps_lab(raw):
            # Whoever came from outside hangs below zsched (gate, proc/prsubr.c: prgetpsinfo).
            yield _process(raw, zone.name, zone.id, names, raw.parent or sched, where.now - time.time())


# -- seen from the global zone -----------------------------------------------------------------------------


def _of_host(call: Call) -> Iterator[Process]:
    world = call.world
    zones = list(_active_zones(call))
    global_zone = place.global_zone(world)
    names = Names(world.host)
    inside = Path("/.lab/gz.json").exists()
    raws = [raw for raw in _raws() if not _keeps_lab(raw)]
    yield from _kernel(global_zone, names, zones)
    firsts = {zone.name: _firsts(world, zone.name) for zone in zones}
    spaces: dict[str, _Zone] = {}
    books: dict[str, list[Process]] = {}
    for zone in zones:
        books[zone.name] = zone.books(names, next(iter(firsts[zone.name]), 0))
        yield from books[zone.name]
        spaces.update(dict.fromkeys(firsts[zone.name].values(), zone))
    everyones = {pid for pids in firsts.values() for pid in pids}
    own = _space(os.getpid())
    offset = world.now() - time.time()
    callers = _Callers(world, raws) if inside else None
    for raw in raws:
        here = spaces.get(raw.space)
        if here is not None and raw.pid not in everyones:
            init = books[here.name][-1].pid if len(books[here.name]) == 1 else books[here.name][1].pid
            parent = init if raw.parent in everyones else raw.parent or 1
            yield _process(raw, here.name, here.id, names, parent, offset)
        elif inside and raw.space == own and raw.pid != 1:
            process = _process(raw, "global", 0, names, raw.parent or 1, offset)
            yield callers.with_user(process, names) if callers else process


def _kernel(where: Place, names: Names, zones: Iterable[_Zone]) -> Iterator[Process]:
    """The global zone's own: the kernel's, init, the services', and a zoneadmd for each active zone."""
    for pid, text in enumerate(KERNEL):
        yield _book(names, pid, 0, "global", 0, "root", text, where.booted, system=pid != 1)
    for daemon in daemons.running(where):
        yield _of_daemon(names, daemon, 1, "global", 0)
    for zone in zones:
        text, since = f"zoneadmd -z {zone.name}", zone.where.booted or where.now
        pid = daemons.number("zoneadmd", zone.name, zone.id)
        yield _book(names, pid, 1, "global", 0, "root", text, since)


@dataclass(frozen=True)
class _Zone:
    """A zone with its kernel state."""

    name: str
    id: int
    state: str
    where: Place

    def books(self, names: Names, init: int) -> list[Process]:
        """zsched, and of a zone that runs init (of this number, where it is a real process) and the services'."""
        since = self.where.booted or self.where.now
        zsched = daemons.number("zsched", self.name, self.id)
        found = [_book(names, zsched, 1, self.name, self.id, "root", "zsched", since, system=True)]
        if self.state != "running":
            return found
        init = init or daemons.number("init", self.name, self.id)
        words = " ".join(["/sbin/init", *self.where.boot_words()])
        found.append(_book(names, init, zsched, self.name, self.id, "root", words, since))
        for daemon in daemons.running(self.where):
            parent = init if daemon.args in (daemons.STARTD, daemons.CONFIGD) else zsched
            found.append(_of_daemon(names, daemon, parent, self.name, self.id))
        return found


def _active_zones(call: Call) -> Iterator[_Zone]:
    """After what time has done to them: a zone's first boot may end in a reboot, and a new id."""
    from zonemgr.lab.smf import reach, repository

    world = call.world
    for row in world.db.execute("select name, state, root from kernel_zones order by id").fetchall():
        if row["state"] == "running" and repository.load(world.path(row["root"])) is not None:
            with suppress(reach.NoServer, reach.NoZone, LabError, OSError):
                reach.zone(replace(call, privileged=True), row["name"])
    for row in world.db.execute("select * from kernel_zones order by id").fetchall():
        where = place.booting(world, row["name"], world.path(row["root"]))
        yield _Zone(str(row["name"]), int(row["id"]), str(row["state"]), where)


def _firsts(world: World, zone: str) -> dict[int, str]:
    """The first processes of a zone's cells, with their pid namespaces."""
    from zonemgr.lab import cell

    return {pid: space for pid in cell.firsts(world, zone) if (space := _space(pid))}


class _Callers:
    """Who the lab takes a real process of the global zone for: what its nearest registered ancestor said."""

    def __init__(self, world: World, raws: Iterable[_Raw]) -> None:
        self.parents = {raw.pid: raw.parent for raw in raws}
        self.users = {
            int(row["pid"]): str(row["user"]) for row in world.db.execute("select pid, user from callers")
        }

    def with_user(self, process: Process, names: Names) -> Process:
        pid = process.pid
        while pid and pid not in self.users:
            pid = self.parents.get(pid, 0)
        user = self.users.get(pid, "root")
        if user == "root":
            return process
        return replace(process, user=user, uid=names.uid(user) or process.uid)


# -- real processes ----------------------------------------------------------------------------------------


def _raws() -> Iterator[_Raw]:
    ticks = os.sysconf("SC_CLK_TCK")
    booted = _machine_booted()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                yield _raw(entry, ticks, booted)


def _raw(entry: Path, ticks: int, booted: float) -> _Raw:
    """Raises OSError when the process is gone."""
    text = (entry / "stat").read_text(errors="surrogateescape")
    end = text.rindex(")")
    comm, fields = text[text.index("(") + 1 : end], text[end + 2 :].split()
    words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").rstrip("\0").split("\0")
    comm, words = _as_started(comm, words)
    ids = {line.split(":")[0]: line.split()[1:] for line in (entry / "status").read_text().splitlines()}
    return _Raw(
        pid=int(entry.name),
        parent=int(fields[1]),
        comm=comm,
        words=tuple(words),
        state={"R": "O", "Z": "Z", "X": "Z", "T": "T", "t": "T"}.get(fields[0], "S"),
        group=int(fields[2]),
        session=int(fields[3]),
        terminal=int(fields[4]),
        seconds=(int(fields[11]) + int(fields[12])) / ticks,
        start=booted + int(fields[19]) / ticks,
        size=int(fields[20]) // 1024,
        resident=int(fields[21]) * 4,
        uid=int(ids["Uid"][1]),
        gid=int(ids["Gid"][1]),
        space=_space(int(entry.name)),
        contract=_contract(entry),
    )


def _as_started(comm: str, words: list[str]) -> tuple[str, list[str]]:
    """Name and words of a program as it was called, without what the lab runs it with (see programs, shells)."""
    if len(words) > 2 and words[1] == "-IS" and words[2].startswith(PROGRAMS):
        return comm, [words[2].rsplit("/", 1)[-1].removeprefix("lab-"), *words[3:]]
    for option in (["+o", "posix"], ["--posix"]):
        if words[1 : 1 + len(option)] == option:
            rest = words[1 + len(option) :]
            script = bool(rest) and not rest[0].startswith("-")
            return rest[0].rsplit("/", 1)[-1][:15] if script else "sh", [words[0], *rest]
    if words and words[0].startswith(MACHINES):
        return comm, [words[0].rsplit("/", 1)[-1], *words[1:]]
    return comm, words


def _space(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _contract(entry: Path) -> int:
    """See contracts: a resource limit stands for it."""
    for line in (entry / "limits").read_text().splitlines():
        if line.startswith("Max realtime timeout"):
            word = line.split()[3]
            return int(word) if word.isdigit() else 0
    return 0


def _machine_booted() -> float:
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def _keeps_lab(raw: _Raw) -> bool:
    return raw.comm in HIDDEN or " ".join(raw.words) == IDLE


def _terminal(device: int) -> str:
    """Of the controlling terminal's number: those a person types at, the first 256 of each machine's kind."""
    major, minor = (device >> 8) & 0xFFF, (device & 0xFF) | ((device >> 12) & 0xFFF00)
    if not device:
        return ""
    return f"pts/{minor + (major - 136) * 256}" if 136 <= major < 144 else "console"


def _process(raw: _Raw, zone: str, zone_id: int, names: Names, parent: int, offset: float) -> Process:
    words = " ".join(raw.words)[:PSARGS] or raw.comm
    return Process(
        raw.pid,
        parent,
        zone,
        zone_id,
        names.user(raw.uid),
        raw.uid,
        names.group(raw.gid),
        raw.gid,
        raw.comm[:FNAME],
        words,
        raw.start + offset,
        raw.seconds,
        raw.state,
        _terminal(raw.terminal),
        raw.group,
        raw.session,
        raw.contract,
        raw.size,
        raw.resident,
        real=True,
    )


# -- the lab's books ---------------------------------------------------------------------------------------


def _of_daemon(names: Names, daemon: daemons.Daemon, parent: int, zone: str, zone_id: int) -> Process:
    made = _book(names, daemon.pid, parent, zone, zone_id, daemon.user, daemon.args, daemon.since)
    contract = daemons.number("contract", daemon.service, zone_id) % 30000
    return replace(made, service=daemon.service, contract=contract)


def _book(
    names: Names,
    pid: int,
    parent: int,
    zone: str,
    zone_id: int,
    user: str,
    args: str,
    start: float,
    *,
    system: bool = False,
) -> Process:
    uid = names.uid(user) or 0
    name = args.split()[0].rsplit("/", 1)[-1][:FNAME]
    sizes = (0, 0) if system else (8192, 3072)
    return Process(
        pid,
        parent,
        zone,
        zone_id,
        names.user(uid),
        uid,
        names.group(0),
        0,
        name,
        args[:PSARGS],
        start,
        process_group=0 if system else pid,
        session=0 if system else pid,
        size=sizes[0],
        resident=sizes[1],
        system=system,
    )
