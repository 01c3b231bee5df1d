"""Help reads well at 80 columns and names what there is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from zonemgr.cli import help_text
from zonemgr.cli.words import ACTIONS, OPTION_OF


def zonemgr(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "zonemgr", *words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_the_overview_fits_and_names_every_action() -> None:
    text = help_text.overview()
    assert max(map(len, text.splitlines())) <= 80
    for action in ACTIONS:
        assert f"  {action.name} " in text


@pytest.mark.parametrize("action", [a for a in ACTIONS if a.name != "lab"], ids=lambda action: action.name)
def test_every_action_has_help_with_all_its_options(action: object) -> None:
    shown = zonemgr(action.name, "--help")  # type: ignore[attr-defined]
    assert shown.returncode == 0, shown.stderr
    for name in action.takes:  # type: ignore[attr-defined]
        if name != "--list-flags" and OPTION_OF[name]:
            assert name in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_nothing_at_all_is_a_usage_error_with_the_overview() -> None:
    shown = zonemgr()
    assert shown.returncode == 2
    assert "Usage: zonemgr" in shown.stderr
    assert shown.stdout == ""


def test_errors_are_one_sentence_and_a_hint() -> None:
    shown = zonemgr("creat-giz")
    assert shown.returncode == 2
    assert shown.stderr.splitlines() == [
        "zonemgr: 'creat-giz' is neither an action nor an option", "  hint: did you mean create-giz?",
    ]  # fmt: skip


def test_errors_are_json_on_request() -> None:
    shown = zonemgr("--json", "boot")
    assert shown.returncode == 2
    assert '"error": "boot of which zone?"' in shown.stdout
