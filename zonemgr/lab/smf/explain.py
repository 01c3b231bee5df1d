"""svcs -x and svcs -l: why services are not running, and all about one."""

from __future__ import annotations

import time
from collections.abc import Sequence

from zonemgr.lab.call import Call
from zonemgr.lab.smf.services import RESTARTER
from zonemgr.lab.smf.states import Machine

KNOWLEDGE = "http://illumos.org/msg/"
MAINTENANCE = {
    "administrative_request": ("Maintenance requested by an administrator.", "SMF-8000-63"),
    "method_failed": ("Start method exited with $SMF_EXIT_ERR_FATAL.", "SMF-8000-KS"),
}


def causes(machine: Machine) -> list[str]:
    """Services that are enabled but not running, or keep others from running, at nobody else's fault."""
    guilty = [fmri for fmri in machine.services() if _is_cause(machine, fmri)]
    return sorted(guilty, key=lambda fmri: (-len(machine.dependents(fmri)), fmri))


def _is_cause(machine: Machine, fmri: str) -> bool:
    state = machine.state(fmri).name
    if state in ("online", "degraded"):
        return state == "degraded"
    if state == "maintenance":
        return True
    if state == "disabled":
        return bool([each for each in machine.dependents(fmri) if machine.in_subgraph(each)])
    return not machine.blocked_by(fmri)


def explain(call: Call, machine: Machine, fmris: Sequence[str], *, zone: str, verbose: bool) -> None:
    call.out("\n".join(_paragraph(machine, fmri, zone, verbose) for fmri in fmris))


def _paragraph(machine: Machine, fmri: str, zone: str, verbose: bool) -> str:
    state = machine.state(fmri)
    lines = [f"{fmri} ({machine.known[fmri].name})"]
    lines += [f"  Zone: {zone}"] if zone else []
    lines += [f" State: {state.name} since {_date(state.since)}"]
    lines += _reason(machine, fmri)
    lines += [f"   See: {machine.known[fmri].log}"] if state.name != "disabled" else []
    return "".join(f"{line}\n" for line in [*lines, *_impact(machine, fmri, verbose)])


def _reason(machine: Machine, fmri: str) -> list[str]:
    state = machine.state(fmri)
    text, code = "Unknown.", "SMF-8000-AR"
    if state.name in ("online",):
        return []
    if state.name == "maintenance":
        text, code = MAINTENANCE[machine.repository.now(fmri).maintenance]
    elif state.name == "degraded":
        text, code = "Degraded by an administrator.", "SMF-8000-VE"
    elif state.name == "disabled":
        text, code = _disabled(machine, fmri)
    elif state.next:
        text, code = "Start method is running.", "SMF-8000-C4"
    elif blockers := machine.blocked_by(fmri):
        text, code = f"Service {blockers[0]} {_summary(machine, blockers[0])}", "SMF-8000-GE"
    return [f"Reason: {text}", f"   See: {KNOWLEDGE}{code}"]


def _disabled(machine: Machine, fmri: str) -> tuple[str, str]:
    if machine.enabled(fmri, for_good=True):
        comment = machine.repository.now(fmri).comment
        return _administrator("Temporarily disabled", comment), "SMF-8000-1S"
    return _administrator("Disabled", machine.repository.of(fmri).comment), "SMF-8000-05"


def _administrator(how: str, comment: str) -> str:
    return f"{how} by an administrator: {comment}" if comment else f"{how} by an administrator."


def _summary(machine: Machine, fmri: str) -> str:
    state = machine.state(fmri)
    if state.name == "disabled":
        return "is temporarily disabled." if machine.enabled(fmri, for_good=True) else "is disabled."
    if state.name == "maintenance":
        asked = machine.repository.now(fmri).maintenance == "administrative_request"
        return (
            "was taken down for maintenace by an administrator."
            if asked
            else "is not running because a method failed."
        )
    return "is starting." if state.next else "is offline."


def _impact(machine: Machine, fmri: str, verbose: bool) -> list[str]:
    impaired = machine.dependents(fmri)
    if not impaired:
        running = machine.state(fmri).name in ("online", "degraded")
        return ["Impact: None." if running else "Impact: This service is not running."]
    count = "1 dependent service is" if len(impaired) == 1 else f"{len(impaired)} dependent services are"
    if not verbose:
        return [f"Impact: {count} not running.  (Use -v for list.)"]
    return [f"Impact: {count} not running:", *(f"        {each}" for each in impaired)]


def _date(moment: float) -> str:
    return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(moment))


def details(call: Call, machine: Machine, fmris: Sequence[str], *, zone: str) -> None:
    call.out("\n".join(_details(machine, fmri, zone) for fmri in fmris))


def _details(machine: Machine, fmri: str, zone: str) -> str:
    service, state = machine.known[fmri], machine.state(fmri)
    now, for_good = machine.enabled(fmri) and machine.in_subgraph(fmri), machine.enabled(fmri, for_good=True)
    rows = [("fmri", fmri), ("name", service.name)]
    rows += [("zone", zone)] if zone else []
    rows += [("enabled", ("true" if now else "false") + (" (temporary)" if now != for_good else ""))]
    rows += [("state", state.name), ("next_state", state.next or "none"), ("state_time", _date(state.since))]
    rows += [("logfile", service.log), ("restarter", RESTARTER)]
    rows += [
        ("dependency", f"require_all/none {each} ({_state_of(machine, each)})") for each in service.requires
    ]
    rows += [
        ("dependency", f"optional_all/none {each} ({_state_of(machine, each)})") for each in service.optional
    ]
    return "".join(f"{name.ljust(13)}{value}\n" for name, value in rows)


def _state_of(machine: Machine, fmri: str) -> str:
    return machine.state(fmri).name if fmri in machine.services() else "absent"
