"""The in-zone set-up script: rendered from templates/configure and the host's account files, never stored."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
UNSAFE = ("\n", "\r", "\x00")
# Every zone has a root of its own. It takes nothing from the host's: whoever builds as root could read the hash of
# the host's root there, and all rights it has already.
ROOT = "root"
# Where people's directories are; one that is there and belongs to root was made for a mount or by hand.
HOMES = ("/export/home/", "/home/")


@dataclass(frozen=True)
class Script:
    """What the zone's shell is to read; `secrets` are the words in it that nobody may see."""

    text: str
    secrets: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

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


def script(
    host: Host, zone: str, *, vnics: Sequence[str], links: Sequence[str], users: Sequence[str], groups: Sequence[str],
    elevated: Sequence[str], mounted: Sequence[str], autonfs: Sequence[str] = (), onward: bool = True,
    kept: Sequence[str] = (),
) -> Script:  # fmt: skip
    """The whole script; it holds password hashes, so it goes to the zone on standard input only.

    `autonfs`: `PATH|HOST:/PATH` each. `onward`: the zone goes on to multi-user. `kept`: links that a zone which was
    set up before has already.
    """
    copied = [user for user in users if user != ROOT]
    book, refused = _book(host, passwords=bool(copied)) if copied or groups else (Accounts((), ()), False)
    found = [book.user(user) for user in copied]
    resolver = (system.read_file(host, "/etc/resolv.conf") or "") if vnics or links else ""
    text = (
        _templates()
        .get_template("configure/setup.sh.j2")
        .render(
            zone=zone,
            vnics=[addresses.recall(word) for word in vnics],
            links=list(links),
            resolver=resolver.strip(),
            sysding=_templates().get_template("sysding/sysding.conf.j2").render(links=list(links)).strip(),
            users=[_new_user(user, mounted) for user in found],
            groups=_new_groups(book, found, groups),
            elevated=[user for user in elevated if user != ROOT],
            known=_known(host, elevated, copied),
            autonfs=[tuple(word.split("|", 1)) for word in autonfs],
            onward=onward,
            kept=list(kept),
        )
    )
    # Words like NP and *LK* are no secrets, and stand in many a message.
    secrets = tuple(user.password for user in found if len(user.password) > 8)
    told = [f"{ROOT} is in every zone already: nothing of the host's comes over"] if ROOT in users else []
    told += _without_group(book, found)
    return Script(text, secrets, (*told, *_without_hash(found, refused)))


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
        # autofs owns /home once the zone is multi-user (facts sheet 11); the real directories live here.
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
