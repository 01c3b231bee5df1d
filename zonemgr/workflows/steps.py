"""Steps, and the one function that runs them: check all, then do each, then prove it; on failure undo newest first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Protocol

from zonemgr.host.door import Host

REGISTRY: dict[str, type[Step]] = {}


class Step:
    """One change of the host. Subclasses are frozen dataclasses of plain values, so that a journal can hold them.

    `check` runs before the first change of the whole job and raises when `do` cannot be right. `do` changes.
    `prove` looks whether the change is there (it is left out in a dry run). `undo` removes what `do` made, as far
    as it carries this run's mark; it copes with a step that never began or stopped half-way.
    """

    silent: ClassVar[bool] = False  # a step that only prepares its undo is not worth a line of progress
    alone: ClassVar[bool] = False  # the steps before it can be undone although it could not

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        REGISTRY[cls.__name__] = cls

    def check(self, host: Host) -> None:
        """Raise before anything is changed; most steps have nothing to say."""

    def do(self, host: Host) -> None:
        raise NotImplementedError

    def prove(self, host: Host) -> None:
        """Raise when the host does not look as `do` should have left it."""

    def undo(self, host: Host) -> None:
        """Nothing to take back unless a step says so."""


class Report(Protocol):
    """Where progress goes; the command line shows it on stderr."""

    def step(self, step: Step) -> AbstractContextManager[None]: ...

    def undoing(self, step: Step) -> AbstractContextManager[None]: ...

    def note(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...


class Quiet:
    """A report for tests and for questions."""

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        yield

    @contextmanager
    def undoing(self, step: Step) -> Iterator[None]:
        yield

    def note(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass


_LISTENER: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


def warn(text: str) -> None:
    """Say something to the operator from within a step's do, prove or undo, which know no report."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(text)


@contextmanager
def _heard_by(report: Report) -> Iterator[None]:
    token = _LISTENER.set(report.warn)
    try:
        yield
    finally:
        _LISTENER.reset(token)


class Ledger(Protocol):
    """What remembers the begun steps; the journal on disk, or nothing in a dry run."""

    def begin(self, step: Step) -> None: ...

    def undone(self, step: Step) -> None: ...


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Keep INT, TERM and HUP off while things are undone: a second Ctrl-C must not stop the clean-up.

    They are ignored rather than delayed: the run is already ending, and ends with the first signal's status.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in held}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_steps(
    steps: Sequence[Step],
    host: Host,
    report: Report,
    ledger: Ledger,
    *,
    begun: list[Step],
    look: Host | None = None,
) -> None:
    """Check all steps, then do and prove each. `begun` grows as they begin; the caller undoes it after a failure.

    `look`: what was seen of the host when the steps were planned, a moment ago and under the same locks.
    """
    look = look or Remembering(host)
    for step in steps:
        step.check(look)
    for step in steps:
        ledger.begin(step)
        begun.append(step)  # before do(): a step that stops half-way is undone too
        with contextlib.nullcontext() if step.silent else report.step(step), _heard_by(report):
            step.do(host)
            if not host.dry_run:
                step.prove(host)


def undo_steps(begun: list[Step], host: Host, report: Report, ledger: Ledger) -> list[str]:
    """Undo newest first and empty the list; returns a line for each step that could not be undone.

    What came before a step is what it stands on: a snapshot must not be destroyed when the rollback to it failed. So
    the first failure ends it, unless the step stands alone; the journal keeps the rest for the next try.
    """
    left: list[str] = []
    with interrupts_held():
        while begun:
            step = begun.pop()
            try:
                with contextlib.nullcontext() if step.silent else report.undoing(step), _heard_by(report):
                    step.undo(host)
                ledger.undone(step)
            except Exception as left_over:  # noqa: BLE001 - told with the first failure, never instead of it
                left.append(f"could not undo '{step}': {left_over}")
                if not step.alone:
                    break
    begun.clear()
    return left


class Remembering:
    """A host for one round of checks: the same question is asked once, and changes are refused."""

    def __init__(self, host: Host) -> None:
        self.behind = getattr(host, "behind", host)
        self._answers: dict[tuple[Any, ...], Any] = {}
        self.dry_run = host.dry_run
        self.elevate = host.elevate
        self.limits = host.limits

    def ask(self, *argv: str, **how: Any) -> Any:
        key = (argv, tuple(sorted((name, repr(value)) for name, value in how.items())))
        if key not in self._answers:
            self._answers[key] = self.behind.ask(*argv, **how)
        return self._answers[key]

    def change(self, *argv: str, **how: Any) -> Any:
        raise AssertionError(f"a check must not change the host: {argv}")

    stream = change

    def interact(self, *argv: str) -> int:
        raise AssertionError(f"a check must not change the host: {argv}")

    def file(self, text: str) -> Any:
        return self.behind.file(text)

    def pause(self, seconds: float) -> None:
        self.behind.pause(seconds)
