"""What a person reads while steps are run."""

from __future__ import annotations

import io

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
