"""Cells: what a zone runs in. Namespaces of its own, its dataset as root, the machine's programs read-only.

A cell is named by its first process, there as long as the zone is up; killing it kills all in the cell.
A zone without a process of its own (mounted, or booted with cells off) gets a cell for one command at a time.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from zonemgr.lab import accounts, cellroot, processes
from zonemgr.lab.processes import alive
from zonemgr.lab.world import LabError, World
from zonemgr.lab.zonestore import ZoneConfig

if TYPE_CHECKING:
    pass

__all__ = ["Place", "alive", "enter", "of", "spawn", "start", "stop"]

# Capabilities of root in a zone: others' files, ids, its own network; not the machine's kernel, clock, disks.
# chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap net_bind_service net_broadcast
# net_admin net_raw ipc_lock ipc_owner sys_chroot sys_ptrace sys_nice lease setfcap
CAPABILITIES = frozenset((0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 18, 19, 23, 28, 31))

# The first process: an init that does nothing but bury what nobody else does.
INIT = "trap '' HUP INT TERM; while :; do sleep 2147483647 & wait; done"


READY = "ready"


@dataclass(frozen=True)
class Place:
    """A cell that is up: its first process, as this process sees it."""

    pid: int
    start: int


# -- up and down -------------------------------------------------------------------------------------------


def start(world: World, zone: str, root: Path, config: ZoneConfig) -> tuple[int, int]:
    """Bring a zone's cell up on this root directory; its first process and that one's start time.

    (0, 0) when cells are switched off in this world. Raises LabError when it cannot be done.
    """
    if world.get("cells") == "off":
        return 0, 0
    _stop_all(world, zone)  # a zoneadm killed while booting may have left one that the kernel never heard of
    place = _start(cellroot.plan(world, zone, root, config, scratch=False), clean=True)
    return place.pid, place.start


def stop(world: World, zone: str) -> None:
    """Kill everything in a zone's cell; returns when it is gone."""
    _stop_all(world, zone)


def _stop_all(world: World, zone: str) -> None:
    """Every cell made for the zone: its own, and what commands that were killed left behind."""
    for note in sorted(_notes(world.dir, zone).glob("*")):
        pid, start = note.name.split(".")
        _stop(world.dir, Place(int(pid), int(start)), zone)


def _stop(lab: Path, place: Place, zone: str) -> None:
    if not processes.kill(place.pid, place.start):
        raise LabError(f"the processes of zone {zone} did not end")
    _note(lab, zone, place).unlink(missing_ok=True)


def _notes(lab: Path, zone: str) -> Path:
    return lab / "cells" / zone


def _note(lab: Path, zone: str, place: Place) -> Path:
    """A file whose name remembers a cell: written before the cell may live on by itself."""
    return _notes(lab, zone) / f"{place.pid}.{place.start}"


@contextmanager
def of(world: World, zone: str) -> Iterator[Place]:
    """The cell of an active zone; one for this occasion when it has none of its own."""
    row = world.db.execute("select * from kernel_zones where name = ?", (zone,)).fetchone()
    if row is None:
        raise LabError(f"zone {zone} is not active")
    if row["init_pid"]:
        place = Place(row["init_pid"], row["init_start"])
        if not alive(place.pid, place.start):
            raise LabError(f"the processes of zone {zone} are gone (killed from outside?); halt it")
        yield place
        return
    from zonemgr.lab import zonestore

    root, scratch = Path(row["root"]), row["state"] == "mounted"
    real = root.with_name("root") if scratch else root
    plan = cellroot.plan(world, zone, world.path(real), zonestore.load(world, zone), scratch=scratch)
    place = _start(plan, clean=False)
    try:
        yield place
    finally:
        _stop(world.dir, place, zone)


# -- making one --------------------------------------------------------------------------------------------


def _start(plan: cellroot.Plan, *, clean: bool) -> Place:
    """Fork, unshare, fork again, build, become init; the one in the middle ends at once.

    The new first process goes on only when it has been noted down: who is killed here leaves none running.
    """
    answer, told = os.pipe()
    go_ahead, going = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.close(answer)
        os.close(going)
        _middle(plan, told, go_ahead, clean)
    os.close(told)
    os.close(go_ahead)
    try:
        with open(answer, encoding="utf-8", errors="surrogateescape") as lines:
            place = _made(plan.zone, lines.readline().strip(), lines.readline().strip())
        note = _note(plan.lab, plan.zone, place)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()
        os.write(going, b"!")
    finally:
        os.close(going)
        os.waitpid(middle, 0)
    return place


def _made(zone: str, pid: str, result: str) -> Place:
    if result != READY or not pid.isdigit():
        trouble = result or (pid if not pid.isdigit() else "") or "its first process died"
        raise LabError(f"zone {zone} cannot have a cell: {trouble}")
    return Place(int(pid), processes.stat(int(pid)).start)


def _middle(plan: cellroot.Plan, told: int, go_ahead: int, clean: bool) -> NoReturn:
    """In a child: make the namespaces, in them the first process; tell its pid, then READY or the trouble."""
    try:
        from zonemgr.lab import namespaces as ns
        from zonemgr.lab import rootfs

        os.setsid()
        os.umask(0o022)
        _let_go_of_everything_but({told, go_ahead})
        plan, beside = _stand_by(plan, {told, go_ahead})
        ns.unshare_as_root(ns.NEWNS | ns.NEWPID | ns.NEWUTS | ns.NEWIPC | ns.NEWNET)
        outside = cellroot.hold(plan, rootfs.Outside())
        ns.loopback_up()
        gate, held = os.pipe()
        first = os.fork()
        if first:
            os.write(beside, str(first).encode())
            os.write(told, f"{first}\n".encode())
            os._exit(0)
        os.close(held)
        os.close(beside)
        os.read(gate, 1)  # ends when the one in the middle has told the pid and is gone
        cellroot.build(plan, outside, clean)
        ns.drop_capabilities(CAPABILITIES)
        os.write(told, f"{READY}\n".encode())
        if os.read(go_ahead, 1):
            os.execve("/.lab/usr/bin/sh", ["init", "-c", INIT], {"PATH": "/.lab/usr/bin"})
    except BaseException as trouble:  # noqa: BLE001 - nobody else is left to tell it
        plain = isinstance(trouble, (OSError, LabError))
        detail = str(trouble) if plain else traceback.format_exc().replace("\n", " | ")
        os.write(told, f"{detail}\n".encode("utf-8", "surrogateescape"))
    os._exit(1)


def _stand_by(plan: cellroot.Plan, not_its: set[int]) -> tuple[cellroot.Plan, int]:
    """Have a process outside the cell answer it; where to write the pid of the cell's first process."""
    from zonemgr.lab import kernel

    folder, listener = kernel.listen(plan.lab)
    learns, tells = os.pipe()
    if os.fork() == 0:
        for descriptor in (tells, *not_its):
            os.close(descriptor)
        kernel.stand_by(plan.order(), folder, listener, learns)
    listener.close()
    os.close(learns)
    return replace(plan, door=folder), tells


def _let_go_of_everything_but(kept: set[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    for entry in os.listdir("/proc/self/fd"):
        if int(entry) > 2 and int(entry) not in kept:
            with suppress(OSError):
                os.close(int(entry))


# -- going in ----------------------------------------------------------------------------------------------


def spawn(place: Place, body: Callable[[], int], descriptors: tuple[int, int, int] = (0, 1, 2)) -> int:
    """Fork a process into a cell, in a process group of its own; its pid.

    It runs body there, with these as stdin, stdout and stderr, as root of a zone, and ends with what body
    returns; usually body executes a program. This process stays where it is.
    """
    from zonemgr.lab import namespaces as ns

    if not ns.same(ns.NEWUSER, place.pid):
        return _fork(lambda: _in_between(place, body), descriptors)
    return _spawn(place, body, descriptors, 0)


def _spawn(place: Place, body: Callable[[], int], descriptors: tuple[int, int, int], also: int) -> int:
    from zonemgr.lab import namespaces as ns

    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    try:
        ns.join(place.pid, also | ns.NEWPID)  # the pid namespace of children; undone below
        return _fork(lambda: _in_cell(place, body), descriptors)
    except OSError as trouble:
        raise LabError(f"cannot enter a zone's cell: {trouble}") from None
    finally:
        with suppress(OSError):
            ns.setns(own, ns.NEWPID)
        os.close(own)


def _in_cell(place: Place, body: Callable[[], int]) -> int:
    from zonemgr.lab import namespaces as ns

    os.setpgid(0, 0)
    # The pid is of the namespace outside, whose /proc is still the one seen here.
    ns.join(place.pid, ns.NEWUTS | ns.NEWIPC | ns.NEWNET | ns.NEWNS)
    os.chdir("/")
    os.umask(0o022)
    ns.drop_capabilities(CAPABILITIES)
    return body()


def _fork(body: Callable[[], int], descriptors: tuple[int, int, int]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        for name in ("INT", "QUIT", "PIPE", "TERM", "HUP", "CHLD", "USR1", "USR2"):
            signal.signal(signal.Signals[f"SIG{name}"], signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number, each in enumerate(_above_stdio(descriptors)):
            os.dup2(each, number)
        os.closerange(3, 4096)
        status = body()
    except BaseException as trouble:  # noqa: BLE001 - a forked copy must not run on as its parent
        os.write(2, f"lab: {trouble}\n".encode("utf-8", "surrogateescape"))
    finally:
        os._exit(status & 0xFF)


def _above_stdio(descriptors: Sequence[int]) -> list[int]:
    """Copies that no dup2 onto 0, 1, 2 can overwrite before its turn."""
    import fcntl

    return [fcntl.fcntl(each, fcntl.F_DUPFD, 3) for each in descriptors]


def _in_between(place: Place, body: Callable[[], int]) -> int:
    """Join the cell's user namespace, which cannot be undone, and stand for the process there; end as it does."""
    from zonemgr.lab import namespaces as ns

    child = _spawn(place, body, (0, 1, 2), ns.NEWUSER)
    os.closerange(0, 3)  # or an output the other one closes would seem open still
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, lambda number, _frame: os.killpg(child, number))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        from zonemgr.lab.program import die

        die(-status)
    return status


def firsts(world: World, zone: str) -> list[int]:
    """The first processes of all cells of a zone: its own, or those of the commands of the moment."""
    notes = [note.name.split(".") for note in _notes(world.dir, zone).glob("*")]
    return [int(pid) for pid, start in notes if alive(int(pid), int(start))]


def with_mounts(first: int, body: Callable[[], None]) -> str:
    """Do something in a cell's mount namespace with rights that nothing in the cell has: to mount there.

    `first` is the cell's first process. The text of the errno it ends with; "" when done.
    """
    from zonemgr.lab import namespaces as ns

    return _from_outside(first, ns.NEWNS, body)


def with_names(first: int, body: Callable[[], None]) -> str:
    """The same in its namespace of host names."""
    from zonemgr.lab import namespaces as ns

    return _from_outside(first, ns.NEWUTS, body)


def _from_outside(first: int, kind: int, body: Callable[[], None]) -> str:
    answer, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(answer)
            _joined(first, kind, body)
        except OSError as trouble:
            os.write(told, os.strerror(trouble.errno or 5).encode())
        except BaseException as trouble:  # noqa: BLE001 - a forked copy must not run on as its parent
            os.write(told, f"lab: {trouble}".encode())
        finally:
            os._exit(0)
    os.close(told)
    with open(answer) as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


def _joined(first: int, kind: int, body: Callable[[], None]) -> None:
    from zonemgr.lab import namespaces as ns
    from zonemgr.lab import rootfs  # noqa: F401 - what body needs: in the cell there may be nothing to import

    others = 0 if ns.same(ns.NEWUSER, first) else ns.NEWUSER
    ns.join(first, others | kind)
    os.chdir("/")
    os.umask(0o022)
    body()


def enter(
    world: World,
    zone: str,
    argv: Sequence[str],
    *,
    user: str = "root",
    env: dict[str, str] | None = None,
    cwd: str = "/",
    stdin: int = 0,
    stdout: int = 1,
    stderr: int = 2,
) -> int:
    """Run a program in a zone and wait for it: exit status, or minus the signal that ended it.

    The user is one of the zone's /etc/passwd. Everything it does is direct: no su, no pipes between.
    """

    def body() -> int:
        accounts.become(accounts.by_name(user))
        os.chdir(cwd)
        os.execvpe(argv[0], list(argv), {"PATH": "/usr/sbin:/usr/bin"} if env is None else env)

    with of(world, zone) as place:
        _, status = os.waitpid(spawn(place, body, (stdin, stdout, stderr)), 0)
    return os.waitstatus_to_exitcode(status)
