"""Services of zones and of the global zone (docs/illumos.md: First boot, SMF)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.byhand import Hand, in_zone, make, passes
from zonemgr.lab import smf
from zonemgr.lab.call import TimeLimit

SINGLE, MULTI, SERVER = (
    f"svc:/milestone/{each}:default" for each in ("single-user", "multi-user", "multi-user-server")
)
SYSDING = "svc:/system/sysding:system"


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return make(tmp_path)


@pytest.fixture
def slow(tmp_path: Path) -> Hand:
    """A host on which boots take as long as on a real one, so that a test can look in the middle of them."""
    return make(tmp_path, latency="illumos")


@pytest.fixture
def up(hand: Hand) -> Hand:
    """A host with zone z up and running."""
    hand.installed("z")
    hand.boots("z")
    hand.world.advance(5)
    assert hand.state("z", SERVER) == "online"
    return hand


# -- boots ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latency", "imported", "single", "server"),
    [
        ("none", True, 0.05, 0.15),
        ("none", False, 0.25, 0.35),
        ("illumos", True, 0.8, 2.4),
        ("illumos", False, 16.8, 18.4),
    ],
)
def test_a_first_boot_takes_longer(
    tmp_path: Path, latency: str, imported: bool, single: float, server: float
) -> None:
    hand = make(tmp_path, latency=latency)
    hand.installed("z", imported=imported)
    step = 0.005 if latency == "none" else 0.1
    from zonemgr.lab import place
    from zonemgr.lab.smf import repository
    from zonemgr.lab.smf.states import Machine

    hand.boots("z")
    where = place.of_zone(hand.world, "z")
    assert where is not None
    machine = Machine(where, repository.at(where))
    assert machine.online_at(SINGLE) - where.booted == pytest.approx(single, abs=0.03 + step)
    assert machine.online_at(SERVER) - where.booted == pytest.approx(server, abs=0.03 + step)


def test_services_come_up_one_after_the_other(slow: Hand) -> None:
    hand = slow
    hand.installed("z")
    hand.boots("z")
    seen: list[str] = []
    for _ in range(40):
        seen.append(hand.state("z", SERVER))
        hand.world.advance(0.1)
    assert list(dict.fromkeys(seen)) == ["offline", "offline*", "online"]
    assert hand.out("svcs -z z -xv") == ""


def test_before_the_import_only_seeded_services_are_known(slow: Hand) -> None:
    hand = slow
    hand.installed("z", imported=False)
    hand.boots("z")
    assert (
        hand("svcs -z z -H -o state network/ssh").stderr
        == "svcs: Pattern 'network/ssh' doesn't match any instances\n"
    )
    assert hand.state("z", SERVER) == "offline"
    passes(hand, until=SINGLE)
    assert hand.state("z", "network/ssh") in ("offline", "offline*", "online")


def test_the_import_is_remembered_and_goes_along_with_a_copy(slow: Hand) -> None:
    hand = slow
    root = hand.installed("z", imported=False)
    hand.boots("z", "-s")
    assert passes(hand, until=SINGLE, step=0.5) > 10
    hand.halts("z")
    assert json.loads((root / "etc/svc/repository.db").read_text()) == {
        "imported": True,
        "milestone": "all",
        "kept": {
            SYSDING: {"enabled": None, "comment": "", "properties": {"config/finished": ["boolean", "false"]}}
        },
    }
    hand.boots("z")
    assert passes(hand, until=SERVER, step=0.5) < 10


def test_a_halt_before_the_import_loses_it(slow: Hand) -> None:
    hand = slow
    root = hand.installed("z", imported=False)
    before = (root / "etc/svc/repository.db").read_text()
    hand.boots("z")
    hand.halts("z")
    assert (root / "etc/svc/repository.db").read_text() == before


# -- single-user ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("boot_args", ["-s", "-m milestone=single-user", "-m verbose,milestone=su"])
def test_a_boot_to_single_user_stops_there_until_told_otherwise(hand: Hand, boot_args: str) -> None:
    hand.installed("z")
    hand.boots("z", boot_args)
    hand.world.advance(60)
    assert [hand.state("z", each) for each in (SINGLE, MULTI, SERVER)] == ["online", "disabled", "disabled"]
    assert hand.state("z", SYSDING) == "disabled"
    hand.out("svcadm -z z milestone all")
    passes(hand, until=SERVER)
    # sulogin still waits on the console; only console-login waits for that.
    assert hand.state("z", "console-login") == "offline"
    assert "svc:/system/console-login:default (Console login)" in hand.out("svcs -z z -xv")


def test_only_all_brings_services_outside_the_milestones(hand: Hand) -> None:
    hand.installed("z")
    hand.boots("z", "-s")
    hand.world.advance(1)
    hand.out("svcadm -z z milestone multi-user-server")
    hand.world.advance(1)
    assert hand.state("z", SERVER) == "online"
    assert hand.state("z", "network/ssh") == "disabled"
    hand.out("svcadm -z z milestone all")
    hand.world.advance(1)
    assert hand.state("z", "network/ssh") == "online"


def test_milestones_do_not_outlive_the_boot_unless_asked(up: Hand) -> None:
    up.out("svcadm -z z milestone single-user")
    assert up.state("z", MULTI) == "disabled"
    up.halts("z")
    up.boots("z")
    up.world.advance(1)
    assert up.state("z", SERVER) == "online"
    up.out("svcadm -z z milestone -d single-user")
    up.halts("z")
    up.boots("z")
    up.world.advance(1)
    assert [up.state("z", each) for each in (SINGLE, SERVER)] == ["online", "disabled"]


def test_unknown_milestones(up: Hand) -> None:
    for word in ("nonsense", "user"):
        ended = up(f"svcadm -z z milestone {word}")
        assert ended.exit_code == 2
        assert ended.stderr.startswith(
            f'"{word}" is not a valid major milestone.\nUsage: svcadm milestone [-d] <milestone>'
        )
    assert (
        up("svcadm milestone single-user").stderr
        == "lab: taking the global zone down to a milestone is not emulated\n"
    )


# -- svcs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pattern",
    [
        SINGLE,
        "svc:/milestone/single-user",
        "milestone/single-user",
        "single-user",
        "single-user:default",
        "*single-u*:default",
    ],
)
def test_ways_to_name_a_service(up: Hand, pattern: str) -> None:
    assert up.out(f"svcs -z z -H -o fmri '{pattern}'") == f"{SINGLE}\n"


@pytest.mark.parametrize("pattern", ["single", "milestone", "user", "svc:/single-user", "single-user:other"])
def test_names_that_are_no_names(up: Hand, pattern: str) -> None:
    assert up.refused(f"svcs -H -z z {pattern}") == f"svcs: Pattern '{pattern}' doesn't match any instances\n"


def test_what_matches_is_shown_beside_what_does_not(up: Hand) -> None:
    ended = up("svcs -z z -H -o state,fmri nosuch cron")
    assert (ended.exit_code, ended.stdout) == (1, "online         svc:/system/cron:default\n")


def test_columns(up: Hand) -> None:
    assert (
        up.out("svcs -z z -H -o sta,nsta,svc,inst,zone cron")
        == "ON   -    system/cron          default              z\n"
    )
    head, row = up.out("svcs -z z -v cron").splitlines()
    assert head == "STATE          NSTATE        STIME    CTID   FMRI"
    assert row.split()[:2] == ["online", "-"]
    assert up("svcs -o nosuch").stderr == 'svcs: Unknown column "nosuch".\n'
    assert up("svcs -H -l cron").exit_code == 2
    assert up("svcs -x -l cron").exit_code == 2
    assert up("svcs -y").exit_code == 2


def test_sorting(up: Hand) -> None:
    up.out("svcadm -z z disable cron")
    fmris = up.out("svcs -z z -H -o fmri -s fmri -a").split()
    assert fmris == sorted(fmris)
    assert up.out("svcs -z z -H -o fmri -S fmri -a").split() == fmris[::-1]
    assert up.out("svcs -z z -a -H").splitlines()[0].startswith("disabled")
    assert "system/cron" not in up.out("svcs -z z")


def test_every_zone_at_once(up: Hand) -> None:
    assert up.out("svcs -Z -H -o zone,state cron").split() == ["global", "online", "z", "online"]
    assert up("svcs -Z nosuch").exit_code == 1
    assert up("svcs -Z nosuch").stderr == ""
    assert up("svcs -Z -z z").exit_code == 2


def test_zones_that_cannot_be_asked(hand: Hand) -> None:
    assert hand.refused("svcs -H -z nosuch cron") == "svcs: invalid zone 'nosuch'\n"
    hand.installed("z")
    unreachable = "svcs: Could not bind to repository server for zone z: repository server unavailable\n"
    assert hand.refused("svcs -H -z z cron") == unreachable
    assert (
        hand.refused("svcadm -z z enable cron")
        == "svcadm: Couldn't bind to configuration repository: repository server unavailable.\n"
    )
    hand.boots("z")
    # The way to the zone's repository leads through its zonepath, which is root's alone, and svcs is in no profile.
    for user in ("jim", "builder"):
        assert hand.refused("pfexec svcs -H -z z cron", user=user) == unreachable


def test_in_a_zone_there_are_no_other_zones(up: Hand) -> None:
    root = up.world.path("/zones/z/root")
    assert in_zone(root, "svcs -Z").stderr == "svcs: svcs -Z may only be used from the global zone\n"
    assert (
        in_zone(root, "svcadm -z z enable cron").stderr
        == "svcadm: svcadm -z may only be used from the global zone\n"
    )
    assert in_zone(root, f"svcs -H -o state {SERVER}").stdout == "online\n"


def test_the_zone_and_the_global_zone_see_the_same_repository(up: Hand) -> None:
    root = up.world.path("/zones/z/root")
    (root / ".lab").mkdir()
    booted = up.world.db.execute("select booted from kernel_zones").fetchone()[0]
    (root / ".lab/zone.json").write_text(json.dumps({"zone": "z", "booted": booted, "clock": 5.0}))
    assert in_zone(root, "svcadm disable cron").exit_code == 0
    assert up.state("z", "cron") == "disabled"
    up.out("svcadm -z z mark maintenance ssh")
    assert in_zone(root, "svcs -H -o state ssh").stdout == "maintenance\n"
    assert up.out("svcs -H -o state cron").strip() == "online"  # the global zone's own


# -- trouble -------------------------------------------------------------------------------------------------


def test_maintenance_is_explained_and_cleared(up: Hand) -> None:
    up.world.put("fault.maintenance", "z svc:/milestone/multi-user:default")
    assert [up.state("z", each) for each in (MULTI, SERVER)] == ["maintenance", "offline"]
    told = up.out("svcs -z z -xv")
    assert told.startswith(
        "svc:/milestone/multi-user:default (multi-user milestone)\n  Zone: z\n State: maintenance since "
    )
    assert told.endswith(
        "Impact: 1 dependent service is not running:\n        svc:/milestone/multi-user-server:default\n"
    )
    up.out("svcadm -z z clear multi-user")
    up.world.advance(1)
    assert (up.state("z", SERVER), up.out("svcs -z z -x")) == ("online", "")
    assert (
        up.refused("svcadm -z z clear cron")
        == 'svcadm: Instance "svc:/system/cron:default" is not in a maintenance or degraded state.\n'
    )


def test_a_disabled_service_is_to_blame_for_those_that_need_it(up: Hand) -> None:
    up.out("svcadm -z z disable -c 'under repair' cryptosvc")
    up.out("svcadm -z z restart ssh")
    up.world.advance(1)
    assert up.state("z", "ssh") == "offline"
    told = up.out("svcs -z z -x")
    assert "Reason: Disabled by an administrator: under repair\n" in told
    assert told.startswith("svc:/system/cryptosvc:default")
    assert "network/ssh:default (SSH server)" not in told


@pytest.mark.parametrize(
    ("before", "line", "exit_code", "text"),
    [
        ([], "enable -s cron", 0, ""),
        ([], "enable -s nosuch", 1, "Pattern 'nosuch' doesn't match any instances"),
        (
            ["mark maintenance cron"],
            "enable -s cron",
            3,
            'Instance "svc:/system/cron:default" is in maintenance state.',
        ),
        (
            ["disable cryptosvc", "disable ssh"],
            "enable -s ssh",
            4,
            'Instance "svc:/network/ssh:default" has unsatisfied dependencies.',
        ),
        (["disable cryptosvc", "disable ssh"], "enable -rs ssh", 0, ""),
        ([], "disable -s cron", 0, ""),
        ([], "mark degraded nfs/client", 1, 'Instance "svc:/network/nfs/client:default" is not online.'),
        ([], "enable physical", 1, "Partial FMRI 'physical' matches multiple instances:"),
    ],
)
def test_exits_of_svcadm(up: Hand, before: list[str], line: str, exit_code: int, text: str) -> None:
    for command in before:
        up.out(f"svcadm -z z {command}")
    ended = up(f"svcadm -z z {line}")
    assert ended.exit_code == exit_code
    assert ended.stderr.split("\n")[0] == (f"svcadm: {text}" if text else "")
    if not exit_code and line.startswith("enable"):
        assert up.state("z", line.split()[-1]) == "online"


@pytest.mark.parametrize(
    "line",
    [
        "svcadm",
        "svcadm enable",
        "svcadm bogus x",
        "svcadm mark nonsense cron",
        "svcadm -S online",
        "svcadm mark -t degraded cron",
    ],
)
def test_usage_exits_with_2(up: Hand, line: str) -> None:
    was = up.inside.everything()
    assert up(line).exit_code == 2
    assert up.inside.everything() == was


def test_temporary_is_until_reboot(up: Hand) -> None:
    up.out("svcadm -z z disable -t cron")
    assert "enabled      false (temporary)\n" in up.out("svcs -z z -l cron")
    up.out("svcadm -z z enable -r nfs/client")
    up.halts("z")
    up.boots("z")
    up.world.advance(1)
    assert (up.state("z", "cron"), up.state("z", "nfs/client")) == ("online", "online")


def test_waiting_for_what_never_comes_lasts_until_the_limit(up: Hand) -> None:
    up.halts("z")
    up.boots("z", "-s")
    up.world.advance(1)
    up.out("svcadm -z z milestone all")
    start = up.world.now()
    with pytest.raises(TimeLimit):
        up.inside.run(["svcadm", "-z", "z", "enable", "-s", "console-login"], limit=30)
    assert up.world.now() - start >= 30


def test_waiting_takes_the_time_the_service_takes(tmp_path: Path) -> None:
    hand = make(tmp_path, latency="illumos")
    start = hand.world.now()
    hand.out("svcadm enable -rs network/nfs/client")
    assert hand.out("svcs -H -o state nfs/client").strip() == "online"
    assert hand.world.now() - start >= 0.1


def test_changes_need_the_right_to_manage(up: Hand) -> None:
    assert (
        up.refused("svcadm disable cron", user="jim")
        == "svcadm: svc:/system/cron:default: Permission denied.\n"
    )
    assert up.out("svcs -H -o state cron", user="jim").strip() == "online"
    up.out("svcadm disable cron", user="builder")  # has solaris.smf.manage
    assert up.out("svcs -H -o state cron").strip() == "disabled"


def test_after_a_host_reboot_the_services_of_the_host_come_up_again(slow: Hand) -> None:
    hand = slow
    from zonemgr.lab.inprocess import reboot

    hand.out("svcadm disable cron")
    hand.out("svcadm disable -t ssh")
    reboot(hand.world)
    assert hand.out(f"svcs -H -o state {SERVER}").strip() in ("offline", "offline*")
    hand.world.advance(10)
    states = hand.out("svcs -H -o state,svc -s svc cron ssh zones").split()
    assert states == ["online", "network/ssh", "disabled", "system/cron", "online", "system/zones"]


# -- svccfg --------------------------------------------------------------------------------------------------


def test_properties_live_and_offline(up: Hand) -> None:
    root = up.world.path("/zones/z/root")
    smf.set_property(root, SYSDING, "config/finished", "true")
    assert in_zone(root, "svccfg -s sysding:system listprop config/finished").stdout.split() == [
        "config/finished",
        "boolean",
        "true",
    ]
    assert in_zone(root, "svccfg -s sysding:system setprop config/finished=false").exit_code == 0
    lines = "select cron\naddpg app application\nsetprop app/level = count: 3\n# a remark\nlistprop app\n"
    assert in_zone(root, "svccfg", stdin=lines).stdout.split() == ["app/level", "count", "3"]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("svccfg -s nosuch listprop", "Pattern 'nosuch' doesn't match any instances or services"),
        ("svccfg listprop", "An entity is not selected."),
        ("svccfg -s cron setprop a=1", "Property names must contain a `/'."),
        ("svccfg -s cron setprop a/b=1", 'No such property group "a".'),
        ("svccfg -s cron setprop general/new=1", "Type required for new properties."),
        ("svccfg -s cron setprop general/new = nonsense: 1", 'Unknown type "nonsense".'),
        ("svccfg -s cron setprop general/enabled = boolean: maybe", 'Invalid "boolean" value "maybe".'),
        ("svccfg -s cron frobnicate", 'Unknown command "frobnicate".'),
        ("svccfg import /tmp/x.xml", "lab: svccfg import is not emulated"),
    ],
)
def test_svccfg_refusals(hand: Hand, line: str, text: str) -> None:
    was = hand.inside.everything()
    assert hand.refused(line) == (f"{text}\n" if text.startswith("lab: ") else f"svccfg: {text}\n")
    assert hand.inside.everything() == was


def test_offline_a_repository_file_is_changed(hand: Hand) -> None:
    """As the brands' scripts do it for a zone that is down."""
    from zonemgr.lab.call import Call

    root = hand.installed("z")
    smf.set_property(root, SYSDING, "config/finished", "true")
    before = json.loads((root / "etc/svc/repository.db").read_text())

    def offline(line: str, repository: str) -> int:
        return smf.svccfg(Call(hand.world, ["svccfg", *line.split()], env={"SVCCFG_REPOSITORY": repository}))

    file = "/zones/z/root/etc/svc/repository.db"
    assert offline("-s sysding:system setprop config/finished=false", file) == 0
    assert "false" in (root / "etc/svc/repository.db").read_text()
    hand.boots("z")
    hand.world.advance(1)
    hand.out("svcs -z z")
    assert json.loads((root / "etc/svc/repository.db").read_text())["kept"] == before["kept"]
    for wrong in ("/tmp/nosuch", "/zones/nosuch/root/etc/svc/repository.db"):
        assert offline("-s cron listprop", wrong) == 1


def test_commands_from_a_file_stop_at_the_first_error(up: Hand) -> None:
    script = up.world.host / "var/tmp/script"
    script.write_text(
        "select cron\naddpg app application\nsetprop app/a = astring: x\nsetprop app/b = astring: y\n"
        "delprop app/b\nlistprop app/*\nlistpg\nsetprop nosuch/c = astring: z\naddpg later application\n"
    )
    ended = up("svccfg -f /var/tmp/script")
    assert (ended.exit_code, ended.stderr) == (1, 'svccfg: No such property group "nosuch".\n')
    assert ended.stdout.split() == ["app/a", "astring", "x", "app", "application", "general", "framework"]
    up.out("svccfg -s cron delpg app")
    assert up.out("svccfg -s cron listpg").split() == ["general", "framework"]
    assert up("svccfg -f /nosuch").stderr == "svccfg: Could not open /nosuch: No such file or directory.\n"
    assert "system/cron\n" in up.out("svccfg list")


def test_all_zones_are_administered_at_once(up: Hand) -> None:
    up.out("svcadm -Z disable cron")
    assert up.out("svcs -Z -H -o state cron").split() == ["disabled", "disabled"]
    assert up("svcadm -Z -S disabled enable").exit_code == 0
    up.world.advance(1)
    assert up.out("svcs -Z -H -o state cron").split() == ["online", "online"]


def test_degraded_and_restart(up: Hand) -> None:
    assert (
        up.out("svcadm -v -z z mark degraded cron") == "Action degraded set for svc:/system/cron:default.\n"
    )
    assert up.state("z", "cron") == "degraded"
    assert "Reason: Degraded by an administrator.\n" in up.out("svcs -z z -x")
    assert up.out("svcadm -v -z z clear cron") == "Action restore set for svc:/system/cron:default.\n"
    assert up.state("z", "cron") == "online"
    before = up.out("svcs -z z -H -o stime multi-user")
    up.world.advance(7200)
    up.out("svcadm -z z restart multi-user")
    up.world.advance(1)
    assert up.state("z", MULTI) == "online"
    assert up.out("svcs -z z -H -o stime multi-user") != before == up.out("svcs -z z -H -o stime sysconfig")
    up.out("svcadm -z z refresh cron")
    assert up.refused("svcadm -z z restart -d cron") == "lab: svcadm restart -d is not emulated\n"


def test_svccfg_needs_privilege_to_change(hand: Hand) -> None:
    assert (
        hand.refused("svccfg -s cron setprop general/enabled = boolean: false", user="jim")
        == "svccfg: Permission denied.\n"
    )
    hand.out("svccfg -s cron setprop general/enabled = boolean: false")
    assert hand.out("svcs -H -o state cron").strip() == "disabled"


def test_a_repository_that_a_build_broke_is_not_the_end(up: Hand) -> None:
    up.world.path("/zones/z/root/etc/svc/repository.db").write_text("{not json")
    assert up.out(f"svcs -z z -H -o state {SERVER}").strip() in ("online", "offline", "offline*")


def test_svcs_for_a_zone_that_cannot_be_asked_prints_no_table(hand: Hand) -> None:
    hand.installed("down")
    text = "svcs: Could not bind to repository server for zone down: repository server unavailable\n"
    assert hand.refused("svcs -z down") == text
