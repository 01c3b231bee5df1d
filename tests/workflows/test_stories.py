"""Stories of golden images and disposable zones, told by what the host looks like afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, same
from zonemgr import records
from zonemgr.errors import CommandError, ZonemgrError
from zonemgr.workflows import disposable, execute, golden, life, snaps, survey, teardown
from zonemgr.workflows.disposable import DisposableRequest

ROOT = f"rpool/zones/giz/{GOLDEN}/ROOT/zbe"


def state(lab: Lab, zone: str) -> str | None:
    rows = [line.split(":") for line in lab.run("zoneadm", "list", "-cp").splitlines()]
    return next((row[2] for row in rows if row[1] == zone), None)


def prop(lab: Lab, name: str, dataset: str) -> str:
    return lab.run("zfs", "get", "-H", "-p", "-o", "value", name, dataset).strip()


def make(lab: Lab, **words: str) -> disposable.Disposable:
    return disposable.create(lab.site(), DisposableRequest(**{"origin": GOLDEN, "zone": "build-1", **words}))


def execute_in_new(lab: Lab, text: str, **words: object) -> execute.Outcome:
    command = execute.Command(text, **words)  # type: ignore[arg-type]
    return execute.in_new_zone(
        lab.site(), DisposableRequest(GOLDEN, zone="build-1"), command, lambda zone: None
    )


# -- golden images -----------------------------------------------------------------------------------------------


def test_a_golden_image_is_tuned_marked_snapshot_and_served(each_lab: Lab) -> None:
    lab = each_lab
    assert state(lab, GOLDEN) == "installed"
    assert prop(lab, "compression", "rpool/zones/giz") == "gzip-9"
    for name in ("atime", "dedup"):
        assert prop(lab, name, "rpool/zones/giz") == "off"
    assert prop(lab, "com.sun:auto-snapshot", ROOT) == "false"
    assert prop(lab, "zonemgr:kind", f"rpool/zones/giz/{GOLDEN}") == "giz"
    names = lab.run("zfs", "list", "-H", "-d", "1", "-t", "snapshot", "-o", "name", ROOT).split()
    assert [name.partition("@")[2] for name in names] == [
        f"initial-{what}-{GOLDEN}" for what in ("installed", "manifest_import_booted", "postinstalled")
    ]
    assert all(prop(lab, "userrefs", name) == "1" for name in names)
    assert prop(lab, "zonemgr:current", f"rpool/zones/giz/{GOLDEN}") == f"initial-postinstalled-{GOLDEN}"


def test_its_configuration_is_minimal_and_says_where_it_is_from(lab: Lab) -> None:
    text = lab.run("zonecfg", "-z", GOLDEN, "export")
    assert "set autoboot=false" in text
    assert "set ip-type=exclusive" in text
    assert "add net" not in text and "add fs" not in text
    assert 'set value="template:OInlipkg"' in text


def test_the_same_request_has_the_same_name(fresh: Lab) -> None:
    one = golden.create(fresh.site(), golden.GoldenRequest(brand="ipkg"))
    assert one.zone.startswith("giz-") and len(one.zone) == 16
    before = fresh.everything()
    assert golden.create(fresh.site(), golden.GoldenRequest(brand="ipkg", autoname=True)) == one
    same(before, fresh.everything())
    with pytest.raises(ZonemgrError, match=f"zone {one.zone} exists already"):
        golden.create(fresh.site(), golden.GoldenRequest(zone=one.zone, brand="ipkg"))


def test_packages_are_in_the_image(each_lab: Lab) -> None:
    golden.create(each_lab.site(), golden.GoldenRequest(zone="more", packages=("developer/build/gnu-make",)))
    listed = each_lab.run("pkg", "-R", "/zones/giz/more/root", "list", "-H")
    assert "developer/build/gnu-make" in listed


def test_an_unknown_package_leaves_nothing(fresh: Lab) -> None:
    before = fresh.everything()
    with pytest.raises(CommandError):
        golden.create(fresh.site(), golden.GoldenRequest(zone="x", packages=("no/such/package",)))
    same(before, fresh.everything())


def test_a_golden_image_that_is_missing_is_made_first(fresh: Lab) -> None:
    disposable.create(fresh.site(), DisposableRequest("tools", zone="build-1"))
    assert state(fresh, "tools") == "installed"
    assert state(fresh, "build-1") == "running"


def test_who_names_no_image_and_no_needs_gets_the_default_one(each_lab: Lab) -> None:
    made = disposable.create(each_lab.site(), DisposableRequest(zone="build-1"))
    assert made.origin.partition("@")[0] == GOLDEN  # made with nothing asked for
    assert len(survey.managed_zones(each_lab.door())) == 2


# -- disposable zones --------------------------------------------------------------------------------------------


def test_a_disposable_zone_is_its_own(each_lab: Lab) -> None:
    make(each_lab)
    assert state(each_lab, "build-1") == "running"
    assert each_lab.in_zone("build-1", "/etc/nodename").read_text() == "build-1\n"
    assert "build-1" in each_lab.in_zone("build-1", "/etc/inet/hosts").read_text()
    assert (
        prop(each_lab, "origin", "rpool/zones/diz/build-1/ROOT/zbe")
        == f"{ROOT}@initial-postinstalled-{GOLDEN}"
    )
    assert prop(each_lab, "compression", "rpool/zones/diz/build-1/ROOT/zbe") == "zle"
    assert "root:NP:" in each_lab.in_zone("build-1", "/etc/shadow").read_text()


def test_the_served_snapshot_outlives_its_last_clone(each_lab: Lab) -> None:
    """The brand's uninstall destroys the origin of the last clone, given with -s or not, unless it is held."""
    make(each_lab)
    teardown.destroy(each_lab.site(), "build-1")
    assert prop(each_lab, "userrefs", f"{ROOT}@initial-postinstalled-{GOLDEN}") == "1"
    make(each_lab)


def test_a_snapshot_somebody_let_go_is_held_again(lab: Lab) -> None:
    served = f"{ROOT}@initial-postinstalled-{GOLDEN}"
    lab.run("zfs", "release", "zonemgr", served)
    make(lab)
    assert prop(lab, "userrefs", served) == "1"


def test_it_is_cloned_from_the_snapshot_asked_for(lab: Lab) -> None:
    make(lab, snapshot=f"initial-installed-{GOLDEN}")
    assert prop(lab, "origin", "rpool/zones/diz/build-1/ROOT/zbe").endswith(f"@initial-installed-{GOLDEN}")


def test_mounts_links_datasets_and_accounts(lab: Lab) -> None:
    (lab.world.host / "export/src/file").write_text("here\n")
    make(lab, lofs="/work|/export/src", over="net0|81 net0", datasets="rpool/export/scratch",
         users="builder", groups="adm", elevated="builder")  # fmt: skip
    found = execute.in_zone(
        lab.site(), "build-1", execute.Command("cat /work/file > /root/seen", discard="off")
    )
    assert found.exit_code == 0
    assert lab.in_zone("build-1", "/root/seen").read_text() == "here\n"
    vnics = [
        line.split(":") for line in lab.run("dladm", "show-vnic", "-p", "-o", "link,over,vid").splitlines()
    ]
    assert [(over, vid) for _, over, vid in vnics] == [("net0", "81"), ("net0", "0")]
    assert prop(lab, "zoned", "rpool/export/scratch") == "on"
    etc = lab.in_zone("build-1", "/etc")
    assert (
        len([line for line in (etc / "passwd").read_text().splitlines() if line.startswith("builder:")]) == 1
    )
    assert "builder::::type=normal;profiles=Primary Administrator" in (etc / "user_attr").read_text()
    assert any(line.startswith("adm:") for line in (etc / "group").read_text().splitlines())
    host_shadow = (lab.world.host / "etc/shadow").read_text().splitlines()
    wanted = next(line for line in host_shadow if line.startswith("builder:")).split(":")[1]
    assert wanted in (etc / "shadow").read_text()


def test_what_was_made_for_a_zone_goes_with_it_and_nothing_else(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/export/mine", "rpool/export/mine")
    lab.run("dladm", "create-vnic", "-t", "-l", "net0", "mine0")
    (lab.world.host / "export/src/precious").write_text("mine\n")
    before = lab.everything()
    make(lab, lofs="/work|/export/src", over="net0", vnics="mine0", datasets="rpool/export/scratch")
    teardown.destroy(lab.site(), "build-1")
    lab.run("zfs", "destroy", "rpool/zones/diz")  # the home of disposable zones stays when they go
    same(before, lab.everything())


def test_a_delegated_dataset_that_was_there_stays(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=none", "rpool/export/mine")
    make(lab, datasets="rpool/export/mine")
    teardown.destroy(lab.site(), "build-1")
    assert prop(lab, "type", "rpool/export/mine") == "filesystem"


def test_a_host_reboot_takes_the_vnics_and_boot_brings_them_back(lab: Lab) -> None:
    make(lab, over="net0")
    life.halt(lab.site(), "build-1")
    vnic = lab.run("dladm", "show-vnic", "-p", "-o", "link").strip()
    lab.run("dladm", "delete-vnic", vnic)
    life.start(lab.site(), "build-1")
    assert lab.run("dladm", "show-vnic", "-p", "-o", "link").strip() == vnic


# -- running things ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "status", "verdict"), [("true", 0, "ok"), ("exit 3", 3, "failed"),
                                                         ("kill -9 $$", 137, "failed")])  # fmt: skip
@pytest.mark.parametrize(
    ("discard", "kept_on"),
    [("always", ()), ("off", ("ok", "failed")), ("onsuccess", ("failed",)), ("onfail", ("ok",))],
)
def test_exit_status_and_discard(
    lab: Lab, text: str, status: int, verdict: str, discard: str, kept_on: Sequence[str]
) -> None:
    before = lab.everything()
    outcome = execute_in_new(lab, text, discard=discard)
    assert (outcome.exit_code, outcome.verdict) == (status, verdict)
    assert outcome.kept == (verdict in kept_on)
    assert state(lab, "build-1") == ("running" if outcome.kept else None)
    if not outcome.kept:
        lab.run("zfs", "destroy", "rpool/zones/diz")
        same(before, lab.everything())


def test_a_build_that_takes_too_long_is_ended(lab: Lab) -> None:
    outcome = execute_in_new(lab, "sleep 1000", timeout=0.5)
    assert (outcome.exit_code, outcome.verdict) == (124, "timeout")
    assert state(lab, "build-1") is None


def test_a_lost_zlogin_is_the_environments_failure_never_success(lab: Lab) -> None:
    lab.inside.fault("fail:zlogin -S build-1 *trap*,exit=0")
    outcome = execute_in_new(lab, "true")
    assert (outcome.exit_code, outcome.verdict) == (125, "environment")


def test_the_output_is_kept_apart_in_the_record(lab: Lab, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    outcome = execute_in_new(lab, "echo out; echo err >&2; printf '\\377'")
    seen = capfdbinary.readouterr()
    assert seen.out == b"out\n\xff"
    assert seen.err == b"err\n"
    record = records.read_run(lab.config, outcome.run)
    assert (record.directory / "stdout.log").read_bytes() == b"out\n\xff"
    assert (record.directory / "stderr.log").read_bytes() == b"err\n"
    assert record.verdict == "ok"
    assert "zoneadm -z build-1 clone" in (record.directory / "host.log").read_text()


def test_running_in_a_zone_that_was_halted_leaves_it_halted(lab: Lab) -> None:
    make(lab)
    life.halt(lab.site(), "build-1")
    execute.in_zone(lab.site(), "build-1", execute.Command("touch /root/was-here", discard="off"))
    assert state(lab, "build-1") == "installed"
    assert lab.in_zone("build-1", "/root/was-here").exists()


@pytest.mark.parametrize(
    ("discard", "text", "there"),
    [
        ("always", "true", False),
        ("onfail", "false", False),
        ("onfail", "true", True),
        ("onsuccess", "true", False),
    ],
)
def test_exec_with_a_way_back(lab: Lab, discard: str, text: str, there: bool) -> None:
    make(lab)
    execute.in_zone(lab.site(), "build-1", execute.Command(f"touch /root/mess; {text}", discard=discard))
    assert state(lab, "build-1") == "running"
    assert lab.in_zone("build-1", "/root/mess").exists() == there
    assert snaps.listing(lab.site().host, "build-1") == []


# -- secrets, dry runs -------------------------------------------------------------------------------------------


def test_hashes_never_leave_standard_input(lab: Lab) -> None:
    secret = "$6$NeverSeen$hash"
    shadow = lab.world.host / "etc/shadow"
    shadow.write_text("\n".join(f"builder:{secret}:::::::" if line.startswith("builder:") else line
                                for line in shadow.read_text().splitlines()) + "\n")  # fmt: skip
    make(lab, users="builder")
    assert secret in lab.in_zone("build-1", "/etc/shadow").read_text()
    assert not any(secret in word for argv in lab.commands() for word in argv)
    assert not any(secret in str(line) for line in lab.lines)
    for path in Path(lab.config.state.directory).rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()


def test_a_dry_run_changes_nothing_and_tells_all(lab: Lab) -> None:
    before = lab.everything()
    told: list[str] = []
    site = lab.site()
    site.host = lab.door(dry_run=True, report=told.append)
    disposable.create(site, DisposableRequest(GOLDEN, zone="build-1", over="net0", users="builder"))
    same(before, lab.everything())
    text = "\n".join(told)
    for wanted in (
        "zfs create",
        "zonecfg -z build-1 -f",
        "dladm create-vnic",
        "zoneadm -z build-1 clone -X -s",
        "zlogin -S",
    ):
        assert wanted in text
    assert "$6$" not in text


def test_a_dry_run_of_destroy_tells_all_too(lab: Lab) -> None:
    make(lab)
    before = lab.everything()
    told: list[str] = []
    site = lab.site()
    site.host = lab.door(dry_run=True, report=told.append)
    teardown.destroy(site, "build-1")
    same(before, lab.everything())
    text = "\n".join(told)
    assert text.index("halt") < text.index("uninstall -F") < text.index("delete -F")


def test_a_hanging_halt_is_given_up(lab: Lab) -> None:
    """Halts have a limit of their own, wherever they come from; the next command finishes the job."""
    make(lab)
    lab.inside.fault("hang:zoneadm -z build-1 halt,times=2")
    with pytest.raises(CommandError, match="no answer within 120 seconds"):
        teardown.destroy(lab.site(), "build-1")
    assert state(lab, "build-1") == "running"
    teardown.destroy(lab.site(), "build-1")
    assert state(lab, "build-1") is None


def test_a_command_like_an_option_is_a_command(lab: Lab) -> None:
    make(lab)
    outcome = execute.in_zone(lab.site(), "build-1", execute.Command("-x", discard="off"))
    assert outcome.exit_code == 127


# -- snapshots ---------------------------------------------------------------------------------------------------


def test_snapshot_and_rollback(each_lab: Lab) -> None:
    lab = each_lab
    make(lab)
    snaps.snapshot(lab.site(), "build-1", "clean")
    assert state(lab, "build-1") == "running"
    lab.in_zone("build-1", "/etc/motd").write_text("spoilt\n")
    snaps.snapshot(lab.site(), "build-1", "spoilt")
    snaps.rollback(lab.site(), "build-1", "clean")
    assert state(lab, "build-1") == "running"
    motd = lab.in_zone("build-1", "/etc/motd")
    assert not motd.exists() or motd.read_text() != "spoilt\n"
    assert [str(row.snapshot.name) for row in snaps.listing(lab.site().host, "build-1")] == ["clean"]


def test_a_golden_image_rolled_back_serves_what_it_was_rolled_back_to(lab: Lab) -> None:
    snaps.rollback(lab.site(), GOLDEN, f"initial-installed-{GOLDEN}")
    assert prop(lab, "zonemgr:current", f"rpool/zones/giz/{GOLDEN}") == f"initial-installed-{GOLDEN}"
    make(lab)


def test_clones_of_newer_snapshots_forbid_a_rollback(lab: Lab) -> None:
    make(lab)
    before = lab.everything()
    with pytest.raises(ZonemgrError, match="is newer and has clones"):
        snaps.rollback(lab.site(), GOLDEN, f"initial-installed-{GOLDEN}")
    same(before, lab.everything())


# -- lists -------------------------------------------------------------------------------------------------------


def test_a_list_costs_two_commands(lab: Lab) -> None:
    for name in ("a", "b", "c"):
        make(lab, zone=name)
    already = len(lab.commands())
    names = [one.name for one in survey.managed_zones(lab.site().host)]
    assert sorted(names) == ["a", "b", "c", GOLDEN]
    assert len(lab.commands()) - already == 2


# -- the network -------------------------------------------------------------------------------------------------


def test_a_vnic_made_for_the_zone_has_an_address(each_lab: Lab) -> None:
    """Ours are temporary, and ipadm refuses to keep anything for those: `-t` it is, and the old files for reboots."""
    zone = make(each_lab, over="net0")
    vnic = zone.furniture.auto_vnics[0].name
    seen = execute.Command("ipadm show-addr -p -o addrobj,type,state > /root/seen", discard="off")
    assert execute.in_zone(each_lab.site(), "build-1", seen).exit_code == 0
    assert f"{vnic}/?:dhcp:ok" in each_lab.in_zone("build-1", "/root/seen").read_text()
    assert each_lab.in_zone("build-1", f"/etc/dhcp.{vnic}").exists()


@pytest.mark.parametrize("lasting", [True, False])
def test_a_vnic_handed_to_the_zone_has_an_address(each_lab: Lab, lasting: bool) -> None:
    each_lab.run("dladm", "create-vnic", *([] if lasting else ["-t"]), "-l", "net0", "mine0")
    make(each_lab, vnics="mine0")
    seen = execute.Command("ipadm show-addr -p -o addrobj,type,state > /root/seen", discard="off")
    assert execute.in_zone(each_lab.site(), "build-1", seen).exit_code == 0
    assert "mine0/?:dhcp:ok" in each_lab.in_zone("build-1", "/root/seen").read_text()
