"""Commands every Unix has, for callers without the machine's own: what zonemgr and the emulated scripts use of them.

What they do not know they refuse: they must not say yes to a question they did not understand.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

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


def readlink(call: Call) -> int:
    """`readlink -f PATH`: the path without symbolic links; an absolute one starts at the lab's root again."""
    if len(call.argv) != 3 or call.argv[1] != "-f":
        return call.fail("lab: readlink without -f is not emulated", 2)
    parts, found = call.argv[2].strip("/").split("/")[::-1], ""
    for _ in range(1000):
        if not parts:
            call.out(f"{found or '/'}\n")
            return 0
        part = parts.pop()
        place = call.world.path(f"{found}/{part}")
        if part == "..":
            found = found.rpartition("/")[0]
        elif place.is_symlink():
            leads_to = os.readlink(place)
            found = "" if leads_to.startswith("/") else found
            parts += leads_to.strip("/").split("/")[::-1]
        elif part not in ("", "."):
            found = f"{found}/{part}"
    return call.fail(f"readlink: {call.argv[2]}: Too many levels of symbolic links", 1)


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
