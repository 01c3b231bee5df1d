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
    if _sysding_due(machine):
        _sysding(where, repository)
    repository.imported = imported


def _sysding_due(machine: Machine) -> bool:
    if SYSDING not in machine.services() or machine.repository.reboot:
        return False
    finished = machine.repository.property(SYSDING, "config/finished") == "true"
    return not finished and machine.where.now >= machine.online_at(SYSDING)


def _sysding(where: Place, repository: Repository) -> None:
    from zonemgr.lab.smf.sysding import Sysding

    run = Sysding(where)
    with suppress(OSError):  # a zone's user who only asks cannot make it happen
        run.run()
        repository.of(SYSDING).properties["config/finished"] = ["boolean", "true"]
        repository.reboot = run.wants_reboot
