"""Keeping the delegated datasets that were made for a zone when the zone goes: from then on they are the host's.

Root in the zone could set mount points, set-user-id files and any user property in them, and zones(7) says not to trust
those. So they come back without `zoned`, but are mounted by nobody until somebody asks for it (`canmount=noauto`),
without set-user-id and devices, and without any property by which zonemgr or libbe know what is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from zonemgr.host import zfs
from zonemgr.host.door import Host
from zonemgr.model import Dataset
from zonemgr.workflows import removing, steps

KEPT = "zonemgr:kept"  # the name of the zone that a kept dataset was made for
FOREIGN = re.compile(r"zonemgr:|org\.opensolaris\.libbe:")
HARMLESS = {"canmount": "noauto", "setuid": "off", "devices": "off"}


def keep(host: Host, zone: str, names: Sequence[str], run: str) -> list[str]:
    """Give those of these datasets that were made for the zone (which is gone) back to the host; returns their names.

    The mark goes last, so that this can be taken up again wherever it was cut short.
    """
    mine = removing.ours(host, names, run)
    for name in mine:
        _give_back(host, zone, name)
        steps.warn(
            f"{name} is kept, and not mounted; look where it would be: zfs get -r mountpoint {name}; "
            f"then: zfs mount {name}; or for another zone: zfs set canmount=on {name}"
        )
    return mine


def _give_back(host: Host, zone: str, name: str) -> None:
    rows = zfs.list_datasets(host, Dataset(name), types="filesystem,volume", properties=("type",), depth=-1)
    for row in rows:
        dataset = Dataset(row.name)
        if row["type"] == "filesystem":  # before it is no zone's any more, or it would be mounted at once
            zfs.set_properties(host, dataset, HARMLESS)
        for label in zfs.local_properties(host, dataset):
            if FOREIGN.match(label) and (label, row.name) != (zfs.MADE_BY, name):
                zfs.inherit(host, dataset, label)
    top = Dataset(name)
    zfs.set_properties(host, top, {KEPT: zone})
    zfs.inherit(host, top, "zoned")
    zfs.inherit(host, top, zfs.MADE_BY)
