"""The services of the lab: what depends on what, how long each takes to start, and their FMRIs.

Costs are seconds of an ordinary boot on a real host (docs/illumos.md: First boot: about 2 seconds when the manifests
are
imported); their sum along a path is when a service is up.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SINGLE_USER = "svc:/milestone/single-user:default"
MULTI_USER = "svc:/milestone/multi-user:default"
MULTI_USER_SERVER = "svc:/milestone/multi-user-server:default"
MILESTONES = (SINGLE_USER, MULTI_USER, MULTI_USER_SERVER)
MANIFEST_IMPORT = "svc:/system/manifest-import:default"
SYSDING = "svc:/system/sysding:system"
PHYSICAL = "svc:/network/physical:default"
SSH = "svc:/network/ssh:default"
CONSOLE_LOGIN = "svc:/system/console-login:default"
RESTARTER = "svc:/system/svc/restarter:default"
PFEXEC = "svc:/system/pfexec:default"


@dataclass(frozen=True)
class Service:
    fmri: str
    name: str  # what svcs -x shows in parentheses
    cost: float
    requires: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    enabled: bool = True
    seeded: bool = False  # in the seed repository, so known before the manifests are imported
    transient: bool = True
    where: str = "both"  # both, global, zone
    flavour: str = ""  # empty: every flavour

    @property
    def log(self) -> str:
        return f"/var/svc/log/{self.fmri.removeprefix('svc:/').replace('/', '-')}.log"


# A service a paragraph: FMRI, cost, flags, name; then `>` what it requires and `?` what it would like up.
# Flags: d disabled at first, s in the seed repository, p has processes, i OpenIndiana only,
# z zones only, g global zone only.
TABLE = """
system/svc/restarter 0.03 sp master restarter
system/early-manifest-import 0.07 s early manifest import
  > system/svc/restarter
network/ip-interface-management 0.05 sp IP interface management
  > system/svc/restarter
network/datalink-management 0.05 sp data-link management
  > system/svc/restarter
network/loopback 0.05 s loopback network interface
  > network/ip-interface-management
system/filesystem/root 0.05 s root file system mount
  > system/early-manifest-import
system/filesystem/usr 0.05 s read/write root file systems mounts
  > system/filesystem/root
system/device/local 0.05 s Standard device configuration.
  > system/filesystem/usr
milestone/devices 0.02 s device configuration milestone
  > system/device/local
network/physical 0.1 s physical network interfaces
  > network/loopback network/datalink-management network/ip-interface-management
network/physical:nwam 0.1 sd physical network interface autoconfiguration
  > network/loopback
milestone/network 0.02 s Network milestone
  > network/loopback network/physical
system/identity:node 0.05 s system identity (nodename)
  > network/loopback
system/identity:domain 0.05 s system identity (domainname)
  > network/loopback
system/filesystem/minimal 0.1 s minimal file system mounts
  > system/filesystem/usr system/device/local
system/manifest-import 0.15 s service manifest import
  > system/filesystem/minimal
milestone/single-user 0.3 s single-user milestone
  > system/identity:node system/filesystem/minimal milestone/devices system/manifest-import network/loopback
  ? milestone/network
system/filesystem/local 0.1 s local file system mounts
  > system/filesystem/minimal
system/rbac 0.05 - generate rbac configuration
  > system/filesystem/minimal system/manifest-import
system/cryptosvc 0.1 p cryptographic services
  > system/filesystem/minimal system/manifest-import
system/sysding:system 0.2 iz System configuration
  > system/filesystem/minimal system/filesystem/local system/identity:node
  > system/identity:domain milestone/single-user
  ? network/rpc/bind
milestone/sysconfig 0.1 - Basic system configuration milestone
  > milestone/single-user
  ? system/sysding:system
network/ldap/client 0.1 dp LDAP client
  > system/filesystem/minimal milestone/network
network/dns/client 0.05 d DNS resolver
  > milestone/network milestone/single-user
milestone/name-services 0.05 s name services milestone
  ? network/dns/client
system/name-service-cache 0.1 p name service cache
  > system/filesystem/minimal milestone/single-user
system/utmp 0.1 sp utmpx monitoring
  > milestone/single-user
system/console-login 0.1 sp Console login
  > system/filesystem/minimal system/identity:node system/utmp milestone/sysconfig
system/system-log 0.1 p system log
  > milestone/sysconfig system/filesystem/local
system/cron 0.1 p clock daemon (cron)
  > system/filesystem/local milestone/name-services milestone/sysconfig
network/rpc/bind 0.1 sp RPC bindings
  > milestone/network system/filesystem/minimal
system/filesystem/autofs 0.1 p automounter
  > milestone/network milestone/sysconfig
  ? network/rpc/bind
network/ssh 0.2 p SSH server
  > system/filesystem/local milestone/network milestone/sysconfig system/cryptosvc
network/nfs/cbd 0.1 dp NFS callback service
  > milestone/network milestone/sysconfig
network/nfs/status 0.1 dp NFS status monitor
  > milestone/network network/rpc/bind milestone/sysconfig
network/nfs/nlockmgr 0.1 dp NFS lock manager
  > milestone/network network/rpc/bind network/nfs/status milestone/sysconfig
network/nfs/mapid 0.1 dp NFS ID mapper
  > milestone/network milestone/sysconfig
network/nfs/client 0.1 dp NFS client
  > milestone/network network/nfs/nlockmgr network/rpc/bind milestone/name-services
  ? network/nfs/cbd network/nfs/mapid
milestone/multi-user 0.6 s multi-user milestone
  > milestone/single-user milestone/sysconfig milestone/name-services system/filesystem/local
  ? network/rpc/bind system/system-log
milestone/multi-user-server 0.7 s multi-user plus exports milestone
  > milestone/multi-user
system/pfexec 0.1 gp pfexec
  > system/filesystem/minimal system/manifest-import
system/zones 0.1 g Zones autoboot and graceful shutdown
  > milestone/multi-user-server
"""


def _fmris(text: str) -> tuple[str, ...]:
    return tuple(f"svc:/{word}" if ":" in word else f"svc:/{word}:default" for word in text.split())


def _read_table() -> tuple[Service, ...]:
    paragraphs: list[tuple[str, str, str]] = []
    for line in TABLE.strip().splitlines():
        head, requires, optional = ("", "", "") if line[0] != " " else paragraphs.pop()
        if line[0] != " ":
            head = line
        elif line.startswith("  >"):
            requires += line[3:]
        else:
            optional += line[3:]
        paragraphs.append((head, requires, optional))
    return tuple(_service(*paragraph) for paragraph in paragraphs)


def _service(head: str, requires: str, optional: str) -> Service:
    fmri, cost, flags, name = head.split(" ", 3)
    return Service(
        _fmris(fmri)[0],
        name,
        float(cost),
        _fmris(requires),
        _fmris(optional),
        enabled="d" not in flags,
        seeded="s" in flags,
        transient="p" not in flags,
        where="zone" if "z" in flags else "global" if "g" in flags else "both",
        flavour="openindiana" if "i" in flags else "",
    )


SERVICES = _read_table()


def known(*, zone: bool, flavour: str) -> dict[str, Service]:
    """The services such a place has, by FMRI."""
    place = "zone" if zone else "global"
    return {
        service.fmri: service
        for service in SERVICES
        if service.where in ("both", place) and service.flavour in ("", flavour)
    }


def match(pattern: str, fmris: Iterable[str]) -> list[str]:
    """FMRIs a pattern stands for: a glob, the trailing part of a service name, or an instance."""
    if any(sign in pattern for sign in "*?["):
        full = pattern if pattern.startswith(("svc:", "lrc:")) else f"svc:/{pattern}"
        return [fmri for fmri in fmris if fnmatch.fnmatchcase(fmri, full)]
    text = pattern.removeprefix("svc://localhost").removeprefix("svc:")
    if text != pattern:
        return [fmri for fmri in fmris if _is(fmri, text.lstrip("/"))]
    return [fmri for fmri in fmris if _ends(fmri, text)]


def _is(fmri: str, text: str) -> bool:
    name, _, instance = fmri.removeprefix("svc:/").rpartition(":")
    return text in (name, f"{name}:{instance}")


def _ends(fmri: str, text: str) -> bool:
    name, _, instance = fmri.removeprefix("svc:/").rpartition(":")
    wanted, _, wanted_instance = text.partition(":")
    if wanted_instance and wanted_instance != instance:
        return False
    if not wanted:
        return bool(wanted_instance)
    return f"/{name}".endswith(f"/{wanted}") or (not wanted_instance and wanted == instance)


def closure(milestone: str, services: dict[str, Service], enabled: Sequence[str]) -> set[str]:
    """What a milestone takes along: what it requires, and what it would like as far as that is enabled."""
    found: set[str] = set()
    pending = [milestone]
    while pending:
        service = services.get(pending.pop())
        if service is None or service.fmri in found:
            continue
        found.add(service.fmri)
        pending += [*service.requires, *(fmri for fmri in service.optional if fmri in enabled)]
    return found
