"""Snapshots of a zone."""

from __future__ import annotations

import typer

from zonemgr.cli import options as o
from zonemgr.cli.runtime import Runtime, to_terminal
from zonemgr.errors import UsageError
from zonemgr.workflows import snaps


def snapshot(ctx: typer.Context, zone: o.Zone = "", snapshot: o.Snap = "") -> None:
    """Snapshot the zone's root; a running zone is stopped for it. Without -s the name is the time."""
    runtime: Runtime = ctx.obj
    name = runtime.named(zone)
    taken = snaps.snapshot(runtime.site, name, snapshot)
    runtime.show({"zone": name, "snapshot": taken}, taken)


def rollback(ctx: typer.Context, zone: o.Zone = "", snapshot: o.Snap = "") -> None:
    """Roll the zone's root back to a snapshot, by default the newest; newer snapshots are destroyed.

    A running zone is halted before and started after. Refused when a newer snapshot has clones.
    """
    runtime: Runtime = ctx.obj
    name = runtime.named(zone)
    target = snaps.rollback(runtime.site, name, snapshot)
    runtime.show({"zone": name, "snapshot": target})


def list_snapshots(ctx: typer.Context, zone: o.Zone = "") -> None:
    """List the zone's snapshots, oldest first: the part behind @, a line each when stdout is no terminal."""
    runtime: Runtime = ctx.obj
    rows = snaps.listing(runtime.host, runtime.named(zone))
    if runtime.as_json:
        runtime.show([row.as_dict() for row in rows])
    elif to_terminal():
        from zonemgr.cli import show

        show.table(
            ["SNAPSHOT", "CREATED", "USED", "CLONES"],
            [[row.snapshot.name, row.when, str(row.used), ", ".join(row.clones) or "-"] for row in rows],
        )
    else:
        for row in rows:
            print(row.snapshot.name)


def destroy_snapshot(ctx: typer.Context, zone: o.Zone = "", snapshot: o.Snap = "") -> None:
    """Destroy one snapshot that zonemgr took, if nothing was cloned from it."""
    runtime: Runtime = ctx.obj
    name = runtime.named(zone)
    if not snapshot:
        raise UsageError(
            "which snapshot is to be destroyed?", hint=f"zonemgr destroy-snapshot -z {name} -s SNAP"
        )
    snaps.destroy_snapshot(runtime.site, name, snapshot)
    runtime.show({"zone": name, "snapshot": snapshot, "destroyed": True})
