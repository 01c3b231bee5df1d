"""What time does to a zone: the manifest import of a first boot, sysding's one run, the host keys that sshd wants."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from zonemgr.lab import place, zoneroot
from zonemgr.lab.place import Place
from zonemgr.lab.smf.repository import Repository
from zonemgr.lab.smf.services import SSH, SYSDING
from zonemgr.lab.smf.states import Machine
from zonemgr.lab.world import LabError


def settle(where: Place, repository: Repository) -> None:
    """Bring the repository of a running zone up to now."""
    if where.zone is None:
        return
    machine = Machine(where, repository)
    imported = machine.imported()
    if _sysding_started(machine) and repository.property(SYSDING, "config/finished") != "true":
        _sysding(where, repository)
    if SSH in machine.services() and machine.state(SSH).name == "online":
        with suppress(OSError, LabError):  # a zone's user who only asks cannot make it happen
            _host_keys(where.root)
    repository.imported = imported


def _host_keys(root: Path) -> None:
    """The start method of sshd runs `ssh-keygen -A`: what is missing is made (oi-userland, openssh/files/sshd)."""
    if not (root / "etc/ssh").is_dir():
        return
    names = [f"ssh_host_{algorithm}_key" for algorithm in zoneroot.ALGORITHMS]
    missing = [name for name in names if not place.inside(root, f"etc/ssh/{name}").exists()]
    made = zoneroot.host_keys() if missing else {}
    for name, (mode, text) in made.items():
        if name.removesuffix(".pub") in missing:
            place.write(root, f"etc/ssh/{name}", text, mode)


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
