"""RBAC: who may do what, from user_attr, prof_attr, exec_attr and policy.conf.

See docs/illumos.md: zlogin and rights, Accounts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from zonemgr.lab import place
from zonemgr.lab.call import Call

# Where illumos keeps what exec_attr names by path; the kernel looks at the resolved path.
PATHS = {
    **dict.fromkeys(
        ("zoneadm", "zlogin", "zonecfg", "useradd", "userdel", "usermod", "svcadm", "svccfg"), "/usr/sbin"
    ),
    **dict.fromkeys(("zfs", "zpool", "dladm", "ipadm", "beadm", "mount", "umount"), "/sbin"),
    **dict.fromkeys(("pkg", "svcs", "kill"), "/usr/bin"),
    **dict.fromkeys(("halt", "init", "poweroff", "reboot", "shutdown", "automount", "df"), "/usr/sbin"),
    "uadmin": "/sbin",
    **dict.fromkeys(("groupadd", "groupdel"), "/usr/sbin"),
}


@dataclass(frozen=True)
class Execution:
    profile: str
    command: str  # a path, or * for every command
    attributes: str  # empty: runs as the caller


@dataclass
class Rights:
    """The attribute files of one root."""

    root: Path
    _attributes: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)

    def _file(self, name: str) -> dict[str, dict[str, str]]:
        """Lines of NAME:...:key=value;key=value by name."""
        if name not in self._attributes:
            # The fifth field may itself hold a colon (`audit_flags=lo\:no`).
            lines = (line.split(":", 4) for line in _lines(self.root, name))
            self._attributes[name] = {fields[0]: _pairs(fields[4]) for fields in lines if len(fields) == 5}
        return self._attributes[name]

    def _policy(self, key: str) -> list[str]:
        for line in _lines(self.root, "etc/security/policy.conf"):
            name, _, value = line.partition("=")
            if name.strip() == key:
                return [each.strip() for each in value.split(",") if each.strip()]
        return []

    def profiles(self, user: str) -> list[str]:
        """All profiles of a user in the order they are looked through: own ones, theirs, then everybody's."""
        own = self._file("etc/user_attr").get(user, {}).get("profiles", "")
        found: list[str] = []
        for name in [*_list(own), *self._policy("PROFS_GRANTED")]:
            self._add(name, found)
            if "Stop" in found:
                break
        return [name for name in found if name != "Stop"]

    def _add(self, name: str, found: list[str]) -> None:
        if name in found or "Stop" in found:
            return
        found.append(name)
        for child in _list(self._file("etc/security/prof_attr").get(name, {}).get("profiles", "")):
            self._add(child, found)

    def profile(self, name: str) -> dict[str, str]:
        return self._file("etc/security/prof_attr").get(name, {})

    def authorisations(self, user: str) -> list[str]:
        own = _list(self._file("etc/user_attr").get(user, {}).get("auths", ""))
        granted = [
            auth for name in self.profiles(user) for auth in _list(self.profile(name).get("auths", ""))
        ]
        return [*own, *granted, *self._policy("AUTHS_GRANTED")]

    def authorised(self, user: str, wanted: str) -> bool:
        """chkauthattr: the authorisation itself, without its `/ZONE`, or a wildcard above it."""
        names = {wanted, wanted.partition("/")[0]}
        return any(_covers(pattern, name) for pattern in self.authorisations(user) for name in names)

    def executions(self, user: str) -> Iterator[Execution]:
        """What the profiles of a user say about commands, in the order in which the first match counts."""
        rows = [line.split(":", 6) for line in _lines(self.root, "etc/security/exec_attr")]
        for name in self.profiles(user):
            for row in rows:
                if len(row) == 7 and row[0] == name and row[2] == "cmd":
                    yield Execution(name, row[5], row[6])

    def raises(self, user: str, command: str) -> bool:
        """Does pfexec give this user's command more privilege than the user has?"""
        name = command.rsplit("/", 1)[-1]
        path = f"{PATHS[name]}/{name}" if name in PATHS else command
        for execution in self.executions(user):
            if execution.command in (path, "*", f"{path.rpartition('/')[0]}/*"):
                return bool(execution.attributes)
        return False


def of_call(call: Call) -> Rights:
    return Rights(place.here(call).root)


def authorised(call: Call, wanted: str) -> bool:
    """Has the caller of this command an authorisation? Root has all of them."""
    return call.user == "root" or of_call(call).authorised(call.user, wanted)


def _lines(root: Path, name: str) -> list[str]:
    text = (place.read(root, name) or "").replace("\\\n", "")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _pairs(text: str) -> dict[str, str]:
    return {key: value for key, _, value in (each.partition("=") for each in text.split(";")) if key}


def _list(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _covers(pattern: str, name: str) -> bool:
    if not pattern.endswith("*"):
        return pattern == name
    # A wildcard never hands on the right to grant.
    return name.startswith(pattern[:-1]) and not name.endswith(".grant")
