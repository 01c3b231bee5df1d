"""svcprop: values, whole groups and whole services, of the host and of zones, as svcprop.c has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.byhand import Hand, in_zone, make

SSH, SYSDING = "svc:/network/ssh:default", "svc:/system/sysding:system"


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return make(tmp_path)


def test_values_of_properties(hand: Hand) -> None:
    assert hand.out("svcprop -p general/enabled ssh") == "true\n"
    assert hand.out("svcprop -p restarter/state ssh") == "online\n"
    hand.out("svcadm disable ssh")
    assert hand.out("svcprop -p general/enabled -p restarter/state ssh") == "false\ndisabled\n"
    assert hand.out("svcprop -t -p general/enabled ssh") == "general/enabled boolean false\n"
    hand.out("svcadm enable -t ssh")
    assert hand.out("svcprop -p general_ovr/enabled -p general/enabled ssh") == "true\nfalse\n"


def test_a_group_says_its_names_and_types(hand: Hand) -> None:
    hand.out("svccfg -s ssh addpg mine application")
    hand.out("svccfg -s ssh setprop mine/word = astring: 'two words'")
    assert hand.out("svcprop -p mine ssh") == "mine/word astring two\\ words\n"
    lines = hand.out("svcprop ssh").splitlines()
    assert "general/enabled boolean true" in lines
    assert "restarter/next_state astring none" in lines
    assert hand.out("svcprop -p mine/word svc:/network/ssh") == "two\\ words\n"
    assert hand.out(f"svcprop {SSH}/:properties/mine/word") == "two\\ words\n"
    assert hand.out(f"svcprop -f -p mine/word {SSH}") == f"{SSH}/:properties/mine/word astring two\\ words\n"


def test_several_services_are_named_in_full(hand: Hand) -> None:
    lines = hand.out("svcprop -p general/enabled 'milestone/*'").splitlines()
    assert "svc:/milestone/multi-user:default/:properties/general/enabled boolean true" in lines


def test_asking_quietly(hand: Hand) -> None:
    ended = hand("svcprop -q -p nosuch/thing ssh")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", "")
    ended = hand("svcprop -q -p general/enabled ssh")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("svcprop nosuch", "svcprop: Pattern 'nosuch' doesn't match any entities\n"),
        ("svcprop -p nosuch ssh", f"svcprop: Couldn't find property group `nosuch' for instance `{SSH}'.\n"),
        ("svcprop -p general/x ssh", f"svcprop: Couldn't find property `general/x' for instance `{SSH}'.\n"),
        ("svcprop -z nosuch ssh", "svcprop: invalid zone 'nosuch'\n"),
        ("svcprop -w -p general ssh", "lab: svcprop -w is not emulated\n"),
    ],
)
def test_refusals(hand: Hand, line: str, text: str) -> None:
    assert hand.refused(line) == text


@pytest.mark.parametrize("line", ["svcprop", "svcprop -C -c ssh", "svcprop -p a/b/c ssh", "svcprop -k ssh"])
def test_usage(hand: Hand, line: str) -> None:
    ended = hand(line)
    assert ended.exit_code == 2
    assert "Usage: svcprop [-fqtv] [-C | -c | -s snapshot] [-z zone] [-p [name/]name]..." in ended.stderr


def test_a_zone_is_asked_from_outside_and_from_inside(hand: Hand) -> None:
    root = hand.installed("web")
    assert hand.refused(f"svcprop -z web {SSH}").startswith(
        "svcprop: Could not connect to configuration repository"
    )
    hand.boots("web")
    hand.world.advance(60)
    assert hand.out(f"svcprop -z web -p config/finished {SYSDING}") == "true\n"
    hand.out("svcadm -z web mark maintenance ssh")
    assert hand.out("svcprop -z web -p restarter/auxiliary_state ssh") == "administrative_request\n"
    assert in_zone(root, "svcprop -p general/enabled ssh", name="web").stdout == "true\n"
    assert in_zone(root, "svcprop -z web ssh", name="web").exit_code == 2
