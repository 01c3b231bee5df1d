"""Golden images as a whole: lineage, export and import."""

from __future__ import annotations

import typer

from zonemgr.cli import options as o
from zonemgr.cli.runtime import Runtime, to_terminal
from zonemgr.errors import UsageError
from zonemgr.workflows import lineage


def tree(ctx: typer.Context) -> None:
    """Show what was made from what: images, their snapshots, and the zones cloned from them.

    USED is with all snapshots and children, REFER what a root or snapshot shows, UNIQUE what belongs to nothing
    else: a snapshot's is what its destruction would free. --json gives all sizes in bytes.
    """
    from zonemgr.cli import family

    runtime: Runtime = ctx.obj
    found = lineage.tree(runtime.host)
    if runtime.as_json:
        runtime.show(found.as_dict())
    else:
        family.show(found, fancy=to_terminal())


def export(ctx: typer.Context, zone: o.Zone = "", output: o.Output = "", snapshot: o.Snap = "") -> None:
    """Write a golden image into a file that `import` takes on another host."""
    raise UsageError("not built yet")


def import_(ctx: typer.Context, zone: o.NewZone = "", source: o.Source = "") -> None:
    """Make a golden image from a file that `export` wrote."""
    raise UsageError("not built yet")
