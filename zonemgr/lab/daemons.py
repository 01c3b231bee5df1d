"""What runs in a host or zone that nobody has logged in to: init, the service manager, and a process or more a service.

These are not processes of the machine. They follow from the state of the services: there while one is online, with a
new number after each start, gone with the zone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from zonemgr.lab.place import Place

CONSOLE_LOGIN = "system/console-login:default"
STARTD, CONFIGD = "/lib/svc/bin/svc.startd", "/lib/svc/bin/svc.configd"
RESTARTER = "system/svc/restarter:default"

# Numbers below 100000 are left to the machine's processes; illumos' largest is 999999 (param.h, MAX_MAXPID).
FIRST, COUNT = 100000, 800000

# Service: user and command line of each of its processes (the start methods of illumos' manifests).
PROGRAMS: dict[str, tuple[tuple[str, str], ...]] = {
    RESTARTER: (("root", STARTD), ("root", CONFIGD)),
    "network/ip-interface-management:default": (("netadm", "/lib/inet/ipmgmtd"),),
    "network/datalink-management:default": (("dladm", "/sbin/dlmgmtd"),),
    "system/cryptosvc:default": (("daemon", "/usr/lib/crypto/kcfd"),),
    "system/name-service-cache:default": (("root", "/usr/sbin/nscd"),),
    "system/utmp:default": (("root", "/usr/lib/utmpd"),),
    "system/system-log:default": (("root", "/usr/sbin/syslogd"),),
    "system/cron:default": (("root", "/usr/sbin/cron"),),
    "network/rpc/bind:default": (("daemon", "/usr/sbin/rpcbind"),),
    "system/filesystem/autofs:default": (
        ("root", "/usr/lib/autofs/automountd"),
        ("root", "/usr/lib/autofs/automountd"),
    ),
    "network/ssh:default": (("root", "/usr/lib/ssh/sshd"),),
    "network/nfs/cbd:default": (("daemon", "/usr/lib/nfs/nfs4cbd"),),
    "network/nfs/status:default": (("daemon", "/usr/lib/nfs/statd"),),
    "network/nfs/nlockmgr:default": (("daemon", "/usr/lib/nfs/lockd"),),
    "network/nfs/mapid:default": (("daemon", "/usr/lib/nfs/nfsmapid"),),
    "system/pfexec:default": (("root", "/usr/lib/pfexecd"),),
}


@dataclass(frozen=True)
class Daemon:
    """A process that only the lab's books know."""

    pid: int
    user: str
    args: str
    since: float  # when it started, on the lab's clock
    service: str = ""  # the FMRI it belongs to


def number(*parts: object) -> int:
    """A process number that stays the same for the same process, seen from inside a zone or from outside."""
    return FIRST + zlib.crc32("\0".join(str(part) for part in parts).encode()) % COUNT


def running(where: Place) -> Iterator[Daemon]:
    """The processes of the services that are online at a place; none where there is no repository."""
    from zonemgr.lab.smf import repository
    from zonemgr.lab.smf.states import Machine

    if repository.load(where.root) is None:
        return
    machine = Machine(where, repository.at(where))
    zone = where.zone or "global"
    for fmri in machine.services():
        state = machine.state(fmri)
        if state.name not in ("online", "degraded"):
            continue
        since = state.since
        for index, (user, args) in enumerate(_programs(where, fmri)):
            started = machine.repository.killed.get(args, since)
            pid = number(zone, repr(where.booted), fmri, index, repr(started))
            yield Daemon(pid, user, args, started, fmri)


def _programs(where: Place, fmri: str) -> tuple[tuple[str, str], ...]:
    name = fmri.removeprefix("svc:/")
    if name == CONSOLE_LOGIN:
        return (("root", _ttymon(where)),)
    return PROGRAMS.get(name, ())


def _ttymon(where: Place) -> str:
    """The console's: its method asks `uname -n` for the prompt (gate, cmd/svc/milestone/console-login)."""
    from zonemgr.lab import place

    node = (place.read(where.root, "etc/nodename") or where.zone or "unknown").strip()
    prompt = f"{node} console login: "
    return f"/usr/lib/saf/ttymon -g -d /dev/console -l console -m ldterm,ttcompat -h -p {prompt}"
