"""The journal: what was begun is on disk before it begins, and can be undone by another process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import Lab, same
from zonemgr.errors import ZonemgrError
from zonemgr.workflows import building, job, journal
from zonemgr.workflows.journal import Journal, unfinished

RUN = "20260101T000000Z-abcdef"
STEP = building.MakeFilesystem("rpool/export/x", ("atime=off",), RUN)


def begun(runs: Path, *steps: building.Step, zones: list[str] | None = None) -> Journal:
    directory = runs / RUN
    directory.mkdir(parents=True)
    written = Journal(directory, RUN, zones or ["build-1"])
    for step in steps:
        written.begin(step)
    return written


def test_a_step_comes_back_as_it_was(tmp_path: Path) -> None:
    begun(tmp_path, STEP).leave()
    (found,) = unfinished(tmp_path)
    assert (found.run, found.zones, found.steps) == (RUN, ["build-1"], [STEP])
    found.leave()


def test_a_live_run_is_left_alone(tmp_path: Path) -> None:
    written = begun(tmp_path, STEP)
    assert list(unfinished(tmp_path)) == []
    written.leave()
    (found,) = unfinished(tmp_path)
    found.leave()


def test_only_journals_of_the_zone_asked_for(tmp_path: Path) -> None:
    begun(tmp_path, STEP, zones=["other"]).leave()
    assert list(unfinished(tmp_path, zone="build-1")) == []
    assert [found.leave() for found in unfinished(tmp_path, zone="other")] == [None]


def test_what_was_undone_or_is_to_be_kept_is_not_undone_again(tmp_path: Path) -> None:
    third = building.HaltZone("build-1")
    second = building.MakeFilesystem("rpool/export/y", (), RUN)
    written = begun(tmp_path, STEP, second, third)
    written.keep(STEP)
    written.undone(third)
    written.leave()
    (found,) = unfinished(tmp_path)
    assert found.steps == [second]
    found.undone(found.steps[0])
    found.leave()
    (again,) = unfinished(tmp_path)
    assert again.steps == []
    again.end()
    assert list(unfinished(tmp_path)) == []


def test_a_torn_last_line_is_a_step_that_never_began(tmp_path: Path) -> None:
    begun(tmp_path, STEP).leave()
    path = tmp_path / RUN / journal.NAME
    path.write_text(path.read_text() + '{"begin": "MakeFilesy')
    (found,) = unfinished(tmp_path)
    assert found.steps == [STEP]
    found.leave()


def test_a_step_of_another_version_is_named_not_skipped(tmp_path: Path) -> None:
    begun(tmp_path).leave()
    path = tmp_path / RUN / journal.NAME
    path.write_text(path.read_text() + json.dumps({"begin": "FromTheFuture", "fields": {}}) + "\n")
    with pytest.raises(ZonemgrError, match="FromTheFuture"):
        list(unfinished(tmp_path))


def test_recover_undoes_what_a_dead_run_made(lab: Lab) -> None:
    before = lab.everything()
    begun(Path(lab.config.state.directory) / "runs", STEP).leave()
    lab.run("zfs", "create", "-o", f"zonemgr:run={RUN}", "rpool/export/x")
    assert job.recover_all(lab.site()) == [RUN]
    same(before, lab.everything())
    assert job.recover_all(lab.site()) == []


def test_what_bears_another_mark_is_not_touched(lab: Lab) -> None:
    begun(Path(lab.config.state.directory) / "runs", STEP).leave()
    lab.run("zfs", "create", "-o", "zonemgr:run=somebody-else", "rpool/export/x")
    before = lab.everything()
    job.recover_all(lab.site())
    same(before, lab.everything())
