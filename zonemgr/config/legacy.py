"""The predecessor's configuration: shell variables in a file, read without running it.

Assignments of plain words, quoted or not, with references to variables set before; several on a line, or separated by
semicolons. What would have to be run (commands, substitutions, conditions) is named, never done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from zonemgr.config.setting import SETTINGS as KNOWN

ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)(?::?-)?\}|([A-Za-z_][A-Za-z0-9_]*))")
# Where a shell would do more than put a value in a variable.
ACTIVE = re.compile(r"`|\$\(|\$\{[^}]*[^}A-Za-z0-9_:-][^}]*\}")
REDIRECTION = re.compile(r"[|&<>]")  # outside of quotes only
ENDINGS = (":", "true")  # the file had to end with success
NEEDS_SHELL = "its value would have to be worked out by a shell"
UNCLOSED = "its quotes do not match"
STOPS = ("exit", "return")
SOURCES = (".", "source")
DECLARED = re.compile(r"(?:(?:export|readonly|typeset|declare)\s+(?:-[xr]+\s+)*)")
MENTIONED = re.compile(DECLARED.pattern + r"[A-Za-z_][A-Za-z0-9_ \t]*")  # `export NAME`, which gives no value
HERE = re.compile(r"(?<!<)<<-?\s*[\"'\\]?([A-Za-z_][A-Za-z0-9_]*)[\"']?")
SHELL = re.compile(r"^\s*(?:export\s+)?[A-Z][A-Z0-9_]*=", re.MULTILINE)

OLD_NAME = re.compile(
    r"(DATASET|ADD|DEL|COPY|ELEVATE|EXEC|USE|AUTO|ORIGIN|SNAP|TARGET|ZONEMGR)_|(OUTFILE|ACTION)$"
)

SETTINGS = {
    "DATASET_CONTAINMENT_GIZ": "giz.dataset",
    "DATASET_CONTAINMENT_GIZ_MPT": "giz.mountpoint",
    "DATASET_CONTAINMENT_GIZ_COMPRESSION": "giz.compression",
    "DATASET_CONTAINMENT_DIZ": "diz.dataset",
    "DATASET_CONTAINMENT_DIZ_MPT": "diz.mountpoint",
    "DATASET_CONTAINMENT_DIZ_COMPRESSION": "diz.compression",
    "BRAND_GIZ": "giz.brand",
    "TEMPLATE_GIZ": "giz.template",
    "ADD_PACKAGE_FMRIS": "giz.packages",
    "ELEVATE_CMD": "host.elevate",
    "EXEC_DISCARD": "exec.discard",
    "EXEC_USER": "exec.user",
}
DEDUPS = ("DATASET_CONTAINMENT_GIZ_DEDUP", "DATASET_CONTAINMENT_DIZ_DEDUP")
# Without effect in zonemgr, and why.
POINTLESS = {"CAN_ZFS_CREATE_RECURSIVE": "missing ancestors are always made"}


@dataclass(frozen=True)
class LeftOut:
    """Something of the old file that has no place in the new one; `matters` unless it had no effect anyway.

    `lost`: it certainly set something that zonemgr has or the predecessor had, and to what cannot be taken over.
    """

    line: int
    text: str
    why: str
    matters: bool = True
    lost: bool = False

    def where(self, path: str) -> str:
        """The same as a message about the file: `PATH:LINE: TEXT: WHY`."""
        return f"{path}:{self.line}: {self._short()}: {self.why}"

    def __str__(self) -> str:
        return f"line {self.line}: {self._short()}: {self.why}"

    def _short(self) -> str:
        return " ".join(self.text.split())


@dataclass
class Legacy:
    """What an old file says: values by our keys (`giz.dataset`), and what could not be taken over."""

    values: dict[str, Any] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)


def looks_like_it(text: str) -> bool:
    """A file of shell variables rather than a broken TOML file: those have spaces around `=`, or quotes behind it."""
    plain = _without_here_documents(text)
    return bool(SHELL.search(plain)) and not re.search(r"^\s*\[[a-z]+\]\s*$", plain, re.MULTILINE)


def read(text: str) -> Legacy:
    """Take an old configuration apart; nothing in it is executed."""
    found = Legacy()
    variables: dict[str, str] = {}
    lines: dict[str, int] = {}
    blocks, conditional = Blocks(), False
    for number, statement in _statements(_without_here_documents(text)):
        first = statement.split()[0]
        inside, perhaps = blocks.open, blocks.open or conditional
        if first in STOPS and not perhaps:
            break
        blocks.follow(statement)
        conditional = statement.endswith(("&&", "||", "|"))
        if perhaps:
            left = _perhaps_run(number, statement, named_already=inside)
            found.left_out += [left] if left else []
        elif first == "unset":
            for name in statement.split()[1:]:
                variables.pop(name, None)
        else:
            _take_statement(found, number, statement, variables, lines)
    _fill(found, variables, lines)
    return found


def _perhaps_run(number: int, statement: str, *, named_already: bool) -> LeftOut | None:
    """A statement in a block or behind `&&`. The line that opens a block is named, and each assignment in it."""
    assigns = ASSIGNMENT.match(DECLARED.sub("", statement, count=1)) or re.match(r"\w+\s+\w+=", statement)
    if named_already and not assigns:
        return None
    return LeftOut(number, statement, "whether it is run only a shell could tell")


def _take_statement(
    found: Legacy, number: int, statement: str, variables: dict[str, str], lines: dict[str, int]
) -> None:
    """Note what a statement assigns that is run for certain, or why it cannot be taken over."""
    assigned = _assigned(statement, variables)
    if isinstance(assigned, str):
        if assigned:
            lost = assigned in (NEEDS_SHELL, UNCLOSED) and _sets_something(statement)
            found.left_out.append(LeftOut(number, statement, assigned, lost=lost))
        return
    for name, value in assigned:
        variables[name], lines[name] = value, number


def _sets_something(statement: str) -> bool:
    names = re.findall(r"(?:^|\s)([A-Za-z_][A-Za-z0-9_]*)=", statement)
    return any(name in SETTINGS or name in DEDUPS or OLD_NAME.match(name) for name in names)


class Blocks:
    """Which compound commands of a shell are open: what stands in them may be run or not."""

    PAIRS: ClassVar[Mapping[str, str]] = {
        "if": "fi", "case": "esac", "for": "done", "while": "done", "until": "done", "select": "done", "{": "}",
        "(": ")",
    }  # fmt: skip
    # A command may begin behind these.
    LEADERS = ("&&", "||", "|", "&", "!", "then", "do", "else", "elif", "()", ")", *PAIRS)

    def __init__(self) -> None:
        self._ends: list[str] = []  # what will close the open ones, the innermost last

    @property
    def open(self) -> bool:
        return bool(self._ends)

    def follow(self, statement: str) -> None:
        """Open and close what this statement opens and closes."""
        begins, others = True, 0  # others: open parentheses of `$(`, or of values
        for word in _words(statement):
            if word == "(" and not begins:
                others += 1
            elif word == ")" and others:
                others -= 1
            elif word == ")" or (begins and word in self.PAIRS.values()):
                self._close(word)
            elif word == "{" or (begins and word in self.PAIRS):  # function NAME {
                self._ends.append(self.PAIRS[word])
            begins = word in self.LEADERS

    def _close(self, word: str) -> None:
        if word in self._ends:
            while self._ends.pop() != word:
                pass


def _words(statement: str) -> list[str]:
    """The words of a statement, operators apart; none when its quotes do not match."""
    import shlex

    split = shlex.shlex(statement, posix=True, punctuation_chars=True)
    split.commenters, split.whitespace_split = "", True
    try:
        return list(split)
    except ValueError:
        return []


def _without_here_documents(text: str) -> str:
    """The same with empty lines for what stands between `<<WORD` and WORD: that is nobody's assignment."""
    lines, kept = text.split("\n"), list[str]()
    until: list[str] = []
    for number, line in enumerate(lines):
        if until:
            if line.strip() == until[0]:
                until.pop(0)
            kept.append("")
            continue
        rest = {other.strip() for other in lines[number + 1 :]}
        # Without its end it is none: `<<` may stand in quotes, too.
        until = [] if line.lstrip().startswith("#") else [end for end in HERE.findall(line) if end in rest]
        kept.append(line)
    return "\n".join(kept)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Commands with the number of the line they begin in: split at newlines and semicolons outside quotes."""
    statement, quote, begun, number, comment = "", "", 1, 1, False
    previous = "\n"
    for character in [*text, "\n"]:
        if comment:
            comment = character != "\n"
        elif quote:
            escaped = previous == "\\" and quote == '"'
            quote = "" if character == quote and not escaped else quote
        elif character in "\"'":
            quote = character
        elif character == "#" and previous in " \t\n;":
            comment = True
        if not quote and not comment and (character == ";" or (character == "\n" and previous != "\\")):
            if statement.strip():
                yield begun, statement.replace("\\\n", "").strip()
            statement, begun = "", number + (character == "\n")
        elif not comment:
            statement += character
        number += character == "\n"
        previous = character
    if statement.strip():
        yield begun, statement.strip()


def _assigned(statement: str, variables: Mapping[str, str]) -> list[tuple[str, str]] | str:
    """The assignments of one command; or why it cannot be taken over; or "" for one that does nothing."""
    words = DECLARED.sub("", statement, count=1).strip()
    first = statement.split()[0]
    if first in ENDINGS or MENTIONED.fullmatch(statement):
        return ""
    if first in SOURCES:
        return "it reads another file, and zonemgr does not: take that over by itself"
    if not ASSIGNMENT.match(words):
        return "it would have to be run, and nothing of the old file is"
    found: list[tuple[str, str]] = []
    while words:
        match = ASSIGNMENT.match(words)
        if match is None:
            return "it runs a command" if found else "it is no assignment"
        value, words = _word(words[match.end() :], {**variables, **dict(found)})
        if value is None:
            return NEEDS_SHELL if _words(statement) else UNCLOSED
        found.append((match[1], value))
        words = words.lstrip()
    return found


def _word(text: str, variables: Mapping[str, str]) -> tuple[str | None, str]:
    """One shell word from the beginning of the text, and what is behind it; None for what only a shell could say."""
    value, rest = "", text
    while rest and not rest[0].isspace():
        match = re.match(r"'([^']*)'", rest)
        if match:
            value, rest = value + match[1], rest[match.end() :]
            continue
        match = re.match(r'"((?:[^"\\]|\\.)*)"|((?:[^\s"\'\\]|\\.)+)', rest, re.DOTALL)
        if match is None:
            return None, ""
        piece = match[1] if match[1] is not None else match[2]
        known = _expanded(piece, variables)
        if known is None or (match[1] is None and REDIRECTION.search(piece)):
            return None, ""
        value, rest = value + known, rest[match.end() :]
    return value, rest


def _expanded(piece: str, variables: Mapping[str, str]) -> str | None:
    if ACTIVE.search(piece):
        return None
    names = [match[1] or match[2] for match in REFERENCE.finditer(piece)]
    if any(name not in variables for name in names):
        return None
    replaced = REFERENCE.sub(lambda match: variables[match[1] or match[2]], piece)
    return None if "$" in replaced.replace("\\$", "") else re.sub(r"\\(.)", r"\1", replaced)


def _fill(found: Legacy, variables: Mapping[str, str], lines: Mapping[str, int]) -> None:
    for name, value in variables.items():
        if name in SETTINGS:
            _take(found, name, value, lines[name])
        elif name in POINTLESS:
            found.left_out.append(LeftOut(lines[name], f"{name}={value}", POINTLESS[name], matters=False))
        elif name not in DEDUPS and OLD_NAME.match(name):
            why = (
                "there is no such setting; give it as an option"
                if value
                else "it is empty, as it is by default"
            )
            found.left_out.append(LeftOut(lines[name], f"{name}={value}", why, bool(value), lost=bool(value)))
    _take_dedup(found, variables, lines)
    for kind in ("giz", "diz"):
        if f"{kind}.dataset" in found.values and f"{kind}.mountpoint" not in found.values:
            # The old tool left it to ZFS: below a pool's own mount point.
            found.values[f"{kind}.mountpoint"] = f"/{found.values[f'{kind}.dataset']}"
    found.left_out.sort(key=lambda left: left.line)


def _take(found: Legacy, name: str, value: str, line: int) -> None:
    key = SETTINGS[name]
    wanted: object = value.split() if key == "giz.packages" else value
    if not value and key != "host.elevate":
        return  # by default, as here
    try:
        KNOWN[key].accept(wanted)
    except ValueError as wrong:
        found.left_out.append(LeftOut(line, f"{name}={value}", str(wrong), lost=True))
        return
    found.values[key] = wanted


def _take_dedup(found: Legacy, variables: Mapping[str, str], lines: Mapping[str, int]) -> None:
    """One setting serves both kinds here; where they differed, off is the harmless choice."""
    values = {name: variables[name] for name in DEDUPS if name in variables}
    if len(set(values.values())) == 1 and (len(values) == 2 or set(values.values()) == {"off"}):
        found.values["zfs.dedup"] = next(iter(values.values()))
        return
    for name, value in values.items():
        why = "zfs.dedup is one setting for both kinds of zones, and these differ"
        found.left_out.append(
            LeftOut(lines[name], f"{name}={value}", why, value != "off", lost=value != "off")
        )


def tables(found: Legacy) -> dict[str, dict[str, Any]]:
    """The values as the tables of a TOML file."""
    made: dict[str, dict[str, Any]] = {}
    for key, value in found.values.items():
        section, _, name = key.partition(".")
        made.setdefault(section, {})[name] = value
    return made


def as_toml(found: Legacy, source: str) -> str:
    """A TOML file with what was taken over, and as comments what was not."""
    import tomli_w

    head = [f"# Taken over from {source}."]
    head += [f"# Not taken over, {left}" for left in found.left_out]
    return "\n".join(head).replace("\r", "") + "\n\n" + tomli_w.dumps(tables(found))
