"""autofs and NFS in a zone: /etc/auto_master, direct maps, `automount`, and the servers of the lab's network.

A remote NFS server is a folder of the lab: LAB/nfs/HOST/PATH is what HOST exports as /PATH. A host without a folder
is not known, a path that is not there is not exported, a folder that cannot be written to by all is what it is.

Emulated are direct maps (`/-` in the master map, of entries `/point [-options] host:/path`) and `mount -F nfs`. What
illumos mounts when somebody looks at the point is mounted here when `automount` runs or the service starts: the only
difference to be seen is in mnttab. A point whose server or export is missing has no directory, so that it fails with
`No such file or directory` as it does there, and the reason stands in /var/adm/messages. Indirect maps (/home, /net)
mount nothing; -fstype=lofs, replicated servers, map variables and executable maps are refused.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from zonemgr.lab import kernel, options, place
from zonemgr.lab.call import Call
from zonemgr.lab.world import LabError, World
from zonemgr.lab.zonefs import Entry

SERVICE = "svc:/system/filesystem/autofs:default"
SERVERS = "/.lab/nfs"  # in a cell
FACT = "autofs"  # fact, by zone: what is mounted for this boot
USAGE = "automount: Usage: automount  [ -v ]  [ -t duration ]"
ENTRY = re.compile(r"(/\S*)\s+(?:-(\S+)\s+)?(\S+)\s*$")
OPTIONS = frozenset(
    (
        *("rw", "ro", "hard", "soft", "intr", "nointr", "suid", "nosuid", "devices", "nodevices", "bg", "fg"),
        *(
            "exec",
            "noexec",
            "xattr",
            "noxattr",
            "quota",
            "noquota",
            "vers",
            "proto",
            "rsize",
            "wsize",
            "retry",
        ),
        *("timeo", "retrans", "sec", "actimeo", "noac", "setuid", "nosetuid", "nobrowse", "browse"),
    )
)


@dataclass(frozen=True)
class Nfs:
    point: str
    host: str
    path: str
    options: str = ""
    automatic: bool = True

    @property
    def special(self) -> str:
        return f"{self.host}:{self.path}"

    def show(self) -> None:
        """In a cell's mount namespace: mount it. Raises OSError."""
        from zonemgr.lab import namespaces as ns
        from zonemgr.lab import rootfs

        if os.path.realpath(self.point) != os.path.normpath(self.point):
            raise OSError(20, "Not a directory")
        rootfs.make_point(self.point, directory=True)
        ns.mount(SERVERS + "/" + self.host + os.path.normpath(self.path), self.point, flags=ns.BIND)
        if "ro" in self.options.split(","):
            rootfs.remount(self.point, ns.RDONLY)


# -- in the zone -------------------------------------------------------------------------------------------


def command(call: Call) -> int:
    """automount(8)."""
    try:
        found, words = options.parse(call.argv[1:], "mM:D:f:t:v")
    except options.BadOption:
        return call.fail(USAGE)
    given = dict(found)
    for letter in "mMD":
        if letter in given:
            call.err(f"automount: Warning: -{letter} option not supported\n")
    if "f" in given:
        return call.fail(f"automount: Error: -f option no longer supported\n{USAGE}")
    if words:
        return call.fail(f"automount: {words[0]}: command line mountpoints/maps no longer supported\n{USAGE}")
    if not call.privileged:
        return call.fail("automount: must be root to use automount")
    return kernel.ask(call, "lab-autofs", "automount", "-v" if "v" in given else "")


# -- outside: maps -----------------------------------------------------------------------------------------


def configured(root: Path) -> bool:
    """Has this root a direct map in its master map? (Most have not: then nothing is asked any further.)"""
    return any(line.split()[0] == "/-" for line in _lines(root, "auto_master"))


def _lines(root: Path, name: str) -> list[str]:
    try:
        text = place.read(root, f"etc/{name}") or ""
    except LabError:  # a symbolic link, which the lab does not follow out of a zone
        return []
    stripped = (line.partition("#")[0].strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in stripped if line]


def wanted(root: Path) -> list[Nfs]:
    """All entries of all direct maps; raises LabError for what is not emulated."""
    found = []
    for line in _lines(root, "auto_master"):
        words = line.split()
        if words[0] == "/-" and len(words) > 1:
            shared = words[2].lstrip("-") if len(words) > 2 else ""
            found += _direct(root, words[1].removeprefix("/etc/"), shared)
    return found


def _direct(root: Path, name: str, shared: str) -> list[Nfs]:
    if "/" in name:
        raise LabError(f"an automount map outside of /etc ({name}) is not emulated")
    try:
        if (root / "etc" / name).stat().st_mode & 0o111:
            raise LabError(f"the executable automount map /etc/{name} is not emulated")
    except OSError:
        return []
    return [_entry(line, shared) for line in _lines(root, name) if not line.startswith("+")]


def _entry(line: str, shared: str) -> Nfs:
    match = ENTRY.match(line)
    if match is None or re.search(r"[$&*,(]", match[3]):
        raise LabError(f"the automount map entry {line!r} is not emulated")
    how = match[2] or shared
    host, colon, path = match[3].rpartition(":")
    for option in how.split(",") if how else ():
        if option.partition("=")[0] not in OPTIONS:
            raise LabError(f"the automount option {option} is not emulated")
    if not colon or not host or not path.startswith("/"):
        raise LabError(f"the automount location {match[3]} is not emulated")
    return Nfs(match[1].rstrip("/"), host, path, how)


# -- outside: mounting -------------------------------------------------------------------------------------


def answer(call: Call) -> int:
    """lab-autofs automount [-v], from inside."""
    world, zone = call.world, call.zone or ""
    if call.argv[1] == "settle":  # which has been done
        return 0
    if not call.privileged:
        return call.fail("automount: must be root to use automount")
    if not is_up(world, zone):
        return call.fail("automount: svc:/system/filesystem/autofs is not online")
    said = refresh(world, zone)
    if call.argv[2] == "-v":
        call.err("".join(f"automount: {line}\n" for line in said or ["no mounts"]))
    return 0


def is_up(world: World, zone: str) -> bool:
    from zonemgr.lab import smf

    where = place.of_zone(world, zone)
    return where is not None and smf.state(where, SERVICE) in ("online", "degraded")


def settle(world: World, zone: str, root: Path) -> None:
    """Do what the service did since this was last looked at: it came up, was restarted, or went down."""
    mark, mounted = _state(world, zone)
    if mark and not configured(root) and not mounted:
        return
    if not is_up(world, zone):
        for each in [each for each in mounted if each.automatic]:
            _unmount(world, zone, each)
        kept = [each for each in mounted if not each.automatic]
        if mounted != kept:
            _remember(world, zone, "", kept)
        return
    since = _started(world, zone)
    if mark != since:
        refresh(world, zone, since)


def _started(world: World, zone: str) -> str:
    from zonemgr.lab.smf import repository

    where = place.of_zone(world, zone)
    assert where is not None
    return f"{where.booted!r} {repository.at(where).now(SERVICE).since!r}"


def after_svcadm(call: Call) -> None:
    """In a zone: what svcadm has changed may concern this service, and mounts must be there at once."""
    if configured(call.root or Path("/")) and Path(kernel.FOLDER, kernel.DOOR).exists():
        kernel.ask(call, "lab-autofs", "settle")


def refresh(world: World, zone: str, mark: str = "") -> list[str]:
    """Mount what the maps have and is not mounted, unmount what they no longer have; lines for -v."""
    root = _root(world, zone)
    said: list[str] = []
    before, mounted = _state(world, zone)
    want = wanted(root) if configured(root) else []
    for old in [each for each in mounted if each.automatic and each not in want]:
        _unmount(world, zone, old)
        mounted.remove(old)
        said.append(f"{old.point} unmounted")
    for new in want:
        if new in mounted:
            continue
        reason = _trouble(world, root, new) or attach(world, zone, new)
        if reason:
            _log(world, root, new, reason)
        else:
            mounted.append(new)
            said.append(f"{new.point} mounted")
    _remember(world, zone, mark or before, mounted)
    return said


def _trouble(world: World, root: Path, new: Nfs) -> str:
    point = root / new.point.lstrip("/")
    if point.is_symlink() or (point.exists() and not point.is_dir()):
        return "Not a directory"
    return exported(world, new)


def exported(world: World, new: Nfs) -> str:
    """Why a server does not give this away; "" when it does."""
    server = world.dir / "nfs" / new.host
    if "/" in new.host or new.host in ("", ".", "..") or not server.is_dir():
        return "Unknown host"
    there = server / os.path.normpath(new.path).lstrip("/")
    if not there.is_dir() or not os.path.realpath(there).startswith(os.path.realpath(server)):
        return "No such file or directory"
    return ""


def _log(world: World, root: Path, new: Nfs, reason: str) -> None:
    text = f"automountd: mount of {new.special} on {new.point}: {reason}\n"
    if reason == "Unknown host":
        text = f"automountd: server {new.host} not responding: Unknown host\n"
    stamp = time.strftime("%b %e %H:%M:%S", time.localtime(world.now()))
    path = place.inside(root, "var/adm/messages")
    with path.open("a") as log:
        log.write(f"{stamp} localhost {text}")


def attach(world: World, zone: str, new: Nfs) -> str:
    """Show the server's folder in the zone's cell; errno's text when that fails, "" when done."""
    return _in_cell(world, zone, new.show)


def _unmount(world: World, zone: str, old: Nfs) -> str:
    from zonemgr.lab import namespaces as ns

    return _in_cell(world, zone, lambda: ns.unmount(old.point))


def detach(world: World, zone: str, point: str) -> str | None:
    """umount(8) of an NFS mount; None when there is none, else errno's text or ""."""
    mark, mounted = _state(world, zone)
    old = next((each for each in mounted if each.point == point or each.special == point), None)
    if old is None:
        return None
    reason = _unmount(world, zone, old)
    if not reason:
        _remember(world, zone, mark, [each for each in mounted if each is not old])
    return reason


def by_hand(world: World, zone: str, new: Nfs) -> str:
    """mount -F nfs."""
    reason = attach(world, zone, new)
    if not reason:
        mark, mounted = _state(world, zone)
        _remember(world, zone, mark, [*mounted, new])
    return reason


def point_of(call: Call, point: str) -> Path:
    """Where a mount point in the caller's zone is on this machine."""
    from zonemgr.lab.zfs.zones import view

    seen = view(call)
    assert seen is not None
    return seen.resolved(call.world.host, point)


def _in_cell(world: World, zone: str, body: object) -> str:
    """Run something in a zone's mount namespace, with the rights of whoever made the zone."""
    from zonemgr.lab import cell

    assert callable(body)
    # A zone without a cell of its own has one for each command; the next ones are given these mounts.
    reasons = [cell.with_mounts(first, body) for first in cell.firsts(world, zone)]
    return next((reason for reason in reasons if reason), "")


def _root(world: World, zone: str) -> Path:
    row = world.db.execute("select root from kernel_zones where name = ?", (zone,)).fetchone()
    return world.path(row["root"])


# -- what is mounted ---------------------------------------------------------------------------------------


def _state(world: World, zone: str) -> tuple[str, list[Nfs]]:
    text = world.get(f"{FACT}.{zone}")
    if not text:
        return "", []
    mark, mounted = json.loads(text)
    return mark, [Nfs(**each) for each in mounted]


def _remember(world: World, zone: str, mark: str, mounted: list[Nfs]) -> None:
    world.put(f"{FACT}.{zone}", json.dumps([mark, [vars(each) for each in mounted]]))


def mounted_in(world: World, zone: str) -> list[Nfs]:
    return _state(world, zone)[1]


def entries(world: World, zone: str) -> list[Entry]:
    return [
        Entry(each.special, each.point, "nfs", each.options or "rw,xattr", 0)
        for each in mounted_in(world, zone)
    ]
