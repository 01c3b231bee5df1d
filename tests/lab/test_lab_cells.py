"""Cells: what a process in a zone sees, what it cannot reach, and that nothing of it is left."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.stage import Stage, mounts, needs_namespaces, needs_root, running
from zonemgr.lab import cell
from zonemgr.lab.world import LabError

pytestmark = needs_namespaces


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path / "lab")
    yield made
    made.close()


class TestInside:
    def test_the_zone_has_its_own_root_and_the_machines_programs(self, stage: Stage) -> None:
        stage.boot()
        (stage.root / "opt/here").write_text("the zone's\n")
        assert stage.sh("cat /opt/here; test -x /usr/bin/env && test -x /bin/sh && echo programs") == (
            "the zone's\nprograms\n"
        )
        assert stage.sh("touch /usr/x /bin/x 2>/dev/null || echo read-only") == "read-only\n"
        stage.sh("echo made > /opt/inside")
        assert (stage.root / "opt/inside").read_text() == "made\n"

    def test_it_sees_only_its_own_processes_and_lo(self, stage: Stage) -> None:
        stage.boot()
        first, *_ = stage.sh("ps -e -o pid= -o args=").splitlines()
        assert first.split() == ["1", "/sbin/init"]
        assert str(os.getpid()) not in stage.sh("ps -e -o pid=").split()
        assert stage.sh("tail -n +3 /proc/net/dev | cut -d: -f1").split() == ["lo"]

    def test_its_name_is_its_own(self, stage: Stage) -> None:
        (stage.root / "etc/nodename").write_text("buildhost\n")
        stage.boot()
        assert stage.sh("hostname") == "buildhost\n"

    def test_the_emulated_commands_know_that_they_are_in_a_zone(self, stage: Stage) -> None:
        stage.boot()
        assert stage.sh("zonename; /usr/bin/zonename; /sbin/zonename") == "web\n" * 3
        script = "zoneadm boot; zoneadm halt; zoneadm -z web reboot; zonecfg info"
        ended = stage.run("zlogin", "-S", "web", script)
        assert ended.stderr == (
            "zoneadm: must be in the global zone to boot a zone.\n"
            "zoneadm: use halt(8) to halt this zone.\n"
            "zoneadm: zone 'web': use reboot(8) to reboot this zone.\n"
            "zonecfg can only be run from the global zone.\n"
        )
        assert stage.sh("zoneadm list; zoneadm list -p") == "web\n7:web:running:/::ipkg:excl\n"
        ended = stage.run("zlogin", "-S", "web", "zlogin web id; zoneadm -z other list; zfs list")
        assert ended.stdout == "no datasets available\n"
        assert ended.stderr == (
            "zlogin: 'zlogin' may only be used from the global zone\n"
            "zoneadm: other: No such zone configured\n"
        )

    @needs_root
    def test_su_in_the_zone(self, stage: Stage) -> None:
        stage.boot()
        assert stage.sh("su - builder -c 'id -un; pwd'; su builder -c 'exit 3' || echo $?") == (
            "builder\n/export/home/builder\n3\n"
        )
        ended = stage.run("zlogin", "-l", "builder", "web", "su root -c id")
        assert (ended.exit_code, ended.stderr) == (1, "lab: su: su with a password is not emulated\n")

    @needs_root
    def test_root_of_a_zone_cannot_touch_the_machines_kernel_or_disks(self, stage: Stage) -> None:
        stage.boot()
        script = (
            "mount -t tmpfs x /mnt 2>/dev/null || echo no mount; "
            "mknod /tmp/disk b 8 0 2>/dev/null || echo no disk; "
            "(echo 1 > /proc/sys/kernel/sysrq) 2>/dev/null || echo no sysctl; "
            "(echo h > /proc/sysrq-trigger) 2>/dev/null || echo no sysrq"
        )
        assert stage.sh(script) == "no mount\nno disk\nno sysctl\nno sysrq\n"

    def test_a_boot_empties_tmp_and_keeps_var_tmp(self, stage: Stage) -> None:
        (stage.root / "tmp/old").mkdir()
        (stage.root / "tmp/old/file").touch()
        outside = stage.world.dir / "outside"
        outside.mkdir()
        (outside / "kept").touch()
        (stage.root / "tmp/link").symlink_to(outside)
        (stage.root / "var/tmp").mkdir(exist_ok=True)
        (stage.root / "var/tmp/kept").touch()
        stage.boot()
        assert stage.sh("ls /tmp; ls /var/tmp") == "kept\n"
        assert (outside / "kept").exists()

    def test_a_symlink_planted_in_the_zone_leads_nowhere_else(self, stage: Stage, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.mkdir()
        (stage.root / "tmp").rmdir()
        (stage.root / "tmp").symlink_to(victim)
        (stage.root / "dev").rmdir()
        (stage.root / "dev").symlink_to("/etc")
        with pytest.raises(LabError, match="cannot have a cell"):
            stage.boot()
        assert list(victim.iterdir()) == []
        assert not running(f"{stage.world.dir}")


class TestFileSystems:
    def _stage(self, tmp_path: Path, resource: str) -> Stage:
        stage = Stage(tmp_path / "lab", configure=resource)
        source = stage.world.path("/export/source")
        source.mkdir(parents=True, exist_ok=True)
        (source / "file").write_text("from the global zone\n")
        return stage

    def test_lofs_shows_a_directory_of_the_global_zone(self, tmp_path: Path) -> None:
        stage = self._stage(tmp_path, "add fs; set dir=/work; set special=/export/source; set type=lofs; end")
        stage.boot()
        assert stage.sh("cat /work/file; echo back > /work/artefact") == "from the global zone\n"
        assert stage.world.path("/export/source/artefact").read_text() == "back\n"
        stage.close()

    def test_lofs_read_only(self, tmp_path: Path) -> None:
        stage = self._stage(
            tmp_path,
            "add fs; set dir=/work; set special=/export/source; set type=lofs; add options [ro,nodevices]; end",
        )
        stage.boot()
        assert stage.sh("cat /work/file; touch /work/x 2>/dev/null || echo read-only") == (
            "from the global zone\nread-only\n"
        )
        stage.close()

    def test_a_delegated_dataset_is_mounted_in_the_zone_and_outlives_it(self, tmp_path: Path) -> None:
        stage = self._stage(tmp_path, "add dataset; set name=rpool/data; end")
        stage.run("zfs", "create", "-o", "zoned=on", "-o", "mountpoint=/data", "rpool/data")
        stage.run("zfs", "create", "rpool/data/deeper")
        stage.boot()
        stage.sh("echo one > /data/file; echo two > /data/deeper/file")
        stage.halt()
        assert not (stage.root / "data/file").exists()
        stage.boot()
        assert stage.sh("cat /data/file /data/deeper/file") == "one\ntwo\n"
        stage.close()

    def test_a_delegated_dataset_is_not_mounted_over_files(self, tmp_path: Path) -> None:
        stage = self._stage(tmp_path, "add dataset; set name=rpool/data; end")
        stage.run("zfs", "create", "-o", "zoned=on", "-o", "mountpoint=/data", "rpool/data")
        (stage.root / "data").mkdir()
        (stage.root / "data/in-the-way").touch()
        stage.boot()
        assert stage.sh("ls /data") == "in-the-way\n"
        stage.close()


class TestEnd:
    def test_stopping_kills_everything_and_leaves_no_mount(self, stage: Stage) -> None:
        before = mounts()
        pid, start = stage.boot()
        stage.run("zlogin", "-S", "web", "(/.lab/usr/bin/setsid sleep 71 &) ; sleep 72 &")
        assert running("sleep 71")
        assert running("sleep 72")
        stage.halt()
        assert not cell.alive(pid, start)
        assert not running("sleep 71")
        assert not running("sleep 72")
        assert mounts() == before

    def test_a_cell_whose_first_process_was_killed_says_so(self, stage: Stage) -> None:
        pid, _ = stage.boot()
        os.kill(pid, signal.SIGKILL)
        while cell.alive(pid, _):
            pass
        ended = stage.run("zlogin", "web", "true")
        assert ended.exit_code == 1
        assert ended.stderr == "lab: the processes of zone web are gone (killed from outside?); halt it\n"
        stage.halt()
        stage.boot()
        assert stage.sh("echo again") == "again\n"

    def test_a_cell_the_kernel_never_heard_of_ends_with_the_next(self, stage: Stage) -> None:
        """zoneadm was killed after it had made the cell and before it could write that down."""
        lost, start = stage.boot()
        stage.world.db.execute("update kernel_zones set init_pid = 0, init_start = 0")
        new, _ = stage.boot()
        assert new != lost
        assert not cell.alive(lost, start)

    def test_a_killed_maker_leaves_no_cell(self, stage: Stage) -> None:
        """Killed while the cell is being made: the new first process waits for a word that never comes."""
        stage.state("running")
        become_reaper = 36
        ctypes.CDLL(None).prctl(become_reaper, 1, 0, 0, 0)
        child = os.fork()
        if child == 0:
            cell._note = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
            cell.start(stage.world, "web", stage.root, stage.config())
        ended: dict[int, int] = {}
        while (
            child not in ended or 1 << 8 not in ended.values()
        ):  # a reaper also gets what others left behind
            ended.update([os.wait()])
        ctypes.CDLL(None).prctl(become_reaper, 0, 0, 0, 0)
        assert ended.pop(child) == signal.SIGKILL
        # How the one in the middle ends depends on whether its maker still was there to be told.
        assert 1 << 8 in ended.values()

    def test_cells_can_be_switched_off(self, stage: Stage) -> None:
        stage.world.put("cells", "off")
        assert cell.start(stage.world, "web", stage.root, stage.config()) == (0, 0)
        cell.stop(stage.world, "web")
