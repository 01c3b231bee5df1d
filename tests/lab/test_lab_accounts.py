"""Accounts of the global zone: useradd and its likes, roles, groups, and passwd without typing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.byhand import Hand, make


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return make(tmp_path)


def file(hand: Hand, name: str) -> str:
    return (hand.world.host / "etc" / name).read_text()


def test_a_user_comes_changes_and_goes(hand: Hand) -> None:
    (hand.world.host / "etc/skel").mkdir(exist_ok=True)
    (hand.world.host / "etc/skel/.profile").write_text("PATH=/usr/bin\n")
    hand.out("groupadd -g 500 devs")
    hand.out("useradd -u 1500 -g devs -G build -c 'Ada L' -s /usr/bin/bash -d /export/home/ada -m ada")
    assert hand.out("getent passwd ada") == "ada:x:1500:500:Ada L:/export/home/ada:/usr/bin/bash\n"
    assert hand.out("id -Gn ada") == "devs build\n"
    assert (hand.world.path("/export/home/ada") / ".profile").exists()
    hand.out("usermod -P 'Zone Management' -K defaultpriv=basic -l ada2 ada")
    assert "ada2::::type=normal;profiles=Zone Management;defaultpriv=basic\n" in file(hand, "user_attr")
    assert hand.out("profiles ada2").splitlines()[1].strip() == "Zone Management"
    assert "build::100:builder,ada2\n" in file(hand, "group")
    assert hand("getent passwd ada").exit_code == 2
    hand.out("groupmod -g 501 -n makers devs")
    assert hand.out("getent group makers") == "makers::501:\n"
    hand.out("userdel -r ada2")
    assert "ada" not in file(hand, "passwd") + file(hand, "shadow") + file(hand, "group") + file(
        hand, "user_attr"
    )
    assert not hand.world.path("/export/home/ada").exists()
    hand.out("groupdel makers")


def test_a_home_can_be_a_file_system(hand: Hand) -> None:
    (hand.world.host / "etc/skel").mkdir(exist_ok=True)
    (hand.world.host / "etc/skel/.profile").touch()
    hand.out("zfs create -o mountpoint=/homes rpool/homes")
    hand.out("useradd -m -z -d /homes/ada ada")
    assert hand.out("zfs list -H -o mountpoint rpool/homes/ada") == "/homes/ada\n"
    assert (hand.world.path("/homes/ada") / ".profile").exists()


def test_roles(hand: Hand) -> None:
    hand.out("roleadd -P 'Zone Management' zoner")
    assert "zoner::::type=role;profiles=Zone Management\n" in file(hand, "user_attr")
    assert hand.out("getent passwd zoner").endswith(":/bin/pfsh\n")
    hand.out("usermod -R zoner jim")
    assert "jim::::type=normal;roles=zoner\n" in file(hand, "user_attr")
    ended = hand("usermod -c x zoner")
    assert (ended.exit_code, ended.stderr) == (
        2,
        "UX: usermod: ERROR: Roles must be modified with ``rolemod''.\n",
    )
    assert hand("rolemod -c x jim").stderr == "UX: rolemod: ERROR: Users must be modified with ``usermod''.\n"
    hand.out("rolemod -c Zones zoner")
    assert ":Zones:" in hand.out("getent passwd zoner")
    hand.out("roledel zoner")


def test_passwords_are_locked_and_opened_without_typing(hand: Hand) -> None:
    before = file(hand, "shadow")
    said = "passwd: password information changed for builder\n"
    assert hand.out("passwd -s builder") == "builder  PS\n"
    assert hand.out("passwd -l builder") == said
    assert hand.out("passwd -s builder") == "builder  LK\n"
    assert "builder:*LK*$6$" in file(hand, "shadow")
    hand.out("passwd -l builder")
    hand.out("passwd -u builder")
    assert file(hand, "shadow") == before
    hand.out("passwd -N builder")
    assert hand.out("passwd -s builder") == "builder  NL\n"
    hand.out("passwd -d builder")
    assert hand.out("passwd -s builder") == "builder  NP\n"
    assert hand.refused("passwd -l nosuch") == "passwd: User unknown: nosuch\nPermission denied\n"
    assert hand("passwd -l builder", user="jim").stderr == "Permission denied\n"
    assert "lab: " in hand.refused("passwd builder")


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        ("useradd builder", 9, "ERROR: builder is already in use.  Choose another."),
        ("useradd -u 101 x", 4, "ERROR: uid 101 is already in use.  Choose another."),
        ("useradd -u 2147483648 x", 3, "ERROR: uid 2147483648 is too big.  Choose another."),
        ("useradd -z x", 2, "ERROR: Invalid syntax."),
        ("userdel nosuch", 6, "ERROR: nosuch does not exist."),
        ("groupmod -g 10 build", 4, "ERROR: 10 is already in use.  Choose another."),
        ("groupmod -n staff build", 9, "ERROR: staff is already in use.  Choose another."),
        ("groupmod build", 2, "ERROR: invalid syntax."),
        ("groupdel nosuch", 6, "ERROR: nosuch does not exist."),
    ],
)
def test_what_cannot_be(hand: Hand, line: str, status: int, text: str) -> None:
    before = {name: file(hand, name) for name in ("passwd", "shadow", "group", "user_attr")}
    ended = hand(line)
    assert (ended.exit_code, ended.stderr.splitlines()[0]) == (status, f"UX: {line.split()[0]}: {text}")
    assert {name: file(hand, name) for name in before} == before


def test_accounts_are_for_root(hand: Hand) -> None:
    assert hand("useradd x", user="builder").stderr == "UX: useradd: ERROR: Permission denied.\n"
    assert hand("pfexec useradd x", user="builder").exit_code == 1  # not in its profiles
