"""One run that changes the host: its locks, journal and record, and the promise that a failure leaves nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zonemgr import locks, records, state
from zonemgr.errors import ZonemgrError
from zonemgr.host.door import Host
from zonemgr.workflows import journal
from zonemgr.workflows.journal import Journal, NoJournal
from zonemgr.workflows.steps import Remembering, Report, Step, run_steps, undo_steps

if TYPE_CHECKING:
    from zonemgr.config import Config
    from zonemgr.host.contract import CommandLine
    from zonemgr.model import RunId

FORSAKEN = 300  # seconds that a worker gets to undo by itself what it began, once its coordinator is gone


@dataclass
class Site:
    """Where a workflow works: the host, the configuration, and who hears of progress."""

    host: Host
    config: Config
    report: Report
    argv: Sequence[str] = ()
    listeners: list[Callable[[CommandLine], None]] = field(default_factory=list)  # told of every host command

    def heard(self, line: CommandLine) -> None:
        for listener in self.listeners:
            listener(line)


class Recorded:
    """A report that also writes each step into the run's record."""

    def __init__(self, report: Report, record: records.Run) -> None:
        self._report, self._record = report, record

    @contextlib.contextmanager
    def step(self, step: Step) -> Iterator[None]:
        with self._report.step(step), self._record.step(str(step)):
            yield

    @contextlib.contextmanager
    def undoing(self, step: Step) -> Iterator[None]:
        with self._report.undoing(step), self._record.step(f"undo: {step}"):
            yield

    def note(self, text: str) -> None:
        self._report.note(text)

    def warn(self, text: str) -> None:
        self._record.note(text)
        self._report.warn(text)


@dataclass
class Job:
    """A run under way. Leaving it by an exception undoes what was begun; leaving it well ends the journal."""

    site: Site
    run: RunId
    report: Report
    ledger: Journal | NoJournal
    record: records.Run | None = None
    begun: list[Step] = field(default_factory=list)
    unsettled: bool = False  # something is left for `recover`, although the run itself ended well
    ends: dict[str, bytes] = field(default_factory=dict)  # last byte of a command's stdout and stderr

    def do(self, *steps: Step, look: Host | None = None) -> None:
        """Check all of these, then do and prove one after the other; `look` as in run_steps."""
        run_steps(steps, self.site.host, self.report, self.ledger, begun=self.begun, look=look)

    def keep(self, *steps: Step) -> None:
        """These (default: all so far) are to stay, whatever happens from here on."""
        kept = list(steps) or list(self.begun)
        self.ledger.keep(*kept)
        self.begun = [step for step in self.begun if not any(step is one for one in kept)]

    def keep_only(self, steps: Sequence[Step]) -> None:
        """As keep, but with none given nothing is kept."""
        if steps:
            self.keep(*steps)


def glimpse(site: Site) -> Host:
    """A host for planning: questions only, each asked once."""
    return Remembering(site.host)


@contextlib.contextmanager
def job(
    site: Site,
    zones: Sequence[str],
    run: RunId,
    *,
    images: Sequence[str] = (),
    wait: float | None = None,
    supersede: bool = False,
) -> Iterator[Job]:
    """Take the zones' locks, clear up what dead runs left on them, then keep journal and record of this run.

    `images` are golden images that must not be cloned meanwhile. `wait`: seconds to wait for a zone that another run
    has; default: as configured. `supersede`: what cannot be cleared up does not matter, the zone is going anyway.
    """
    if site.host.dry_run:
        yield Job(site, run, site.report, NoJournal())
        return
    with contextlib.ExitStack() as stack:
        names = sorted(set(zones))
        stack.enter_context(locks.zone_lock(site.config, names, run, wait=wait, waiting=site.report.note))
        if images:  # before anything is recovered: that may take an image down
            stack.enter_context(locks.image_lock(site.config, images, run, waiting=site.report.note))
        for zone in names:
            recover_zone(site, zone, supersede=supersede, held=names)
        record = stack.enter_context(records.Run(site.config, run, site.argv, names))
        stack.enter_context(_listening(site, record))
        work = Job(site, run, Recorded(site.report, record), Journal(record.directory, run, names), record)
        try:
            yield work
        except BaseException as failure:
            _undo_all(work, failure)
            raise
        if work.unsettled:
            work.ledger.leave()
        else:
            work.ledger.end()


@contextlib.contextmanager
def _listening(site: Site, record: records.Run) -> Iterator[None]:
    def listener(line: CommandLine) -> None:
        record.host_log(str(line))

    site.listeners.append(listener)
    try:
        yield
    finally:
        site.listeners.remove(listener)


def _undo_all(work: Job, failure: BaseException) -> None:
    left = undo_steps(work.begun, work.site.host, work.report, work.ledger)
    for text in left:
        failure.add_note(text)
    if left:
        failure.add_note("what is left stands in the run's journal; try again with: zonemgr recover")
        work.ledger.leave()
    else:
        work.ledger.end()


def recover_zone(site: Site, zone: str, *, supersede: bool = False, held: Sequence[str] = ()) -> None:
    """Undo what dead runs began on a zone whose lock is held, as those of `held` are.

    A run may have worked on others as well, an upgrade on an image and a clone of it: these are locked meanwhile, and
    that this zone is going does not make it pointless to undo what was done to them.
    """
    runs = records.runs_directory(site.config)
    for run, zones in journal.of_zone(runs, zone):
        others = sorted({*zones} - {zone, *held})
        with _locked(site, others):
            for found in journal.unfinished(runs, run=run):
                try:
                    _recover(site, found)
                except ZonemgrError as left:
                    if not supersede or others:
                        raise
                    site.report.warn(str(left))
                    found.drop()


@contextlib.contextmanager
def _locked(site: Site, zones: Sequence[str]) -> Iterator[None]:
    """Zones that a dead run named, and whatever images they are."""
    mine, waiting = records.new_run_id(), site.report.note
    with (
        locks.zone_lock(site.config, zones, mine, waiting=waiting),
        locks.image_lock(site.config, zones, mine, waiting=waiting),
    ):
        yield


def recover_all(site: Site) -> list[str]:
    """Undo what all dead runs began, each under the locks of its zones; returns their run ids, newest first.

    One that cannot be undone does not keep the others from it; the first such failure is raised at the end.
    """
    recovered: list[str] = []
    trouble: list[ZonemgrError] = []
    runs = records.runs_directory(site.config)
    if not site.host.dry_run:
        from zonemgr.workflows import crew

        crew.outlast_forsaken(state.folder(site.config, "locks"), FORSAKEN, site.report.note)
    for run, zones in journal.dead(runs):
        if site.host.dry_run:
            site.report.note(f"run {run} on {' '.join(zones)} was cut short; it would be undone")
            continue
        try:
            with _locked(site, zones):
                recovered += [_recover(site, found) for found in journal.unfinished(runs, run=run)]
        except ZonemgrError as failure:
            trouble.append(failure)
    if trouble:
        for other in trouble[1:]:
            trouble[0].add_note(str(other))
        raise trouble[0]
    return recovered


def _recover(site: Site, found: journal.Unfinished) -> str:
    site.report.note(f"run {found.run} was cut short; undoing what it began")
    left = undo_steps(list(found.steps), site.host, site.report, found)
    if left:
        found.leave()
        raise ZonemgrError(
            f"what run {found.run} left behind could not be undone: {left[0]}",
            hint=f"see: zonemgr log {found.run}; then try again with: zonemgr recover",
        )
    found.end()
    records.close_dead(site.config, found.run)
    return found.run
