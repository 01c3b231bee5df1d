"""The life of a zone: each action is one change of one zone."""

from __future__ import annotations

from collections.abc import Callable

import typer

from zonemgr.cli import options as o
from zonemgr.cli.runtime import Runtime
from zonemgr.errors import UsageError
from zonemgr.workflows import life, survey
from zonemgr.workflows.job import Site


def _plain(change: Callable[[Site, str], None], text: str) -> Callable[..., None]:
    """An action that takes a zone and nothing else."""

    def run(ctx: typer.Context, zone: o.Zone = "") -> None:
        runtime: Runtime = ctx.obj
        name = runtime.named(zone)
        change(runtime.site, name)
        _say(runtime, name)

    run.__doc__ = text
    return run


def _patient(change: Callable[[Site, str, float], None], text: str) -> Callable[..., None]:
    """An action that waits for the zone, for a time that can be chosen."""

    def run(ctx: typer.Context, zone: o.Zone = "", timeout: o.Limit = None) -> None:
        runtime: Runtime = ctx.obj
        if timeout is not None and not 0 < timeout < 1e6:
            raise UsageError(f"{timeout:g} is no time to wait", hint="seconds, more than 0")
        name = runtime.named(zone)
        change(runtime.site, name, timeout or 0)
        _say(runtime, name)

    run.__doc__ = text
    return run


boot = _plain(life.boot, "Boot the zone and return at once; its services come up later.")
start = _plain(life.start, "Boot the zone and wait until it has reached multi-user-server.")
singleuser = _plain(life.singleuser, "Boot the zone to its single-user milestone and wait for that.")
halt = _plain(life.halt, "Halt the zone at once: its processes are killed.")
poweroff = _plain(life.poweroff, "Have the zone power itself off, and wait until it is down.")
reboot = _plain(life.reboot, "Halt and boot at once.")
restart = _plain(life.restart, "Shut down (or halt), then start and wait.")
ready = _plain(life.ready, "Bring the virtual platform up without processes; zlogin does not work in it.")
mount = _plain(life.mount, "Mount the zone for maintenance (zlogin -S works in it).")
unmount = _plain(life.unmount, "End a mount, also one that a killed clone has left.")
shutdown = _patient(
    life.shutdown, "Shut the zone down gracefully; fails if it is still up after the time limit."
)
stop = _patient(life.stop, "Shut the zone down, and halt it if that does not work.")


def login(ctx: typer.Context, zone: o.Zone = "", exec_user: o.ExecUser = "") -> None:
    """Log in to the zone on this terminal; --exec-user -S is the failsafe way that needs no login."""
    runtime: Runtime = ctx.obj
    runtime.exit_code = life.login(runtime.site, runtime.named(zone), exec_user)


def console(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Connect this terminal to the zone's console; leave it with ~. at the start of a line."""
    runtime: Runtime = ctx.obj
    runtime.exit_code = life.console(runtime.site, runtime.named(zone))


def _say(runtime: Runtime, zone: str) -> None:
    """With --json the state afterwards; otherwise silence means done."""
    if runtime.as_json:
        row = survey.zone(runtime.host, zone)
        runtime.show({"zone": row.name, "state": str(row.state)})
