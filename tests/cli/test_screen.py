"""What a person reads while steps are run."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from zonemgr.cli.show import Screen
from zonemgr.workflows.building import HaltZone


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_dry_run_does_not_say_that_a_step_was_done(dry_run: bool) -> None:
    stream = io.StringIO()
    screen = Screen(stream=stream, dry_run=dry_run)
    with screen.step(HaltZone("build-1")):
        pass
    assert stream.getvalue().startswith("not done: halt build-1" if dry_run else "done: halt build-1 (")


@pytest.mark.parametrize(
    ("closed", "said"), [("2>&-", "rpool/zones/giz\n"), (">&-", ""), (">&- 2>&- <&-", "")], ids=str
)
def test_answers_are_the_same_with_a_stream_closed(closed: str, said: str) -> None:
    line = f"exec {sys.executable} -m zonemgr config get giz.dataset {closed}"
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, said, "")


def test_the_predecessors_variable_sets_the_level() -> None:
    env = {**os.environ, "ZONEMGR_DEBUG": "1"}
    words = [sys.executable, "-m", "zonemgr", "config", "get", "giz.dataset"]
    assert subprocess.run(words, capture_output=True, text=True, check=True, env=env).stderr == ""
