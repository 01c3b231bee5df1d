"""The host's users and groups, to be copied into zones.

See docs/illumos.md: Accounts. The files are read by command, for the host may be elsewhere. Password hashes are read on
request only, with elevation; answers of commands are never logged, so neither are they.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from zonemgr.errors import CommandError, NotThere, ZonemgrError
from zonemgr.host.contract import lines_of
from zonemgr.host.door import Host
from zonemgr.model import Account, Group


@dataclass(frozen=True)
class Accounts:
    users: tuple[Account, ...]
    groups: tuple[Group, ...]

    def user(self, name: str) -> Account:
        """Raises NotThere for an unknown user."""
        found = next((user for user in self.users if user.name == name), None)
        if found is None:
            raise NotThere(f"there is no user {name} on this host", hint="see: getent passwd")
        return found

    def group(self, name: str) -> Group:
        found = next((group for group in self.groups if group.name == name), None)
        if found is None:
            raise NotThere(f"there is no group {name} on this host", hint="see: getent group")
        return found


def read(host: Host, *, passwords: bool = False) -> Accounts:
    """All local users with their groups and rights; with `passwords`, the shadow field as well (needs
    privilege).
    """
    groups = parse_groups(host.ask("cat", "/etc/group").stdout)
    users = parse_users(host.ask("cat", "/etc/passwd").stdout)
    rights = parse_rights(host.ask("cat", "/etc/user_attr").stdout)
    secrets = _secrets(host) if passwords else {}
    return Accounts(
        tuple(
            replace(
                user,
                groups=_groups_of(user, groups),
                attributes=rights.get(user.name, ()),
                password=secrets.get(user.name, ""),
            )
            for user in users
        ),
        tuple(groups),
    )


def _secrets(host: Host) -> dict[str, str]:
    try:
        text = host.ask("cat", "/etc/shadow", elevated=True).stdout
    except CommandError as failed:
        failed.hint = "reading password hashes needs root or the profile Primary Administrator"
        raise
    return {row[0]: row[1] for row in _rows(text, 9, "/etc/shadow")}


def _groups_of(user: Account, groups: list[Group]) -> tuple[str, ...]:
    primary = [group.name for group in groups if group.gid == user.gid][:1]
    others = [group.name for group in groups if user.name in group.members and group.name not in primary]
    return (*primary, *others)


def parse_users(text: str) -> list[Account]:
    """`name:x:uid:gid:gecos:home:shell`; an empty shell means /bin/sh."""
    rows = _rows(text, 7, "/etc/passwd")
    return [
        Account(row[0], _number(row[2]), _number(row[3]), row[4], row[5], row[6] or "/bin/sh") for row in rows
    ]


def parse_groups(text: str) -> list[Group]:
    """`name::gid:user,user`"""
    rows = _rows(text, 4, "/etc/group")
    return [Group(row[0], _number(row[2]), tuple(name for name in row[3].split(",") if name)) for row in rows]


def parse_rights(text: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """`user:qualifier:res1:res2:key=value;key=value`.

    A `#` begins a comment anywhere; a backslash ends a line that goes on in the next (illumos-gate, files_common.c).
    """
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    records = [line.partition("#")[0].strip() for line in text.replace("\\\n", "").splitlines()]
    for name, _, _, _, attributes in _rows("\n".join(filter(None, records)), 5, "/etc/user_attr"):
        pairs = [pair.partition("=") for pair in attributes.split(";") if "=" in pair]
        found[name] = (*found.get(name, ()), *((key.strip(), value) for key, _, value in pairs))
    return found


def _number(text: str) -> int:
    if not text.isdigit():
        raise ZonemgrError(
            f"{text!r} is not the number of a user or group", hint="see /etc/passwd, /etc/group"
        )
    return int(text)


def _rows(text: str, fields: int, file: str) -> list[list[str]]:
    """Records of a colon file. Lines `+…` and `-…` (name services) and comments are not records."""
    rows = []
    for line in lines_of(text):
        if line[0] in "#+-":
            continue
        row = line.split(":", fields - 1)
        if len(row) < fields:
            raise ZonemgrError(
                f"a line of {file} has {len(row)} fields instead of {fields}", hint=f"see {file}"
            )
        rows.append(row)
    return rows
