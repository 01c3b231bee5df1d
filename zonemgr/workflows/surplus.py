"""Upgrade snapshots that have become too many: which of an image's may go, and letting them go."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from zonemgr.errors import ZonemgrError
from zonemgr.host import zfs, zonecfg
from zonemgr.host.door import Host
from zonemgr.model import Dataset, ZoneName
from zonemgr.workflows import extent, snaps, survey
from zonemgr.workflows.job import Job, glimpse
from zonemgr.workflows.steps import undo_steps
from zonemgr.workflows.survey import Managed, SnapshotRow

AFTER, BEFORE = "upgraded-", "before-upgrade-"  # a UTC time follows


def among(rows: Sequence[SnapshotRow], keep: int, needed: Collection[str]) -> list[str]:
    """Names of upgrade snapshots beyond the newest `keep` of their kind, oldest first; those with clones stay.

    `rows`: snapshots of all datasets of the image; one name counts as one snapshot wherever it occurs. `needed`:
    names that stay in any case. A snapshot that stays beyond `keep` does not take the place of a newer one.
    """
    cloned = {str(row.snapshot.name) for row in rows if row.clones}
    oldest_first = [str(row.snapshot.name) for row in sorted(rows, key=lambda row: row.created)]
    found: list[str] = []
    for prefix in (AFTER, BEFORE):
        names = list(dict.fromkeys(name for name in oldest_first if name.startswith(prefix)))
        beyond = names[: max(len(names) - keep, 0)]
        found += [name for name in beyond if name not in cloned and name not in needed]
    return found


def drop(work: Job, image: Managed, keep: int) -> tuple[str, ...]:
    """Destroy what is too many; returns the names. What was begun before must be kept already.

    The image is served anew by then, so trouble here is only warned of, and the next upgrade tries again.
    """
    look = glimpse(work.site)
    rows = _rows(look, image)
    names = among(rows, keep, _needed(look, image, rows))
    try:
        work.do(*(snaps.DropSnapshot(image.name, image.dataset, name) for name in names))
    except ZonemgrError as trouble:
        left = undo_steps(work.begun, work.site.host, work.report, work.ledger)  # their undo is a second try
        if left:
            work.report.warn(f"older snapshots of {image.name} could not be destroyed: {trouble}")
            return ()
    return tuple(names)


def _rows(look: Host, image: Managed) -> list[SnapshotRow]:
    given = extent.made_for(look, zonecfg.export(look, ZoneName(image.name)))
    return [row for top in (str(image.dataset), *given) for row in survey.snapshots(look, top)]


def _needed(look: Host, image: Managed, rows: Sequence[SnapshotRow]) -> set[str]:
    """What is served, what some zone says it was made from, what others hold, and what others took."""
    zones = survey.managed_zones(look)
    current = {one.marks.get("current", "") for one in zones if one.name == image.name}
    origins = [one.marks.get("origin", "").partition("@") for one in zones]
    named = {snapshot for zone, _, snapshot in origins if zone == f"giz:{image.name}"}
    ours = zfs.marked_below(look, image.dataset)
    roots = Dataset(f"{image.dataset}/ROOT")
    foreign = {
        str(row.snapshot.name)
        for row in rows
        if row.dataset.startswith(f"{roots}/") and str(row.snapshot) not in ours
    }
    tags = zfs.holds(look, *(row.snapshot for row in rows if row.userrefs))
    held = {name.partition("@")[2] for name, whose in tags.items() if whose - {zfs.HOLD_TAG}}
    return current | named | foreign | held
