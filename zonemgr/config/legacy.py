"""The predecessor's configuration: shell variables in a file, read without running it.

Assignments of plain words, quoted or not, with references to variables set before; several on a line, or separated by
semicolons. What would have to be run (commands, substitutions, conditions) is named, never done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from zonemgr.config.setting import SETTINGS as KNOWN

ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)(?::?-)?\}|([A-Za-z_][A-Za-z0-9_]*))")
# Where a shell would do more than put a value in a variable.
ACTIVE = re.compile(r"`|\$\(|\$\{[^}]*[^}A-Za-z0-9_:-][^}]*\}")
REDIRECTION = re.compile(r"[|&<>]")  # outside of quotes only
ENDINGS = (":", "true")  # the file had to end with success
STOPS = ("exit", "return")
OPENERS = ("if", "case", "for", "while", "until", "select", "function", "{", "(")
CLOSERS = ("fi", "esac", "done", "}", ")")
FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\s*\(\s*\)")
HERE = re.compile(r"<<-?\s*[\"']?([A-Za-z_][A-Za-z0-9_]*)[\"']?")
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
    """Something of the old file that has no place in the new one; `matters` unless it had no effect anyway."""

    line: int
    text: str
    why: str
    matters: bool = True

    def __str__(self) -> str:
        return f"line {self.line}: {' '.join(self.text.split())}: {self.why}"


@dataclass
class Legacy:
    """What an old file says: values by our keys (`giz.dataset`), and what could not be taken over."""

    values: dict[str, Any] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)


def looks_like_it(text: str) -> bool:
    """A file of shell variables rather than a broken TOML file: those have spaces around `=`, or quotes behind it."""
    return bool(SHELL.search(text)) and not re.search(r"^\s*\[[a-z]+\]\s*$", text, re.MULTILINE)


def read(text: str) -> Legacy:
    """Take an old configuration apart; nothing in it is executed."""
    found = Legacy()
    variables: dict[str, str] = {}
    lines: dict[str, int] = {}
    depth, conditional = 0, False
    for number, statement in _statements(_without_here_documents(text)):
        first = statement.split()[0]
        if first in STOPS and not depth and not conditional:
            break
        depth = max(depth - (first in CLOSERS), 0)
        perhaps = depth > 0 or conditional
        depth += first in OPENERS or FUNCTION.match(statement) is not None
        conditional = statement.endswith(("&&", "||", "|"))
        if first == "unset" and not perhaps:
            for name in statement.split()[1:]:
                variables.pop(name, None)
            continue
        if perhaps and ASSIGNMENT.match(statement.removeprefix("export ").strip()):
            found.left_out.append(LeftOut(number, statement, "whether it is run only a shell could tell"))
            continue
        name_value = _assigned(statement, variables)
        if isinstance(name_value, str):
            found.left_out.append(LeftOut(number, statement, name_value, bool(name_value)))
            continue
        for name, value in name_value:
            variables[name], lines[name] = value, number
    found.left_out = [left for left in found.left_out if left.why]
    _fill(found, variables, lines)
    return found


def _without_here_documents(text: str) -> str:
    """The same with empty lines for what stands between `<<WORD` and WORD: that is nobody's assignment."""
    kept: list[str] = []
    until = ""
    for line in text.split("\n"):
        if until:
            until = "" if line.strip() == until else until
            kept.append("")
            continue
        here = HERE.search(line) if not line.lstrip().startswith("#") else None
        until = here[1] if here else ""
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
    words = statement.removeprefix("export ").strip()
    if words.split()[0] in ENDINGS:
        return ""
    if not ASSIGNMENT.match(words):
        return "it would have to be run, and nothing of the old file is"
    found: list[tuple[str, str]] = []
    while words:
        match = ASSIGNMENT.match(words)
        if match is None:
            return "it runs a command" if found else "it is no assignment"
        value, words = _word(words[match.end() :], {**variables, **dict(found)})
        if value is None:
            return "its value would have to be worked out by a shell"
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
            found.left_out.append(LeftOut(lines[name], f"{name}={value}", why, matters=bool(value)))
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
        found.left_out.append(LeftOut(line, f"{name}={value}", str(wrong)))
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
        found.left_out.append(LeftOut(lines[name], f"{name}={value}", why, matters=value != "off"))


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
