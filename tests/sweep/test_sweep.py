"""Every host command of every job fails, or zonemgr is killed before or after it; then `recover` runs.

The world must then be as before the job, or as after it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import Lab, in_child, same
from tests.sweep import crossroads
from tests.sweep.crossroads import Crossroads
from tests.sweep.jobs import JOBS
from zonemgr.lab.inprocess import differences
from zonemgr.workflows import job as jobs

# What differs from run to run: run ids and their tails in VNIC names, times, MAC addresses made up, host keys.
CHANGING = (
    (re.compile(r"\d{8}T\d{6}Z(-[0-9a-f]{6})?"), "TIME"),
    (re.compile(r"\bzm[0-9a-f]{6}_"), "zmRUN_"),
    (re.compile(r"\b2:8:20:[0-9a-f:]+"), "MAC"),
    # A configuration kept with a snapshot has the run id in it, and is compressed.
    (re.compile(r'"zonemgr:config(\.\d+)?": "[^"]*"'), '"zonemgr:config": ""'),
)

LEFT_LOG = re.compile(
    r"/var/tmp/.*_log\."
)  # the brand's scripts write these, under random names, and leave them


@pytest.fixture
def fast_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory if there is one: a sweep copies its lab hundreds of times."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 1 << 30:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="zonemgr-sweep-") as folder:
        yield Path(folder)


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, prepared: dict[str, Lab], fast_path: Path
) -> Iterator[tuple[str, Lab]]:
    """A job and the lab it starts from; zones get no processes of their own but while zlogin runs."""
    name: str = request.param
    lab = prepared["openindiana"].copy(fast_path / "stage")
    lab.world.put("cells", "off")
    JOBS[name].prepare(lab)
    yield name, lab
    lab.world.close()


@pytest.mark.parametrize("stage", list(JOBS), indirect=True, ids=str)
def test_every_command_of_a_job_may_go_wrong(stage: tuple[str, Lab], fast_path: Path) -> None:
    name, start = stage
    before = start.everything()
    after = _clean_run(name, start, fast_path / "clean")
    output = fast_path / "output"
    told = in_child(lambda: _tried(name, start, before, after, fast_path), output)
    assert told == 0, output.read_text()[-6000:]


def _clean_run(name: str, start: Lab, directory: Path) -> dict[str, Any]:
    lab = start.copy(directory)
    JOBS[name].run(lab)
    after = lab.everything()
    lab.world.close()
    return after


def _tried(name: str, start: Lab, before: dict[str, Any], after: dict[str, Any], folder: Path) -> None:
    """In a child, so that what it forks and kills is its own; it fails with what was found."""
    trouble = _trouble(JOBS[name].run, start, before, after, folder)
    assert not trouble, "\n".join(trouble[:40])


def _trouble(
    job: Callable[[Lab], object], start: Lab, before: dict[str, Any], after: dict[str, Any], folder: Path
) -> list[str]:
    start.copy(folder / "lab").world.close()
    lab = Crossroads(type(start.world)(folder / "lab"))
    accepted = (_plain(before), _plain(after))

    def judge(fresh: Lab) -> list[str]:
        last = fresh.commands()[-1]
        try:
            jobs.recover_all(fresh.site())
        except Exception as failure:  # noqa: BLE001 - told with the others
            return [f"recover: {failure} (after {last})"]
        now = fresh.everything()
        if _plain(now) in accepted:
            return []
        return [f"{line} (last command: {last})" for line in differences(before, now)[:3]]

    lab.watch(judge, folder / "aside")
    try:
        job(lab)
    finally:
        if lab.forked:
            os._exit(1)  # a fork that met its failure: its parent is waiting
    assert lab.number > 0
    return lab.trouble


def _plain(world: dict[str, Any]) -> str:
    """A world without what no two runs have in common; contents of files in zones are left out, their names not."""
    files = {path: what[:2] for path, what in world["files"].items() if not LEFT_LOG.match(path)}
    thin = {**world, "files": files}
    text = json.dumps(thin, sort_keys=True, default=str)
    for pattern, word in CHANGING:
        text = pattern.sub(word, text)
    return text


def test_the_sweep_would_notice(prepared: dict[str, Lab], tmp_path: Path) -> None:
    """The comparison is not blind: a dataset left behind shows."""
    lab = prepared["openindiana"].copy(tmp_path / "lab")
    before = lab.everything()
    same(before, lab.everything())
    lab.run("zfs", "create", "rpool/export/left-behind")
    assert _plain(lab.everything()) != _plain(before)
    lab.world.close()


def test_the_sweep_finds_a_job_that_stops_half_way(
    prepared: dict[str, Lab], fast_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crossroads, "WHOLE", True)

    def careless(lab: Lab) -> None:
        for name in ("one", "two"):
            lab.door().change("zfs", "create", f"rpool/export/{name}")

    start = prepared["openindiana"].copy(fast_path / "start")
    before = start.everything()
    clean = start.copy(fast_path / "clean")
    careless(clean)
    after, found = clean.everything(), fast_path / "found"

    def tried() -> None:
        found.write_text("\n".join(_trouble(careless, start, before, after, fast_path)))

    in_child(tried, fast_path / "output")
    places = {line.split(":")[0] for line in found.read_text().splitlines()}
    assert places == {"kill-caller-after@1", "fail@2", "kill-caller-before@2"}
