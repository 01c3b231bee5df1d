"""Changing zones that exist, and clearing up after those that do not."""

from __future__ import annotations

from typing import Any

import typer

from zonemgr.cli import options as o
from zonemgr.cli import show
from zonemgr.cli.runtime import Runtime
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
    """List what vanished zones have left on the host; --yes removes it.

    What is in use is left, and named: then the exit status is 1.
    """
    from zonemgr.workflows import gc as sweeping

    runtime: Runtime = ctx.obj
    sweep = sweeping.collect(runtime.site, remove=yes)
    if runtime.as_json:
        runtime.show(
            {
                "found": [thing.as_dict() for thing in sweep.found],
                "removed": [thing.as_dict() for thing in sweep.removed],
                "left": [{"name": left.what, "why": left.why} for left in sweep.left],
            }
        )
    elif sweep.found:
        rows = [[thing.what, thing.name, thing.run, str(thing.used or "-")] for thing in sweep.found]
        show.table(["WHAT", "NAME", "RUN", "BYTES"], rows)
    for left in sweep.left:
        runtime.screen.warn(str(left))
    runtime.exit_code = 1 if sweep.left else 0
