"""What is published in a lab's repositories, and when images get to know of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.byhand import Hand, make
from zonemgr.lab.pkg import publish
from zonemgr.lab.pkg.publish import Unpublishable

HIPSTER = "http://pkg.openindiana.org/hipster/"
ENCUMBERED = "http://pkg.openindiana.org/hipster-encumbered/"
OWN = "http://pkg.example.org/"


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return make(tmp_path)


def installed(hand: Hand, name: str) -> str:
    return hand.out(f"pkg list -Hv {name}").split()[0]


def test_a_new_version_is_seen_after_a_refresh_only(hand: Hand) -> None:
    fmri = publish.publish(hand.world, "developer/versioning/git")
    assert fmri.startswith("pkg://openindiana.org/developer/versioning/git@2.47.1-2024.0.0.1:")
    assert hand("pkg list -u git").exit_code == 1
    assert hand("pkg update -n --no-refresh").exit_code == 4
    hand.out("pkg refresh")
    assert hand("pkg list -u git").exit_code == 0
    assert hand("pkg update -n").exit_code == 0
    assert installed(hand, "git") != fmri
    hand.out("pkg update --no-backup-be")  # which refreshes by itself
    assert installed(hand, "git") == fmri
    assert hand("pkg update -n").exit_code == 4


def test_a_new_package_with_all_it_says_of_itself(hand: Hand) -> None:
    publish.publish(hand.world, "tools/base", "1.0")
    publish.publish(hand.world, "tools/top", depends=["tools/base@1.0"], excludes=["text/gawk"])
    hand.out("pkg install tools/top")
    assert "tools/base" in hand.out("pkg list -H")
    assert "Unable to remove 'tools/base@1.0'" in hand.refused("pkg uninstall tools/base")
    said = hand.refused("pkg install gawk")
    assert "Package 'tools/top' must be uninstalled or upgraded" in said
    assert "'exclude' dependency text/gawk on proposed package" in said


def test_a_version_that_cannot_be_installed_is_passed_over_unless_asked_for(hand: Hand) -> None:
    older = publish.publish(hand.world, "developer/versioning/git")
    publish.publish(hand.world, "developer/versioning/git", depends=["no/such"])
    hand.out("pkg update --no-backup-be")
    assert installed(hand, "git") == older
    said = hand.refused("pkg update git@2.47.1-2024.0.0.2")
    assert said.startswith(
        "\npkg update: No matching version of developer/versioning/git can be installed:\n"
    )
    assert "No version for 'require' dependency on no/such can be found" in said
    assert hand("pkg update").exit_code == 4


def test_an_obsolete_version_takes_the_package_away(hand: Hand) -> None:
    hand.out("pkg install gawk")
    publish.publish(hand.world, "text/gawk", obsolete=True)
    assert "Packages to remove:  1" in hand.out("pkg update --no-backup-be")
    assert hand("pkg list gawk").exit_code == 1
    assert hand("pkg install gawk").exit_code == 4, "it is no failure, and nothing was installed"
    assert hand("pkg list gawk").exit_code == 1


def test_what_a_new_version_needs_comes_along(hand: Hand) -> None:
    publish.publish(hand.world, "developer/versioning/git", depends=["text/gawk"])
    hand.out("pkg update --no-backup-be git")
    assert "text/gawk" in hand.out("pkg list -H")


@pytest.mark.parametrize("flavour", ["omnios", "openindiana"])
def test_what_a_rule_forbids_is_told_with_its_reason(tmp_path: Path, flavour: str) -> None:
    hand = make(tmp_path, flavour=flavour)
    hand.out("pkg install sendmail")
    ended = hand("pkg install postfix")
    assert (ended.exit_code, "  Reason:  Package contains 'exclude'" in ended.stderr) == (1, True)
    boilerplate = "Re-run the operation with the -v option" in ended.stderr
    assert boilerplate is (flavour == "omnios")


def test_one_more_repository(hand: Hand) -> None:
    publish.repository(hand.world, "example", OWN)
    publish.publish(hand.world, "tools/one", publisher="example")
    assert hand("pkg install tools/one").exit_code == 1
    hand.out(f"pkg set-publisher -g {OWN} example")
    hand.out("pkg install tools/one")
    assert installed(hand, "tools/one").startswith("pkg://example/tools/one@1.0-")


def test_a_repository_that_does_not_answer(hand: Hand) -> None:
    publish.silence(hand.world, HIPSTER)
    ended = hand("pkg update")
    assert ended.exit_code == 4
    assert "\nNo updates available for this image.\n" in ended.stdout
    assert "\nWARNING: Errors were encountered when attempting to retrieve package\n" in ended.stdout
    assert "contact repository for publisher 'openindiana.org'.\n" in ended.stdout
    assert ended.stderr == ""
    assert hand("pkg install bash").exit_code == 4  # is there
    said = hand.refused("pkg install gawk")
    assert said.startswith(
        "\nErrors were encountered while attempting to retrieve package or file data for\n"
    )
    assert "code: E_COULDNT_CONNECT (7) reason: Failed to connect to pkg.openindiana.org:80 after" in said
    assert hand("pkg install --no-refresh gawk").exit_code == 1  # the catalogue is there, the package is not
    assert hand("pkg refresh").exit_code == 3
    assert hand("pkg refresh openindiana.org").exit_code == 1
    publish.silence(hand.world, HIPSTER, answers=True)
    hand.out("pkg refresh")


def test_one_repository_of_two_does_not_answer(hand: Hand) -> None:
    publish.silence(hand.world, ENCUMBERED)
    ended = hand("pkg install gawk")
    assert ended.exit_code == 0
    assert "WARNING: Errors were encountered" in ended.stdout
    assert installed(hand, "gawk").startswith("pkg://openindiana.org/text/gawk@")
    hand.world.put("pkg.updates", "1")
    ended = hand("pkg install --no-refresh web/wget")  # to fetch it, all repositories are asked
    assert (ended.exit_code, "WARNING" in ended.stdout) == (0, True)


def test_what_cannot_be_published(hand: Hand) -> None:
    for name, version, publisher in (("a b", "", ""), ("a", "x", ""), ("a", "", "nobody")):
        with pytest.raises(Unpublishable):
            publish.publish(hand.world, name, version, publisher=publisher)
    with pytest.raises(Unpublishable):
        publish.repository(hand.world, "other", HIPSTER.rstrip("/"))
