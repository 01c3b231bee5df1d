"""Packages and publishers of a zone that exists."""

from __future__ import annotations

import typer

from zonemgr.cli import options as o
from zonemgr.cli.runtime import Runtime
from zonemgr.errors import UsageError


def pkg_refresh(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Fetch the catalogues of the zone's publishers."""
    raise UsageError("not built yet")


def pkg_upgrade(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Update all that is installed in the zone."""
    raise UsageError("not built yet")


def pkg_install(
    ctx: typer.Context, zone: o.Zone = "", add_packages: o.Packages = "", remove_packages: o.Removed = "",
    add_publishers: o.Publishers = "", remove_publishers: o.Unpublished = "",
) -> None:  # fmt: skip
    """Install packages into the zone."""
    runtime: Runtime = ctx.obj
    runtime.named(zone)
    raise UsageError("not built yet")


def pkg_uninstall(
    ctx: typer.Context,
    zone: o.Zone = "",
    remove_packages: o.Removed = "",
    remove_publishers: o.Unpublished = "",
) -> None:
    """Remove packages from the zone."""
    raise UsageError("not built yet")
