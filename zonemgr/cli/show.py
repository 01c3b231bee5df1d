"""What people see: results on stdout, progress and trouble on stderr; plain lines when stderr is no terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zonemgr.workflows.steps import Step

# The predecessor's levels. Errors are always shown.
ERRORS, WARNINGS, STEPS, COMMANDS, TRACEBACKS = 1, 2, 3, 4, 5


class Screen:
    """Progress for people. `level`: 1 errors, 2 warnings, 3 steps (default), 4 host commands, 5 tracebacks."""

    def __init__(self, level: int = STEPS, stream: IO[str] | None = None, *, dry_run: bool = False) -> None:
        self.level = level
        self.dry_run = dry_run
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self._status: Any = None

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        with self._line(str(step)):
            yield

    @contextmanager
    def undoing(self, step: Step) -> Iterator[None]:
        with self._line(f"undo: {step}"):
            yield

    @contextmanager
    def _line(self, text: str) -> Iterator[None]:
        if self.level < STEPS:
            yield
            return
        began = time.monotonic()
        spinner = self._spin(text)
        try:
            yield
        except BaseException:
            self._stop(spinner)
            self._say(f"✗ {text}" if self.terminal else f"failed: {text}", "red")
            raise
        self._stop(spinner)
        if self.dry_run:  # nothing was done, and how long that took is no news
            self._say(f"not done: {text} (dry run)")
            return
        seconds = time.monotonic() - began
        self._say(
            f"✓ {text}  {seconds:.1f} s" if self.terminal else f"done: {text} ({seconds:.1f} s)", "green"
        )

    def note(self, text: str) -> None:
        if self.level >= STEPS:
            self._say(text)

    def warn(self, text: str) -> None:
        if self.level >= WARNINGS:
            self._say(f"warning: {text}", "yellow")

    def error(self, message: str, hint: str | None, notes: list[str]) -> None:
        self._say(f"zonemgr: {message}", "bold red")
        for note in notes:
            self._say(f"  {note}")
        if hint:
            self._say(f"  hint: {hint}")

    def command(self, text: str) -> None:
        if self.level >= COMMANDS:
            self._say(f"  $ {text}", "dim")

    def would(self, text: str) -> None:
        """A change that a dry run leaves out."""
        self._say(f"would run: {text}")

    def _spin(self, text: str) -> Any:
        if not self.terminal:
            return None
        from rich.console import Console
        from rich.markup import escape

        status = Console(file=self.stream, highlight=False).status(escape(text))
        status.start()
        return status

    @staticmethod
    def _stop(spinner: Any) -> None:
        if spinner is not None:
            spinner.stop()

    def _say(self, text: str, style: str = "") -> None:
        if self.terminal and style:
            from rich.console import Console

            Console(file=self.stream, highlight=False, soft_wrap=True).print(text, style=style, markup=False)
            return
        print(text, file=self.stream, flush=True)


def result(value: Any, *, as_json: bool) -> None:
    """A workflow's answer as the last line on stdout."""
    if as_json:
        print(json.dumps(value, sort_keys=True, default=str), flush=True)
        return
    if isinstance(value, str):
        print(value, flush=True)


def table(headings: list[str], rows: list[list[str]]) -> None:
    """A plain table, columns as wide as their content; long last columns are left alone."""
    widths = [max(len(row[n]) for row in [headings, *rows]) for n in range(len(headings))]
    for row in [headings, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
