"""ps(1) of illumos: options, columns and texts as in cmd/ps/ps.c; processes as in `proctable`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from zonemgr.lab import options, proctable
from zonemgr.lab.call import Call
from zonemgr.lab.proctable import Names, Process

USAGE = """\
usage: ps [ -aAdefHlcjLPyZ ] [ -o format ] [ -t termlist ]
	[ -u userlist ] [ -U userlist ] [ -G grouplist ]
	[ -p proclist ] [ -g pgrplist ] [ -s sidlist ] [ -z zonelist ] [-h lgrplist]
  'format' is one or more of:
	user ruser group rgroup uid ruid gid rgid pid ppid pgid sid taskid ctid
	pri opri pcpu pmem vsz rss osz nice class time etime stime zone zoneid
	f s c lwp nlwp psr tty addr wchan fname comm args projid project pset lgrp
"""
DAY = 24 * 3600
MAXPID = 999999
PID_WIDTH = 6  # the digits of MAXPID
NOT_EMULATED = "Lhn"  # threads, locality groups
DEFUNCT = "<defunct>"


class Wrong(Exception):
    """ps ends with status 1 and this on stderr."""


@dataclass(frozen=True)
class Column:
    name: str
    header: str
    width: int
    least: int
    value: Callable[[Process, float], str]
    left: bool = False  # aligned to the left, and as long as it is when it comes last


def _clock(seconds: float) -> str:
    whole = int(seconds + 0.5)
    days, rest = divmod(whole, DAY)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    text = f"{minutes:02d}:{int(seconds):02d}"
    if hours or days:
        text = f"{hours:02d}:{text}"
    return f"{days}-{text}" if days else text


def _started(process: Process, now: float, between: str) -> str:
    when = time.localtime(int(process.start + 0.5))
    return time.strftime(f"%b{between}%d" if now - process.start >= DAY else "%H:%M:%S", when)


def _class(process: Process) -> str:
    return "SYS" if process.system else "TS"


def _priority(process: Process) -> int:
    return 60 if process.system else 59


def _number(attribute: str) -> Callable[[Process, float], str]:
    return lambda process, _now: str(getattr(process, attribute))


def _text(text: str) -> Callable[[Process, float], str]:
    return lambda _process, _now: text


def _percent(process: Process, now: float) -> str:
    spent = process.seconds / max(now - process.start, 1.0)
    return f"{min(spent * 100, 99.9):.1f}"


COLUMNS = {
    column.name: column
    for column in (
        Column("user", "USER", 8, 8, lambda each, _: each.user),
        Column("ruser", "RUSER", 8, 8, lambda each, _: each.user),
        Column("group", "GROUP", 8, 8, lambda each, _: each.group),
        Column("rgroup", "RGROUP", 8, 8, lambda each, _: each.group),
        Column("uid", "UID", 5, 5, _number("uid")),
        Column("ruid", "RUID", 5, 5, _number("uid")),
        Column("gid", "GID", 5, 5, _number("gid")),
        Column("rgid", "RGID", 5, 5, _number("gid")),
        Column("pid", "PID", PID_WIDTH, 5, _number("pid")),
        Column("ppid", "PPID", PID_WIDTH, 5, _number("parent")),
        Column("pgid", "PGID", PID_WIDTH, 5, _number("process_group")),
        Column("sid", "SID", PID_WIDTH, 5, _number("session")),
        Column("psr", "PSR", 3, 2, _text("-")),
        Column("nlwp", "NLWP", 4, 2, _text("1")),
        Column("opri", "PRI", 3, 2, lambda each, _: str(99 - _priority(each))),
        Column("pri", "PRI", 3, 2, lambda each, _: str(_priority(each))),
        Column("f", "F", 2, 2, lambda each, _: "1" if each.system else "0"),
        Column("s", "S", 1, 1, lambda each, _: each.state),
        Column("c", "C", 2, 2, _text("0")),
        Column("pcpu", "%CPU", 4, 4, _percent),
        Column("pmem", "%MEM", 4, 4, _text("0.1")),
        Column("osz", "SZ", 4, 4, lambda each, _: str(each.size // 4)),
        Column("vsz", "VSZ", 4, 4, _number("size")),
        Column("rss", "RSS", 4, 4, _number("resident")),
        Column("nice", "NI", 2, 2, lambda each, _: "SY" if each.system else "20"),
        Column("class", "CLS", 4, 2, lambda each, _: _class(each)),
        Column("stime", "STIME", 8, 8, lambda each, now: _started(each, now, "_")),
        Column("etime", "ELAPSED", 11, 7, lambda each, now: _clock(max(now - each.start, 0.0))),
        Column("time", "TIME", 11, 5, lambda each, _: _clock(each.seconds)),
        Column("tty", "TT", 7, 7, lambda each, _: each.terminal or "?", left=True),
        Column("addr", "ADDR", 16, 8, _text("0")),
        Column("wchan", "WCHAN", 16, 8, _text("-")),
        Column("fname", "COMMAND", 8, 8, lambda each, _: each.name, left=True),
        Column("comm", "COMMAND", 80, 8, lambda each, _: each.args.split()[0], left=True),
        Column("args", "COMMAND", 80, 80, lambda each, _: each.args, left=True),
        Column("taskid", "TASKID", 5, 5, _text("1")),
        Column("projid", "PROJID", 5, 5, lambda each, _: "0" if each.uid == 0 else "3"),
        Column("project", "PROJECT", 8, 8, lambda each, _: "system" if each.uid == 0 else "default"),
        Column("pset", "PSET", 3, 3, _text("-")),
        Column("zone", "ZONE", 8, 8, _number("zone")),
        Column("zoneid", "ZONEID", 5, 5, _number("zone_id")),
        Column("ctid", "CTID", 5, 5, lambda each, _: str(each.contract) if each.contract else "-"),
        Column("lgrp", "LGRP", 4, 2, _text("0")),
    )
}
# What a zombie has nothing of any more (print_zombie_field).
DASH = {"psr", "pcpu", "pmem", "nice", "class", "stime", "etime", "wchan", "pset"}
ZERO = {"opri", "pri", "osz", "vsz", "rss"}


@dataclass(frozen=True)
class Shown:
    """A column as -o asks for it."""

    column: Column
    header: str
    width: int

    def cell(self, process: Process, now: float, *, last: bool) -> str:
        return self._padded(self._value(process, now), last=last)

    def head(self, *, last: bool) -> str:
        return self._padded(self.header, last=last)

    def _value(self, process: Process, now: float) -> str:
        if not process.zombie:
            return self.column.value(process, now)
        if self.column.left and self.column.name != "tty":
            return DEFUNCT
        if self.column.name in DASH | ZERO:
            return "-" if self.column.name in DASH else "0"
        return self.column.value(process, now)

    def _padded(self, text: str, *, last: bool) -> str:
        if not self.column.left:
            return text.rjust(self.width)
        if self.column.name == "tty":
            return text.ljust(self.width)
        # What does not fit is cut (namencnt), and nothing is added to the last column.
        return text[: self.width] if last else text[: self.width].ljust(self.width)


@dataclass
class Wanted:
    """The options of one call."""

    letters: set[str]
    shown: list[Shown] = field(default_factory=list)
    pids: set[int] = field(default_factory=set)
    users: set[int] = field(default_factory=set)
    groups: set[int] = field(default_factory=set)
    process_groups: set[int] = field(default_factory=set)
    sessions: set[int] = field(default_factory=set)
    zones: set[int] = field(default_factory=set)
    terminals: set[str] = field(default_factory=set)
    terminal_user: int | None = None

    def takes(self, each: Process) -> bool:
        if each.pid == each.session and self.letters & {"a", "d"} and not self.letters & {"e", "A"}:
            return False
        if self.letters & {"e", "A", "d"}:
            return True
        if "a" in self.letters:
            return bool(each.terminal)
        return self._named(each) or self._on_terminal(each)

    def _named(self, each: Process) -> bool:
        return (
            each.pid in self.pids
            or each.uid in self.users
            or each.gid in self.groups
            or each.process_group in self.process_groups
            or each.session in self.sessions
            or each.zone_id in self.zones
        )

    def _on_terminal(self, each: Process) -> bool:
        return each.terminal in self.terminals and self.terminal_user in (None, each.uid)


def ps(call: Call) -> int:
    try:
        return _ps(call)
    except Wrong as wrong:
        call.err(str(wrong))
        return 1


def _ps(call: Call) -> int:
    try:
        found, rest = options.parse(call.argv[1:], "jlfceAadLPyZHh:t:p:g:u:U:G:n:s:o:z:")
    except options.BadOption as bad:
        what = "option requires an argument" if bad.missing else "illegal option"
        raise Wrong(f"ps: {what} -- {bad.letter}\n{USAGE}") from None
    refused = [letter for letter, _ in found if letter in NOT_EMULATED]
    if refused:
        raise Wrong(f"lab: ps -{refused[0]} is not emulated\n")
    processes = proctable.table(call)
    wanted = _wanted(call, found, processes, operands=bool(rest))
    now = _now(call)
    rows = [each for each in processes if wanted.takes(each)]
    _show(call, wanted, rows, now)
    return 0 if rows else 1


def _now(call: Call) -> float:
    from zonemgr.lab import place

    return place.here(call).now


# -- options -----------------------------------------------------------------------------------------------


def _wanted(
    call: Call, found: Sequence[tuple[str, str]], processes: Sequence[Process], *, operands: bool
) -> Wanted:
    """All of them are looked at before the usage text ends it; unknown users come last."""
    from zonemgr.lab import place

    wanted = Wanted({letter for letter, _ in found})
    faults = "".join(_take(call, wanted, letter, value) for letter, value in found)
    if faults or operands:
        raise Wrong(faults + USAGE)
    if not wanted.letters & set("aAdeGUutpgszh"):
        _own_terminal(call, wanted, processes)
    names = Names(place.here(call).root)
    lists = [
        (letter, text)
        for letter, value in found
        if letter in "uUG"
        for text in value.replace(",", " ").split()
    ]
    unknown = "".join(_user(wanted, names, letter, text) for letter, text in lists)
    if unknown:
        raise Wrong(unknown)
    return wanted


def _take(call: Call, wanted: Wanted, letter: str, value: str) -> str:
    """Take one option in; what is said against it, a line each."""
    if letter == "o":
        return "".join(_format(wanted, value))
    words = value.replace(",", " ").split()
    if letter == "z":
        return "".join(_zone(call, wanted, word) for word in words)
    if letter == "t":
        wanted.terminals |= {f"tty{word}" if word[0].isdigit() else word for word in words}
    numbers = {"p": wanted.pids, "g": wanted.process_groups, "s": wanted.sessions}
    if letter in numbers:
        return "".join(_id(numbers[letter], letter, word) for word in words)
    return ""


def _id(into: set[int], letter: str, word: str) -> str:
    if not word.isdigit():
        return f"ps: {word} is an invalid non-numeric argument for -{letter} option\n"
    if int(word) > MAXPID:
        return f"ps: {word} exceeds valid range for -{letter} option\n"
    into.add(int(word))
    return ""


def _zone(call: Call, wanted: Wanted, word: str) -> str:
    number = proctable.zone_id(call, word)
    if number is None:
        return f"ps: unknown zone {word}\n"
    wanted.zones.add(number)
    return ""


def _user(wanted: Wanted, names: Names, letter: str, text: str) -> str:
    known = names.groups if letter == "G" else names.users
    number = next((key for key, name in known.items() if text in (name, str(key))), None)
    if number is None:
        return f"ps: unknown {'group' if letter == 'G' else 'user'} {text}\n"
    (wanted.groups if letter == "G" else wanted.users).add(number)
    return ""


def _format(wanted: Wanted, text: str) -> Iterator[str]:
    """`name,name=HEADER`: what follows the sign is the header to the end, blanks and commas too."""
    head, sign, header = text.partition("=")
    names = head.replace(",", " ").split()
    for number, name in enumerate(names):
        column = COLUMNS.get(name)
        if name == "lwp":
            raise Wrong("lab: ps -o lwp is not emulated\n")
        if column is None:
            yield f"ps: unknown output format: -o {name}\n"
            continue
        own = bool(sign) and number == len(names) - 1
        width = max((len(header) if own else 0) or column.width, column.least)
        wanted.shown.append(Shown(column, header.strip() if own else column.header, width))


def _own_terminal(call: Call, wanted: Wanted, processes: Sequence[Process]) -> None:
    me = next((each for each in processes if each.real and each.pid == os.getpid()), None)
    if me is None or not me.terminal:
        raise Wrong("ps: no controlling terminal\n")
    wanted.letters.add("t")
    wanted.terminals, wanted.terminal_user = {me.terminal}, me.uid


# -- output ------------------------------------------------------------------------------------------------


def _show(call: Call, wanted: Wanted, rows: Sequence[Process], now: float) -> None:
    if wanted.shown:
        last = len(wanted.shown) - 1
        if any(each.header for each in wanted.shown):
            heads = (each.head(last=number == last) for number, each in enumerate(wanted.shown))
            call.out(" ".join(heads) + "\n")
        for row in rows:
            cells = (each.cell(row, now, last=number == last) for number, each in enumerate(wanted.shown))
            call.out(" ".join(cells) + "\n")
        return
    call.out(_standard_head(wanted.letters))
    call.out("".join(_standard(row, wanted.letters, now) for row in rows))


def _standard_head(letters: set[str]) -> str:
    full, long = "f" in letters, "l" in letters
    head = (" S" if "y" in letters else " F S") if long else ""
    head += "    ZONE" if "Z" in letters else ""
    head += (" " if long else "") + "     UID" if full else "    UID" if long else ""
    head += " " + "PID".rjust(PID_WIDTH) + (" " + "PPID".rjust(PID_WIDTH) if long or full else "")
    if "j" in letters:
        head += f" {'PGID':>{PID_WIDTH}} {'SID':>{PID_WIDTH}}"
    head += " PSR" if "P" in letters else ""
    if "c" in letters:
        head += "  CLS PRI"
    elif long or full:
        head += "   C" + (" PRI NI" if long else "")
    if long:
        head += "   RSS     SZ    WCHAN" if "y" in letters else "     ADDR     SZ    WCHAN"
    head += "    STIME" if full else ""
    return head + (" LGRP" if "H" in letters else "") + " TTY         TIME CMD\n"


def _standard(each: Process, letters: set[str], now: float) -> str:
    """One line without -o (prcom, przom)."""
    full, long = "f" in letters, "l" in letters
    line = ("" if "y" in letters else f"{1 if each.system else 0:2x} ") + f"{each.state} " if long else ""
    line += f"{each.zone[:8]:>8} " if "Z" in letters else ""
    line += f"{each.user[:8]:>8} " if full else f"{each.uid:>6} " if long else ""
    line += f"{each.pid:>{PID_WIDTH}}" + (f" {each.parent:>{PID_WIDTH}}" if long or full else "")
    if "j" in letters:
        line += f" {each.process_group:>{PID_WIDTH}} {each.session:>{PID_WIDTH}}"
    line += "   -" if "P" in letters else ""
    if "c" in letters:
        line += f" {_class(each):>4} {_priority(each):>3}"
    elif long or full:
        line += "   0" + (f" {99 - _priority(each):>3} {'SY' if each.system else '20':>2}" if long else "")
    line += _sizes(each, kilobytes="y" in letters) if long else ""
    if full:
        line += f"{'' if each.zombie else _started(each, now, ' '):>9}"
    line += f"{0:>5}" if "H" in letters else ""
    line += f" {each.terminal or '?':<8}"
    spent = int(each.seconds + 0.5)
    line += f" {spent // 60:>4}:{spent % 60:02d}"
    return f"{line} {_command(each, letters)}\n"


def _sizes(each: Process, *, kilobytes: bool) -> str:
    wait = f"{'?':>9}" if each.state == "S" else " " * 9
    if kilobytes:
        return f" {each.resident:>5} {each.size:>6}{wait}"
    return f"{'?':>9} {each.size // 4:>6}{wait}"


def _command(each: Process, letters: set[str]) -> str:
    if each.zombie:
        return DEFUNCT
    if "f" not in letters:
        return each.name[:8]
    return each.args[:35] if "l" in letters else each.args
