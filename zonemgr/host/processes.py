"""The processes of a zone, seen from the global zone: pgrep and pkill."""

from __future__ import annotations

import re

from zonemgr.host import zoneadm
from zonemgr.host.door import Host
from zonemgr.model import ZoneName


def kill_all(host: Host, zone: ZoneName) -> bool:
    """KILL every process of an active zone, init too; True when there were any.

    pkill exits 1 when nothing matched, which is also its answer for a zone that is not active (gate,
    pgrep.c). Raises CommandError for an unknown zone.
    """
    found = _selector(host, zone)
    return found is not None and host.change("pkill", "-9", "-z", found, ok=(0, 1)).exit_code == 0


def pids(host: Host, zone: ZoneName) -> list[int]:
    """Process numbers (as the global zone counts) of an active zone; none for one that is not active."""
    found = _selector(host, zone)
    if found is None:
        return []
    return [int(word) for word in host.ask("pgrep", "-z", found, ok=(0, 1)).stdout.split()]


def _selector(host: Host, zone: ZoneName) -> str | None:
    """What to give to -z. A name like `7` is taken as the number of an active zone first, perhaps of
    another one.
    """
    if not re.fullmatch(r"0[xX][0-9a-fA-F]+|[0-9]+", zone):
        return zone
    row = zoneadm.find(host, zone)
    return None if row is None or row.id is None else str(row.id)
