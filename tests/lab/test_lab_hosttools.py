"""Who may do what, and the small commands: pfexec, profiles, auths, beadm, zonename, id and the like."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.byhand import Hand, in_zone, make
from zonemgr.lab import gzfiles
from zonemgr.lab.rights import Rights


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return make(tmp_path)


# -- pfexec --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "made"),
    [
        ("dladm create-vnic -l net0 v0", "dladm show-link v0"),
        ("zfs create rpool/mine", "zfs list rpool/mine"),
        ("/usr/sbin/dladm create-etherstub s0", "dladm show-link s0"),
        ("pkg install gawk", "pkg list gawk"),
    ],
)
@pytest.mark.parametrize(("user", "allowed"), [("root", True), ("builder", True), ("jim", False)])
def test_a_profile_makes_the_difference(hand: Hand, line: str, made: str, user: str, allowed: bool) -> None:
    if user != "root":
        assert hand(line, user=user).exit_code == 1  # nobody but root without pfexec
    assert (hand(f"pfexec {line}", user=user).exit_code == 0) == allowed
    assert (hand(made).exit_code == 0) == allowed


def test_what_pfexec_raises_for_whom(hand: Hand) -> None:
    book = Rights(hand.world.host)
    raised = [
        name
        for name in ("zoneadm", "zlogin", "zonecfg", "zfs", "dladm", "pkg", "beadm")
        if book.raises("builder", name)
    ]
    assert raised == ["zoneadm", "zlogin", "zonecfg", "zfs", "dladm", "pkg", "beadm"]
    for name in ("ipadm", "zpool", "svcs", "svcadm", "cat", "useradd"):
        assert not book.raises("builder", name)
    assert not any(book.raises("jim", name) for name in raised)


def test_primary_administrators_run_anything_as_root(hand: Hand) -> None:
    attributes = hand.world.host / "etc/user_attr"
    attributes.write_text(
        attributes.read_text().replace(
            "jim::::type=normal", "jim::::type=normal;profiles=Primary Administrator"
        )
    )
    hand.out("pfexec dladm create-vnic -l net0 v0", user="jim")
    hand.out("pfexec svcadm disable cron", user="jim")
    assert hand.out("auths jim") == "solaris.*\n"


def test_without_its_service_pfexec_raises_nobody(hand: Hand) -> None:
    hand.out("svcadm disable pfexec")
    assert hand("pfexec dladm create-vnic -l net0 v0", user="builder").stderr.endswith("permission denied\n")
    hand.out("svcadm enable -s pfexec")
    hand.out("pfexec dladm create-vnic -l net0 v0", user="builder")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("pfexec", "pfexec [-P privset] cmd [arg ..]\n"),
        ("pfexec -x true", "pfexec [-P privset] cmd [arg ..]\n"),
        ("pfexec -P all true", "lab: pfexec -P is not emulated\n"),
        ("pfexec nosuch", "pfexec: unable to execute nosuch: No such file or directory\n"),
    ],
)
def test_pfexec_refusals(hand: Hand, line: str, text: str) -> None:
    assert hand.refused(line) == text


def test_the_exit_status_is_the_commands(hand: Hand) -> None:
    assert [hand(f"pfexec {each}").exit_code for each in ("true", "false", "pkg update", "pkg")] == [
        0,
        255,
        4,
        2,
    ]


# -- rights --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "wanted", "answer"),
    [
        ("builder", "solaris.zone.manage/web", True),
        ("builder", "solaris.zone.clonefrom/web", True),
        ("builder", "solaris.smf.manage", True),
        ("builder", "solaris.network.interface.config", False),
        ("builder", "solaris.zone.grant", True),
        ("jim", "solaris.zone.manage/web", False),
        ("root", "solaris.anything", True),
        ("root", "solaris.zone.grant", False),
    ],
)
def test_authorisations(hand: Hand, user: str, wanted: str, answer: bool) -> None:
    assert Rights(hand.world.host).authorised(user, wanted) == answer


def test_an_authorisation_for_one_zone_is_for_that_one(hand: Hand) -> None:
    attributes = hand.world.host / "etc/user_attr"
    attributes.write_text(
        attributes.read_text() + "ann::::auths=solaris.zone.manage/web,solaris.zone.login/*\n"
    )
    book = Rights(hand.world.host)
    assert book.authorised("ann", "solaris.zone.manage/web")
    assert not book.authorised("ann", "solaris.zone.manage/db")
    assert book.authorised("ann", "solaris.zone.login/db")


def test_profiles_and_auths_as_shown(hand: Hand) -> None:
    assert hand.out("profiles", user="builder").splitlines() == [
        "Zone Management",
        "Zone Security",
        "ZFS File System Management",
        "Network Link Security",
        "Software Installation",
        "Process Management",
        "Basic Solaris User",
        "All",
    ]
    assert hand.out("profiles jim builder").startswith(
        "jim:\n          Basic Solaris User\n          All\n\nbuilder:\n          Zone"
    )
    assert "          /usr/sbin/zoneadm          euid=0\n" in hand.out("profiles -l builder")
    assert hand.out("auths", user="jim") == "solaris.device.cdrw,solaris.mail.mailq,solaris.profmgr.read\n"
    assert hand.out("auths builder jim").startswith("builder: solaris.")
    assert hand.refused("auths nosuch").startswith("auths: nosuch : No such user\n")
    ended = hand("profiles nosuch")
    assert (ended.exit_code, ended.stderr) == (1, "profiles: nosuch: No such user\n")
    assert hand("profiles -x").stderr == "  usage: profiles [-l] [user1 user2 ...]\n"


# -- beadm, zonename -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flavour", "name"), [("openindiana", "openindiana"), ("omnios", "omnios")])
def test_the_boot_environment_has_the_uuid_of_its_dataset(tmp_path: Path, flavour: str, name: str) -> None:
    hand = make(tmp_path, flavour)
    uuid = hand.out(f"zfs get -H -o value org.opensolaris.libbe:uuid rpool/ROOT/{name}").strip()
    fields = hand.out("beadm list -H").strip().split(";")
    assert (fields[0], fields[1], fields[2], fields[3], fields[5]) == (name, uuid, "NR", "/", "static")
    assert hand.out("beadm list").splitlines()[0].startswith("BE")
    assert hand.out(f"beadm list -H {name}").startswith(f"{name};")
    assert hand.refused("beadm list nosuch").startswith("nosuch does not exist or appear to be a valid BE.\n")


def test_beadm_refuses_what_it_does_not_do(hand: Hand) -> None:
    assert hand.refused("beadm create -a x") == "lab: beadm create -a is not emulated\n"
    assert hand.refused("beadm bogus").startswith("Invalid command: bogus\nusage:\n\tbeadm subcommand")
    assert hand.refused("beadm").startswith("usage:\n\tbeadm subcommand cmd_options\n")


def test_zonename(hand: Hand, tmp_path: Path) -> None:
    assert hand.out("zonename") == "global\n"
    assert hand.out("zonename -t") == "shared\n"
    assert in_zone(tmp_path, "zonename", name="web").stdout == "web\n"
    assert in_zone(tmp_path, "zonename -t", name="web").stdout == "exclusive\n"


# -- plain commands ------------------------------------------------------------------------------------------


def test_who_one_is(hand: Hand) -> None:
    assert hand.out("id") == "uid=0(root) gid=0(root)\n"
    assert hand.out("id", user="builder") == "uid=101(builder) gid=10(staff)\n"
    assert [hand.out(f"id {words}", user="jim") for words in ("-u", "-un", "-u -n", "-g")] == [
        "102\n",
        "jim\n",
        "jim\n",
        "10\n",
    ]
    assert (
        hand.out("id -a -p builder")
        == "uid=101(builder) gid=10(staff) groups=100(build) projid=10(group.staff)\n"
    )
    assert hand.out("id -Gn", user="builder") == "staff build\n"
    assert hand.out("groups builder") == "staff build\n"
    assert hand.refused("id nosuch") == 'id: invalid user name: "nosuch"\n'
    for wrong in ("-n", "-Gr", "-u -g", "--help", "a b"):
        ended = hand(f"id {wrong}")
        assert (ended.exit_code, ended.stderr.splitlines()[0]) == (2, "Usage: id [-ap] [user]")


BUILDER_ATTR = gzfiles.BUILDER


@pytest.mark.parametrize(
    ("line", "exit_code", "out"),
    [
        ("getent passwd builder", 0, "builder:x:101:10:Build user:/export/home/builder:/bin/sh\n"),
        ("getent passwd 101", 0, "builder:x:101:10:Build user:/export/home/builder:/bin/sh\n"),
        ("getent passwd nosuch", 2, ""),
        ("getent group build staff", 0, "build::100:builder\nstaff::10:\n"),
        ("getent group 10 nosuch", 2, "staff::10:\n"),
        ("getent hosts localhost", 0, "::1\tlocalhost\n"),
        ("getent user_attr builder", 0, BUILDER_ATTR),
        ("uname", 0, "SunOS\n"),
        ("uname -n", 0, "openindiana\n"),
        ("uname -sr", 0, "SunOS 5.11\n"),
        ("true", 0, ""),
        ("false", 255, ""),
        ("test -d /etc", 0, ""),
        ("test -f /etc", 1, ""),
        ("test ! -e /nosuch", 0, ""),
        ("test a = b", 1, ""),
        ("test -n ''", 1, ""),
        ("cat /etc/nodename", 0, "openindiana\n"),
    ],
)
def test_plain_commands(hand: Hand, line: str, exit_code: int, out: str) -> None:
    ended = hand(line)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (exit_code, out, "")


def test_plain_commands_refuse_what_they_do_not_know(hand: Hand) -> None:
    assert hand("test -k /etc").stderr == "lab: test -k /etc is not emulated\n"
    assert hand("getent ethers x").stderr == "lab: getent ethers is not emulated\n"
    assert hand("getent shadow root", user="jim").exit_code == 2
    ended = hand("cat /nosuch /etc/nodename")
    assert (ended.exit_code, ended.stdout) == (2, "openindiana\n")
    assert ended.stderr == "cat: cannot open /nosuch: No such file or directory\n"


def test_secrets_are_for_root(hand: Hand) -> None:
    assert hand("cat /etc/shadow", user="jim").stderr == "cat: cannot open /etc/shadow: Permission denied\n"
    lines = hand.out("cat /etc/shadow").splitlines()
    assert [line.split(":")[1][:3] for line in lines if line.split(":")[0] in ("root", "builder", "jim")] == [
        "$5$",
        "$6$",
        "$6$",
    ]
    assert all(line.count(":") == 8 for line in lines)
    modes = {
        name: (hand.world.host / "etc" / name).stat().st_mode & 0o777
        for name in ("passwd", "shadow", "group", "user_attr")
    }
    assert modes == {"passwd": 0o644, "shadow": 0o400, "group": 0o644, "user_attr": 0o644}


def test_homes_are_there_for_those_who_have_one(hand: Hand) -> None:
    assert hand("test -d /export/home/builder").exit_code == 0
    assert hand("test -d /export/home/jim").exit_code == 0


def test_process_management_is_what_raises_kill(hand: Hand) -> None:
    book = Rights(hand.world.host)
    assert book.raises("builder", "kill")
    assert not book.raises("jim", "kill")
