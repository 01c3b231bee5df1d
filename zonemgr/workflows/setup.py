"""The in-zone set-up script: rendered from templates/configure and the host's account files, never stored."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from zonemgr.errors import CommandError, ZonemgrError
from zonemgr.host import accounts, system
from zonemgr.host.door import Host

if TYPE_CHECKING:
    from jinja2 import Environment

UNSAFE = ("\n", "\r", "\x00")


@dataclass(frozen=True)
class NewUser:
    """A host account as it will stand in the zone."""

    name: str
    passwd: str
    shadow: str
    uid: int
    gid: int
    home: str
    make_home: bool


@dataclass(frozen=True)
class NewGroup:
    name: str
    gid: int
    members: tuple[str, ...]


def accounts_there(host: Host, users: Sequence[str], groups: Sequence[str], elevated: Sequence[str]) -> None:
    """Raise NotThere for the first account the host does not have."""
    if not (users or groups or elevated):
        return
    book = accounts.read(host)
    for user in (*users, *elevated):
        book.user(user)
    for group in groups:
        book.group(group)


def script(
    host: Host, zone: str, *, vnics: Sequence[str], links: Sequence[str], users: Sequence[str], groups: Sequence[str],
    elevated: Sequence[str], mounted: Sequence[str], autonfs: Sequence[str] = (),
) -> str:  # fmt: skip
    """The whole script; it holds password hashes, so it goes to the zone on standard input only.

    `autonfs`: `PATH|HOST:/PATH` each.
    """
    book = _book(host, passwords=bool(users)) if users or groups else None
    resolver = (system.read_file(host, "/etc/resolv.conf") or "") if vnics or links else ""
    return str(
        _templates()
        .get_template("configure/setup.sh.j2")
        .render(
            zone=zone,
            vnics=list(vnics),
            links=list(links),
            resolver=resolver.strip(),
            sysding=_templates().get_template("sysding/sysding.conf.j2").render(links=list(links)).strip(),
            users=[_new_user(book, user, mounted) for user in users],
            groups=_new_groups(book, users, groups),
            elevated=list(elevated),
            autonfs=[tuple(word.split("|", 1)) for word in autonfs],
        )
    )


def _book(host: Host, *, passwords: bool) -> Any:
    """The accounts; without hashes when this caller may not read them, and then the fields become NP."""
    try:
        return accounts.read(host, passwords=passwords)
    except CommandError:
        if not passwords:
            raise
        return accounts.read(host)


def _new_user(book: Any, name: str, mounted: Sequence[str]) -> NewUser:
    user = book.user(name)
    home = user.home
    if home.startswith("/home/") and not _covered(home, mounted):
        # autofs owns /home once the zone is multi-user (facts sheet 11); the real directories live here.
        home = "/export" + home
    field = user.password or "NP"
    passwd = f"{user.name}:x:{user.uid}:{user.gid}:{user.gecos}:{home}:{user.shell}"
    shadow = f"{user.name}:{field}:::::::"  # nine fields
    return NewUser(
        user.name, _one_line(passwd), _one_line(shadow), user.uid, user.gid, home, not _covered(home, mounted)
    )


def _new_groups(book: Any, users: Sequence[str], named: Sequence[str]) -> list[NewGroup]:
    """Named groups, and the primary and other groups of the copied users; members are those users only."""
    wanted: dict[str, Any] = {}
    for name in named:
        wanted[name] = book.group(name)
    for user in users:
        for name in book.user(user).groups:
            wanted.setdefault(name, book.group(name))
    made = []
    for name, group in wanted.items():
        members = tuple(member for member in group.members if member in users)
        made.append(NewGroup(name, group.gid, members))
    return made


def _covered(path: str, mounted: Sequence[str]) -> bool:
    """Does a lofs mount bring this directory?"""
    return any(path == mount or path.startswith(f"{mount}/") for mount in mounted)


def _one_line(text: str) -> str:
    if any(mark in text for mark in UNSAFE) or text == "ZONEMGR_END":
        raise ZonemgrError("an account of the host has a line break in it", hint="see: pwck")
    return text


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
    found.filters["key"] = lambda name: name.replace(
        ".", "\\."
    )  # all a user name has that a regex would take
    return found
