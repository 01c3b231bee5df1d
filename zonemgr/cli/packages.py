"""Packages and publishers of a zone that exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from zonemgr.cli import options as o
from zonemgr.cli.runtime import Runtime

if TYPE_CHECKING:
    from zonemgr.workflows.pkgjobs import Outcome


def pkg_refresh(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Fetch the catalogues of the zone's publishers.

    Like the other pkg- actions it works in running and in installed zones, takes a snapshot before and one after
    (before-pkg-refresh-TIME, after-pkg-refresh-TIME), and rolls back what fails. A golden image is stopped for it,
    and new clones come from the snapshot taken after.
    """
    from zonemgr.workflows import pkgjobs

    runtime: Runtime = ctx.obj
    _show(runtime, pkgjobs.refresh(runtime.site, runtime.named(zone)))


def pkg_upgrade(ctx: typer.Context, zone: o.Zone = "") -> None:
    """Update all that is installed in the zone, as far as its publishers have newer versions.

    A snapshot is taken before and one after (before-pkg-upgrade-TIME, after-pkg-upgrade-TIME); what fails is rolled
    back. Without anything newer nothing is left of it. A running disposable zone goes on running while pkg works,
    unless the update needs a new boot environment: then it is stopped for it and started again. A golden image is
    stopped, updated, and booted once for new services; new clones come from the snapshot taken after. To try it out
    in a zone before it is served, see upgrade-giz.
    """
    from zonemgr.workflows import pkgjobs

    runtime: Runtime = ctx.obj
    _show(runtime, pkgjobs.upgrade(runtime.site, runtime.named(zone)))


def pkg_install(
    ctx: typer.Context, zone: o.Zone = "", add_packages: o.Packages = "", remove_packages: o.Removed = "",
    add_publishers: o.Publishers = "", remove_publishers: o.Unpublished = "",
) -> None:  # fmt: skip
    """Install packages (-p) into the zone, after removing others (-P) and changing its publishers (-G, -g).

    Removals come before additions, so that packages can take each other's place. A snapshot is taken before and one
    after (before-pkg-install-TIME, after-pkg-install-TIME); what fails is rolled back. When all is there already
    nothing is left of it. In a running disposable zone pkg works inside and the zone goes on, unless a package needs
    a new boot environment. A golden image is stopped for it, is known by its new set of packages afterwards, and
    new clones come from the snapshot taken after.
    """
    from zonemgr.workflows import packages, pkgjobs

    runtime: Runtime = ctx.obj
    name = runtime.named(zone)
    change = packages.parse(add_packages, remove_packages, add_publishers, remove_publishers)
    _show(runtime, pkgjobs.install(runtime.site, name, change))


def pkg_uninstall(
    ctx: typer.Context,
    zone: o.Zone = "",
    remove_packages: o.Removed = "",
    remove_publishers: o.Unpublished = "",
) -> None:
    """Remove packages (-P) and publishers (-G) from the zone; what it does not have is passed over.

    A snapshot is taken before and one after (before-pkg-uninstall-TIME, after-pkg-uninstall-TIME); what fails is
    rolled back. Packages that others depend on stay, and that is a failure.
    """
    from zonemgr.workflows import packages, pkgjobs

    runtime: Runtime = ctx.obj
    name = runtime.named(zone)
    change = packages.parse(remove=remove_packages, remove_publishers=remove_publishers)
    _show(runtime, pkgjobs.uninstall(runtime.site, name, change))


def _show(runtime: Runtime, outcome: Outcome) -> None:
    runtime.show(outcome.as_dict(), None if runtime.dry_run else str(outcome))
