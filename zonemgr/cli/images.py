"""Golden images as a whole: upgrades, lineage, export and import."""

from __future__ import annotations

import typer

from zonemgr.cli import options as o
from zonemgr.errors import UsageError


def upgrade_giz(
    ctx: typer.Context, zone: o.Zones = [], all: o.All = False, parallel: o.Parallel = 1, canary_cmd: o.Canary = "",  # noqa: B006
    keep: o.Keep = None,
) -> None:  # fmt: skip
    """Upgrade golden images, prove each in a disposable zone, and only then serve it."""
    raise UsageError("not built yet")


def tree(ctx: typer.Context) -> None:
    """Show what was made from what: images, their snapshots, and the zones cloned from them."""
    raise UsageError("not built yet")


def export(ctx: typer.Context, zone: o.Zone = "", output: o.Output = "", snapshot: o.Snap = "") -> None:
    """Write a golden image into a file that `import` takes on another host."""
    raise UsageError("not built yet")


def import_(ctx: typer.Context, zone: o.NewZone = "", source: o.Source = "") -> None:
    """Make a golden image from a file that `export` wrote."""
    raise UsageError("not built yet")
