"""A zone that ends or reboots itself, its console, and its processes as the global zone sees them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.stage import needs_namespaces, running
from tests.lab.test_lab_labs import ROOT, command, run, sh
from tests.lab.zonehost import ZoneHost
from zonemgr.lab import console, labs
from zonemgr.lab.call import Finished

pytestmark = needs_namespaces


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ZoneHost]:
    """A host with zone `z`, running in a cell, its services up."""
    made = ZoneHost.fresh(tmp_path / "lab")
    made.world.put("cells", "on")
    made.install("z", "set ip-type=exclusive")
    made.must("zoneadm", "-z", "z", "boot")
    made.world.advance(600)
    yield made
    made.run("zoneadm", "-z", "z", "halt")
    made.world.close()


def zone(host: ZoneHost, script: str) -> Finished:
    return host.run("zlogin", "-S", "z", script)


def number(host: ZoneHost) -> int:
    return int(host.must("zoneadm", "-z", "z", "list", "-p").split(":")[0])


def comes_up(host: ZoneHost) -> bool:
    """What brings its services up is a process of its own, and may only now have begun."""
    for _ in range(20):
        host.world.advance(600)
        if zone(host, "svcs -H -o state multi-user-server").stdout == "online\n":
            return True
    return False


@pytest.mark.parametrize("line", ["halt", "poweroff", "/usr/sbin/halt -q", "uadmin 2 0", "uadmin 2 6"])
def test_a_halt_ends_the_session_before_its_next_word(host: ZoneHost, line: str) -> None:
    mark = f"sleep 73{os.getpid()}"  # of this worker: another may tell the same story
    ended = zone(host, f"{mark} & echo begun; {line}; echo not-reached; exit 7")
    assert ended == Finished(0, "begun\n", "")  # killed: zlogin looks at no other byte
    assert host.state("z") == "installed"
    assert not running(mark)
    assert "[NOTICE: Zone halted]" in console.lines(host.world, "z")


@pytest.mark.parametrize("line", ["reboot", "uadmin 2 1", "uadmin 1 1"])
def test_a_reboot_gives_a_new_zone_of_that_name(host: ZoneHost, line: str) -> None:
    before = number(host)
    assert zone(host, f"touch /tmp/old; {line}; echo not-reached").stdout == ""
    assert (host.state("z"), number(host)) == ("running", before + 1)
    assert zone(host, "ls /tmp").stdout == ""
    assert comes_up(host)
    assert "[NOTICE: Zone rebooting]" in console.lines(host.world, "z")


def test_init_returns_and_the_zone_goes_a_moment_later(host: ZoneHost) -> None:
    ended = zone(host, "init 5; echo still here; sleep 60; echo not this")
    assert (ended.exit_code, ended.stdout) == (0, "still here\n")
    assert host.state("z") == "installed"


def test_init_6_reboots(host: ZoneHost) -> None:
    before = number(host)
    assert zone(host, "init 6 && echo going").stdout == "going\n"
    assert (host.state("z"), number(host)) == ("running", before + 1)


def test_single_user_is_a_milestone_and_the_zone_stays(host: ZoneHost) -> None:
    assert zone(host, "init s").exit_code == 0
    assert zone(host, "svcs -H -o state multi-user-server").stdout != "online\n"
    assert zone(host, "init 3").exit_code == 0
    assert comes_up(host)
    assert host.state("z") == "running"


def test_shutdown_warns_waits_and_goes(host: ZoneHost) -> None:
    ended = zone(host, "/usr/sbin/shutdown -y -g 1 -i 0 save your work && echo GOING DOWN")
    assert ended.exit_code == 0
    assert ended.stdout.startswith("\nShutdown started.    ")
    assert ended.stdout.endswith("\nChanging to init state 0 - please wait\nGOING DOWN\n")
    assert host.state("z") == "installed"
    said = "\n".join(console.lines(host.world, "z"))
    assert (
        "THE SYSTEM z IS BEING SHUT DOWN NOW ! ! !\nLog off now or risk your files being damaged\nsave your work"
        in said
    )


def test_who_does_not_confirm_stays_up(host: ZoneHost) -> None:
    ended = zone(host, "echo n | shutdown -g 0 -i 5")
    assert (ended.exit_code, ended.stdout.splitlines()[-1]) == (
        1,
        "Do you want to continue? (y or n):   Shutdown aborted.",
    )
    assert host.state("z") == "running"


WRONG = [
    ("halt -x", "usage: halt [ -dlnqy ]"),
    ("halt -d", "halt: -d only valid from global zone"),
    ("reboot -f", "reboot: Fast reboot only valid from global zone"),
    ("reboot -e be", "reboot: -e only valid with -f"),
    ("shutdown -g x", "shutdown: -g requires a numeric option"),
    ("shutdown -i 3", "shutdown: Initstate 3 is not for system shutdown"),
    ("shutdown -i 9", "shutdown: 9 is not a valid initstate"),
    ("init 4", "lab: init: init 4 in a zone is not emulated"),
    ("uadmin 5 0", "lab: uadmin: uadmin 5 0 in a zone is not emulated"),
    ("uadmin", "Usage: uadmin cmd fcn [mdep]"),
]


def test_wrong_words_take_nothing_down(host: ZoneHost) -> None:
    ended = zone(host, "".join(f"{line} 2>&1 && echo DONE || echo $?\n" for line, _ in WRONG))
    lines = [line for line in ended.stdout.splitlines() if not line.startswith("Usage: shutdown")]
    assert lines == [line for _, said in WRONG for line in (said, "1")]
    assert host.state("z") == "running"


def test_a_user_needs_a_profile_for_it(host: ZoneHost) -> None:
    zone(
        host,
        "useradd -u 1600 -m -d /export/home/eve eve;"
        " useradd -u 1601 -m -d /export/home/adm1 -P 'Primary Administrator' adm1",
    )
    refused = host.run("zlogin", "-l", "eve", "z", "halt; pfexec halt; shutdown -y; echo $?")
    if "cannot be had without root on this machine" in refused.stderr:
        pytest.skip(refused.stderr)
    assert refused.stderr == "halt: permission denied\nhalt: permission denied\n"
    assert refused.stdout == "shutdown:  Only root can run shutdown\n2\n"
    assert host.state("z") == "running"
    host.run("zlogin", "-l", "adm1", "z", "pfexec /usr/sbin/shutdown -y -g 0 -i 0")
    assert host.state("z") == "installed"


def test_a_halt_that_hangs_leaves_the_zone_half_way(host: ZoneHost) -> None:
    host.world.put("fault.halt", "shutting_down")
    assert zone(host, "poweroff").exit_code == 0
    assert host.state("z") == "shutting_down"
    host.world.put("fault.halt", "")


def test_a_zone_with_cells_off_ends_itself_too(tmp_path: Path) -> None:
    host = ZoneHost.fresh(tmp_path / "lab")
    host.install("z")
    host.must("zoneadm", "-z", "z", "boot")
    assert zone(host, "echo begun; poweroff; echo not-reached").stdout == "begun\n"
    assert host.state("z") == "installed"
    host.world.close()


# -- console -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["installed", "ready", "running", "mounted"])
def test_the_console_connects_from_installed_on_and_ends_with_its_input(tmp_path: Path, state: str) -> None:
    host = ZoneHost.fresh(tmp_path / "lab")
    host.install("z")
    host.bring("z", state)
    assert host.run("zlogin", "-C", "z") == Finished(
        0, "[Connected to zone 'z' console]\n", "\n[Connection to zone 'z' console closed]\n"
    )
    host.world.close()


def test_the_console_of_an_unfinished_zone_is_refused(tmp_path: Path) -> None:
    host = ZoneHost.fresh(tmp_path / "lab")
    host.configure("z")
    assert host.run("zlogin", "-C", "z").stderr == "zlogin: cannot login to a zone which is 'configured'\n"
    host.world.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lab entered by programs, with zone `z` running."""
    made = tmp_path_factory.mktemp("power") / "lab"
    labs.create(made)
    script = (
        "zfs create -o mountpoint=/zones rpool/zones && zfs create -o zoned=on -o mountpoint=/data rpool/given &&"
        " zonecfg -z z 'create -b; set zonepath=/zones/z; set brand=ipkg; set ip-type=exclusive;"
        " add dataset; set name=rpool/given; end' && zoneadm -z z install > /dev/null && zoneadm -z z boot"
    )
    sh(made, script)
    yield made
    labs.destroy(made)


def test_programs_see_delegated_datasets_the_console_and_the_end(place: Path) -> None:
    sh(place, "zlogin -S z 'zfs create -o mountpoint=/TEST rpool/given/test && touch /TEST/x && df -k /TEST'")
    assert sh(place, "zfs list -H -o mounted rpool/given/test; ls /zones/z/root/TEST") == "yes\nx\n"
    watching = command(place, ["zlogin", "-C", "z"])
    watcher = subprocess.Popen(
        watching,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "[Connected to zone 'z' console]\n"
    assert "GOING DOWN" in sh(place, "zlogin -S z 'shutdown -y -g 0 -i 0 && echo GOING DOWN'")
    assert any(line == "[NOTICE: Zone halted]\n" for line in watcher.stdout)
    assert sh(place, "zoneadm -z z list -p | cut -d: -f3") == "installed\n"
    sh(place, "zoneadm -z z boot")
    assert any(line == "[NOTICE: Zone booting up]\n" for line in watcher.stdout)
    watcher.terminate()
    watcher.wait()
    sh(place, "sleep 0.1; zlogin -S z 'test ! -e /nosuch'")


def test_processes_of_a_zone_are_found_and_killed_from_outside(place: Path) -> None:
    sh(place, "test $(zoneadm -z z list -p | cut -d: -f3) = running || zoneadm -z z boot")
    sh(place, "zlogin -S z 'nohup sleep 87 > /dev/null 2>&1 &'")
    assert "sleep 87" in sh(place, "pgrep -l -f -z z sleep")
    assert sh(place, "pgrep -z z sleep | wc -l").strip() == "1"
    wrong = run(place, "pgrep", "-z", "nosuch", "sleep")
    assert (wrong.returncode, wrong.stderr) == (2, "pgrep: invalid zone name -- nosuch\n")
    sh(place, "pkill -9 -z z")
    assert run(place, "pgrep", "-z", "z", "sleep").returncode == 1
    refused = run(place, "fuser", "-c", "/zones/z/root")
    assert (refused.returncode, refused.stderr) == (1, "lab: fuser -c /zones/z/root is not emulated\n")
