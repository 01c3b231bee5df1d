"""system-unconfigure: what the IPS brands reset in the root of a clone (facts sheet 3.3).

The script runs in the zone's maintenance environment, so no symbolic link in the root leads out of it; here a link
that would makes the run fail, as a file that is missing does.

    fault.unconfigure = fail     the script fails before it has changed anything
    fault.unconfigure = skip     it changes nothing and succeeds (as in the recordings)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zonemgr.lab import zoneroot
from zonemgr.lab.call import Call
from zonemgr.lab.place import inside, write
from zonemgr.lab.world import LabError, World


@dataclass(frozen=True)
class Altroot:
    """The zone's root, as /a of its maintenance environment."""

    root: Path
    world: World

    def has(self, name: str) -> bool:
        return (self.root / name).exists()

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        write(self.root, name, text, mode)

    def edit(self, name: str, pattern: str, replacement: str) -> None:
        """sed -i; raises OSError when the file is missing."""
        path = inside(self.root, name)
        text = re.sub(pattern, replacement, path.read_text(errors="surrogateescape"), flags=re.MULTILINE)
        path.write_text(text, errors="surrogateescape")

    def remove(self, pattern: str) -> None:
        for path in self._matching(pattern):
            path.unlink()

    def empty(self, pattern: str) -> None:
        for path in self._matching(pattern):
            if path.is_file():
                inside(self.root, str(path.relative_to(self.root))).write_text("")

    def _matching(self, pattern: str) -> list[Path]:
        """Entries of a directory that is really below the root, though it may be missing."""
        folder, _, name = pattern.rpartition("/")
        directory = inside(self.root, folder)
        return sorted(directory.glob(name)) if directory.is_dir() else []


def system_unconfigure(call: Call, zone: str, zonepath: str) -> bool:
    """Run it on the root of a mounted zone; False when it failed, with what it had done by then done."""
    fault = call.world.get("fault.unconfigure")
    if fault in ("fail", "skip"):
        return fault == "skip"
    altroot = Altroot(call.world.path(f"{zonepath}/root"), call.world)
    try:
        for step in STEPS:
            step(altroot)
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


def _time_zone(a: Altroot) -> None:
    a.edit("etc/default/init", r"^TZ.*", "TZ=UTC")


def _root_password(a: Altroot) -> None:
    blank = zoneroot.BLANK if a.world.omnios else ""
    path = inside(a.root, "etc/shadow")
    text = re.sub(
        r"^root:[^:]*:", lambda _: f"root:{blank}:", path.read_text(errors="surrogateescape"), flags=re.M
    )
    a.write("etc/shadow", text, path.stat().st_mode & 0o777)


def _logs(a: Altroot) -> None:
    a.remove("var/adm/messages.*")
    a.remove("var/log/syslog.*")
    for name in ("var/adm/messages", "var/log/syslog"):
        inside(a.root, name).write_text("")


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
    for name, (mode, text) in zoneroot.host_keys().items():
        a.write(f"etc/ssh/{name}", text, mode)


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
