"""The brands by way of zoneadm: installing, cloning with its unconfiguration, taking away; and the odd ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.zonehost import ZoneHost
from zonemgr.lab import zonestore
from zonemgr.lab.call import Finished

SHADOW_BLANK = "$5$kr1VgdIt$OUiUAyZCDogH/uaxH71rMeQxvpDEY2yX.x0ZQRnmeb9"
ZBE = "rpool/zones/{}/ROOT/zbe"


@pytest.fixture(params=["openindiana", "omnios"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ZoneHost]:
    """Either flavour."""
    made = ZoneHost.fresh(tmp_path / "lab", request.param)
    yield made
    made.world.close()


@pytest.fixture
def omnios(tmp_path: Path) -> Iterator[ZoneHost]:
    made = ZoneHost.fresh(tmp_path / "lab", "omnios")
    yield made
    made.world.close()


def root(host: ZoneHost, zone: str) -> Path:
    return host.path(f"/zones/{zone}/root")


def clone(host: ZoneHost, target: str, *words: str) -> Finished:
    host.configure(target)
    return host.run("zoneadm", "-z", target, "clone", *words, "gold")


def said(host: ZoneHost, ended: Finished) -> str:
    """Where errors of the IPS brands are read: stdout on OpenIndiana, stderr on OmniOS."""
    return ended.stderr if host.world.omnios else ended.stdout


# -- install -----------------------------------------------------------------------------------------------


def test_an_installed_zone_lies_in_root_zbe(host: ZoneHost) -> None:
    host.configure("gold")
    ended = host.run("zoneadm", "-z", "gold", "install")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout.startswith("A ZFS file system has been created for this zone.\n")
    assert host.state("gold") == "installed"
    assert host.get("rpool/zones/gold", "sharenfs") == "off"
    assert host.get("rpool/zones/gold/ROOT", "mountpoint") == "legacy"
    zbe = ZBE.format("gold")
    assert [host.get(zbe, prop) for prop in ("canmount", "zoned")] == ["noauto", "on"]
    assert host.get(zbe, "org.opensolaris.libbe:active") == "on"
    assert host.mounted()["/zones/gold/root"] == zbe
    assert host.path("/zones/gold").stat().st_mode & 0o777 == 0o700


def test_an_installed_root_is_one_a_build_zone_can_be_made_of(host: ZoneHost) -> None:
    host.configure("gold")
    host.must("zoneadm", "-z", "gold", "install")
    etc = root(host, "gold") / "etc"
    assert os.readlink(etc / "hosts") == "./inet/hosts"
    modes = {name: (etc / name).stat().st_mode & 0o777 for name in ("passwd", "shadow", "group", "user_attr")}
    assert modes == {"passwd": 0o644, "shadow": 0o400, "group": 0o644, "user_attr": 0o644}
    shadow = (etc / "shadow").read_text().splitlines()
    assert shadow[0] == (f"root:{SHADOW_BLANK}:::::::" if host.world.omnios else "root::::::::")
    assert all(line.count(":") == 8 for line in shadow)
    names = [line.split(":")[0] for line in (etc / "passwd").read_text().splitlines()]
    assert names == [line.split(":")[0] for line in shadow]
    assert (root(host, "gold") / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert (root(host, "gold") / "lib/svc/method/sysding").exists() == (not host.world.omnios)


def test_packages_asked_for_are_installed(host: ZoneHost) -> None:
    host.configure("gold")
    known = host.must("pkg", "list", "-Ha").split()[0]
    host.must("zoneadm", "-z", "gold", "install", "-e", known)
    assert known in host.must("pkg", "-R", "/zones/gold/root", "list", "-H", known)


def test_an_unknown_package_leaves_the_zone_incomplete(host: ZoneHost) -> None:
    host.configure("gold")
    ended = host.run("zoneadm", "-z", "gold", "install", "-e", "no/such/package")
    assert ended.exit_code == 1
    assert "pkg install: " in ended.stderr
    assert "ERROR: failed to install package" in said(host, ended)
    assert host.state("gold") == "incomplete"
    host.must("zoneadm", "-z", "gold", "uninstall", "-F")
    assert host.datasets() == {"rpool/zones"}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("-s -v", "cannot specify both -s and -v options"),
        ("-p", "cannot specify both default and -p|-u options"),
        ("-P nonsense", "Syntax error in publisher information."),
        ("-a /x -d /y", "cannot specify both -a and -d options"),
        ("-q", "pkgcreatezone: -q: unknown option"),
    ],
)
def test_bad_brand_options_get_two_usages_and_leave_the_zone_incomplete(
    host: ZoneHost, words: str, complaint: str
) -> None:
    host.configure("gold")
    ended = host.run("zoneadm", "-z", "gold", "install", *words.split())
    assert ended.exit_code == 1
    assert complaint in ended.stderr
    assert "brand-specific usage: " in ended.stderr
    assert ended.stderr.splitlines()[-2] == "usage:\tinstall [brand-specific args]"
    assert host.state("gold") == "incomplete"


def test_without_a_dataset_for_the_zonepath_there_is_no_installation(host: ZoneHost) -> None:
    host.must("zonecfg", "-z", "gold", "create -b; set zonepath=/var/zones/gold; set brand=ipkg")
    host.path("/var/zones").mkdir()
    ended = host.run("zoneadm", "-z", "gold", "install")
    assert "ERROR: the zonepath must be a ZFS dataset.\n" in said(host, ended)
    assert (ended.exit_code, host.state("gold")) == (1, "incomplete")


# -- clone: the identity of the copy -----------------------------------------------------------------------


def used(host: ZoneHost, zone: str) -> None:
    """A golden zone somebody has set up."""
    etc = root(host, zone) / "etc"
    for name in ("nodename", "hostname.net0", "resolv.conf", "defaultrouter"):
        (etc / name).write_text("golden\n")
    (etc / "inet/hosts").write_text("10.0.0.1 golden\n")
    (etc / "ipadm/ipadm.conf").write_text("golden\n")
    (etc / "default/init").write_text("TZ=Europe/Prague\nLANG=C\n")
    (etc / "ssh/ssh_host_rsa_key").write_text("golden\n")
    shadow = (etc / "shadow").read_text().splitlines()
    (etc / "shadow").chmod(0o600)
    (etc / "shadow").write_text("\n".join(["root:$6$golden:1::::::", *shadow[1:]]) + "\n")
    (etc / "shadow").chmod(0o400)
    (root(host, zone) / "var/adm/messages").write_text("golden\n")
    (root(host, zone) / "var/adm/messages.0").write_text("golden\n")
    (root(host, zone) / "opt/tool").write_text("golden\n")


def test_a_clone_loses_the_identity_of_the_golden_zone(host: ZoneHost) -> None:
    host.world.put("openssh.dsa", "on")
    host.install("gold")
    used(host, "gold")
    ended = clone(host, "t1")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", "")
    etc = root(host, "t1") / "etc"
    for name in ("nodename", "hostname.net0", "resolv.conf", "defaultrouter", "inet/netmasks"):
        assert not (etc / name).exists(), name
    assert "golden" not in (etc / "inet/hosts").read_text()
    assert (etc / "ipadm/ipadm.conf").read_text() == ""
    assert (etc / "default/init").read_text() == "TZ=UTC\nLANG=C\n"
    assert (etc / "shadow").read_text().split(":")[1] == (SHADOW_BLANK if host.world.omnios else "")
    assert (etc / "shadow").stat().st_mode & 0o777 == 0o400
    assert "PermitRootLogin no\n" in (etc / "ssh/sshd_config").read_text()
    assert "OPENSSH PRIVATE KEY" in (etc / "ssh/ssh_host_rsa_key").read_text()
    assert (root(host, "t1") / "var/adm/messages").read_text() == ""
    assert not (root(host, "t1") / "var/adm/messages.0").exists()
    assert (root(host, "t1") / "opt/tool").read_text() == "golden\n"
    assert (root(host, "gold") / "etc/nodename").read_text() == "golden\n"


def test_no_two_clones_have_the_same_host_keys(host: ZoneHost) -> None:
    host.world.put("openssh.dsa", "on")
    host.install("gold")
    keys = set()
    for zone in ("t1", "t2"):
        assert clone(host, zone).exit_code == 0
        keys.add((root(host, zone) / "etc/ssh/ssh_host_ed25519_key").read_text())
    assert len(keys) == 2


def test_sysding_looks_again_in_a_clone(tmp_path: Path) -> None:
    host = ZoneHost.fresh(tmp_path / "lab")
    host.world.put("openssh.dsa", "on")
    host.install("gold")
    host.must("zoneadm", "-z", "gold", "boot")
    host.world.advance(300)
    host.must("zoneadm", "-z", "gold", "halt")
    assert clone(host, "t1").exit_code == 0
    (root(host, "t1") / "etc/sysding.conf").write_text("setup_ns_dns example.org example.org 10.0.0.53\n")
    host.must("zoneadm", "-z", "t1", "boot")
    host.world.advance(300)
    host.must("zoneadm", "-z", "t1", "halt")
    assert "10.0.0.53" in (root(host, "t1") / "etc/resolv.conf").read_text()


def test_without_dsa_openindianas_script_fails_and_clone_ends_well(tmp_path: Path) -> None:
    host = ZoneHost.fresh(tmp_path / "lab")
    host.install("gold")
    host.must("zoneadm", "-z", "gold", "boot")
    host.world.advance(300)
    host.must("zoneadm", "-z", "gold", "halt")
    used(host, "gold")
    ended = clone(host, "t1")
    assert (ended.exit_code, host.state("t1")) == (0, "installed")
    assert "ERROR: Zone unconfiguration failed\n" in said(host, ended)
    etc = root(host, "t1") / "etc"
    assert not (etc / "nodename").exists()  # what comes before the ssh keys is done
    assert "OPENSSH PRIVATE KEY" in (etc / "ssh/ssh_host_rsa_key").read_text()
    (etc / "sysding.conf").write_text("setup_ns_dns example.org example.org 10.0.0.53\n")
    host.must("zoneadm", "-z", "t1", "boot")
    host.world.advance(300)
    assert not (
        etc / "resolv.conf"
    ).exists()  # and what comes after them is not: sysding has finished already


def test_the_brands_script_writes_through_lofs_mounts_into_the_host(host: ZoneHost) -> None:
    for name, text in (("ssh/sshd_config", "PermitRootLogin yes\n"), ("logs/messages", "of the host\n")):
        host.path(f"/export/{name}").parent.mkdir()
        host.path(f"/export/{name}").write_text(text)
    host.install("gold")
    mounts = (("/etc/ssh", "/export/ssh"), ("/var/adm", "/export/logs"))
    words = "".join(
        f"add fs; set dir={inside}; set special={outside}; set type=lofs; end; " for inside, outside in mounts
    )
    host.must("zonecfg", "-z", "t1", f"create -b; set zonepath=/zones/t1; set brand=ipkg; {words}")
    host.must("zoneadm", "-z", "t1", "clone", "gold")
    assert "OPENSSH PRIVATE KEY" in host.path("/export/ssh/ssh_host_rsa_key").read_text()
    assert host.path("/export/ssh/sshd_config").read_text() == "PermitRootLogin no\n"
    assert host.path("/export/logs/messages").read_text() == ""


def test_an_address_from_the_global_zone_does_not_reach_a_clone_that_remembers_its_first_boot(
    tmp_path: Path,
) -> None:
    """OmniOS' script lets ipmgmtd forget it, OpenIndiana's does not."""
    found = {}
    for flavour in ("openindiana", "omnios"):
        host = ZoneHost.fresh(tmp_path / flavour, flavour=flavour)
        host.world.put("openssh.dsa", "on")
        host.install("gold")
        host.must("zoneadm", "-z", "gold", "boot")
        host.world.advance(300)
        host.must("zoneadm", "-z", "gold", "halt")
        host.must("dladm", "create-vnic", "-l", "net0", "t0")
        net = "add net; set physical=t0; set allowed-address=10.0.0.5/24; end"
        host.must(
            "zonecfg",
            "-z",
            "t1",
            f"create -b; set zonepath=/zones/t1; set brand=ipkg; set ip-type=exclusive; {net}",
        )
        host.must("zoneadm", "-z", "t1", "clone", "gold")
        host.must("zoneadm", "-z", "t1", "boot")
        host.world.advance(300)
        found[flavour] = "from-gz" in host.run("zlogin", "t1", "ipadm show-addr -p -o type").stdout
    assert found == {"openindiana": False, "omnios": True}


def test_a_failed_unconfiguration_is_only_told_of(host: ZoneHost) -> None:
    host.install("gold")
    used(host, "gold")
    host.world.put("fault.unconfigure", "fail")
    ended = clone(host, "t1")
    assert (ended.exit_code, host.state("t1")) == (0, "installed")
    assert "ERROR: Zone unconfiguration failed\n" in said(host, ended)
    assert (root(host, "t1") / "etc/nodename").read_text() == "golden\n"
    log = host.path("/zones/t1/log/zone.log")
    assert log.exists() == host.world.omnios
    assert not host.world.omnios or "Postprocessing failed." in log.read_text()


def test_a_link_planted_in_the_golden_zone_does_not_lead_out_of_the_clone(
    host: ZoneHost, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "hosts").write_text("untouched\n")
    host.install("gold")
    inet = root(host, "gold") / "etc/inet"
    for each in inet.iterdir():
        each.unlink()
    inet.rmdir()
    inet.symlink_to(victim)
    ended = clone(host, "t1")
    assert "ERROR: Zone unconfiguration failed\n" in said(host, ended)
    assert [each.name for each in victim.iterdir()] == ["hosts"]
    assert (victim / "hosts").read_text() == "untouched\n"


def test_x_leaves_the_clone_as_it_is_and_mounted(host: ZoneHost) -> None:
    host.install("gold")
    used(host, "gold")
    assert clone(host, "t1", "-X").exit_code == 0
    assert host.state("t1") == "mounted"
    assert (root(host, "t1") / "etc/nodename").read_text() == "golden\n"
    host.must("zoneadm", "-z", "t1", "unmount")
    assert host.state("t1") == "installed"
    assert "/zones/t1/root" in host.mounted()


# -- clone: what zoneadm checks ----------------------------------------------------------------------------


def test_sources_that_cannot_be_cloned(host: ZoneHost) -> None:
    host.install("gold")
    host.configure("t1")

    def refused(source: str) -> str:
        ended = host.run("zoneadm", "-z", "t1", "clone", source)
        assert (ended.exit_code, ended.stdout, host.state("t1")) == (1, "", "configured")
        return ended.stderr.splitlines()[-1]

    assert refused("nosuch") == "zoneadm: nosuch: could not get state: No such zone configured"
    assert refused("t1") == "zoneadm: zone t1 is configured; installed is required."
    assert refused("global") == "zoneadm: zone 't1': clone operation is invalid for the global zone."
    other = "lipkg" if host.world.omnios else "nlipkg"
    host.install("other", brand=other)
    assert refused("other") == "zoneadm: Zones 'other' and 't1' have different brand types."
    host.must("zoneadm", "-z", "gold", "boot")
    assert refused("gold") == "zoneadm: zone 't1': clone operation is invalid for running zones."


def test_what_both_zones_have_is_only_warned_of(host: ZoneHost) -> None:
    host.path("/export/work").mkdir()
    shared = "add fs; set dir=/work; set special=/export/work; set type=lofs; end"
    host.install("gold", shared)
    host.configure("t1", shared)
    ended = host.run("zoneadm", "-z", "t1", "clone", "gold")
    warning = "WARNING: read-write lofs file system on '/export/work' is configured in both zones.\n"
    assert (ended.exit_code, ended.stderr) == (0, warning)


@pytest.mark.parametrize("words", ["-m copy", "-q"])
def test_options_the_brand_does_not_know_leave_the_zone_incomplete(host: ZoneHost, words: str) -> None:
    host.install("gold")
    before = host.datasets()
    ended = clone(host, "t1", *words.split())
    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"clone: {words.split()[0]}: unknown option\n")
    assert "brand-specific usage: clone {sourcezone}\n" in ended.stderr
    assert (host.state("t1"), host.datasets()) == ("incomplete", before)


def test_a_snapshot_can_be_given_by_its_name_alone(host: ZoneHost) -> None:
    host.install("gold")
    (root(host, "gold") / "etc/release").write_text("at g1\n")
    host.must("zfs", "snapshot", f"{ZBE.format('gold')}@g1")
    (root(host, "gold") / "etc/release").write_text("later\n")
    assert clone(host, "t1", "-s", "g1").exit_code == 0
    assert host.get(ZBE.format("t1"), "origin") == f"{ZBE.format('gold')}@g1"
    assert (root(host, "t1") / "etc/release").read_text() == "at g1\n"
    ended = clone(host, "t2", "-s", "nosuch")
    assert "ERROR: Error: specified snapshot is invalid for this source zone.\n" in said(host, ended)
    assert "rpool/zones/t2" not in host.datasets()


def test_names_taken_are_counted_up(host: ZoneHost) -> None:
    host.install("gold")
    host.must("zfs", "snapshot", f"{ZBE.format('gold')}@t1_snap")
    ended = clone(host, "t1")
    collision = f"cannot create snapshot '{ZBE.format('gold')}@t1_snap': dataset already exists\n"
    assert (ended.exit_code, ended.stderr) == (0, collision)
    assert host.get(ZBE.format("t1"), "origin") == f"{ZBE.format('gold')}@t1_snap1"


# -- uninstall ---------------------------------------------------------------------------------------------


def test_uninstall_asks_on_a_terminal(host: ZoneHost) -> None:
    host.install("x")
    question = "Are you sure you want to uninstall zone x (y/[n])? "
    ended = host.on_terminal("zoneadm", "-z", "x", "uninstall", typed="n\n")
    assert (ended.exit_code, ended.stdout, host.state("x")) == (0, question, "installed")
    ended = host.on_terminal("zoneadm", "-z", "x", "uninstall", typed="what\ny\n")
    assert (ended.exit_code, ended.stdout, host.state("x")) == (0, question * 2, "configured")


def test_uninstall_without_a_terminal_needs_force(host: ZoneHost) -> None:
    host.install("x")
    ended = host.run("zoneadm", "-z", "x", "uninstall")
    text = "zoneadm: zone 'x': Input not from terminal and -F not specified: uninstall not done.\n"
    assert (ended.exit_code, ended.stderr, host.state("x")) == (1, text, "installed")


def test_uninstall_leaves_nothing_of_a_zone_and_its_snapshot(host: ZoneHost) -> None:
    host.install("gold")
    before = host.datasets()
    assert clone(host, "t1").exit_code == 0
    host.must("zoneadm", "-z", "t1", "boot")
    host.must("zoneadm", "-z", "t1", "halt")
    host.must("zoneadm", "-z", "t1", "uninstall", "-F")
    assert host.datasets() == before
    assert not host.path("/zones/t1").exists()


def test_uninstall_stops_at_anything_mounted_in_the_zone(host: ZoneHost) -> None:
    host.install("x")
    host.must("zfs", "create", "-o", "mountpoint=legacy", "rpool/inside")
    host.must("mount", "-F", "zfs", "rpool/inside", "/zones/x/root/mnt")
    ended = host.run("zoneadm", "-z", "x", "uninstall", "-F")
    assert ended.stderr.splitlines()[0] == (
        "zoneadm: zone 'x': These file systems are mounted on subdirectories of /zones/x/root."
    )
    assert "zoneadm: zone 'x':   /zones/x/root/mnt" in ended.stderr.splitlines()
    assert (ended.exit_code, host.state("x")) == (1, "installed")


def test_the_last_clone_takes_its_snapshot_along_unless_it_is_held(host: ZoneHost) -> None:
    host.install("gold")
    for name in ("kept", "lost"):
        host.must("zfs", "snapshot", f"{ZBE.format('gold')}@{name}")
    host.must("zfs", "hold", "zonemgr", f"{ZBE.format('gold')}@kept")
    for name in ("kept", "lost"):
        assert clone(host, f"of-{name}", "-s", name).exit_code == 0
        host.must("zoneadm", "-z", f"of-{name}", "uninstall", "-F")
    snapshots = {name for name in host.datasets() if "@" in name}
    assert snapshots == {f"{ZBE.format('gold')}@kept"}


def test_a_golden_zone_that_goes_leaves_its_clones_an_heir(host: ZoneHost) -> None:
    host.install("gold")
    host.must("zfs", "snapshot", f"{ZBE.format('gold')}@g1")
    for zone in ("t1", "t2"):
        assert clone(host, zone, "-s", "g1").exit_code == 0
        host.world.advance(2)
    host.must("zoneadm", "-z", "gold", "uninstall", "-F")
    assert host.get(ZBE.format("t2"), "origin") == "-"
    assert host.get(ZBE.format("t1"), "origin") == f"{ZBE.format('t2')}@g1"
    assert host.state("gold") == "configured"


def test_a_clone_killed_before_its_properties_were_set_survives_an_uninstall(host: ZoneHost) -> None:
    host.install("gold")
    host.configure("t1")
    host.must("zfs", "create", "rpool/zones/t1")
    host.must("zfs", "create", "-o", "mountpoint=legacy", "-o", "zoned=on", "rpool/zones/t1/ROOT")
    host.must("zfs", "snapshot", f"{ZBE.format('gold')}@t1_snap")
    host.must("zfs", "clone", f"{ZBE.format('gold')}@t1_snap", ZBE.format("t1"))
    zonestore.set_state(host.world, "t1", "incomplete")
    host.must("zoneadm", "-z", "t1", "uninstall", "-F")
    assert host.state("t1") == "configured"
    assert ZBE.format("t1") in host.datasets()


def test_colliding_names_of_the_brand_are_renamed_for_the_heir(host: ZoneHost) -> None:
    host.install("gold")
    assert clone(host, "t1").exit_code == 0
    host.world.advance(2)
    host.must("zfs", "snapshot", f"{ZBE.format('t1')}@t1_snap")
    ended = host.run("zoneadm", "-z", "gold", "uninstall", "-F")
    in_use = f"Error: cloned zone dataset(s) in use.\n\t{ZBE.format('t1')}\n"
    assert in_use in ended.stderr
    assert host.state("gold") == "incomplete"
    host.must("umount", "/zones/t1/root")
    host.must("zoneadm", "-z", "gold", "uninstall", "-F")
    snapshots = {
        name.partition("@")[2] for name in host.datasets() if name.startswith(f"{ZBE.format('t1')}@")
    }
    assert snapshots == {"t1_snap"}
    assert host.get(ZBE.format("t1"), "origin") == "-"


# -- detach, attach, move ----------------------------------------------------------------------------------


def test_a_detached_zone_can_be_attached_again(host: ZoneHost) -> None:
    host.configure("x")
    host.must("zoneadm", "-z", "x", "install")
    assert host.must("zoneadm", "-z", "x", "detach", "-n").startswith("<?xml")
    assert host.state("x") == "installed"
    host.must("zoneadm", "-z", "x", "detach")
    assert host.state("x") == "configured"
    assert host.get(ZBE.format("x"), "mountpoint") == "/zones/x/root"
    assert host.path("/zones/x/SUNWdetached.xml").exists()
    ended = host.run("zoneadm", "-z", "x", "install")
    assert "Cannot install detached zone.\nUse attach or remove /zones/x directory.\n" in ended.stderr
    host.must("zoneadm", "-z", "x", "attach")
    assert host.state("x") == "installed"
    assert host.get(ZBE.format("x"), "mountpoint") == "legacy"
    assert not host.path("/zones/x/SUNWdetached.xml").exists()
    host.must("zoneadm", "-z", "x", "boot")


def test_a_moved_zone_keeps_its_dataset_and_boots_from_the_new_place(host: ZoneHost) -> None:
    host.install("x")
    host.must("zoneadm", "-z", "x", "move", "/zones/elsewhere")
    assert host.must("zoneadm", "-z", "x", "list", "-p").split(":")[3] == "/zones/elsewhere"
    assert zonestore.load(host.world, "x").zonepath == "/zones/elsewhere"
    assert host.mounted()["/zones/elsewhere"] == "rpool/zones/x"
    assert host.mounted()["/zones/elsewhere/root"] == ZBE.format("x")
    assert not host.path("/zones/x").exists()
    host.must("zoneadm", "-z", "x", "boot")


def test_a_zone_is_not_moved_onto_something(host: ZoneHost) -> None:
    host.install("x")
    host.must("zfs", "create", "rpool/zones/full")
    host.path("/zones/full/file").write_text("")
    ended = host.run("zoneadm", "-z", "x", "move", "/zones/full")
    assert "could not move zone to /zones/full: directory not empty\n" in ended.stderr
    assert (ended.exit_code, host.state("x")) == (1, "installed")


# -- sparse ------------------------------------------------------------------------------------------------


def test_a_sparse_zone_has_overlays_of_its_own(omnios: ZoneHost) -> None:
    omnios.configure("gold", brand="sparse")
    omnios.must("zoneadm", "-z", "gold", "install")
    zbe = ZBE.format("gold")
    assert {f"{zbe}/svc", f"{zbe}/fm"} <= omnios.datasets()
    assert omnios.mounted()["/zones/gold/root/lib/svc"] == f"{zbe}/svc"
    omnios.must("zoneadm", "-z", "gold", "boot")
    omnios.must("zoneadm", "-z", "gold", "halt")
    omnios.configure("t1", brand="sparse")
    omnios.must("zoneadm", "-z", "t1", "clone", "gold")
    assert omnios.get(f"{ZBE.format('t1')}/svc", "origin") == f"{zbe}/svc@t1_snap"
    omnios.must("zoneadm", "-z", "t1", "boot")
    omnios.must("zoneadm", "-z", "t1", "halt")


def test_a_sparse_clone_leaks_snapshots_and_its_golden_zone_is_bound(omnios: ZoneHost) -> None:
    omnios.configure("gold", brand="sparse")
    omnios.must("zoneadm", "-z", "gold", "install")
    omnios.configure("t1", brand="sparse")
    omnios.must("zoneadm", "-z", "t1", "clone", "gold")
    ended = omnios.run("zoneadm", "-z", "gold", "uninstall", "-F")
    assert "Error: cloned zone datasets found outsize of zone.\n" in ended.stderr
    assert omnios.state("gold") == "incomplete"
    omnios.must("zoneadm", "-z", "t1", "uninstall", "-F")
    zbe = ZBE.format("gold")
    assert {name for name in omnios.datasets() if "@" in name} == {f"{zbe}/svc@t1_snap", f"{zbe}/fm@t1_snap"}
    omnios.must("zoneadm", "-z", "gold", "uninstall", "-F")
    assert omnios.datasets() == {"rpool/zones"}


# -- brands without hooks ----------------------------------------------------------------------------------


def image(omnios: ZoneHost, zone: str) -> None:
    """An illumos-branded zone from an image somebody has made."""
    if "rpool/image" not in omnios.datasets("rpool"):
        omnios.install("seed")
        omnios.must("zfs", "snapshot", f"{ZBE.format('seed')}@image")
        omnios.must("zfs", "clone", "-o", "mountpoint=legacy", f"{ZBE.format('seed')}@image", "rpool/image")
    omnios.configure(zone, brand="illumos")
    omnios.must("zoneadm", "-z", zone, "install", "-s", "rpool/image")


def test_an_image_zone_is_unmounted_when_it_is_down(omnios: ZoneHost) -> None:
    image(omnios, "x")
    assert "/zones/x/root" not in omnios.mounted()
    omnios.must("zoneadm", "-z", "x", "boot")
    assert omnios.mounted()["/zones/x/root"] == "rpool/zones/x/ROOT/illumos"
    omnios.must("zoneadm", "-z", "x", "halt")
    assert "/zones/x/root" not in omnios.mounted()
    omnios.must("zoneadm", "-z", "x", "uninstall", "-F")
    assert "rpool/zones/x" not in omnios.datasets()


def test_an_image_zone_needs_an_image(omnios: ZoneHost) -> None:
    omnios.configure("x", brand="illumos")
    ended = omnios.run("zoneadm", "-z", "x", "install")
    assert ended.stdout.endswith(
        "The installation source must be specified.\n\nAvailable options are:\n"
        "\t-s <dataset|snapshot|pathname>\tZone installation source\n"
        "\t(-t is a backwards compatible alias for -s)\n\n"
    )
    assert (ended.exit_code, omnios.state("x")) == (1, "incomplete")


def test_zoneadm_itself_clones_the_zonepath_with_numbered_snapshots(omnios: ZoneHost) -> None:
    omnios.configure("x", brand="bhyve")
    omnios.must("zoneadm", "-z", "x", "install")
    omnios.path("/zones/x/note").write_text("mine\n")
    for number, zone in enumerate(("c1", "c2"), start=1):
        omnios.configure(zone, brand="bhyve")
        out = omnios.must("zoneadm", "-z", zone, "clone", "x")
        assert out.startswith(f"Cloning snapshot rpool/zones/x@SUNWzone{number}\n")
        assert omnios.get(f"rpool/zones/{zone}", "origin") == f"rpool/zones/x@SUNWzone{number}"
    assert omnios.path("/zones/c2/note").read_text() == "mine\n"
    omnios.configure("c3", brand="bhyve")
    ended = omnios.run("zoneadm", "-z", "c3", "clone", "-m", "copy", "x")
    assert (ended.exit_code, ended.stdout.splitlines()[-1]) == (0, "Copying /zones/x...")
    assert omnios.get("rpool/zones/c3", "origin") == "-"
    assert omnios.path("/zones/c3/note").read_text() == "mine\n"


def test_a_virtual_machine_is_not_pretended_to_run(omnios: ZoneHost) -> None:
    omnios.configure("x", brand="bhyve")
    omnios.must("zoneadm", "-z", "x", "install")
    ended = omnios.run("zoneadm", "-z", "x", "boot")
    assert "lab: booting a bhyve zone is not emulated" in ended.stderr
    assert (ended.exit_code, omnios.state("x")) == (1, "installed")


# -- faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "left", "state"),
    [
        ("dataset", {"rpool/zones/t1", "rpool/zones/t1/ROOT"}, "incomplete"),
        (
            "snapshot",
            {"rpool/zones/t1", "rpool/zones/t1/ROOT", f"{ZBE.format('gold')}@t1_snap"},
            "incomplete",
        ),
        ("mounted", None, "mounted"),
    ],
)
def test_a_clone_can_be_killed_half_way(host: ZoneHost, step: str, left: set[str] | None, state: str) -> None:
    host.install("gold")
    before = host.datasets()
    host.world.put("fault.clone.t1", step)
    assert clone(host, "t1").exit_code == -9
    assert host.state("t1") == state
    assert left is None or host.datasets() - before == left
    host.world.put("fault.clone.t1", "")
    if state == "mounted":
        host.must("zoneadm", "-z", "t1", "unmount")
        assert host.state("t1") == "incomplete"
    host.must("zoneadm", "-z", "t1", "uninstall", "-F")
    assert host.state("t1") == "configured"


def test_a_vnic_made_on_demand_can_stay_behind(omnios: ZoneHost) -> None:
    net = "add net; set physical=vnic0; set global-nic=net0; end"
    omnios.install("x", "set ip-type=exclusive", net, brand="lipkg")
    omnios.must("zoneadm", "-z", "x", "boot")
    omnios.world.put("fault.vnic", "leftover")
    omnios.must("zoneadm", "-z", "x", "halt")
    assert omnios.must("dladm", "show-vnic", "-p", "-o", "link").split() == ["vnic0"]
    assert "Could not delete VNIC vnic0\n" in omnios.path("/zones/x/log/zone.log").read_text()


def test_omnios_writes_the_resolver_from_attrs(omnios: ZoneHost) -> None:
    attr = "add attr; set name=resolvers; set type=string; set value=10.0.0.53,10.0.0.54; end"
    omnios.install("x", attr, brand="lipkg")
    omnios.must("zoneadm", "-z", "x", "boot")
    etc = root(omnios, "x") / "etc"
    assert "nameserver 10.0.0.53\nnameserver 10.0.0.54\n" in (etc / "resolv.conf").read_text()
    assert (etc / "nsswitch.conf").read_text() == (etc / "nsswitch.dns").read_text()
