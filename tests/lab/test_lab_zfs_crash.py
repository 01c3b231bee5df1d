"""A zfs command killed at any moment leaves a lab as if it had not run, or had run to its end."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from zfslab import Host, disorder

from zonemgr.lab import world as worlds
from zonemgr.lab import zfs as lab_zfs
from zonemgr.lab.call import Call
from zonemgr.lab.world import World

# Each a moment before something is done to a file.
MOMENTS = (
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.remove",
    "os.symlink",
    "shutil.copyfile",
    "shutil.rmtree",
    "open",
)

PLOTS = {
    "create and mount": "zfs create -o mountpoint=/export/deep/er -o a:b=c rpool/t/new",
    "ancestors too": "zfs create -p rpool/t/x/y/z",
    "snapshots of a tree": "zfs snapshot -r rpool/t@now",
    "a clone": "zfs clone -o mountpoint=/export/c rpool/t/a@s rpool/t/c",
    "rollback below a mount": "zfs rollback -r rpool/t/a@s",
    "another mount point": "zfs set mountpoint=/export/elsewhere rpool/t/a",
    "another name": "zfs rename rpool/t/a rpool/t/z",
    "destroying a tree": "zfs destroy -R rpool/t/a",
    "unmounting a tree": "zfs unmount rpool/t/a",
    "mounting over files": "mount -F zfs -o ro rpool/t/legacy /rpool/t/full",
    "promoting": "zfs promote rpool/t/d",
    "a pool": "zpool destroy other",
}


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab with a tree of mounted datasets, snapshots, a clone, files in them."""
    host = Host(worlds.create(tmp_path_factory.mktemp("crash") / "lab"))
    host.does("zfs create -p rpool/t/a/b/c", "zfs create -o mountpoint=legacy rpool/t/legacy")
    host.write("/rpool/t/a/file", "old")
    host.write("/rpool/t/a/b/file", "below")
    host.path("/rpool/t/a/link").symlink_to("file")
    host.does("zfs snapshot rpool/t/a@s", "zfs snapshot rpool/t/a@later", "zfs clone rpool/t/a@s rpool/t/d")
    host.does("zfs destroy rpool/t/a@later", "zfs snapshot rpool/t/a@later")
    host.write("/rpool/t/a/file", "new")
    host.write("/rpool/t/a/more", "more")
    host.write("/rpool/t/full/file", "underneath")
    host.write("/lab/disk", "")
    os.truncate(host.path("/lab/disk"), 64 << 20)
    host.does("zpool create other /lab/disk", "zfs create other/x")
    host.path("/lab/disk").unlink()  # 64 megabytes that every copy would have to carry
    host.world.close()
    return host.world.dir


def _dies_at(lab: Path, line: str, moment: int) -> bool:
    """Run a line in a process that kills itself before the given moment; did it get that far?"""
    pid = os.fork()
    if pid:
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    left = moment

    def watch(event: str, _: object) -> None:
        nonlocal left
        if event in MOMENTS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        host = Host(World(lab))
        sys.addaudithook(watch)
        host.run(line)
    finally:
        os._exit(0)


def _look(world: World) -> tuple[object, object]:
    """What there is: datasets with their mounts, and every file of every mounted one."""
    files = {}
    for here, _, names in os.walk(world.host / "rpool"):
        files |= {os.path.join(here, name): Path(here, name).read_text() for name in names}
    return lab_zfs.everything(world), {
        os.path.relpath(name, world.host): text for name, text in files.items()
    }


def _afterwards(lab: Path) -> tuple[object, object]:
    """Open it as the next command does."""
    host = Host(World(lab))
    host.run("zfs list -H -o name rpool")
    assert disorder(host.world) == []
    seen = _look(host.world)
    host.does("zfs create rpool/t/after", "zfs destroy rpool/t/after")
    host.world.close()
    return seen


@pytest.mark.parametrize("line", PLOTS.values(), ids=PLOTS.keys())
def test_killed_anywhere_it_has_happened_or_it_has_not(furnished: Path, tmp_path: Path, line: str) -> None:
    shutil.copytree(furnished, tmp_path / "before", symlinks=True)
    before = _afterwards(tmp_path / "before")
    moment, died = 0, True
    seen = []
    while died:
        moment += 1 if moment < 16 else 5  # what comes late is the same work on one file after another
        lab = tmp_path / str(moment)
        shutil.copytree(furnished, lab, symlinks=True)
        died = _dies_at(lab, line, moment)
        seen.append(_afterwards(lab))
        shutil.rmtree(lab)
    done = seen[-1]
    assert done != before, "the story's command must change something"
    assert [at for at, each in enumerate(seen, 1) if each not in (before, done)] == []
    assert before in seen, "the first kills come before anything is settled"


def test_killed_while_cleaning_up_it_is_cleaned_up_all_the_same(furnished: Path, tmp_path: Path) -> None:
    shutil.copytree(furnished, tmp_path / "before", symlinks=True)
    before = _afterwards(tmp_path / "before")
    for first in (8, 12, 16):
        for second in range(1, 40, 5):
            lab = tmp_path / f"{first}-{second}"
            shutil.copytree(furnished, lab, symlinks=True)
            assert _dies_at(lab, "zfs rename rpool/t/a rpool/t/z", first)
            _dies_at(lab, "zfs list rpool/t", second)
            assert _afterwards(lab) == before
            shutil.rmtree(lab)


def test_a_living_command_is_left_alone(furnished: Path, tmp_path: Path) -> None:
    """Its journal is there, but its process too: somebody who only reads does not wait for it."""
    shutil.copytree(furnished, tmp_path / "lab", symlinks=True)
    host = Host(World(tmp_path / "lab"))
    journal = host.world.store / "journal" / f"999.{os.getppid()}"
    journal.write_text('{"do": "made", "path": "/nonexistent"}\n')
    assert "rpool/t/a" in host.names()
    assert journal.exists()
    host.world.close()


def test_a_command_that_finishes_while_it_is_looked_at_is_no_trouble(furnished: Path, tmp_path: Path) -> None:
    """Listed, and gone when it is to be read: so it looks to another command that has just taken the lock."""
    shutil.copytree(furnished, tmp_path / "lab", symlinks=True)
    host = Host(World(tmp_path / "lab"))
    (host.world.store / "journal" / f"1.{os.getppid()}").symlink_to("/nonexistent")
    assert host.run("zfs create rpool/t/new")[0] == 0
    assert "rpool/t/new" in host.names()
    host.world.close()


def test_a_sender_and_a_receiver_joined_by_a_pipe_do_not_wait_for_each_other(
    furnished: Path, tmp_path: Path
) -> None:
    shutil.copytree(furnished, tmp_path / "lab", symlinks=True)
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        sender = Host(World(tmp_path / "lab"))
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            sender.world.put("sent", "now")  # as the log does: it needs the lock that receive takes
            pipe.write(sender.run("zfs send rpool/t/a@s")[1])
        os._exit(0)
    os.close(writing)
    receiver = Host(World(tmp_path / "lab"))
    argv = ["zfs", "receive", "rpool/t/got"]
    with os.fdopen(reading, "rb") as pipe:
        assert lab_zfs.zfs(Call(receiver.world, argv, pipe)) == 0
    assert os.waitpid(pid, 0)[1] == 0
    assert receiver.read("/rpool/t/got/file") == "old"
    receiver.world.close()
