"""Preparing the host."""

from __future__ import annotations

import typer

from zonemgr.cli import options as o
from zonemgr.cli.runtime import Runtime


def setup(ctx: typer.Context, group: o.Group = "", user: o.Account = "") -> None:
    """Make and check what zonemgr wants on a host; may be called again and again.

    That is: its state directory (shared by --group: its group, and mode g+rwxs), /etc/zonemgr, the datasets that hold
    all golden images and all disposable zones, with their tuning, and for --user the rights profiles and the group.
    What only root can make is told with its command, and the exit status is 1. --dry-run shows what would be done.
    """
    from zonemgr.cli import show
    from zonemgr.workflows import host_setup

    runtime: Runtime = ctx.obj
    items = host_setup.setup(runtime.site, group=group, user=user)
    if runtime.as_json:
        runtime.show([item.as_dict() for item in items])
    else:
        rows = [[item.what, item.name, item.state, item.why] for item in items]
        show.table(["WHAT", "NAME", "STATE", "WHY"], rows)
    runtime.exit_code = 1 if any(item.state == host_setup.MISSING for item in items) else 0
