"""Which repository a command talks to: that of the place it runs in, or with -z that of a running zone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from zonemgr.lab import place
from zonemgr.lab.call import Call
from zonemgr.lab.place import Place
from zonemgr.lab.smf import repository, settling
from zonemgr.lab.smf.repository import Repository
from zonemgr.lab.smf.states import Machine


class NoServer(Exception):
    """The zone has no repository server that this caller can reach."""


class NoZone(Exception):
    """There is no zone of that name."""


def zone(call: Call, name: str) -> Place:
    """A zone by name, after what time has done to it; its root is a path that only root can look into."""
    from zonemgr.lab import zonestore

    if name == "global":
        return place.here(call)
    where = place.of_zone(call.world, name)
    if where is None:
        raise NoServer if zonestore.state(call.world, name) is not None else NoZone
    if not call.privileged:
        raise NoServer
    _faults(call, where)
    return _rebooted(call, where)


def running(call: Call) -> list[str]:
    rows = call.world.db.execute("select name from kernel_zones where state = 'running' order by id")
    return ["global", *(row["name"] for row in rows)]


@contextmanager
def changing(where: Place) -> Iterator[Machine]:
    """The services of a place, with its repository saved afterwards."""
    with place.locked(where.root, "etc/svc"):
        found = repository.at(where)
        settling.settle(where, found)
        yield Machine(where, found)
        repository.keep(where, found)


def looking(where: Place) -> Machine:
    """The services of a place as they are now."""
    with changing(where) as machine:
        return machine


def _rebooted(call: Call, where: Place) -> Place:
    """sysding may have asked for a reboot: zoneadmd sees to it, and the zone gets a new id."""
    if where.zone is None or not looking(where).repository.reboot:
        return where
    from zonemgr.lab.zoneadm.daemon import reboot_if_asked

    reboot_if_asked(call.world, where.zone)
    again = place.of_zone(call.world, where.zone)
    if again is None:
        raise NoServer
    return again


def _faults(call: Call, where: Place) -> None:
    """`fault.maintenance` of the world: ZONE FMRI, a service that fails in this zone."""
    name, _, fmri = call.world.get("fault.maintenance").partition(" ")
    if name != where.zone:
        return
    with changing(where) as machine:
        if fmri in machine.services() and not machine.repository.now(fmri).maintenance:
            put_into_maintenance(machine.repository, fmri, "method_failed", where.now)
            call.world.put("fault.maintenance", "")


def put_into_maintenance(found: Repository, fmri: str, why: str, now: float) -> None:
    passing = found.now(fmri)
    passing.maintenance, passing.since = why, now
