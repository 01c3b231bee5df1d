"""The words of the door: what a host is asked, what comes back, and what the log is told."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from zonemgr.errors import CommandError

Chunk = Callable[[bytes], None]
Kind = Literal["ask", "change", "stream", "interact"]
# argv, standard input, where the output goes as it comes (None: return it), limit in seconds (None: none).
# Returns exit status (-N: killed by signal N), stdout, stderr. Raises FileNotFoundError for a command that
# does not exist and TimeoutError when the limit ended it; both builtin, so that a lab can raise them too.
Execute = Callable[[tuple[str, ...], bytes, Chunk | None, Chunk | None, float | None], tuple[int, str, str]]


@dataclass(frozen=True)
class Completed:
    """A command that ended: killed by signal N shows as exit_code -N."""

    argv: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    seconds: float = 0.0
    elevation: int = 0  # how many words of argv are the elevation command

    def error(self, hint: str | None = None) -> CommandError:
        found = CommandError(self.argv[self.elevation :], self.exit_code, self.stderr, hint)
        found.command = str(self)
        return found

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True)
class CommandLine:
    """One command for the log. `str()` can be pasted into a shell, standard input included unless secret."""

    argv: tuple[str, ...]  # with the elevation command
    kind: Kind
    exit_code: int | None  # None: it was not run, not found, or ended by its limit or an interrupt
    seconds: float
    stdin: str | None = None  # None: nothing, or secret
    secret: bool = False
    dry: bool = False

    @property
    def line(self) -> str:
        return shlex.join(self.argv)

    def __str__(self) -> str:
        if self.stdin is None:
            return f"{self.line}  # its input is secret" if self.secret else self.line
        return here_document(self.line, self.stdin)


def here_document(line: str, text: str) -> str:
    """A shell command with this text on its standard input."""
    end = "EOF"
    while end in text.splitlines():
        end += "_"
    return f"{line} <<'{end}'\n{text}{'' if text.endswith(chr(10)) else chr(10)}{end}"


@dataclass(frozen=True)
class Limits:
    """Default time limits in seconds. A stream may run for a week, so that even a forgotten one ends."""

    ask: float = 60.0
    change: float = 600.0
    stream: float = 7 * 24 * 3600.0
    halt: float = 120.0
    outlast: float = 3600.0  # to wait for a program that may not be ended


class Host(Protocol):
    """What workflows and the other files of this room see of a host."""

    dry_run: bool
    elevate: Sequence[str]  # the words before a change; none for root
    limits: Limits

    def ask(
        self,
        *argv: str,
        ok: Sequence[int] = (0,),
        stdin: str | None = None,
        limit: float | None = None,
        elevated: bool = False,
    ) -> Completed:
        """A question; changes nothing, so a dry run asks too. Raises CommandError unless exit is in ok."""
        ...

    def change(
        self,
        *argv: str,
        ok: Sequence[int] = (0,),
        stdin: str | None = None,
        limit: float | None = None,
        secret: bool = False,
    ) -> Completed:
        """A change, run with elevation; a dry run only reports it. `secret`: stdin never reaches a log."""
        ...

    def stream(
        self,
        *argv: str,
        on_stdout: Chunk,
        on_stderr: Chunk,
        stdin: str | None = None,
        limit: float | None = None,
    ) -> Completed:
        """A change whose output is handed over as it comes (bytes); Completed then has none of it.

        Never raises for an exit status; raises CommandTimeout when the limit ended it.
        """
        ...

    def interact(self, *argv: str) -> int:
        """A change with this process' terminal as stdin, stdout, stderr: login, console."""
        ...

    @contextmanager
    def file(self, text: str) -> Iterator[str]:
        """A temporary file on the host, mode 0600, with this content; yields its path, then removes it."""
        yield ""

    def pause(self, seconds: float) -> None:
        """Wait between two polls; a lab lets its own clock run instead."""
        ...


def unfit(word: str) -> str | None:
    """Why a text cannot be a command's argument, or None."""
    if "\0" in word:
        return "a NUL byte"
    try:
        word.encode("utf-8")
    except UnicodeEncodeError:
        return "bytes that are not UTF-8"
    return None


def encoded(text: str) -> bytes:
    """Bytes for a program. What `decoded` could not read as UTF-8 goes back as it came."""
    return text.encode("utf-8", "surrogateescape")


def decoded(data: bytes) -> str:
    """A program's output as text; bytes that are not UTF-8 become lone surrogates: nothing is lost."""
    return data.decode("utf-8", "surrogateescape")


def lines_of(text: str) -> list[str]:
    """The lines of a program's output that are not empty. str.splitlines would also split at U+2028 and
    others.
    """
    return [line for line in text.split("\n") if line.strip()]
