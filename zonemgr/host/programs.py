"""Programs while they run: their pipes, their time limit, and their end, whatever comes in between.

The promise: when a call ends by an interrupt or a time limit, neither the program nor
anything of its process group is left. Signals that arrive while a program is being started or ended are
held back, so there is no moment in which a program exists that nobody would end.

pfexec makes programs whose real user is root: zonecfg and pkg by their exec_attr entries (uid=0), zoneadm by itself
(setuid(0)). A signal to them needs the privilege proc_owner (illumos, os/cred.c: hasprocperm), which /usr/bin/kill has
by the profile Process Management. Without that they are waited for: nothing may be undone beside them.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, Self

Chunk = Callable[[bytes], None]

_BLOCK = 65536
_TICK = 0.1  # seconds between two looks whether a silent program still lives
# A program has ended when its process has. What others hold open is read until it falls silent, and so long.
_SILENCE, _PATIENCE = 0.25, 2.0
# A killed process may hang in a system call; for ever is too long to wait for it.
_SHORT_WAIT, _LAST_WAIT = 1.0, 10.0
_TAIL = 4096  # bytes of stderr kept for the message when the limit ends a program


class Process(Protocol):
    """What is used of sh's process object. It reaps the child; nobody else may."""

    pid: int

    def is_alive(self) -> tuple[bool, int | None]: ...

    def wait(self) -> int: ...


class Start(Protocol):
    def __call__(
        self, argv: tuple[str, ...], descriptors: tuple[int, int, int], *, terminal: bool
    ) -> Process: ...


class Runner:
    """Runs what `start` starts. `elevate`: words that help to end a program which became another user's.

    `outlast`: seconds to wait for one that still cannot be ended; `warn` is told before.
    """

    def __init__(
        self,
        start: Start,
        *,
        grace: float,
        elevate: Sequence[str],
        outlast: float = 0.0,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._start, self._grace, self._elevate = start, grace, tuple(elevate)
        self._outlast, self._warn = outlast, warn

    def run(
        self, argv: tuple[str, ...], stdin: bytes, on_stdout: Chunk, on_stderr: Chunk, limit: float | None
    ) -> int:
        """Exit status, -N for signal N. Raises TimeoutError with its last words when the limit ended it."""
        deadline = None if limit is None else time.monotonic() + limit
        with SignalsHeld() as held, _Pipes(stdin, on_stdout, on_stderr) as pipes:
            process = self._start(argv, pipes.for_child, terminal=False)
            try:
                pipes.started()
                held.release()
                return _watch(process, pipes, deadline)
            except BaseException as why:
                held.hold()
                if not isinstance(why, TimeoutError):
                    pipes.mute()  # nobody listens any more, but a full pipe must not keep it from ending
                self._end(process, pipes, held, why, argv)
                raise

    def converse(self, argv: tuple[str, ...]) -> int:
        """Run on this process' own terminal; its exit status. Ctrl-C there is meant for the program."""
        with SignalsHeld() as held:
            process = self._start(argv, (0, 1, 2), terminal=True)
            while process.is_alive()[0]:
                if any(number != signal.SIGINT for number in held.arrived):
                    _end_alone(process.pid, process, self._grace)
                    break
                time.sleep(0.02)
            held.arrived = [number for number in held.arrived if number != signal.SIGINT]
            return process.wait()

    def _end(
        self, process: Process, pipes: _Pipes, held: SignalsHeld, why: BaseException, argv: tuple[str, ...]
    ) -> None:
        """End the whole process group: TERM, then after the grace time, or one more interrupt, KILL."""
        arrived = len(held.arrived)
        # The last time with the elevation command: of a group of several users' members a plain KILL reaches some only.
        for number, patience, signalled in (
            (signal.SIGTERM, self._grace, self._signal),
            (signal.SIGKILL, _SHORT_WAIT, self._signal),
            (signal.SIGKILL, _LAST_WAIT, self._signal_elevated),
        ):
            until = time.monotonic() + patience
            if _group_lives(process) and not signalled(process.pid, number):
                break  # what may not be asked to end may not be killed either
            while _group_lives(process) and time.monotonic() < until:
                if number == signal.SIGTERM and len(held.arrived) > arrived:
                    break
                pipes.move(0.02)
        if _group_lives(process):
            self._wait_for(process, pipes, argv)
        if process.is_alive()[0]:
            why.add_note(f"process {process.pid} does not end; what is undone now is undone beside it")
        else:
            process.wait()

    def _signal(self, group: int, number: signal.Signals) -> bool:
        """Signal a process group, with the elevation command if need be; False when that is not allowed either."""
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            return self._signal_elevated(group, number)
        return True

    def _signal_elevated(self, group: int, number: signal.Signals) -> bool:
        words = (*self._elevate, "kill", "-s", number.name.removeprefix("SIG"), "--", f"-{group}")
        try:
            return self.run(words, b"", _nobody, _nobody, _LAST_WAIT) == 0
        except OSError:
            return False

    def _wait_for(self, process: Process, pipes: _Pipes, argv: tuple[str, ...]) -> None:
        """Wait, at most so long, for a program that may not be ended, so that nothing happens beside it."""
        name = next(iter(argv[len(self._elevate) :]), argv[0])
        self._warn(
            f"{name} (process {process.pid}) cannot be ended; it is waited for, at most {self._outlast:g} seconds,"
            f" before anything is undone. As root: kill -9 {process.pid}; with the rights profile Process Management"
            " zonemgr can do it"
        )
        until = time.monotonic() + self._outlast
        while _group_lives(process) and time.monotonic() < until:
            pipes.move(_TICK)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _watch(process: Process, pipes: _Pipes, deadline: float | None) -> int:
    """Move bytes until the program has said all and its process has ended."""
    gone: float | None = None  # when its process was seen to be gone while a pipe was still open
    while pipes.open:
        moved = pipes.move(_TICK if gone is None else _SILENCE, deadline)
        if gone is not None and (not moved or time.monotonic() > gone + _PATIENCE):
            break
        if gone is None and not process.is_alive()[0]:
            gone = time.monotonic()
        if gone is None:
            _mind(deadline, pipes)
    nap = 0.0005
    while process.is_alive()[0]:
        _mind(deadline, pipes)
        time.sleep(nap)
        nap = min(nap * 2, _TICK)
    return process.wait()


def _mind(deadline: float | None, pipes: _Pipes) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise TimeoutError(pipes.last_words())


def _group_lives(process: Process) -> bool:
    return process.is_alive()[0] or (_group_exists(process.pid) and not _only_dead(process.pid))


def _only_dead(group: int) -> bool:
    """Has this group only dead members that nobody collects? In a Linux container init may be so lazy."""
    found = False
    for stat in Path("/proc").glob("[0-9]*/stat"):  # illumos has no such file, and an init that collects
        try:
            state, _, its_group = stat.read_bytes().rpartition(b")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group:
            found = True
            if state not in (b"Z", b"X"):
                return False
    return found


def _end_alone(pid: int, process: Process, grace: float) -> None:
    """End one program that shares our process group."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, _LAST_WAIT)):
        until = time.monotonic() + patience
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
        while process.is_alive()[0] and time.monotonic() < until:
            time.sleep(0.02)


def _nobody(chunk: bytes) -> None:
    """Output that nobody wants."""


class _Pipes:
    """Three pipes to one program. Leaving the context closes whatever is still open."""

    def __init__(self, stdin: bytes, on_stdout: Chunk, on_stderr: Chunk) -> None:
        self._to_write = memoryview(stdin)
        self._sinks: dict[int, Chunk] = {}
        self._wanted = (on_stdout, on_stderr)
        self._input: int | None = None
        self._all: set[int] = set()
        self._tail = b""
        self.for_child = (-1, -1, -1)

    def __enter__(self) -> Self:
        self._selector = selectors.PollSelector()
        if self._to_write:
            child_in, self._input = self._pipe()
            os.set_blocking(self._input, False)
            self._selector.register(self._input, selectors.EVENT_WRITE)
        else:
            child_in = os.open("/dev/null", os.O_RDONLY)
            self._all.add(child_in)
        outputs = []
        for sink in self._wanted:
            ours, theirs = self._pipe()
            self._selector.register(ours, selectors.EVENT_READ)
            self._sinks[ours] = sink
            outputs.append(theirs)
        self._stderr = ours
        self.for_child = (child_in, outputs[0], outputs[1])
        return self

    def __exit__(self, *how: object) -> None:
        self._selector.close()
        for descriptor in self._all:
            os.close(descriptor)
        self._all.clear()

    def _pipe(self) -> tuple[int, int]:
        pair = os.pipe()
        self._all.update(pair)
        return pair

    def started(self) -> None:
        """The child has its ends now; ours would keep the pipes from ending."""
        for descriptor in self.for_child:
            self._close(descriptor)

    def mute(self) -> None:
        self._sinks = dict.fromkeys(self._sinks, _nobody)

    @property
    def open(self) -> bool:
        return bool(self._sinks)

    def last_words(self) -> str:
        return self._tail.decode("utf-8", "replace")

    def move(self, wait: float, deadline: float | None = None) -> bool:
        """Wait so long (seconds, not past the deadline) for something to read or write; was anything read?"""
        if deadline is not None:
            wait = max(0.0, min(wait, deadline - time.monotonic()))
        if not self._selector.get_map():
            time.sleep(wait)
            return False
        ready = self._selector.select(wait)
        for key, _ in ready:
            if key.fd == self._input:
                self._write(key.fd)
            else:
                self._read(key.fd)
        return any(key.fd != self._input for key, _ in ready)

    def _read(self, descriptor: int) -> None:
        chunk = os.read(descriptor, _BLOCK)
        if not chunk:
            self._forget(descriptor)
            return
        if descriptor == self._stderr:
            self._tail = (self._tail + chunk)[-_TAIL:]
        self._sinks[descriptor](chunk)

    def _write(self, descriptor: int) -> None:
        try:
            self._to_write = self._to_write[os.write(descriptor, self._to_write[:_BLOCK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it does not want to hear it all, which is its own affair
            self._to_write = self._to_write[:0]
        if not self._to_write:
            self._input = None
            self._selector.unregister(descriptor)
            self._close(descriptor)

    def _forget(self, descriptor: int) -> None:
        del self._sinks[descriptor]
        self._selector.unregister(descriptor)
        self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        self._all.discard(descriptor)
        os.close(descriptor)


class SignalsHeld:
    """Keeps INT, TERM and HUP back in the context or after `hold`; `release` lets what came have its effect.

    Leaving the context because of an exception that a signal made forgets the later ones: one is enough. Only
    the main thread can be interrupted; elsewhere this does nothing.
    """

    _NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.arrived: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self.hold()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self.arrived.clear()
        self.release()

    def hold(self) -> None:
        if self._before or threading.current_thread() is not threading.main_thread():
            return
        try:
            for number in self._NUMBERS:
                if signal.getsignal(number) is not None:  # None: installed by C code, cannot be put back
                    self._before[number] = signal.signal(number, self._note)
        except BaseException:
            self._restore()
            raise

    def release(self) -> None:
        handlers = dict(self._before)
        self._restore()
        arrived, self.arrived = self.arrived, []
        for number in arrived:
            handler = handlers[number]
            if callable(handler):
                handler(number, None)
            elif handler == signal.SIG_DFL:
                signal.raise_signal(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.arrived.append(number)

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            try:
                signal.signal(number, handler)
            finally:  # a handler put back may raise at once; the others go back all the same
                if self._before:
                    self._restore()
