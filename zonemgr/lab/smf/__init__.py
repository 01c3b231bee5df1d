"""SMF: svcs, svcadm, svccfg, and what zoneadm and the brands do to a zone's repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zonemgr.lab.world import FIRST_DAY, HOST_BOOT, World

if TYPE_CHECKING:
    from zonemgr.lab.call import Call
    from zonemgr.lab.place import Place

IP_MANAGEMENT = "svc:/network/ip-interface-management:default"
FIRST_BOOT_DONE = "ipmgmtd/first_boot_done"


def svcs(call: Call) -> int:
    from zonemgr.lab.smf import listing as command

    return command.svcs(call)


def svcadm(call: Call) -> int:
    from zonemgr.lab.smf import administering as command

    status = command.svcadm(call)
    if call.zone is not None:
        from zonemgr.lab import autofs

        autofs.after_svcadm(call)
    return status


def svccfg(call: Call) -> int:
    from zonemgr.lab.smf import configuring as command

    return command.svccfg(call)


def svcprop(call: Call) -> int:
    from zonemgr.lab.smf import properties as command

    return command.svcprop(call)


# -- for zoneadm and the brands ------------------------------------------------------------------------


def seed(root: Path, world: World, imported: bool = False) -> None:
    """Put a fresh repository into a root, as an installation does; `imported` when it was booted before."""
    from zonemgr.lab.smf import repository, services

    fresh = repository.Repository(imported=imported)
    if not world.omnios:
        fresh.of(services.SYSDING).properties["config/finished"] = ["boolean", "false"]
    repository.save(root, fresh)


def set_property(root: Path, fmri: str, prop: str, value: str, *, type: str = "") -> None:
    """Set one property offline, as `SVCCFG_REPOSITORY=... svccfg` does; no repository, no effect."""
    from zonemgr.lab.smf import repository

    found = repository.load(root)
    if found is None:
        return
    old = found.of(fmri).properties.get(prop, [type or "astring"])
    found.of(fmri).properties[prop] = [type or old[0], value]
    repository.save(root, found)


def remove_property(root: Path, fmri: str, prop: str) -> None:
    """Delete one property offline, as `SVCCFG_REPOSITORY=... svccfg delprop` does; it need not be there."""
    from zonemgr.lab.smf import repository

    found = repository.load(root)
    if found is not None and found.of(fmri).properties.pop(prop, None) is not None:
        repository.save(root, found)


def first_boot_of_addresses(root: Path, world: World) -> bool:
    """Does ipmgmtd start for the first time in this root? It notes that in the repository (first_boot_done)."""
    from zonemgr.lab.smf import repository

    found = repository.load(root)
    if found is None:
        return True
    properties = found.of(IP_MANAGEMENT).properties
    if properties.get(FIRST_BOOT_DONE, ["", "false"])[1] == "true":
        return False
    properties[FIRST_BOOT_DONE] = ["boolean", "true"]
    repository.save(root, found)
    return True


def settle(where: Place) -> bool:
    """Let happen in a running zone what has happened by now; True when the zone asks to be rebooted."""
    from zonemgr.lab import place
    from zonemgr.lab.smf import repository, settling

    with place.locked(where.root, "etc/svc"):
        found = repository.at(where)
        settling.settle(where, found)
        repository.keep(where, found)
    return found.reboot


def settle_zone(world: World, name: str) -> bool:
    """The same for a zone by name; False when it does not run."""
    from zonemgr.lab import place

    where = place.of_zone(world, name)
    return where is not None and settle(where)


def halted(world: World, name: str) -> None:
    """To be called before a zone goes down: what happened so far stays, what belongs to this boot goes."""
    from zonemgr.lab import place
    from zonemgr.lab.smf import repository, settling

    where = place.of_zone(world, name)
    if where is None or repository.load(where.root) is None:
        return
    found = repository.at(where)
    settling.settle(where, found)
    found.begin(where.booted)
    repository.keep(where, found)


def state(where: Place, fmri: str) -> str:
    """One service's state at a place: online, offline, disabled, maintenance, ...; or absent."""
    from zonemgr.lab.smf import repository
    from zonemgr.lab.smf.states import Machine

    machine = Machine(where, repository.at(where))
    return machine.state(fmri).name if fmri in machine.services() else "absent"


def _first_day(world: World) -> None:
    from zonemgr.lab.smf import repository

    repository.save(world.host, repository.Repository(imported=True))
    world.put("host.booted", repr(world.now() - 3600))


def _host_boot(world: World) -> None:
    world.put("host.booted", repr(world.now()))


FIRST_DAY.append(_first_day)
HOST_BOOT.append(_host_boot)
__all__ = [
    "halted",
    "seed",
    "set_property",
    "settle",
    "settle_zone",
    "state",
    "svcadm",
    "svccfg",
    "svcprop",
    "svcs",
]
