"""Zones as children of the global zone's image (pkg5 linkedimage/{common,zone}.py); by brand, and by flavour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zonemgr.lab import place
from zonemgr.lab.call import NoWorld
from zonemgr.lab.pkg.image import Image, load
from zonemgr.lab.pkg.plan import PkgError

if TYPE_CHECKING:
    from zonemgr.lab.pkg.command import Run

BRANDS = {"omnios": ("lipkg", "sparse", "pkgsrc"), "openindiana": ("ipkg",)}
Ranks = list[tuple[str, bool]]


def check_children(run: Run) -> None:
    """Every installed zone of a linked brand must be an image, or the global zone's pkg does nothing."""
    if run.call.zone is not None or not run.live:
        return
    for _, root in _children(run):
        if load(place.at_root(run.call.world, None, run.call.world.path(root)), run.shelves) is None:
            raise PkgError(f"No image rooted at '{root}'")


def check_publishers(run: Run, image: Image) -> None:
    """A child knows its parent's enabled publishers, in their order and as sticky, before any of its own."""
    if not _is_child(run):
        return
    world = run.call.world
    parent = load(place.global_zone(world), run.shelves)
    theirs, ours = _enabled(parent) if parent else [], _enabled(image)
    if ours[: len(theirs)] == theirs:
        return
    raise PkgError(
        "\nInvalid child image publisher configuration.  Child image publisher\n"
        "configuration must be a superset of the parent image publisher configuration.\n"
        "Please update the child publisher configuration to match the parent.  If the\n"
        "child image is a zone this can be done automatically by detaching and\n"
        "attaching the zone.\n\nThe parent image has the following enabled publishers:\n"
        f"{_listed(theirs)}\n\nThe child image has the following enabled publishers:\n{_listed(ours)}"
    )


def _children(run: Run) -> list[tuple[str, str]]:
    """Name and root of the zones that are children: installed, of a linked brand."""
    from zonemgr.lab import zonestore

    world, found = run.call.world, []
    for entry in zonestore.index(world):
        try:
            brand = zonestore.load(world, entry.name).brand if entry.state == "installed" else ""
        except zonestore.StoreError:
            continue
        if brand in BRANDS[run.where.flavour]:
            found.append((entry.name, f"{entry.zonepath}/root"))
    return found


def _is_child(run: Run) -> bool:
    if isinstance(run.call.world, NoWorld):
        return False
    if run.call.zone is not None:
        return run.live and any(name == run.call.zone for name, _ in _children(run))
    return any(run.call.world.path(root) == run.where.root for _, root in _children(run))


def _enabled(image: Image) -> Ranks:
    return [(each.name, each.sticky) for each in image.publishers if each.enabled]


def _listed(ranks: Ranks) -> str:
    return "\n".join(
        f"    PUBLISHER {number}: {name}{'' if sticky else ' (non-sticky)'}"
        for number, (name, sticky) in enumerate(ranks)
    )
