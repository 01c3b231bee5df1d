"""The life of a zone: each action is one change of one zone."""

from __future__ import annotations

import typer

from zonemgr.cli import options as o
from zonemgr.cli.runtime import Runtime
from zonemgr.workflows import life, survey
from zonemgr.workflows.job import Site


def boot(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Boot the zone and return at once; its services come up later."""
    life.boot(_site(ctx), _zone(ctx, zone))
    _say(ctx, zone)


def start(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Boot the zone and wait until it has reached multi-user-server."""
    life.start(_site(ctx), _zone(ctx, zone))
    _say(ctx, zone)


def singleuser(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Boot the zone to its single-user milestone and wait for that."""
    life.singleuser(_site(ctx), _zone(ctx, zone))
    _say(ctx, zone)


def halt(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Halt the zone at once: its processes are killed."""
    life.halt(_site(ctx), _zone(ctx, zone))
    _say(ctx, zone)


def poweroff(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Have the zone power itself off, and wait until it is down."""
    life.poweroff(_site(ctx), _zone(ctx, zone))
    _say(ctx, zone)


def reboot(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Halt and boot at once."""
    life.reboot(_site(ctx), _zone(ctx, zone))
    _say(ctx, zone)


def restart(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Shut down (or halt), then start and wait."""
    life.restart(_site(ctx), _zone(ctx, zone))
    _say(ctx, zone)


def ready(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Bring the virtual platform up without processes; zlogin does not work in it."""
    life.ready(_site(ctx), _zone(ctx, zone))
    _say(ctx, zone)


def mount(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Mount the zone for maintenance (zlogin -S works in it)."""
    life.mount(_site(ctx), _zone(ctx, zone))
    _say(ctx, zone)


def unmount(ctx: typer.Context, zone: o.Zone = "") -> None:
    """End a mount, also one that a killed clone has left."""
    life.unmount(_site(ctx), _zone(ctx, zone))
    _say(ctx, zone)


def shutdown(ctx: typer.Context, zone: o.Zone = "", timeout: o.Limit = 0) -> None:
    """Shut the zone down gracefully; fails if it is still up after the time limit."""
    life.shutdown(_site(ctx), _zone(ctx, zone), timeout)
    _say(ctx, zone)


def stop(ctx: typer.Context, zone: o.Zone = "", timeout: o.Limit = 0) -> None:
    """Shut the zone down, and halt it if that does not work."""
    life.stop(_site(ctx), _zone(ctx, zone), timeout)
    _say(ctx, zone)


def login(ctx: typer.Context, zone: o.Zone = "", exec_user: o.ExecUser = "") -> None:
    """Log in to the zone on this terminal; --exec-user -S is the failsafe way that needs no login."""
    ctx.obj.exit_code = life.login(_site(ctx), _zone(ctx, zone), exec_user)


def console(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Connect this terminal to the zone's console; leave it with ~. at the start of a line."""
    ctx.obj.exit_code = life.console(_site(ctx), _zone(ctx, zone))


def _site(ctx: typer.Context) -> Site:
    runtime: Runtime = ctx.obj
    return runtime.site


def _zone(ctx: typer.Context, zone: str) -> str:
    runtime: Runtime = ctx.obj
    return runtime.named(zone)


def _say(ctx: typer.Context, zone: str) -> None:
    """With --json the state afterwards; otherwise silence means done."""
    runtime: Runtime = ctx.obj
    if runtime.as_json:
        row = survey.zone(runtime.host, zone)
        runtime.show({"zone": row.name, "state": str(row.state)})
