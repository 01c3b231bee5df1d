"""Upgrade snapshots that have become too many: which of an image's may go, and letting them go."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from zonemgr.errors import ZonemgrError
from zonemgr.host import zfs, zonecfg
from zonemgr.host.door import Host
from zonemgr.model import Dataset, ZoneName
from zonemgr.workflows import extent, survey
from zonemgr.workflows.job import Job
from zonemgr.workflows.steps import Remembering, Step
from zonemgr.workflows.survey import Managed, SnapshotRow

AFTER, BEFORE = "upgraded-", "before-upgrade-"  # a UTC time follows, and a number if the second was taken
STAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z(-[0-9]+)?")


def among(rows: Sequence[SnapshotRow], keep: int, needed: Collection[str]) -> list[str]:
    """Names of upgrade snapshots beyond the newest `keep` of their kind, oldest first; those with clones stay.

    `rows`: snapshots of all datasets of the image; one name counts as one snapshot wherever it occurs. `needed`:
    names that stay in any case. A snapshot that stays beyond `keep` does not take the place of a newer one.
    """
    cloned = _cloned(rows)
    oldest_first = [str(row.snapshot.name) for row in sorted(rows, key=lambda row: row.created)]
    found: list[str] = []
    for prefix in (AFTER, BEFORE):
        names = list(dict.fromkeys(name for name in oldest_first if _stamped(name, prefix)))
        beyond = names[: max(len(names) - keep, 0)]
        found += [name for name in beyond if name not in cloned and name not in needed]
    return found


def _stamped(name: str, prefix: str) -> bool:
    """Is it of the upgrade? People may begin a name of their own like that."""
    return name.startswith(prefix) and STAMP.fullmatch(name.removeprefix(prefix)) is not None


@dataclass(frozen=True)
class LetGo(Step):
    """Destroy what is too many, once the image serves its new snapshot: only undoing it does anything.

    It begins before the image is served anew and is kept from what is settled then. So whoever is cut short before
    that finds the old snapshot served, and lets nothing go; and whoever is cut short afterwards finishes it.
    """

    silent: ClassVar[bool] = True

    zone: str
    home: str
    names: tuple[str, ...]
    served: str

    def __str__(self) -> str:
        return f"let older snapshots of {self.zone} go"

    def do(self, host: Host) -> None:
        """Not yet."""

    def undo(self, host: Host) -> None:
        look = Remembering(host)
        home = next((row for row in survey.filesystems(look) if row.name == self.home), None)
        if home is None or home.marks.get("current") != self.served:
            return
        named = [extent.named(look, self.zone, Dataset(self.home), name) for name in self.names]
        # Since this was planned somebody may have cloned one, or hold it: it stays then.
        free = [row for rows in named if not (_cloned(rows) or _held_by_others(look, rows)) for row in rows]
        if free:
            extent.drop(host, free)


def planned(look: Host, image: Managed, served: str, keep: int) -> LetGo:
    """What will be too many when this snapshot is served."""
    rows = _rows(look, image)
    names = among(rows, keep, _needed(look, image, served, rows))
    return LetGo(image.name, image.dataset, tuple(names), served)


def finish(work: Job, step: LetGo) -> str:
    """Let them go now; what stood in the way, or nothing. All else must be kept already.

    The image is served anew by then, so trouble here does not undo anything, and the next upgrade tries again.
    """
    trouble = ""
    for _ in range(2):
        try:
            step.undo(work.site.host)
            trouble = ""
            break
        except ZonemgrError as failed:
            trouble = f"older snapshots could not be destroyed: {failed}"
    work.begun.clear()
    if trouble:
        work.report.warn(f"{step.zone}: {trouble}")
    return trouble


def _rows(look: Host, image: Managed) -> list[SnapshotRow]:
    given = extent.made_for(look, zonecfg.export(look, ZoneName(image.name)))
    return [row for top in (str(image.dataset), *given) for row in survey.snapshots(look, top)]


def _needed(look: Host, image: Managed, served: str, rows: Sequence[SnapshotRow]) -> set[str]:
    """What is served, what some zone says it was made from, what others hold, and what others took."""
    origins = [one.marks.get("origin", "").partition("@") for one in survey.managed_zones(look)]
    named = {snapshot for zone, _, snapshot in origins if zone == f"giz:{image.name}"}
    ours = zfs.marked_below(look, image.dataset)
    roots = Dataset(f"{image.dataset}/ROOT")
    foreign = {
        str(row.snapshot.name)
        for row in rows
        if row.dataset.startswith(f"{roots}/") and str(row.snapshot) not in ours
    }
    return {served} | named | foreign | _held_by_others(look, rows)


def _cloned(rows: Sequence[SnapshotRow]) -> set[str]:
    return {str(row.snapshot.name) for row in rows if row.clones}


def _held_by_others(look: Host, rows: Sequence[SnapshotRow]) -> set[str]:
    tags = zfs.holds(look, *(row.snapshot for row in rows if row.userrefs))
    return {name.partition("@")[2] for name, whose in tags.items() if whose - {zfs.HOLD_TAG}}
