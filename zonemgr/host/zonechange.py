"""From one zone configuration to another: the lines that zonecfg needs to change a zone that exists.

An existing zone cannot be written anew (docs/illumos.md: zonecfg: `create` is refused, with exit 0), and an export
does not
always read back (5.7: globals with blanks). So what differs is removed and added. zonepath and brand stay as they are.
"""

from __future__ import annotations

from dataclasses import replace

from zonemgr.host.zonescript import property_line, quote, resources_of
from zonemgr.model import OtherResource, ZoneSettings

Block = tuple[str, tuple[tuple[str, str], ...]]
# By what a resource of a kind is told from others of its kind; those not named here exist once.
KEYS = {
    "fs": ("dir",),
    "net": ("physical", "address", "allowed-address"),
    "device": ("match",),
    "rctl": ("name",),
    "attr": ("name",),
    "dataset": ("name",),
}
MEMORY = "capped-memory"
# `remove capped-memory` takes these with it (zonecfg.c, remove_mcap), and while one is there `add` is refused.
MEMORY_RCTLS = ("zone.max-swap", "zone.max-locked-memory")
PHYSICAL = "zone.max-physical-memory"  # what physical is on OmniOS


def lines(now: ZoneSettings, wanted: ZoneSettings) -> list[str]:
    """The zonecfg commands that turn `now` into `wanted`; none when they are alike.

    Raises UsageError for values that zonecfg could not hold. Resources `admin` are left alone: committing one changes
    the host's accounts.
    """
    have, want = _blocks(now), _blocks(wanted)
    gone = [block for block in have if block not in want]
    new = [block for block in want if block not in have]
    removals = [_removal(block) for block in gone]
    if any(kind == MEMORY for kind, _ in gone + new) and any(_is_memory(block) for block in have):
        removals = [_removal(block) for block in gone if not _is_memory(block)] + [f"remove {MEMORY}"]
        new += [block for block in want if _is_memory(block) and block not in new]
    new.sort(key=lambda block: block[0] != MEMORY)  # its rctls after it
    return [*removals, *_globals(now, wanted), *(line for block in new for line in _addition(block))]


def same(now: ZoneSettings, wanted: ZoneSettings) -> bool:
    return not lines(now, wanted)


def _blocks(settings: ZoneSettings) -> list[Block]:
    found = [(kind, tuple(pairs)) for kind, pairs in resources_of(_plain(settings))]
    return [block for block in found if block[0] != "admin"]


def _plain(settings: ZoneSettings) -> ZoneSettings:
    """A limit on physical memory as capped-memory, as which it can be set on every host."""
    limit = next((control for control in settings.rctl if control.name == PHYSICAL), None)
    if limit is None:
        return settings
    physical = OtherResource(MEMORY, (("physical", limit.values[0][1]),))
    others = tuple(one for one in settings.other if one.kind != MEMORY)
    return replace(
        settings,
        rctl=tuple(one for one in settings.rctl if one is not limit),
        other=(*others, physical),
    )


def _is_memory(block: Block) -> bool:
    kind, pairs = block
    return kind == MEMORY or (kind == "rctl" and dict(pairs).get("name") in MEMORY_RCTLS)


def _removal(block: Block) -> str:
    kind, pairs = block
    values = dict(pairs)
    filters = [f"{key}={quote(values[key], what=key)}" for key in KEYS.get(kind, ()) if values.get(key)]
    return " ".join(["remove", kind, *filters])


def _addition(block: Block) -> list[str]:
    kind, pairs = block
    return [f"add {kind}", *(property_line(name, value) for name, value in pairs), "end"]


def _globals(now: ZoneSettings, wanted: ZoneSettings) -> list[str]:
    have, want = dict(now.more), dict(wanted.more)
    found = [f"clear {name}" for name in have if name not in want]
    found += [
        f"set {name}={quote(value, what=name)}" for name, value in want.items() if have.get(name) != value
    ]
    if now.autoboot != wanted.autoboot:
        found.append(f"set autoboot={str(wanted.autoboot).lower()}")
    if now.ip_type != wanted.ip_type:
        found.insert(0, f"set ip-type={wanted.ip_type}")
    return found
