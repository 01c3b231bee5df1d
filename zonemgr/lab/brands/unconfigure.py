"""system-unconfigure: what the IPS brands reset in the root of a clone (pkg5, src/brand/system-unconfigure).

The script runs as root in the zone's maintenance environment, with the zone's own lofs mounts in place below /a: what
it writes below one of them it writes into the host's directory. No symbolic link in the root leads out of the
environment; here a link that would makes the run fail, as a file that is missing does.

OpenIndiana's script makes a DSA host key and gives up when that fails. OpenSSH 9.8 and later have no DSA, so there
every run fails, after all that comes before the ssh keys is done; `sysding` then keeps its state.

    openssh.dsa = on             ssh-keygen still makes DSA keys (OpenSSH before 9.8)
    fault.unconfigure = fail     the script fails before it has changed anything
    fault.unconfigure = skip     it changes nothing and succeeds (as in the recordings)
    fault.unconfigure = STEP     it fails at this step: hosts, vfstab, networking, time_zone, root_password, logs,
                                 ldap, ssh, sysding
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zonemgr.lab import zoneroot, zonestore
from zonemgr.lab.call import Call
from zonemgr.lab.place import inside, write
from zonemgr.lab.world import LabError, World


@dataclass(frozen=True)
class Altroot:
    """The zone's root, as /a of its maintenance environment, with what is mounted in it."""

    root: Path
    world: World
    mounts: tuple[tuple[str, Path], ...] = ()  # directory in the zone, directory of the host; innermost first

    def at(self, name: str) -> Path:
        """A file below /a, or below the directory of the host that is mounted there."""
        for directory, shown in self.mounts:
            if f"/{name}".startswith(f"{directory}/"):
                return inside(shown, f"/{name}".removeprefix(f"{directory}/"))
            if f"/{name}" == directory:
                return shown
        return inside(self.root, name)

    def has(self, name: str) -> bool:
        return self.at(name).exists()

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.at(name)
        write(path.parent, path.name, text, mode)

    def edit(self, name: str, pattern: str, replacement: str) -> None:
        """sed -i; raises OSError when the file is missing."""
        path = self.at(name)
        text = re.sub(pattern, replacement, path.read_text(errors="surrogateescape"), flags=re.MULTILINE)
        path.write_text(text, errors="surrogateescape")

    def remove(self, pattern: str) -> None:
        for path in self._matching(pattern):
            path.unlink()

    def empty(self, pattern: str) -> None:
        for path in self._matching(pattern):
            if path.is_file():
                inside(path.parent, path.name).write_text("")

    def _matching(self, pattern: str) -> list[Path]:
        """Entries of a directory that is really below the root, though it may be missing."""
        folder, _, name = pattern.rpartition("/")
        directory = self.at(folder)
        return sorted(directory.glob(name)) if directory.is_dir() else []


def altroot(world: World, zone: str, zonepath: str) -> Altroot:
    """The root of a zone with its lofs mounts; other types are not mounted, or hold nothing of the host's."""
    found = zonestore.load(world, zone).fs
    lofs = [(fs.dir, world.path(fs.special)) for fs in found if fs.type == "lofs"]
    lofs.sort(key=lambda pair: len(pair[0]), reverse=True)
    return Altroot(world.path(f"{zonepath}/root"), world, tuple(lofs))


def system_unconfigure(call: Call, zone: str, zonepath: str) -> bool:
    """Run it on the root of a mounted zone; False when it failed, with what it had done by then done."""
    fault = call.world.get("fault.unconfigure")
    if fault in ("fail", "skip"):
        return fault == "skip"
    try:
        where = altroot(call.world, zone, zonepath)
        for step in STEPS:
            if step.__name__ == f"_{fault}":
                return False
            step(where)
    except (OSError, LabError):
        return False
    return True


def _hosts(a: Altroot) -> None:
    if a.has("etc/inet/hosts"):
        a.write("etc/inet/hosts", zoneroot.HOSTS)


def _vfstab(a: Altroot) -> None:
    if not a.has("etc"):
        raise FileNotFoundError("etc")
    a.write("etc/vfstab", zoneroot.VFSTAB)


def _networking(a: Altroot) -> None:
    names = ("hostname.*", "defaultdomain", "defaultrouter", "nodename", "resolv.conf")
    for name in (*names, "inet/netmasks", "inet/static_routes"):
        a.remove(f"etc/{name}")
    a.empty("etc/ipadm/*.conf")
    a.empty("etc/dladm/*.conf")
    if a.world.omnios:
        from zonemgr.lab import smf

        smf.remove_property(a.root, smf.IP_MANAGEMENT, smf.FIRST_BOOT_DONE)


def _time_zone(a: Altroot) -> None:
    a.edit("etc/default/init", r"^TZ.*", "TZ=UTC")


def _root_password(a: Altroot) -> None:
    blank = zoneroot.BLANK if a.world.omnios else ""
    path = a.at("etc/shadow")
    text = re.sub(
        r"^root:[^:]*:", lambda _: f"root:{blank}:", path.read_text(errors="surrogateescape"), flags=re.M
    )
    a.write("etc/shadow", text, path.stat().st_mode & 0o777)


def _logs(a: Altroot) -> None:
    a.remove("var/adm/messages.*")
    a.remove("var/log/syslog.*")
    for name in ("var/adm/messages", "var/log/syslog"):
        a.at(name).write_text("")


def _ldap(a: Altroot) -> None:
    for name in ("ldap_client_cache", "ldap_client_cred", "ldap_client_file", "cachemgr.log"):
        a.remove(f"var/ldap/{name}")


def _ssh(a: Altroot) -> None:
    if not a.has("etc/ssh"):
        if a.world.omnios:
            return
        raise FileNotFoundError("etc/ssh")
    if a.has("etc/ssh/sshd_config"):
        a.edit("etc/ssh/sshd_config", r"^PermitRootLogin.*$", "PermitRootLogin no")
    whole = a.world.omnios or a.world.get("openssh.dsa") == "on"
    for name, (mode, text) in zoneroot.host_keys().items():
        if whole or "_rsa_" in name:
            a.write(f"etc/ssh/{name}", text, mode)
    if not whole:
        raise LabError("ssh-keygen: unknown key type dsa")


def _sysding(a: Altroot) -> None:
    """OpenIndiana's sysding runs again at the next boot."""
    if not a.world.omnios:
        from zonemgr.lab import smf

        smf.set_property(a.root, "svc:/system/sysding:system", "config/finished", "false", type="boolean")


STEPS: tuple[Callable[[Altroot], None], ...] = (
    _hosts,
    _vfstab,
    _networking,
    _time_zone,
    _root_password,
    _logs,
    _ldap,
    _ssh,
    _sysding,
)
