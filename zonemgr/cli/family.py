"""The lineage of golden images as a drawing: snapshots below their image, and below each what was cloned from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zonemgr.cli import show as screen
from zonemgr.workflows.lineage import Size, Snap, Tree, Zone

_FANCY = ("├─ ", "└─ ", "│  ")
_PLAIN = ("|- ", "`- ", "|  ")
_HEADINGS = ["NAME", "USED", "REFER", "UNIQUE", "STATE"]


def show(tree: Tree, *, fancy: bool) -> None:
    """Print the tree; nothing at all where there is nothing."""
    signs = _FANCY if fancy else _PLAIN
    rows = [row for image in tree.images for row in _zone(image, "", "", signs)]
    if tree.orphans:
        rows += [["", "", "", "", ""]] if rows else []
        rows += [["orphans", "", "", "", ""]]
        rows += [row for zone in tree.orphans for row in _zone(zone, "", "", signs)]
    if rows:
        screen.table(_HEADINGS, rows)


def _zone(zone: Zone, here: str, below: str, signs: Sequence[str]) -> Iterator[list[str]]:
    words = [
        zone.state or zone.kind,
        zone.contents,
        f"({zone.origin})" if here == "" and zone.origin else "",
        f"- {zone.fault}" if zone.fault else "",
    ]
    yield [f"{here}{zone.name}", *_sizes(zone.size), " ".join(word for word in words if word)]
    for number, snap in enumerate(zone.snapshots, 1):
        sign, margin = _signs(number == len(zone.snapshots), signs)
        yield from _snap(zone, snap, below + sign, below + margin, signs)


def _snap(image: Zone, snap: Snap, here: str, below: str, signs: Sequence[str]) -> Iterator[list[str]]:
    # A snapshot of a root that is not the active one is told by it.
    root = "" if image.root == snap.dataset else snap.dataset.rpartition("/")[2]
    words = "current" if snap.current else ""
    yield [f"{here}{root}@{snap.name}", *_sizes(snap.size), words]
    for number, zone in enumerate(snap.zones, 1):
        sign, margin = _signs(number == len(snap.zones), signs)
        yield from _zone(zone, below + sign, below + margin, signs)


def _signs(last: bool, signs: Sequence[str]) -> tuple[str, str]:
    middle, end, margin = signs
    return (end, "   ") if last else (middle, margin)


def _sizes(size: Size) -> list[str]:
    return [human(size.used), human(size.referenced), human(size.unique)]


def human(number: int) -> str:
    """As zfs writes sizes: three digits and a unit of 1024."""
    value, units = float(number), "BKMGTPE"
    unit = 0
    while value >= 1000 and unit < len(units) - 1:  # 1000K would be four digits
        value, unit = value / 1024, unit + 1
    if unit == 0:
        return f"{number}B" if number else "0"
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}{units[unit]}"
