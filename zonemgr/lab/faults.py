"""Faults on request: which command goes wrong, and how.

    KIND[@N][:PATTERN][,exit=S][,stderr=TEXT][,times=K|always]

KIND      fail                the command does nothing but print TEXT and exit with S (default 1)
          hang                it does nothing and does not end until it is killed
          kill-before         it is killed (signal 9) before it has done anything
          kill-after          it is killed when it has done everything, before it can say so
          kill-caller-before  the process that called it is killed before it has done anything
          kill-caller-after   ... when it has done everything
          reboot              the host loses its power; everything running in the lab is gone
@N        from the Nth matching command on (default: the first)
PATTERN   words of the command as a shell would write them, `*`, `?` and `[...]` as in file names; it may end
          early (`zfs clone` matches `zfs clone a@b c`), a leading pfexec need not be named; default: any
times     how many matching commands in a row (default 1)

    fact:KEY=VALUE            not a command's fault but the host's: a switch that tools look at; it stays
                              until it is set again (`fact:KEY=` takes it away)
    fact:pool=full|readonly   the pool takes no more (see zfs/shortage.py)
    fact:dhcp=none            no DHCP server answers anywhere; fact:dhcp.LINK=none|yes is about one link and what is
                              over it. On etherstubs nobody answers, unless told so. Zones hear of it at their boot.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from zonemgr.lab.world import SCHEMA, LabError, World

KINDS = ("fail", "hang", "kill-before", "kill-after", "kill-caller-before", "kill-caller-after", "reboot")
OPTIONS = ("exit", "stderr", "times")
ALWAYS = -1

SCHEMA.append(
    # run: the `lab run` it was asked for, empty in-process; seen: matching commands so far.
    "create table faults (id integer primary key, run text not null, kind text not null,"
    " pattern text not null, first integer not null, times integer not null, exit integer not null,"
    " stderr text not null, seen integer not null default 0)"
)


@dataclass(frozen=True)
class Fault:
    kind: str
    pattern: str = "*"
    first: int = 1
    times: int = 1  # ALWAYS: never ends
    exit: int = 1
    stderr: str = ""


@dataclass(frozen=True)
class Fact:
    key: str
    value: str


def parse(spec: str) -> Fault | Fact:
    """Read a SPEC of this module's grammar; raises LabError saying what is wrong with it."""
    if spec.startswith("fact:"):
        key, equals, value = spec.removeprefix("fact:").partition("=")
        if not key or not equals:
            raise LabError(f"fault {spec!r}: a fact is written fact:KEY=VALUE")
        return Fact(key, value)
    head, *options = re.split(rf",(?=(?:{'|'.join(OPTIONS)})=)", spec)
    found = re.fullmatch(r"([a-z-]*)(?:@([^:]*))?(?::(.*))?", head, re.DOTALL)
    kind = found[1] if found else head
    if found is None or kind not in KINDS:
        raise LabError(f"fault {spec!r}: there is no kind {kind!r}; there are: {', '.join(KINDS)}, fact")
    pattern = found[3] if found[3] is not None else "*"
    _check_pattern(spec, pattern)
    first = 1 if found[2] is None else _number(spec, "@N", found[2])
    return _with_options(spec, Fault(kind, pattern, first), options)


def _check_pattern(spec: str, pattern: str) -> None:
    if not pattern:
        raise LabError(f"fault {spec!r}: the pattern is empty; leave the colon out to mean any command")
    misspelt = re.search(r",([a-z]+)=[^,]*$", pattern)
    if misspelt:
        from difflib import get_close_matches

        if get_close_matches(misspelt[1], OPTIONS):
            raise LabError(f"fault {spec!r}: no option {misspelt[1]!r}; there are: {', '.join(OPTIONS)}")


def _with_options(spec: str, fault: Fault, texts: Sequence[str]) -> Fault:
    names = [text.partition("=")[0] for text in texts]
    if len(set(names)) < len(names):
        raise LabError(f"fault {spec!r}: an option is given twice")
    for name, value in (text.split("=", 1) for text in texts):
        if name != "times" and fault.kind != "fail":
            raise LabError(f"fault {spec!r}: {name}= belongs to fail, not to {fault.kind}")
        if name == "stderr":
            fault = replace(fault, stderr=value)
        elif name == "exit":
            fault = replace(fault, exit=_exit_status(spec, value))
        else:
            fault = replace(fault, times=ALWAYS if value == "always" else _number(spec, name, value))
    return fault


def _exit_status(spec: str, value: str) -> int:
    number = _number(spec, "exit", value, least=0)
    if number > 255:
        raise LabError(f"fault {spec!r}: an exit status is at most 255")
    return number


def _number(spec: str, name: str, text: str, least: int = 1) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least:
        raise LabError(f"fault {spec!r}: {name} wants a number from {least} up, not {text!r}")
    return int(text)


def add(world: World, fault: Fault | Fact, run: str = "") -> None:
    """Arm a fault for the commands of one `lab run` (in-process: of everybody)."""
    if isinstance(fault, Fact):
        world.put(fault.key, fault.value)
        return
    world.db.execute(
        "insert into faults (run, kind, pattern, first, times, exit, stderr) values (?, ?, ?, ?, ?, ?, ?)",
        (run, fault.kind, fault.pattern, fault.first, fault.times, fault.exit, fault.stderr),
    )


def forget(world: World, run: str = "") -> None:
    world.db.execute("delete from faults where run = ?", (run,))


def matches(pattern: str, argv: Sequence[str]) -> bool:
    """Does a pattern name this command, whole or by its first words, with or without a leading pfexec?"""
    words = [argv[0].rsplit("/", 1)[-1], *argv[1:]]
    texts = [shlex.join(words)]
    if words[0] == "pfexec" and len(words) > 1:
        texts.append(shlex.join(words[1:]))
    return any(fnmatchcase(text, pattern) or fnmatchcase(text, f"{pattern} *") for text in texts)


def due(world: World, argv: Sequence[str], run: str = "") -> Fault | None:
    """Count this command against every fault it matches; the first that is due now, if any."""
    hit: Fault | None = None
    with world.transaction():
        for row in world.db.execute("select * from faults where run = ? order by id", (run,)).fetchall():
            if not matches(row["pattern"], argv):
                continue
            world.db.execute("update faults set seen = seen + 1 where id = ?", (row["id"],))
            since = row["seen"] + 1 - row["first"]
            if hit is None and since >= 0 and (row["times"] == ALWAYS or since < row["times"]):
                hit = Fault(
                    row["kind"], row["pattern"], row["first"], row["times"], row["exit"], row["stderr"]
                )
    return hit
