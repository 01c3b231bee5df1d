"""Changing zones that exist, and clearing up after those that do not."""

from __future__ import annotations

from typing import Any

import typer

from zonemgr.cli import options as o
from zonemgr.errors import UsageError


@o.gathers(wishes=o.FURNISHINGS, drops=o.DROPS)
def modify(
    ctx: typer.Context,
    wishes: dict[str, str],
    drops: dict[str, Any],
    zone: o.Zone = "",
    restart: o.Restart = False,
) -> None:
    """Change what a zone has; in force at its next boot, or at once with --restart."""
    raise UsageError("not built yet")


def gc(ctx: typer.Context, yes: o.Yes = False) -> None:
    """List what vanished zones have left on the host; --yes removes it."""
    raise UsageError("not built yet")
