"""pgrep and pkill of illumos, for the lab's processes in the global zone and in zones (gate, cmd/pgrep/pgrep.c)."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from zonemgr.lab import killing, options, proctable
from zonemgr.lab.call import Call
from zonemgr.lab.proctable import Names, Process

CRITERIA = (
    "\t[-u euidlist] [-U uidlist] [-G gidlist] [-J projidlist]\n"
    "\t[-T taskidlist] [-t termlist] [-z zonelist] [-c ctidlist] [pattern]\n"
)
USAGE = {
    "pgrep": "Usage: pgrep [-flnovx] [-d delim] [-P ppidlist] [-g pgrplist] [-s sidlist]\n" + CRITERIA,
    "pkill": "Usage: pkill [-signal] [-fnovx] [-P ppidlist] [-g pgrplist] [-s sidlist]\n" + CRITERIA,
}
LETTERS = {"pgrep": "flnovxc:d:D:u:U:G:P:g:s:t:z:J:T:", "pkill": "fnovxc:D:u:U:G:P:g:s:t:z:J:T:"}
CRITERION = "cuUGPgstzJT"
NOT_EMULATED = "DJT"
FOUND, NONE, WRONG = 0, 1, 2


class Refused(Exception):
    """It ends with status 2; the text, and the usage where `usage` says so."""

    def __init__(self, text: str, *, usage: bool = False) -> None:
        super().__init__(text)
        self.text, self.usage = text, usage


@dataclass
class Criteria:
    """What a process has to match: each list that was given, and the pattern."""

    lists: dict[str, set[int | str]] = field(default_factory=dict)
    pattern: re.Pattern[str] | None = None
    flags: set[str] = field(default_factory=set)

    def matches(self, each: Process) -> bool:
        values: dict[str, int | str] = {
            "c": each.contract, "u": each.uid, "U": each.uid, "G": each.gid, "P": each.parent,
            "g": each.process_group, "s": each.session, "t": each.terminal, "z": each.zone_id,
        }  # fmt: skip
        wanted = all(values[letter] in wanted for letter, wanted in self.lists.items())
        return (wanted and self._pattern(each)) != ("v" in self.flags)

    def _pattern(self, each: Process) -> bool:
        if self.pattern is None:
            return True
        subject = each.args if "f" in self.flags else each.name
        found = self.pattern.fullmatch(subject) if "x" in self.flags else self.pattern.search(subject)
        return found is not None


def command(call: Call) -> int:
    name = "pkill" if call.name.endswith("pkill") else "pgrep"
    try:
        return _command(call, name)
    except Refused as no:
        call.err(f"{name}: {no.text}\n" if no.text else "")
        call.err(USAGE[name] if no.usage else "")
        return WRONG


def _command(call: Call, name: str) -> int:
    words, number = list(call.argv[1:]), int(signal.SIGTERM)
    if name == "pkill" and words and words[0].startswith("-"):
        named = killing.signal_number(words[0][1:])
        if named is not None:
            number = named
            words.pop(0)
    found, patterns = _parse(words, LETTERS[name])
    criteria = _criteria(call, found, patterns)
    rows = [each for each in proctable.table(call) if not each.zombie and not _is_me(each)]
    rows = _ends([each for each in rows if criteria.matches(each)], criteria.flags)
    if name == "pgrep":
        _print(call, rows, criteria.flags, dict(found).get("d", "\n"))
        return FOUND if rows else NONE
    for each in rows:
        trouble = killing.kill(call, each, number)
        if trouble:
            call.err(f"pkill: Failed to signal pid {each.pid}: {trouble}\n")
    return FOUND if rows else NONE


def _is_me(each: Process) -> bool:
    return each.real and each.pid == os.getpid()


def _parse(words: Sequence[str], letters: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Options may stand behind the pattern too."""
    found: list[tuple[str, str]] = []
    patterns: list[str] = []
    rest = list(words)
    while rest:
        try:
            some, rest = options.parse(rest, letters)
        except options.BadOption as bad:
            raise Refused(f"illegal option -- {bad.letter}", usage=True) from None
        found += some
        if rest:
            if patterns:
                raise Refused(f"illegal argument -- {rest[0]}", usage=True)
            patterns.append(rest.pop(0))
    return found, patterns


def _criteria(call: Call, found: Sequence[tuple[str, str]], patterns: Sequence[str]) -> Criteria:
    criteria = Criteria(flags={letter for letter, value in found if not value})
    for letter, value in found:
        if letter in NOT_EMULATED:
            raise Refused(f"lab: -{letter} is not emulated")
        if letter in CRITERION:
            criteria.lists.setdefault(letter, set()).update(_list(call, letter, value))
    if {"n", "o"} <= criteria.flags:
        raise Refused("-n and -o are mutually exclusive", usage=True)
    if not criteria.lists and not patterns:
        raise Refused("No matching criteria specified", usage=True)
    if patterns:
        try:
            criteria.pattern = re.compile(patterns[0])
        except re.error as trouble:
            raise Refused(f"{patterns[0]}: {trouble}") from None
    return criteria


def _list(call: Call, letter: str, text: str) -> list[int | str]:
    words = re.split(r"[,\t ]+", text.strip(", \t"))
    if letter == "t":
        return ["" if word == "none" else word for word in words]
    return [_one(call, letter, word) for word in words]


def _one(call: Call, letter: str, word: str) -> int:
    if letter == "z":
        return _known(proctable.zone_id(call, word), "zone", word)
    if letter in "uUG":
        return int(word) if word.isdigit() else _known(_lookup(call, letter)(word), _kind(letter), word)
    if not word.isdigit():
        raise Refused(f"invalid argument for option '{letter}' -- {word}")
    own: dict[str, Callable[[], int]] = {"g": os.getpgrp, "s": lambda: os.getsid(0)}
    return own[letter]() if int(word) == 0 and letter in own else int(word)


def _kind(letter: str) -> str:
    return "group" if letter == "G" else "user"


def _lookup(call: Call, letter: str) -> Callable[[str], int | None]:
    from zonemgr.lab import place

    names = Names(place.here(call).root)
    return names.gid if letter == "G" else names.uid


def _known(number: int | None, kind: str, word: str) -> int:
    if number is None:
        raise Refused(f"invalid {kind} name -- {word}")
    return number


def _ends(rows: list[Process], flags: set[str]) -> list[Process]:
    """With -n only the newest, with -o the oldest: the first of those that began at the same time."""
    if not rows or not flags & {"n", "o"}:
        return rows
    return [
        max(rows, key=lambda each: each.start) if "n" in flags else min(rows, key=lambda each: each.start)
    ]


def _print(call: Call, rows: Sequence[Process], flags: set[str], delimiter: str) -> None:
    lines = [
        f"{each.pid:>5} {each.args if 'f' in flags else each.name}" if "l" in flags else str(each.pid)
        for each in rows
    ]
    call.out(delimiter.join(lines) + "\n" if lines else "")


def fuser(call: Call) -> int:
    return call.fail(f"lab: fuser {' '.join(call.argv[1:])}".rstrip() + " is not emulated")
