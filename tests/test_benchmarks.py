"""The frame of the benchmarks: what it writes, and that it measures no failures. No figure is judged."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import frame

NOTHING = [sys.executable, "-S", "-c", "pass"]


def test_a_figure_comes_with_its_goal_and_what_it_was_made_of(tmp_path: Path) -> None:
    result = frame.timed_ratio("this", NOTHING, against="itself", baseline=NOTHING, runs=3, goal=1000)
    assert result.verdict == "met"
    assert result.details["lowest"] <= result.ratio <= result.details["highest"]
    report = json.loads(frame.written([result], tmp_path).read_text())
    (figure,) = report["results"]
    assert (figure["what"], figure["against"], figure["goal"]) == ("this", "itself", 1000)
    assert figure["details"]["runs"] == 3
    assert report["machine"]["python"]


def test_a_command_that_fails_is_not_measured() -> None:
    failing = [sys.executable, "-S", "-c", "raise SystemExit('no such zone')"]
    with pytest.raises(SystemExit, match="ended with 1: no such zone"):
        frame.timed_ratio("this", failing, against="nothing", baseline=NOTHING, runs=1)


def test_the_table_says_which_goals_are_missed() -> None:
    results = [
        frame.Result("zonemgr --help", "python -c pass", 15.25, 12),
        frame.Result("exec-diz", "byhand.sh", 1.5, 1.5),
        frame.Result("x", "y", 3),
    ]
    assert frame.table(results).splitlines() == [
        "what            against         ratio  goal",
        "zonemgr --help  python -c pass  15.25    12  MISSED",
        "exec-diz        byhand.sh        1.50   1.5  met",
        "x               y                3.00",
    ]
