"""May the caller do this at all? Asked first, because pfexec without a profile runs things unprivileged, in silence."""

from __future__ import annotations

from zonemgr.errors import ZonemgrError
from zonemgr.host import system, zoneadm
from zonemgr.host.door import Host

TOOLS = {
    "zone": ("zoneadm", "zonecfg", "zlogin"),
    "zfs": ("zfs",),
    "network": ("dladm",),
    "packages": ("pkg",),
}


class NotAllowed(ZonemgrError):
    """The caller lacks a rights profile; the message names it."""


def require(host: Host, *needs: str) -> None:
    """Raise unless this is a global zone and the caller's profiles cover `needs` (keys of TOOLS).

    Raises Unsupported on a distribution whose zones cannot be made.
    Root needs none; with an elevation other than pfexec it is that command's business.
    """
    zoneadm.list_zones(host)  # raises in a non-global zone, and where there is no zoneadm
    system.check_distribution(host)
    if tuple(host.elevate) != ("pfexec",):
        return
    me = system.identity(host)
    if me.is_root:
        return
    tools = [tool for need in needs for tool in TOOLS[need]]
    have = system.profiles(host)
    missing = system.missing_profiles(have, tools)
    if missing:
        wanted = ",".join([*missing, *([] if system.ENDING in have else [system.ENDING])])
        raise NotAllowed(
            f"user {me.name} lacks the rights profile {missing[0]}"
            + (f" and {len(missing) - 1} more" if missing[1:] else ""),
            hint=f"as root, beside those it has: usermod -P '{wanted}' {me.name}; or run zonemgr as root",
        )
