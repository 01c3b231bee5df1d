"""Signals to the lab's processes: real ones get them, of those in the lab's books the consequence is kept."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from zonemgr.lab import daemons, place
from zonemgr.lab.call import Call
from zonemgr.lab.proctable import Process
from zonemgr.lab.world import LabError

# illumos' numbers (gate, sys/iso/signal_iso.h), which are not the machine's from 7 on.
NUMBERS = dict(
    enumerate(
        (
            *(
                "HUP",
                "INT",
                "QUIT",
                "ILL",
                "TRAP",
                "ABRT",
                "EMT",
                "FPE",
                "KILL",
                "BUS",
                "SEGV",
                "SYS",
                "PIPE",
            ),
            *("ALRM", "TERM", "USR1", "USR2", "CHLD", "PWR", "WINCH", "URG", "POLL", "STOP", "TSTP", "CONT"),
            *("TTIN", "TTOU", "VTALRM", "PROF", "XCPU", "XFSZ"),
        ),
        1,
    )
)
LETHAL = {"KILL", "TERM", "QUIT", "INT", "ABRT", "SEGV", "BUS", "ILL", "FPE", "SYS"}
NOT_OWNER = "Not owner"


def signal_number(text: str) -> int | None:
    """The machine's number of a signal that illumos knows by this number or name; None when it does not."""
    name = NUMBERS.get(int(text)) if text.isdigit() else text.removeprefix("SIG")
    if text == "0":
        return 0
    if name not in NUMBERS.values():
        return None
    found = signal.Signals.__members__.get(f"SIG{name}")
    return None if found is None else int(found)


def kill(call: Call, process: Process, number: int) -> str:
    """Send a signal; the text of the errno when that fails, "" when it was sent."""
    if process.real:
        return _kill(call, process.pid, number)
    if not call.privileged:
        return NOT_OWNER
    # No signal reaches the kernel's processes, and an init that is killed is started again in its place, with the
    # same number (gate, uts/common/os/exit.c: restart_init).
    if process.system or process.args.startswith("/sbin/init") or not _is_lethal(number):
        return ""
    if not process.service:
        raise LabError(f"a signal to {process.args} is not emulated")
    _restarted(call, process)
    return ""


def _is_lethal(number: int) -> bool:
    return any(number == signal.Signals.__members__.get(f"SIG{name}") for name in LETHAL)


def _kill(call: Call, pid: int, number: int) -> str:
    if not call.privileged and call.zone is None and call.user == "root":
        return NOT_OWNER
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return ""
    except PermissionError:
        return NOT_OWNER
    return ""


def _restarted(call: Call, process: Process) -> None:
    """A service whose process dies is started anew by its restarter, and SMF's own programs by init."""
    from zonemgr.lab.smf import reach

    where = place.here(call)
    if call.zone is None and process.zone != "global":
        found = place.of_zone(call.world, process.zone)
        if found is None:
            return
        where = found
    with suppress(OSError), reach.changing(where) as machine:
        if process.args in (daemons.STARTD, daemons.CONFIGD):
            machine.repository.killed[process.args] = where.now
        else:
            machine.repository.now(process.service).since = where.now
