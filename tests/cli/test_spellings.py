"""Every spelling of illumos-zonemgr, the contract with those who call it: one table, walked."""

from __future__ import annotations

import re

import pytest

from zonemgr.cli import argv
from zonemgr.cli.words import ACTION_OF, OPTION_OF
from zonemgr.errors import UsageError

# What the predecessor's callers write, by what it means here.
OPTIONS: dict[str, str] = {
    "--help": "-h --help -help",
    "--config": "--config",
    "--print-config": "--print-config",
    "--debug": "-d --debug",
    "--quiet": "-q",
    "--errors-only": "-Q",
    "--outfile": "-O --outfile",
    "--dry-run": "-n --dry-run --dryrun",
    "--template": "-t --template",
    "--brand": "-b --brand",
    "--clone": "-c --clone --origin",
    "--snapshot": "-s --snapshot --snapname",
    "--zone": "-z --zone",
    "--zone-autoname": "-Z --zone-autoname",
    "--add-packages": "-p --add-packages --add-package --install-packages --install-package",
    "--remove-packages": "-P --remove-packages --remove-package --del-packages --del-package --uninstall-packages "
    "--uninstall-package",
    "--add-publishers": "-g --add-publisher --add-publishers",
    "--remove-publishers": "-G --remove-publisher --remove-publishers --del-publisher --del-publishers",
    "--mount-lofs": "--mount-lofs",
    "--mount-autonfs": "--mount-autonfs",
    "--delegate-dataset": "--delegate-dataset",
    "--copy-users": "--copy-users --copy-user",
    "--copy-groups": "--copy-groups --copy-group",
    "--elevate-users": "--elevate-users --elevate-user",
    "--add-vnic": "--add-vnic --add-vnics --use-vnic --use-vnics",
    "--add-vnic-over": "--add-vnic-over --add-vnics-over --use-vnic-over --use-vnics-over --auto-vnic --auto-vnics",
    "--exec-cmd": "--exec-cmd",
    "--exec-user": "--exec-user",
    "--exec-discard": "--exec-discard",
}
FLAGS = ("--help", "--print-config", "--quiet", "--errors-only", "--dry-run", "--zone-autoname")
APPENDED = (
    "--add-packages", "--remove-packages", "--add-publishers", "--remove-publishers", "--mount-lofs",
    "--mount-autonfs", "--delegate-dataset", "--copy-users", "--copy-groups", "--elevate-users", "--add-vnic",
    "--add-vnic-over",
)  # fmt: skip
ACTIONS: dict[str, str] = {
    "create-giz": "create-giz", "create-diz": "create-diz", "exec-diz": "exec-diz run-diz", "exec": "exec run",
    "list": "list list-all", "list-giz": "list-giz", "list-diz": "list-diz",
    "is-managed": "is-managed is-managed-all is-managed-any", "is-giz": "is-giz is-managed-giz",
    "is-diz": "is-diz is-managed-diz", "get-state": "get-state getstate state status", "verify": "verify validate",
    "destroy": "destroy", "destroy-snapshot": "destroy-snapshot destroy-snap", "boot": "boot", "start": "start",
    "singleuser": "singleuser boot-single", "stop": "stop", "halt": "halt", "poweroff": "poweroff",
    "shutdown": "shutdown", "restart": "restart", "reboot": "reboot reset", "ready": "ready", "mount": "mount",
    "unmount": "unmount umount", "pkg-refresh": "pkg-refresh", "pkg-upgrade": "pkg-upgrade",
    "pkg-install": "pkg-install", "pkg-uninstall": "pkg-uninstall", "snapshot": "snapshot", "rollback": "rollback",
    "list-snapshots": "list-snapshots list-snaps",
}  # fmt: skip


@pytest.mark.parametrize(
    ("meaning", "spelling"), [(m, s) for m, spellings in OPTIONS.items() for s in spellings.split()]
)
def test_an_option_in_every_spelling(meaning: str, spelling: str) -> None:
    assert OPTION_OF[spelling].name == meaning
    words = [spelling] if meaning in FLAGS else [spelling, "7"]
    for line in (["create-giz", *words], [*words, "create-giz"]):
        parsed = argv.parse(line)
        assert parsed.action is not None and parsed.action.name == "create-giz"
        assert parsed.value(meaning) == ("" if meaning in FLAGS else "7") or meaning.startswith("--exec")


@pytest.mark.parametrize(
    ("meaning", "spelling"), [(m, s) for m, spellings in ACTIONS.items() for s in spellings.split()]
)
def test_an_action_in_every_spelling(meaning: str, spelling: str) -> None:
    assert ACTION_OF[spelling].name == meaning
    for line in ([spelling, "-z", "build-1"], ["-z", "build-1", spelling]):
        parsed = argv.parse(line)
        assert parsed.for_typer() == [meaning, "--zone=build-1"]


@pytest.mark.parametrize("name", APPENDED)
def test_lists_append_in_any_mixture_of_spellings(name: str) -> None:
    spellings = OPTIONS[name].split()
    first, second = spellings[0], spellings[-1]
    parsed = argv.parse(["create-diz", first, "one two", second, "three", "-c", "tools"])
    assert f"{name}=one two three" in parsed.for_typer()


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - set(APPENDED) - set(FLAGS) - {"--debug"}))
def test_of_other_options_the_last_one_wins(name: str) -> None:
    spelling = OPTIONS[name].split()[0]
    action = "exec-diz"
    parsed = argv.parse([spelling, "one", action, spelling, "two"])
    assert parsed.value(name) == "two"


@pytest.mark.parametrize(
    "flags", ["-c", "-v", "-cv", "-vc", "-cp", "-p", "-pv", "-i", "-iv", "-vi", "-ip", "-pi"]
)
def test_lists_take_the_flags_of_zoneadm(flags: str) -> None:
    for action in ("list", "list-all", "list-giz", "list-diz"):
        assert argv.parse([action, flags]).value("--list-flags") == flags[1:]


@pytest.mark.parametrize(
    "action",
    [a for a in ACTIONS if re.match("is-|get-|verify|list-snap", a)],
)
def test_questions_take_the_zone_as_a_word(action: str) -> None:
    for spelling in ACTIONS[action].split():
        assert argv.parse([spelling, "build-1"]).for_typer() == [action, "--zone=build-1"]


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_options_an_action_has_no_use_for_are_left_aside_aloud(action: str) -> None:
    """Jobs give one set of options to all actions; the predecessor said nothing."""
    parsed = argv.parse([action, "-z", "build-1", "--copy-users", "jim", "-p", "gcc", "-Z"])
    assert parsed.action is not None
    given = {option.name for option, _ in parsed.options}
    assert given <= set(parsed.action.takes)
    left = {"--copy-users", "--add-packages", "--zone-autoname"} - set(parsed.action.takes)
    assert {text.rsplit(" ", 1)[-1] for text in parsed.warnings} == left


@pytest.mark.parametrize("action", ["create-giz", "create-diz", "exec-diz"])
@pytest.mark.parametrize("name", ["-z", "-s", "-t", "-b", "-c"])
def test_an_unset_variable_of_a_script_is_no_value_to_those_that_make(action: str, name: str) -> None:
    parsed = argv.parse([action, name, "", "--copy-users", ""])
    assert parsed.value(OPTION_OF[name].name) is None
    assert parsed.warnings == []


def test_a_zone_and_its_snapshot_in_one_word() -> None:
    for action in ("snapshot", "rollback", "destroy", "destroy-snapshot"):
        parsed = argv.parse([action, "build-1@clean"])
        assert (parsed.value("--zone"), parsed.value("--snapshot")) == ("build-1", "clean")
    parsed = argv.parse(["create-diz", "-c", "tools@initial", "-z", "build-1"])
    assert (parsed.value("--clone"), parsed.value("--snapshot")) == ("tools", "initial")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (["rollback", "-z", "a@b", "-s", "c"], "two snapshots"),
        (["rollback", "-z", "a@"], "not ZONE@SNAP"),
        (["rollback", "-z", "@b"], "not ZONE@SNAP"),
        (["rollback", "-z", "a", "-s", ""], "the value of --snapshot is empty"),
        (["destroy", "-z", "a", "-s", ""], "the value of --snapshot is empty"),
    ],
)
def test_what_could_be_two_things_is_refused(line: list[str], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        argv.parse(line)


def test_the_same_snapshot_twice_is_no_contradiction() -> None:
    assert argv.parse(["rollback", "a@b", "-s", "b"]).value("--snapshot") == "b"
