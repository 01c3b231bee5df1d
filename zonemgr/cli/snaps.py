"""Snapshots of a zone."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from zonemgr.cli import options as o
from zonemgr.cli.runtime import Runtime, to_terminal
from zonemgr.errors import UsageError
from zonemgr.workflows import snaps
from zonemgr.workflows.survey import SnapshotRow


def snapshot(ctx: typer.Context, zone: o.Zone = "", snapshot: o.Snap = "") -> None:
    """Snapshot the zone, what was made for it, and its configuration. Without -s the name is the time.

    A running zone is stopped before and started after.
    """
    runtime: Runtime = ctx.obj
    name = runtime.named(zone)
    taken = snaps.snapshot(runtime.site, name, snapshot)
    runtime.show({"zone": name, "snapshot": taken}, taken)


def rollback(ctx: typer.Context, zone: o.Zone = "", snapshot: o.Snap = "") -> None:
    """Roll the zone back to a snapshot, by default the newest, and its configuration with it.

    The root and the datasets made for the zone are rolled back together or not at all; what is newer is destroyed:
    snapshots, and datasets made in them since. A running zone is stopped before and started after. Refused when
    something newer has clones or is held. What the host has no more (a VNIC, a directory) is left out with a warning.
    """
    runtime: Runtime = ctx.obj
    name = runtime.named(zone)
    target = snaps.rollback(runtime.site, name, snapshot)
    runtime.show({"zone": name, "snapshot": target})


def list_snapshots(ctx: typer.Context, zone: o.Zone = "", verbose: o.Verbose = False) -> None:
    """List the zone's snapshots, oldest first: the part behind @, a line each when stdout is no terminal.

    With -v a table of time, size, clones and what made each; with --json all there is to know.
    """
    runtime: Runtime = ctx.obj
    name = runtime.named(zone)
    if runtime.as_json:
        runtime.show([row.as_dict() for row in snaps.details(runtime.host, name)])
    elif verbose:
        _table(snaps.details(runtime.host, name))
    elif to_terminal():
        _short(snaps.listing(runtime.host, name))
    else:
        for row in snaps.listing(runtime.host, name):
            print(row.snapshot.name)


def _short(rows: Sequence[SnapshotRow]) -> None:
    from zonemgr.cli import show

    show.table(
        ["SNAPSHOT", "CREATED", "USED", "CLONES"],
        [[row.snapshot.name, row.when, str(row.used), ", ".join(row.clones) or "-"] for row in rows],
    )


def _table(rows: Sequence[snaps.SnapshotDetails]) -> None:
    from zonemgr.cli import show

    show.table(
        ["SNAPSHOT", "CREATED", "USED", "DATASETS", "JOB", "USER", "RUN", "CONFIG", "CLONES"],
        [
            [
                row.name + (" (served)" if row.served else ""), row.row.when, str(row.used), str(len(row.datasets)),
                row.job or "-", row.user or "-", row.run or "-", "kept" if row.configuration else "-",
                ", ".join(row.clones) or "-",
            ]
            for row in rows
        ],
    )  # fmt: skip


def destroy_snapshot(ctx: typer.Context, zone: o.Zone = "", snapshot: o.Snap = "") -> None:
    """Destroy one snapshot that zonemgr took, on all datasets of the zone, if nothing was cloned from it."""
    runtime: Runtime = ctx.obj
    name = runtime.named(zone)
    if not snapshot:
        raise UsageError(
            "which snapshot is to be destroyed?", hint=f"zonemgr destroy-snapshot -z {name} -s SNAP"
        )
    snaps.destroy_snapshot(runtime.site, name, snapshot)
    runtime.show({"zone": name, "snapshot": snapshot, "destroyed": True})
