"""Destroying datasets made for a zone, whatever was done to them inside: snapshots, holds, clones, promotions.

One dataset or snapshot at a time, only below tops that bear the run's own mark, and never with -r or -R. What a
promotion has turned around is turned back, so that an original never goes with its clone.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Sequence

from zonemgr.errors import CommandError, NotOurs, NotThere, ZonemgrError
from zonemgr.host import zfs
from zonemgr.host.door import Host
from zonemgr.model import Dataset, DatasetRow, Snapshot
from zonemgr.workflows import datasets, survey

CLOCKS = 3600  # seconds that the host's clock may have been put back since
SHARED = "zonemgr:shared"  # on ancestors made by zonemgr: whoever moves out last takes them along


def remove_marked(host: Host, tops: Sequence[str], run: str, *, sources: Sequence[str] = ()) -> None:
    """Destroy those of these datasets that bear this mark, with all below; those that are gone are no error.

    `sources`: snapshots they were cloned from. A source that became a clone of its clone is promoted back first. Any
    other clone elsewhere stops it.
    """
    mine = ours(host, tops, run)
    promoted = 0
    while mine:
        rows = _below(host, mine)
        if not rows:
            return
        turn = _outsider(rows, sources) or _destroy_what_is_free(host, rows)
        if host.dry_run:
            return  # it would find the same for ever
        if not turn:
            continue
        promoted += 1
        if promoted > 100:
            raise ZonemgrError(
                f"{turn} goes round in circles with its clones", hint=f"see: zfs get origin {turn}"
            )
        zfs.promote(host, Dataset(turn))


def check_marked(look: Host, tops: Sequence[str], run: str, *, sources: Sequence[str] = ()) -> None:
    """Raise when `remove_marked` would be stopped by a clone elsewhere."""
    mine = ours(look, tops, run)
    if mine:
        _outsider(_below(look, mine), sources)


def ours(host: Host, tops: Sequence[str], run: str) -> list[str]:
    """Those that this run made. Root in a zone can set any mark on what is delegated to it, but not its age."""
    if not tops:
        return []
    rows = zfs.list_datasets(host, *map(Dataset, tops), properties=("zoned", "creation"))
    begun = calendar.timegm(time.strptime(run.partition("-")[0], "%Y%m%dT%H%M%SZ")) if run else 0
    young = [row.name for row in rows if row["zoned"] != "on" or int(row["creation"] or 0) >= begun - CLOCKS]
    return [name for name in young if survey.marked(host, Dataset(name), run)]


def _below(host: Host, tops: Sequence[str]) -> list[DatasetRow]:
    columns = ("origin", "clones", "userrefs")
    targets = [Dataset(name) for name in tops]
    return zfs.list_datasets(
        host, *targets, properties=columns, types="filesystem,volume,snapshot", depth=-1
    )  # fmt: skip


def _outsider(rows: Sequence[DatasetRow], sources: Sequence[str]) -> str:
    """A dataset elsewhere that hangs on one of these: a source, to be promoted; nothing; another one is refused."""
    mine = {row.name for row in rows}
    originals = [source.partition("@")[0] for source in sources]
    for row in rows:
        for clone in filter(None, row["clones"].split(",")):
            if clone in mine:
                continue
            if any(f"{clone}/".startswith(f"{original}/") for original in originals):
                return clone
            raise ZonemgrError(
                f"{clone} is a clone of {row.name}, which was made for a zone and is to go",
                hint=f"to keep it: zfs promote {clone}; then try again",
            )
    return ""


def _destroy_what_is_free(host: Host, rows: Sequence[DatasetRow]) -> str:
    """Destroy, as long as there is one, what nothing else of these hangs on; returns one that must be promoted first.

    A file system hangs on its parent and on its origin, a snapshot on its file system.
    """
    left = {row.name: row for row in rows}
    while left:
        needed = {name for row in left.values() for name in _needs(row)}
        free = [row for row in left.values() if row.name not in needed]
        if not free:
            return next(row.name for row in left.values() if row["origin"] in left)
        for row in free:
            _destroy(host, row)
            del left[row.name]
    return ""


def _needs(row: DatasetRow) -> list[str]:
    if "@" in row.name:
        return [row.name.partition("@")[0]]
    return [row.name.rpartition("/")[0], row["origin"]]


def _destroy(host: Host, row: DatasetRow) -> None:
    if "@" not in row.name:
        zfs.destroy_named(host, Dataset(row.name))
        return
    snapshot = Snapshot.parse(row.name)
    if row["userrefs"] not in ("", "0"):
        for tag in sorted(zfs.holds(host, snapshot).get(row.name, set())):
            zfs.release(host, snapshot, tag=tag)
    zfs.destroy_named(host, snapshot)


def remove_snapshots(host: Host, source: str, run: str) -> None:
    """Destroy the snapshots of this name (`DATASET@NAME`, and below) with this mark that nobody else uses by now."""
    dataset, _, name = source.partition("@")
    rows = zfs.list_datasets(
        host, Dataset(dataset), properties=("clones", "userrefs"), types="snapshot", depth=-1
    )  # fmt: skip
    unused = [row for row in rows if not row["clones"] and row["userrefs"] in ("", "0")]
    for row in unused:
        snapshot = Snapshot.parse(row.name)
        if snapshot.name == name and survey.marked(host, snapshot, run):
            zfs.destroy_named(host, snapshot)


def remove_ancestors(host: Host, dataset: str) -> None:
    """Destroy what zonemgr made above a dataset that is gone, if nothing is left in it."""
    for parent in datasets.parents(dataset):
        try:
            if not is_ancestor(host, Dataset(parent)):
                return
            zfs.destroy_named(host, Dataset(parent))
        except NotThere:
            continue
        except CommandError as failed:
            if "has children" not in failed.stderr:
                raise
            return


def is_ancestor(host: Host, dataset: Dataset) -> bool:
    """Did zonemgr make this only to hold other datasets, and is it still without files of its own?"""
    told = zfs.get(host, dataset, "zoned", "canmount") | zfs.get_local(host, dataset, SHARED)
    # A zone can set the mark, but not what makes a dataset the zone's; somebody may have given it a mount point since.
    return told.get(SHARED) == "on" and told.get("zoned") != "on" and told.get("canmount") == "off"


def refuse_foreign(host: Host, home: str) -> None:
    """Raise when a home of clones holds what zonemgr did not make; a zone has no hand in there, so it is somebody's."""
    marked = zfs.marked_below(host, Dataset(home))
    rows = zfs.list_datasets(host, Dataset(home), types="filesystem,volume", depth=-1)
    foreign = [row.name for row in rows if row.name not in marked]
    if foreign:
        raise NotOurs(
            f"{foreign[0]} lies among the clones of a zone, was not made by zonemgr, and would go with them",
            hint="move it away or destroy it yourself, then try again",
        )
