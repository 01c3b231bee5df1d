"""Command lines in any order, as the predecessor took them, put into the one order Typer takes.

`zonemgr -z build-1 boot`, `zonemgr boot -z build-1` and `zonemgr boot build-1` are the same call; the last action
wins; `--exec-cmd` alone means exec, `-c GIZ` alone means create-diz.
"""

from __future__ import annotations

import difflib
import re
import shlex
from dataclasses import dataclass, field

from zonemgr.cli.words import ACTION_OF, OPTION_OF, OPTIONS, Action, Option
from zonemgr.errors import UsageError

LIST_FLAGS = re.compile(r"-[cvpi]+")  # not n: that is --dry-run, here as everywhere
DEVEL_DEBUG = "DEVEL_DEBUG"  # the predecessor's way to call one of its own functions
MAKERS = ("create-giz", "create-diz", "exec-diz")
OWN_WORDS = ("log", "config", "completion")  # the words that follow these are theirs, also `list` or `exec`


@dataclass
class Line:
    """A command line, taken apart."""

    action: Action | None = None
    everywhere: list[tuple[Option, str]] = field(default_factory=list)
    options: list[tuple[Option, str]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # what is left aside, for old command lines

    def has(self, name: str) -> bool:
        return any(option.name == name for option, _ in (*self.everywhere, *self.options))

    def value(self, name: str) -> str | None:
        found = [value for option, value in (*self.everywhere, *self.options) if option.name == name]
        return found[-1] if found else None

    def for_typer(self) -> list[str]:
        """`ACTION [its options] [words]`, values as --name=value; options that are everywhere are not Typer's."""
        assert self.action is not None
        words = ["--", *self.words] if self.words else []
        return [self.action.name, *_spelled(self.options, self.action), *words]


def parse(argv: list[str]) -> Line:
    """Take a command line apart; raises UsageError for what it cannot place."""
    line = Line()
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == DEVEL_DEBUG:
            _take_old_function(line, rest)
            return line
        if word == "--":
            _trailing(line, rest)
            break
        if word.startswith("-") and word != "-":
            _take_option(line, word, rest)
        elif word in ACTION_OF:
            _take_action(line, ACTION_OF[word], rest)
            if ACTION_OF[word].name == "lab" and rest:
                line.words = rest  # it has a command line of its own, options and all
                break
            if ACTION_OF[word].name in OWN_WORDS:
                _take_own_words(line, rest)
        else:
            _take_word(line, word)
    _drop_empty(line)
    _imply_action(line)
    _let_the_last_name_win(line)
    _split_snapshots(line)
    _refuse_strays(line)
    return line


def _take_old_function(line: Line, words: list[str]) -> None:
    """What stands before it are the options of the function; the only one that had a use for them is now modify."""
    if words == ["setup_zone_postinstall"]:
        line.action = ACTION_OF["modify"]
        _refuse_strays(line)
    else:
        line.action, line.words, line.options = ACTION_OF[DEVEL_DEBUG], words, []


def _take_option(line: Line, word: str, rest: list[str]) -> None:
    name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
    option = OPTION_OF.get(name)
    if option is None and re.fullmatch(r"-[A-Za-z]..*", word) and word[:2] in OPTION_OF:
        option, equals, value = OPTION_OF[word[:2]], "=", word[2:]  # -zNAME
        if not option.takes:
            option, equals = None, ""
    if option is None:
        raise UsageError(f"there is no option {name}", hint=_nearest(name, list(OPTION_OF)))
    if not option.takes:
        if equals:
            raise UsageError(f"{name} takes no value")
        value = ""
    elif not equals:
        value = _value_of(option, name, rest)
    if option.everywhere and option.takes and not value:
        raise _empty(name)
    (line.everywhere if option.everywhere else line.options).append((option, value))


def _value_of(option: Option, name: str, rest: list[str]) -> str:
    if option.name == "--debug":  # its LEVEL may be left out
        return rest.pop(0) if rest and re.fullmatch(r"-?\d+", rest[0]) else "+1"
    if not rest:
        raise UsageError(f"{name} needs a value")
    return rest.pop(0)


def _drop_empty(line: Line) -> None:
    """An empty value is an unset variable of a script, most likely: the predecessor's makers took it as not given.

    Of other actions it is refused: `rollback -s ""` must not mean the newest snapshot, nor `destroy -s ""` the zone.
    """
    empty = [option for option, value in line.options if option.takes and not option.list and not value]
    if not empty:
        return
    source = [
        option for option in empty if option.name == "--from"
    ]  # or an image from nothing would come of it
    if line.action is None or line.action.name not in MAKERS or source:
        raise _empty((source or empty)[0].name)
    line.options = [(option, value) for option, value in line.options if value or option not in empty]


def _let_the_last_name_win(line: Line) -> None:
    """-z NAME and -Z both say what the new zone is called; callers put one behind a default of the other."""
    names = [pair for pair in line.options if pair[0].name in ("--zone", "--zone-autoname")]
    if line.action is not None and line.action.name in MAKERS and len({pair[0].name for pair in names}) > 1:
        line.options = [pair for pair in line.options if pair not in names or pair is names[-1]]


def _empty(name: str) -> UsageError:
    return UsageError(f"the value of {name} is empty", hint="leave the option out if nothing is meant")


def _split_snapshots(line: Line) -> None:
    """`-z ZONE@SNAP` is `-z ZONE -s SNAP`, and `-c GIZ@SNAP` names the snapshot to clone from."""
    if line.action is None:
        return
    for option, value in list(line.options):
        zone, at, snapshot = value.partition("@")
        if not at or option.name not in ("--zone", "--clone") or "--snapshot" not in line.action.takes:
            continue
        if option.name == "--zone" and line.action.name in MAKERS:
            continue  # a new zone has no snapshots; its name is refused where it is checked
        if not (zone and snapshot):
            raise UsageError(f"{value!r} is not ZONE@SNAP", hint="name both, or leave the @ out")
        given = line.value("--snapshot")
        if given not in (None, snapshot):
            raise UsageError(f"{value} and -s {given} are two snapshots", hint="leave one of them out")
        line.options[line.options.index((option, value))] = (option, zone)
        if given is None:
            line.options.append((OPTION_OF["--snapshot"], snapshot))


def _take_action(line: Line, action: Action, rest: list[str]) -> None:
    line.action = action
    if action.words == "list-flags":
        while rest and LIST_FLAGS.fullmatch(rest[0]):
            line.options.append((OPTION_OF["--list-flags"], rest.pop(0)[1:]))
    # The word behind a question is its zone, even if it looks like an action: a zone may be called `list`.
    elif (
        action.words == "zone"
        and line.value("--zone") is None
        and rest
        and not rest[0].startswith("-")
        and (rest[0] not in ACTION_OF or action.module in ("look", "snaps"))
    ):
        line.options.append((OPTION_OF["--zone"], rest.pop(0)))


def _take_own_words(line: Line, rest: list[str]) -> None:
    while rest:
        word = rest.pop(0)
        if word == "--":
            line.words += rest
            rest.clear()
        elif word.startswith("-") and word != "-":
            _take_option(line, word, rest)
        else:
            line.words.append(word)


def _take_word(line: Line, word: str) -> None:
    if line.action is not None and line.action.words == "file" and line.value("--from") is None:
        line.options.append((OPTION_OF["--from"], word))
        return
    if line.action is not None and line.action.words == "zones":
        line.options.append((OPTION_OF["--zone"], word))
        return
    takes_zone = line.action is not None and "--zone" in line.action.takes
    if takes_zone and line.value("--zone") is None:
        line.options.append((OPTION_OF["--zone"], word))
        return
    hint = _nearest(word, list(ACTION_OF)) if line.action is None else None
    raise UsageError(f"{word!r} is neither an action nor an option", hint=hint or "see: zonemgr --help")


def _trailing(line: Line, rest: list[str]) -> None:
    """What stands behind `--` is the command of exec: one word is a shell command, several are its arguments."""
    if not rest:
        return
    command = rest[0] if len(rest) == 1 else shlex.join(rest)
    line.options.append((OPTION_OF["--exec-cmd"], command))


def _imply_action(line: Line) -> None:
    if line.action is None:
        if line.has("--exec-cmd"):
            line.action = ACTION_OF["exec-diz" if line.has("--clone") else "exec"]
        elif line.has("--clone"):
            line.action = ACTION_OF["create-diz"]


def _refuse_strays(line: Line) -> None:
    """An option that the action has no use for is an error, not a silent nothing.

    The predecessor said nothing about it, and callers give one set of options to all actions: its own options are
    left aside with a warning.
    """
    if line.action is None or line.has("--help"):
        return
    for option, value in list(line.options):
        if option.name in line.action.takes:
            continue
        text = f"{line.action.name} has no use for {option.name}"
        if not option.old:
            raise UsageError(text, hint=f"see: zonemgr {line.action.name} --help")
        line.options.remove((option, value))
        if text not in line.warnings:
            line.warnings.append(text)


def _spelled(options: list[tuple[Option, str]], action: Action) -> list[str]:
    words: list[str] = []
    for option in OPTIONS:
        values = [value for known, value in options if known is option]
        if not values:
            continue
        if not option.takes:
            words.append(option.name)
        elif option.list:
            words.append(f"{option.name}={' '.join(values)}")
        elif option.name == "--exec-env" or (option.name == "--zone" and action.words == "zones"):
            words += [f"{option.name}={value}" for value in values]
        elif option.name == "--list-flags":
            words.append(f"{option.name}={''.join(values)}")
        else:
            words.append(f"{option.name}={values[-1]}")
    return words


def _nearest(word: str, known: list[str]) -> str | None:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else None
