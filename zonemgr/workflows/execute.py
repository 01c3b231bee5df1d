"""Running a command in a zone: a new one that is discarded or kept by the outcome, or one that exists."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from zonemgr import records
from zonemgr.config import DISCARDS
from zonemgr.errors import CommandNotFound, CommandTimeout, UsageError, ZonemgrError
from zonemgr.host import zlogin, zoneadm
from zonemgr.host.contract import unfit
from zonemgr.host.door import Host
from zonemgr.model import UserName, ZoneName, ZoneState
from zonemgr.workflows import (
    building,
    disposable,
    furnish,
    life,
    naming,
    parts,
    privilege,
    snaps,
    survey,
    teardown,
)
from zonemgr.workflows.job import Job, Site, glimpse, job
from zonemgr.workflows.steps import Step, interrupts_held

TIMED_OUT, ENVIRONMENT = 124, 125
LONGEST = 60_000  # bytes; quoted, and with all around it, it must still fit into one argument


@dataclass(frozen=True)
class Command:
    """What is to be run, as whom, how long, and what becomes of the zone. Checked for form when made."""

    text: str
    user: str = "root"
    discard: str = "always"
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""
    timeout: float = 0  # seconds; 0: none
    keep_datasets: bool = False  # delegated datasets made for the zone stay when it is discarded

    def __post_init__(self) -> None:
        if self.user != "-S":
            UserName(self.user)
        if self.discard not in DISCARDS:
            raise UsageError(f"{self.discard!r} is no way to discard", hint=", ".join(DISCARDS))
        for name in self.env:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise UsageError(f"{name!r} is not a variable name", hint="--exec-env NAME=VALUE")
        if not self.text.strip():
            raise UsageError(
                "there is no command to run", hint="--exec-cmd 'make check', or put it behind --"
            )
        if len(self.text.encode(errors="replace")) > LONGEST:
            raise UsageError(
                f"the command is longer than {LONGEST} bytes",
                hint="put it into a script in a lofs-mounted directory",
            )
        for what, text in (("command", self.text), ("directory", self.cwd), *self.env.items()):
            fault = unfit(text)
            if fault:
                raise UsageError(f"the {what} has {fault}", hint="give it as UTF-8 text")
        if not math.isfinite(self.timeout) or self.timeout < 0:
            raise UsageError(f"{self.timeout:g} is no time limit", hint="seconds, or 0 for none")
        if self.cwd and not self.cwd.startswith("/"):
            raise UsageError(f"{self.cwd!r} is not an absolute path", hint="--exec-cwd /path/in/the/zone")

    def discards(self, verdict: str) -> bool:
        """What to do with the zone when the command has ended with this verdict."""
        return {
            "always": True,
            "off": False,
            "onsuccess": verdict == "ok",
            "onfail": verdict != "ok",
        }[self.discard]


@dataclass(frozen=True)
class Outcome:
    """How it ended; `exit_code` is what zonemgr itself is to end with."""

    zone: str
    verdict: str
    exit_code: int
    kept: bool
    run: str
    message: str = ""
    unfinished_line: bool = False  # the last line of its stdout has no newline
    datasets: tuple[str, ...] = ()  # that stay although the zone is gone

    def as_dict(self) -> dict[str, Any]:
        return {
            "zone": self.zone, "verdict": self.verdict, "exit": self.exit_code, "kept": self.kept, "run": self.run,
            "message": self.message, "kept_datasets": list(self.datasets),
        }  # fmt: skip


def in_new_zone(
    site: Site, request: disposable.DisposableRequest, command: Command, generated: Callable[[str], None]
) -> Outcome:
    """Clone, run, discard or keep. Whatever ends it early leaves nothing, unless the zone was to be kept anyway."""
    zone = disposable.prepare(site, request)
    _user_will_be_there(site, command, zone.furniture)
    generated(zone.zone)
    with job(site, [zone.zone], zone.run) as work:
        disposable.bring_up(work, zone)
        # Made once, so that it also serves when the host has gone and the plan can no longer be asked for.
        vnics = tuple(vnic.name for vnic in zone.furniture.auto_vnics)
        made = zone.furniture.made
        stay = made if command.keep_datasets or site.config.diz.keep_datasets else ()
        going = tuple(name for name in made if name not in stay)
        down = teardown.TakeDown(zone.zone, zone.home, zone.run, vnics, going, stay)
        if not command.discards("cancelled"):
            work.keep()
        outcome = _run(work, zone.zone, command)
        kept = not command.discards(outcome.verdict)
        outcome = replace(outcome, kept=kept, datasets=() if kept else stay)
        _write_down(work, outcome)
        if kept:
            work.keep()
            site.report.note(f"zone {zone.zone} is kept; look with: zonemgr login {zone.zone}")
        else:
            teardown.discard(work, down)
    return outcome


def _user_will_be_there(site: Site, command: Command, things: furnish.Furniture) -> None:
    """Only a hint beforehand: the image may well have the account; su says so if not."""
    if command.user not in ("root", "-S", *things.users):
        site.report.note(f"user {command.user} is not copied into the zone; the image must have it")


def in_zone(site: Site, name: str, command: Command) -> Outcome:
    """Run a command in an existing zone; by `discard` what it did is rolled back to a snapshot taken before."""
    zone_name = ZoneName(name)
    look = glimpse(site)
    privilege.require(look, "zone", *(["zfs"] if command.discard != "off" else []))
    # An image that runs cannot be cloned, so clones wait, and this waits for them.
    images = [zone_name] if survey.managed(look, zone_name).kind == survey.GIZ else []
    with job(site, [zone_name], records.new_run_id(), images=images) as work:
        zone = survey.managed(glimpse(site), zone_name)
        _refuse_serving_image(zone, command)
        before = Before(str(zone_name), str(zone.row.state), zone.run)
        work.do(before)
        snap = _snapshot_before(work, zone, command)
        if snap or before.state != ZoneState.RUNNING.value:
            life.bring_up(site, zone_name)
        work.do(Running(str(zone_name), zone.run))
        outcome = _run(work, zone.name, command)
        _write_down(work, outcome)
        if snap:
            _after(work, zone, snap, roll_back=command.discards(outcome.verdict))
        if before.state != ZoneState.RUNNING.value:
            before.undo(site.host)
        elif str(survey.zone(site.host, zone.name).state) != before.state:
            life.bring_up(site, zone_name)  # as it was: who comes next does not wait for a running zone
        work.begun.clear()
    return outcome


def _refuse_serving_image(zone: survey.Managed, command: Command) -> None:
    """New clones use a snapshot, so running in the image does them no harm; half-made images are another matter."""
    if zone.row.state not in (ZoneState.INSTALLED, ZoneState.RUNNING):
        raise ZonemgrError(
            f"zone {zone.name} is {zone.row.state}; a command needs it installed or running",
            hint=f"see: zonemgr get-state {zone.name}",
        )


@dataclass(frozen=True)
class Before(Step):
    """Nothing to do, only to undo: the zone goes back to the state it was in, running or installed."""

    silent: ClassVar[bool] = True

    zone: str
    state: str
    made_by: str

    def __str__(self) -> str:
        return f"note that {self.zone} is {self.state}"

    def do(self, host: Host) -> None:
        """The state is already as it is."""

    def undo(self, host: Host) -> None:
        row = survey.find(host, self.zone)
        if row is None or str(row.state) == self.state or not parts.bears_mark(host, self.zone, self.made_by):
            return
        if self.state == ZoneState.RUNNING.value:
            parts.boot_again(host, self.zone, self.made_by)
        elif row.state.active:
            zoneadm.halt(host, ZoneName(self.zone))


@dataclass(frozen=True)
class Running(Step):
    """Nothing to do, only to undo: a command that nobody waits for any more goes on inside until the zone is halted."""

    silent: ClassVar[bool] = True

    zone: str
    made_by: str

    def __str__(self) -> str:
        return f"run in {self.zone}"

    def do(self, host: Host) -> None:
        """What is run is no step: it has no undo but this."""

    def undo(self, host: Host) -> None:
        if parts.bears_mark(host, self.zone, self.made_by):
            parts.stop(host, self.zone)


@dataclass(frozen=True)
class RestoreRoot(Step):
    """Nothing to do, only to undo: a root that a cut-short command may have changed goes back to its snapshot."""

    silent: ClassVar[bool] = True

    zone: str
    home: str
    name: str
    made_by: str

    def __str__(self) -> str:
        return f"be ready to return to {self.zone}@{self.name}"

    def do(self, host: Host) -> None:
        """The snapshot was taken by the step before."""

    def undo(self, host: Host) -> None:
        if any(str(row.snapshot.name) == self.name for row in _snapshots(host, self.home)):
            parts.stop(host, self.zone)
            back = snaps.RollBack(self.zone, self.home, self.name, self.made_by)
            back.check(host)
            back.do(host)


def _snapshots(host: Host, home: str) -> list[Any]:
    return [
        row
        for fs in survey.below(survey.filesystems(host), f"{home}/ROOT")
        for row in survey.snapshots_of(host, fs.name)
    ]


def _snapshot_before(work: Job, zone: survey.Managed, command: Command) -> str:
    """The snapshot to return to, or nothing; a running zone is stopped for it."""
    if command.discard == "off":
        return ""
    name = naming.before("exec")
    if zone.row.state.active:
        work.do(snaps.StopForNow(zone.name, work.site.config.host.shutdown_limit, zone.run))
    work.do(building.TakeSnapshot(zone.name, zone.dataset, name, work.run, hold=False))
    if command.discards("cancelled"):
        work.do(RestoreRoot(zone.name, zone.dataset, name, zone.run))
    return name


def _after(work: Job, zone: survey.Managed, snap: str, *, roll_back: bool) -> None:
    armed = [step for step in work.begun if isinstance(step, RestoreRoot)]
    if roll_back:
        work.do(snaps.StopForNow(zone.name, work.site.config.host.shutdown_limit, zone.run))
        if not work.site.host.dry_run:  # there is no snapshot to return to
            work.do(snaps.RollBack(zone.name, zone.dataset, snap, zone.run))
    # What the command did is settled now; nothing that goes wrong while tidying may take it back.
    work.keep_only(armed)
    work.do(snaps.DropSnapshot(zone.name, zone.dataset, snap))


def _run(work: Job, zone: str, command: Command) -> Outcome:
    """Run it, its output live on ours and in the run's record; never raises for what the command did.

    When it is cut short (limit, signal, lost zlogin) it would go on inside (docs/illumos.md: zlogin and rights): it
    is ended there, and
    when that cannot be done the zone is halted.
    """
    work.report.note(f"run in {zone} as {command.user}: {command.text}")
    user = None if command.user in ("root", "-S") else UserName(command.user)
    contracts: list[int] = []
    try:
        ended = zlogin.run(
            work.site.host, ZoneName(zone), command.text, user=user, env=command.env, cwd=command.cwd or None,
            on_stdout=_tee(1, work, "stdout"), on_stderr=_tee(2, work, "stderr"), limit=command.timeout or None,
            on_contract=contracts.append,
        )  # fmt: skip
    except CommandTimeout:
        halted = "" if _ended_inside(work, zone, contracts) else ", and the zone halted"
        words = f"the command was ended after its limit of {command.timeout:g} seconds{halted}"
        return _trouble(work, zone, "timeout", TIMED_OUT, words)
    except (UsageError, CommandNotFound):
        raise  # nothing was started in the zone
    except BaseException:
        with interrupts_held():
            if _ended_inside(work, zone, contracts):
                work.keep_only([step for step in work.begun if isinstance(step, Running)])
        raise
    if ended.status is None:
        if contracts:  # it may be zlogin alone that is gone
            _ended_inside(work, zone, contracts)
        return _trouble(
            work, zone, "environment", ENVIRONMENT, f"nothing is known of the command: {ended.trouble}"
        )
    words = f"it was killed by signal {ended.signal}" if ended.signal else ""
    unfinished = work.ends.get("stdout", b"\n") not in (b"", b"\n")
    return Outcome(
        zone, "ok" if ended.status == 0 else "failed", ended.status, True, work.run, words, unfinished
    )


def _ended_inside(work: Job, zone: str, contracts: list[int]) -> bool:
    """End what the command has left running in the zone; False when the zone had to be halted for it."""
    try:
        # The first: a build may print what looks like another.
        if contracts and zlogin.end_contract(work.site.host, ZoneName(zone), contracts[0]):
            return True
    except ZonemgrError as failed:
        work.report.warn(f"what runs in {zone} could not be ended there: {failed}")
    parts.stop(work.site.host, zone)
    return False


def _trouble(work: Job, zone: str, verdict: str, code: int, words: str) -> Outcome:
    work.report.warn(words)
    return Outcome(zone, verdict, code, True, work.run, words)


def _tee(number: int, work: Job, name: str) -> Callable[[bytes], None]:
    """Pass output on at once, and keep it. A reader that has gone does not end the build, but the record goes on."""
    stream = sys.stdout if number == 1 else sys.stderr
    reader_gone = False

    def write(data: bytes) -> None:
        nonlocal reader_gone
        if work.record is not None:
            getattr(work.record, name)(data)
        work.ends[name] = data[-1:] or work.ends.get(name, b"")
        if reader_gone:
            return
        try:
            binary = getattr(stream, "buffer", None)
            if binary is not None:
                binary.write(data)
                binary.flush()
            else:
                stream.write(data.decode(errors="replace"))
        except OSError:
            reader_gone = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)

    return write


def _write_down(work: Job, outcome: Outcome) -> None:
    if work.record is not None:
        verdict: Any = outcome.verdict
        work.record.finish(verdict, outcome.exit_code, outcome.message or None)
