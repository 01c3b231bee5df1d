"""svcs(1): the states of services, in a zone or for zones (docs/illumos.md: SMF)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from zonemgr.lab import options
from zonemgr.lab.call import Call
from zonemgr.lab.place import Place, here
from zonemgr.lab.smf import reach
from zonemgr.lab.smf.services import match
from zonemgr.lab.smf.states import Machine, State

USAGE = """Usage: svcs [-aHpv] [-o col[,col ... ]] [-R restarter] [-sS col] [-Z | -z zone ]
            [<service> ...]
       svcs -d | -D [-Hpv] [-o col[,col ... ]] [-sS col] [-Z | -z zone ]
            [<service> ...]
       svcs [-l | -L] [-Z | -z zone] <service> ...
       svcs -x [-v] [-Z | -z zone] [<service> ...]
       svcs -?
"""
NOT_EMULATED = {"p": "svcs -p", "R": "svcs -R", "n": "svcs -n"}
ABBREVIATED = {
    "uninitialized": "UN", "offline": "OFF", "online": "ON", "maintenance": "MNT", "disabled": "DIS",
    "degraded": "DGD", "legacy_run": "LRC",
}  # fmt: skip
ORDER = ("legacy_run", "disabled", "online", "degraded", "offline", "maintenance", "uninitialized")
DAY = 24 * 3600


@dataclass(frozen=True)
class Line:
    """One service of one zone."""

    zone: str
    machine: Machine
    fmri: str
    plain_states: bool  # the next state has a column of its own, so no asterisk

    def state(self) -> State:
        return self.machine.state(self.fmri)

    def starred(self, text: str) -> str:
        return text + ("*" if self.state().next and not self.plain_states else "")

    def parts(self) -> tuple[str, str]:
        service, _, instance = self.fmri.removeprefix("svc:/").rpartition(":")
        return service, instance

    def time(self) -> str:
        since, now = self.state().since, self.machine.where.now
        form = "%k:%M:%S" if now - since < DAY else "%b_%d" if now - since < 360 * DAY else "%Y"
        return time.strftime(form, time.localtime(since)).rjust(8 if form == "%k:%M:%S" else 0)

    def contract(self) -> str:
        """A number that stays the same for a service of this boot; a transient one has no processes."""
        if self.machine.known[self.fmri].transient or self.state().name not in ("online", "degraded"):
            return "     -"
        return f"{50 + list(self.machine.known).index(self.fmri):>6}"


COLUMNS: dict[str, tuple[int, Callable[[Line], str]]] = {
    "CTID": (6, Line.contract),
    "DESC": (100, lambda line: line.machine.known[line.fmri].name),
    "FMRI": (50, lambda line: line.fmri),
    "INST": (20, lambda line: line.parts()[1]),
    "N": (1, lambda line: ABBREVIATED[line.state().next][:1] if line.state().next else "-"),
    "NSTA": (4, lambda line: ABBREVIATED[line.state().next] if line.state().next else "-"),
    "NSTATE": (13, lambda line: line.state().next or "-"),
    "S": (2, lambda line: line.starred(ABBREVIATED[line.state().name][:1])),
    "SCOPE": (20, lambda line: "localhost"),
    "SN": (2, lambda line: ABBREVIATED[line.state().name][:1] + (line.state().next[:1].upper() or "-")),
    "SVC": (20, lambda line: line.parts()[0]),
    "STA": (4, lambda line: line.starred(ABBREVIATED[line.state().name])),
    "STATE": (14, lambda line: line.starred(line.state().name)),
    "STIME": (8, Line.time),
    "ZONE": (16, lambda line: line.zone),
}
NEXT_STATE = ("N", "SN", "NSTA", "NSTATE")


class Refused(Exception):
    """svcs ends here: a text for stderr and an exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.text, self.status = text, status


@dataclass
class Wanted:
    """What the command line asks for."""

    mode: str = ""  # x, l, L, d, D, or empty
    everything: bool = False
    header: bool = True
    verbose: bool = False
    columns: list[str] = field(default_factory=list)
    sort: list[tuple[str, bool]] = field(default_factory=list)
    zone: str = ""
    zones: bool = False
    patterns: list[str] = field(default_factory=list)


def svcs(call: Call) -> int:
    try:
        wanted = _read(call)
        if wanted.everything and wanted.patterns:
            call.err("svcs: -a ignored when used with arguments.\n")
        return _Run(call, wanted).run()
    except Refused as refused:
        call.err(refused.text)
        return refused.status


def _read(call: Call) -> Wanted:
    try:
        found, patterns = options.parse(call.argv[1:], "aHpvno:R:s:S:dDlLxZz:?")
    except options.BadOption:
        raise Refused(USAGE, 2) from None
    wanted = Wanted(patterns=patterns)
    modes = [letter for letter, _ in found if letter in "dDlLnx"]
    wanted.mode = modes[0] if modes else ""
    if len(modes) > 1:
        raise Refused(USAGE, 2)
    for letter, value in found:
        if letter in NOT_EMULATED:
            raise Refused(f"lab: {NOT_EMULATED[letter]} is not emulated\n")
        _option(call, wanted, letter, value)
    return _complete(wanted)


def _option(call: Call, wanted: Wanted, letter: str, value: str) -> None:
    if letter == "?":
        raise Refused(USAGE, 0)
    plain = {
        "a": wanted.mode,
        "H": wanted.mode in ("l", "x"),
        "o": wanted.mode in ("l", "x"),
        "s": wanted.mode,
    }
    if plain.get(letter.lower() if letter == "S" else letter):
        raise Refused(USAGE, 2)
    if letter in "zZ" and call.zone is not None:
        raise Refused(f"svcs: svcs -{letter} may only be used from the global zone\n")
    if (letter == "z" and wanted.zones) or (letter == "Z" and wanted.zone):
        raise Refused(USAGE, 2)
    if letter == "o":
        wanted.columns = [_column(name) for name in value.split(",")] if value else _no_columns()
    if letter in "sS":
        wanted.sort.append((_column(value), letter == "S"))
    wanted.everything |= letter == "a"
    wanted.header &= letter != "H"
    wanted.verbose |= letter == "v"
    wanted.zones |= letter == "Z"
    wanted.zone = value if letter == "z" else wanted.zone


def _no_columns() -> list[str]:
    raise Refused("svcs: No columns specified.\n")


def _column(name: str) -> str:
    if name.upper() not in COLUMNS:
        raise Refused(f'svcs: Unknown column "{name}".\n')
    return name.upper()


def _complete(wanted: Wanted) -> Wanted:
    if wanted.mode in ("l", "d", "D") and not wanted.patterns:
        raise Refused(USAGE, 2)
    if not wanted.columns:
        middle = ["NSTATE", "STIME", "CTID"] if wanted.verbose else ["STIME"]
        wanted.columns = ["ZONE"] * wanted.zones + ["STATE", *middle, "FMRI"]
        default = ["ZONE"] * wanted.zones + ["STATE", "STIME", "FMRI"]
        wanted.sort = wanted.sort or [(name, False) for name in default]
    wanted.sort = wanted.sort or []
    return wanted


class _Run:
    def __init__(self, call: Call, wanted: Wanted) -> None:
        self.call, self.wanted = call, wanted
        self.status = 0
        self.lines: list[Line] = []
        self.matched_somewhere = False

    def run(self) -> int:
        for zone, where in self._places():
            self._one_zone(zone, reach.looking(where))
        if self.wanted.zones and self.wanted.patterns and not self.matched_somewhere:
            self.status = 1
        if self.wanted.mode in ("", "d", "D"):
            self._table()
        return self.status

    def _places(self) -> Sequence[tuple[str, Place]]:
        if not self.wanted.zone and not self.wanted.zones:
            return [("", here(self.call))]
        places = []
        for name in reach.running(self.call) if self.wanted.zones else [self.wanted.zone]:
            try:
                places.append((name, reach.zone(self.call, name)))
            except reach.NoZone:
                raise Refused(f"svcs: invalid zone '{name}'\n") from None
            except reach.NoServer:
                text = "repository server unavailable"
                text = f"svcs: Could not bind to repository server for zone {name}: {text}\n"
                if not self.wanted.zones:
                    raise Refused(text) from None
                self.call.err(text)
        return places

    def _one_zone(self, zone: str, machine: Machine) -> None:
        if self.wanted.mode == "x":
            from zonemgr.lab.smf import explain

            fmris = self._named(machine) if self.wanted.patterns else explain.causes(machine)
            explain.explain(self.call, machine, fmris, zone=zone, verbose=self.wanted.verbose)
        elif self.wanted.mode == "l":
            from zonemgr.lab.smf import explain

            explain.details(self.call, machine, self._named(machine), zone=zone)
        elif self.wanted.mode == "L":
            for fmri in self._named(machine):
                self.call.out(machine.known[fmri].log + "\n")
        else:
            self._collect(zone, machine)

    def _collect(self, zone: str, machine: Machine) -> None:
        plain = any(name in NEXT_STATE for name in self.wanted.columns)
        for fmri in self._listed(machine):
            self.lines.append(Line(zone or self.call.zone or "global", machine, fmri, plain))

    def _listed(self, machine: Machine) -> list[str]:
        services = machine.services()
        if not self.wanted.patterns:
            enabled = [
                each for each in services if machine.enabled(each) or machine.enabled(each, for_good=True)
            ]
            return list(services) if self.wanted.everything else enabled
        named = self._named(machine)
        if self.wanted.mode == "d":
            return [each for one in named for each in machine.known[one].requires if each in services]
        if self.wanted.mode == "D":
            return [each for each in services for one in named if one in services[each].requires]
        return named

    def _named(self, machine: Machine) -> list[str]:
        found: dict[str, None] = {}
        for pattern in self.wanted.patterns:
            matches = match(pattern, machine.services())
            self.matched_somewhere |= bool(matches)
            found.update(dict.fromkeys(matches))
            if not matches and not self.wanted.zones:
                self.call.err(f"svcs: Pattern '{pattern}' doesn't match any instances\n")
                self.status = 1
        return list(found)

    def _table(self) -> None:
        columns = [(name, *COLUMNS[name]) for name in self.wanted.columns]
        if self.wanted.header:
            self.call.out(" ".join(name.ljust(width) for name, width, _ in columns).rstrip() + "\n")
        for line in sorted(self.lines, key=self._key):
            cells = (value(line).ljust(width) for _, width, value in columns)
            self.call.out(" ".join(cells).rstrip() + "\n")

    def _key(self, line: Line) -> list[_Reversible]:
        return [_Reversible(_sort_value(line, name), backwards) for name, backwards in self.wanted.sort]


def _sort_value(line: Line, name: str) -> float | str:
    if name in ("STATE", "S", "STA", "SN"):
        return ORDER.index(line.state().name)
    if name in ("NSTATE", "N", "NSTA"):
        return ORDER.index(line.state().next) if line.state().next else len(ORDER)
    if name == "STIME":
        return line.state().since
    if name == "CTID":
        return float(line.contract().strip(" -") or 0)
    return "" if name == "DESC" else COLUMNS[name][1](line)


@dataclass(frozen=True)
class _Reversible:
    value: float | str
    backwards: bool

    def __lt__(self, other: _Reversible) -> bool:
        mine, theirs = (other.value, self.value) if self.backwards else (self.value, other.value)
        return mine < theirs  # type: ignore[operator]  # one column holds values of one type
