"""How long zonemgr takes to start, as a multiple of what Python itself takes."""

from __future__ import annotations

import sys

from benchmarks.frame import Result, timed_ratio

ZONEMGR = [sys.executable, "-m", "zonemgr"]
PYTHON = [sys.executable, "-c", "pass"]


def measure(runs: int) -> list[Result]:
    return [_start("--version", None, runs), _start("--help", 12, runs)]


def _start(option: str, goal: float | None, runs: int) -> Result:
    argv = [*ZONEMGR, option]
    return timed_ratio(
        f"zonemgr {option}", argv, against="python -c pass", baseline=PYTHON, runs=runs, goal=goal
    )
