"""pgrep and pkill of the global zone, for the processes of zones (-z); fuser, which is refused.

With -z only what runs in cells is looked at. Without it, and in a zone, the machine's own command is run.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from zonemgr.lab import options, processes
from zonemgr.lab.call import Call
from zonemgr.lab.world import World

CRITERIA = (
    "\t[-u euidlist] [-U uidlist] [-G gidlist] [-J projidlist]\n"
    "\t[-T taskidlist] [-t termlist] [-z zonelist] [-c ctidlist] [pattern]\n"
)
USAGE = {
    "pgrep": "Usage: pgrep [-flnovx] [-d delim] [-P ppidlist] [-g pgrplist] [-s sidlist]\n" + CRITERIA,
    "pkill": "Usage: pkill [-signal] [-fnovx] [-P ppidlist] [-g pgrplist] [-s sidlist]\n" + CRITERIA,
}
FOUND, NONE, WRONG, FATAL = 0, 1, 2, 3


def command(call: Call) -> int:
    name = call.name
    if call.zone is not None or not any(word.startswith("-") and "z" in word for word in call.argv[1:]):
        return _machines(call)
    words, number = list(call.argv[1:]), signal.SIGTERM
    if name == "pkill" and words and re.fullmatch(r"-([A-Z][A-Z0-9]+|\d+)", words[0]):
        try:
            number = _signal(words.pop(0)[1:])
        except ValueError:
            return _usage(call, name, "")
    try:
        found, patterns = options.parse(words, "flnovxc:d:D:u:U:G:P:g:s:t:z:J:T:")
    except options.BadOption as bad:
        what = "option requires an argument" if bad.missing else "illegal option"
        return _usage(call, name, f"{name}: {what} -- {bad.letter}\n")
    given = dict(found)
    if len(patterns) > 1 or not (patterns or "z" in given) or (name == "pkill" and given.keys() & {"l", "d"}):
        return _usage(call, name, "")
    if "z" not in given or given.keys() - set("zflxd"):
        return call.fail(f"lab: {name} without -z, or with more than -f, -l, -x and -d, is not emulated")
    zones = _zones(call, given["z"])
    if zones is None:
        return WRONG
    every = [each for zone in zones for each in in_zone(call.world, zone)]
    pids = [(pid, text) for pid, text in every if _matches(pid, text, patterns, given)]
    if name == "pgrep":
        lines = [
            f"{pid:>5} {text if 'f' in given else _comm(pid)}" if "l" in given else str(pid)
            for pid, text in pids
        ]
        if lines:
            call.out(given.get("d", "\n").join(lines) + "\n")
        return FOUND if lines else NONE
    return _kill(call, [pid for pid, _ in pids], number)


def _machines(call: Call) -> int:
    path = f"/.lab/usr/bin/{call.name}"
    if Path(path).exists():
        os.execve(path, call.argv, call.env)
    return call.fail(f"lab: {call.name} without -z is not emulated")


def _usage(call: Call, name: str, before: str) -> int:
    call.err(before + USAGE[name])
    return WRONG


def _signal(text: str) -> signal.Signals:
    try:
        return (
            signal.Signals(int(text)) if text.isdigit() else signal.Signals[f"SIG{text.removeprefix('SIG')}"]
        )
    except (KeyError, ValueError):
        raise ValueError(text) from None


def _zones(call: Call, text: str) -> list[str] | None:
    """Active zones by name or id; None (and a line) when one is no such."""
    active = {
        str(row["name"]): str(row["id"]) for row in call.world.db.execute("select name, id from kernel_zones")
    }
    found = []
    for each in re.split(r"[,\t ]", text):
        zone = next((name for name, number in active.items() if each in (name, number)), None)
        if zone is None and each not in ("global", "0"):
            call.err(f"{call.name}: invalid zone name -- {each}\n")
            return None
        if zone is None:
            call.err(f"lab: {call.name} of the global zone's processes is not emulated\n")
            return None
        found.append(zone)
    return found


def in_zone(world: World, zone: str) -> list[tuple[int, str]]:
    """Processes of a zone with their command lines; not the first, which stands in for zsched and init."""
    from zonemgr.lab import cell

    firsts = set(cell.firsts(world, zone))
    spaces = {_space(first) for first in firsts} - {""}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in firsts and _space(int(entry.name)) in spaces:
            pid = int(entry.name)
            if processes.stat(pid).parent not in firsts or not _is_part_of_first(pid):
                found.append((pid, _args(pid)))
    return sorted(found)


def _is_part_of_first(pid: int) -> bool:
    return _args(pid) == "sleep 2147483647"


def _space(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") if processes.stat(pid).state not in "ZX" else ""
    except (OSError, ValueError):
        return ""


def _args(pid: int) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        )
    except OSError:
        return ""


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _matches(pid: int, text: str, patterns: list[str], given: dict[str, str]) -> bool:
    if not patterns:
        return True
    subject = text if "f" in given else _comm(pid)
    try:
        return bool(re.fullmatch(patterns[0], subject) if "x" in given else re.search(patterns[0], subject))
    except re.error:
        return False


def _kill(call: Call, pids: list[int], number: signal.Signals) -> int:
    status = FOUND if pids else NONE
    for pid in pids:
        if not call.privileged:
            call.err(f"pkill: Failed to signal pid {pid}: Not owner\n")
            status = WRONG
            continue
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            call.err(f"pkill: Failed to signal pid {pid}: Not owner\n")
            status = WRONG
    return status


def fuser(call: Call) -> int:
    return call.fail(f"lab: fuser {' '.join(call.argv[1:])}".rstrip() + " is not emulated")
