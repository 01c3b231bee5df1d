"""The lab's log of commands, its in-process way in, and comparing worlds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from zonemgr.lab import dispatch, inprocess, world
from zonemgr.lab.inprocess import InProcess
from zonemgr.lab.world import LabError


@pytest.fixture
def host(tmp_path: Path) -> Iterator[InProcess]:
    opened = world.create(tmp_path / "lab")
    yield InProcess(opened)
    opened.close()


def test_every_command_is_logged_with_its_status_and_caller(host: InProcess) -> None:
    host.run(["/usr/sbin/zfs", "create", "rpool/a b"])
    host.run(["zfs", "list", "rpool/none"], user="nobody")
    host.run(["fdisk", "-l"])
    rows = host.log()
    assert [(row["argv"], row["exit"], row["user"]) for row in rows] == [
        (["zfs", "create", "rpool/a b"], 0, "root"),
        (["zfs", "list", "rpool/none"], 1, "nobody"),
        (["fdisk", "-l"], 127, "root"),
    ]
    assert all(row["seconds"] >= 0 for row in rows)
    assert [row["started"] for row in rows] == sorted(row["started"] for row in rows)
    assert dispatch.since(host.world, rows[0]["id"]) == [["zfs", "list", "rpool/none"], ["fdisk", "-l"]]


def test_commands_inside_commands_are_not_logged(host: InProcess) -> None:
    host.run(["zonecfg", "-z", "web", "create -b; set zonepath=/zones/web; set brand=ipkg"])
    host.run(["zoneadm", "-z", "web", "uninstall", "-F"])
    assert [row["argv"][0] for row in host.log()] == ["zonecfg", "zoneadm"]


def test_what_is_not_emulated_is_refused_plainly(host: InProcess) -> None:
    ended = host.run(["fmadm", "faulty"])
    assert (ended.exit_code, ended.stdout, ended.stderr) == (127, "", "lab: fmadm is not emulated\n")


def test_output_is_handed_on_as_it_comes_and_then_not_kept(host: InProcess) -> None:
    pieces: list[bytes] = []
    ended = host.run(["zfs", "list", "-H", "-o", "name", "rpool"], on_stdout=pieces.append)
    assert (b"".join(pieces), ended.stdout) == (b"rpool\n", "")


def test_two_labs_made_alike_are_alike_and_differences_are_named(host: InProcess, tmp_path: Path) -> None:
    twin = InProcess(inprocess.copy(host.world, tmp_path / "twin"))
    assert inprocess.differences(host.everything(), twin.everything()) == []
    twin.run(["zfs", "create", "-o", "mountpoint=/export/x", "rpool/x"])
    twin.world.path("/etc/motd").write_text("changed\n")
    lines = inprocess.differences(host.everything(), twin.everything())
    assert any(line.startswith("[files][/etc/motd]: ") for line in lines)
    assert any(line.startswith("[files][/export/x]: ") for line in lines)
    assert any(line.startswith("[zfs]") for line in lines)
    twin.run(["zfs", "destroy", "rpool/x"])
    twin.world.close()


def test_making_and_unmaking_leaves_the_world_as_it_was(host: InProcess) -> None:
    before = host.everything()
    for line in (
        "zfs create rpool/x",
        "zfs snapshot rpool/x@s",
        "dladm create-vnic -l net0 tmp0",
    ):
        assert host.run(line.split()).exit_code == 0
    host.run(["zonecfg", "-z", "web", "create -b; set zonepath=/zones/web; set brand=ipkg"])
    assert inprocess.differences(before, host.everything()) != []
    for line in ("zfs destroy -r rpool/x", "dladm delete-vnic tmp0", "zonecfg -z web delete -F"):
        assert host.run(line.split()).exit_code == 0
    assert inprocess.differences(before, host.everything()) == []


def test_a_lab_with_running_cells_is_not_copied(host: InProcess, tmp_path: Path) -> None:
    host.world.db.execute(
        "insert into kernel_zones (name, state, root, init_pid) values ('web', 'running', '/zones/web/root', 4)"
    )
    with pytest.raises(LabError, match="running cells"):
        inprocess.copy(host.world, tmp_path / "twin")
