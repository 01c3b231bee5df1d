"""One emulated command: what it is given (argv, stdin, environment, who calls) and where its output goes."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from zonemgr.lab.world import LabError, World

Tool = Callable[["Call"], int]


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True)
class Finished:
    exit_code: int
    stdout: str
    stderr: str


class TimeLimit(Exception):
    """A command did not end within `Call.limit` and was killed, as a caller of a real one would do."""

    def __init__(self, argv: Sequence[str], limit: float) -> None:
        super().__init__(f"{argv[0]}: no answer within {limit:g} seconds")
        self.argv, self.limit = tuple(argv), limit


class NoWorld(World):
    """What a command in a zone has in place of the world: a zone cannot see it."""

    def __init__(self) -> None:
        pass

    def __getattr__(self, name: str) -> object:
        raise LabError("this is not emulated in a zone")


@dataclass
class Call:
    """What a tool function gets; it returns the exit status (negative: killed by that signal).

    In a zone `zone` is its name and `root` where its root directory is (`/` in the zone's own cell); `world`
    then is a NoWorld: whoever asks it something gets a LabError.
    """

    world: World
    argv: list[str]
    stdin: BinaryIO = field(default_factory=lambda: io.BytesIO())
    stdout: Sink = field(default_factory=io.BytesIO)
    stderr: Sink = field(default_factory=io.BytesIO)
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "/"
    user: str = "root"  # who the caller is on the host: a name in the global zone's /etc/passwd
    privileged: bool = True  # effective privilege: root, or raised by pfexec for this command
    terminal: bool = False  # is stdin a terminal
    zone: str | None = None  # the zone the command runs in; None: the global zone
    root: Path | None = None  # that zone's root directory
    given: tuple[str, ...] = ()  # the datasets delegated to that zone, where its kernel answers
    reply: Callable[[int], None] | None = None  # there: says the status before all is done
    limit: float | None = None  # seconds a caller in this process waits for a command that really runs

    @property
    def name(self) -> str:
        return self.argv[0].rsplit("/", 1)[-1]

    def out(self, text: str) -> None:
        """Write text to stdout as it is: no newline is added."""
        self.stdout.write(text.encode("utf-8", "surrogateescape"))

    def err(self, text: str) -> None:
        self.stderr.write(text.encode("utf-8", "surrogateescape"))

    def fail(self, text: str, status: int = 1) -> int:
        """Write one line to stderr; returns the status, so that a tool can `return call.fail(...)`."""
        self.err(text + "\n")
        return status

    def path(self, name: str) -> Path:
        """The machine's path for a path as the caller wrote it, relative to its working directory."""
        absolute = os.path.normpath(Path(self.cwd, name))
        if self.zone is not None:
            return (self.root or Path("/")) / absolute.lstrip("/")
        return self.world.path(absolute)

    def run(self, *argv: str, stdin: bytes = b"") -> Finished:
        """Run another emulated command inside this one, output captured: no log, no faults, no latency."""
        from zonemgr.lab import tools

        out, err = io.BytesIO(), io.BytesIO()
        inner = replace(
            self,
            argv=list(argv),
            stdin=io.BytesIO(stdin),
            stdout=out,
            stderr=err,
            env=dict(self.env),
            terminal=False,
        )
        status = tools.find(argv[0], in_zone=self.zone is not None)(inner)
        decode = ("utf-8", "surrogateescape")
        return Finished(status, out.getvalue().decode(*decode), err.getvalue().decode(*decode))
