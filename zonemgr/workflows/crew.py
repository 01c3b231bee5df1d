"""Workers: forked processes that do one piece of work each, a few at a time, and answer with plain data.

Processes and not threads: signals reach the main thread of a process only, and the promise that an interrupted
command is ended and its job undone rests on them. So each worker cancels and undoes by
itself, and one that is killed takes no other with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from zonemgr.host.programs import SignalsHeld
from zonemgr.workflows.cancel import Cancelled
from zonemgr.workflows.steps import interrupts_held

Answer = Mapping[str, Any]
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WATCH = 0.5  # seconds between two looks whether the one who started a worker still lives


@dataclass
class Ended:
    """A worker that has ended. `answer` is None when it died before it could give one; `how` says of what."""

    name: str
    answer: Answer | None
    how: str = ""


@dataclass
class _Worker:
    name: str
    pid: int
    answer: int  # descriptors to read from
    talk: int
    said: bytearray = field(default_factory=bytearray)
    line: bytearray = field(default_factory=bytearray)
    done: bool = False
    status: int | None = None  # as waitpid tells it


class Crew:
    """Leaving it early, by whatever exception, ends the workers first: each undoes what it has begun.

    `hear` is told of every line a worker prints, with the worker's name; a line is never mixed with another.
    """

    def __init__(self, hear: Callable[[str, str], None]) -> None:
        self._hear = hear
        self._workers: dict[int, _Worker] = {}
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: object
    ) -> None:
        with interrupts_held():
            for note in self._end_all() if self._workers else ():
                if failure is not None:
                    failure.add_note(note)
        self._selector.close()

    def __len__(self) -> int:
        return len(self._workers)

    def start(self, name: str, work: Callable[[], Answer]) -> None:
        """Let a new worker do this. What it prints is heard; the data it returns must be fit for JSON."""
        answer, talk, starter = os.pipe(), os.pipe(), os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        # There must be no moment in which a worker exists that nobody would end. Held back here, as what this thread
        # blocks another takes for it; blocked for the worker, where it waits until there is somebody to catch it.
        with SignalsHeld(), _signals_blocked():
            pid = os.fork()
            if pid == 0:
                _become_worker(work, answer[1], talk[1], starter)
            os.close(answer[1])
            os.close(talk[1])
            worker = _Worker(name, pid, answer[0], talk[0])
            self._workers[pid] = worker
            for descriptor in (worker.answer, worker.talk):
                self._selector.register(descriptor, selectors.EVENT_READ, worker)

    def wait(self) -> list[Ended]:
        """Wait until at least one worker has ended; those that have."""
        while True:
            for key, _ in self._selector.select(_WATCH):
                self._read(key.data, key.fd)
            for worker in self._workers.values():
                self._look_after(worker)
            ended = [worker for worker in self._workers.values() if worker.done]
            if ended:
                return [self._bury(worker) for worker in ended]

    def _look_after(self, worker: _Worker) -> None:
        """A program that it left behind may still hold its pipes open, so their end alone does not tell."""
        if worker.status is None:
            pid, status = os.waitpid(worker.pid, 0 if worker.done else os.WNOHANG)
            worker.status = status if pid else None
            worker.done = pid != 0

    def _read(self, worker: _Worker, descriptor: int) -> None:
        data = os.read(descriptor, 65536)
        if descriptor == worker.talk:
            worker.line += data
            self._tell(worker)
        worker.said += data if descriptor == worker.answer else b""
        if not data:
            self._selector.unregister(descriptor)
            worker.done = worker.done or descriptor == worker.answer

    def _tell(self, worker: _Worker) -> None:
        *lines, rest = bytes(worker.line).split(b"\n")
        worker.line[:] = rest
        for line in lines:
            self._hear(worker.name, line.decode(errors="replace"))

    def _bury(self, worker: _Worker) -> Ended:
        status = worker.status or 0
        del self._workers[worker.pid]
        self._drain(worker)
        for descriptor in (worker.answer, worker.talk):
            with contextlib.suppress(KeyError):
                self._selector.unregister(descriptor)
            os.close(descriptor)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            return Ended(worker.name, None, f"its process was killed by signal {number}")
        try:
            return Ended(worker.name, json.loads(worker.said), f"exit {os.WEXITSTATUS(status)}")
        except ValueError:
            return Ended(worker.name, None, f"its process ended with {os.WEXITSTATUS(status)}")

    def _drain(self, worker: _Worker) -> None:
        """Take what is left in its pipes; what a stray program still holds open is not waited for."""
        for descriptor, into in ((worker.answer, worker.said), (worker.talk, worker.line)):
            os.set_blocking(descriptor, False)
            with contextlib.suppress(BlockingIOError):
                while data := os.read(descriptor, 65536):
                    into += data
        if worker.line and not worker.line.endswith(b"\n"):
            worker.line += b"\n"
        self._tell(worker)

    def _end_all(self) -> list[str]:
        """Tell all to end, once, and wait until they have undone what they began; what they could not undo."""
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        notes: list[str] = []
        while self._workers:
            for ended in self.wait():
                told = ended.answer.get("notes", ()) if ended.answer else (ended.how,)
                notes += [f"{ended.name}: {note}" for note in told]
        return notes


# -- what others can see of it ---------------------------------------------------------------------------------


@contextlib.contextmanager
def signed(folder: Path) -> Iterator[None]:
    """Keep a file locked in this folder as long as this process, or a worker that it starts meanwhile, lives.

    The lock (flock) is of the open file, which workers inherit and programs do not: when the one who started them was
    killed, it tells that they are still about to undo what they began.
    """
    sign = folder / f"crew-{os.getpid()}.lock"
    file = os.open(sign, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o664)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        sign.unlink(missing_ok=True)
        os.close(file)


def outlast_forsaken(folder: Path, limit: float, tell: Callable[[str], None]) -> None:
    """Wait until the workers are gone whose starter is gone, for so many seconds each; clear their signs away."""
    for sign in sorted(folder.glob("crew-*.lock")):
        starter = sign.stem.removeprefix("crew-")
        if not starter.isdigit() or _lives(int(starter)):
            continue
        if not _free(sign):
            tell(
                f"workers of process {starter}, which was killed, are undoing what they began; waiting for them"
            )
        until = time.monotonic() + limit
        while not (free := _free(sign)) and time.monotonic() < until:
            time.sleep(0.1)
        if free:
            with contextlib.suppress(OSError):  # gone already, or another user's
                sign.unlink()


def _free(sign: Path) -> bool:
    try:
        file = os.open(sign, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's process
    return True


# -- in a worker -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _become_worker(work: Callable[[], Answer], answer: int, talk: int, starter: int) -> None:
    """In the new process; never returns. Signals are blocked, and wait until there is somebody to catch them."""
    code, said = 1, {}
    try:
        os.setpgid(0, 0)  # Ctrl-C goes to the one who started it, which tells each worker once
        for number in (1, 2):
            os.dup2(talk, number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        _end_with(starter)
        for number in _SIGNALS:
            signal.signal(number, _cancel)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if os.getppid() != starter:
            raise Cancelled(signal.SIGTERM)
        said, code = dict(work()), 0
    except Cancelled as ended:
        said, code = {"notes": list(getattr(ended, "__notes__", ()))}, 128 + ended.number
    except BaseException as surprise:  # noqa: BLE001 - there is nobody above to tell
        said = {"notes": [f"{type(surprise).__name__}: {surprise}"]}
        with contextlib.suppress(OSError):
            print(f"{type(surprise).__name__}: {surprise}", file=sys.stderr, flush=True)
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
            _write(answer, json.dumps(said).encode())
        os._exit(code)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _cancel(number: int, frame: FrameType | None) -> None:
    raise Cancelled(number)


def _end_with(parent: int) -> None:
    """Cancel as soon as the one who started us is gone (kill -9): nobody would report what we do.

    A timer and a look at the parent's number: nothing else of the kind works on illumos and without a second thread.
    """
    assert threading.current_thread() is threading.main_thread()

    def look(number: int, frame: FrameType | None) -> None:
        if os.getppid() != parent:
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.kill(os.getpid(), signal.SIGTERM)  # so that whoever holds signals back now holds this one, too

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _WATCH, _WATCH)
