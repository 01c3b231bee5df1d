"""Faults of the lab: their grammar, which commands they hit, and what each kind does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zonemgr.lab import faults, inprocess, world
from zonemgr.lab.call import TimeLimit
from zonemgr.lab.faults import ALWAYS, Fact, Fault
from zonemgr.lab.inprocess import InProcess
from zonemgr.lab.world import LabError, World


@pytest.fixture
def host(tmp_path: Path) -> Iterator[InProcess]:
    opened = world.create(tmp_path / "lab")
    yield InProcess(opened)
    opened.close()


class TestGrammar:
    @pytest.mark.parametrize(
        ("spec", "fault"),
        [
            ("fail", Fault("fail")),
            ("fail@3", Fault("fail", first=3)),
            ("fail:zfs clone *", Fault("fail", "zfs clone *")),
            ("fail@2:zfs clone,exit=2", Fault("fail", "zfs clone", 2, exit=2)),
            ("fail,stderr=cannot: no, really", Fault("fail", stderr="cannot: no, really")),
            ("fail:zfs set a=b,c=d,exit=0,times=4", Fault("fail", "zfs set a=b,c=d", times=4, exit=0)),
            ("fail,times=always,stderr=x", Fault("fail", times=ALWAYS, stderr="x")),
            ("hang@2:zoneadm*boot", Fault("hang", "zoneadm*boot", 2)),
            ("kill-caller-after:pkg", Fault("kill-caller-after", "pkg")),
            ("fact:fault.halt=stuck", Fact("fault.halt", "stuck")),
            ("fact:fault.halt=", Fact("fault.halt", "")),
        ],
    )
    def test_what_a_spec_means(self, spec: str, fault: Fault | Fact) -> None:
        assert faults.parse(spec) == fault

    @pytest.mark.parametrize(
        ("spec", "text"),
        [
            ("", "there is no kind ''"),
            ("explode", "there is no kind 'explode'; there are: fail, hang, kill-before"),
            ("fail@0", "@N wants a number from 1 up, not '0'"),
            ("fail@x:zfs", "@N wants a number from 1 up, not 'x'"),
            ("fail@", "@N wants a number from 1 up, not ''"),
            ("fail:", "the pattern is empty"),
            ("fail,exit=256", "an exit status is at most 255"),
            ("fail,exit=-1", "exit wants a number from 0 up, not '-1'"),
            ("fail,times=0", "times wants a number from 1 up, not '0'"),
            ("fail,times=often", "times wants a number from 1 up, not 'often'"),
            ("fail,exit=1,exit=2", "an option is given twice"),
            ("hang,exit=1", "exit= belongs to fail, not to hang"),
            ("reboot,stderr=x", "stderr= belongs to fail, not to reboot"),
            ("fail:zfs,exti=3", "no option 'exti'; there are: exit, stderr, times"),
            ("fact:x", "a fact is written fact:KEY=VALUE"),
            ("fact:=1", "a fact is written fact:KEY=VALUE"),
        ],
    )
    def test_what_is_wrong_with_a_spec_is_said(self, spec: str, text: str) -> None:
        with pytest.raises(LabError) as refused:
            faults.parse(spec)
        assert text in str(refused.value)
        assert repr(spec) in str(refused.value)

    @pytest.mark.parametrize(
        ("pattern", "argv", "hit"),
        [
            ("*", ["zfs", "list"], True),
            ("zfs", ["zfs", "list"], True),
            ("zfs list", ["zfs", "list", "-H"], True),
            ("zfs li", ["zfs", "list"], False),
            ("zf", ["zfs", "list"], False),
            ("zfs list", ["/usr/sbin/zfs", "list"], True),
            ("zfs list", ["pfexec", "zfs", "list"], True),
            ("pfexec zfs", ["pfexec", "zfs", "list"], True),
            ("zoneadm*boot", ["zoneadm", "-z", "web", "boot"], True),
            ("zoneadm*boot", ["zoneadm", "-z", "web", "reboot"], True),
            ("zoneadm* boot", ["zoneadm", "-z", "web", "reboot"], False),
            ("zlogin web 'a  b'", ["zlogin", "web", "a  b"], True),
            ("zfs snapshot rpool/x@[ab]", ["zfs", "snapshot", "rpool/x@b"], True),
        ],
    )
    def test_which_commands_a_pattern_names(self, pattern: str, argv: list[str], hit: bool) -> None:
        assert faults.matches(pattern, argv) is hit


class TestFailing:
    def test_the_nth_matching_command_fails_as_told_and_does_nothing(self, host: InProcess) -> None:
        host.fails("zfs create", stderr="cannot create: out of luck", exit=3, at=2)
        assert host.run(["zfs", "create", "rpool/one"]).exit_code == 0
        before = host.everything()
        failed = host.run(["zfs", "create", "rpool/two"])
        assert (failed.exit_code, failed.stdout, failed.stderr) == (3, "", "cannot create: out of luck\n")
        assert host.everything() == before
        assert host.run(["zfs", "create", "rpool/two"]).exit_code == 0

    def test_times_and_always(self, host: InProcess) -> None:
        host.fault("fail:zfs list,times=2")
        assert [host.run(["zfs", "list"]).exit_code for _ in range(4)] == [1, 1, 0, 0]
        host.fault("fail@2:zpool list,times=always,exit=9")
        assert [host.run(["zpool", "list"]).exit_code for _ in range(4)] == [0, 9, 9, 9]

    def test_every_fault_counts_every_command_it_matches(self, host: InProcess) -> None:
        host.fault("fail@2:zfs")
        host.fault("fail@2:zfs list,exit=5")
        answers = [host.run(["zfs", "list"]).exit_code for _ in range(3)]
        assert answers == [0, 1, 0]  # both are due at the second command; the one given first has it
        assert [row["exit"] for row in host.log()] == answers

    def test_a_command_inside_a_command_is_not_hit(self, host: InProcess) -> None:
        host.fault("fail:zfs,times=always")
        assert host.run(["zonecfg", "-z", "x", "create -b; set zonepath=/zones/x"]).exit_code == 0
        assert host.run(["zfs", "list"]).exit_code == 1

    def test_a_fact_stays_until_it_is_taken_away(self, host: InProcess) -> None:
        host.fault("fact:fault.anything=on")
        assert host.world.get("fault.anything") == "on"
        host.fault("fact:fault.anything=")
        assert host.world.get("fault.anything", "gone") == ""


class TestViolence:
    """Being killed is shown in a forked child, which has a world of its own on the same lab."""

    def test_killed_before_or_after_the_effect(self, host: InProcess) -> None:
        host.fault("kill-before:zfs create rpool/one")
        host.fault("kill-after:zfs create rpool/two")
        one, two = (host.run(["zfs", "create", f"rpool/{name}"]) for name in ("one", "two"))
        assert (one.exit_code, two.exit_code) == (-9, -9)
        assert "rpool/one" not in _datasets(host)
        assert "rpool/two" in _datasets(host)
        assert [row["exit"] for row in host.log()][:2] == [-9, -9]

    @pytest.mark.parametrize(("kind", "there"), [("kill-caller-before", False), ("kill-caller-after", True)])
    def test_the_caller_is_killed(self, host: InProcess, kind: str, there: bool) -> None:
        def work(child: InProcess) -> None:
            child.fault(f"{kind}:zfs create")
            child.run(["zfs", "create", "rpool/new"])

        assert _in_child(host.world, work) == -signal.SIGKILL
        assert ("rpool/new" in _datasets(host)) is there

    def test_a_command_that_hangs_runs_into_the_callers_limit(self, host: InProcess) -> None:
        host.fault("hang:zfs create")
        began = host.world.now()
        with pytest.raises(TimeLimit, match="no answer within 300 seconds"):
            host.run(["zfs", "create", "rpool/new"], limit=300)
        assert host.world.now() - began >= 300
        assert "rpool/new" not in _datasets(host)

    def test_a_command_that_would_hang_for_ever_is_not_waited_for(self, host: InProcess) -> None:
        host.fault("hang")
        ended = host.run(["zfs", "list"])
        assert (ended.exit_code, ended.stderr) == (
            1,
            "lab: zfs hangs and the caller set no time limit: it would never go on\n",
        )

    def test_a_reboot_takes_the_active_zones_and_the_caller(self, host: InProcess) -> None:
        host.world.db.execute(
            "insert into kernel_zones (name, state, root) values ('web', 'running', '/zones/web/root')"
        )

        def work(child: InProcess) -> None:
            assert child.run(["dladm", "create-vnic", "-t", "-l", "net0", "short0"]).exit_code == 0
            child.fault("reboot:zfs list")
            child.run(["zfs", "list"])

        assert _in_child(host.world, work) == -signal.SIGKILL
        assert host.world.db.execute("select count(*) from kernel_zones").fetchone()[0] == 0
        assert host.run(["dladm", "show-link", "short0"]).exit_code == 1


class TestReboot:
    def test_file_systems_are_mounted_as_at_boot(self, host: InProcess) -> None:
        host.run(["zfs", "create", "-o", "mountpoint=/export/work", "rpool/work"])
        host.run(["zfs", "create", "-o", "mountpoint=legacy", "rpool/root"])
        host.run(["zfs", "create", "-o", "canmount=noauto", "-o", "mountpoint=/mnt/sleeper", "rpool/sleeper"])
        host.world.path("/mnt/legacy").mkdir()
        assert host.run(["mount", "-F", "zfs", "rpool/root", "/mnt/legacy"]).exit_code == 0
        assert host.run(["zfs", "mount", "rpool/sleeper"]).exit_code == 0
        assert host.run(["zfs", "umount", "rpool/work"]).exit_code == 0
        inprocess.reboot(host.world)
        answers = host.run(["zfs", "list", "-H", "-o", "name,mounted", "-r", "rpool"]).stdout.splitlines()
        mounted = dict(line.split("\t") for line in answers)
        assert mounted["rpool/work"] == "yes"
        assert mounted["rpool/root"] == mounted["rpool/sleeper"] == "no"


class TestLatency:
    def test_time_passes_on_the_labs_clock_only(self, tmp_path: Path) -> None:
        opened = world.create(tmp_path / "lab", latency="illumos")
        host = InProcess(opened)
        began = opened.now()
        host.run(["zoneadm", "-z", "nosuch", "install"])
        assert opened.now() - began >= 60
        assert host.log()[-1]["seconds"] >= 60
        with pytest.raises(TimeLimit):
            host.run(["zoneadm", "-z", "nosuch", "install"], limit=5)
        opened.close()


def _datasets(host: InProcess) -> list[str]:
    return host.run(["zfs", "list", "-H", "-o", "name"]).stdout.split()


def _in_child(opened: World, work: Callable[[InProcess], None]) -> int:
    """Run something in a child that may be killed; its exit status, or minus the signal."""
    pid = os.fork()
    if pid == 0:
        try:
            work(InProcess(World(opened.dir)))
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
