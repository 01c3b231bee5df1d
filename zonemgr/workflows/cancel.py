"""Signals that end a run, as an exception. A module of its own, so that a question need not load what jobs need."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Cancelled(BaseException):
    """A signal ends the run; not an Exception, so that nothing takes it for a failure of one step."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextlib.contextmanager
def signals_cancel() -> Iterator[None]:
    """INT, TERM and HUP raise Cancelled here, so that whatever was begun is undone on the way out.

    What the caller had ignored from the start stays ignored, as everywhere: `nohup zonemgr … &` outlives its terminal.
    """

    def cancel(number: int, frame: FrameType | None) -> None:
        raise Cancelled(number)

    every = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    watched = [number for number in every if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, cancel) for number in watched}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
