"""Command lines in every order and spelling mean the same call, and strays are refused."""

from __future__ import annotations

import pytest

from zonemgr.cli import argv
from zonemgr.cli.words import ACTIONS, OPTIONS
from zonemgr.errors import UsageError


@pytest.mark.parametrize(
    "line",
    ["-z build-1 boot", "boot -z build-1", "boot build-1", "--zone=build-1 boot", "boot --zone build-1",
     "halt boot build-1", "-zbuild-1 boot"],
)  # fmt: skip
def test_options_stand_before_or_behind_the_action(line: str) -> None:
    parsed = argv.parse(line.split())
    assert parsed.for_typer() == ["boot", "--zone=build-1"]


@pytest.mark.parametrize(
    ("line", "action"),
    [
        (["--exec-cmd", "make", "-z", "build-1"], "exec"),
        (["-c", "tools"], "create-diz"),
        (["-c", "tools", "--exec-cmd", "make"], "exec-diz"),
        (["create-giz", "list"], "list"),
        (["list", "create-giz", "-z", "x"], "create-giz"),
    ],
)
def test_the_action_may_be_implied_and_the_last_one_wins(line: list[str], action: str) -> None:
    parsed = argv.parse(line)
    assert parsed.action is not None
    assert parsed.action.name == action


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_every_spelling_of_an_action_is_that_action(action: object) -> None:
    for spelling in action.spellings:  # type: ignore[attr-defined]
        words = [spelling, "x"] if action.name in argv.OWN_WORDS else [spelling]  # type: ignore[attr-defined]
        assert argv.parse(words).action is action


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_spelling_of_an_option_is_that_option(option: object) -> None:
    action = next(a for a in ACTIONS if option.everywhere or option.name in a.takes)  # type: ignore[attr-defined]
    if option.name in ("--list-flags",):  # type: ignore[attr-defined]
        return
    for spelling in option.spellings:  # type: ignore[attr-defined]
        value = ["7"] if option.takes else []  # type: ignore[attr-defined]
        parsed = argv.parse([action.name, spelling, *value])
        assert parsed.value(option.name) == ("7" if value else "")  # type: ignore[attr-defined]


def test_list_options_append() -> None:
    parsed = argv.parse(["create-diz", "-c", "g", "--mount-lofs", "/a /b", "--mount-lofs", "/c|/d"])
    assert "--mount-lofs=/a /b /c|/d" in parsed.for_typer()


def test_flags_of_list_are_zoneadms_only_right_behind_it() -> None:
    assert argv.parse(["list", "-cp"]).value("--list-flags") == "cp"
    assert argv.parse(["list", "-c", "-v"]).for_typer() == ["list", "--list-flags=cv"]
    assert argv.parse(["-p", "gcc", "create-giz"]).value("--add-packages") == "gcc"


def test_a_zone_may_be_called_like_an_action() -> None:
    assert argv.parse(["get-state", "list"]).for_typer() == ["get-state", "--zone=list"]


def test_a_level_behind_debug_is_optional() -> None:
    assert argv.parse(["-d", "5", "list"]).value("--debug") == "5"
    assert argv.parse(["-d", "list"]).value("--debug") == "+1"


def test_words_behind_two_dashes_are_the_command() -> None:
    one = argv.parse(["exec", "-z", "b", "--", "cd /x && make"])
    several = argv.parse(["exec", "-z", "b", "--", "echo", "a  b"])
    assert one.value("--exec-cmd") == "cd /x && make"
    assert several.value("--exec-cmd") == "echo 'a  b'"


def test_values_that_look_like_options_stay_values() -> None:
    parsed = argv.parse(["exec", "-z", "b", "--exec-user", "-S", "--exec-cmd", "-x --help"])
    assert parsed.value("--exec-user") == "-S"
    assert parsed.value("--exec-cmd") == "-x --help"
    assert not parsed.has("--help")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (["frobnicate"], "neither an action nor an option"),
        (["creat-giz"], "neither an action nor an option"),
        (["list", "--frob"], "no option --frob"),
        (["boot", "-z"], "needs a value"),
        (["boot", "-z", "b", "--quota", "1G"], "no use for --quota"),
        (["list", "--json=yes"], "takes no value"),
        (["rollback", "-z", "b", "-s", ""], "the value of --snapshot is empty"),
        (["boot", "--zone="], "the value of --zone is empty"),
        (["boot", "a", "b"], "neither an action nor an option"),
    ],
)
def test_strays_are_refused(line: list[str], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        argv.parse(line)


def test_a_near_miss_is_named() -> None:
    with pytest.raises(UsageError) as refused:
        argv.parse(["creat-giz"])
    assert refused.value.hint == "did you mean create-giz?"


@pytest.mark.parametrize(
    ("line", "words"),
    [("-Z -z mine", ["--zone=mine"]), ("-z mine -Z", ["--zone-autoname"]), ("-z a -Z -z b", ["--zone=b"])],
)
def test_of_the_two_ways_to_name_a_new_zone_the_last_wins(line: str, words: list[str]) -> None:
    assert argv.parse(["create-diz", "-c", "tools", *line.split()]).for_typer()[1:] in (
        ["--clone=tools", *words],
        [*words, "--clone=tools"],
    )


def test_n_behind_list_is_a_dry_run_as_everywhere() -> None:
    parsed = argv.parse(["list", "-n"])
    assert parsed.has("--dry-run")
    assert parsed.for_typer() == ["list"]


def test_an_empty_source_is_no_wish_for_an_image_from_nothing() -> None:
    with pytest.raises(UsageError, match="--from is empty"):
        argv.parse(["create-giz", "-z", "x", "--from", ""])
