"""Where in a zone something may be mounted, and which directories of the host a zone may have.

A mount point of an early file system hides what the zone has there from the first moment of its boot. Over a
directory that the system itself uses that is hardly ever meant, so it must be asked for (`--force-mount`).
"""

from __future__ import annotations

from collections.abc import Sequence

from zonemgr.errors import UsageError, ZonemgrError
from zonemgr.host import system, zoneadm
from zonemgr.host.door import Host

# What the system needs as a whole: nothing is mounted on it or below it unless it is asked for.
TREES = (
    "/bin", "/boot", "/dev", "/devices", "/etc", "/kernel", "/lib", "/platform", "/proc", "/sbin", "/system",
    "/usr/kernel", "/var/pkg", "/var/sadm", "/var/svc",
)  # fmt: skip
# What the system has in these would be hidden; below them there is room (/usr/local, /opt/x, /var/tmp/x).
DIRECTORIES = (
    "/export", "/home", "/net", "/opt", "/root", "/usr", "/usr/bin", "/usr/gnu", "/usr/include", "/usr/lib",
    "/usr/sbin", "/usr/share", "/usr/xpg4", "/var", "/var/adm", "/var/cron", "/var/db", "/var/dhcp", "/var/lib",
    "/var/log", "/var/mail", "/var/run", "/var/spool", "/var/spool/cron", "/var/tmp",
)  # fmt: skip


def own_place(inside: str, text: str, example: str, *, force: bool = False) -> str:
    """A place in the zone where something may be mounted; `text` is what was asked for, `example` something better.

    Raises UsageError. With `force` only / and /tmp are refused: they cannot work.
    """
    if inside == "/":
        raise UsageError(f"{text!r} would hide the zone's own root", hint=f"mount below it: {example}")
    if inside == "/tmp" or inside.startswith("/tmp/"):
        raise UsageError(
            f"{text!r} would be hidden: the zone mounts a file system of its own on /tmp when it boots",
            hint=f"mount elsewhere: {example}",
        )
    what = hidden_by(inside)
    if what and not force:
        raise UsageError(
            f"{text!r} would hide {what}",
            hint=f"mount elsewhere: {example}; or, if that is meant: --force-mount",
        )
    return inside


def hidden_by(inside: str) -> str:
    """What of the system a mount on this directory hides, in words; empty for a place that is free."""
    for tree in TREES:
        if inside == tree or inside.startswith(f"{tree}/"):
            return f"the zone's own {inside}, which its system uses"
    if inside in DIRECTORIES:
        return f"all that the zone has in {inside}"
    return ""


def check_source(host: Host, directory: str, text: str, vital: Sequence[str]) -> None:
    """Raise ZonemgrError when a zone must not be able to write to a directory of the host.

    `vital`: directories such as zonepaths. What contains one of them, or lies below it, is refused as well, also by
    way of a symbolic link.
    """
    real = system.real_path(host, directory)
    for path in dict.fromkeys((directory, real)):
        reason = _vital(path, vital)
        if reason:
            raise ZonemgrError(
                f"{directory} of the host is {reason}, and root in the zone could change all of it",
                hint=f"mount a directory below it, or let it be read only: --mount-lofs '{text}|ro'",
            )


def _vital(path: str, vital: Sequence[str]) -> str:
    if path == "/":
        return "its root"
    for one in vital:
        if path == one or path.startswith(f"{one}/"):
            return f"in {one}, where zones or records of zonemgr are"
        if one.startswith(f"{path}/"):
            return f"above {one}, where zones or records of zonemgr are"
    return ""


def vital(host: Host, mountpoints: Sequence[str], state_directory: str) -> list[str]:
    """The directories that no zone may write to: homes of zones, all zonepaths, and where runs are recorded."""
    paths = [row.path for row in zoneadm.list_zones(host) if not row.is_global]
    return [path.rstrip("/") for path in (*mountpoints, state_directory, *paths) if path.strip("/")]
