"""Publishers of an image in a lab: their order, what they are worth, and what zones must know of the global zone's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.byhand import Hand, make
from tests.support import Lab
from zonemgr.lab.pkg import publish

OWN, OTHER = "http://pkg.example.org/", "http://mirror.example.org/"
HIPSTER = "http://pkg.openindiana.org/hipster/"


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    made = make(tmp_path)
    publish.repository(made.world, "example", OWN)
    publish.publish(made.world, "tools/one", publisher="example")
    return made


def order(hand: Hand, *options: str) -> list[str]:
    rows = hand.out(" ".join(("pkg publisher -H -F tsv", *options))).splitlines()
    return list(dict.fromkeys(row.split("\t")[0] for row in rows))


def test_the_order_publishers_are_searched_in(hand: Hand) -> None:
    hand.out(f"pkg set-publisher -g {OWN} example")
    assert order(hand) == ["openindiana.org", "hipster-encumbered", "example"]
    hand.out("pkg set-publisher --search-before hipster-encumbered example")
    assert order(hand) == ["openindiana.org", "example", "hipster-encumbered"]
    hand.out("pkg set-publisher --search-after hipster-encumbered example")
    assert order(hand) == ["openindiana.org", "hipster-encumbered", "example"]
    hand.out("pkg set-publisher -P example")
    assert (order(hand)[0], order(hand, "-P")) == ("example", ["example"])
    for words in ("--search-before nosuch example", "--search-after example example"):
        assert hand(f"pkg set-publisher {words}").exit_code == 1


def test_a_package_of_two_publishers_is_the_first_ones(hand: Hand) -> None:
    publish.publish(hand.world, "text/gawk", "9.0", publisher="example")
    hand.out(f"pkg set-publisher -g {OWN} example")
    hand.out("pkg install gawk")
    assert hand.out("pkg list -Hv gawk").startswith("pkg://openindiana.org/text/gawk@5.3.1-")
    hand.out("pkg set-publisher -P example")
    assert hand("pkg update --no-backup-be gawk").exit_code == 4  # it sticks to the publisher it came from
    hand.out("pkg set-publisher --non-sticky openindiana.org")
    hand.out("pkg update --no-backup-be gawk")
    assert hand.out("pkg list -Hv gawk").startswith("pkg://example/text/gawk@9.0")
    hand.out("pkg install --no-backup-be pkg://openindiana.org/text/gawk")  # or by name
    assert hand.out("pkg list -Hv gawk").startswith("pkg://openindiana.org/")


def test_what_is_disabled_or_without_origins_offers_nothing(hand: Hand) -> None:
    hand.out(f"pkg set-publisher -g {OWN} example")
    hand.out("pkg set-publisher -d example")
    assert hand("pkg install tools/one").exit_code == 1
    assert order(hand, "-n") == ["openindiana.org", "hipster-encumbered"]
    hand.out("pkg set-publisher -e example")
    hand.out("pkg set-publisher -G '*' example")
    assert hand.out("pkg publisher -H -F tsv").splitlines()[-1] == "example\ttrue\tfalse\ttrue\t\t\t\t"
    assert hand("pkg install tools/one").exit_code == 1
    hand.out(f"pkg set-publisher -G '*' -g {OWN} example")
    hand.out("pkg install tools/one")


def test_not_refreshed_is_not_known(hand: Hand) -> None:
    hand.out(f"pkg set-publisher --no-refresh -g {OWN} example")
    assert hand("pkg install --no-refresh tools/one").exit_code == 1
    hand.out("pkg refresh example")
    hand.out("pkg install --no-refresh tools/one")


def test_taken_from_the_repository_itself(hand: Hand) -> None:
    for verb in ("Added", "Updated"):
        said = hand.out(f"pkg set-publisher -p {OWN}")
        assert said.endswith(f"\npkg set-publisher:\n  {verb} publisher(s): example\n")
    assert "only example." in hand.refused(f"pkg set-publisher -p {OWN} nosuch")
    assert hand("pkg set-publisher -p http://nosuch.org/").exit_code == 1


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("-P --search-before x example", 2),
        ("-e -d example", 2),
        ("--sticky --non-sticky example", 2),
        (f"-O {OWN} -g {OWN} example", 2),
        (f"-p {OWN} -g {OWN}", 2),
        ("", 2),
        ("a b", 2),
        ("'a b'", 1),
        (f"-g {OTHER} example", 1),
        (f"-G {OTHER} openindiana.org", 1),
        (f"-g {HIPSTER} openindiana.org", 1),
        ("-M http://x/ openindiana.org", 1),
    ],
)
def test_refusals_change_nothing(hand: Hand, words: str, status: int) -> None:
    was = hand.inside.everything()
    ended = hand(f"pkg set-publisher {words}")
    assert (ended.exit_code, ended.stdout) == (status, ""), ended
    assert hand.inside.everything() == was


def test_zones_of_linked_brands_know_all_publishers_of_the_global_zone(lab: Lab) -> None:
    script = "create -b; set zonepath=/zones/giz/child; set brand=ipkg; set ip-type=exclusive"
    lab.run("zonecfg", "-z", "child", script)
    lab.run("zoneadm", "-z", "child", "install")
    root = "/zones/giz/child/root"
    lab.run("pkg", "-R", root, "install", "gawk")
    publish.repository(lab.world, "example", OWN)
    lab.run("pkg", "-R", root, "set-publisher", "-g", OWN, "example")
    lab.run("pkg", "-R", root, "install", "wget")  # more than the parent has: allowed, below
    lab.run("pkg", "-R", root, "set-publisher", "-P", "example")
    ended = lab.inside.run(("pkg", "-R", root, "install", "gnu-grep"))
    assert (ended.exit_code, "must be a superset of the parent image" in ended.stderr) == (1, True)
    assert "    PUBLISHER 0: example\n    PUBLISHER 1: openindiana.org\n" in ended.stderr
    lab.run("pkg", "-R", root, "unset-publisher", "example", "hipster-encumbered")
    assert lab.inside.run(("pkg", "-R", root, "uninstall", "gawk")).exit_code == 1
    other = "/zones/giz/tools/root"  # nlipkg: nobody's child
    lab.run("pkg", "-R", other, "unset-publisher", "hipster-encumbered")
    lab.run("pkg", "-R", other, "install", "gawk")
