"""What scripts ask of a host before they do anything: uname, isainfo, psrinfo, prtconf and their like."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.lab.byhand import Hand, in_zone, make
from tests.lab.stage import Stage, needs_namespaces, needs_root
from zonemgr.lab.zonecfg.privileges import ALL

COUNT = os.cpu_count() or 1


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return make(tmp_path)


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("uname -a", "SunOS openindiana 5.11 illumos-2024.10 i86pc i386 i86pc\n"),
        ("uname -m -p -i", "i86pc i386 i86pc\n"),
        ("uname -v", "illumos-2024.10\n"),
        ("isainfo", "amd64 i386\n"),
        ("isainfo -k", "amd64\n"),
        ("isainfo -kv", "64-bit amd64 kernel modules\n"),
        ("isainfo -b", "64\n"),
        ("isainfo -n", "amd64\n"),
        ("arch", "i86pc\n"),
        ("arch -k", "i86pc\n"),
        ("arch i86pc", ""),
        ("mach", "i386\n"),
        ("pagesize", "4096\n"),
        ("psrinfo -p", "1\n"),
        ("psrinfo -t", f"{COUNT}\n"),
        ("psrinfo -t -S on-line", f"{COUNT}\n"),
        ("psrinfo -t -S off-line", "0\n"),
        ("psrinfo -s 0", "1\n"),
        ("hostname", "openindiana\n"),
        ("domainname", "\n"),
        ("who", ""),
        ("who -q", "# users=0\n"),
        ("ppriv -l PRIV_PROC_FORK", "proc_fork\n"),
        ("logins -o -l builder", "builder:101:staff:10:Build user\n"),
    ],
)
def test_answers(hand: Hand, line: str, out: str) -> None:
    assert hand.out(line) == out


def test_omnios_says_its_own_release(tmp_path: Path) -> None:
    assert make(tmp_path, flavour="omnios").out("uname -nv") == "omnios omnios-r151058\n"


def test_the_system_five_listing(hand: Hand) -> None:
    assert hand.out("uname -X").splitlines() == [
        *("System = SunOS", "Node = openindiana", "Release = 5.11", "KernelID = illumos-2024.10"),
        *("Machine = i86pc", "BusType = <unknown>", "Serial = <unknown>", "Users = <unknown>"),
        *("OEM# = 0", "Origin# = 1", f"NumCPU = {COUNT}", ""),
    ]


def test_processors_one_a_line(hand: Hand) -> None:
    lines = hand.out("psrinfo").splitlines()
    assert len(lines) == COUNT
    assert re.fullmatch(r"0\ton-line   since \d\d/\d\d/\d{4} \d\d:\d\d:\d\d", lines[0])
    assert hand.out("psrinfo -v 0").splitlines()[2] == "  The i386 processor operates at 2000 MHz,"
    assert hand.out("psrinfo -pv").startswith(f"The physical processor has {COUNT} virtual processor")
    ended = hand("psrinfo 0 4711")
    assert (ended.exit_code, ended.stderr) == (2, "psrinfo: processor 4711: Invalid argument\n")


def test_memory(hand: Hand) -> None:
    megabytes = int(hand.out("prtconf -m"))
    head = hand.out("prtconf").splitlines()[:3]
    assert head[0] == "System Configuration:  Oracle Corporation  i86pc"
    assert head[1] == f"Memory size: {megabytes} Megabytes"
    assert hand.refused("prtconf -v") == "lab: prtconf -v is not emulated\n"
    assert re.search(r"\d+k used, \d+k available$", hand.out("swap -s"))
    assert hand.out("swap -l").splitlines()[0].split() == ["swapfile", "dev", "swaplo", "blocks", "free"]


def test_time_up(hand: Hand) -> None:
    hand.world.put("host.booted", repr(hand.world.now() - 2 * 86400 - 3 * 3600 - 12 * 60))
    assert "  up 2 day(s),  3:12,  0 users,  load average: " in hand.out("uptime").replace("3:13", "3:12")
    assert hand.out("w").splitlines()[-1].split() == ["User", "tty", "login@", "idle", "JCPU", "PCPU", "what"]
    assert "system boot" in hand.out("who -b")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("uname -o", "usage:\tuname [-snrvmapiX]\n\tuname [-S system_name]\n"),
        ("uname --version", "usage:\tuname [-snrvmapiX]\n\tuname [-S system_name]\n"),
        ("uname x", "usage:\tuname [-snrvmapiX]\n\tuname [-S system_name]\n"),
        ("isainfo -k -n", "usage: isainfo [ [-v] [-b | -n | -k] | [-x] ]\n"),
        ("hostname -f", "usage: hostname [-s] [system_name]\n"),
        ("ppriv -l nosuch", "ppriv: nosuch: bad privilege name\n"),
        ("ppriv -e -s A=basic true", "lab: ppriv -e is not emulated\n"),
        ("who am i", "lab: who am i is not emulated\n"),
    ],
)
def test_refusals(hand: Hand, line: str, text: str) -> None:
    assert hand.refused(line) == text


def test_privileges(hand: Hand) -> None:
    assert hand.out("ppriv -l").split() == sorted(ALL)
    assert hand.out("ppriv 1") == (
        "1:\t/sbin/init\nflags = <none>\n\tE: all\n\tI: basic\n\tP: all\n\tL: all\n"
    )


def test_a_new_name_lasts_until_the_host_boots(hand: Hand) -> None:
    hand.out("hostname build")
    assert hand.out("uname -n") == "build\n"
    hand.out("uname -S other.local")
    assert hand.out("hostname -s") == "other\n"
    assert hand("hostname mine", user="builder").stderr == "hostname: error in setting name: Not owner\n"
    hand.out("domainname example.org")
    assert hand.out("domainname") == "example.org\n"


def test_a_zone_has_a_name_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nodename").write_text("web\n")
    assert in_zone(tmp_path, "uname -n").stdout == "web\n"
    assert in_zone(tmp_path, "psrinfo -t").stdout == f"{COUNT}\n"


@pytest.mark.namespaces
class TestPrograms:
    pytestmark = needs_namespaces

    def test_a_zone_can_rename_itself_and_nobody_else(self, tmp_path: Path) -> None:
        stage = Stage(tmp_path / "lab")
        stage.boot()
        before = os.uname().nodename
        assert stage.sh("uname -n; hostname fresh && uname -n && hostname") == "web\nfresh\nfresh\n"
        assert stage.sh("uname -n") == "fresh\n"
        assert os.uname().nodename == before
        stage.close()

    @needs_root
    def test_who_one_is_in_a_zone(self, tmp_path: Path) -> None:
        stage = Stage(tmp_path / "lab")
        stage.boot()
        ended = stage.run("zlogin", "-l", "builder", "web", "id -a; id -un; groups; getent passwd 1001")
        assert ended.stdout.splitlines() == [
            "uid=1001(builder) gid=10(staff) groups=10(staff),77(wheel)",
            "builder",
            "staff wheel",
            "builder:x:1001:10:Builder:/export/home/builder:/bin/sh",
        ]
        stage.close()
