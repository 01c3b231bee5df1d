"""Every host command of every job fails, or zonemgr is killed before or after it; then `recover` runs.

The world must then be as before the job, or as after it (design, section 5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import KILLED, Lab, in_child, same
from tests.sweep.jobs import JOBS
from zonemgr.lab.inprocess import differences
from zonemgr.workflows import job as jobs

KINDS = ("fail", "kill-caller-before", "kill-caller-after")
# What differs from run to run: run ids and their tails in VNIC names, times, MAC addresses made up, host keys.
CHANGING = (
    (re.compile(r"\d{8}T\d{6}Z(-[0-9a-f]{6})?"), "TIME"),
    (re.compile(r"\bzm[0-9a-f]{6}_"), "zmRUN_"),
    (re.compile(r"\b2:8:20:[0-9a-f:]+"), "MAC"),
)


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, prepared: dict[str, Lab], tmp_path: Path
) -> Iterator[tuple[str, Lab]]:
    """A job and the lab it starts from; zones get no processes of their own but while zlogin runs."""
    name: str = request.param
    lab = prepared["openindiana"].copy(tmp_path / "stage")
    lab.world.put("cells", "off")
    JOBS[name].prepare(lab)
    yield name, lab
    lab.world.close()


@pytest.mark.parametrize("stage", list(JOBS), indirect=True, ids=str)
def test_every_command_of_a_job_may_go_wrong(stage: tuple[str, Lab], tmp_path: Path) -> None:
    name, start = stage
    before = start.everything()
    after, count = _clean_run(name, start, tmp_path / "clean")
    trouble: list[str] = []
    for position in range(1, count + 1):
        for kind in KINDS:
            lab = start.copy(tmp_path / f"{kind}-{position}")
            lab.inside.fault(f"{kind}@{position}" + (",stderr=broken on purpose" if kind == "fail" else ""))
            trouble += [
                f"{kind}@{position}: {line}" for line in _one(name, lab, kind, before, after, tmp_path)
            ]
            lab.world.close()
    assert not trouble, "\n".join(trouble[:40])


def _clean_run(name: str, start: Lab, directory: Path) -> tuple[dict[str, Any], int]:
    lab = start.copy(directory)
    already = len(lab.commands())
    JOBS[name].run(lab)
    count = len(lab.commands()) - already
    after = lab.everything()
    lab.world.close()
    return after, count


def _one(
    name: str, lab: Lab, kind: str, before: dict[str, Any], after: dict[str, Any], tmp_path: Path
) -> list[str]:
    output = tmp_path / "output"
    output.write_text("")
    ended = in_child(lambda: _run(name, lab), output)
    armed = lab.world.db.execute("select seen < first from faults").fetchone()[0]
    if kind != "fail" and ended != KILLED and not armed:  # a faster run polls less, and never gets that far
        return [f"it was to be killed and ended with {ended}: {output.read_text()[-300:]}"]
    last = lab.commands()[-1]
    fresh = Lab(type(lab.world)(lab.world.dir))
    try:
        jobs.recover_all(fresh.site())
    except Exception as failure:  # noqa: BLE001 - told with the others
        return [f"recover: {failure} (after {last})"]
    now = fresh.everything()
    fresh.world.close()
    if now == before or _plain(now) in (_plain(before), _plain(after)):
        return []
    return [
        f"{line} (last command: {last}; {output.read_text()[-200:]})" for line in differences(before, now)[:3]
    ]


def _run(name: str, lab: Lab) -> None:
    """In the child: connections to SQLite do not survive a fork, so the world is opened anew."""
    JOBS[name].run(Lab(type(lab.world)(lab.world.dir)))


def _plain(world: dict[str, Any]) -> str:
    """A world without what no two runs have in common; contents of files in zones are left out, their names not."""
    thin = {**world, "files": {path: what[:2] for path, what in world["files"].items()}}
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
