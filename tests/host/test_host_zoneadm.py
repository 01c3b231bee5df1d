"""zoneadm: the words it is given, the records and refusals it answers with."""

from __future__ import annotations

from typing import Any

import pytest

from zonemgr.errors import CommandError, NotThere, ZonemgrError
from zonemgr.host import processes, zoneadm
from zonemgr.model import ZoneName, ZoneRow, ZoneState

Z = ZoneName("build-1")
UUID = "7c1c4b9e-5b0a-4d86-9a3e-3a5b1f2c8d11"
GLOBAL = "0:global:running:/::ipkg:shared\n"


def test_seven_fields_as_openindiana_prints_them(illumos: Any) -> None:
    illumos.answers(
        "zoneadm list -cp",
        GLOBAL
        + f"3:build-1:running:/zones/build-1:{UUID}:nlipkg:excl\n"
        + f"-:web1:installed:/zones/a\\:b:{UUID}:nlipkg:shared\n"
        + "-:new:configured:/zones/new::nlipkg:excl\n",
    )
    assert zoneadm.list_zones(illumos.host) == [
        ZoneRow(0, "global", ZoneState.RUNNING, "/", "", "ipkg", False),
        ZoneRow(3, "build-1", ZoneState.RUNNING, "/zones/build-1", UUID, "nlipkg", True),
        ZoneRow(None, "web1", ZoneState.INSTALLED, "/zones/a:b", UUID, "nlipkg", False),
        ZoneRow(None, "new", ZoneState.CONFIGURED, "/zones/new", "", "nlipkg", True),
    ]


def test_eight_fields_as_omnios_prints_them_and_more_one_day(illumos: Any) -> None:
    illumos.answers(
        "zoneadm list -cp",
        "0:global:running:/::ipkg:shared:0\n"
        f"-:build-1:installed:/zones/build-1:{UUID}:lipkg:excl:\n"
        f"7:c:shutting_down:/zones/c:{UUID}:lipkg:excl:12:future\n",
    )
    first, second, third = zoneadm.list_zones(illumos.host)
    assert (first.debug_id, second.debug_id, third.debug_id) == ("0", "", "12")
    assert second == ZoneRow(None, "build-1", ZoneState.INSTALLED, "/zones/build-1", UUID, "lipkg", True)
    assert third.state is ZoneState.SHUTTING_DOWN
    assert third.state.active


def test_a_zone_that_vanishes_during_the_list_has_an_unknown_state(illumos: Any) -> None:
    illumos.answers("zoneadm list -cp", GLOBAL + "4:gone:???:???::???:shared\n")
    assert zoneadm.list_zones(illumos.host)[1].state is ZoneState.UNKNOWN


def test_inside_a_zone_the_list_has_no_global(illumos: Any) -> None:
    illumos.answers("zoneadm list -cp", f"3:build-1:running:/:{UUID}:ipkg:excl\n")
    with pytest.raises(ZonemgrError, match="not the global zone"):
        zoneadm.list_zones(illumos.host)


def test_a_record_that_is_none_is_an_error(illumos: Any) -> None:
    illumos.answers("zoneadm list -cp", GLOBAL + "what is this\n")
    with pytest.raises(ZonemgrError, match="record of 1 fields"):
        zoneadm.list_zones(illumos.host)


def test_the_state_of_one_zone(illumos: Any) -> None:
    illumos.answers("zoneadm -z build-1 list -p", f"3:build-1:mounted:/zones/build-1:{UUID}:ipkg:excl\n")
    assert zoneadm.state(illumos.host, Z) is ZoneState.MOUNTED


def test_an_unknown_zone_is_not_there(illumos: Any) -> None:
    illumos.answers(
        "zoneadm -z build-1 list -p", "", "zoneadm: build-1: No such zone configured\n", status=1, times=2
    )
    assert zoneadm.find(illumos.host, Z) is None
    with pytest.raises(NotThere, match="no zone build-1"):
        zoneadm.state(illumos.host, Z)


def test_a_name_that_is_a_number_is_not_taken_for_another_zones_number(illumos: Any) -> None:
    illumos.answers("zoneadm -z 3 list -p", f"3:build-1:running:/zones/build-1:{UUID}:ipkg:excl\n")
    assert zoneadm.find(illumos.host, "3") is None


def test_a_list_that_fails_otherwise_is_an_error(illumos: Any) -> None:
    illumos.answers("zoneadm -z build-1 list -p", "", "zoneadm: out of memory\n", status=1)
    with pytest.raises(CommandError, match="out of memory"):
        zoneadm.find(illumos.host, Z)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: zoneadm.install(h, Z, "-e", "system/zones"), "install -e system/zones"),
        (lambda h: zoneadm.clone(h, Z, ZoneName("gold")), "clone gold"),
        (lambda h: zoneadm.clone(h, Z, ZoneName("gold"), snapshot="now"), "clone -s now gold"),
        (lambda h: zoneadm.boot(h, Z), "boot"),
        (lambda h: zoneadm.boot(h, Z, "-s"), "boot -- -s"),
        (lambda h: zoneadm.halt(h, Z), "halt"),
        (lambda h: zoneadm.shutdown(h, Z), "shutdown"),
        (lambda h: zoneadm.reboot(h, Z), "reboot"),
        (lambda h: zoneadm.ready(h, Z), "ready"),
        (lambda h: zoneadm.mount(h, Z), "mount"),
        (lambda h: zoneadm.mount(h, Z, force=True), "mount -f"),
        (lambda h: zoneadm.unmount(h, Z), "unmount"),
        (lambda h: zoneadm.uninstall(h, Z), "uninstall -F"),
        (lambda h: zoneadm.mark_incomplete(h, Z), "mark incomplete"),
        (lambda h: zoneadm.verify(h, Z), "verify"),
    ],
)
def test_each_change_is_one_elevated_command(illumos: Any, change: Any, words: str) -> None:
    illumos.answers(f"pfexec zoneadm -z build-1 {words}")
    change(illumos.host)
    assert illumos.told == [f"pfexec zoneadm -z build-1 {words}"]


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        (zoneadm.boot, "boot", "zone 'build-1': zone is already booted\n"),
        (zoneadm.halt, "halt", "zone 'build-1': zone is already halted\n"),
        (zoneadm.ready, "ready", "zone 'build-1': zone is already ready\n"),
    ],
)
def test_being_there_already_is_fine(illumos: Any, change: Any, words: str, said: str) -> None:
    illumos.answers(f"pfexec zoneadm -z build-1 {words}", "", said)
    change(illumos.host, Z)


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        ("boot", "zoneadm: zone 'build-1': must be installed before boot.", "zoneadm list -cv"),
        ("boot", "zone 'build-1': boot operation is invalid for zones in state 'mounted'", "build-1 unmount"),
        ("boot", "could not verify fs /work: could not access /export/work: No such file or directory\n"
         "zoneadm: zone build-1 failed to verify", "make that directory"),
        ("boot", "zone 'build-1': failed to add network device\n"
         "zoneadm: zone 'build-1': call to zoneadmd failed", "show-link"),
        ("clone gold", "zoneadm: zone 'build-1': zone is incomplete; uninstall required.", "uninstall -F"),
        ("clone gold", "zoneadm: zone gold is running; installed is required.", None),
        ("clone gold", "ERROR: no active dataset.", "boot environment"),
        ("halt", "cannot manage a zone which is in state 'configured'\n"
         "zoneadm: zone 'build-1': could not start zoneadmd", "list -cv"),
        ("shutdown", "zoneadm: zone 'build-1': not running", "list -cv"),
        ("shutdown", "zone 'build-1': unable to shutdown zone", "zoneadm -z build-1 halt"),
        ("uninstall -F", "These file systems are mounted on subdirectories of /zones/build-1/root.\n"
         "/zones/build-1/root/x", "unmount"),
        ("install", "zoneadm: zone 'build-1': only a privileged user may install a zone.", "Zone Management"),
        ("install", "zoneadm: zone 'build-1': User bob is not authorized to install this zone.", "Security"),
    ],
)  # fmt: skip
def test_a_refusal_has_the_next_thing_to_try(illumos: Any, words: str, said: str, hint: str | None) -> None:
    illumos.answers(f"pfexec zoneadm -z build-1 {words}", "", said + "\n", status=1)
    name, *rest = words.split()
    with pytest.raises(CommandError) as failed:
        if name == "clone":
            zoneadm.clone(illumos.host, Z, ZoneName(rest[0]))
        else:
            getattr(zoneadm, name)(illumos.host, Z)
    assert (failed.value.hint is None) if hint is None else (hint in (failed.value.hint or ""))
    assert failed.value.command == f"pfexec zoneadm -z build-1 {words}"


def test_a_change_of_an_unknown_zone(illumos: Any) -> None:
    illumos.answers(
        "pfexec zoneadm -z build-1 boot", "", "zoneadm: build-1: No such zone configured\n", status=1
    )
    with pytest.raises(NotThere, match="no zone build-1"):
        zoneadm.boot(illumos.host, Z)


def test_an_unknown_source_of_a_clone_is_not_the_zone(illumos: Any) -> None:
    said = "zoneadm: gold: could not get state: No such zone configured\n"
    illumos.answers("pfexec zoneadm -z build-1 clone gold", "", said, status=1)
    with pytest.raises(CommandError, match="gold: could not get state"):
        zoneadm.clone(illumos.host, Z, ZoneName("gold"))


def test_warnings_of_a_clone_are_handed_on(illumos: Any) -> None:
    said = "WARNING: network address '10.0.0.1' is configured in both zones.\n"
    illumos.answers("pfexec zoneadm -z build-1 clone gold", "", said)
    assert zoneadm.clone(illumos.host, Z, ZoneName("gold")) == [said.strip()]


def test_a_clone_of_the_source_onto_itself_is_a_failure_although_it_exits_0(illumos: Any) -> None:
    said = "zoneadm: zone 'gold': WARNING: dataset 'tank/d' is configured in both zones.\n\n"
    illumos.answers("pfexec zoneadm -z build-1 clone gold", "", said)
    with pytest.raises(ZonemgrError, match="build-1 was not cloned, but gold onto itself: dataset 'tank/d'"):
        zoneadm.clone(illumos.host, Z, ZoneName("gold"))


UNVERIFIED = "could not verify fs /one: could not access /gone: No such file or directory\n"


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda h: zoneadm.verify(h, Z), "verify"),
        (lambda h: zoneadm.install(h, Z), "install"),
        (lambda h: zoneadm.attach(h, Z), "attach"),
        (lambda h: zoneadm.clone(h, Z, ZoneName("gold")), "clone gold"),
    ],
)
def test_a_file_system_that_does_not_verify_is_a_failure_whatever_zoneadm_exits_with(
    illumos: Any, run: Any, words: str
) -> None:
    """zoneadm goes on when a later file system is good."""
    illumos.answers(f"pfexec zoneadm -z build-1 {words}", "", UNVERIFIED)
    with pytest.raises(ZonemgrError, match="zone build-1 cannot boot: could not verify fs /one") as failed:
        run(illumos.host)
    assert failed.value.hint == "make that directory on the host, or do not mount it"


@pytest.mark.parametrize(("state", "lost"), [("installed", True), ("configured", False)])
def test_a_zonepath_that_is_gone_is_a_failure_unless_none_was_made_yet(
    illumos: Any, state: str, lost: bool
) -> None:
    said = (
        "WARNING: /zones/b does not exist, so it could not be verified.\nWhen 'zoneadm install' is run, ...\n"
    )
    illumos.answers("pfexec zoneadm -z build-1 verify", "", said)
    illumos.answers("zoneadm -z build-1 list -p", f"-:build-1:{state}:/zones/b:{UUID}:ipkg:excl\n")
    if not lost:
        zoneadm.verify(illumos.host, Z)
        return
    with pytest.raises(ZonemgrError, match="build-1 has lost its zonepath /zones/b"):
        zoneadm.verify(illumos.host, Z)


def test_what_a_shell_would_take_apart_is_quoted_for_it(illumos: Any) -> None:
    """zoneadm puts the arguments of a brand's script into a shell's command line as they are."""
    illumos.answers("""pfexec zoneadm -z build-1 install -a "'/my images/a;b.tar'" -u""")
    zoneadm.install(illumos.host, Z, "-a", "/my images/a;b.tar", "-u")
    illumos.answers("""pfexec zoneadm -z build-1 attach -u""")
    zoneadm.attach(illumos.host, Z, "-u")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_clone_that_was_not_reset_is_a_failure_although_it_exits_0(illumos: Any, stream: str) -> None:
    said = {stream: "unconfigure failed\nERROR: Zone unconfiguration failed\n"}
    illumos.answers("pfexec zoneadm -z build-1 clone gold", **said)
    with pytest.raises(ZonemgrError, match="not reset: ERROR: Zone unconfiguration failed"):
        zoneadm.clone(illumos.host, Z, ZoneName("gold"))


def test_a_warning_about_boot_arguments_comes_back(illumos: Any) -> None:
    said = "zone 'build-1': WARNING: Unused or invalid boot arguments `x'.\n"
    illumos.answers("pfexec zoneadm -z build-1 boot -- -s x", "", said)
    assert zoneadm.boot(illumos.host, Z, "-s", "x") == [said.strip()]


def test_all_processes_of_a_zone_are_killed(illumos: Any) -> None:
    illumos.answers("pfexec pkill -9 -z build-1")
    assert processes.kill_all(illumos.host, Z) is True


def test_a_zone_without_processes_is_no_error(illumos: Any) -> None:
    illumos.answers("pfexec pkill -9 -z build-1", status=1)
    assert processes.kill_all(illumos.host, Z) is False


def test_an_unknown_zone_has_no_processes_to_kill(illumos: Any) -> None:
    illumos.answers("pfexec pkill -9 -z build-1", "", "pkill: invalid zone name -- build-1\n", status=2)
    with pytest.raises(CommandError, match="invalid zone name"):
        processes.kill_all(illumos.host, Z)


def test_a_zone_named_like_a_number_is_killed_by_its_own(illumos: Any) -> None:
    """pkill takes `-z 3` for the zone with the number 3, whatever its name."""
    illumos.answers("zoneadm -z 3 list -p", f"12:3:running:/zones/3:{UUID}:ipkg:excl\n")
    illumos.answers("pfexec pkill -9 -z 12")
    assert processes.kill_all(illumos.host, ZoneName("3")) is True
    illumos.answers("zoneadm -z 4 list -p", f"-:4:installed:/zones/4:{UUID}:ipkg:excl\n")
    assert processes.kill_all(illumos.host, ZoneName("4")) is False


def test_the_process_numbers_of_a_zone(illumos: Any) -> None:
    illumos.answers("pgrep -z build-1", "101\n2002\n")
    assert processes.pids(illumos.host, Z) == [101, 2002]


def test_why_an_installation_failed_may_stand_on_stdout(illumos: Any) -> None:
    """OpenIndiana's brands print their errors there; recorded from its pkgcreatezone."""
    said = (
        "Sanity Check: Looking for 'entire' incorporation.\n"
        "ERROR: Unable to locate the incorporation 'entire@0.5.11' in the preferred publisher 'ours'.\n"
        "Use -P to supply a publisher which contains this package.\n\n"
    )
    illumos.answers(
        "pfexec zoneadm -z gold install -P ours=http://x", said, "changing permissions\n", status=1
    )
    with pytest.raises(CommandError, match=r"'entire@0\.5\.11' in the preferred publisher 'ours'") as failed:
        zoneadm.install(illumos.host, ZoneName("gold"), "-P", "ours=http://x")
    assert "first publisher" in (failed.value.hint or "")
