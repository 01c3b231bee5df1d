"""Upgrading many golden images in one call: which, in which order, how many at once; each by itself (see upgrade)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from zonemgr import locks, records, state
from zonemgr.errors import UsageError, ZonemgrError
from zonemgr.host.door import Host
from zonemgr.model import ZoneName
from zonemgr.workflows import common, journal, privilege, survey, upgrade
from zonemgr.workflows.crew import Answer, Crew, Ended, signed
from zonemgr.workflows.job import Site, glimpse, job, recover_zone
from zonemgr.workflows.steps import Step, undo_steps
from zonemgr.workflows.upgrade import Result, Terms


@dataclass(frozen=True)
class UpgradeRequest:
    """What `upgrade-giz` was asked for. None and empty: as configured."""

    zones: tuple[str, ...] = ()
    every: bool = False
    parallel: int | None = None
    canary: str = ""
    keep: int | None = None


@dataclass
class Round:
    """How one call went so far; results in the order in which the images were done."""

    results: list[Result] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def of(self, outcome: str) -> list[Result]:
        return [one for one in self.results if one.outcome == outcome]

    @property
    def quiet(self) -> bool:
        """Nothing changed, and all is well: every repository has answered, too."""
        return all(one.outcome == upgrade.UNCHANGED and not one.notes for one in self.results)

    @property
    def exit_code(self) -> int:
        return 1 if self.of(upgrade.FAILED) else 0

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self.begun, 1)

    def as_dict(self) -> dict[str, Any]:
        outcomes = (upgrade.UPGRADED, upgrade.UNCHANGED, upgrade.FAILED, upgrade.SKIPPED, upgrade.DUE)
        counts = {outcome: len(self.of(outcome)) for outcome in outcomes}
        return {**counts, "seconds": self.seconds, "images": [one.as_dict() for one in self.results]}


def run(site: Site, request: UpgradeRequest, done: Round) -> None:
    """Upgrade the images asked for and all that are derived from them, parents before children.

    `done` grows with every image; what one of them does never keeps another from its turn. An interrupt ends them
    all, undoes what is half done, and is raised.
    """
    terms, at_once = _terms(site, request)
    look = glimpse(site)
    privilege.require(look, "zone", "zfs", "packages")
    parents = lineage(look)
    names = select(parents, request.zones, every=request.every)
    if at_once == 1 or len(names) == 1 or site.host.dry_run:
        for name in names:
            done.results.append(upgrade.upgrade(site, name, terms, parent=parents.get(name, "")))
        return
    with _home_of_clones(site, done):
        _at_once(site, names, parents, terms, at_once, done)


def _terms(site: Site, request: UpgradeRequest) -> tuple[Terms, int]:
    settings = site.config.upgrade
    at_once = settings.parallel if request.parallel is None else request.parallel
    keep = settings.keep if request.keep is None else request.keep
    if at_once < 1:
        raise UsageError(f"--parallel {at_once}: at least one image at a time", hint="--parallel 4")
    if keep < 0:
        raise UsageError(f"--keep {keep}: it cannot be less than none", hint="--keep 3")
    return Terms(request.canary or settings.canary, settings.canary_limit, keep), at_once


# -- which, and in which order -----------------------------------------------------------------------------------


def lineage(look: Host) -> dict[str, str]:
    """Each golden image with the one it was derived from, empty if it was installed.

    By the origin of its roots: where a clone hangs is what counts when a snapshot is to go. What the image says of
    itself stands in where no root tells, as after its parent was promoted away.
    """
    images = [one for one in survey.managed_zones(look) if one.kind == survey.GIZ]
    homes = {str(one.dataset): one.name for one in images}
    found = {one.name: "" for one in images}
    for row in survey.filesystems(look):
        mine, its = (homes.get(name.partition("/ROOT/")[0], "") for name in (row.name, row.origin))
        if mine and its and mine != its:
            found[mine] = its
    for one in images:
        said = one.marks.get("origin", "").removeprefix("giz:").partition("@")[0]
        if not found[one.name] and said in found and said != one.name:
            found[one.name] = said
    return found


def select(parents: Mapping[str, str], wanted: Sequence[str], *, every: bool) -> list[str]:
    """The images to upgrade, each behind the one it is derived from, otherwise by name.

    An image that is asked for brings along all that are derived from it. A name that is no golden image stays in the
    list: it gets a line in the report, and the others their turn.
    """
    if not wanted and not every:
        raise UsageError("which golden images are to be upgraded?", hint="name them with -z, or: --all")
    chosen = set(parents) if every else set()
    chosen.update(str(ZoneName(name)) for name in wanted)
    while more := {name for name, parent in parents.items() if parent in chosen} - chosen:
        chosen |= more
    ordered: list[str] = []

    def add(name: str, above: tuple[str, ...] = ()) -> None:
        parent = parents.get(name, "")
        if parent in chosen and parent not in above:
            add(parent, (*above, name))
        if name not in ordered:
            ordered.append(name)

    for name in sorted(chosen):
        add(name)
    return ordered


# -- several at once ---------------------------------------------------------------------------------------------


def _at_once(
    site: Site, names: Sequence[str], parents: Mapping[str, str], terms: Terms, size: int, done: Round
) -> None:
    waiting = list(names)

    def hear(name: str, line: str) -> None:
        tell = site.report.warn if line.startswith(Plain.WARNING) else site.report.note
        tell(f"{name}: {line.removeprefix(Plain.WARNING)}")

    with signed(state.folder(site.config, "locks")), Crew(hear) as crew:
        busy: set[str] = set()
        while waiting or busy:
            for name in ready(waiting, parents, busy)[: size - len(busy)]:
                crew.start(name, _work(site, name, terms, parents.get(name, "")))
                waiting.remove(name)
                busy.add(name)
            for ended in crew.wait():
                busy.remove(ended.name)
                done.results.append(_result(site, ended, parents.get(ended.name, "")))


def ready(waiting: Sequence[str], parents: Mapping[str, str], busy: set[str]) -> list[str]:
    """Those whose parent is not, or no longer, at work or waiting itself; some as long as any wait and none is busy."""
    free = [name for name in waiting if parents.get(name, "") not in {*busy, *waiting} - {name}]
    return free or (list(waiting[:1]) if not busy else [])


def _work(site: Site, name: str, terms: Terms, parent: str) -> Callable[[], Answer]:
    def work() -> Answer:
        mine = replace(site, report=Plain())
        return {"result": upgrade.upgrade(mine, name, terms, parent=parent).as_dict()}

    return work


def _result(site: Site, ended: Ended, parent: str) -> Result:
    if ended.answer and "result" in ended.answer:
        return Result.from_dict(ended.answer["result"])
    notes = tuple(ended.answer.get("notes", ())) if ended.answer else ()
    try:
        _clear_up(site, ended.name)
        words = "what it had begun is undone"
    except ZonemgrError as left:
        words = str(left)
    message = f"its upgrade was cut short ({ended.how}); {words}"
    return Result(
        ended.name, upgrade.FAILED, parent=parent, message=message, hint="see: zonemgr runs", notes=notes
    )


def _clear_up(site: Site, name: str) -> None:
    """Recover what a dead worker's journal says, under the locks of all its zones."""
    runs = records.runs_directory(site.config)
    for _, zones in journal.dead(runs):
        if name not in zones:
            continue
        mine = records.new_run_id()
        with (
            locks.zone_lock(site.config, zones, mine, waiting=site.report.note),
            locks.image_lock(site.config, name, mine, waiting=site.report.note),
        ):
            recover_zone(site, name, held=zones)


class Plain:
    """A worker's report: plain lines, which the one who started it passes on."""

    WARNING: ClassVar[str] = "warning: "

    @contextlib.contextmanager
    def step(self, step: Step) -> Iterator[None]:
        with self._line(str(step)):
            yield

    @contextlib.contextmanager
    def undoing(self, step: Step) -> Iterator[None]:
        with self._line(f"undo: {step}"):
            yield

    @contextlib.contextmanager
    def _line(self, text: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        except BaseException:
            self.note(f"failed: {text}")
            raise
        self.note(f"done: {text} ({time.monotonic() - begun:.1f} s)")

    def note(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            print(text, flush=True)

    def warn(self, text: str) -> None:
        self.note(f"{self.WARNING}{text}")


@contextlib.contextmanager
def _home_of_clones(site: Site, done: Round) -> Iterator[None]:
    """The dataset of all disposable zones is there before the first canary needs it, and goes again if none did.

    Otherwise one image that fails would take away, with all it made, what another one's canary is about to move into.
    """
    look = glimpse(site)
    run = records.new_run_id()
    steps = common.containment(look, site, survey.DIZ, run)
    if not steps:
        yield
        return
    with job(site, [], run) as work:
        work.do(*steps, look=look)
        yield
        if not any(one.outcome == upgrade.UPGRADED for one in done.results):
            for text in undo_steps(work.begun, site.host, work.report, work.ledger):
                work.report.warn(text)
