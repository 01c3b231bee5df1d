"""One emulated command: what it is given (argv, stdin, environment, who calls) and where its output goes."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from zonemgr.lab.world import World

Tool = Callable[["Call"], int]


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True)
class Finished:
    exit_code: int
    stdout: str
    stderr: str


@dataclass
class Call:
    """What a tool function gets; it returns the exit status (negative: killed by that signal)."""

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

    @property
    def name(self) -> str:
        return os.path.basename(self.argv[0])

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
        """The machine's path for a path as the caller wrote it (relative ones start at its working directory)."""
        return self.world.path(os.path.join(self.cwd, name))

    def run(self, *argv: str, stdin: bytes = b"") -> Finished:
        """Run another emulated command inside this one, output captured: not logged, no faults, no latency."""
        from zonemgr.lab import tools

        out, err = io.BytesIO(), io.BytesIO()
        inner = Call(
            self.world, list(argv), io.BytesIO(stdin), out, err, dict(self.env), self.cwd, self.user, self.privileged
        )
        status = tools.find(argv[0])(inner)
        decode = ("utf-8", "surrogateescape")
        return Finished(status, out.getvalue().decode(*decode), err.getvalue().decode(*decode))
