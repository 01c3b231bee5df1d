"""zoneadm beyond its state table: listing, verification, what goes into a zone at boot and comes back at halt."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.zonehost import ZoneHost
from zonemgr.lab import zoneadm, zonestore
from zonemgr.lab.call import TimeLimit
from zonemgr.lab.world import World


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ZoneHost]:
    made = ZoneHost.fresh(tmp_path / "lab")
    yield made
    made.world.close()


@pytest.fixture
def omnios(tmp_path: Path) -> Iterator[ZoneHost]:
    made = ZoneHost.fresh(tmp_path / "lab", "omnios")
    yield made
    made.world.close()


# -- calling it --------------------------------------------------------------------------------------------


def test_an_unknown_zone_is_refused_before_anything_else(host: ZoneHost) -> None:
    for rest in (("list",), ("boot",), ("nonsense",), ("help",)):
        ended = host.run("zoneadm", "-z", "nosuch", *rest)
        assert (ended.exit_code, ended.stdout) == (1, "")
        assert ended.stderr == "zoneadm: nosuch: No such zone configured\n"


@pytest.mark.parametrize("argv", [(), ("nonsense",), ("-z", "x", "nonsense")])
def test_usage_goes_to_stderr_with_exit_2(host: ZoneHost, argv: tuple[str, ...]) -> None:
    host.configure("x")
    ended = host.run("zoneadm", *argv)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage:\tzoneadm help\n")
    assert "\nuninstall [-F] [brand-specific args]\n" in ended.stderr
    assert "unmount" not in ended.stderr  # private


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (("-z", "x", "-R", "tmp", "list"), 1, "zoneadm: zone 'x': root path must be absolute.\n"),
        (("-R", "/nosuch", "-z", "x", "list"), 1, "zoneadm: root path must be a directory.\n"),
        (("-u", "junk", "list"), 1, "zoneadm: illegal UUID value specified\n"),
        (("-z", "x", "-u", "junk", "list"), 1, "zoneadm: zone 'x': illegal UUID value specified\n"),
        (("-z", "global", "apply"), 0, ""),
        (("-z", "global", "install"), 1, "zoneadm: zone 'global': missing or invalid brand\n"),
    ],
)
def test_what_is_looked_at_before_any_zone(
    host: ZoneHost, argv: tuple[str, ...], status: int, said: str
) -> None:
    host.configure("x")
    ended = host.run("zoneadm", *argv)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (status, "", said)


@pytest.mark.parametrize(("typed", "asked", "then"), [(" \ny\n", 2, "configured"), ("\x04", 1, "installed")])
def test_only_an_empty_line_is_no_answer(host: ZoneHost, typed: str, asked: int, then: str) -> None:
    host.install("x")
    ended = host.on_terminal("zoneadm", "-z", "x", "uninstall", typed=typed)
    assert ended.stdout.count("Are you sure you want to uninstall zone x (y/[n])? ") == asked
    assert (ended.exit_code, host.state("x")) == (0, then)


def test_help_is_an_answer_not_a_complaint(host: ZoneHost) -> None:
    ended = host.run("zoneadm", "help")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert "clone [-m method] [-s <ZFS snapshot>] [brand-specific args] zonename\n" in ended.stdout
    assert host.run("zoneadm", "help", "boot").stderr.startswith("usage:\tboot [-- boot_arguments]\n")
    assert host.run("zoneadm", "help", "mount").exit_code == 2


@pytest.mark.parametrize(
    ("argv", "first"),
    [
        (("halt", "-x"), "-x: illegal option -- x"),
        (("list", "-i"), "-i: illegal option -- i"),
        (("list", "extra"), "usage:\tlist [-cinpv]"),
        (("clone",), "usage:\tclone [-m method] [-s <ZFS snapshot>] [brand-specific args] zonename"),
        (("move",), "usage:\tmove zonepath"),
    ],
)
def test_wrong_arguments_get_the_usage_of_the_subcommand(
    host: ZoneHost, argv: tuple[str, ...], first: str
) -> None:
    host.install("x")
    ended = host.run("zoneadm", "-z", "x", *argv)
    assert (ended.exit_code, ended.stdout, ended.stderr.splitlines()[0]) == (2, "", first)


def test_what_only_root_may_do(host: ZoneHost) -> None:
    host.install("x")
    for command in ("boot", "halt", "install", "uninstall", "mark incomplete"):
        ended = host.run("zoneadm", "-z", "x", *command.split(), user="builder")
        verb = command.split()[0]
        assert ended.stderr == f"zoneadm: zone 'x': only a privileged user may {verb} a zone.\n"
        assert ended.exit_code == 1
    assert host.run("zoneadm", "list", "-cp", user="builder").exit_code == 0


def test_the_global_zone_is_out_of_reach(host: ZoneHost) -> None:
    ended = host.run("zoneadm", "-z", "global", "halt")
    assert ended.stderr == "zoneadm: zone 'global': halt operation is invalid for the global zone.\n"
    assert host.must("zoneadm", "-z", "global", "list", "-p") == "0:global:running:/::ipkg:shared\n"


def test_a_zone_can_be_named_by_uuid_and_by_id(host: ZoneHost) -> None:
    host.install("x")
    entry = zonestore.entry(host.world, "x")
    assert entry
    assert host.must("zoneadm", "-u", entry.uuid, "list") == "x\n"
    host.must("zoneadm", "-z", "x", "boot")
    number = host.must("zoneadm", "list", "-p").splitlines()[1].split(":")[0]
    assert host.must("zoneadm", "-z", number, "list") == "x\n"
    ended = host.run("zoneadm", "-u", "no-uuid", "list")
    assert (ended.exit_code, ended.stderr) == (1, "zoneadm: illegal UUID value specified\n")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("installed", 2),
        ("nonsense", 2),
        ("", 2),
        ("-F installed", 0),
        ("-F configured", 0),
        ("incomplete", 0),
    ],
)
def test_mark_takes_two_of_its_words_by_force_only(host: ZoneHost, words: str, status: int) -> None:
    host.configure("x")
    ended = host.run("zoneadm", "-z", "x", "mark", *words.split())
    assert (ended.exit_code, ended.stderr) == (status, "")
    assert host.state("x") == ("configured" if status else words.split()[-1])


# -- list --------------------------------------------------------------------------------------------------


def test_the_table_pads_and_never_cuts(host: ZoneHost) -> None:
    host.configure("x", "set ip-type=exclusive")
    long = "a-zone-with-a-rather-long-name"
    host.configure(long, "set ip-type=shared")
    assert host.must("zoneadm", "list", "-cv") == (
        "  ID NAME             STATUS     PATH                           BRAND    IP    \n"
        "   0 global           running    /                              ipkg     shared\n"
        "   - x                configured /zones/x                       ipkg     excl  \n"
        f"   - {long} configured /zones/{long} ipkg     shared\n"
    )


def test_fields_of_the_parsable_form(host: ZoneHost, tmp_path: Path) -> None:
    host.must("zonecfg", "-z", "x", "create -b; set zonepath=/zones/a:b; set ip-type=exclusive")
    assert host.must("zoneadm", "list", "-cp").splitlines()[1] == "-:x:configured:/zones/a\\:b::ipkg:excl"
    other = ZoneHost.fresh(tmp_path / "other", "omnios")
    other.configure("x", "set ip-type=shared", brand="lipkg")
    assert other.must("zoneadm", "list", "-cp") == (
        "0:global:running:/::ipkg:shared:\n-:x:configured:/zones/x::lipkg:shared:\n"
    )


def test_p_and_v_exclude_each_other(host: ZoneHost) -> None:
    ended = host.run("zoneadm", "list", "-p", "-v")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == "zoneadm: list -p and -v are mutually exclusive.\n"


def test_active_zones_come_in_order_of_boot_with_ids_that_only_grow(host: ZoneHost) -> None:
    for zone in ("a", "b", "c"):
        host.install(zone)
    for zone in ("c", "a"):
        host.must("zoneadm", "-z", zone, "boot")
    assert host.must("zoneadm", "list", "-c").split() == ["global", "c", "a", "b"]
    first = _id(host, "c")
    host.must("zoneadm", "-z", "c", "reboot")
    assert host.must("zoneadm", "list").split() == ["global", "a", "c"]
    assert _id(host, "c") > first


def _id(host: ZoneHost, zone: str) -> int:
    return int(host.must("zoneadm", "-z", zone, "list", "-p").split(":")[0])


def test_a_uuid_lives_from_installation_to_uninstallation(host: ZoneHost) -> None:
    host.configure("x")
    assert _uuid(host) == ""
    host.must("zoneadm", "-z", "x", "mark", "incomplete")
    assert len(_uuid(host)) == 36
    host.must("zoneadm", "-z", "x", "uninstall", "-F")
    assert _uuid(host) == ""


def _uuid(host: ZoneHost) -> str:
    return host.must("zoneadm", "-z", "x", "list", "-p").split(":")[4]


# -- verify ------------------------------------------------------------------------------------------------


def verified(host: ZoneHost, zone: str = "x") -> str:
    """What verify complains of."""
    ended = host.run("zoneadm", "-z", zone, "verify")
    assert ended.exit_code == 1
    assert ended.stderr.endswith(f"zoneadm: zone {zone} failed to verify\n")
    return ended.stderr


def test_a_missing_lofs_source_stops_verify_and_boot(host: ZoneHost) -> None:
    host.install("x", "add fs; set dir=/work; set special=/export/work; set type=lofs; end")
    missing = "could not verify fs /work: could not access /export/work: No such file or directory\n"
    assert verified(host) == missing + "zoneadm: zone x failed to verify\n"
    assert host.run("zoneadm", "-z", "x", "boot").stderr.startswith(missing)
    assert host.state("x") == "installed"
    host.path("/export/work").mkdir()
    host.must("zoneadm", "-z", "x", "verify")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("nfs", "cannot verify fs /m: type nfs is not allowed.\n"),
        ("proc", "cannot verify fs /m: type proc is not allowed.\n"),
        (
            "nosuch",
            "could not verify fs /m: could not access /usr/lib/fs/nosuch/mount: No such file or directory\n",
        ),
        ("ufs", "could not verify fs /m: must specify 'raw' device for ufs file systems\n"),
    ],
)
def test_file_system_types_that_zones_cannot_have(host: ZoneHost, kind: str, text: str) -> None:
    host.install("x", f"add fs; set dir=/m; set special=/export; set type={kind}; end")
    assert verified(host).startswith(text)


def test_a_zfs_file_system_must_be_a_legacy_one(host: ZoneHost) -> None:
    host.install("x", "add fs; set dir=/m; set special=rpool/d; set type=zfs; end")
    assert "could not verify fs /m: could not access zfs dataset 'rpool/d'\n" in verified(host)
    host.must("zfs", "create", "rpool/d")
    assert "could not verify fs /m: zfs 'rpool/d' mountpoint is not \"legacy\"\n" in verified(host)
    host.must("zfs", "set", "mountpoint=legacy", "rpool/d")
    host.must("zoneadm", "-z", "x", "verify")


def test_a_delegated_dataset_must_be_there_with_a_mountpoint_of_its_own(host: ZoneHost) -> None:
    host.install("x", "add dataset; set name=rpool/zones/data; end")
    assert "could not verify zfs dataset rpool/zones/data: dataset does not exist\n" in verified(host)
    host.must("zfs", "create", "rpool/zones/data")
    inherited = "could not verify zfs dataset rpool/zones/data: mountpoint cannot be inherited\n"
    assert inherited in verified(host)
    host.must("zfs", "set", "mountpoint=/data", "rpool/zones/data")
    host.must("zoneadm", "-z", "x", "verify")


def test_a_zonepath_is_only_looked_at_by_verify_and_put_right_by_others(host: ZoneHost) -> None:
    host.install("x")
    host.path("/zones/x").chmod(0o755)
    assert "/zones/x must not be world readable.\n" in verified(host)
    ended = host.run("zoneadm", "-z", "x", "boot")
    assert "/zones/x: changing permissions to 0700.\n" in ended.stderr
    assert host.state("x") == "running"
    assert host.path("/zones/x").stat().st_mode & 0o777 == 0o700


def test_nobody_else_may_write_to_the_parent_of_a_zonepath(host: ZoneHost) -> None:
    host.install("x")
    host.path("/zones").chmod(0o777)
    complaint = "could not verify zonepath /zones/x because of the above errors.\n"
    assert f"/zones must not be world writable.\n{complaint}" in verified(host)
    assert host.run("zoneadm", "-z", "x", "boot").exit_code == 1


def test_a_zonepath_that_is_a_symbolic_link_is_refused(host: ZoneHost) -> None:
    host.install("x")
    host.must("zfs", "create", "rpool/zones/real")
    host.path("/zones/link").symlink_to("real")
    host.must("zonecfg", "-z", "y", "create -b; set zonepath=/zones/link; set brand=ipkg")
    assert "zoneadm: /zones/link: Resolved path mismatch\n" in verified(host, "y")


def test_zonepaths_may_not_overlap(host: ZoneHost) -> None:
    host.install("x")
    host.must("zonecfg", "-z", "y", "create -b; set zonepath=/zones/x/y; set brand=ipkg")
    host.path("/zones/x/y").mkdir(mode=0o700)
    assert "y zonepath (/zones/x/y) and x zonepath (/zones/x) overlap.\n" in verified(host, "y")


# -- links -------------------------------------------------------------------------------------------------


def linked(host: ZoneHost) -> str:
    rows = host.world.db.execute("select zone from links where name = 'vnic0'").fetchall()
    return "gone" if not rows else str(rows[0]["zone"])


VNIC = "add net; set physical=vnic0; end"


def test_a_missing_link_is_a_warning_to_verify_and_the_end_of_a_boot(host: ZoneHost) -> None:
    host.install("x", "set ip-type=exclusive", VNIC)
    warning = "WARNING: skipping network interface 'vnic0': object not found\n"
    ended = host.run("zoneadm", "-z", "x", "verify")
    assert (ended.exit_code, ended.stderr) == (0, warning)
    ended = host.run("zoneadm", "-z", "x", "boot")
    assert ended.exit_code == 1
    assert "zone 'x': failed to add network device: No such file or directory\n" in ended.stderr
    assert ended.stderr.endswith("zoneadm: zone 'x': call to zoneadmd failed\n")
    assert host.state("x") == "installed"


def test_a_link_is_the_zones_while_it_is_up(host: ZoneHost) -> None:
    host.must("dladm", "create-vnic", "-t", "-l", "net0", "vnic0")
    host.install("x", "set ip-type=exclusive", VNIC)
    host.install("y", "set ip-type=exclusive", VNIC)
    host.must("zoneadm", "-z", "x", "ready")
    assert linked(host) == "x"
    ended = host.run("zoneadm", "-z", "y", "boot")
    assert "which is used by the non-global zone 'x'." in ended.stderr
    assert (ended.exit_code, host.state("y"), linked(host)) == (1, "installed", "x")
    host.must("zoneadm", "-z", "x", "boot")
    host.must("zoneadm", "-z", "x", "halt")
    assert linked(host) == ""
    host.must("zoneadm", "-z", "y", "boot")


def test_omnios_makes_vnics_on_demand_and_takes_them_away(omnios: ZoneHost) -> None:
    net = "add net; set physical=vnic0; set global-nic=net0; end"
    omnios.install("x", "set ip-type=exclusive", net, brand="lipkg")
    omnios.must("zoneadm", "-z", "x", "boot")
    assert linked(omnios) == "x"
    assert zonestore.load(omnios.world, "x").net[0].mac_addr  # so that it keeps its address
    omnios.must("zoneadm", "-z", "x", "halt")
    assert linked(omnios) == "gone"


# -- file systems and datasets -----------------------------------------------------------------------------


def test_a_mount_point_is_made_in_the_zone(host: ZoneHost) -> None:
    host.path("/export/work").mkdir()
    host.install("x", "add fs; set dir=/a/b/work; set special=/export/work; set type=lofs; end")
    host.must("zoneadm", "-z", "x", "ready")
    made = host.path("/zones/x/root/a/b/work")
    assert made.is_dir()
    assert made.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("planted", ["work", "a"])
def test_a_symbolic_link_planted_on_the_way_to_a_mount_point_is_refused(host: ZoneHost, planted: str) -> None:
    host.path("/export/work").mkdir()
    where = "/work" if planted == "work" else "/a/work"
    host.install("x", f"add fs; set dir={where}; set special=/export/work; set type=lofs; end")
    (host.path("/zones/x/root") / planted).symlink_to("/etc")
    ended = host.run("zoneadm", "-z", "x", "boot")
    assert ended.stderr == (
        f"zone 'x': /zones/x/root/{planted} is a symlink\n"
        f"zone 'x': /zones/x/root{where} is not a valid mount point\n"
        "zoneadm: zone 'x': call to zoneadmd failed\n"
    )
    assert (ended.exit_code, host.state("x")) == (1, "installed")
    assert not os.path.lexists("/etc/work")


def test_a_delegated_dataset_becomes_zoned_and_stays_it(host: ZoneHost) -> None:
    host.must("zfs", "create", "-o", "mountpoint=/data", "rpool/data")
    host.install("x", "add dataset; set name=rpool/data; end")
    host.must("zoneadm", "-z", "x", "boot")
    host.must("zoneadm", "-z", "x", "halt")
    assert host.get("rpool/data", "zoned") == "on"


def test_a_dataset_is_in_one_active_zone_only(host: ZoneHost) -> None:
    host.must("zfs", "create", "-o", "mountpoint=/data", "rpool/data")
    for zone in ("x", "y"):
        host.install(zone, "add dataset; set name=rpool/data; end")
    host.must("zoneadm", "-z", "x", "boot")
    ended = host.run("zoneadm", "-z", "y", "boot")
    assert "ZFS dataset 'rpool/data' is in use by zone 'x'" in ended.stderr
    assert (ended.exit_code, host.state("y")) == (1, "installed")


# -- boot and what follows ---------------------------------------------------------------------------------


def row(host: ZoneHost, zone: str = "x") -> dict[str, object]:
    found = host.world.db.execute("select * from kernel_zones where name = ?", (zone,)).fetchone()
    return dict(found) if found else {}


def test_boot_arguments_replace_those_of_the_configuration(host: ZoneHost) -> None:
    host.install("x", 'set bootargs="-m verbose"')
    host.must("zoneadm", "-z", "x", "boot")
    assert row(host)["boot_args"].split() == ["-m", "verbose"]
    host.must("zoneadm", "-z", "x", "reboot", "--", "-s")
    assert row(host)["boot_args"].split() == ["-s"]
    host.must("zoneadm", "-z", "x", "halt")
    host.must("zoneadm", "-z", "x", "boot", "-s")
    assert row(host)["boot_args"].split() == ["-s"]


BOOT_ARGUMENTS = [  # given, what the gate's zone gets, what is said; what OmniOS' gets
    (["-s", "-x"], "-s -x", "", "-s -x"),
    (["-v", "-m", "verbose"], "-v -m verbose", "", "-v -m verbose"),
    (["word"], "", "", "word"),
    (["kernel/unix", "-s"], "-s", "", "-s"),
    (["-s", "-x", "gub"], "-s -x", " -x gub", "-s -x gub"),
    (["-s", "gub", "-m", "verbose"], "-s", "gub -m verbose", "-s gub -m verbose"),
    (["--debug", "-s"], "-- -s", "", "--debug -s"),
    (["-s-m"], "-s -- -m", "", "-s -s-m -s-m"),
]


@pytest.mark.parametrize(("given", "passed", "said", "omnios_passed"), BOOT_ARGUMENTS)
def test_which_boot_arguments_reach_the_zone(
    host: ZoneHost, given: list[str], passed: str, said: str, omnios_passed: str
) -> None:
    host.install("x")
    ended = host.run("zoneadm", "-z", "x", "boot", "--", *given)
    warning = f"zone 'x': WARNING: Unused or invalid boot arguments `{said}'.\n" if said else ""
    assert (ended.exit_code, ended.stderr, host.state("x")) == (0, warning, "running")
    assert row(host)["boot_args"].split() == passed.split()


@pytest.mark.parametrize(("given", "passed", "said", "omnios_passed"), BOOT_ARGUMENTS)
def test_omnios_hands_all_boot_arguments_on(
    omnios: ZoneHost, given: list[str], passed: str, said: str, omnios_passed: str
) -> None:
    omnios.install("x")
    ended = omnios.run("zoneadm", "-z", "x", "boot", "--", *given)
    assert (ended.exit_code, ended.stderr, row(omnios)["boot_args"]) == (0, "", omnios_passed)


def test_the_s_of_boot_is_not_parted_from_what_follows(host: ZoneHost) -> None:
    host.install("x")
    host.must("zoneadm", "-z", "x", "boot", "-s", "--", "-m", "verbose")
    assert row(host)["boot_args"].split() == ["-s", "--", "-m", "verbose"]


def test_a_zone_without_init_cannot_boot(host: ZoneHost) -> None:
    host.install("x")
    host.path("/zones/x/root/sbin/init").unlink()
    ended = host.run("zoneadm", "-z", "x", "boot")
    assert "zone 'x': could not stat /zones/x/root/sbin/init: No such file or directory\n" in ended.stderr
    assert (ended.exit_code, host.state("x")) == (1, "installed")
    assert "/zones/x/root" in host.mounted()


def test_a_zone_boots_from_the_environment_that_was_activated_meanwhile(host: ZoneHost) -> None:
    host.install("x")
    top, active, parent = (
        "rpool/zones/x/ROOT",
        "org.opensolaris.libbe:active",
        "org.opensolaris.libbe:parentbe",
    )
    gzbe = host.get(f"{top}/zbe", parent)
    host.must("zfs", "snapshot", f"{top}/zbe@up")
    host.must(
        "zfs", "clone", "-o", "canmount=noauto", "-o", f"{parent}={gzbe}", f"{top}/zbe@up", f"{top}/zbe-1"
    )
    host.must("zoneadm", "-z", "x", "boot")
    host.must("zfs", "set", f"{active}=off", f"{top}/zbe")
    host.must("zfs", "set", f"{active}=on", f"{top}/zbe-1")
    assert host.mounted()["/zones/x/root"] == f"{top}/zbe"
    host.must("zoneadm", "-z", "x", "reboot")
    assert host.mounted()["/zones/x/root"] == f"{top}/zbe-1"


def test_a_zone_of_another_global_boot_environment_has_no_active_dataset(host: ZoneHost) -> None:
    host.install("x")
    host.must("zfs", "set", "org.opensolaris.libbe:parentbe=another", "rpool/zones/x/ROOT/zbe")
    ended = host.run("zoneadm", "-z", "x", "boot")
    assert "zone 'x': ERROR: no active dataset.\n" in ended.stderr
    assert (ended.exit_code, host.state("x")) == (1, "installed")


@pytest.mark.parametrize("stuck", ["shutting_down", "down"])
def test_a_halt_that_gets_stuck_can_be_repeated(host: ZoneHost, stuck: str) -> None:
    host.install("x")
    host.must("zoneadm", "-z", "x", "boot")
    host.world.put("fault.halt.x", stuck)
    for _ in range(2):
        ended = host.run("zoneadm", "-z", "x", "halt")
        assert ended.stderr.endswith("zone 'x': unable to destroy zone\n")
        assert (ended.exit_code, host.state("x")) == (1, stuck)
    host.world.put("fault.halt.x", "")
    host.must("zoneadm", "-z", "x", "halt")
    assert host.state("x") == "installed"


def test_a_shutdown_that_hangs_gives_up_after_the_stop_timeout(host: ZoneHost) -> None:
    host.install("x")
    host.must("zoneadm", "-z", "x", "boot")
    host.world.put("fault.shutdown", "hang")
    before = host.world.now()
    ended = host.run("zoneadm", "-z", "x", "shutdown")
    assert (ended.exit_code, ended.stderr) == (1, "zone 'x': unable to shutdown zone\n")
    assert host.world.now() - before >= 100
    assert host.state("x") == "running"
    with pytest.raises(TimeLimit):
        host.inside.run(("zoneadm", "-z", "x", "shutdown"), limit=5)


def test_shutdown_can_boot_again(host: ZoneHost) -> None:
    host.install("x")
    host.must("zoneadm", "-z", "x", "boot")
    before = _id(host, "x")
    host.must("zoneadm", "-z", "x", "shutdown", "-r", "--", "-s")
    assert (host.state("x"), row(host)["boot_args"].strip()) == ("running", "-s")
    assert _id(host, "x") > before


def test_a_failed_start_of_init_leaves_the_zone_installed(host: ZoneHost) -> None:
    host.install("x")
    host.world.put("fault.boot", "unable to boot zone: Not enough space")
    ended = host.run("zoneadm", "-z", "x", "boot")
    assert "zone 'x': unable to boot zone: Not enough space\n" in ended.stderr
    assert (ended.exit_code, host.state("x")) == (1, "installed")


def test_a_clone_of_the_root_of_an_active_zone_cannot_be_active_too(host: ZoneHost) -> None:
    host.install("x")
    host.must("zoneadm", "-z", "x", "mount")
    assert host.path("/zones/x/lu").is_dir()
    assert row(host)["root"] == "/zones/x/lu"
    ended = host.run("zoneadm", "-z", "x", "boot")
    assert ended.stderr.startswith("zone 'x': boot operation is invalid for zones in state 'mounted'\n")


def test_a_zone_whose_first_process_died_is_forgotten(host: ZoneHost) -> None:
    host.must("dladm", "create-vnic", "-t", "-l", "net0", "vnic0")
    host.install("x", "set ip-type=exclusive", VNIC)
    host.must("zoneadm", "-z", "x", "boot")
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    host.world.db.execute("update kernel_zones set init_pid = ?, init_start = 1 where name = 'x'", (child,))
    assert host.state("x") == "installed"
    assert linked(host) == ""


def test_sysding_reboots_a_zone_once_when_it_set_a_time_zone(host: ZoneHost) -> None:
    host.install("x")
    host.path("/zones/x/root/etc/sysding.conf").write_text("setup_timezone Europe/Prague\n")
    host.must("zoneadm", "-z", "x", "boot")
    first = _id(host, "x")
    host.world.advance(300)
    assert _id(host, "x") > first
    again = _id(host, "x")
    host.world.advance(300)
    assert _id(host, "x") == again
    assert "TZ=Europe/Prague" in host.path("/zones/x/root/etc/default/init").read_text()


def test_the_host_boots_zones_with_autoboot_and_mounts_the_roots_of_others(host: ZoneHost) -> None:
    host.install("x", "set autoboot=true")
    host.install("y")
    host.must("zoneadm", "-z", "y", "boot")
    host.world.db.execute("delete from kernel_zones")
    for zone in ("x", "y"):
        host.must("umount", f"/zones/{zone}/root")
    zoneadm.start_zones(host.world)
    assert (host.state("x"), host.state("y")) == ("running", "installed")
    assert {"/zones/x/root", "/zones/y/root"} <= {*host.mounted()}


# -- two at once -------------------------------------------------------------------------------------------


def test_two_commands_on_one_zone_take_turns(host: ZoneHost) -> None:
    from zonemgr.lab.call import Call
    from zonemgr.lab.zoneadm import locks
    from zonemgr.lab.zoneadm.request import Request

    host.install("x")
    ended: list[int] = []

    def mark() -> None:
        own = World(host.world.dir)
        ended.append(ZoneHost(own).run("zoneadm", "-z", "x", "mark", "incomplete").exit_code)
        own.close()

    other = threading.Thread(target=mark)
    with locks.operation(Request(Call(host.world, ["zoneadm"]), "install", [], "x")):
        lock = os.open(host.world.dir / "locks/x.zoneadm.lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(lock)
        other.start()
        assert (ended, host.state("x")) == ([], "installed")
    other.join()
    assert (ended, host.state("x")) == ([0], "incomplete")


def test_a_thousand_zones_are_listed_in_one_go(host: ZoneHost) -> None:
    host.configure("z0")
    document = host.path("/etc/zones/z0.xml").read_text()
    with host.path("/etc/zones/index").open("a") as index:
        for number in range(1, 1000):
            index.write(f"z{number}:configured:/zones/z{number}:\n")
            text = document.replace('name="z0"', f'name="z{number}"')
            host.path(f"/etc/zones/z{number}.xml").write_text(text)
    listed = host.must("zoneadm", "list", "-cp").splitlines()
    assert len(listed) == 1001
    assert listed[-1].startswith("-:z999:configured:")


def test_a_zone_whose_document_is_gone_is_left_out_of_the_list(host: ZoneHost) -> None:
    for zone in ("x", "y"):
        host.configure(zone)
    host.path("/etc/zones/x.xml").unlink()
    ended = host.run("zoneadm", "list", "-c")
    assert (ended.exit_code, ended.stdout.split()) == (0, ["global", "y"])
    assert ended.stderr.startswith("zoneadm: x: could not get brand name: ")
    assert host.run("zoneadm", "-z", "x", "list").stderr == "zoneadm: x: No such zone configured\n"
