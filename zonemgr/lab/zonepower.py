"""A zone that goes down, or comes up again, by its own doing: halt, reboot, init, shutdown, uadmin in a zone.

In the zone the command finds fault with its options and asks; outside, what zoneadmd does happens: the zone is
halted or rebooted, every process in it is killed, the sessions of zlogin end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from zonemgr.lab import kernel, options
from zonemgr.lab.call import Call
from zonemgr.lab.world import LabError, World

PENDING = "zonepower"  # fact, by zone: the pid of who is about to take it down
RUN_DOWN = 0.5  # seconds from `init 0` until processes are killed: services are stopped first
MILESTONES = {"s": "single-user", "S": "single-user", "1": "single-user", "2": "multi-user", "3": "all"}
USAGE = {
    "halt": "usage: halt [ -dlnqy ]",
    "poweroff": "usage: poweroff [ -dlnqy ]",
    "reboot": "usage: reboot [ -dlnq(p|fe:) ] [ boot args ]",
}
# uadmin's cmd 2 is A_SHUTDOWN, 1 A_REBOOT; fcn 0 AD_HALT, 1 AD_BOOT, 2 AD_IBOOT, 6 AD_POWEROFF
UADMIN_DOWN = ("1", "2")
UADMIN = {"0": "halt", "1": "reboot", "2": "reboot", "6": "halt"}


# -- in the zone -------------------------------------------------------------------------------------------


def command(call: Call) -> int:
    tools: dict[str, Callable[[Call], int]] = {
        "halt": _halt,
        "poweroff": _halt,
        "reboot": _halt,
        "init": _init,
        "telinit": _init,
        "shutdown": _shutdown,
        "uadmin": _uadmin,
    }
    return tools[call.name](call)


def _halt(call: Call) -> int:
    """halt(8) and its other names: kills everything at once and does not come back."""
    name = call.name
    try:
        found, words = options.parse(call.argv[1:], "dlnqpfe:" if name == "reboot" else "dlnqy")
    except options.BadOption:
        return call.fail(USAGE[name])
    given = {letter for letter, _ in found}
    if "d" in given:
        return call.fail(f"{name}: -d only valid from global zone")
    if words and name != "reboot":
        return call.fail(USAGE[name])
    if not call.privileged:
        return call.fail(f"{name}: permission denied")
    if {"p", "f"} <= given:
        return call.fail(f"{name}: -p and -f are mutually exclusive")
    if "e" in given and "f" not in given:
        return call.fail(f"{name}: -e only valid with -f")
    if "f" in given:
        return call.fail(f"{name}: Fast reboot only valid from global zone")
    return _end(call, "reboot" if name == "reboot" else "halt", " ".join(words))


def _uadmin(call: Call) -> int:
    words = call.argv[1:]
    if len(words) not in (2, 3):
        return call.fail(f"Usage: {call.argv[0]} cmd fcn [mdep]")
    if words[0] not in UADMIN_DOWN or words[1] not in UADMIN:
        raise LabError(f"uadmin {' '.join(words)} in a zone is not emulated")
    if not call.privileged:
        return call.fail("uadmin: Not owner")
    return _end(call, UADMIN[words[1]], " ".join(words[2:]))


def _end(call: Call, how: str, args: str) -> int:
    """Ask for the end and wait for it: nothing here lives on when it comes."""
    status = kernel.ask(call, "lab-power", call.name, how, args)
    if status == 0:
        time.sleep(60)
        raise LabError("the zone did not go down")
    return status


def _init(call: Call) -> int:
    """init(8): tells the first process and returns at once; what it does takes its time."""
    words = call.argv[1:]
    if len(words) != 1 or len(words[0]) != 1:
        return call.fail("Usage: init [0123456SsQqabcIiRrOo]") if not words else _init_bad(call)
    level = words[0]
    if not call.privileged:
        return call.fail("init: Must be super-user")
    if level in MILESTONES:
        done = call.run("svcadm", "milestone", _fmri(MILESTONES[level]))
        call.err(done.stderr)
        return done.exit_code
    if level in ("0", "5", "6"):
        return kernel.ask(call, "lab-power", call.name, "init-reboot" if level == "6" else "init-halt", "")
    raise LabError(f"init {level} in a zone is not emulated")


def _init_bad(call: Call) -> int:
    return call.fail("Usage: init [0123456SsQqabcIiRrOo]")


def _fmri(milestone: str) -> str:
    return milestone if milestone == "all" else f"svc:/milestone/{milestone}:default"


# -- shutdown(8) -------------------------------------------------------------------------------------------

SHUTDOWN_USAGE = "Usage: {} [ -y ] [ -g<grace> ] [ -i<initstate> ] [ message ]\n"
WARNED_AT = (7200, 3600, 1800, 1200, 600, 300, 120, 60, 30, 10)


def _shutdown(call: Call) -> int:
    """The script of illumos, its texts on stdout. Real time passes: in a zone the clock is the machine's."""
    zero = call.argv[0]
    if not call.privileged:
        call.out(f"{zero}:  Only root can run {zero}\n")
        return 2
    try:
        found, words = options.parse(call.argv[1:], "g:i:y")
    except options.BadOption:
        return _shutdown_usage(call, "")
    grace, level, sure = 60, "s", False
    for letter, value in found:
        if letter == "y":
            sure = True
        elif letter == "g":
            if not value.isdigit():
                return _shutdown_usage(call, f"{zero}: -g requires a numeric option\n")
            grace = int(value)
        elif value in tuple("Ss0156"):
            level = value
        elif value in tuple("234abcqQ"):
            call.out(f"{zero}: Initstate {value} is not for system shutdown\n")
            return 1
        else:
            return _shutdown_usage(call, f"{zero}: {value} is not a valid initstate\n")
    return _countdown(call, grace, level, sure, " ".join(words))


def _shutdown_usage(call: Call, before: str) -> int:
    call.out(before + SHUTDOWN_USAGE.format(call.argv[0]))
    return 1


def _countdown(call: Call, grace: int, level: str, sure: bool, message: str) -> int:
    node = os.uname().nodename
    call.out(f"\nShutdown started.    {time.strftime('%a %b %e %H:%M:%S %Z %Y')}\n\n")
    for mark in WARNED_AT:
        if grace > mark:
            _notify(call, f"The system {node} will be shut down in {_words(grace)}\n{message}")
            _no_logins(call, f"\n\tNO LOGINS: System going down in {_words(grace)}\n\t{message}\n\n")
            time.sleep(grace - mark)
            grace = mark
    if not sure:
        call.out("Do you want to continue? (y or n):   ")
        if call.stdin.readline().strip() != b"y":
            _notify(call, f"False Alarm:  The system {node} will not be brought down.")
            call.out("Shutdown aborted.\n")
            _no_logins(call, None)
            return 1
    _notify(
        call,
        f"THE SYSTEM {node} IS BEING SHUT DOWN NOW ! ! !\n"
        f"Log off now or risk your files being damaged\n{message}",
    )
    time.sleep(grace)
    call.out(f"Changing to init state {level} - please wait\n")
    call.argv = ["init", level]
    return _init(call)


def _words(seconds: int) -> str:
    hours, minutes, rest = seconds // 3600, seconds % 3600 // 60, seconds % 60
    found = f"{hours} hours " if hours > 1 else "1 hour " if hours else ""
    found += f"{minutes} minutes " if minutes > 1 else "1 minute " if minutes == 1 else ""
    if not hours and rest:
        found += "1 second" if rest == 1 else f"{rest} seconds"
    return found


def _notify(call: Call, text: str) -> None:
    """wall(8): to every terminal of the zone. There is one on the console only."""
    kernel.ask(call, "lab-power", "shutdown", "wall", text)


def _no_logins(call: Call, text: str | None) -> None:
    from pathlib import Path

    path = Path("/etc/nologin")
    try:
        path.unlink(missing_ok=True) if text is None else path.write_text(text)
    except OSError:  # raised by pfexec, which this process' own rights know nothing of
        return


# -- outside -----------------------------------------------------------------------------------------------


def answer(call: Call) -> int:
    """lab-power COMMAND HOW ARGUMENT: what the kernel and zoneadmd make of it."""
    world, zone = call.world, call.zone or ""
    how, argument = call.argv[2], call.argv[3]
    if not call.privileged:
        return call.fail(f"{call.argv[1]}: permission denied")
    if how == "wall":
        from zonemgr.lab import console

        console.wall(world, zone, argument)
        return 0
    row = world.db.execute("select state from kernel_zones where name = ?", (zone,)).fetchone()
    if row is None or row["state"] != "running":
        raise LabError(f"taking a zone down that is {row['state'] if row else 'not there'} is not emulated")
    world.put(f"{PENDING}.{zone}", str(os.getpid()))
    try:
        if call.reply is not None:
            call.reply(0)
        if how.startswith("init-"):
            time.sleep(RUN_DOWN)
        _go_down(world, zone, how.removeprefix("init-"), argument)
    finally:
        world.db.execute("delete from facts where key = ?", (f"{PENDING}.{zone}",))
    return 0


def _go_down(world: World, zone: str, how: str, args: str) -> None:
    from zonemgr.lab import zonestore
    from zonemgr.lab.zoneadm import daemon, locks
    from zonemgr.lab.zoneadm.request import Stop

    attendant = daemon.unattended(world, zone)
    with locks.daemon(attendant.request):
        if zonestore.kernel_state(world, zone) != "running":
            return
        if how == "halt":
            if daemon.quiet_halt(attendant, "running"):
                attendant.notice("NOTICE: Zone halted")
            return
        try:
            daemon.reboot(attendant, "running", args)
        except (daemon.Failed, Stop):
            return


def wait(world: World, zone: str, limit: float = 30.0) -> None:
    """Until whoever is taking a zone down is done (for callers in one process with the lab)."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        pid = world.get(f"{PENDING}.{zone}")
        if not pid or not _is_there(int(pid)):
            return
        time.sleep(0.01)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
