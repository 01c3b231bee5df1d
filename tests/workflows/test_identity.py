"""Each zone is its own: its name, its interfaces, its VNICs after the host was rebooted, and what runs in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, same
from zonemgr import locks, records
from zonemgr.errors import CommandError, NotOurs, ZonemgrError
from zonemgr.host import smf
from zonemgr.lab import inprocess
from zonemgr.model import ZoneName
from zonemgr.workflows import building, disposable, execute, golden, inside, job, life, snaps, teardown
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.furnish import Wishes

ZONE = "build-1"
SETSID = "/.lab/usr/bin/setsid"  # the machine's: illumos has none
# What tells one machine from another, or names an interface that a clone does not have.
TRACES = {
    "/etc/hostname.zmorigin_0": "10.0.0.9\n", "/etc/hostname6.zmorigin_0": "", "/etc/dhcp.zmorigin_0": "",
    "/etc/dhcp/zmorigin_0.dhc": "lease", "/etc/dhcp/zmorigin_0.dh6": "lease", "/etc/dhcp/duid": "duid",
    "/etc/dhcp/iaid": "iaid", "/etc/machine-id": "0123\n", "/var/lib/dbus/machine-id": "0123\n",
    "/etc/inet/static_routes-DEFAULT": "default 10.0.0.1\n",
}  # fmt: skip


def make(lab: Lab, **words: str) -> None:
    disposable.create(lab.site(), DisposableRequest(**{"origin": GOLDEN, "zone": ZONE, **words}))


def run(lab: Lab, text: str, zone: str = ZONE, **words: object) -> execute.Outcome:
    command = execute.Command(text, **{"discard": "off", **words})  # type: ignore[arg-type]
    return execute.in_zone(lab.site(), zone, command)


def state(lab: Lab, zone: str = ZONE) -> str:
    return lab.run("zoneadm", "-z", zone, "list", "-p").split(":")[2]


def vnics(lab: Lab) -> list[str]:
    return lab.run("dladm", "show-vnic", "-p", "-o", "link").split()


def commands(lab: Lab) -> list[str]:
    return [" ".join(words) for words in lab.commands()]


# -- its own name and interfaces -------------------------------------------------------------------------------------


def test_nothing_of_the_origins_identity_comes_along(each_lab: Lab) -> None:
    lab = each_lab
    life.start(lab.site(), GOLDEN)
    text = "".join(
        f"mkdir -p {path.rpartition('/')[0]}; echo '{what}' > {path};" for path, what in TRACES.items()
    )
    assert run(lab, text, GOLDEN).exit_code == 0
    life.halt(lab.site(), GOLDEN)
    snaps.snapshot(lab.site(), GOLDEN, "named")
    make(lab, snapshot="named", over="net0")
    [vnic] = vnics(lab)
    etc = lab.in_zone(ZONE, "/etc")
    assert (etc / "nodename").read_text() == f"{ZONE}\n"
    assert (etc / "inet/hosts").read_text() == f"::1\t\tlocalhost\n127.0.0.1\tlocalhost loghost {ZONE}\n"
    assert [path for path in TRACES if lab.in_zone(ZONE, path).exists()] == []
    names = {path.name for path in etc.iterdir() if path.name.startswith(("hostname", "dhcp."))}
    assert names == {f"hostname.{vnic}", f"dhcp.{vnic}"}
    assert run(lab, f"test $(hostname) = {ZONE} && test $(uname -n) = {ZONE}").exit_code == 0


def test_an_image_with_a_link_of_its_own_hands_nothing_of_it_on(lab: Lab) -> None:
    golden.create(lab.site(), golden.GoldenRequest(zone="linked", wishes=Wishes(over="net0")))
    [its] = vnics(lab)
    assert lab.in_zone("linked", f"/etc/hostname.{its}").exists()
    make(lab, origin="linked")
    names = [path.name for path in lab.in_zone(ZONE, "/etc").iterdir()]
    assert [name for name in names if name.startswith(("hostname", "dhcp."))] == []
    assert vnics(lab) == [its]


def test_what_ipadm_keeps_of_the_origin_goes(lab: Lab) -> None:
    life.start(lab.site(), GOLDEN)
    kept = "_ifname=lo0;_aobjname=lo0/v4;_ipv4addr=127.0.0.1;up=yes;"
    lines = f"{kept}\\n_ifname=net9;_aobjname=net9/v4;_ipv4addr=10.0.0.9/24;up=yes;\\n"
    assert run(lab, f"printf '{lines}' > /etc/ipadm/ipadm.conf", GOLDEN).exit_code == 0
    life.halt(lab.site(), GOLDEN)
    snaps.snapshot(lab.site(), GOLDEN, "named")
    make(lab, snapshot="named")
    assert lab.in_zone(ZONE, "/etc/ipadm/ipadm.conf").read_text() == ""


def test_what_was_set_up_in_a_zone_stays_when_it_is_set_up_again(lab: Lab) -> None:
    make(lab, over="net0")
    [vnic] = vnics(lab)
    run(
        lab,
        f"echo 10.0.0.5/24 > /etc/hostname.{vnic}; echo 10.0.0.9 filer >> /etc/inet/hosts; : > /etc/dhcp.gone0",
    )
    with job.job(lab.site(), [ZoneName(ZONE)], records.new_run_id()) as work:
        work.do(inside.AddInside(ZONE, (vnic,), (), (), (), (), (), (), (), 60.0))
    assert lab.in_zone(ZONE, f"/etc/hostname.{vnic}").read_text() == "10.0.0.5/24\n"
    assert "10.0.0.9 filer\n" in lab.in_zone(ZONE, "/etc/inet/hosts").read_text()
    assert not lab.in_zone(ZONE, "/etc/dhcp.gone0").exists()


# -- its VNICs -------------------------------------------------------------------------------------------------------


def _rolled_back(lab: Lab) -> None:
    life.start(lab.site(), ZONE)
    lab.run("zoneadm", "-z", ZONE, "halt")
    _reboot(lab)
    snaps.rollback(lab.site(), ZONE, "clean")
    life.boot(lab.site(), ZONE)


BOOTS: dict[str, Callable[[Lab], object]] = {
    "boot": lambda lab: life.boot(lab.site(), ZONE),
    "start": lambda lab: life.start(lab.site(), ZONE),
    "singleuser": lambda lab: life.singleuser(lab.site(), ZONE),
    "ready": lambda lab: life.ready(lab.site(), ZONE),
    "restart": lambda lab: life.restart(lab.site(), ZONE),
    "exec": lambda lab: run(lab, "true"),
    "exec with a way back": lambda lab: run(lab, "true", discard="always"),
    "rollback": _rolled_back,
}


def _reboot(lab: Lab) -> None:
    inprocess.reboot(lab.world)
    assert vnics(lab) == []


def test_vnics_are_made_again_by_whatever_boots_after_the_hosts_reboot(lab: Lab) -> None:
    make(lab, over="net0|81|2:8:20:1:2:3")
    [vnic] = vnics(lab)
    life.halt(lab.site(), ZONE)
    snaps.snapshot(lab.site(), ZONE, "clean")
    for name, action in BOOTS.items():
        _reboot(lab)
        action(lab)
        told = lab.run("dladm", "show-vnic", "-p", "-o", "link,over,vid,macaddress").strip()
        assert told == f"{vnic}:net0:81:2\\:8\\:20\\:1\\:2\\:3", name
        life.bring_down(lab.site(), ZoneName(ZONE))
    _reboot(lab)
    building.BootZone(ZONE, "", smf.SINGLE_USER, 60.0, single_user=True).do(lab.site().host)
    assert vnics(lab) == [vnic]


def test_a_running_zone_is_rebooted_with_its_vnics(lab: Lab) -> None:
    make(lab, over="net0")
    [vnic] = vnics(lab)
    life.reboot(lab.site(), ZONE)
    assert (vnics(lab), state(lab)) == ([vnic], "running")


def test_a_link_that_is_gone_is_named(lab: Lab) -> None:
    lab.run("dladm", "create-etherstub", "-t", "stub0")
    make(lab, over="stub0")
    life.halt(lab.site(), ZONE)
    _reboot(lab)
    with pytest.raises(ZonemgrError, match="there is no link stub0"):
        life.start(lab.site(), ZONE)


# -- what runs in it -------------------------------------------------------------------------------------------------


def test_a_zone_that_runs_takes_commands_at_once(each_lab: Lab) -> None:
    """Also at single-user, where it would never reach the last milestone."""
    make(each_lab)
    life.halt(each_lab.site(), ZONE)
    life.singleuser(each_lab.site(), ZONE)
    before = len(each_lab.commands())
    assert run(each_lab, "true").exit_code == 0
    asked = commands(each_lab)[before:]
    assert not [line for line in asked if "svcs" in line or " boot" in line], asked
    assert state(each_lab) == "running"


def test_what_takes_too_long_is_ended_and_the_zone_runs_on(lab: Lab) -> None:
    """With all it has started, also what left its session; what was there before goes on."""
    make(lab)
    run(
        lab,
        f"mkdir /run-1; ({SETSID} sh -c 'echo $$ > /run-1/other; exec sleep 300' > /dev/null 2>&1 < /dev/null &);"
        "until test -s /run-1/other; do sleep 0.1; done",
    )
    before = len(lab.commands())
    outcome = run(
        lab,
        f"({SETSID} sh -c 'trap : TERM; echo $$ > /run-1/deep; while :; do sleep 1; done' &); echo $$ > /run-1/top;"
        "until test -s /run-1/deep; do sleep 0.1; done; sleep 300",
        timeout=3.0,
    )
    assert (outcome.exit_code, outcome.verdict) == (124, "timeout")
    assert "halted" not in outcome.message
    assert state(lab) == "running"
    assert not [line for line in commands(lab)[before:] if " halt" in line or " boot" in line]
    ended = run(
        lab, "kill -0 $(cat /run-1/other) && ! kill -0 $(cat /run-1/top) && ! kill -0 $(cat /run-1/deep)"
    )
    assert ended.exit_code == 0


def test_what_cannot_be_ended_inside_halts_the_zone_which_then_runs_again(lab: Lab) -> None:
    make(lab)
    lab.fails(f"zlogin -S {ZONE} */bin/sh -s*", stderr="zlogin: could not enter zone")
    outcome = run(lab, "sleep 300", timeout=0.5)
    assert outcome.verdict == "timeout" and outcome.message.endswith("and the zone halted")
    assert state(lab) == "running"
    assert lab.run("svcs", "-z", ZONE, "-H", "-o", "state", smf.MULTI_USER_SERVER).strip() == "online"


def test_an_interrupted_command_is_ended_and_the_zone_runs_on(lab: Lab) -> None:
    make(lab)
    site = lab.site()
    before = len(lab.commands())
    with pytest.raises(KeyboardInterrupt):
        _interrupted(site, "echo here >&2; sleep 300", at=b"here")
    assert state(lab) == "running"
    assert not [line for line in commands(lab)[before:] if " halt" in line]


def _interrupted(site: job.Site, command: str, *, at: bytes) -> None:
    """Ctrl-C as soon as it has said this on stderr, which is where its contract was told before."""
    through = site.host.stream

    def stream(*argv: str, **how: Any) -> object:
        heard, hear = bytearray(), how["on_stderr"]

        def on_stderr(chunk: bytes) -> None:
            hear(chunk)
            heard.extend(chunk)
            if at in heard:
                raise KeyboardInterrupt

        return through(*argv, **{**how, "on_stderr": on_stderr})

    site.host.stream = stream  # type: ignore[method-assign, assignment]
    execute.in_zone(site, ZONE, execute.Command(command, discard="off"))


def test_a_dry_run_takes_no_snapshot_and_misses_none(lab: Lab) -> None:
    make(lab)
    before = lab.everything()
    for discard in ("always", "onsuccess", "onfail", "off"):
        command = execute.Command("true", discard=discard)
        assert execute.in_zone(lab.site(dry_run=True), ZONE, command).exit_code == 0
    same(before, lab.everything())


def test_a_command_that_never_ran_does_not_halt_the_zone(lab: Lab) -> None:
    make(lab)
    assert run(lab, "true", user="ghost").exit_code == 125
    assert run(lab, "true", cwd="/no/such").exit_code == 125
    assert state(lab) == "running"


# -- images ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["boot", "exec", "singleuser"])
def test_an_image_that_is_being_cloned_is_left_alone(lab: Lab, action: str) -> None:
    from dataclasses import replace

    site = lab.site(config=replace(lab.config, state=replace(lab.config.state, image_wait=0)))
    with locks.image_lock(site.config, GOLDEN, records.new_run_id()), pytest.raises(locks.LockTaken):
        if action == "exec":
            execute.in_zone(site, GOLDEN, execute.Command("true", discard="off"))
        else:
            getattr(life, action)(site, GOLDEN)
    assert state(lab, GOLDEN) == "installed"


def test_an_image_that_runs_refuses_to_be_cloned_and_says_why(lab: Lab) -> None:
    life.boot(lab.site(), GOLDEN)
    with pytest.raises(ZonemgrError, match=f"golden image {GOLDEN} is running, not installed") as refused:
        make(lab)
    assert refused.value.hint == f"halt it first: zonemgr halt {GOLDEN}"


# -- only configured -------------------------------------------------------------------------------------------------


def _configure(lab: Lab, zone: str, path: str, more: str = "") -> None:
    lab.run("zonecfg", "-z", zone, f"create -b; set zonepath={path}; {more} commit")


def test_a_configuration_by_hand_where_our_zones_live_can_be_destroyed(lab: Lab) -> None:
    before = lab.everything()
    for path in ("/zones/diz/cfg-1", "/zones/giz/cfg-1"):
        _configure(lab, "cfg-1", path)
        teardown.destroy(lab.site(), "cfg-1")
        same(before, lab.everything())


@pytest.mark.parametrize("case", ["elsewhere", "deeper", "data", "directory", "installed"])
def test_any_other_zone_that_is_not_ours_stays(lab: Lab, case: str) -> None:
    path = {"elsewhere": "/export/cfg-1", "deeper": "/zones/giz/x/cfg-1"}.get(case, "/zones/giz/cfg-1")
    if case == "data":
        lab.run("zfs", "create", "rpool/zones/giz/cfg-1")
    if case == "directory":
        (lab.world.host / "zones/giz/cfg-1").mkdir()
    _configure(lab, "cfg-1", path, "set brand=ipkg;" if case == "installed" else "")
    if case == "installed":
        lab.run("zoneadm", "-z", "cfg-1", "install")
    with pytest.raises(NotOurs, match="not made by zonemgr"):
        teardown.destroy(lab.site(), "cfg-1")
    assert state(lab, "cfg-1") == ("installed" if case == "installed" else "configured")


def test_a_failed_delete_leaves_the_configuration(lab: Lab) -> None:
    _configure(lab, "cfg-1", "/zones/giz/cfg-1")
    lab.fails("zonecfg -z cfg-1 *delete*", stderr="zonecfg: no")
    with pytest.raises(CommandError):
        teardown.destroy(lab.site(), "cfg-1")
    assert state(lab, "cfg-1") == "configured"
