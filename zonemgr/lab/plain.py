"""Commands every Unix has, for callers without the machine's own: what zonemgr and the emulated scripts use of them.

What they do not know they refuse: they must not say yes to a question they did not understand.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from zonemgr.lab import place
from zonemgr.lab.call import Call


def true(call: Call) -> int:
    return 0


def false(call: Call) -> int:
    return 255  # of illumos, where it is not 1


def cat(call: Call) -> int:
    status = 0
    if any(word.startswith("-") and word != "-" for word in call.argv[1:]):
        return call.fail("lab: cat with options is not emulated")
    for name in call.argv[1:] or ["-"]:
        try:
            call.stdout.write(call.stdin.read() if name == "-" else _open(call, name))
        except OSError as trouble:
            status = call.fail(f"cat: cannot open {name}: {trouble.strerror}", 2)
    return status


def _open(call: Call, name: str) -> bytes:
    path = call.path(name)
    if path.exists() and not call.privileged and not path.stat().st_mode & stat.S_IROTH:
        raise PermissionError(13, "Permission denied")
    return path.read_bytes()


def rmdir(call: Call) -> int:
    status = 0
    for name in call.argv[1:]:
        try:
            call.path(name).rmdir()
        except OSError as trouble:
            status = call.fail(f'rmdir: directory "{name}": {trouble.strerror}', 2)
    return status


# -- test ------------------------------------------------------------------------------------------------------

FILES: dict[str, Callable[[Path], bool]] = {
    "-e": Path.exists,
    "-f": Path.is_file,
    "-d": Path.is_dir,
    "-L": Path.is_symlink,
    "-h": Path.is_symlink,
    "-r": Path.exists,
    "-w": Path.exists,
    "-s": lambda path: path.exists() and path.stat().st_size > 0,
    "-x": lambda path: path.exists() and (path.is_dir() or bool(path.stat().st_mode & 0o111)),
}


def test(call: Call) -> int:
    words = call.argv[1:]
    wanted = True
    while words[:1] == ["!"]:
        words, wanted = words[1:], not wanted
    answer = _answer(call, words)
    if answer is None:
        return call.fail("lab: test " + " ".join(words) + " is not emulated", 2)
    return 0 if answer == wanted else 1


def _answer(call: Call, words: Sequence[str]) -> bool | None:
    if len(words) < 2:
        return bool(words and words[0])
    if len(words) == 2 and words[0] in ("-n", "-z"):
        return bool(words[1]) == (words[0] == "-n")
    if len(words) == 2 and words[0] in FILES:
        return FILES[words[0]](call.path(words[1]))
    if len(words) == 3 and words[1] in ("=", "!="):
        return (words[0] == words[2]) == (words[1] == "=")
    return None


# -- who and where ---------------------------------------------------------------------------------------------


def _entries(call: Call, file: str) -> list[list[str]]:
    text = place.read(place.here(call).root, f"etc/{file}") or ""
    return [line.split(":") for line in text.splitlines() if line and not line.startswith("#")]


def identity(call: Call) -> int:
    words = call.argv[1:]
    user = next((entry for entry in _entries(call, "passwd") if entry[0] == call.user), None)
    if user is None:
        return call.fail(f'id: invalid user name: "{call.user}"')
    if not words:
        group = next((entry[0] for entry in _entries(call, "group") if entry[2] == user[3]), user[3])
        call.out(f"uid={user[2]}({user[0]}) gid={user[3]}({group})\n")
        return 0
    answers = {"-u": user[2], "-un": user[0], "-nu": user[0], "-g": user[3]}
    word = "".join(words) if words in (["-u", "-n"], ["-n", "-u"]) else " ".join(words)
    word = {"-u-n": "-un", "-n-u": "-nu"}.get(word, word)
    if word not in answers:
        return call.fail(f"lab: id {' '.join(words)} is not emulated")
    call.out(f"{answers[word]}\n")
    return 0


def getent(call: Call) -> int:
    """passwd, group, user_attr; 2 when an entry is missing, as getent(8) has it."""
    words = call.argv[1:]
    files = {"passwd": "passwd", "group": "group", "hosts": "inet/hosts", "user_attr": "user_attr"}
    if not words:
        return call.fail("usage: getent database [ key ... ]", 1)
    if words[0] not in files:
        return call.fail(f"lab: getent {words[0]} is not emulated", 1)
    if words[0] == "hosts":
        return call.fail("lab: getent hosts is not emulated", 1)
    entries = _entries(call, files[words[0]])
    if len(words) == 1:
        call.out("".join(":".join(entry) + "\n" for entry in entries))
        return 0
    found = [next((entry for entry in entries if key in (entry[0], entry[2])), None) for key in words[1:]]
    call.out("".join(":".join(entry) + "\n" for entry in found if entry is not None))
    return 2 if None in found else 0


def uname(call: Call) -> int:
    where = place.here(call)
    node = (place.read(where.root, "etc/nodename") or call.zone or "unknown").strip()
    version = "omnios-r151058" if where.omnios else "illumos-2024.10"
    parts = {
        "s": "SunOS",
        "n": node,
        "r": "5.11",
        "v": version,
        "m": "i86pc",
        "p": "i386",
        "i": "i86pc",
        "o": "illumos",
    }
    letters = "".join(word.lstrip("-") for word in call.argv[1:]) or "s"
    letters = "snrvmpi" if "a" in letters else letters
    unknown = [letter for letter in letters if letter not in parts]
    if unknown or any(not word.startswith("-") for word in call.argv[1:]):
        return call.fail("usage:\tuname [-snrvmapiX]\n\tuname [-S system_name]")
    call.out(" ".join(parts[letter] for letter in "snrvmpio" if letter in letters) + "\n")
    return 0
