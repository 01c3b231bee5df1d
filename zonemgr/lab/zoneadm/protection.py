"""What a zone's links carry while it is up: addresses, and the protection that comes with an allowed one.

It stands in the link's row: dladm shows the protection, the zone is told the addresses.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zonemgr.lab.world import LabError, World
from zonemgr.lab.zonestore import ZoneConfig

if TYPE_CHECKING:
    from zonemgr.lab.zoneadm.daemon import Daemon


def hand_over(daemon: Daemon, config: ZoneConfig) -> None:
    """Protect the zone's links and give it their addresses; fails where a link is protected already."""
    for name in dict.fromkeys(net.physical for net in config.net if net.allowed_address):
        given = [net.allowed_address for net in config.net if net.physical == name and net.allowed_address]
        _one(daemon, name, given)


def _one(daemon: Daemon, name: str, given: Iterable[str]) -> None:
    from zonemgr.lab import links

    row = links.find(daemon.world, name)
    props: dict[str, Any] = json.loads(row["props"]) if row is not None else {}
    for known, called in (("protection", "Protection"), ("allowed-ips", "allowed-ips")):
        if props.get(known):
            daemon.say(f"{called} is already set")
            raise daemon.fail("failed to add address: Invalid argument")
    props["protection"] = "ip-nospoof"
    props["allowed-ips"] = ",".join(address.partition("/")[0] for address in given)
    props[links.GIVEN] = list(given)
    _keep(daemon.world, name, props)


def configure_by_files(world: World, zone: str, root: Path) -> None:
    """What network/physical will do with the zone's own files, before anybody in there can look."""
    from zonemgr.lab import ipboot, links, place

    try:
        _receive(world, zone, root)
        found = ipboot.configure(place.booting(world, zone, root))
    except (OSError, LabError):  # a root as odd as it likes: the zone boots all the same
        return
    for name, made in found.items():
        row = links.find(world, name)
        _keep(world, name, {**json.loads(row["props"] if row else "{}"), links.FILES: made})


def _receive(world: World, zone: str, root: Path) -> None:
    """ipmgmtd takes over what the global zone hands it when it starts for the first time, and keeps it.

    At later boots only what it has kept comes up again: in a clone that still says the first boot is done, whose
    ipadm.conf was emptied, no address arrives.
    """
    from zonemgr.lab import ipconf, links, place, smf

    where = place.booting(world, zone, root)
    if smf.first_boot_of_addresses(root, world):
        ipconf.keep_given(where)
        return
    for name in {link for link, _ in where.given} - ipconf.kept_interfaces(where):
        row = links.find(world, name)
        props = json.loads(row["props"]) if row is not None else {}
        _keep(world, name, {key: value for key, value in props.items() if key != links.GIVEN})


def _keep(world: World, name: str, props: dict[str, Any]) -> None:
    world.db.execute("update links set props = ? where name = ?", (json.dumps(props, sort_keys=True), name))
