"""useradd, usermod, userdel, their likes for roles and groups, and passwd: passwd, shadow, group and user_attr.

In the global zone, and asked inside, of a zone. Options and texts are those of illumos' oamuser and passwd; what is
rare (-e, -f, -p, -D, and passwords that are typed) is refused.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from zonemgr.lab import options, place
from zonemgr.lab.call import Call
from zonemgr.lab.world import LabError

PERMISSION, SYNTAX, BAD, USED_ID, MISSING, BUSY, USED = 1, 2, 3, 4, 6, 8, 9
TOO_BIG = 2147483647
FIRST = 100  # the first number given out; those below are reserved
NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9._-]*")
NOT_EMULATED = frozenset("efpD")
KEYS = {"A": "auths", "P": "profiles", "R": "roles"}

USAGE = {
    "useradd": (
        "ERROR: Invalid syntax.\n"
        "usage:  useradd [-u uid [-o] | -g group | -G group[[,group]...] |\n"
        "\t\t-d dir | -b base_dir | -s shell | -c comment |\n"
        "\t\t-m [-z|Z] [-k skel_dir] | -f inactive |\n"
        "\t\t-e expire | -A authorization [, authorization ...] |\n"
        "\t\t-P profile [, profile ...] | -R role [, role ...] |\n"
        "\t\t-K key=value | -p project [, project ...]] login\n"
        "\tuseradd -D [-g group | -b base_dir | -f inactive | -e expire\n"
        "\t\t-A authorization [, authorization ...] |\n"
        "\t\t-P profile [, profile ...] | -R role [, role ...] |\n"
        "\t\t-K key=value ... -p project] | [-s shell] | [-k skel_dir]\n"
    ),
    "usermod": (
        "ERROR: Invalid syntax.\n"
        "usage:  usermod -u uid [-o] | -g group | -G group[[,group]...] |\n"
        "\t\t-d dir [-m [-z|Z]] | -s shell | -c comment |\n"
        "\t\t-l new_logname | -f inactive | -e expire |\n"
        "\t\t-A authorization [, authorization ...] | -K key=value ... |\n"
        "\t\t-P profile [, profile ...] | -R role [, role ...] login\n"
    ),
    "userdel": "ERROR: Invalid syntax.\nusage:  userdel [-r] login\n",
    "groupadd": "ERROR: invalid syntax.\nusage: groupadd [-g gid [-o]] group\n",
    "groupdel": "ERROR: invalid syntax.\nusage: groupdel group\n",
    "groupmod": "ERROR: invalid syntax.\nusage: groupmod -g gid [-o] | -n name group\n",
    "roleadd": (
        "ERROR: invalid syntax.\n"
        "usage:  roleadd [-u uid [-o] | -g group | -G group[[,group]...] |-d dir |\n"
        "\t\t-s shell | -c comment | -m [-k skel_dir] | -f inactive |\n"
        "\t\t-e expire | -A authorization [, authorization ...] |\n"
        "\t\t-P profile [, profile ...] | -K key=value ] login\n"
        "\troleadd -D [-g group | -b base_dir | -f inactive | -e expire\n"
        "\t\t-A authorization [, authorization ...] |\n"
        "\t\t-P profile [, profile ...]]\n"
    ),
    "roledel": "ERROR: Invalid syntax.\nusage:  roledel [-r] login\n",
    "rolemod": (
        "ERROR: Invalid syntax.\n"
        "usage:  rolemod -u uid [-o] | -g group | -G group[[,group]...] |\n"
        "\t\t-d dir [-m] | -s shell | -c comment |\n"
        "\t\t-l new_logname | -f inactive | -e expire |\n"
        "\t\t-A authorization [, authorization ...] | -K key=value |\n"
        "\t\t-P profile [, profile ...] login\n"
    ),
}
LETTERS = {
    "useradd": "b:c:Dd:e:f:G:g:k:mzZop:s:u:A:P:R:K:",
    "usermod": "c:d:e:f:G:g:l:mzZop:s:u:A:P:R:K:",
    "userdel": "r",
    "groupadd": "g:o",
    "groupdel": "",
    "groupmod": "g:on:",
    "roleadd": "b:c:Dd:e:f:G:g:k:mzZop:s:u:A:P:K:",
    "rolemod": "c:d:e:f:G:g:l:mzZop:s:u:A:P:K:",
    "roledel": "r",
}


class Wrong(Exception):
    """The command ends with this status and these lines, each after its name; status 2 is for usage."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.text, self.status = text, status


class Files:
    """The account files of one root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def rows(self, name: str) -> list[list[str]]:
        return [line.split(":") for line in (place.read(self.root, f"etc/{name}") or "").splitlines()]

    def row(self, name: str, key: str) -> list[str] | None:
        return next((row for row in self.rows(name) if row[0] == key and len(row) > 2), None)

    def save(self, name: str, rows: Sequence[Sequence[str]]) -> None:
        mode = 0o400 if name == "shadow" else 0o644
        place.write(self.root, f"etc/{name}", "".join(":".join(row) + "\n" for row in rows), mode)

    def put(self, name: str, row: Sequence[str]) -> None:
        """Replace the row with this key, or append it."""
        rows = self.rows(name)
        at = next((number for number, each in enumerate(rows) if each[0] == row[0]), None)
        if at is None:
            rows.append(list(row))
        else:
            rows[at] = list(row)
        self.save(name, rows)

    def drop(self, name: str, key: str) -> None:
        self.save(name, [row for row in self.rows(name) if row[0] != key])

    def group(self, text: str) -> list[str]:
        """By name or number."""
        for row in self.rows("group"):
            if len(row) == 4 and text in (row[0], row[2]):
                return row
        raise Wrong(f"ERROR: group {text} does not exist.  Choose another.", MISSING)

    def free(self, name: str) -> str:
        taken = [int(row[2]) for row in self.rows(name) if len(row) > 2 and row[2].isdigit()]
        return str(max([FIRST - 1, *(number for number in taken if number < 60000)]) + 1)


def command(call: Call) -> int:
    name = call.name
    if not call.privileged:
        return call.fail(f"UX: {name}: ERROR: Permission denied.", PERMISSION)
    tools: dict[str, Callable[[Call, Files, dict[str, str], str], None]] = {
        "useradd": _useradd,
        "usermod": _usermod,
        "userdel": _userdel,
        "groupadd": _groupadd,
        "groupdel": _groupdel,
        "groupmod": _groupmod,
        "roleadd": _useradd,
        "rolemod": _usermod,
        "roledel": _userdel,
    }
    try:
        found, words = options.parse(call.argv[1:], LETTERS[name])
        given = dict(found)
        if len(words) != 1 or (name in ("usermod", "rolemod", "groupmod") and not given):
            raise options.BadOption("?", missing=False)
    except options.BadOption:
        call.err("".join(f"UX: {name}: {line}\n" for line in USAGE[name].splitlines()[:1]))
        call.err("".join(line + "\n" for line in USAGE[name].splitlines()[1:]))
        return SYNTAX
    refused = sorted(given.keys() & NOT_EMULATED)
    if refused:
        raise LabError(f"-{refused[0]} is not emulated")
    try:
        tools[name](call, Files(_root(call)), given, words[0])
    except Wrong as wrong:
        return call.fail(f"UX: {name}: {wrong.text}", wrong.status)
    return 0


def _root(call: Call) -> Path:
    return place.here(call).root if call.zone is None else call.root or Path("/")


# -- users -------------------------------------------------------------------------------------------------


def _useradd(call: Call, files: Files, given: dict[str, str], login: str) -> None:
    _name(login, "login name")
    if files.row("passwd", login) is not None:
        raise Wrong(f"ERROR: {login} is already in use.  Choose another.", USED)
    if (given.keys() & {"k", "z", "Z"} and "m" not in given) or {"z", "Z"} <= given.keys():
        raise Wrong(USAGE[call.name].rstrip("\n"), SYNTAX)
    is_role = call.name == "roleadd"
    uid = _uid(files, given) if "u" in given else files.free("passwd")
    gid = files.group(given["g"])[2] if "g" in given else "1"
    home = given.get("d") or f"{given.get('b', '/home')}/{login}"
    _full_path(home)
    extra = [files.group(each)[0] for each in given["G"].split(",")] if "G" in given else []
    files.put(
        "passwd",
        [
            login,
            "x",
            uid,
            gid,
            given.get("c", ""),
            home,
            _shell(files, given, "/bin/pfsh" if is_role else "/bin/sh"),
        ],
    )
    files.put("shadow", [login, "UP", "", "", "", "", "", "", ""])
    _join(files, login, extra)
    _attributes(files, login, given, kind="role" if is_role else "normal")
    if "m" in given:
        if "z" in given:
            _make_dataset(call, home)
        _make_home(call, files, home, (int(uid), int(gid)), given.get("k", "/etc/skel"))


def _usermod(call: Call, files: Files, given: dict[str, str], login: str) -> None:
    row = files.row("passwd", login)
    if row is None:
        raise Wrong(f"ERROR: {login} does not exist.", MISSING)
    _right_command(call, files, login)
    if ("o" in given and "u" not in given) or ("m" in given and "d" not in given):
        raise Wrong(USAGE[call.name].rstrip("\n"), SYNTAX)
    row = list(row)
    old_home = row[5]
    if "u" in given and given["u"] != row[2]:
        row[2] = _uid(files, given)
    row[3] = files.group(given["g"])[2] if "g" in given else row[3]
    row[4] = given.get("c", row[4])
    if "d" in given:
        _full_path(given["d"])
        row[5] = given["d"]
    row[6] = _shell(files, given, row[6])
    extra = [files.group(each)[0] for each in given["G"].split(",") if each] if "G" in given else None
    files.put("passwd", row)
    if extra is not None:
        _join(files, login, extra)
    _attributes(files, login, given)
    if "m" in given and row[5] != old_home:
        _move_home(call, files, old_home, row[5])
    if given.get("l", login) != login:
        _rename(files, login, given["l"])


def _right_command(call: Call, files: Files, login: str) -> None:
    """A role is modified by rolemod, a user by usermod (gate, usermod.c)."""
    row = files.row("user_attr", login)
    is_role = "type=role" in (row[4].split(";") if row and len(row) > 4 else ())
    if is_role and call.name == "usermod":
        raise Wrong("ERROR: Roles must be modified with ``rolemod''.", SYNTAX)
    if not is_role and call.name == "rolemod":
        raise Wrong("ERROR: Users must be modified with ``usermod''.", SYNTAX)


def _rename(files: Files, old: str, new: str) -> None:
    _name(new, "login name")
    if files.row("passwd", new) is not None:
        raise Wrong(f"ERROR: {new} is already in use.  Choose another.", USED)
    for name in ("passwd", "shadow", "user_attr"):
        files.save(name, [[new, *row[1:]] if row[0] == old else row for row in files.rows(name)])
    rows = files.rows("group")
    for row in rows:
        if len(row) == 4:
            row[3] = ",".join(new if each == old else each for each in row[3].split(","))
    files.save("group", rows)


def _userdel(call: Call, files: Files, given: dict[str, str], login: str) -> None:
    row = files.row("passwd", login)
    if row is None:
        raise Wrong(f"ERROR: {login} does not exist.", MISSING)
    for name in ("passwd", "shadow", "user_attr"):
        files.drop(name, login)
    _join(files, login, [])
    if "r" in given:
        shutil.rmtree(_inside(files, row[5]), ignore_errors=True)


def _uid(files: Files, given: dict[str, str]) -> str:
    text = given["u"]
    if not text.isdigit():
        raise Wrong(f"ERROR: {text} is not a valid user id.  Choose another.", BAD)
    if int(text) > TOO_BIG:
        raise Wrong(f"ERROR: uid {text} is too big.  Choose another.", BAD)
    if "o" not in given and any(len(row) > 2 and row[2] == text for row in files.rows("passwd")):
        raise Wrong(f"ERROR: uid {text} is already in use.  Choose another.", USED_ID)
    return text


def _name(text: str, what: str) -> None:
    if not NAME.fullmatch(text):
        raise Wrong(f"ERROR: {text} is not a valid {what}.  Choose another.", BAD)


def _full_path(text: str) -> None:
    if not text.startswith("/"):
        raise Wrong(f"ERROR: {text} is not a full path name.  Choose another.", BAD)
    if ":" in text or "\n" in text:
        raise Wrong(f"ERROR: {text} is not a valid directory.  Choose another.", BAD)


def _shell(files: Files, given: dict[str, str], default: str) -> str:
    if "s" not in given:
        return default
    _full_path(given["s"])
    # /usr and /bin are the machine's in a cell: the zone's root does not show what is there.
    return given["s"]


def _join(files: Files, login: str, wanted: Sequence[str]) -> None:
    rows = files.rows("group")
    for row in rows:
        if len(row) == 4:
            members = [each for each in row[3].split(",") if each and each != login]
            row[3] = ",".join([*members, login] if row[0] in wanted else members)
    files.save("group", rows)


def _attributes(files: Files, login: str, given: dict[str, str], *, kind: str = "normal") -> None:
    changed = {KEYS[letter]: given[letter] for letter in KEYS if letter in given}
    if "K" in given:
        key, _, value = given["K"].partition("=")
        changed[key] = value
    if not changed and kind == "normal":
        return
    row = files.row("user_attr", login)
    pairs = dict(each.split("=", 1) for each in (row[4] if row else "").split(";") if "=" in each)
    pairs = {"type": kind, **pairs, **changed}
    text = ";".join(f"{key}={value}" for key, value in pairs.items() if value)
    files.put("user_attr", [login, "", "", "", text])


# -- homes -------------------------------------------------------------------------------------------------


def _inside(files: Files, home: str) -> Path:
    """A home below the root; raises LabError for a way out of it."""
    path = files.root / home.lstrip("/")
    if os.path.commonpath([os.path.realpath(files.root), os.path.realpath(path)]) != os.path.realpath(
        files.root
    ):
        raise LabError(f"{home} leads out of the zone")
    return path


def _make_home(call: Call, files: Files, home: str, owner: tuple[int, int], skel: str) -> None:
    path = _inside(files, home)
    if not path.parent.is_dir() or home.startswith("/home/"):
        raise Wrong(f"ERROR: Unable to create the home directory: {_why(path.parent, home)}.", 12)
    if path.exists() and any(path.iterdir()):
        return
    shutil.copytree(_inside(files, skel), path, symlinks=True, dirs_exist_ok=True)
    path.chmod(0o755)
    for each in [path, *path.rglob("*")]:
        os.chown(each, *owner, follow_symlinks=False)


def _make_dataset(call: Call, home: str) -> None:
    """The file system of useradd -z: below the one that is mounted where homes are."""
    if call.zone is not None:
        raise LabError("-z is not emulated in a zone")
    parent, _, name = home.rpartition("/")
    rows = (
        line.split("\t")
        for line in call.run("zfs", "list", "-H", "-o", "name,mountpoint").stdout.splitlines()
    )
    holder = next((row[0] for row in rows if row[1] == parent), None)
    if holder is None:
        raise Wrong("ERROR: Unable to create the home directory: No such file or directory.", 12)
    made = call.run("zfs", "create", f"{holder}/{name}")
    if made.exit_code:
        raise Wrong(f"ERROR: Unable to create the home directory: {made.stderr.strip()}.", 12)


def _why(parent: Path, home: str) -> str:
    """/home belongs to the automounter: nothing can be made there."""
    return "Operation not applicable" if home.startswith("/home/") else "No such file or directory"


def _move_home(call: Call, files: Files, old: str, new: str) -> None:
    source, target = _inside(files, old), _inside(files, new)
    if not source.is_dir():
        raise Wrong(f"ERROR: Unable to find status about home directory: {old}.", 12)
    if target.exists() or not target.parent.is_dir():
        raise Wrong("ERROR: Unable to create the home directory: File exists.", 12)
    source.rename(target)


# -- groups ------------------------------------------------------------------------------------------------


def _groupadd(call: Call, files: Files, given: dict[str, str], group: str) -> None:
    _name(group, "group name")
    if any(row[0] == group for row in files.rows("group")):
        raise Wrong(f"ERROR: {group} is already in use.  Choose another.", USED)
    gid = given.get("g", "") if "g" in given else files.free("group")
    if not gid.isdigit():
        raise Wrong(f"ERROR: {gid} is not a valid group id.  Choose another.", BAD)
    if int(gid) > TOO_BIG:
        raise Wrong(f"ERROR: Group id {gid} is too big.  Choose another.", BAD)
    if "o" not in given and any(len(row) > 2 and row[2] == gid for row in files.rows("group")):
        raise Wrong(f"ERROR: {gid} is already in use.  Choose another.", USED_ID)
    if int(gid) < FIRST:
        call.err(f"UX: groupadd: WARNING: gid {gid} is reserved.\n")
    files.put("group", [group, "", gid, ""])


def _groupdel(call: Call, files: Files, given: dict[str, str], group: str) -> None:
    if not any(row[0] == group for row in files.rows("group")):
        raise Wrong(f"ERROR: {group} does not exist.", MISSING)
    files.drop("group", group)


def _groupmod(call: Call, files: Files, given: dict[str, str], group: str) -> None:
    row = next((row for row in files.rows("group") if row[0] == group and len(row) == 4), None)
    if row is None:
        raise Wrong(f"ERROR: {group} does not exist.", MISSING)
    gid, new = given.get("g", row[2]), given.get("n", group)
    if not gid.isdigit():
        raise Wrong(f"ERROR: {gid} is not a valid group id.  Choose another.", BAD)
    if int(gid) > TOO_BIG:
        raise Wrong(f"ERROR: Group id {gid} is too big.  Choose another.", BAD)
    others = [each for each in files.rows("group") if len(each) == 4 and each[0] != group]
    if "o" not in given and any(each[2] == gid for each in others):
        raise Wrong(f"ERROR: {gid} is already in use.  Choose another.", USED_ID)
    _name(new, "group name")
    if any(each[0] == new for each in others):
        raise Wrong(f"ERROR: {new} is already in use.  Choose another.", USED)
    files.save(
        "group", [[new, row[1], gid, row[3]] if each[0] == group else each for each in files.rows("group")]
    )


# -- passwd ------------------------------------------------------------------------------------------------

PASSWD_USAGE = (
    "usage:\n\tpasswd [-r files | -r ldap] [name]\n\tpasswd [-r files] [-egh] [name]\n\tpasswd [-r files] -sa\n"
    "\tpasswd [-r files] -s [name]\n\tpasswd [-r files] [-d|-l|-N|-u] [-f] [-n min] [-w warn] [-x max] name\n"
    "\tpasswd -r ldap [-egh] [name]\n"
)


def passwd(call: Call) -> int:
    """-l, -u, -N, -d and -s; passwords themselves are typed on a terminal, which is refused."""
    try:
        found, words = options.parse(call.argv[1:], "r:aeghsdlNufn:w:x:")
    except options.BadOption:
        call.err(PASSWD_USAGE)
        return 2
    given = dict(found)
    refused = given.keys() & set("eghfnwx")
    modes = given.keys() & set("dlNus")
    if refused or not modes:
        raise LabError(
            f"passwd -{min(refused)} is not emulated"
            if refused
            else "passwd without -d, -l, -N, -s, -u is not emulated"
        )
    if len(modes) > 1 or len(words) != (0 if "a" in given else 1) or given.get("r", "files") != "files":
        call.err(PASSWD_USAGE)
        return 2
    if not call.privileged:
        return call.fail("Permission denied")
    files = Files(_root(call))
    rows = files.rows("shadow")
    if "s" in modes:
        return _status(call, rows, words)
    row = next((row for row in rows if row[0] == words[0] and len(row) > 2), None)
    if row is None:
        return call.fail(f"passwd: User unknown: {words[0]}\nPermission denied")
    row[1] = _locked(row[1], modes.pop())
    files.save("shadow", rows)
    call.out(f"passwd: password information changed for {words[0]}\n")
    return 0


def _locked(field: str, mode: str) -> str:
    """The second field of shadow after -d, -l, -N or -u (gate, passwdutil, files_attr.c)."""
    if mode == "l":
        return field if field.startswith("*LK*") else f"*LK*{field}"
    if mode == "u":
        return field.removeprefix("*LK*")
    return "NP" if mode == "N" else ""


def _status(call: Call, rows: Sequence[Sequence[str]], words: Sequence[str]) -> int:
    wanted = [row for row in rows if len(row) > 2 and (not words or row[0] in words)]
    if not wanted:
        return call.fail(f"passwd: User unknown: {words[0]}\nPermission denied")
    for row in wanted:
        call.out(f"{row[0]}  {_word(row[1])}\n")
    return 0


def _word(field: str) -> str:
    if field.startswith("*LK*"):
        return "LK"
    return {"NP": "NL", "": "NP", "UP": "UP"}.get(field, "PS")
