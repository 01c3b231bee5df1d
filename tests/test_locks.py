"""Locks: one run at a time on a zone, whoever it is and however it ends."""

from __future__ import annotations

import grp
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sh

from zonemgr import config, locks
from zonemgr.config import Config
from zonemgr.errors import UsageError, ZonemgrError
from zonemgr.model import RunId

ROOT = Path(__file__).resolve().parent.parent
OURS = RunId("20260102T030405Z-0a1b2c")
THEIRS = RunId("20260102T030400Z-ffffff")


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    return config.load([], environ={}, options={"state.directory": str(tmp_path / "state")})


HOLDER = """
import sys
from zonemgr import config, locks
settings = config.load([], environ={}, options={"state.directory": sys.argv[1]})
with locks.zone_lock(settings, sys.argv[3:], sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
print("released", flush=True)
"""


@contextmanager
def another_run(settings: Config, *zones: str) -> Iterator[subprocess.Popen[str]]:
    """A real process that holds the locks of these zones until its standard input is closed."""
    argv = [sys.executable, "-c", HOLDER, settings.state.directory, THEIRS, *zones]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_zone_is_held_and_free_again_afterwards(settings: Config) -> None:
    assert locks.zone_holder(settings, "build-1") is None
    with locks.zone_lock(settings, "build-1", OURS):
        assert locks.zone_holder(settings, "build-1") == locks.Holder(os.getpid(), OURS)
        assert locks.zone_holder(settings, "build-2") is None
    assert locks.zone_holder(settings, "build-1") is None


def test_a_zone_in_use_is_refused_at_once_naming_the_run_and_the_process(settings: Config) -> None:
    with another_run(settings, "build-1") as other:
        with (
            pytest.raises(locks.LockTaken) as refused,
            locks.zone_lock(settings, "build-1", OURS),
        ):
            pytest.fail("two runs have the same zone")
        assert str(refused.value) == f"zone build-1 is in use by run {THEIRS} (process {other.pid})"
        assert refused.value.hint
        with locks.zone_lock(settings, "build-2", OURS):
            pass


def test_this_process_cannot_hold_a_zone_twice_either(settings: Config) -> None:
    with (
        locks.zone_lock(settings, "build-1", OURS),
        pytest.raises(locks.LockTaken, match=f"in use by run {OURS}"),
        locks.zone_lock(settings, "build-1", RunId("20260102T030406Z-000000")),
    ):
        pytest.fail("the zone is locked twice")


def test_the_refused_one_leaves_the_holder_its_lock_and_its_name(settings: Config) -> None:
    with another_run(settings, "build-1") as other:
        for _ in range(2):
            with pytest.raises(locks.LockTaken), locks.zone_lock(settings, "build-1", OURS):
                pass
        assert locks.zone_holder(settings, "build-1") == locks.Holder(other.pid, THEIRS)


def test_waiting_tells_whom_it_waits_for_and_goes_on_when_they_end(settings: Config) -> None:
    with another_run(settings, "build-1") as other:
        told: list[str] = []

        def on_waiting(text: str) -> None:
            told.append(text)
            assert other.stdin is not None
            other.stdin.close()  # lets the other run end

        with locks.zone_lock(settings, "build-1", OURS, wait=60, waiting=on_waiting):
            assert locks.zone_holder(settings, "build-1") == locks.Holder(os.getpid(), OURS)
    assert told == [f"zone build-1 is in use by run {THEIRS} (process {other.pid}); waiting up to 60 seconds"]


def test_waiting_ends_with_the_limit(settings: Config) -> None:
    with (
        another_run(settings, "build-1"),
        pytest.raises(locks.LockTaken, match=r"still after 0\.2 seconds"),
        locks.zone_lock(settings, "build-1", OURS, wait=0.2),
    ):
        pytest.fail("two runs have the same zone")


def test_the_time_to_wait_comes_from_the_settings(settings: Config) -> None:
    patient = config.load(
        [], environ={}, options={"state.directory": settings.state.directory, "state.zone_wait": 60}
    )
    told: list[str] = []
    with another_run(settings, "build-1") as other:

        def on_waiting(text: str) -> None:
            told.append(text)
            other.kill()

        with locks.zone_lock(patient, "build-1", OURS, waiting=on_waiting):
            pass
    assert told


def test_a_killed_run_frees_its_zones(settings: Config) -> None:
    with another_run(settings, "build-1", "build-2") as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert locks.zone_holder(settings, "build-1") is None
        with locks.zone_lock(settings, ["build-1", "build-2"], OURS):
            assert locks.zone_holder(settings, "build-2") == locks.Holder(os.getpid(), OURS)


def test_one_zone_of_several_in_use_frees_the_others_again(settings: Config) -> None:
    with another_run(settings, "build-2"):
        with (
            pytest.raises(locks.LockTaken, match="zone build-2"),
            locks.zone_lock(settings, ["build-3", "build-2", "build-1"], OURS),
        ):
            pytest.fail("build-2 is taken twice")
        assert locks.zone_holder(settings, "build-1") is None
        assert locks.zone_holder(settings, "build-3") is None


def test_several_zones_are_taken_in_order_however_they_are_named(settings: Config) -> None:
    """With a common order two runs with the same zones cannot each wait for the other."""
    with another_run(settings, "build-1"):
        told: list[str] = []
        with (
            pytest.raises(locks.LockTaken),
            locks.zone_lock(settings, ["build-2", "build-1"], OURS, wait=0.1, waiting=told.append),
        ):
            pass
        # build-1 was tried first: build-2's lock was never made.
        assert not Path(settings.state.directory, "locks", "zone-build-2.lock").exists()
        assert len(told) == 1


def test_a_zone_named_twice_is_taken_once(settings: Config) -> None:
    with locks.zone_lock(settings, ["build-1", "build-1"], OURS):
        assert locks.zone_holder(settings, "build-1") is not None


def test_a_zone_and_a_golden_image_of_the_same_name_are_different_locks(settings: Config) -> None:
    with locks.zone_lock(settings, "oi-gate", OURS), locks.image_lock(settings, "oi-gate", OURS):
        assert locks.image_holder(settings, "oi-gate") is not None
    assert locks.image_holder(settings, "oi-gate") is None


def test_a_failing_job_frees_its_zone(settings: Config) -> None:
    with pytest.raises(RuntimeError, match="job"), locks.zone_lock(settings, "build-1", OURS):
        raise RuntimeError("the job failed")
    assert locks.zone_holder(settings, "build-1") is None


def test_a_command_started_meanwhile_neither_keeps_nor_frees_the_lock(settings: Config) -> None:
    """The door forks; a child that outlives the run must not keep its zones, nor free them when it ends."""
    with locks.zone_lock(settings, "build-1", OURS):
        sh.Command("/bin/true")(_tty_out=False)
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert locks.zone_holder(settings, "build-1") == locks.Holder(os.getpid(), OURS)
        survivor = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE)
    try:
        assert locks.zone_holder(settings, "build-1") is None
    finally:
        survivor.communicate()


def test_a_damaged_note_of_the_holder_is_no_reason_to_fail(settings: Config) -> None:
    with another_run(settings, "build-1"):
        Path(settings.state.directory, "locks", "zone-build-1.owner").write_text("{")
        with (
            pytest.raises(locks.LockTaken, match="zone build-1 is in use by another run"),
            locks.zone_lock(settings, "build-1", OURS),
        ):
            pass
        assert locks.zone_holder(settings, "build-1") == locks.Holder(0, "unknown")


def test_a_name_that_is_no_zone_name_never_becomes_a_path(settings: Config) -> None:
    with pytest.raises(UsageError), locks.zone_lock(settings, "../../etc/passwd", OURS):
        pass
    with pytest.raises(UsageError):
        locks.zone_holder(settings, "a/b")


def test_locks_are_as_open_to_the_group_as_the_state_directory(settings: Config) -> None:
    state = Path(settings.state.directory)
    state.mkdir()
    state.chmod(0o2775)
    before = os.umask(0o077)
    try:
        with locks.zone_lock(settings, "build-1", OURS):
            modes = {
                path.name: path.stat().st_mode & 0o7777
                for path in [state / "locks", *(state / "locks").iterdir()]
            }
    finally:
        os.umask(before)
    assert modes == {"locks": 0o2775, "zone-build-1.lock": 0o664, "zone-build-1.owner": 0o664}


def test_a_state_directory_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    settings = config.load([], environ={}, options={"state.directory": str(tmp_path / "file/state")})
    with (
        pytest.raises(ZonemgrError, match="file/state/locks cannot be used: Not a directory") as refused,
        locks.zone_lock(settings, "build-1", OURS),
    ):
        pass
    assert refused.value.hint is not None
    assert f"df -h {tmp_path}/file/state" in refused.value.hint


UNPRIVILEGED = """
import os, sys
import filelock, grp, json  # while the interpreter's files can still be read
from zonemgr import config, data, locks
from zonemgr.errors import ZonemgrError
os.setgroups([]); os.setgid(65534); os.setuid(65534)
settings = config.load([], environ={}, options={"state.directory": sys.argv[1]})
try:
    with locks.zone_lock(settings, "build-1", "x"):
        print("held")
except ZonemgrError as refused:
    print(refused)
    print(refused.hint)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_user_who_may_not_write_there_is_told_how_root_changes_that(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    argv = [sys.executable, "-c", UNPRIVILEGED, str(state)]
    message, hint = subprocess.run(
        argv, capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.splitlines()
    assert message == f"{state}/locks cannot be used: Permission denied"
    group = grp.getgrgid(65534).gr_name
    assert hint.startswith(
        f"as root: mkdir -p {state}/locks {state}/runs && chgrp -R {group} {state} && chmod "
    )
    # The hint works, and opens no records to others.
    private = state / "runs/20260101T000000Z-aaaaaa"
    private.mkdir(mode=0o700, parents=True)
    subprocess.run(hint.removeprefix("as root: "), shell=True, check=True)
    assert subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT).stdout == "held\n"
    assert private.stat().st_mode & 0o777 == 0o700
