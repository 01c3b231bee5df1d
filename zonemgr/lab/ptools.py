"""ptree, pargs, pwdx and prstat of illumos (gate, cmd/ptools and cmd/prstat), for the processes of `proctable`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from zonemgr.lab import options, proctable
from zonemgr.lab.call import Call
from zonemgr.lab.proctable import Names, Process

TREE_USAGE = """\
usage:	ptree [-ac] [-z zone] [ {pid|user} ... ]
  (show process trees)
  list can include process-ids and user names
  -a : include children of process 0
  -c : show contract ownership
  -z : print only processes in given zone
"""
COLUMNS = 80


# -- ptree -------------------------------------------------------------------------------------------------


class _Tree:
    """Processes below their parents, children by start time."""

    def __init__(self, rows: Sequence[Process], zone_id: int | None) -> None:
        self.rows = {each.pid: each for each in rows}
        self.zone_id = zone_id
        self.marked: set[int] = set()
        self.children: dict[int, list[int]] = {}
        for each in sorted(rows, key=lambda each: (each.start, each.pid)):
            if each.parent != each.pid:
                parent = each.parent if each.parent in self.rows else 0
                self.children.setdefault(parent, []).append(each.pid)

    def mark(self, pid: int) -> None:
        if self.zone_id in (None, self.rows[pid].zone_id):
            self.marked.add(pid)
        for child in self.children.get(pid, ()):
            self.mark(child)

    def mark_above(self, pid: int, *, all_of_them: bool) -> None:
        parent = self.rows[pid].parent
        while parent in self.rows and parent not in self.marked and parent != 0:
            each = self.rows[parent]
            if (each.parent != 0 or all_of_them) and self.zone_id in (None, each.zone_id):
                self.marked.add(parent)
            parent = each.parent if each.parent != parent else 0

    def lines(self, pid: int, level: int, columns: int) -> Iterable[str]:
        if pid in self.marked:
            indent = " " * (2 * level)
            room = max(columns - 5 - 2 * level - 2, 0)
            yield f"{indent}{pid:<5} {self.rows[pid].args[:room]}\n"
        below = level + 1 if level or pid in self.marked else level
        for child in self.children.get(pid, ()):
            yield from self.lines(child, below, columns)


def ptree(call: Call) -> int:
    try:
        found, words = options.parse(call.argv[1:], "acz:")
    except options.BadOption:
        call.err(TREE_USAGE)
        return 2
    given = dict(found)
    if "c" in given:
        return call.fail("lab: ptree -c is not emulated")
    zone_id = proctable.zone_id(call, given["z"]) if "z" in given else None
    if "z" in given and zone_id is None:
        return call.fail(f"ptree: unknown zone: {given['z']}")
    rows = proctable.table(call)
    tree, columns = _Tree(rows, zone_id), int(call.env.get("COLUMNS") or 0) or COLUMNS
    if not words:
        top = 0 if "a" in given else _first(tree)
        for pid in tree.children.get(top, ()):
            tree.mark(pid)
            call.out("".join(tree.lines(pid, 0, columns)))
        return 0
    unknown, none = _mark_wanted(call, tree, words, all_of_them="a" in given)
    for pid in [each.pid for each in rows if each.parent == each.pid or each.parent not in tree.rows]:
        call.out("".join(tree.lines(pid, 0, columns)))
    return 1 if unknown or none else 0


def _first(tree: _Tree) -> int:
    """Process 1 where the caller sees it, else 0, of which all orphans are."""
    return 1 if 1 in tree.rows and tree.rows[1].zone == "global" else 0


def _mark_wanted(call: Call, tree: _Tree, words: Sequence[str], *, all_of_them: bool) -> tuple[bool, bool]:
    from zonemgr.lab import place

    names, unknown, none = Names(place.here(call).root), False, True
    for word in (word.rsplit("/", 1)[-1] for word in words):
        uid = None if word.isdigit() else names.uid(word)
        if uid is None and not word.isdigit():
            unknown = True
            call.err(f"ptree: invalid username: {word}\n")
            continue
        for each in list(tree.rows.values()):
            of_user = each.uid == uid and each.pid != 0 and (each.parent != 0 or all_of_them)
            if of_user or (uid is None and each.pid == int(word)):
                none = False
                tree.mark(each.pid)
                tree.mark_above(each.pid, all_of_them=all_of_them)
    return unknown, none


# -- pargs, pwdx -------------------------------------------------------------------------------------------


def _processes(call: Call, words: Sequence[str], status: list[int]) -> Iterable[Process]:
    known = {each.pid: each for each in proctable.table(call)}
    for word in (word.removeprefix("/proc/") for word in words):
        found = known.get(int(word)) if word.isdigit() else None
        if found is None or found.zombie:
            call.err(f"{call.name}: cannot examine {word}: no such process\n")
            status.append(1)
        elif found.system:
            call.err(f"{call.name}: cannot examine {word}: system process\n")
            status.append(1)
        else:
            yield found


def pargs(call: Call) -> int:
    try:
        found, words = options.parse(call.argv[1:], "acelFx")
    except options.BadOption:
        found, words = [], []
    letters = {letter for letter, _ in found}
    if not words:
        usage = "usage:  pargs [-acexF] { pid | core } ...\n  (show process arguments and environment)\n"
        call.err(
            usage + "  -a: show process arguments (default)\n  -c: interpret characters as 7-bit ascii"
            " regardless of locale\n  -e: show environment variables\n  -F: force grabbing of the target"
            " process\n  -l: display arguments as command line\n  -x: show auxiliary vector\n"
        )
        return 2
    refused = letters & {"x", "c"}
    if refused:
        return call.fail(f"lab: pargs -{min(refused)} is not emulated")
    status: list[int] = []
    for number, each in enumerate(_processes(call, words, status)):
        call.out("\n" if number and "l" not in letters else "")
        _pargs(call, each, letters)
    return max(status, default=0)


def _pargs(call: Call, each: Process, letters: set[str]) -> None:
    arguments, environment = _words(each, "cmdline"), _words(each, "environ")
    if "l" in letters:
        import shlex

        call.out(shlex.join(arguments) + "\n")
        return
    call.out(f"{each.pid}:\t{each.args}\n")
    if "a" in letters or "e" not in letters:
        call.out("".join(f"argv[{number}]: {word}\n" for number, word in enumerate(arguments)))
    if "e" in letters:
        call.out("\n" if "a" in letters else "")
        call.out("".join(f"envp[{number}]: {word}\n" for number, word in enumerate(environment)))


def _words(each: Process, file: str) -> list[str]:
    if not each.real:
        return each.args.split() if file == "cmdline" else ["PATH=/usr/sbin:/usr/bin"]
    try:
        text = Path(f"/proc/{each.pid}/{file}").read_bytes().decode("utf-8", "replace")
    except OSError:
        return []
    return text.rstrip("\0").split("\0") if text else []


def pwdx(call: Call) -> int:
    try:
        _, words = options.parse(call.argv[1:], "F")
    except options.BadOption:
        words = []
    if not words:
        call.err("usage:  pwdx [-F] pid ...\n  (show process working directory)\n")
        call.err("  -F: force grabbing of the target process\n")
        return 2
    status: list[int] = []
    for each in _processes(call, words, status):
        call.out(f"{each.pid}:\t{_directory(each)}\n")
    return max(status, default=0)


def _directory(each: Process) -> str:
    if not each.real:
        return "/"
    try:
        return os.readlink(f"/proc/{each.pid}/cwd")
    except OSError:
        return "/"


# -- prstat ------------------------------------------------------------------------------------------------

HEADER = "   PID USERNAME  SIZE   RSS STATE   PRI NICE      TIME  CPU PROCESS/NLWP       "
ZONE_HEADER = "ZONEID    NPROC  SWAP   RSS MEMORY      TIME  CPU ZONE                        "
PRSTAT_USAGE = (
    "Usage:\tprstat [-acHJLmrRtTvWZ] [-u euidlist] [-U uidlist]\n"
    "\t[-p pidlist] [-P cpulist] [-C psrsetlist] [-h lgrplist]\n"
    "\t[-j projidlist] [-k taskidlist] [-z zoneidlist]\n"
    "\t[-s key | -S key] [-n nprocs[,nusers]]\n"
    "\t[-d d|u] [interval [counter]]\n"
)
MEMORY = 8 * 1024 * 1024  # KB; as prtconf has it


def prstat(call: Call) -> int:
    """One picture: `prstat [-c] ... INTERVAL 1`. What goes on for ever, or is measured between two, is refused."""
    try:
        found, words = options.parse(call.argv[1:], "acd:HJLmrRtTvWZu:U:p:P:C:h:j:k:z:s:S:n:")
    except options.BadOption:
        return call.fail(PRSTAT_USAGE.rstrip("\n"))
    given = dict(found)
    refused = given.keys() - set("cZnpuUz")
    if refused:
        return call.fail(f"lab: prstat -{min(refused)} is not emulated")
    if len(words) != 2 or not words[0].isdigit() or words[1] != "1":
        return call.fail("lab: prstat without an interval and a count of 1 is not emulated")
    limit = given.get("n", "99999" if "c" in given else "15").split(",")[0]
    if not limit.isdigit():
        return call.fail(f"prstat: invalid argument for option n -- {limit}")
    try:
        rows = _chosen(call, given)
    except LookupError as unknown:
        return call.fail(f"prstat: {unknown.args[0]}")
    call.out(HEADER + "\n")
    for each in sorted(rows, key=lambda each: (-each.seconds, each.pid))[: int(limit)]:
        call.out(_line(each))
    if "Z" in given:
        call.out(_by_zone(rows))
    loads = os.getloadavg()
    call.out(f"Total: {len(rows)} processes, {len(rows)} lwps, load averages: ")
    call.out(", ".join(f"{load:3.2f}" for load in loads) + "\n")
    return 0


def _chosen(call: Call, given: dict[str, str]) -> list[Process]:
    from zonemgr.lab import place

    rows = [each for each in proctable.table(call) if not each.zombie]
    names = Names(place.here(call).root)
    if "z" in given:
        zones = {word: proctable.zone_id(call, word) for word in given["z"].split(",")}
        for word, number in zones.items():
            if number is None:
                raise LookupError(f"unknown zone -- {word}")
        rows = [each for each in rows if each.zone_id in zones.values()]
    if "p" in given:
        rows = [each for each in rows if str(each.pid) in given["p"].split(",")]
    for letter in given.keys() & {"u", "U"}:
        wanted = {word: word if word.isdigit() else names.uid(word) for word in given[letter].split(",")}
        for word, uid in wanted.items():
            if uid is None:
                raise LookupError(f"unknown user name -- {word}")
        rows = [each for each in rows if str(each.uid) in {str(uid) for uid in wanted.values()}]
    return rows


def _size(kilobytes: int) -> str:
    """As prstat's Format_size: up to 9999K, then M, then G."""
    for unit in ("K", "M"):
        if kilobytes < 10000:
            return f"{kilobytes}{unit}"
        kilobytes //= 1024
    return f"{kilobytes}G"


def _spent(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:>3}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _line(each: Process) -> str:
    state = {"O": "cpu0", "T": "stop"}.get(each.state, "sleep")
    priority, nice = (99, "SYS") if each.system else (59, "0")
    return (
        f"{each.pid:>6} {each.user[:8]:<8} {_size(each.size):>5} {_size(each.resident):>5} {state:<6} "
        f"{priority:>3}  {nice:>3} {_spent(each.seconds):>9} {'0.0':.3}% {each.name}/1\n"
    )


def _by_zone(rows: Sequence[Process]) -> str:
    lines = [ZONE_HEADER + "\n"]
    zones = {each.zone_id: each.zone for each in rows}
    for number, zone in zones.items():
        mine = [each for each in rows if each.zone_id == number]
        size, resident = sum(each.size for each in mine), sum(each.resident for each in mine)
        share = f"{resident / MEMORY * 100:.1f}"[:3]
        spent = _spent(sum(each.seconds for each in mine))
        counts = f"{number:>6} {len(mine):>8} {_size(size):>5} {_size(resident):>5}"
        lines.append(f"{counts}   {share:>3}% {spent:>9} 0.0% {zone:<28}\n")
    return "".join(lines)
