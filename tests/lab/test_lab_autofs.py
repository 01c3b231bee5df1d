"""autofs and NFS in a zone, and its other small tools: accounts, ifconfig."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.stage import needs_namespaces
from tests.lab.zonehost import ZoneHost
from zonemgr.lab.call import Finished

pytestmark = needs_namespaces

MAPS = (
    "grep -q '^/- ' /etc/auto_master || echo '/- auto_direct' >> /etc/auto_master;"
    " printf '{}' > /etc/auto_direct; automount -v; "
)


class Zone:
    """Zone `z`, up in a cell, on a network with the NFS server `srv`."""

    def __init__(self, host: ZoneHost) -> None:
        self.host = host
        host.world.put("cells", "on")
        self.export = host.world.dir / "nfs/srv/export/src"
        self.export.mkdir(parents=True)
        (self.export / "hello").write_text("hi\n")
        host.install("z", "set ip-type=exclusive")
        host.must("zoneadm", "-z", "z", "boot")
        host.world.advance(600)

    def run(self, script: str) -> Finished:
        return self.host.run("zlogin", "-S", "z", script)

    def sh(self, script: str) -> str:
        ended = self.run(script)
        assert ended.exit_code == 0, f"{script}: {ended}"
        return ended.stdout

    def read(self, path: str) -> str:
        return self.host.path(f"/zones/z/root{path}").read_text()


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    made = Zone(ZoneHost.fresh(tmp_path / "lab"))
    yield made
    made.host.run("zoneadm", "-z", "z", "halt")
    made.host.world.close()


# -- autofs ------------------------------------------------------------------------------------------------


def test_a_direct_map_gives_a_servers_folder_to_read_and_write(zone: Zone) -> None:
    ended = zone.run(
        MAPS.format(r"/mnt/src srv:/export/src\n") + "cat /mnt/src/hello; echo new > /mnt/src/new"
    )
    assert ended == Finished(0, "hi\n", "automount: /mnt/src mounted\n")
    assert (zone.export / "new").read_text() == "new\n"
    assert "srv:/export/src\t/mnt/src\tnfs\t" in zone.sh("cat /etc/mnttab")
    assert "/mnt/src on srv:/export/src " in zone.sh("mount")
    assert zone.run("automount -v").stderr == "automount: no mounts\n"


def test_read_only_is_read_only_and_an_entry_taken_out_goes(zone: Zone) -> None:
    zone.sh(MAPS.format(r"/mnt/a -ro,soft srv:/export/src\n/mnt/b srv:/export/src\n"))
    assert "Read-only file system" in zone.run("touch /mnt/a/x").stderr
    ended = zone.run(MAPS.format(r"/mnt/b srv:/export/src\n") + "ls /mnt/a; ls /mnt/b")
    assert ended == Finished(0, "hello\n", "automount: /mnt/a unmounted\n")


def test_what_is_missing_over_there_is_missing_here_and_logged(zone: Zone) -> None:
    ended = zone.run(MAPS.format(r"/mnt/gone srv:/nope\n/mnt/nobody nosuch:/x\n/mnt/out srv:/../../x\n"))
    assert ended == Finished(0, "", "automount: no mounts\n")
    assert "No such file or directory" in zone.run("ls /mnt/gone/").stderr
    said = zone.read("/var/adm/messages")
    assert "automountd: mount of srv:/nope on /mnt/gone: No such file or directory\n" in said
    assert "automountd: server nosuch not responding: Unknown host\n" in said
    assert "automountd: mount of srv:/../../x on /mnt/out: No such file or directory\n" in said


def test_the_mounts_come_again_at_boot_and_go_with_the_service(zone: Zone) -> None:
    zone.sh(MAPS.format(r"/mnt/src srv:/export/src\n"))
    zone.host.must("zoneadm", "-z", "z", "reboot")
    zone.host.world.advance(600)
    assert zone.sh("ls /mnt/src") == "hello\n"
    assert zone.sh("svcadm disable -s autofs; ls /mnt/src") == ""
    assert zone.run("automount").stderr == "automount: svc:/system/filesystem/autofs is not online\n"
    assert zone.sh("svcadm enable -s autofs; ls /mnt/src") == "hello\n"
    assert zone.sh("rm /etc/auto_direct; svcadm restart autofs; ls /mnt/src") == ""


def test_the_nfs_client_needs_its_services(zone: Zone) -> None:
    states = "svcs -H -o state network/nfs/client network/nfs/nlockmgr network/nfs/status network/rpc/bind"
    assert set(zone.sh(states).split()) == {"disabled", "online"}
    ended = zone.run("svcadm enable -s network/nfs/client")
    assert (ended.exit_code, "unsatisfied dependencies" in ended.stderr) == (4, True)
    zone.sh("svcadm enable -r -s network/nfs/client system/filesystem/autofs")
    assert set(zone.sh(states).split()) == {"online"}


@pytest.mark.parametrize(
    "entry",
    [
        r"/mnt/x -fstype=lofs :/export\n",
        r"/mnt/x one,two:/export\n",
        r"/mnt/x srv:/export/&\n",
        r"/mnt/x -madeup srv:/export\n",
        r"/mnt/x\n",
    ],
)
def test_what_is_not_emulated_is_refused(zone: Zone, entry: str) -> None:
    ended = zone.run(MAPS.format(entry))
    assert ended.exit_code == 1
    assert ended.stderr.startswith("lab: ")
    assert "is not emulated" in ended.stderr


def test_an_executable_map_is_not_read_as_a_text(zone: Zone) -> None:
    ended = zone.run(
        MAPS.format(r"/mnt/src srv:/export/src\n").replace(
            "automount", "chmod +x /etc/auto_direct; automount"
        )
    )
    assert ended.stderr == "lab: the executable automount map /etc/auto_direct is not emulated\n"


def test_options_of_automount(zone: Zone) -> None:
    usage = "automount: Usage: automount  [ -v ]  [ -t duration ]\n"
    assert zone.run("automount -x").stderr == usage
    assert zone.run("automount /x auto_x").stderr == (
        f"automount: /x: command line mountpoints/maps no longer supported\n{usage}"
    )


def test_nfs_is_mounted_by_hand_with_the_words_of_illumos(zone: Zone) -> None:
    zone.sh("mount -F nfs srv:/export/src /opt && cat /opt/hello && umount /opt && test ! -e /opt/hello")
    for line, status, text in (
        ("mount -F nfs srv:/nope /opt", 33, "nfs mount: srv:/nope: No such file or directory"),
        ("mount -F nfs nosuch:/x /opt", 32, "nfs mount: nosuch: Unknown host"),
        ("mount -F nfs srv:/export /nodir", 33, "nfs mount: mount: /nodir: No such file or directory"),
        ("mount -F nfs srv /opt", 33, "nfs mount: nfs file system; use [host:]path"),
    ):
        assert zone.run(line) == Finished(status, "", text + "\n")


def test_a_zone_with_cells_off_keeps_its_automounts_from_command_to_command(zone: Zone) -> None:
    zone.host.must("zoneadm", "-z", "z", "halt")
    zone.host.world.put("cells", "off")
    zone.host.must("zoneadm", "-z", "z", "boot")
    zone.host.world.advance(600)
    assert zone.sh(MAPS.format(r"/mnt/src srv:/export/src\n") + "ls /mnt/src") == "hello\n"
    assert zone.sh("ls /mnt/src") == "hello\n"


# -- accounts and addresses --------------------------------------------------------------------------------


def test_accounts_are_made_and_changed_in_the_zones_files(zone: Zone) -> None:
    zone.sh(
        "groupadd -g 500 builders && useradd -u 1500 -g builders -G sys,adm -c 'B B' -d /export/home/b -m b"
    )
    assert zone.sh("getent passwd b") == "b:x:1500:500:B B:/export/home/b:/bin/sh\n"
    assert zone.sh("id -a b") == "uid=1500(b) gid=500(builders) groups=3(sys),4(adm)\n"
    assert ".profile" in zone.sh("ls -la ~b")
    assert zone.sh("getent shadow b | cut -d: -f2; getent group builders") == "UP\nbuilders::500:\n"
    zone.sh("usermod -d /export/home/c -m -s /bin/bash -G '' -P 'Primary Administrator' b")
    assert zone.sh("getent passwd b; id -Gn b; ls -a ~b | grep profile") == (
        "b:x:1500:500:B B:/export/home/c:/bin/bash\nbuilders\n.profile\n"
    )
    assert "b::::type=normal;profiles=Primary Administrator\n" in zone.read("/etc/user_attr")
    zone.sh("userdel -r b && groupdel builders")
    assert zone.run("id b; getent group builders; ls /export/home/c").exit_code != 0


NO_ACCOUNT = [
    ("useradd adm", 9, "useradd: ERROR: adm is already in use.  Choose another."),
    ("useradd -u 0 x", 4, "useradd: ERROR: uid 0 is already in use.  Choose another."),
    ("useradd -g nosuch x", 6, "useradd: ERROR: group nosuch does not exist.  Choose another."),
    ("useradd -d rel x", 3, "useradd: ERROR: rel is not a full path name.  Choose another."),
    ("usermod -d /x nosuch", 6, "usermod: ERROR: nosuch does not exist."),
    (
        "useradd -m -d /home/x x",
        12,
        "useradd: ERROR: Unable to create the home directory: Operation not applicable.",
    ),
    ("groupadd sys", 9, "groupadd: ERROR: sys is already in use.  Choose another."),
    ("groupadd -g 3 x", 4, "groupadd: ERROR: 3 is already in use.  Choose another."),
    ("usermod adm", 2, "usermod: ERROR: Invalid syntax."),
    ("useradd -e 1/1/30 x", 1, "lab: -e is not emulated"),
]


def test_accounts_that_cannot_be_are_refused_with_oamusers_words(zone: Zone) -> None:
    ended = zone.run(
        "".join(f"{line} 2> /tmp/said; s=$?; head -1 /tmp/said; echo $s\n" for line, _, _ in NO_ACCOUNT)
    )
    lines = [line.removeprefix("UX: ") for line in ended.stdout.splitlines()]
    assert lines == [str(part) for _, status, text in NO_ACCOUNT for part in (text, status)]


def test_ifconfig_shows_what_ipadm_has(zone: Zone) -> None:
    zone.host.must("zoneadm", "-z", "z", "halt")
    zone.host.must("dladm", "create-etherstub", "stub0")
    zone.host.must("dladm", "create-vnic", "-l", "stub0", "vnic7")
    zone.host.must("zonecfg", "-z", "z", "add net; set physical=vnic7; end")
    zone.host.must("zoneadm", "-z", "z", "boot")
    assert zone.sh("ifconfig -a").startswith(
        "lo0: flags=2001000849<UP,LOOPBACK,RUNNING,MULTICAST,IPv4,VIRTUAL> mtu 8232"
    )
    assert zone.run("ifconfig vnic7").stderr == "ifconfig: status: SIOCGLIFFLAGS: vnic7: no such interface\n"
    ended = zone.run("ipadm create-if vnic7 && ipadm create-addr -T static -a 10.1.2.3/24 vnic7/v4")
    assert ended.exit_code == 0, ended
    assert "\tinet 10.1.2.3 netmask ffffff00 broadcast 10.1.2.255\n\tether 2:8:20:" in zone.sh(
        "ifconfig vnic7"
    )
    assert zone.run("ifconfig vnic7 down").stderr == "lab: ifconfig vnic7 down is not emulated\n"
