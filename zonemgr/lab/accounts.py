"""The accounts of a zone, or of the lab's global zone, read from its own /etc: by default that below /."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from zonemgr.lab.world import LabError


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int
    home: str
    shell: str


def by_name(name: str, root: str = "/") -> Account | None:
    """An entry of /etc/passwd; None when there is none that makes sense."""
    for fields in _lines(root, "passwd", 7):
        if fields[0] == name and fields[2].isdigit() and fields[3].isdigit():
            return Account(name, int(fields[2]), int(fields[3]), fields[5], fields[6])
    return None


def name_of(uid: int, root: str = "/") -> str:
    """A user's name; the number when there is none."""
    return next((fields[0] for fields in _lines(root, "passwd", 7) if fields[2] == str(uid)), str(uid))


def groups(account: Account, root: str = "/") -> list[int]:
    """The groups it is in, by /etc/group, its own first."""
    found = [account.gid]
    for fields in _lines(root, "group", 4):
        if account.name in fields[3].split(",") and fields[2].isdigit() and int(fields[2]) not in found:
            found.append(int(fields[2]))
    return found


def become(account: Account | None) -> None:
    """Take a user's ids for good; raises LabError when this machine cannot give them to a process here."""
    if account is None:
        raise LabError("no such user in the zone")
    if account.uid == os.geteuid() == 0 and account.gid == os.getegid():
        return
    try:
        os.setgroups(groups(account))
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    except OSError:
        raise LabError(
            f"user {account.name} (uid {account.uid}) cannot be had without root on this machine:"
            " its user namespaces have one user only (newuidmap and /etc/subuid would give more)"
        ) from None


def setting(file: str, name: str, root: str = "/") -> str | None:
    """A NAME=value line of a file like /etc/default/su."""
    try:
        text = Path(root, file.lstrip("/")).read_text(errors="surrogateescape")
    except OSError:
        return None
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key == name:
            return value.strip().strip("\"'")
    return None


def _lines(root: str, file: str, count: int) -> list[list[str]]:
    try:
        text = Path(root, "etc", file).read_text(errors="surrogateescape")
    except OSError:
        return []
    split = (line.split(":") for line in text.splitlines() if not line.startswith("#"))
    return [fields for fields in split if len(fields) == count]
