"""The in-zone set-up script: rendered from templates/configure and the host's account files, never stored."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from zonemgr.errors import CommandError, ZonemgrError
from zonemgr.host import accounts, system
from zonemgr.host.accounts import Accounts
from zonemgr.host.door import Host
from zonemgr.workflows import addresses

if TYPE_CHECKING:
    from jinja2 import Environment

    from zonemgr.model import Account, Group

WARNING = "setup: warning: "  # how a line for the operator begins on the script's stderr
REFUSED = "setup: refused: "
UNSAFE = ("\n", "\r", "\x00")
# Every zone has a root of its own. It takes nothing from the host's: whoever builds as root could read the hash of
# the host's root there, and all rights it has already.
ROOT = "root"
# Where people's directories are; one that is there and belongs to root was made for a mount or by hand.
HOMES = ("/export/home/", "/home/")
SUDOERS = ("/etc/sudoers.d", "/opt/local/etc/sudoers.d", "/opt/csw/etc/sudoers.d")


@dataclass(frozen=True)
class Script:
    """What the zone's shell is to read; `secrets` are the words in it that nobody may see."""

    text: str
    secrets: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    resolver: str = ""  # what the zone's resolv.conf is to hold

    def clean(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


@dataclass(frozen=True)
class NewUser:
    """A host account as it will stand in the zone."""

    name: str
    passwd: str
    shadow: str
    uid: int
    gid: int
    home: str
    shell: str
    make_home: bool
    claim_home: bool  # it is the user's, even if it is there already


@dataclass(frozen=True)
class NewGroup:
    name: str
    gid: int
    members: tuple[str, ...]


def accounts_there(host: Host, users: Sequence[str], groups: Sequence[str], elevated: Sequence[str]) -> None:
    """Raise NotThere for the first account the host does not have. The image may have those to be elevated."""
    users = [user for user in users if user != ROOT]
    if not (users or groups):
        return
    book = accounts.read(host)
    for user in users:
        book.user(user)
    for group in groups:
        book.group(group)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a set-up script is to do in a zone."""

    vnics: tuple[str, ...] = ()  # temporary links: nothing about them can be kept by ipadm
    links: tuple[str, ...] = ()  # links that persist
    kept: tuple[str, ...] = ()  # links that a zone which was set up before has already
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    elevated: tuple[str, ...] = ()
    mounted: tuple[
        str, ...
    ] = ()  # directories of the zone that do not belong to its root: a script leaves them alone
    autonfs: tuple[str, ...] = ()  # `PATH|HOST:/PATH` each
    tmpfs: str | None = (
        None  # the size of /tmp, as an option of mount_tmpfs takes it; empty: no limit; None: as it is
    )

    @property
    def change(self) -> bool:
        """Is there anything to do beside naming the zone?"""
        return self != Wanted(mounted=self.mounted, kept=self.kept)


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """What a script is to take away in a zone; raises, in the zone and before any change, for what is not there."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    elevated: tuple[str, ...] = ()
    autonfs: tuple[str, ...] = ()  # mount points
    links: tuple[str, ...] = ()
    mounted: tuple[str, ...] = ()  # as in Wanted

    def __bool__(self) -> bool:
        return bool(self.users or self.groups or self.elevated or self.autonfs or self.links)


def drop_script(dropped: Dropped, *, offline: bool = False) -> str:
    """The script for a running zone, or (`offline`) for a root in which no service runs."""
    return rendered(
        "configure/drop.sh.j2", users=list(dropped.users), groups=list(dropped.groups),
        elevated=list(dropped.elevated), autonfs_dropped=list(dropped.autonfs), links=list(dropped.links),
        sudoers=sudoers_directories(dropped.mounted), mounted=offline,
    )  # fmt: skip


def sudoers_directories(mounted: Sequence[str]) -> list[str]:
    """Where a sudo of a zone looks, but for those that are not the zone's own."""
    return [directory for directory in SUDOERS if not _covered(directory, mounted)]


def mounted_script(
    host: Host, zone: str, wanted: Wanted, dropped: Dropped | None = None, *, reset: bool
) -> Script:
    """The script for the maintenance root of a mounted zone; `reset` takes away what names the zone it came from.

    It sees the host's directories read-only and the zone's root at /a (templates/configure/mounted.sh.j2).
    """
    change = script(host, zone, wanted, offline=True) if wanted.change or not reset else Script("")
    drop = drop_script(dropped, offline=True) if dropped else ""
    text = rendered(
        "configure/mounted.sh.j2", zone=zone, reset=reset, change=drop + change.text,
        services=_services(change, wanted, reset=reset),
    )  # fmt: skip
    return replace(change, text=text)


# What a resolver needs, and NFS mounts by autofs: `svcadm enable -r` would find these by itself in a running zone.
DNS = ("svc:/network/dns/client:default",)
NFS = (
    "svc:/network/rpc/bind:default", "svc:/network/nfs/cbd:default", "svc:/network/nfs/mapid:default",
    "svc:/network/nfs/status:default", "svc:/network/nfs/nlockmgr:default", "svc:/network/nfs/client:default",
    "svc:/system/filesystem/autofs:default",
)  # fmt: skip
TRUE, FALSE = "setprop general/enabled = boolean: true", "setprop general/enabled = boolean: false"


def _services(change: Script, wanted: Wanted, *, reset: bool) -> list[tuple[str, str]]:
    """Changes to services that do not run: FMRI and subcommand of svccfg.

    ipmgmtd takes addresses over from the global zone (allowed-address) at its first boot only, and notes that it has
    done so; in a clone of a zone that was booted the note is wrong.
    """
    found = []
    if reset:
        found.append(("svc:/network/ip-interface-management:default", "delprop ipmgmtd/first_boot_done"))
        found.append(("svc:/network/ldap/client:default", FALSE))
    enabled = (*(DNS if change.resolver else ()), *(NFS if wanted.autonfs else ()))
    found += [(fmri, TRUE) for fmri in enabled]
    if reset or wanted.links:  # last: OmniOS has no such service
        found.append(("svc:/system/sysding:system", "setprop config/finished = boolean: false"))
    return found


def script(host: Host, zone: str, wanted: Wanted, *, offline: bool = False) -> Script:
    """The set-up script; it holds password hashes, so it goes to the zone on standard input only.

    `offline`: for a root in which no service runs.
    """
    vnics, links, users, groups, elevated = (
        wanted.vnics,
        wanted.links,
        wanted.users,
        wanted.groups,
        wanted.elevated,
    )
    copied = [user for user in users if user != ROOT]
    book, refused = _book(host, passwords=bool(copied)) if copied or groups else (Accounts((), ()), False)
    found = [book.user(user) for user in copied]
    resolver = (system.read_file(host, "/etc/resolv.conf") or "") if vnics or links else ""
    text = (
        _templates()
        .get_template("configure/setup.sh.j2")
        .render(
            zone=zone,
            mounted=offline,
            sudoers=sudoers_directories(wanted.mounted),
            tmpfs=wanted.tmpfs,
            vnics=[addresses.recall(word) for word in vnics],
            links=list(links),
            resolver=resolver.strip(),
            sysding=_templates().get_template("sysding/sysding.conf.j2").render(links=list(links)).strip(),
            users=[_new_user(user, wanted.mounted) for user in found],
            groups=_new_groups(book, found, groups),
            elevated=[user for user in elevated if user != ROOT],
            known=_known(host, elevated, copied),
            autonfs=[tuple(word.split("|", 1)) for word in wanted.autonfs],
            kept=list(wanted.kept),
        )
    )
    # Words like NP and *LK* are no secrets, and stand in many a message.
    secrets = tuple(user.password for user in found if len(user.password) > 8)
    told = [f"{ROOT} is in every zone already: nothing of the host's comes over"] if ROOT in users else []
    told += _without_group(book, found)
    return Script(text, secrets, (*told, *_without_hash(found, refused)), resolver.strip())


def _known(host: Host, elevated: Sequence[str], copied: Sequence[str]) -> set[str]:
    """Those to be elevated whom the host knows: an image may get them later. Anybody else is a slip of the pen."""
    others = set(elevated) - {ROOT, *copied}
    there = {user.name for user in accounts.read(host).users} if others else set()
    return {*copied, *(others & there)}


def rendered(template: str, **values: object) -> str:
    """Another script from the templates."""
    return str(_templates().get_template(template).render(**values))


def _book(host: Host, *, passwords: bool) -> tuple[Accounts, bool]:
    """The accounts, and whether the hashes could not be read: then they are without."""
    try:
        return accounts.read(host, passwords=passwords), False
    except CommandError:
        if not passwords:
            raise
        return accounts.read(host), True


def _without_hash(users: Iterable[Account], refused: bool) -> list[str]:
    names = [user.name for user in users if not user.password]
    if not names:
        return []
    why = (
        "their hashes could not be read (that takes root, or Primary Administrator)"
        if refused
        else "there is none"
    )
    return [f"no password comes over for {', '.join(names)}: {why}; set to NP, so su and ssh keys work"]


def _without_group(book: Accounts, users: Iterable[Account]) -> list[str]:
    there = {group.gid for group in book.groups}
    return [
        f"the host has no group {user.gid}, which is {user.name}'s own, so none comes over"
        for user in users
        if user.gid not in there
    ]


def _new_user(user: Account, mounted: Sequence[str]) -> NewUser:
    home = user.home
    if home.startswith("/home/") and not _covered(home, mounted):
        # autofs owns /home once the zone is multi-user (docs/illumos.md: Accounts); the real directories live here.
        home = "/export" + home
    passwd = f"{user.name}:x:{user.uid}:{user.gid}:{user.gecos}:{home}:{user.shell}"
    shadow = f"{user.name}:{user.password or 'NP'}:::::::"  # nine fields
    own = home.strip("/") != "" and not _covered(home, mounted)
    above_a_mount = any(mount.startswith(f"{home}/") for mount in mounted)  # zoneadmd made it, as root
    return NewUser(
        user.name, _one_line(passwd), _one_line(shadow), user.uid, user.gid, home, user.shell,
        make_home=own, claim_home=own and (above_a_mount or home.startswith(HOMES)),
    )  # fmt: skip


def _new_groups(book: Accounts, users: Sequence[Account], named: Sequence[str]) -> list[NewGroup]:
    """Named groups, and the primary and other groups of the copied users; members are those users only."""
    wanted: dict[str, Group] = {name: book.group(name) for name in named}
    for user in users:
        for name in user.groups:
            wanted.setdefault(name, book.group(name))
    copied = {user.name for user in users}
    return [
        NewGroup(name, group.gid, tuple(member for member in group.members if member in copied))
        for name, group in wanted.items()
    ]


def _covered(path: str, mounted: Sequence[str]) -> bool:
    """Does a lofs mount bring this directory?"""
    return any(path == mount or path.startswith(f"{mount}/") for mount in mounted)


def _one_line(text: str) -> str:
    if any(mark in text for mark in UNSAFE) or text == "ZONEMGR_END":
        raise ZonemgrError("an account of the host has a line break in it", hint="see: pwck")
    return text


def refusal(stderr: str) -> str:
    """Why a script that takes things away has refused to begin; empty when it did not."""
    said = [line.removeprefix(REFUSED) for line in stderr.splitlines() if line.startswith(REFUSED)]
    return said[-1] if said else ""


def hint(stderr: str) -> str | None:
    """What to try when the script has given up."""
    if "in the zone to elevate" in stderr:
        return "copy the account as well: --copy-users"
    return None


def sudoers_name(user: str) -> str:
    """sudo passes over names with a dot, and no two users may share a file: what is not a letter or digit is hex."""
    return "zonemgr-" + re.sub(r"[^A-Za-z0-9-]", lambda found: f"_{ord(found[0]):02x}", user)


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from zonemgr import data

    found = Environment(
        loader=FileSystemLoader(str(data.templates())),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    found.filters["q"] = shlex.quote
    found.filters["sudoers"] = sudoers_name
    return found
