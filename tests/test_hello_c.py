"""The C program that the demo builds in zones: it builds, checks itself, and can fail on request."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "test/scenarios/hello-c"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    ours = shutil.ignore_patterns("*.o", "tally", "check.tmp")
    return Path(shutil.copytree(SOURCE, tmp_path / "hello-c", ignore=ours))


def make(tree: Path, target: str) -> subprocess.CompletedProcess[str]:
    # `make test` hands its own flags down; this is a make of its own.
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", target], cwd=tree, env=environ, capture_output=True, text=True)


def test_it_builds_without_a_warning_passes_its_check_and_cleans_up(tree: Path) -> None:
    before = sorted(path.name for path in tree.iterdir())
    built = make(tree, "check")
    assert (built.returncode, built.stderr) == (0, "")
    assert built.stdout.count("\nok ") == 7
    assert "FAILED" not in built.stdout
    counted = subprocess.run(["./tally", "-n", "1"], cwd=tree, input="a b A", capture_output=True, text=True)
    assert counted.stdout == "      2 a\n"
    assert make(tree, "clean").returncode == 0
    assert sorted(path.name for path in tree.iterdir()) == before


def test_its_check_notices_a_mistake(tree: Path) -> None:
    """A check that cannot fail would make every build in a zone look good."""
    words = tree / "words.c"
    words.write_text(words.read_text().replace("tolower(c)", "toupper(c)"))
    failed = make(tree, "check")
    assert failed.returncode == 2
    assert "FAILED  most frequent first" in failed.stdout


def test_the_broken_build_fails_with_a_known_status_and_leaves_nothing(tree: Path) -> None:
    before = sorted(path.name for path in tree.iterdir())
    failed = make(tree, "broken")
    assert failed.returncode == 2
    assert "this build was asked to fail" in failed.stderr
    assert sorted(path.name for path in tree.iterdir()) == before
