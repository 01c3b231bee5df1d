"""The one door to the host: every question and every change is a command that goes through here."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from zonemgr.errors import CommandError

Chunk = Callable[[bytes], None]


@dataclass(frozen=True)
class Completed:
    """A command that ended: killed by signal N shows as exit_code -N."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    seconds: float = 0.0

    def error(self, hint: str | None = None) -> CommandError:
        return CommandError(self.argv, self.exit_code, self.stderr, hint)

    def __str__(self) -> str:
        return shlex.join(self.argv)


class Host(Protocol):
    """What workflows and the other files of this room see of a host."""

    dry_run: bool

    def ask(
        self, *argv: str, ok: Sequence[int] = (0,), stdin: str | None = None, limit: float | None = None,
        elevated: bool = False,
    ) -> Completed:
        """A question; changes nothing, so it runs in a dry run too. Raises CommandError unless exit is in ok."""
        ...

    def change(
        self, *argv: str, ok: Sequence[int] = (0,), stdin: str | None = None, limit: float | None = None,
        secret: bool = False,
    ) -> Completed:
        """A change, run with elevation; in a dry run it is only reported. `secret`: stdin never reaches a log."""
        ...

    def stream(
        self, *argv: str, on_stdout: Chunk, on_stderr: Chunk, stdin: str | None = None, limit: float | None = None,
    ) -> Completed:
        """A change whose output is handed over as it comes (bytes); Completed then has empty stdout and stderr.

        Never raises for an exit status; raises CommandTimeout when the limit ended it.
        """
        ...

    def interact(self, *argv: str) -> int:
        """A change with this process' terminal as stdin, stdout, stderr: login, console."""
        ...

    @contextmanager
    def file(self, text: str) -> Iterator[str]:
        """A temporary file on the host with this content (mode 0600); yields its path, removes it afterwards."""
        yield ""

    def pause(self, seconds: float) -> None:
        """Wait between two polls; a lab lets its own clock run instead."""
        ...
