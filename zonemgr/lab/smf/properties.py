"""svcprop(1): properties of services, of a place or with -z of a running zone (gate, cmd/svc/svcprop/svcprop.c)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from zonemgr.lab import options
from zonemgr.lab.call import Call
from zonemgr.lab.place import here
from zonemgr.lab.smf import reach
from zonemgr.lab.smf.configuring import MANIFEST
from zonemgr.lab.smf.services import match
from zonemgr.lab.smf.states import Machine

USAGE = """\
Usage: svcprop [-fqtv] [-C | -c | -s snapshot] [-z zone] [-p [name/]name]...
         {FMRI | pattern}...
       svcprop -w [-fqtv] [-z zone] [-p [name/]name] {FMRI | pattern}
"""
META = ";&()|^<>\n \t\\\"'`"
NO_SERVER = "svcprop: Could not connect to configuration repository: repository server unavailable.\n"

Values = tuple[str, list[str]]  # type, values


class Usage(Exception):
    """svcprop ends with 2; the text comes before its usage."""


@dataclass
class Asked:
    """The options of one call, and what became of it."""

    call: Call
    wanted: list[tuple[str, str]] = field(default_factory=list)  # property group, property or ""
    quiet: bool = False
    verbose: bool = False
    types: bool = False
    full: bool = False  # names as FMRIs
    status: int = 0

    def missing(self, text: str) -> None:
        if not self.quiet or self.verbose:
            self.call.err(f"svcprop: {text}\n")
        self.status = 1


def svcprop(call: Call) -> int:
    try:
        found, operands = _read(call)
        asked = _asked(call, found)
        machine = _machine(call, dict(found))
    except Usage as wrong:
        call.err(f"{wrong}{USAGE}")
        return 2
    except reach.NoZone:
        return call.fail(f"svcprop: invalid zone '{dict(found)['z']}'")
    except reach.NoServer:
        call.err(NO_SERVER)
        return 1
    for operand in operands:
        _operand(asked, machine, operand)
    return asked.status


def _read(call: Call) -> tuple[list[tuple[str, str]], list[str]]:
    try:
        found, operands = options.parse(call.argv[1:], "Ccfp:qs:tvwz:")
    except options.BadOption as bad:
        text = (
            f"svcprop: {'option requires an argument' if bad.missing else 'illegal option'} -- {bad.letter}\n"
        )
        raise Usage(text) from None
    given = {letter for letter, _ in found}
    if len(given & {"C", "c", "s"}) > 1 or ("w" in given and given & {"C", "c", "s"}) or not operands:
        raise Usage("")
    return found, operands


def _asked(call: Call, found: Sequence[tuple[str, str]]) -> Asked:
    given = {letter for letter, _ in found}
    refused = given & {"w", "s"}
    if refused:
        from zonemgr.lab.world import LabError

        raise LabError(f"svcprop -{min(refused)} is not emulated")
    asked = Asked(
        call, quiet="q" in given, verbose="v" in given, types=bool(given & {"t", "f"}), full="f" in given
    )
    for name in (value for letter, value in found if letter == "p"):
        if name.count("/") > 1:
            raise Usage(f"svcprop: -p argument `{name}' has too many components.\n")
        group, _, prop = name.partition("/")
        asked.wanted.append((group, prop))
    # Mixed, so that a line says which of the two it is (add_prop).
    asked.types = asked.types or len({bool(prop) for _, prop in asked.wanted}) > 1
    return asked


def _machine(call: Call, given: dict[str, str]) -> Machine:
    if "z" not in given:
        return reach.looking(here(call))
    if call.zone is not None:
        raise Usage("svcprop: svcprop -z may only be used from the global zone\n")
    return reach.looking(reach.zone(call, given["z"]))


# -- what there is -------------------------------------------------------------------------------------------


def everything(machine: Machine, fmri: str) -> dict[str, dict[str, Values]]:
    """Property groups of an instance with those of its service: what the manifest has, what was set, what runs."""
    state, service = machine.state(fmri), machine.known[fmri]
    kept = machine.repository.kept.get(fmri)
    groups: dict[str, dict[str, Values]] = {
        "general": {"enabled": ("boolean", [_flag(machine.enabled(fmri, for_good=True))])},
        "restarter": {
            "auxiliary_state": ("astring", [_auxiliary(machine, fmri)]),
            "next_state": ("astring", [state.next or "none"]),
            "state": ("astring", [state.name]),
            "state_timestamp": ("time", [f"{state.since:.6f}"]),
        },
        "tm_common_name": {"C": ("ustring", [service.name])},
    }
    passing = machine.repository.passing.get(fmri)
    if passing is not None and passing.enabled is not None:
        groups["general_ovr"] = {"enabled": ("boolean", [_flag(passing.enabled)])}
    for kind, targets in (("require_all", service.requires), ("optional_all", service.optional)):
        for target in targets:
            name = target.removeprefix("svc:/").rpartition(":")[0].replace("/", "_")
            groups[name] = {
                "entities": ("fmri", [target]),
                "grouping": ("astring", [kind]),
                "restart_on": ("astring", ["none"]),
                "type": ("astring", ["service"]),
            }
    for (owner, name), value in MANIFEST.items():
        if owner == fmri:
            _add(groups, name, value)
    for name, value in (kept.properties if kept else {}).items():
        if name.endswith("/"):
            groups.setdefault(name[:-1], {})
        else:
            _add(groups, name, value)
    return groups


def _add(groups: dict[str, dict[str, Values]], name: str, value: Sequence[str]) -> None:
    group, _, prop = name.partition("/")
    groups.setdefault(group, {})[prop] = (value[0], list(value[1:]))


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _auxiliary(machine: Machine, fmri: str) -> str:
    passing = machine.repository.passing.get(fmri)
    if passing is not None and passing.maintenance:
        return passing.maintenance
    return "dependencies_satisfied" if machine.state(fmri).name in ("online", "degraded") else "none"


# -- operands ------------------------------------------------------------------------------------------------


def _operand(asked: Asked, machine: Machine, operand: str) -> None:
    """An instance, a service, a pattern, or an FMRI that goes on to a property group or a property."""
    base, sign, rest = operand.partition("/:properties/")
    matches = match(base, machine.services())
    if not matches:
        asked.missing(f"Pattern '{operand}' doesn't match any entities")
        return
    many = len(matches) > 1
    for fmri in matches:
        one = Asked(
            asked.call,
            list(asked.wanted),
            asked.quiet,
            asked.verbose,
            asked.types or many,
            asked.full or many,
        )
        if sign:
            one.wanted = [_below(asked, rest)]
        _entity(one, machine, fmri)
        asked.status = asked.status or one.status


def _below(asked: Asked, rest: str) -> tuple[str, str]:
    group, _, prop = rest.partition("/")
    if asked.wanted and prop:
        raise Usage("svcprop: The -p option cannot be used with property operands.\n")
    return (group, asked.wanted[0][0]) if asked.wanted else (group, prop)


def _entity(asked: Asked, machine: Machine, fmri: str) -> None:
    groups = everything(machine, fmri)
    if not asked.wanted:
        if not asked.quiet:
            for name in groups:
                _group(asked, fmri, name, groups[name])
        return
    for group, prop in asked.wanted:
        if group not in groups:
            asked.missing(f"Couldn't find property group `{group}' for instance `{fmri}'.")
        elif prop and prop not in groups[group]:
            asked.missing(f"Couldn't find property `{group}/{prop}' for instance `{fmri}'.")
        elif asked.quiet:
            continue
        elif prop:
            asked.call.out(_line(asked, fmri, group, prop, groups[group][prop], typed=asked.types))
        else:
            _group(asked, fmri, group, groups[group])


def _group(asked: Asked, fmri: str, name: str, properties: dict[str, Values]) -> None:
    """A whole group always says names and types."""
    for prop in properties:
        asked.call.out(_line(asked, fmri, name, prop, properties[prop], typed=True))


def _line(asked: Asked, fmri: str, group: str, prop: str, value: Values, *, typed: bool) -> str:
    kind, values = value
    shown = " ".join(_quoted(each) for each in values)
    if not typed:
        return shown + "\n"
    name = f"{fmri}/:properties/{group}/{prop}" if asked.full else f"{group}/{prop}"
    return f"{name} {kind} {shown}\n"


def _quoted(text: str) -> str:
    """As a Bourne shell reads it back (quote_for_shell)."""
    return "".join(f"\\{sign}" if sign in META else sign for sign in text) or '""'
