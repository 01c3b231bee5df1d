"""Questions about the machine's processes. A pid alone proves nothing: a process is pid and start time."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path
from typing import NamedTuple

EXITING = 0x4  # PF_EXITING of Linux' sched.h, in the flags that /proc shows (proc(5))


class Stat(NamedTuple):
    state: str  # one letter, as ps shows it
    parent: int
    start: int  # clock ticks since the machine's boot
    ending: (
        bool  # it runs no code any more, but is not gone yet: it may be waiting for its namespace to empty
    )


def stat(pid: int) -> Stat:
    """What /proc says of a process; raises OSError when there is none."""
    text = Path(f"/proc/{pid}/stat").read_text(errors="surrogateescape")
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(fields[0], int(fields[1]), int(fields[19]), bool(int(fields[6]) & EXITING))


def alive(pid: int, start: int) -> bool:
    """Is this very process there, and not merely waiting to be buried?"""
    try:
        found = stat(pid)
    except (OSError, ValueError):
        return False
    return pid > 0 and found.start == start and found.state not in "ZX"


def ending(pid: int, start: int) -> bool:
    """Is this very process on its way out? Nothing can be begun with it any more, though it is still there."""
    try:
        found = stat(pid)
    except (OSError, ValueError):
        return False
    return found.start == start and found.ending


# Children of this process that nobody waits for any more. Those in a cell must be buried all the same, or
# the first process there cannot end.
abandoned: set[int] = set()


def bury() -> None:
    """Forget abandoned children that have ended."""
    for child in list(abandoned):
        try:
            ended, _ = os.waitpid(child, os.WNOHANG)
        except ChildProcessError:
            ended = child
        if ended:
            abandoned.discard(child)


def _wait(handle: int, deadline: float) -> None:
    waiter = select.poll()
    waiter.register(handle, select.POLLIN)
    while time.monotonic() < deadline:
        bury()
        if waiter.poll(10 if abandoned else (deadline - time.monotonic()) * 1000):
            return


def kill(pid: int, start: int, *, limit: float = 30.0) -> bool:
    """SIGKILL one process and wait until it is gone; False when the limit passed first."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        if alive(pid, start):
            os.kill(pid, 9)
            _wait(handle, time.monotonic() + limit)
    except ProcessLookupError:
        return True
    finally:
        os.close(handle)
    deadline = time.monotonic() + 1
    while alive(pid, start) and time.monotonic() < deadline:  # the pidfd speaks a moment before /proc does
        time.sleep(0.001)
    return not alive(pid, start)
