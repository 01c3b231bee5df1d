"""Records of runs: what remains of them, whoever ended them."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from zonemgr import config, records
from zonemgr.config import Config
from zonemgr.errors import CommandError, CommandTimeout, NotThere, UsageError, ZonemgrError
from zonemgr.model import RunId

ROOT = Path(__file__).resolve().parent.parent
FIRST = RunId("20260102T030405Z-0a1b2c")
SECOND = RunId("20260102T030405Z-99aabb")
THIRD = RunId("20260103T000000Z-0a0a0a")


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    return config.load([], environ={}, options={"state.directory": str(tmp_path / "state")})


def keeping(settings: Config, number: int) -> Config:
    options = {"state.directory": settings.state.directory, "state.keep_runs": number}
    return config.load([], environ={}, options=options)


def ended(settings: Config, *runs: RunId) -> None:
    for run in runs:
        with records.Run(settings, run, ["zonemgr", "boot", "-z", "build-1"], ["build-1"]):
            pass


CUT_SHORT = """
import sys
from zonemgr import config, records
settings = config.load([], environ={}, options={"state.directory": sys.argv[1]})
with records.Run(settings, sys.argv[2], ["zonemgr", "exec-diz"], ["build-1"]) as run:
    with run.step("clone oi-gate@current to build-1"):
        pass
    run.stdout(b"half a li")
    print("under way", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_run(settings: Config, run: RunId) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", CUT_SHORT, settings.state.directory, run]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "under way\n"
        try:
            yield process
        finally:
            process.kill()


def killed(settings: Config, run: RunId) -> None:
    with another_run(settings, run) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_run_ids_differ_and_can_be_part_of_any_name_or_value() -> None:
    ids = {records.new_run_id() for _ in range(200)}
    assert len(ids) == 200
    assert len({run.lower() for run in ids}) == 200
    for run in ids:
        assert records._RUN_ID.fullmatch(run)


def test_a_run_that_ends_well_is_on_record(settings: Config) -> None:
    argv = ["zonemgr", "create-diz", "-c", "oi-gate"]
    with records.Run(settings, FIRST, argv, ["build-1"]) as run:
        with run.step("clone oi-gate@current to build-1"):
            pass
        with run.step("boot build-1"):
            pass
    found = records.read_run(settings, FIRST)
    assert (found.id, found.argv, found.zones) == (FIRST, tuple(argv), ("build-1",))
    assert (found.state, found.verdict, found.exit_code, found.message) == ("ok", "ok", 0, None)
    assert [(step.title, step.outcome) for step in found.steps] == [
        ("clone oi-gate@current to build-1", "done"),
        ("boot build-1", "done"),
    ]
    assert found.ended is not None
    assert found.started <= found.ended
    assert found.seconds is not None
    assert found.seconds >= sum(step.seconds for step in found.steps) >= 0


def test_output_is_kept_apart_byte_by_byte(settings: Config) -> None:
    with records.Run(settings, FIRST) as run:
        run.stdout(b"cc -c main.c\n")
        run.stderr(b"main.c:1: \xff\x00 warning\n")
        run.stdout(b"no newline")
        run.host_log("zoneadm -z build-1 boot")
        run.host_log("zfs list -H")
        found = records.read_run(settings, FIRST)  # as someone looking on would
        assert (found.directory / "stdout.log").read_bytes() == b"cc -c main.c\nno newline"
    assert (found.directory / "stderr.log").read_bytes() == b"main.c:1: \xff\x00 warning\n"
    assert (found.directory / "host.log").read_text() == "zoneadm -z build-1 boot\nzfs list -H\n"
    assert found.notes == ()


def test_a_command_that_failed_in_the_zone_is_a_verdict_and_no_failure_of_zonemgr(settings: Config) -> None:
    with records.Run(settings, FIRST) as run:
        run.finish("failed", 2)
    found = records.read_run(settings, FIRST)
    assert (found.verdict, found.exit_code) == ("failed", 2)


class BuildFailed(ZonemgrError):
    verdict = "failed"
    exit_code = 7


class Cancelled(BaseException):
    number = signal.SIGTERM


@pytest.mark.parametrize(
    ("failure", "verdict", "exit_code"),
    [
        (CommandError(["zoneadm", "-z", "a", "boot"], 1, "zoneadm: zone 'a': no"), "environment", 1),
        (CommandTimeout(["zoneadm", "-z", "a", "halt"], 120), "timeout", 1),
        (UsageError("no"), "environment", 2),
        (ValueError("a mistake in zonemgr"), "environment", 1),
        (BuildFailed("make said so"), "failed", 7),
        (KeyboardInterrupt(), "cancelled", 130),
        (Cancelled(), "cancelled", 143),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_an_exception_becomes_the_verdict(
    settings: Config, failure: BaseException, verdict: str, exit_code: int
) -> None:
    failure.add_note("could not undo 'boot a'")
    with pytest.raises(type(failure)), records.Run(settings, FIRST) as run:
        run.finish("ok", 0)  # the build was fine; what came after was not
        with run.step("boot a"):
            raise failure
    found = records.read_run(settings, FIRST)
    assert (found.verdict, found.exit_code) == (verdict, exit_code)
    assert found.message == (str(failure) or type(failure).__name__)
    assert found.notes == ("could not undo 'boot a'",)
    assert [step.outcome for step in found.steps] == ["failed"]


def test_records_are_for_their_owner_alone(settings: Config) -> None:
    """Command lines and build logs hold tokens; a generous umask must not open them."""
    state = Path(settings.state.directory)
    state.mkdir()
    state.chmod(0o2775)
    before = os.umask(0)
    try:
        with records.Run(settings, FIRST, ["zonemgr", "exec-diz", "--exec-env", "TOKEN=secret"]) as run:
            run.stdout(b"TOKEN=secret\n")
            run.stderr(b"x")
            run.host_log("x")
            while_alive = {path.name: path.stat().st_mode & 0o777 for path in run.directory.iterdir()}
    finally:
        os.umask(before)
    directory = records.read_run(settings, FIRST).directory
    assert (directory.parent.stat().st_mode & 0o7777, directory.stat().st_mode & 0o777) == (0o2775, 0o700)
    names = {"record.json", "stdout.log", "stderr.log", "host.log"}
    assert while_alive == dict.fromkeys([*names, "live"], 0o600)
    assert {path.name for path in directory.iterdir()} == names


def test_a_run_under_way_shows_as_running_and_a_killed_one_as_cut_short(settings: Config) -> None:
    with another_run(settings, FIRST) as process:
        found = records.read_run(settings, FIRST)
        assert (found.state, found.live, found.verdict) == ("running", True, None)
        assert [step.title for step in found.steps] == ["clone oi-gate@current to build-1"]
        process.kill()
        process.wait()
        found = records.read_run(settings, FIRST)
    assert (found.state, found.live, found.ended) == ("cut short", False, None)
    assert (found.directory / "stdout.log").read_bytes() == b"half a li"


def test_the_end_of_a_dead_run_is_written_by_whoever_cleared_up_after_it(settings: Config) -> None:
    killed(settings, FIRST)
    records.close_dead(settings, FIRST)
    found = records.read_run(settings, FIRST)
    assert (found.state, found.message) == ("cancelled", "cut short, and undone afterwards")
    assert found.ended is not None
    assert found.steps


def test_a_verdict_that_was_reached_stays_when_the_rest_is_undone_later(settings: Config) -> None:
    with pytest.raises(ZonemgrError), records.Run(settings, FIRST):
        raise ZonemgrError("could not halt build-1")
    records.close_dead(settings, FIRST)
    found = records.read_run(settings, FIRST)
    assert (found.verdict, found.message) == ("environment", "could not halt build-1")
    assert found.notes == ("cut short, and undone afterwards",)


def test_closing_a_run_that_never_wrote_a_record_is_no_failure(settings: Config) -> None:
    records.close_dead(settings, FIRST)
    directory = records.runs_directory(settings) / FIRST
    directory.mkdir(parents=True)
    records.close_dead(settings, FIRST)
    assert records.read_run(settings, FIRST).state == "cancelled"


def test_runs_are_listed_newest_first(settings: Config) -> None:
    assert records.list_runs(settings) == []
    ended(settings, SECOND, THIRD, FIRST)
    assert [run.id for run in records.list_runs(settings)] == [THIRD, SECOND, FIRST]
    assert [run.id for run in records.list_runs(settings, newest=2)] == [THIRD, SECOND]


def test_what_is_no_run_or_damaged_does_not_hide_the_others(settings: Config) -> None:
    ended(settings, FIRST, SECOND, THIRD)
    runs = records.runs_directory(settings)
    (runs / "lost+found").mkdir()
    (runs / "notes.txt").write_text("x")
    (runs / FIRST / "record.json").write_text('{"argv": ')
    (runs / SECOND / "record.json").write_text("[]")
    listed = records.list_runs(settings)
    assert [(run.id, run.state) for run in listed] == [
        (THIRD, "ok"),
        (SECOND, "cut short"),
        (FIRST, "cut short"),
    ]
    assert listed[1].notes == listed[2].notes == ("record.json is missing or damaged",)


def test_a_run_is_found_by_its_beginning_or_by_the_tail_that_zone_names_carry(settings: Config) -> None:
    ended(settings, FIRST, SECOND, THIRD)
    assert records.read_run(settings, "20260103").id == THIRD
    assert records.read_run(settings, "99aabb").id == SECOND
    with pytest.raises(UsageError, match="2 runs begin with 20260102") as ambiguous:
        records.read_run(settings, "20260102")
    assert ambiguous.value.hint == f"the newest of them is {SECOND}"
    for nothing in ("2027", "", "aabb", "../..", "."):
        with pytest.raises(NotThere, match="no record of a run"):
            records.read_run(settings, nothing)


def test_the_oldest_records_go_when_there_are_too_many(settings: Config) -> None:
    ended(keeping(settings, 2), FIRST, SECOND, THIRD)
    assert [run.id for run in records.list_runs(settings)] == [THIRD, SECOND]
    assert not (records.runs_directory(settings) / FIRST).exists()


def test_zero_keeps_them_all(settings: Config) -> None:
    ended(keeping(settings, 0), FIRST, SECOND, THIRD)
    assert len(records.list_runs(settings)) == 3


def test_live_runs_and_those_with_something_to_recover_are_never_removed(settings: Config) -> None:
    ended(settings, SECOND)
    (records.runs_directory(settings) / SECOND / records.JOURNAL).write_text("{}\n")
    with another_run(settings, FIRST):
        ended(keeping(settings, 1), THIRD)
        assert [run.id for run in records.list_runs(settings)] == [THIRD, SECOND, FIRST]
        assert [run.unsettled for run in records.list_runs(settings)] == [False, True, False]
    # Once they are dead and settled, they are as old as any.
    (records.runs_directory(settings) / SECOND / records.JOURNAL).unlink()
    assert records.prune(keeping(settings, 1)) == 2
    assert [run.id for run in records.list_runs(settings)] == [THIRD]


def test_a_full_disk_does_not_end_a_build_but_is_noted(settings: Config) -> None:
    ended(settings, FIRST)
    with records.Run(settings, SECOND) as run:
        run.stdout(b"begun\n")
        with file_size_limit(10_000):
            run.stdout(b"x" * 20_000)
            run.stdout(b"never written")
        run.finish("failed", 2)
    found = records.read_run(settings, SECOND)
    assert (found.verdict, found.exit_code) == ("failed", 2)
    assert found.notes == ("stdout.log is incomplete: File too large",)
    assert (found.directory / "stdout.log").read_bytes() == b"begun\n" + b"x" * 9_994


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """The kernel refuses to let files grow: the nearest thing to a full disk that needs no disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_record_that_cannot_be_written_is_said_and_hides_no_first_failure(settings: Config) -> None:
    with (
        pytest.raises(ZonemgrError, match=f"{FIRST} cannot be used"),
        records.Run(settings, FIRST) as run,
    ):
        for path in run.directory.iterdir():
            path.unlink()
        run.directory.rmdir()
    with pytest.raises(ZonemgrError, match="zone is gone") as failed, records.Run(settings, SECOND) as run:
        for path in run.directory.iterdir():
            path.unlink()
        run.directory.rmdir()
        raise ZonemgrError("the zone is gone")
    assert any("the record of this run is lost" in note for note in failed.value.__notes__)


def test_an_id_that_is_taken_is_refused_and_the_record_there_stays(settings: Config) -> None:
    ended(settings, FIRST)
    before = (records.runs_directory(settings) / FIRST / "record.json").read_bytes()
    with pytest.raises(ZonemgrError, match="File exists"), records.Run(settings, FIRST):
        pytest.fail("two runs with one id")
    assert (records.runs_directory(settings) / FIRST / "record.json").read_bytes() == before


def test_a_log_is_never_written_through_a_symbolic_link(settings: Config, tmp_path: Path) -> None:
    target = tmp_path / "passwd"
    target.write_text("root\n")
    with records.Run(settings, FIRST) as run:
        (run.directory / "stdout.log").symlink_to(target)
        run.stdout(b"evil")
    assert target.read_text() == "root\n"
    assert records.read_run(settings, FIRST).notes == (
        "stdout.log is incomplete: Too many levels of symbolic links",
    )


def test_a_record_can_be_shown_as_json(settings: Config) -> None:
    ended(settings, FIRST)
    shown = json.loads(json.dumps(records.as_dict(records.read_run(settings, FIRST))))
    assert shown["id"] == FIRST
    assert shown["state"] == "ok"
    assert shown["zones"] == ["build-1"]
    assert Path(shown["directory"], "record.json").exists()


LOOKING_ON = """
import os, sys
import fcntl, json, shutil  # while the interpreter's files can still be read
from zonemgr import config, data, records
os.setgroups([]); os.setgid(65534); os.setuid(65534)
settings = config.load([], environ={}, options={"state.directory": sys.argv[1], "state.keep_runs": 1})
for run in records.list_runs(settings):
    print(run.id, run.state, *run.notes)
print(records.prune(settings))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_sees_that_there_were_runs_but_neither_reads_nor_removes_them(settings: Config) -> None:
    ended(settings, FIRST, SECOND)
    runs = records.runs_directory(settings)
    # How deep below it we are depends on how the tests are run.
    above = Path(os.environ.get("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir()))
    for folder in (runs, *runs.parents):
        if above in folder.parents:
            folder.chmod(folder.stat().st_mode | 0o055)
    argv = [sys.executable, "-c", LOOKING_ON, settings.state.directory]
    shown = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=False)
    assert shown.stderr == ""
    assert shown.stdout.splitlines() == [
        f"{SECOND} unknown only its owner can read it",
        f"{FIRST} unknown only its owner can read it",
        "0",
    ]
    assert [run.state for run in records.list_runs(settings)] == ["ok", "ok"]
