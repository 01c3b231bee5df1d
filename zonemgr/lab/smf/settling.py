"""What time does to a repository: the manifest import of a first boot, and sysding's one run."""

from __future__ import annotations

from contextlib import suppress

from zonemgr.lab.place import Place
from zonemgr.lab.smf.repository import Repository
from zonemgr.lab.smf.services import SYSDING
from zonemgr.lab.smf.states import Machine


def settle(where: Place, repository: Repository) -> None:
    """Bring the repository of a running zone up to now."""
    if where.zone is None:
        return
    machine = Machine(where, repository)
    imported = machine.imported()
    if _sysding_started(machine) and repository.property(SYSDING, "config/finished") != "true":
        _sysding(where, repository)
    repository.imported = imported


def _sysding_started(machine: Machine) -> bool:
    """Has its method run since anybody looked? Once for each start: setting finished=false is for the next."""
    if SYSDING not in machine.services() or machine.repository.reboot:
        return False
    if machine.where.now < machine.online_at(SYSDING):
        return False
    passing = machine.repository.now(SYSDING)
    start, before = max(machine.where.booted, passing.since), passing.ran
    passing.ran = start
    return start != before


def _sysding(where: Place, repository: Repository) -> None:
    from zonemgr.lab.smf.sysding import Sysding

    run = Sysding(where)
    with suppress(OSError):  # a zone's user who only asks cannot make it happen
        run.run()
        if run.failed:
            passing = repository.now(SYSDING)
            passing.maintenance, passing.since = "method_failed", where.now
            return
        repository.of(SYSDING).properties["config/finished"] = ["boolean", "true"]
        repository.reboot = run.wants_reboot
