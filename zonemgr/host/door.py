"""The one door to the host: every question and every change is a command that goes through here.

`Door` is what all doors share: elevation, dry run, time limits, the log, errors. A door adds only how a
program is run: `LocalHost` with the `sh` library (programs.py feeds, watches and ends what it starts),
`CallableHost` by calling a function, which is how a lab is entered in-process. A door over ssh would be a
`LocalHost` whose `_here` puts `ssh HOST` before the words and whose `_place` and `_remove` are commands.
"""

from __future__ import annotations

import errno
import importlib
import os
import shlex
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zonemgr import limits
from zonemgr.errors import CommandError, CommandNotFound, CommandTimeout, UsageError
from zonemgr.host.contract import (
    Chunk,
    CommandLine,
    Completed,
    Execute,
    Host,
    Kind,
    Limits,
    decoded,
    encoded,
    here_document,
    unfit,
)

__all__ = [
    "CallableHost",
    "Chunk",
    "CommandLine",
    "Completed",
    "Door",
    "Execute",
    "Host",
    "Limits",
    "LocalHost",
]

STANDARD_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NOT_ILLUMOS = "zonemgr runs on an illumos host; to try it elsewhere, see: zonemgr lab run"

if TYPE_CHECKING:
    from zonemgr.host.programs import Process, Runner


class Door(ABC):
    """All of a Host but the running itself.

    `elevate`: the words before a change, such as `("pfexec",)`; none for root. `log` is told of every command
    when it has ended; `report` gets, in a dry run, the text of what would have been done.
    """

    def __init__(
        self,
        *,
        dry_run: bool = False,
        elevate: Sequence[str] = (),
        limits: Limits | None = None,
        log: Callable[[CommandLine], None] | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.dry_run = dry_run
        self.elevate: Sequence[str] = tuple(elevate)
        self.limits = limits or Limits()
        self._log = log or (lambda line: None)
        self._report = report or (lambda text: None)

    # -- the Host protocol ---------------------------------------------------------------------------------

    def ask(
        self,
        *argv: str,
        ok: Sequence[int] = (0,),
        stdin: str | None = None,
        limit: float | None = None,
        elevated: bool = False,
    ) -> Completed:
        task = _Task("ask", argv, tuple(self.elevate) if elevated else (), stdin, limit or self.limits.ask)
        return _checked(self._run(task), ok)

    def change(
        self,
        *argv: str,
        ok: Sequence[int] = (0,),
        stdin: str | None = None,
        limit: float | None = None,
        secret: bool = False,
    ) -> Completed:
        task = _Task("change", argv, tuple(self.elevate), stdin, limit or self.limits.change, secret)
        return _checked(self._run(task), ok)

    def stream(
        self,
        *argv: str,
        on_stdout: Chunk,
        on_stderr: Chunk,
        stdin: str | None = None,
        limit: float | None = None,
    ) -> Completed:
        task = _Task("stream", argv, tuple(self.elevate), stdin, limit or self.limits.stream)
        return self._run(task, on_stdout, on_stderr)

    def interact(self, *argv: str) -> int:
        return self._run(_Task("interact", argv, tuple(self.elevate), None, None)).exit_code

    @contextmanager
    def file(self, text: str) -> Iterator[str]:
        if self.dry_run:
            path = "/tmp/zonemgr-dry-run"
            self._report(here_document(f"cat > {path}", text))
            yield path
            return
        path = self._place(text)
        try:
            yield path
        finally:
            self._remove(path)

    @abstractmethod
    def pause(self, seconds: float) -> None: ...

    # -- what a door adds ----------------------------------------------------------------------------------

    @abstractmethod
    def _execute(
        self,
        argv: tuple[str, ...],
        stdin: bytes,
        on_stdout: Chunk | None,
        on_stderr: Chunk | None,
        limit: float | None,
    ) -> tuple[int, str, str]:
        """Run one program to its end; see `Execute`. When interrupted, nothing of it may be left running."""

    @abstractmethod
    def _interact(self, argv: tuple[str, ...]) -> int:
        """Run one program on this process' terminal; its exit status."""

    def _place(self, text: str) -> str:
        """Make a file of mode 0600 that this door's programs can read; its path."""
        path = f"/tmp/zonemgr-{os.getpid()}-{os.urandom(6).hex()}"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(encoded(text))
        except BaseException:
            self._remove(path)
            raise
        return path

    def _remove(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)

    # -- one command ---------------------------------------------------------------------------------------

    def _run(self, task: _Task, on_stdout: Chunk | None = None, on_stderr: Chunk | None = None) -> Completed:
        if self.dry_run and task.kind != "ask":
            line = task.log_line(None, 0.0, dry=True)
            self._report(str(line))
            self._log(line)
            return task.completed(0, "", "", 0.0)
        begun, status = time.monotonic(), None
        try:
            status, stdout, stderr = self._attempt(task, on_stdout, on_stderr)
        finally:
            seconds = time.monotonic() - begun
            self._log(task.log_line(status, seconds))
        return task.completed(status, stdout, stderr, seconds)

    def _attempt(self, task: _Task, on_stdout: Chunk | None, on_stderr: Chunk | None) -> tuple[int, str, str]:
        heard = _Listener(on_stdout, on_stderr)
        try:
            if task.kind == "interact":
                return self._interact(task.full), "", ""
            stdin = encoded(task.stdin or "")
            return self._execute(task.full, stdin, heard.on_stdout, heard.on_stderr, task.limit)
        except OSError as fault:
            if fault is heard.fault:  # the caller's own trouble with the output, not the program's
                raise
            raise self._translated(task, fault) from None

    def _translated(self, task: _Task, fault: OSError) -> Exception:
        """What an error of the door itself means for the operator."""
        if isinstance(fault, FileNotFoundError):
            name = fault.filename or fault
            return CommandNotFound(f"there is no command {name} on this host", hint=NOT_ILLUMOS)
        if isinstance(fault, TimeoutError):
            late = CommandTimeout(task.argv, task.limit or 0.0, str(fault))
            late.command = shlex.join(task.full)
            for note in getattr(fault, "__notes__", []):
                late.add_note(note)
            return late
        return CommandError(task.argv, 126, f"it could not be started: {fault}")


class _Listener:
    """The caller's two sinks, and the error that one of them raised."""

    def __init__(self, on_stdout: Chunk | None, on_stderr: Chunk | None) -> None:
        self.fault: BaseException | None = None
        self.on_stdout = on_stdout and self._guarded(on_stdout)
        self.on_stderr = on_stderr and self._guarded(on_stderr)

    def _guarded(self, sink: Chunk) -> Chunk:
        def take(chunk: bytes) -> None:
            try:
                sink(chunk)
            except BaseException as fault:
                self.fault = fault
                raise

        return take


@dataclass(frozen=True)
class _Task:
    kind: Kind
    argv: tuple[str, ...]
    elevation: tuple[str, ...]
    stdin: str | None
    limit: float | None
    secret: bool = False

    def __post_init__(self) -> None:
        for word in self.argv:
            fault = unfit(word)
            if fault:
                raise UsageError(f"{word!r} cannot be an argument of {self.argv[0]}: it has {fault}")
        size, room = sum(len(encoded(word)) + 1 for word in self.full), limits.ARGUMENTS.longest
        if size > room:
            raise UsageError(
                f"the arguments of {self.argv[0]} are too long: {size} bytes, and {room} are allowed"
            )

    @property
    def full(self) -> tuple[str, ...]:
        return (*self.elevation, *map(str, self.argv))

    def log_line(self, status: int | None, seconds: float, *, dry: bool = False) -> CommandLine:
        stdin = None if self.secret else self.stdin
        return CommandLine(self.full, self.kind, status, seconds, stdin, self.secret, dry)

    def completed(self, status: int, stdout: str, stderr: str, seconds: float) -> Completed:
        return Completed(self.full, status, stdout, stderr, seconds, len(self.elevation))


def _checked(ended: Completed, ok: Sequence[int]) -> Completed:
    if ended.exit_code not in ok:
        raise ended.error()
    return ended


class CallableHost(Door):
    """A door that calls a function instead of starting programs: a lab in this process.

    `pause` gets the seconds a real host would have been waited for. `interact` defaults to the same function,
    its output dropped.
    """

    def __init__(
        self,
        execute: Execute,
        pause: Callable[[float], None],
        *,
        interact: Callable[[tuple[str, ...]], int] | None = None,
        dry_run: bool = False,
        elevate: Sequence[str] = (),
        limits: Limits | None = None,
        log: Callable[[CommandLine], None] | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(dry_run=dry_run, elevate=elevate, limits=limits, log=log, report=report)
        self._call, self._pause, self._converse = execute, pause, interact

    def pause(self, seconds: float) -> None:
        self._pause(seconds)

    def _execute(
        self,
        argv: tuple[str, ...],
        stdin: bytes,
        on_stdout: Chunk | None,
        on_stderr: Chunk | None,
        limit: float | None,
    ) -> tuple[int, str, str]:
        return self._call(argv, stdin, on_stdout, on_stderr, limit)

    def _interact(self, argv: tuple[str, ...]) -> int:
        if self._converse:
            return self._converse(argv)
        return self._call(argv, b"", None, None, None)[0]


class LocalHost(Door):
    """The machine zonemgr runs on. `path` is the programs' whole PATH, `environment` what they get besides.

    Programs run in a session of their own, without a terminal, in the C locale and in `/`. `warn` is told of a program
    that cannot be ended and is waited for.
    """

    def __init__(
        self,
        *,
        path: str = STANDARD_PATH,
        environment: Mapping[str, str] | None = None,
        grace: float = 5.0,
        dry_run: bool = False,
        elevate: Sequence[str] = (),
        limits: Limits | None = None,
        log: Callable[[CommandLine], None] | None = None,
        report: Callable[[str], None] | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(dry_run=dry_run, elevate=elevate, limits=limits, log=log, report=report)
        self._warn = warn or (lambda text: None)
        self._path = [part for part in path.split(":") if part]
        self._grace = grace  # seconds between TERM and KILL
        self._found: dict[str, Any] = {}  # commands looked up already
        self._environment = {
            "PATH": ":".join(self._path),
            "LC_ALL": "C",
            "HOME": os.environ.get("HOME", "/"),
            **(environment or {}),
        }

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def _here(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """The words to run here for words meant for the host: the same, unless the host is elsewhere."""
        return argv

    def _execute(
        self,
        argv: tuple[str, ...],
        stdin: bytes,
        on_stdout: Chunk | None,
        on_stderr: Chunk | None,
        limit: float | None,
    ) -> tuple[int, str, str]:
        out: list[bytes] = []
        err: list[bytes] = []
        status = self._runner.run(
            self._here(argv), stdin, on_stdout or out.append, on_stderr or err.append, limit
        )
        return status, decoded(b"".join(out)), decoded(b"".join(err))

    def _interact(self, argv: tuple[str, ...]) -> int:
        return self._runner.converse(self._here(argv))

    @cached_property
    def _runner(self) -> Runner:
        from zonemgr.host.programs import Runner  # here: --help runs no program

        return Runner(
            self._start,
            grace=self._grace,
            elevate=tuple(self.elevate),
            outlast=self.limits.outlast,
            warn=self._warn,
        )

    def _start(self, argv: tuple[str, ...], descriptors: tuple[int, int, int], *, terminal: bool) -> Process:
        """Start a program on these descriptors; with `terminal` in this session, else in one of its own.

        sh is given descriptors because its own readers hand over whole lines or blocks, so that a prompt
        would wait for what follows it; and `_bg`, because it would raise for an exit status that is only an
        answer.
        """
        stdin, stdout, stderr = descriptors
        environment = dict(self._environment)
        if terminal:
            environment["TERM"] = os.environ.get("TERM", "dumb")
        # sh refuses `_tty_out`, even as False, when stdout is a terminal already.
        how = {} if terminal else {"_tty_out": False}
        program = self._program(argv[0])
        try:
            running = program(
                list(argv[1:]),
                _in=stdin,
                _out=stdout,
                _err=stderr,
                _env=environment,
                _cwd="/",
                _encoding="utf-8",
                _new_session=not terminal,
                _preexec_fn=_default_signals,
                _bg=True,
                _bg_exc=False,
                **how,
            )
        except _import_sh().ForkException as failed:  # exec itself failed: too many words, not a program
            raise ChildProcessError(str(failed).strip().splitlines()[-1]) from None
        process: Process = running.process
        return process

    def _program(self, name: str) -> Any:
        if name not in self._found:
            sh = _import_sh()
            try:
                self._found[name] = sh.Command(name, self._path)
            except sh.CommandNotFound:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None
        return self._found[name]


def _default_signals() -> None:
    """Between fork and exec: sh's `_bg` ignores HUP there, and zonemgr during an undo the others."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def _import_sh() -> Any:
    """The sh library without its expensive imports.

    Two thirds of the time of `import sh` go into asyncio, which it only asks whether an event loop runs in
    this thread (none does here), and importlib.metadata, which it only asks for its own version. Small
    stand-ins answer while it is imported. Should a later sh want more of them, it is imported as it is.
    """
    if "sh" in sys.modules:
        return sys.modules["sh"]
    stand_ins = {
        name: ModuleType(name) for name in ("asyncio", "importlib.metadata") if name not in sys.modules
    }
    for name, module in stand_ins.items():
        vars(module).update(_STAND_INS[name])
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module("sh")
    except (AttributeError, ImportError):
        pass
    finally:
        for name in stand_ins:
            del sys.modules[name]
    return importlib.import_module("sh")


def _no_loop() -> None:
    raise RuntimeError("no running event loop")


_STAND_INS: dict[str, dict[str, Any]] = {
    "asyncio": {"get_running_loop": _no_loop, "Queue": object, "Event": object},
    "importlib.metadata": {"PackageNotFoundError": LookupError, "version": lambda name: "unknown"},
}
