"""svcadm(8): enabling, restarting and mending services, and the milestone (docs/illumos.md: SMF)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zonemgr.lab import options
from zonemgr.lab.call import Call
from zonemgr.lab.place import Place, here
from zonemgr.lab.smf import reach, waiting
from zonemgr.lab.smf.services import CONSOLE_LOGIN, MILESTONES, RESTARTER, match
from zonemgr.lab.smf.states import NEVER, Machine

USAGE = """Usage: svcadm [-S <state>] [-v] [-Z | -z zone] [cmd [args ... ]]

	svcadm enable [-rst] [<service> ...]
	svcadm disable [-c comment] [-st] [<service> ...]
	svcadm restart [-d] [<service> ...]
	svcadm refresh [<service> ...]
	svcadm mark [-It] <state> [<service> ...]
	svcadm clear [<service> ...]
	svcadm milestone [-d] <milestone>
"""
MILESTONE_USAGE = "".join(
    [
        "Usage: svcadm milestone [-d] <milestone>\n\n",
        "\t-d\tthe default from the next boot on\n\n\tall\n\tnone\n",
        *(f"\t{each}\n" for each in MILESTONES),
    ]
)
SERVICE_FAILED, DEPENDENCY_FAILED = 3, 4


class Refused(Exception):
    """svcadm ends here: a text for stderr and an exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.text, self.status = text, status


@dataclass
class Run:
    """One svcadm at one place."""

    call: Call
    where: Place
    verbose: bool = False
    search: str = ""  # -S: work on the services in this state
    status: int = 0

    def warn(self, text: str, status: int = 1) -> None:
        self.call.err(f"svcadm: {text}\n")
        self.status = self.status or status

    def chosen(self, machine: Machine, patterns: Sequence[str]) -> list[str]:
        """The instances the operands name; complains about those that name none, or partly name several."""
        if bool(patterns) == bool(self.search):
            raise Refused(USAGE, 2)
        if self.search:
            return [each for each in machine.services() if machine.state(each).name == self.search]
        found: dict[str, None] = {}
        for pattern in patterns:
            found.update(dict.fromkeys(self._one(machine, pattern)))
        return list(found)

    def _one(self, machine: Machine, pattern: str) -> list[str]:
        matches = match(pattern, machine.services())
        if not matches:
            self.warn(f"Pattern '{pattern}' doesn't match any instances")
        if len(matches) > 1 and not any(sign in pattern for sign in "*?["):
            self.warn(f"Partial FMRI '{pattern}' matches multiple instances:")
            self.call.err("".join(f"svcadm:     {fmri}\n" for fmri in matches))
            return []
        return matches

    def allowed(self, fmri: str, right: str = "solaris.smf.manage") -> bool:
        if self.call.privileged or self._authorised(right):
            return True
        self.warn(f"{fmri}: Permission denied.")
        return False

    def _authorised(self, right: str) -> bool:
        from zonemgr.lab import rights

        return rights.of_call(self.call).authorised(self.call.user, right)


def svcadm(call: Call) -> int:
    status = 0
    try:
        run, zones, words = _read(call)
        for name in zones:
            where = _place(call, name, many=len(zones) > 1)
            if where is None:
                continue
            one = Run(call, where, run.verbose, run.search)
            _command(one, words)
            status = status or one.status
    except Refused as refused:
        call.err(refused.text)
        return refused.status
    return status


def _read(call: Call) -> tuple[Run, list[str], list[str]]:
    try:
        found, words = options.parse(call.argv[1:], "S:vZz:")
    except options.BadOption:
        raise Refused(USAGE, 2) from None
    given = dict(found)
    for letter in "zZ":
        if letter in given and call.zone is not None:
            raise Refused(f"svcadm: svcadm -{letter} may only be used from the global zone\n")
    if not words or ("z" in given and "Z" in given):
        raise Refused(USAGE, 2)
    zones = reach.running(call) if "Z" in given else [given.get("z", "")]
    return Run(call, here(call), "v" in given, given.get("S", "")), zones, words


def _place(call: Call, name: str, *, many: bool) -> Place | None:
    """A place by zone name; with -Z a zone that cannot be reached is passed over."""
    if not name:
        return here(call)
    try:
        return reach.zone(call, name)
    except reach.NoZone:
        raise Refused(f"svcadm: invalid zone '{name}'\n") from None
    except reach.NoServer:
        if many:
            return None
        text = "svcadm: Couldn't bind to configuration repository: repository server unavailable.\n"
        raise Refused(text) from None


def _command(run: Run, words: Sequence[str]) -> None:
    commands: dict[str, Callable[[Run, list[str]], None]] = {
        "enable": enable,
        "disable": disable,
        "restart": restart,
        "refresh": refresh,
        "mark": mark,
        "clear": clear,
        "milestone": milestone,
    }
    if words[0] not in commands:
        raise Refused(USAGE, 2)
    commands[words[0]](run, list(words[1:]))


def _options(words: Sequence[str], letters: str, usage: str = USAGE) -> tuple[dict[str, str], list[str]]:
    try:
        found, rest = options.parse(words, letters)
    except options.BadOption:
        raise Refused(usage, 2) from None
    return dict(found), rest


# -- enable and disable --------------------------------------------------------------------------------


def enable(run: Run, words: list[str]) -> None:
    given, patterns = _options(words, "rst")
    with reach.changing(run.where) as machine:
        chosen = run.chosen(machine, patterns)
        for fmri in chosen:
            for each in _with_required(machine, fmri) if "r" in given else [fmri]:
                _set_enabled(run, machine, each, True, temporary="t" in given)
    if "s" in given and run.status == 0:
        for fmri in chosen:
            _wait_online(run, fmri)


def disable(run: Run, words: list[str]) -> None:
    given, patterns = _options(words, "c:st")
    with reach.changing(run.where) as machine:
        chosen = run.chosen(machine, patterns)
        for fmri in chosen:
            _set_enabled(run, machine, fmri, False, temporary="t" in given, comment=given.get("c", ""))


def _with_required(machine: Machine, fmri: str) -> list[str]:
    found: list[str] = []
    pending = [fmri]
    while pending:
        one = pending.pop(0)
        if one in machine.services() and one not in found:
            found.append(one)
            pending += machine.known[one].requires
    return found


def _set_enabled(
    run: Run, machine: Machine, fmri: str, value: bool, *, temporary: bool, comment: str = ""
) -> None:
    if not run.allowed(fmri):
        return
    if run.where.zone is None and not value and fmri == RESTARTER:
        raise Refused("lab: taking down the global zone's own restarter is not emulated\n")
    was = machine.enabled(fmri) and machine.in_subgraph(fmri)
    passing = machine.repository.now(fmri)
    if temporary:
        passing.enabled, passing.comment = value, comment
    else:
        kept = machine.repository.of(fmri)
        kept.enabled = None if value == machine.known[fmri].enabled else value
        kept.comment, passing.enabled = comment, None
    if was != value:
        passing.since, passing.maintenance = run.where.now, "" if not value else passing.maintenance
    if run.verbose:
        how = ("temporarily " if temporary else "") + ("enabled" if value else "disabled")
        run.call.out(f"{fmri} {how}.\n")


def _wait_online(run: Run, fmri: str) -> None:
    """As `enable -s`: until it is up, or never will be."""
    machine = reach.looking(run.where)
    state = machine.state(fmri).name
    if state in ("online", "degraded"):
        return None
    if state == "maintenance":
        return run.warn(f'Instance "{fmri}" is in maintenance state.', SERVICE_FAILED)
    if not machine.enabled(fmri) or not machine.in_subgraph(fmri):
        return run.warn(f'Instance "{fmri}" has been disabled by another entity.', SERVICE_FAILED)
    if machine.hopeless(fmri):
        return run.warn(f'Instance "{fmri}" has unsatisfied dependencies.', DEPENDENCY_FAILED)
    if machine.online_at(fmri) == NEVER:
        return waiting.for_ever(run.call)
    return waiting.wait(run.call, max(0.0, machine.online_at(fmri) - run.where.now) + 0.001)


# -- the others ----------------------------------------------------------------------------------------


def restart(run: Run, words: list[str]) -> None:
    given, patterns = _options(words, "d")
    if "d" in given:
        raise Refused("lab: svcadm restart -d is not emulated\n")
    with reach.changing(run.where) as machine:
        for fmri in run.chosen(machine, patterns):
            if run.allowed(fmri) and machine.state(fmri).name in ("online", "degraded"):
                passing = machine.repository.now(fmri)
                passing.since, passing.degraded = run.where.now, False
            _action(run, "restart", fmri)


def refresh(run: Run, words: list[str]) -> None:
    with reach.changing(run.where) as machine:
        for fmri in run.chosen(machine, words):
            if run.allowed(fmri):
                _action(run, "refresh", fmri)


def mark(run: Run, words: list[str]) -> None:
    given, rest = _options(words, "It")
    if len(rest) < 2 and not run.search:
        raise Refused(USAGE, 2)
    if not rest or rest[0] not in ("maintenance", "degraded"):
        raise Refused(USAGE, 2)
    if rest[0] == "degraded" and "t" in given:
        raise Refused("svcadm: -t may not be used with degraded.\n", 2)
    with reach.changing(run.where) as machine:
        for fmri in run.chosen(machine, rest[1:]):
            _mark(run, machine, fmri, rest[0])


def _mark(run: Run, machine: Machine, fmri: str, state: str) -> None:
    if state == "degraded" and machine.state(fmri).name != "online":
        return run.warn(f'Instance "{fmri}" is not online.')
    if not run.allowed(fmri):
        return None
    if state == "degraded":
        machine.repository.now(fmri).degraded = True
    else:
        reach.put_into_maintenance(machine.repository, fmri, "administrative_request", run.where.now)
    return _action(run, "degraded" if state == "degraded" else "maint_on", fmri)


def clear(run: Run, words: list[str]) -> None:
    if run.search and run.search not in ("maintenance", "degraded"):
        raise Refused("svcadm: State must be 'maintenance' or 'degraded'\n")
    with reach.changing(run.where) as machine:
        for fmri in run.chosen(machine, words):
            if machine.state(fmri).name not in ("maintenance", "degraded"):
                run.warn(f'Instance "{fmri}" is not in a maintenance or degraded state.')
            elif run.allowed(fmri):
                _clear(run, machine, fmri)


def _clear(run: Run, machine: Machine, fmri: str) -> None:
    passing = machine.repository.now(fmri)
    if passing.maintenance:
        passing.since = run.where.now
    _action(run, "maint_off" if passing.maintenance else "restore", fmri)
    passing.maintenance, passing.degraded = "", False


def _action(run: Run, action: str, fmri: str) -> None:
    if run.verbose and run.status == 0:
        run.call.out(f"Action {action} set for {fmri}.\n")


def milestone(run: Run, words: list[str]) -> None:
    given, rest = _options(words, "d", MILESTONE_USAGE)
    if not rest:
        raise Refused(MILESTONE_USAGE, 2)
    wanted = _milestone(rest[0])
    if run.where.zone is None and wanted != "all":
        raise Refused("lab: taking the global zone down to a milestone is not emulated\n")
    if not run.allowed(RESTARTER):
        return
    with reach.changing(run.where) as machine:
        if "d" in given:
            machine.repository.milestone = wanted
        _go_to(machine, wanted, run.where.now)


def _go_to(machine: Machine, wanted: str, now: float) -> None:
    """startd does this while sulogin waits on the console; only console-login waits for sulogin."""
    before = {fmri for fmri in machine.known if machine.in_subgraph(fmri)}
    machine.repository.current = wanted
    after = Machine(machine.where, machine.repository)
    for fmri in machine.known:
        if after.in_subgraph(fmri) and fmri not in before:
            after.repository.now(fmri).since = now
    if not after.in_subgraph(CONSOLE_LOGIN):
        machine.repository.sulogin = True


def _milestone(word: str) -> str:
    if word in ("all", "none"):
        return word
    for fmri in MILESTONES:
        start = fmri.find(word)
        end = fmri[start + len(word) : start + len(word) + 1]
        if start >= 0 and (start == 0 or fmri[start - 1] == "/") and end in ("", ":"):
            return fmri
    raise Refused(f'"{word}" is not a valid major milestone.\n{MILESTONE_USAGE}', 2)
