"""Letting time pass inside a command that waits for a service."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from zonemgr.lab.call import Call, TimeLimit
from zonemgr.lab.world import LabError


def wait(call: Call, seconds: float) -> None:
    """Wait as a program does; in the same process the lab's clock moves instead."""
    if call.limit is not None and seconds >= call.limit:
        _pass(call, call.limit)
        raise TimeLimit(call.argv, call.limit)
    _pass(call, seconds)


def for_ever(call: Call) -> None:
    """What is waited for never comes."""
    if call.limit is not None:
        wait(call, call.limit)
    if call.zone is None and not _a_program():
        raise LabError(f"{call.name} waits for a service that never comes, and the caller set no time limit")
    while True:
        signal.pause()


def _pass(call: Call, seconds: float) -> None:
    if call.zone is None and not _a_program():
        call.world.advance(seconds)
    else:
        time.sleep(seconds)


def _a_program() -> bool:
    return Path("/.lab").exists()
