"""`lab create` where no lab can work says so at once, with the cure, and leaves nothing behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.stage import needs_namespaces, needs_root
from zonemgr.lab import labs, namespaces, probe
from zonemgr.lab.world import LabError

pytestmark = [*needs_namespaces, needs_root]


def told(prepare: Callable[[], None], place: Path) -> str:
    """In a process of its own: make the place as it is to be, then a lab in it; what that says."""
    answer, tells = os.pipe()
    child = os.fork()
    if child == 0:
        text = "made"
        try:
            prepare()
            labs.create(place)
        except LabError as trouble:
            text = str(trouble)
        except BaseException as trouble:  # noqa: BLE001 - a forked copy must not run on as its parent
            text = f"{type(trouble).__name__}: {trouble}"
        finally:
            os.write(tells, text.encode())
            os._exit(0)
    os.close(tells)
    with open(answer) as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


def test_a_machine_that_can_is_left_as_it_was(tmp_path: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    assert probe.check(tmp_path / "not/yet/there") == ""
    assert Path("/proc/self/mountinfo").read_text() == before
    assert list(tmp_path.iterdir()) == []


def test_a_plain_chroot(tmp_path: Path) -> None:
    def prepare() -> None:
        os.chroot(tmp_path)
        os.chdir("/")

    (tmp_path / "tmp").mkdir()
    assert told(prepare, Path("/lab")) == probe.CHROOT
    assert not (tmp_path / "lab").exists()


def test_a_chroot_with_proc(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()

    def prepare() -> None:
        namespaces.unshare(namespaces.NEWNS)
        namespaces.mount("", "/", flags=namespaces.REC | namespaces.PRIVATE)
        namespaces.mount("/proc", str(tmp_path / "proc"), flags=namespaces.BIND | namespaces.REC)
        os.chroot(tmp_path)
        os.chdir("/")

    assert told(prepare, Path("/lab")) == probe.CHROOT


def test_no_user_namespaces_for_a_user(tmp_path: Path) -> None:
    """By the limit of a user namespace round the user, which is that of a machine for all that is in it."""
    tmp_path.chmod(0o777)

    def prepare() -> None:
        assert namespaces.new_user_namespace()
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)

    for folder in tmp_path.parents:
        if folder.stat().st_uid == 0 and not folder.stat().st_mode & 1:
            folder.chmod(folder.stat().st_mode | 0o11)
    text = told(prepare, tmp_path / "lab")
    assert "which this machine does not give" in text
    assert text.endswith("run zonemgr as root, or, as root: sysctl -w user.max_user_namespaces=10000")
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_programs(tmp_path: Path) -> None:
    def prepare() -> None:
        namespaces.unshare(namespaces.NEWNS)
        namespaces.mount("", "/", flags=namespaces.REC | namespaces.PRIVATE)
        namespaces.mount("tmpfs", str(tmp_path), "tmpfs", namespaces.NOEXEC)

    assert told(prepare, tmp_path / "lab") == (
        f"programs cannot be run in {tmp_path} (mounted noexec?): choose another directory for the lab,"
        f" or: mount -o remount,exec {tmp_path}"
    )


def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    def prepare() -> None:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)

    assert "Permission denied" in told(prepare, tmp_path / "lab")


@pytest.mark.parametrize("many", [True, False])
def test_one_user_only_is_remarked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: bool) -> None:
    monkeypatch.setattr(probe, "_namespaces", lambda _: many)
    assert ("--add-subuids" in probe.check(tmp_path)) != many
