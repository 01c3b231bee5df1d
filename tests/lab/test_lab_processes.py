"""ps, pgrep, pkill, ptree, pargs, pwdx and prstat: what runs on the lab's host, and never the machine's own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.byhand import Hand, in_zone, make
from tests.lab.stage import needs_namespaces
from tests.lab.test_lab_labs import run, sh
from tests.lab.zonehost import ZoneHost
from zonemgr.lab import labs, place, smf, zonestore

TTYMON = "/usr/lib/saf/ttymon -g -d /dev/console -l console -m ldterm,ttcompat -h -p "
SINGLE = ("network/ssh", "system/cron", "system/system-log", "system/console-login")


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return make(tmp_path)


@pytest.fixture
def up(hand: Hand) -> Hand:
    """Zone `web` runs, and all its services do."""
    hand.installed("web")
    hand.boots("web")
    hand.world.advance(600)
    return hand


def pids(hand: Hand, line: str) -> set[int]:
    return {int(word) for word in hand(line).stdout.split()}


# -- what is there -----------------------------------------------------------------------------------------


def test_an_idle_zone_has_zsched_init_the_service_manager_and_its_services(up: Hand) -> None:
    rows = up.out("ps -z web -o comm").split()[1:]
    assert rows[:2] != []
    for program in ("zsched", "/sbin/init", "/lib/svc/bin/svc.startd", "/lib/svc/bin/svc.configd"):
        assert rows.count(program) == 1
    assert {"/usr/sbin/cron", "/usr/lib/ssh/sshd", "/usr/sbin/nscd"} < set(rows)
    assert up("ps -z nosuch").stderr.startswith("ps: unknown zone nosuch\nusage: ps [ -aAdefHlcjLPyZ ]")


def test_the_line_by_which_ansible_knows_that_a_zone_is_up(up: Hand) -> None:
    """Its module greps `ps -z ZONE -o args` for `ttymon.*-d /dev/console`."""
    assert f"{TTYMON}web" in up.out("ps -z web -o args")
    up.out("svcadm -z web disable system/console-login")
    assert "ttymon" not in up.out("ps -z web -o args")


def test_a_zone_that_is_ready_has_zsched_only(tmp_path: Path) -> None:
    host = ZoneHost.fresh(tmp_path / "lab")
    host.install("web")
    host.bring("web", "ready")
    assert host.must("ps", "-z", "web", "-o", "comm").split() == ["COMMAND", "zsched"]
    host.must("zoneadm", "-z", "web", "halt")
    assert host.run("ps", "-z", "web").exit_code == 1
    host.world.close()


def test_a_zone_sees_its_own_processes_and_no_others(up: Hand) -> None:
    root = up.world.path("/zones/web/root")
    where = place.of_zone(up.world, "web")
    assert where is not None
    (root / ".lab").mkdir()
    (root / ".lab/zone.json").write_text(
        f'{{"zone": "web", "id": 1, "booted": {where.booted}, "clock": {where.now - __import__("time").time()}}}'
    )
    inside = in_zone(root, "ps -e -o zone= -o comm=", name="web").stdout.splitlines()
    assert {line.split()[0] for line in inside} == {"web"}
    outside = in_zone(root, "pgrep -x sshd", name="web").stdout
    assert outside == up.out("pgrep -z web -x sshd")
    assert in_zone(root, "pgrep -f zoneadmd", name="web").exit_code == 1


def test_zoneadmd_is_a_process_of_the_global_zone(up: Hand) -> None:
    assert re.fullmatch(r" *\d+ zoneadmd -z web\n", up.out("pgrep -l -f zoneadmd"))
    assert up.out("ps -eo zone,args").count("zoneadmd -z web") == 1
    refused = up("pkill zoneadmd")
    assert (refused.exit_code, refused.stderr) == (
        1,
        "lab: a signal to zoneadmd -z web is not emulated\n",
    )


def test_the_machines_own_processes_are_not_there(up: Hand) -> None:
    assert os.getpid() not in pids(up, "pgrep -f .")
    assert up("pgrep -f pytest").exit_code == 1


# -- columns and texts -------------------------------------------------------------------------------------


def test_the_full_listing(up: Hand) -> None:
    head, *rows = up.out("ps -fz web").splitlines()
    assert head == "     UID    PID   PPID   C    STIME TTY         TIME CMD"
    form = r" {0,7}\w+ [ \d]{6} [ \d]{6}   0 \d\d:\d\d:\d\d \?           0:00 \S.*"
    assert all(re.fullmatch(form, row) for row in rows), rows
    assert up.out("ps -efZ").splitlines()[0] == "    ZONE" + head


def test_own_headers_and_widths(up: Hand) -> None:
    lines = up.out("ps -p 1 -o pid=NUMBER -o zone,user,args").splitlines()
    assert lines == ["NUMBER     ZONE     USER COMMAND", "     1   global     root /sbin/init"]
    assert up.out("ps -p 1 -o zoneid= -o args=") == "    0 /sbin/init\n"
    # What follows the sign is the header, to the end of the word.
    assert up.out("ps -p 1 -o pid=,args=").splitlines()[0] == ",args="


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("ps", "ps: no controlling terminal\n"),
        ("ps -u nosuch", "ps: unknown user nosuch\n"),
        ("ps -L -e", "lab: ps -L is not emulated\n"),
    ],
)
def test_ps_refusals(hand: Hand, line: str, text: str) -> None:
    assert hand.refused(line) == text


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("ps ax", "usage: ps [ -aAdefHlcjLPyZ ] [ -o format ] [ -t termlist ]"),
        ("ps aux", "usage: ps [ -aAdefHlcjLPyZ ] [ -o format ] [ -t termlist ]"),
        ("ps -p x", "ps: x is an invalid non-numeric argument for -p option"),
        ("ps -p 9999999", "ps: 9999999 exceeds valid range for -p option"),
        ("ps -o nosuch", "ps: unknown output format: -o nosuch"),
        ("ps -e --forest", "ps: illegal option -- -"),
    ],
)
def test_what_the_machines_ps_would_take_is_wrong(hand: Hand, line: str, first: str) -> None:
    assert hand.refused(line).splitlines()[0] == first


def test_one_that_matches_nothing_ends_with_1(hand: Hand) -> None:
    assert (hand("ps -p 4711").exit_code, hand("ps -p 1").exit_code) == (1, 0)


# -- pgrep and pkill ---------------------------------------------------------------------------------------


def test_selecting(up: Hand) -> None:
    web = pids(up, "pgrep -z web")
    assert pids(up, "pgrep -z global,web") == pids(up, "pgrep .") != web
    assert web == pids(up, "pgrep -z 1")
    assert pids(up, "pgrep -z web -x init") < web
    assert up("pgrep -x ini").exit_code == 1
    assert pids(up, "pgrep -v -z global") == web
    assert pids(up, "pgrep -u daemon -z web") < web
    assert len(pids(up, "pgrep -n -z web")) == len(pids(up, "pgrep -o -z web")) == 1
    assert up.out("pgrep -d , -x 'init|sched' -z global") == "0,1\n"
    assert pids(up, "pgrep cron -z web") == pids(up, "pgrep -z web cron")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("pgrep -z nosuch", "pgrep: invalid zone name -- nosuch\n"),
        ("pgrep -u nosuch", "pgrep: invalid user name -- nosuch\n"),
        ("pkill -T 1 x", "pkill: lab: -T is not emulated\n"),
    ],
)
def test_pgrep_refusals(up: Hand, line: str, text: str) -> None:
    ended = up(line)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (2, "", text)


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("pgrep", "pgrep: No matching criteria specified"),
        ("pgrep -k x", "pgrep: illegal option -- k"),
        ("pgrep x y", "pgrep: illegal argument -- y"),
        ("pgrep -n -o x", "pgrep: -n and -o are mutually exclusive"),
        ("pkill -l x", "pkill: illegal option -- l"),
        ("pkill -NOSUCH x", "pkill: illegal option -- N"),
    ],
)
def test_pgrep_usage(up: Hand, line: str, first: str) -> None:
    ended = up(line)
    said = ended.stderr.splitlines()
    assert (ended.exit_code, said[0]) == (2, first)
    assert said[1].startswith(f"Usage: {line.split()[0]} [-")


def test_a_service_that_is_killed_starts_again_with_a_new_number(up: Hand) -> None:
    before, others = pids(up, "pgrep -z web -x cron"), pids(up, "pgrep -z web -x sshd")
    up.out("pkill -TERM -z web -x cron")
    up.world.advance(60)
    assert len(pids(up, "pgrep -z web -x cron")) == 1
    assert pids(up, "pgrep -z web -x cron") != before
    assert pids(up, "pgrep -z web -x sshd") == others
    up.out("pkill -HUP -z web -x sshd")
    assert pids(up, "pgrep -z web -x sshd") == others


def test_killing_everything_in_a_zone_leaves_it_running(up: Hand) -> None:
    """init is started again in its place, and starts the rest (gate, os/exit.c: restart_init)."""
    init, startd = pids(up, "pgrep -z web -x init"), pids(up, "pgrep -z web svc.startd")
    up.out("pkill -9 -z web")
    up.world.advance(60)
    assert pids(up, "pgrep -z web -x init") == init
    assert len(pids(up, "pgrep -z web svc.startd")) == 1
    assert pids(up, "pgrep -z web svc.startd") != startd
    assert zonestore.kernel_state(up.world, "web") == "running"
    assert [up.state("web", each) for each in SINGLE] == ["online"] * len(SINGLE)


def test_a_user_may_not_signal_others(up: Hand) -> None:
    number = up.out("pgrep -z web -x cron").strip()
    ended = up("pkill -z web -x cron", user="jim")
    assert (ended.exit_code, ended.stderr) == (0, f"pkill: Failed to signal pid {number}: Not owner\n")
    assert up.out("pgrep -z web -x cron").strip() == number


def test_processes_have_new_numbers_after_a_reboot(up: Hand) -> None:
    before = pids(up, "pgrep -z web")
    up.halts("web")
    assert up("pgrep -z web").exit_code == 2
    up.world.advance(5)
    up.boots("web")
    up.world.advance(60)
    assert not before & pids(up, "pgrep -z web")


# -- the p-tools and prstat --------------------------------------------------------------------------------


def test_the_tree_of_a_zone(up: Hand) -> None:
    lines = up.out("ptree -z web").splitlines()
    names = [re.sub(r"^( *)\d+ +", r"\1", line) for line in lines]
    assert names[:2] == ["zsched", "  /sbin/init"]
    assert {"    /lib/svc/bin/svc.startd", "    /lib/svc/bin/svc.configd"} == set(names[2:4])
    assert "  /usr/sbin/cron" in names
    assert not any("zoneadmd" in name for name in names)
    assert up("ptree -z nosuch").stderr == "ptree: unknown zone: nosuch\n"
    assert up("ptree nosuch").stderr == "ptree: invalid username: nosuch\n"


def test_a_tree_by_number_shows_what_is_above_it(up: Hand) -> None:
    number = up.out("pgrep -z web -x cron").strip()
    lines = up.out(f"ptree {number}").splitlines()
    assert [line.split()[-1] for line in lines] == ["zsched", "/usr/sbin/cron"]
    assert up("ptree 4711").exit_code == 1


def test_arguments_and_directories(up: Hand) -> None:
    number = up.out("pgrep -f 'zoneadmd -z web'").strip()
    said = up.out(f"pargs {number}")
    assert said == f"{number}:\tzoneadmd -z web\nargv[0]: zoneadmd\nargv[1]: -z\nargv[2]: web\n"
    assert up.out(f"pargs -l {number}") == "zoneadmd -z web\n"
    assert up.out(f"pwdx {number}") == f"{number}:\t/\n"
    assert up.refused("pwdx 4711") == "pwdx: cannot examine 4711: no such process\n"
    assert up.refused("pargs 0") == "pargs: cannot examine 0: system process\n"
    assert up("pfiles 1").stderr.startswith("lab: pfiles")


def test_one_picture_by_prstat(up: Hand) -> None:
    lines = up.out("prstat -c -n 2 -Z 1 1").splitlines()
    assert lines[0].split() == [
        "PID",
        "USERNAME",
        "SIZE",
        "RSS",
        "STATE",
        "PRI",
        "NICE",
        "TIME",
        "CPU",
        "PROCESS/NLWP",
    ]
    assert [line.split()[-1] for line in lines[4:6]] == ["global", "web"]
    assert re.fullmatch(r"Total: \d+ processes, \d+ lwps, load averages: [\d., ]+", lines[-1])
    assert up.refused("prstat") == "lab: prstat without an interval and a count of 1 is not emulated\n"
    assert up.refused("prstat -v 1 1") == "lab: prstat -v is not emulated\n"


# -- as programs -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lab entered by programs, with zone `z` running."""
    lab = tmp_path_factory.mktemp("processes") / "lab"
    labs.create(lab)
    sh(
        lab,
        "zfs create -o mountpoint=/zones rpool/zones && zonecfg -z z 'create -b; set zonepath=/zones/z;"
        " set brand=ipkg; set ip-type=exclusive' && zoneadm -z z install > /dev/null && zoneadm -z z boot",
    )
    yield lab
    labs.destroy(lab)


@pytest.mark.namespaces
class TestPrograms:
    pytestmark = needs_namespaces

    def test_a_program_in_a_zone_is_seen_from_both_sides(self, made: Path) -> None:
        # Not `sleep`, which is a command of ksh93's own.
        sh(made, "zlogin -S z '/usr/bin/sleep 4711 & echo $! > /tmp/pid'")
        assert sh(made, "ps -z z -o args | grep '^/usr/bin/sleep 4711'") == "/usr/bin/sleep 4711\n"
        assert sh(made, "zlogin -S z 'ps -p $(cat /tmp/pid) -o zone=,args=' | tail -1").split() == ["z"]
        assert sh(made, "zlogin -S z 'ps -p $(cat /tmp/pid) -o comm='") == "/usr/bin/sleep\n"
        assert run(made, "pgrep", "-z", "global", "-x", "sleep").returncode == 1
        sh(made, "zlogin -S z 'kill $(cat /tmp/pid)'")
        assert run(made, "pgrep", "-z", "z", "-x", "sleep").returncode == 1

    def test_only_the_labs_processes_are_there(self, made: Path) -> None:
        outside = subprocess.Popen(["sleep", "4712"])
        try:
            said = sh(made, "sh -c 'ps -ef; sleep 0'")
        finally:
            outside.kill()
            outside.wait()
        assert "sleep 4712" not in said
        assert "zonemgr" not in said.replace(str(Path.cwd()), "")
        assert re.search(r"\d ps -ef$", said, re.MULTILINE)

    def test_pkill_in_the_global_zone_spares_the_zones(self, made: Path) -> None:
        sh(made, "zlogin -S z '/usr/bin/sleep 4713 &'")
        sh(made, "/usr/bin/sleep 4713 & pkill -z global -x sleep; wait $! 2> /dev/null; true")
        assert sh(made, "pgrep -x sleep | wc -l").strip() == "1"
        sh(made, "pkill -9 -z z -x sleep; test $(zoneadm -z z list -p | cut -d: -f3) = running")

    def test_the_states_stay_after_everything_was_killed(self, made: Path) -> None:
        sh(made, "pkill -9 -z z")
        assert sh(made, "zlogin -S z 'echo alive'") == "alive\n"
        assert sh(made, "svcs -z z -H -o state system/cron; ps -z z -o args | grep -c /sbin/init")


def test_a_root_without_services_has_none(tmp_path: Path) -> None:
    hand = make(tmp_path)
    root = hand.installed("web")
    (root / "etc/svc/repository.db").unlink()
    hand.boots("web")
    assert sorted(hand.out("ps -z web -o comm=").split()) == ["/sbin/init", "zsched"]
    assert not (root / "etc/svc/repository.db").exists()
    assert smf.state(place.global_zone(hand.world), "svc:/system/cron:default") == "online"
