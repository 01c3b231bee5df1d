"""ZFS as a zone sees it: what was delegated to it, by the names above, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.stage import needs_namespaces
from tests.lab.zonehost import ZoneHost
from zonemgr.lab.call import Finished

pytestmark = needs_namespaces

LOCAL = "svc:/system/filesystem/local:default"


class Zone:
    """Zone `z` with rpool/given delegated to it, on a host with datasets that are none of its business."""

    def __init__(self, host: ZoneHost) -> None:
        self.host = host
        host.world.put("cells", "on")
        host.must("zfs", "create", "-o", "zoned=on", "-o", "mountpoint=/data", "rpool/given")
        host.must("zfs", "create", "rpool/secret")
        host.must("zfs", "snapshot", "rpool@top")
        host.install("z", "set ip-type=exclusive", "add dataset; set name=rpool/given; end")

    def boot(self, *args: str, wait: float = 600) -> None:
        self.host.must("zoneadm", "-z", "z", "boot", *args)
        self.host.world.advance(wait)

    def run(self, script: str) -> Finished:
        return self.host.run("zlogin", "-S", "z", script)

    def sh(self, script: str) -> str:
        ended = self.run(script)
        assert (ended.exit_code, ended.stderr) == (0, ""), f"{script}: {ended}"
        return ended.stdout

    def refused(self, script: str) -> str:
        ended = self.run(script)
        assert ended.exit_code == 1, f"{script}: {ended}"
        return ended.stderr.rstrip("\n")

    def file(self, path: str) -> Path:
        return self.host.path(f"/zones/z/root{path}")


@pytest.fixture
def down(tmp_path: Path) -> Iterator[Zone]:
    zone = Zone(ZoneHost.fresh(tmp_path / "lab"))
    yield zone
    zone.host.run("zoneadm", "-z", "z", "halt")
    zone.host.world.close()


@pytest.fixture
def up(down: Zone) -> Zone:
    down.boot()
    return down


def test_a_zone_sees_what_it_was_given_and_the_names_above(up: Zone) -> None:
    assert up.sh("zfs list -H -o name,mounted") == "rpool\tno\nrpool/given\tyes\n"
    assert up.sh("zfs list -H -o name -t all -r rpool") == "rpool\nrpool/given\n"
    assert up.sh("zpool list -H -o name") == "rpool\n"
    assert up.refused("zfs list rpool/secret") == "cannot open 'rpool/secret': dataset does not exist"
    assert up.refused("zfs list rpool@top") == "cannot open 'rpool@top': dataset does not exist"


def test_a_zone_without_datasets_sees_no_pool(tmp_path: Path) -> None:
    host = ZoneHost.fresh(tmp_path / "lab")
    host.install("bare")
    host.must("zoneadm", "-z", "bare", "boot")
    script = "zfs list; zpool list; zfs create rpool/x"
    ended = host.run("zlogin", "-S", "bare", script)
    assert ended.stdout == "no datasets available\nno pools available\n"
    assert ended.stderr == "cannot create 'rpool/x': no such pool 'rpool'\n"
    host.world.close()


def test_file_systems_are_made_changed_and_destroyed_in_the_zone(up: Zone) -> None:
    up.sh("zfs create -o mountpoint=/TEST rpool/given/test && echo one > /TEST/file")
    assert up.file("/TEST/file").read_text() == "one\n"
    up.sh("zfs snapshot rpool/given/test@a && rm /TEST/file && zfs rollback rpool/given/test@a")
    up.sh("zfs clone rpool/given/test@a rpool/given/clone && test -f /data/clone/file")
    up.sh("zfs promote rpool/given/clone && zfs destroy rpool/given/test && zfs destroy rpool/given/clone@a")
    up.sh("zfs rename rpool/given/clone rpool/given/kept && cat /data/kept/file")
    up.sh("zfs set mountpoint=/moved rpool/given && test -f /moved/kept/file")
    up.sh("zfs inherit -r compression rpool/given && zfs set org.zonemgr:x=y rpool/given/kept")
    assert up.host.get("rpool/given/kept", "org.zonemgr:x") == "y"
    assert not up.file("/TEST").exists() or not any(up.file("/TEST").iterdir())


REFUSED = [
    ("zfs create rpool/x", "cannot create 'rpool/x': permission denied"),
    ("zfs create -p rpool/a/b", "cannot create 'rpool/a/b': permission denied"),
    ("zfs create rpool/secret/x", "cannot create 'rpool/secret/x': parent does not exist"),
    ("zfs create other/x", "cannot create 'other/x': no such pool 'other'"),
    ("zfs create -o zoned=off rpool/given/x", "cannot create 'rpool/given/x': permission denied"),
    ("zfs set quota=1G rpool/given", "cannot set property for 'rpool/given': permission denied"),
    ("zfs set filesystem_limit=9 rpool/given", "cannot set property for 'rpool/given': permission denied"),
    ("zfs set zoned=off rpool/given", "cannot set property for 'rpool/given': permission denied"),
    ("zfs inherit zoned rpool/given", "cannot inherit zoned for 'rpool/given': permission denied"),
    ("zfs set atime=off rpool", "cannot set property for 'rpool': permission denied"),
    ("zfs set a:b=c rpool", "cannot set property for 'rpool': permission denied"),
    (
        "zfs set mountpoint=/x rpool",
        "cannot set property for 'rpool': 'mountpoint' cannot be set while dataset 'zoned' property is set",
    ),
    ("zfs destroy rpool/given", "cannot destroy 'rpool/given': dataset is busy"),
    ("zfs destroy rpool/secret", "cannot open 'rpool/secret': dataset does not exist"),
    ("zfs snapshot rpool@x", "cannot create snapshots : permission denied"),
    ("zfs rename rpool/given rpool/taken", "cannot create 'rpool/taken': permission denied"),
    ("zfs mount rpool", "cannot mount 'rpool': permission denied"),
    (
        "zfs unmount /",
        "cannot unmount 'rpool/zones/z/ROOT/zbe': legacy mountpoint\nuse umount(8) to unmount this filesystem",
    ),
    ("zpool destroy rpool", "lab: zpool destroy in a zone is not emulated"),
]


def test_what_is_above_or_the_global_zones_is_refused(up: Zone) -> None:
    look = ("zfs", "list", "-H", "-t", "all", "-o", "name,quota,zoned,atime,mountpoint")
    up.sh("test -d /data")
    before = up.host.must(*look)
    script = "".join(f"{command}; echo $? >&2\n" for command, _ in REFUSED)
    assert up.run(script).stderr == "".join(f"{text}\n1\n" for _, text in REFUSED)
    assert up.host.must(*look) == before


def test_limits_may_be_set_below_the_top(up: Zone) -> None:
    up.sh("zfs create -o quota=1G rpool/given/q && zfs set quota=2G rpool/given/q")
    assert up.host.get("rpool/given/q", "quota") == "2G"


def test_nobody_but_root_changes_anything(up: Zone) -> None:
    up.sh("useradd -u 1500 eve")
    ended = up.run("su eve -c 'zfs create rpool/given/x; zfs list -H -o name'")
    if "cannot be had without root on this machine" in ended.stderr:
        pytest.skip(ended.stderr)
    assert ended.stderr == "cannot create 'rpool/given/x': permission denied\n"
    assert ended.stdout == "rpool\nrpool/given\n"


def test_a_mount_point_in_use_is_busy(up: Zone) -> None:
    up.sh("zfs create rpool/given/a")
    assert up.refused("cd /data/a && zfs unmount rpool/given/a") == "cannot unmount '/data/a': Device busy"
    up.sh(
        "zfs unmount rpool/given/a; zfs mount rpool/given/a; zfs unmount /data/a; zfs mount -a; touch /data/a/x"
    )


def test_a_link_planted_in_the_zone_leads_no_mount_out_of_it(up: Zone) -> None:
    up.sh(
        "ln -s / /way-out; zfs create -o mountpoint=/way-out/export/here rpool/given/a; touch /export/here/x"
    )
    assert up.file("/export/here/x").exists()
    up.sh(
        "ln -s ../../../../../../etc /up; zfs create -o mountpoint=/up/there rpool/given/b; ls -d /etc/there"
    )


def test_a_stream_goes_through_a_pipe_in_the_zone(up: Zone) -> None:
    up.sh("echo x > /data/file; zfs snapshot rpool/given@s")
    up.sh("zfs send rpool/given@s | zfs receive rpool/given/copy; cat /data/copy/file")


# -- boot and halt -----------------------------------------------------------------------------------------


def test_a_zone_mounts_its_own_when_its_services_get_there(down: Zone) -> None:
    down.host.must("zfs", "create", "rpool/given/deeper")
    assert down.host.run("zfs", "mount", "rpool/given").stderr == (
        "cannot mount 'rpool/given': dataset is exported to a local zone\n"
    )
    down.boot()
    down.sh("touch /data/deeper/file")
    assert down.host.mounted()["/zones/z/root/data/deeper"] == "rpool/given/deeper"
    assert down.sh("grep -c /data /etc/mnttab") == "2\n"
    down.host.must("zoneadm", "-z", "z", "halt")
    assert "rpool/given" not in down.host.mounted().values()
    assert not any(down.file("/data").iterdir())
    down.boot()
    down.sh("test -f /data/deeper/file")


def test_single_user_mounts_nothing_by_itself_but_create_does(down: Zone) -> None:
    down.boot("--", "-s")
    assert down.sh("zfs list -H -o name,mounted rpool/given") == "rpool/given\tno\n"
    down.sh("zfs create -o mountpoint=/TEST rpool/given/test && df -k /TEST | grep rpool/given/test")


def test_a_mount_point_with_files_keeps_the_services_down(down: Zone) -> None:
    down.file("/data").mkdir()
    down.file("/data/in-the-way").touch()
    down.boot()
    assert down.sh("zfs list -H -o mounted rpool/given") == "no\n"
    assert down.sh(f"svcs -H -o state {LOCAL}") == "maintenance\n"
    log = down.file("/var/svc/log/system-filesystem-local:default.log").read_text()
    assert "cannot mount '/data': directory is not empty\n" in log
    assert "zfs mount -a failed: exit status 1\n" in log


def test_a_removed_mount_point_does_not_keep_the_zone_from_halting(up: Zone) -> None:
    up.run("rm -rf /data/* /data")
    up.host.must("zoneadm", "-z", "z", "halt")
    assert up.host.state("z") == "installed"


def test_a_host_that_lost_power_has_no_mount_in_a_zone(up: Zone) -> None:
    from zonemgr.lab import cell, power

    up.sh("touch /data/file")
    assert "rpool/given" in up.host.mounted().values()
    cell.stop(up.host.world, "z")
    power.reboot(up.host.world)
    assert "rpool/given" not in up.host.mounted().values()
    assert up.host.get("rpool/given", "mounted") == "no"


# -- df and mount ------------------------------------------------------------------------------------------


def test_df_and_mount_tell_the_zones_own(up: Zone) -> None:
    lines = up.sh("df -k").splitlines()
    assert lines[0].split() == ["Filesystem", "1024-blocks", "Used", "Available", "Capacity", "Mounted", "on"]
    assert lines[1].split()[0] == "rpool/zones/z/ROOT/zbe"
    assert lines[1].split()[-1] == "/"
    assert lines[-1].split()[0::5] == ["rpool/given", "/data"]
    assert not any("secret" in line or "/zones/" in line.split()[-1] for line in lines)
    assert up.sh("/bin/df -k /data/.").splitlines()[1].split()[0] == "rpool/given"
    assert up.sh("df -k /etc rpool/given | grep -c rpool") == "2\n"
    assert up.refused("df -k /nosuch") == "df: (/nosuch) not a block device, directory or mounted resource"
    assert up.refused("df -v") == "lab: df -v is not emulated"
    assert "/data on rpool/given read/write/setuid/devices" in up.sh("mount")
    assert up.sh("mount -p | tail -1").startswith("rpool/given - /data zfs - no rw,devices")


def test_a_legacy_file_system_is_mounted_by_hand(up: Zone) -> None:
    up.sh("zfs create -o mountpoint=legacy rpool/given/old; mkdir /old; mount -F zfs rpool/given/old /old")
    assert up.host.mounted()["/zones/z/root/old"] == "rpool/given/old"
    up.sh("umount /old")
    assert (
        up.refused("mount -F zfs rpool/secret /old") == "cannot open 'rpool/secret': dataset does not exist"
    )
