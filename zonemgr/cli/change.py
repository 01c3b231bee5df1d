"""Changing zones that exist, and clearing up after those that do not."""

from __future__ import annotations

from typing import Any

import typer

from zonemgr.cli import options as o
from zonemgr.cli import show
from zonemgr.cli.runtime import Runtime


@o.gathers(wishes=o.FURNISHINGS, drops=o.DROPS)
def modify(
    ctx: typer.Context,
    wishes: dict[str, Any],
    drops: dict[str, Any],
    zone: o.Zone = "",
    restart: o.Restart = False,
) -> None:
    """Change what a zone has: all of it as one job, or nothing.

    What the zone is given or loses on the host (mounts, datasets, clones, VNICs, limits) is in force at its next boot,
    or at once with --restart; a halted zone stays halted, with --restart too. Accounts, automounts and the size of
    /tmp are changed inside at once: a running zone goes on running; a halted one is booted to single-user for it and
    halted again. What was made for the zone and is dropped is destroyed as soon as the zone is down. To replace
    something, drop it and give it in one command. A golden image takes what is for itself; for what its clones are to
    have inside, make another image.
    """
    from zonemgr.workflows import modify as modifying
    from zonemgr.workflows.furnish import Wishes
    from zonemgr.workflows.wanted import Drops

    runtime: Runtime = ctx.obj
    name = runtime.named(zone)
    done = modifying.modify(runtime.site, name, Wishes(**wishes), Drops(**drops), restart=restart)
    runtime.show(done.as_dict(), None if runtime.dry_run else f"in force {done.in_force}")


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
