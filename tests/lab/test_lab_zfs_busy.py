"""Who keeps a file system busy: real processes, wherever they live, zones, and what is mounted below."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from zfslab import Host

from zonemgr.lab import world as worlds
from zonemgr.lab.zfs import busy

LOCKS = Path("/proc/locks")
BUSY = "cannot unmount '/rpool/t': Device busy\n"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    opened = Host(worlds.create(tmp_path / "lab"))
    opened.does("zfs create rpool/t")
    opened.write("/rpool/t/dir/file", "x")
    yield opened
    opened.world.close()


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    many: list[subprocess.Popen[bytes]] = []
    yield many
    for process in many:
        process.kill()
        process.wait()


def _ended(many: list[subprocess.Popen[bytes]]) -> None:
    for process in many:
        process.kill()
        process.wait()


def test_a_process_standing_in_it(host: Host, sleepers: list[subprocess.Popen[bytes]]) -> None:
    sleepers.append(subprocess.Popen(["sleep", "600"], cwd=host.path("/rpool/t/dir")))
    assert host.fails("zfs unmount rpool/t") == BUSY
    assert host.fails("zfs destroy rpool/t") == BUSY
    assert host.fails("zfs rename rpool/t rpool/u") == BUSY
    assert host.fails("umount /rpool/t") == BUSY
    assert host.mounted()["rpool/t"] == "/rpool/t"
    _ended(sleepers)
    host.does("zfs unmount rpool/t")


def test_an_open_file_in_it(host: Host, sleepers: list[subprocess.Popen[bytes]]) -> None:
    with host.path("/rpool/t/dir/file").open() as held:
        sleepers.append(subprocess.Popen(["sleep", "600"], stdin=held))
    assert host.fails("zfs unmount rpool/t") == BUSY
    _ended(sleepers)
    host.does("zfs unmount rpool/t")


def test_another_command_that_only_measures_it(host: Host) -> None:
    """ZFS has all sizes in its books. The lab has directories open while it counts, which must keep nothing busy."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with busy.measuring(host.world), os.scandir(host.path("/rpool/t/dir")):
            os.write(told, b"!")
            inode = (host.world.dir / "locks/sizes").stat().st_ino
            while not any("->" in line and f":{inode} " in line for line in LOCKS.read_text().splitlines()):
                pass  # until somebody waits for it
        os._exit(0)
    os.read(ready, 1)
    host.does("zfs unmount rpool/t")
    assert os.waitpid(child, 0)[1] == 0


def test_a_file_this_process_has_open_itself_does_not_count(host: Host) -> None:
    with host.path("/rpool/t/dir/file").open():
        host.does("zfs unmount rpool/t")


def test_the_callers_own_working_directory(host: Host) -> None:
    host.cwd = "/rpool/t/dir"
    assert host.fails("zfs unmount rpool/t") == BUSY
    host.cwd = "/rpool"
    host.does("zfs unmount rpool/t")


@pytest.mark.namespaces
@pytest.mark.skipif(os.geteuid() != 0, reason="another mount namespace needs root here")
def test_a_process_that_knows_it_by_another_name(host: Host, sleepers: list[subprocess.Popen[bytes]]) -> None:
    """As a zone's process does: in its own mount namespace the directory is somewhere else, or its root."""
    script = 'mount --bind "$1" /mnt && cd /mnt/dir && echo ready && exec sleep 600'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(host.path("/rpool/t"))]
    sleepers.append(subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/"))
    assert sleepers[0].stdout is not None
    assert sleepers[0].stdout.readline() == b"ready\n"
    assert host.fails("zfs unmount rpool/t") == BUSY


def test_a_mount_below_stops_umount_but_zfs_takes_it_along(host: Host) -> None:
    host.does("zfs create rpool/t/a", "zfs create -o mountpoint=/rpool/t/x rpool/t/own")
    assert host.fails("umount /rpool/t") == BUSY
    # what has a mountpoint of its own is not taken along
    assert host.fails("zfs unmount rpool/t") == BUSY
    assert host.mounted().keys() >= {"rpool/t", "rpool/t/a", "rpool/t/own"}
    host.does("zfs unmount rpool/t/own", "zfs unmount rpool/t")
    assert not host.mounted().keys() & {"rpool/t", "rpool/t/a", "rpool/t/own"}


def test_a_busy_child_leaves_all_as_it_was(host: Host, sleepers: list[subprocess.Popen[bytes]]) -> None:
    host.does("zfs create -p rpool/t/a/b")
    host.write("/rpool/t/a/b/f", "x")
    before = host.mounted()
    sleepers.append(subprocess.Popen(["sleep", "600"], cwd=host.path("/rpool/t/a")))
    assert host.fails("zfs set mountpoint=/export/m rpool/t") == "cannot unmount '/rpool/t/a': Device busy\n"
    assert host.get("mountpoint", "rpool/t") == "/rpool/t"
    assert host.mounted() == before
    assert host.read("/rpool/t/a/b/f") == "x"


def test_force_unmounts_what_is_busy(host: Host, sleepers: list[subprocess.Popen[bytes]]) -> None:
    sleepers.append(subprocess.Popen(["sleep", "600"], cwd=host.path("/rpool/t/dir")))
    host.does("zfs unmount -f rpool/t", "zfs mount rpool/t", "zfs destroy -f rpool/t")
    assert "rpool/t" not in host.names("rpool")


# -- zones -------------------------------------------------------------------------------------------------


def _active_zone(host: Host, root: str) -> None:
    row = ("web", "running", root)
    host.world.db.execute("insert into kernel_zones (name, state, root) values (?, ?, ?)", row)


def test_an_active_zones_root_stays_mounted(host: Host) -> None:
    host.does("zfs create -o mountpoint=legacy -o zoned=on rpool/t/zbe")
    host.path("/rpool/t/root").mkdir()
    host.does("mount -F zfs rpool/t/zbe /rpool/t/root")
    _active_zone(host, "/rpool/t/root")
    assert host.fails("umount /rpool/t/root") == "cannot unmount '/rpool/t/root': Device busy\n"
    assert host.fails("zfs destroy rpool/t/zbe") == "cannot unmount '/rpool/t/root': Device busy\n"
    assert host.fails("umount -f /rpool/t/root").startswith("lab: taking an active zone's root away by force")
    host.world.db.execute("delete from kernel_zones")
    host.does("umount /rpool/t/root")


def test_what_a_zone_sees_by_lofs_stays_mounted(host: Host) -> None:
    (host.path("/etc/zones")).mkdir(parents=True, exist_ok=True)
    host.write(
        "/etc/zones/web.xml",
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<!DOCTYPE zone PUBLIC "-//Sun Microsystems Inc//DTD Zones//EN"'
        ' "file:///usr/share/lib/xml/dtd/zonecfg.dtd.1">\n'
        '<zone name="web" zonepath="/zones/web" autoboot="false" brand="ipkg" ip-type="exclusive">\n'
        '  <dataset name="rpool/given"/>\n'
        '  <filesystem special="/rpool/t/dir" directory="/src" type="lofs"/>\n'
        "</zone>\n",
    )
    _active_zone(host, "/zones/web/root")
    host.does("zfs create -o zoned=on rpool/given")
    assert host.fails("zfs unmount rpool/t") == BUSY
    assert host.fails("zfs destroy rpool/given") == "cannot destroy 'rpool/given': dataset is busy\n"
    host.world.db.execute("delete from kernel_zones")
    host.does("zfs unmount rpool/t", "zfs destroy rpool/given")
