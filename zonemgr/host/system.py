"""What kind of host this is: global zone, who we are there and what that allows, boot environment, paths."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable

from zonemgr.errors import CommandNotFound, Unsupported, ZonemgrError
from zonemgr.host.door import NOT_ILLUMOS, Host
from zonemgr.model import BootEnvironment, Identity

# The profile that lets pfexec run a tool with the privilege it needs (docs/illumos.md: zlogin and rights); any one
# of a row
# will do.
PROFILES: dict[str, tuple[str, ...]] = {
    "zoneadm": ("Zone Management",),
    "zlogin": ("Zone Management",),
    "zonecfg": ("Zone Security",),
    "zfs": ("ZFS File System Management",),
    "dladm": ("Network Link Security", "Network Management"),
    "pkg": ("Software Installation",),
}
# zoneadm also needs the authorisations solaris.zone.*, which only this profile brings.
ALSO = {"zoneadm": "Zone Security", "zlogin": "Zone Security"}
EVERYTHING = "Primary Administrator"
# Without it nothing is refused, but zoneadm, zonecfg and pkg, which pfexec makes root's, cannot be ended: /usr/bin/kill
# with proc_owner (gate, lib/libsecdb/exec_attr.txt; os/cred.c: hasprocperm). zonemgr then waits for them.
ENDING = "Process Management"


# Why zonemgr cannot work on a distribution, by the word that its /etc/release has.
UNSUPPORTED = {
    "SmartOS": "it has no IPS packages, vmadm owns its zones, and its root is read-only",
    "Tribblix": "the brands of its zones have no clone -s and -X, and its packages are SVR4's, not IPS",
}


def check_distribution(host: Host) -> None:
    """Raise Unsupported, with the reason, on a distribution whose zones zonemgr cannot make."""
    told = read_file(host, "/etc/release") or ""
    for name, why in UNSUPPORTED.items():
        if name in told:
            raise Unsupported(
                f"zonemgr does not work on {name}: {why}", hint="it works on OpenIndiana and OmniOS"
            )


def in_global_zone(host: Host) -> bool:
    """Raises CommandNotFound where there is no zonename: not an illumos host."""
    try:
        return host.ask("zonename").stdout.strip() == "global"
    except CommandNotFound as missing:
        raise CommandNotFound(
            "this is not an illumos host: it has no zonename", hint=NOT_ILLUMOS
        ) from missing


def identity(host: Host) -> Identity:
    """Who the door's commands run as, without elevation."""
    name = host.ask("id", "-u", "-n").stdout.strip()
    return Identity(name, int(host.ask("id", "-u").stdout))


def profiles(host: Host, user: str = "") -> list[str]:
    """A user's (the caller's) rights profiles, in order. A user with none at all is told so with exit 1."""
    found = host.ask("profiles", *([user] if user else []), ok=(0, 1))
    if found.exit_code and "No profiles" not in found.stderr:
        raise found.error()
    return [line.strip() for line in found.stdout.splitlines() if line.strip() and not line.endswith(":")]


def missing_profiles(have: Iterable[str], tools: Iterable[str]) -> list[str]:
    """Which profiles a job with these tools lacks. pfexec itself never complains: it runs without
    privilege.
    """
    owned = set(have)
    if EVERYTHING in owned:
        return []
    wanted = [PROFILES[tool] for tool in tools if tool in PROFILES]
    wanted += [(ALSO[tool],) for tool in tools if tool in ALSO]
    lacking = [choice[0] for choice in wanted if not owned.intersection(choice)]
    return list(dict.fromkeys(lacking))


def lacking(have: Iterable[str]) -> list[str]:
    """Which of the profiles for all that zonemgr does are not among these."""
    owned = set(have)
    return [] if owned & {EVERYTHING} else [*missing_profiles(owned, PROFILES), *({ENDING} - owned)]


def boot_environments(host: Host) -> list[BootEnvironment]:
    """All boot environments of the host (docs/illumos.md: ZFS): records `name;uuid;active;mountpoint;…`."""
    rows = [line.split(";") for line in host.ask("beadm", "list", "-H").stdout.splitlines() if line]
    return [BootEnvironment(row[0], row[1], "N" in row[2], "R" in row[2]) for row in rows if len(row) > 3]


def current_be(host: Host) -> BootEnvironment:
    """The one that is booted now; its uuid is on the active root dataset of every zone of the ipkg family."""
    booted = [found for found in boot_environments(host) if found.booted]
    if len(booted) != 1:
        raise ZonemgrError("beadm does not tell which boot environment is booted", hint="see: beadm list")
    return booted[0]


def elevation(setting: str) -> tuple[str, ...]:
    """The words before a change for the setting host.elevate: `auto` is pfexec for all but root."""
    if setting == "auto":
        return () if os.geteuid() == 0 else ("pfexec",)
    return tuple(shlex.split(setting))


def read_file(host: Host, path: str, *, elevated: bool = False) -> str | None:
    """The text of a file of the global zone, None when it does not exist. Never for a path below a zone's
    root.
    """
    found = host.ask("cat", path, ok=(0, 1, 2), elevated=elevated)
    if found.exit_code == 0:
        return found.stdout
    if "No such file" in found.stderr:
        return None
    raise found.error()


def directory_exists(host: Host, path: str) -> bool:
    """Is there a directory of the global zone, as far as the caller may see?"""
    return host.ask("test", "-d", path, ok=(0, 1)).exit_code == 0


def real_path(host: Host, path: str) -> str:
    """A path of the global zone without symbolic links; the path as it is where readlink cannot tell."""
    try:
        found = host.ask("readlink", "-f", path, ok=(0, 1, 2)).stdout.rstrip("\n")
    except CommandNotFound:
        return path
    return found if found.startswith("/") else path


def path_exists(host: Host, path: str) -> bool:
    return host.ask("test", "-e", path, ok=(0, 1)).exit_code == 0


def make_directory(host: Host, path: str) -> None:
    host.change("mkdir", path)


def remove_directory(host: Host, path: str) -> bool:
    """Remove an empty directory; False when it is not there, or not empty."""
    return host.change("rmdir", path, ok=(0, 1, 2)).exit_code == 0


def zfs_mounts(host: Host) -> dict[str, str]:
    """Dataset by mount point, of all that ZFS has mounted now, legacy mounts too; where two are, the upper one."""
    rows = (line.split(None, 1) for line in host.ask("zfs", "mount").stdout.splitlines())
    return {row[1]: row[0] for row in rows if len(row) == 2}
