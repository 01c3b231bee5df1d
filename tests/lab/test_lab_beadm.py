"""beadm in the global zone: boot environments are made, looked into and destroyed, and the roots of zones go along."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.byhand import Hand, make
from tests.lab.zonehost import ZoneHost

GONE = "{} does not exist or appear to be a valid BE.\nPlease check that the name of the BE provided is correct.\n"


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return make(tmp_path)


def names(hand: Hand) -> list[str]:
    return [line.split(";")[0] for line in hand.out("beadm list -H").splitlines()]


def test_a_boot_environment_is_made_looked_into_and_destroyed(hand: Hand) -> None:
    before = set(hand.out("zfs list -H -t all -o name").split())
    assert hand.out("beadm create new") == "Created successfully\n"
    assert names(hand) == ["openindiana", "new"] or set(names(hand)) == {"openindiana", "new"}
    assert hand.out("zfs get -H -o value canmount rpool/ROOT/new") == "noauto\n"
    numbers = {line.split(";")[1] for line in hand.out("beadm list -H").splitlines()}
    assert len(numbers) == 2  # each has a uuid of its own
    (hand.world.host / "mnt/be").mkdir(parents=True)
    assert hand.out("beadm mount new /mnt/be") == "Mounted successfully on: '/mnt/be'\n"
    assert (hand.world.path("/mnt/be") / "etc/nodename").read_text() == "openindiana\n"
    assert hand.refused("beadm mount new /mnt/be").startswith("new is already mounted.\n")
    assert hand.refused("beadm destroy -F new").startswith("Unable to destroy new.\nIt is currently mounted")
    assert ";/mnt/be;" in hand.out("beadm list -H new")
    assert hand.out("beadm unmount new") == "Unmounted successfully\n"
    assert hand.out("beadm rename new newer") == "Renamed successfully\n"
    assert hand.out("beadm destroy -F newer") == "Destroyed successfully\n"
    assert (
        set(hand.out("zfs list -H -t all -o name").split()) == before
    )  # and the snapshot it was cloned from


def test_snapshots_of_boot_environments(hand: Hand) -> None:
    assert hand.out("beadm create openindiana@before") == "Created successfully\n"
    assert hand.refused("beadm create openindiana@before").startswith(
        "BE openindiana snapshot before already exists.\n"
    )
    assert hand.out("beadm create -e openindiana@before old") == "Created successfully\n"
    assert hand.out("zfs get -H -o value origin rpool/ROOT/old") == "rpool/ROOT/openindiana@before\n"
    listed = hand.out("beadm list -a").splitlines()
    assert listed[0].split() == ["BE/Dataset/Snapshot", "Active", "Mountpoint", "Space", "Policy", "Created"]
    assert any(line.startswith("   rpool/ROOT/openindiana@before ") for line in listed)
    fields = hand.out("beadm list -s -H openindiana").strip().split(";")
    assert (fields[0], fields[1], fields[3]) == ("openindiana", "openindiana@before", "static")
    hand.out("beadm destroy -F old")
    assert hand.out("beadm destroy -F openindiana@before") == "Destroyed successfully\n"


def test_destroying_asks_first(hand: Hand) -> None:
    hand.out("beadm create new")
    asked = "Are you sure you want to destroy new?\nThis action cannot be undone (y/[n]): "
    assert hand("beadm destroy new", stdin="n\n").stdout == f"{asked}new has not been destroyed.\n"
    assert "new" in names(hand)
    assert hand("beadm destroy new", stdin="y\n").stdout == f"{asked}Destroyed successfully\n"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("create openindiana", "BE openindiana already exists\n.Please choose a different BE name.\n"),
        ("destroy -F openindiana", "openindiana is the currently active BE and cannot be destroyed.\n"),
        ("destroy -F nosuch", "Unable to destroy nosuch.\n"),
        ("mount nosuch /mnt/x", GONE.format("nosuch")),
        ("mount openindiana x", "Invalid mount point x. Mount point must start with a /.\n"),
        ("unmount openindiana", "openindiana is the currently active BE.\n"),
        ("rename nosuch x", GONE.format("nosuch")),
        ("activate nosuch", GONE.format("nosuch")),
        ("list -a -d", "Invalid options: -a and -d are mutually exclusive.\n"),
        ("create -e nosuch x", "Unable to create x.\n"),
    ],
)
def test_what_cannot_be(hand: Hand, line: str, text: str) -> None:
    assert hand.refused(f"beadm {line}").startswith(text)


def test_another_boot_environment_cannot_be_booted(hand: Hand) -> None:
    hand.out("beadm create new")
    assert hand.refused("beadm activate new").startswith("lab: beadm activate is not emulated")
    assert hand.out("beadm activate openindiana") == "Activated successfully\n"


def test_changes_are_for_root(hand: Hand) -> None:
    assert hand.refused("beadm create x", user="jim") == (
        "Unable to create x.\nYou have insufficient privileges to execute this command.\n"
    )
    assert hand.out("pfexec beadm create x", user="builder") == "Created successfully\n"


def test_the_roots_of_zones_go_with_a_boot_environment(tmp_path: Path) -> None:
    host = ZoneHost.fresh(tmp_path / "lab")
    host.install("web")
    host.configure("other")
    before = host.datasets()
    host.must("beadm", "create", "new")
    root = "rpool/zones/web/ROOT/zbe-1"
    uuid = next(
        line.split(";")[1]
        for line in host.must("beadm", "list", "-H").splitlines()
        if line.startswith("new;")
    )
    assert host.get(root, "org.opensolaris.libbe:parentbe") == uuid
    assert host.get(root, "org.opensolaris.libbe:active") == "on"
    assert host.get(root, "origin").startswith("rpool/zones/web/ROOT/zbe@")
    host.must("zoneadm", "-z", "web", "boot")  # the zone still runs on the one of this boot environment
    assert "/zones/web/root" in host.mounted()
    assert host.mounted()["/zones/web/root"] == "rpool/zones/web/ROOT/zbe"
    host.must("zoneadm", "-z", "web", "halt")
    host.must("beadm", "destroy", "-F", "new")
    assert host.datasets() == before
    host.world.close()
