"""id, groups, getent and logins of illumos, of the global zone's or a zone's own files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from zonemgr.lab import options, place
from zonemgr.lab.call import Call
from zonemgr.lab.proctable import Names

ID_USAGE = (
    "Usage: id [-ap] [user]\n       id -G [-n] [user]\n       id -g [-nr] [user]\n       id -u [-nr] [user]"
)


class Who:
    """A user with its groups, by the files of a root; the caller, or a user by name."""

    def __init__(self, call: Call, name: str | None) -> None:
        """Raises LookupError for a name that is not there."""
        root = place.here(call).root
        self.names = Names(root)
        row = _passwd(root, name or call.user)
        real = name is None and (call.zone is not None) and Path("/.lab/zone.json").exists()
        if row is None and not real:
            raise LookupError(name or call.user)
        self.uid, self.gid = (
            (os.geteuid(), os.getegid()) if real or row is None else (int(row[2]), int(row[3]))
        )
        self.groups = os.getgroups() if real else _groups(root, name or call.user, self.gid, named=bool(name))

    def user(self) -> str:
        return _named(self.uid, self.names.users)

    def group(self, gid: int) -> str:
        return _named(gid, self.names.groups)


def _passwd(root: Path, name: str) -> list[str] | None:
    rows = (line.split(":") for line in (place.read(root, "etc/passwd") or "").splitlines())
    return next((row for row in rows if row[0] == name and len(row) == 7), None)


def _groups(root: Path, name: str, gid: int, *, named: bool) -> list[int]:
    """Those of the group file; of the caller the own one comes first (getgroups), of another only if it has none."""
    rows = (line.split(":") for line in (place.read(root, "etc/group") or "").splitlines())
    found = [int(row[2]) for row in rows if len(row) == 4 and name in row[3].split(",") and row[2].isdigit()]
    if named:
        return found or [gid]
    return [gid, *(each for each in found if each != gid)]


def _named(number: int, names: dict[int, str]) -> str:
    return f"{number}({names[number]})" if number in names else str(number)


def identity(call: Call) -> int:
    """id(1): the options of the plain one and of the XPG4 one, which are one program today."""
    try:
        found, words = options.parse(call.argv[1:], "Ggunrap")
    except options.BadOption:
        return call.fail(ID_USAGE, 2)
    letters = {letter for letter, _ in found}
    modes = letters & {"G", "g", "u"}
    wrong = len(modes) > 1 or (not modes and letters & {"n", "r"}) or {"G", "r"} <= letters
    if wrong or len(words) > 1 or (modes and letters & {"a", "p"}):
        return call.fail(ID_USAGE, 2)
    try:
        who = Who(call, words[0] if words else None)
    except LookupError as unknown:
        return call.fail(f'id: invalid user name: "{unknown.args[0]}"')
    if modes:
        call.out(_plain(who, modes.pop(), "n" in letters) + "\n")
        return 0
    text = f"uid={who.user()} gid={who.group(who.gid)}"
    text += " groups=" + ",".join(who.group(gid) for gid in who.groups) if "a" in letters else ""
    text += f" projid={_project(who, bool(words))}" if "p" in letters else ""
    call.out(text + "\n")
    return 0


def _plain(who: Who, mode: str, names: bool) -> str:
    user, groups = who.names.user if names else str, who.names.group if names else str
    if mode == "u":
        return user(who.uid)
    gids = [who.gid, *(gid for gid in who.groups if gid != who.gid)] if mode == "G" else [who.gid]
    return " ".join(groups(gid) for gid in gids)


def _project(who: Who, named: bool) -> str:
    """The default project: root's is user.root, of staff group.staff, of others default (etc/project as delivered)."""
    if who.uid == 0:
        return "1(user.root)"
    return "10(group.staff)" if who.gid == 10 else "3(default)"


def groups(call: Call) -> int:
    words, status = call.argv[1:], 0
    for name in words or [""]:
        try:
            who = Who(call, name or None)
        except LookupError as unknown:
            status = call.fail(f"groups: unknown user : {unknown.args[0]}")
            continue
        gids = [who.gid, *(gid for gid in who.groups if gid != who.gid)]
        text = " ".join(who.names.group(gid) for gid in gids)
        call.out(f"{name} : {text}\n" if len(words) > 1 else f"{text}\n")
    return status


# -- getent ----------------------------------------------------------------------------------------------------

DATABASES = {
    "passwd": "passwd", "shadow": "shadow", "group": "group", "project": "project", "user_attr": "user_attr",
    "auth_attr": "security/auth_attr", "prof_attr": "security/prof_attr", "exec_attr": "security/exec_attr",
    "hosts": "inet/hosts", "ipnodes": "inet/hosts", "netmasks": "inet/netmasks", "services": "inet/services",
    "protocols": "inet/protocols", "networks": "inet/networks",
}  # fmt: skip
BLANKS = ("hosts", "ipnodes", "netmasks", "services", "protocols", "networks")
GETENT_USAGE = "usage: getent database [ key ... ]"


def getent(call: Call) -> int:
    """1: no such database, 2: an entry is missing, 3: it cannot be listed (getent(8))."""
    words = call.argv[1:]
    if not words or words[0].startswith("-"):
        return call.fail(GETENT_USAGE)
    if words[0] not in DATABASES:
        if words[0] in ("ethers", "netgroup", "publickey", "printers"):
            return call.fail(f"lab: getent {words[0]} is not emulated")
        call.err(f"Unknown database: {words[0]}\n{GETENT_USAGE}\n")
        return 1
    lines = _lines(call, words[0])
    if len(words) == 1:
        call.out("".join(_shown(words[0], line) for line in lines))
        return 0
    status = 0
    for key in words[1:]:
        found = [line for line in lines if _is(words[0], line, key)]
        if not found:
            status = 2
        call.out(
            "".join(_shown(words[0], line) for line in (found if words[0] == "exec_attr" else found[:1]))
        )
    return status


def _lines(call: Call, database: str) -> list[str]:
    text = place.read(place.here(call).root, f"etc/{DATABASES[database]}")
    if database == "shadow" and not call.privileged:
        text = ""
    if text is None and database in ("services", "protocols", "networks"):
        text = "" if database == "networks" else _machines(database)
    lines = (text or "").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _machines(database: str) -> str:
    """Well-known numbers are the same everywhere."""
    try:
        return Path("/etc", database).read_text()
    except OSError:
        return ""


def _fields(database: str, line: str) -> list[str]:
    return line.split("#")[0].split() if database in BLANKS else line.split(":")


def _is(database: str, line: str, key: str) -> bool:
    fields = _fields(database, line)
    if database in ("passwd", "group"):
        return key == fields[0] or (len(fields) > 2 and key.isdigit() and key == fields[2])
    if database == "project":
        return key == fields[0] or (len(fields) > 1 and key.isdigit() and key == fields[1])
    if database in ("hosts", "ipnodes"):
        return key.lower() in [field.lower() for field in fields]
    if database == "services":
        port, _, protocol = fields[1].partition("/")
        name, _, wanted = key.partition("/")
        return name in (fields[0], port, *fields[2:]) and wanted in ("", protocol)
    if database in ("protocols", "networks"):
        return key in fields
    return key == fields[0]


def _shown(database: str, line: str) -> str:
    """An entry as getent prints it (gate, cmd/getent)."""
    fields = _fields(database, line)
    if database in ("hosts", "ipnodes", "netmasks"):
        return fields[0] + "\t" + " ".join(fields[1:]) + "\n"
    if database in BLANKS:
        return f"{fields[0]:<21}{fields[1]}" + "".join(f" {alias}" for alias in fields[2:]) + "\n"
    return line + "\n"


# -- logins ----------------------------------------------------------------------------------------------------


def logins(call: Call) -> int:
    """-o, -u, -s, -d, -x, -l and -g; what needs the passwords' ages is refused (gate, cmd/logins/logins.c)."""
    try:
        found, words = options.parse(call.argv[1:], "admopstuxg:l:")
    except options.BadOption:
        words = ["?"]
        found = []
    given = dict(found)
    if words:
        return call.fail("usage: logins [-admopstux] [-g group...] [-l login...]")
    refused = given.keys() & {"a", "p", "m", "x"}
    if refused:
        return call.fail(f"lab: logins -{min(refused)} is not emulated")
    rows = _accounts(call, given)
    for row in rows:
        group = Names(place.here(call).root).group(int(row[3]))
        if "o" in given:
            call.out(":".join((row[0], row[2], group, row[3], row[4])) + "\n")
        else:
            call.out(f"{row[0]:<14}  {row[2]:<6}  {group:<14}  {row[3]:<6}  {row[4]}\n")
    return 0


def _accounts(call: Call, given: dict[str, str]) -> Sequence[list[str]]:
    text = place.read(place.here(call).root, "etc/passwd") or ""
    rows = [row for row in (line.split(":") for line in text.splitlines()) if len(row) == 7]
    uids = [row[2] for row in rows]
    if "d" in given:
        rows = [row for row in rows if uids.count(row[2]) > 1]
    if "l" in given:
        rows = [row for row in rows if row[0] in given["l"].split(",")]
    if {"s", "u"} & given.keys() and not {"s", "u"} <= given.keys():
        system = "s" in given
        rows = [row for row in rows if (int(row[2]) < 100 or int(row[2]) in (60001, 60002, 65534)) == system]
    if "g" in given:
        names = Names(place.here(call).root)
        rows = [row for row in rows if names.group(int(row[3])) in given["g"].split(",")]
    if "t" in given:
        return sorted(rows, key=lambda row: row[0])
    return sorted(rows, key=lambda row: int(row[2]))
