"""The scenarios of test/scenarios on a lab of each flavour: zonemgr and all commands as programs, zones as cells."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent
STORIES = sorted((HERE / "test/scenarios").glob("[0-9]*.sh"))
ZONEMGR = [sys.executable, "-m", "zonemgr"]

pytestmark = pytest.mark.namespaces


FLAVOURS = [
    pytest.param(flavour, marks=pytest.mark.xdist_group(f"scenarios-{flavour}"))
    for flavour in ("openindiana", "omnios")
]


@pytest.fixture(scope="module", params=FLAVOURS)
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One lab per flavour, on which the stories are told one after the other, as on a host."""
    place = tmp_path_factory.mktemp("scenarios") / "lab"
    subprocess.run(
        [*ZONEMGR, "-q", "lab", "create", str(place), "--flavour", request.param], cwd=HERE, check=True
    )
    yield place
    subprocess.run([*ZONEMGR, "-q", "lab", "destroy", str(place), "--yes"], cwd=HERE, check=True)


# Each story takes tens of seconds. Without this each is told on one flavour only, by turns.
BOTH = os.environ.get("TEST_SCENARIOS") == "all"
TURN = {story: ("openindiana", "omnios")[number % 2] for number, story in enumerate(STORIES)}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.stem)
def test_a_story(lab: Path, story: Path, request: pytest.FixtureRequest) -> None:
    flavour = request.node.callspec.params["lab"]
    if not BOTH and TURN[story] != flavour:
        pytest.skip("told on the other flavour; on both with TEST_SCENARIOS=all")
    told = subprocess.run(
        [*ZONEMGR, "lab", "run", "--dir", str(lab), "--", "sh", str(story)],
        cwd=HERE, env={**os.environ, "ZONEMGR": "zonemgr"}, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout[-2000:] + told.stderr[-2000:]
    left = subprocess.run(
        [*ZONEMGR, "lab", "run", "--dir", str(lab), "--", "zonemgr", "-q", "list-diz"],
        cwd=HERE, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert left.stdout == "", "a story has left a zone behind"
