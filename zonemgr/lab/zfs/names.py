"""Names of datasets, snapshots, bookmarks and pools: what is a name, and what libzfs says when it is none."""

from __future__ import annotations

import string

FS, VOL, SNAP, MARK = 1, 2, 4, 8
DATASET = FS | VOL | SNAP
LONGEST = 256  # bytes, with the terminating one
DEEPEST = 50
TYPES = {"filesystem": FS, "volume": VOL, "snapshot": SNAP, "bookmark": MARK}

_LEGAL = frozenset(string.ascii_letters + string.digits + "-_.: ")


class BadName(ValueError):
    """Not a name; the text is libzfs' reason."""


def _component(part: str, legal: frozenset[str]) -> None:
    for char in part:
        if char not in legal:
            raise BadName(f"invalid character '{char}' in name")


def _entity(path: str) -> None:
    """The checks every name must pass, in libzfs' order; `%` passes here (receive makes such names)."""
    if len(path.encode("utf-8", "surrogateescape")) >= LONGEST:
        raise BadName("name is too long")
    if path.startswith("/"):
        raise BadName("leading slash in name")
    if not path:
        raise BadName("empty component in name")
    start, delimiter_seen = 0, False
    while True:
        end = start
        while end < len(path) and path[end] not in "/@#":
            end += 1
        at_end = end == len(path)
        if at_end and start == end and path[end - 1] == "/":
            raise BadName("trailing slash in name")
        _component(path[start:end], _LEGAL | {"%"})
        if not at_end and path[end] in "@#":
            if delimiter_seen:
                raise BadName("multiple '@' and/or '#' delimiters in name")
            delimiter_seen = True
        if start == end:
            raise BadName("empty component in name")
        if at_end:
            return
        if path[end] == "/" and delimiter_seen:
            raise BadName("trailing slash in name")
        start = end + 1


def check(path: str, types: int, *, making: bool = False) -> None:
    """Is this a name for one of these types? `making`: for something new, where `%` is refused."""
    _entity(path)
    if not types & SNAP and "@" in path:
        raise BadName("snapshot delimiter '@' is not expected here")
    if types == SNAP and "@" not in path:
        raise BadName("missing '@' delimiter in snapshot name")
    if not types & MARK and "#" in path:
        raise BadName("bookmark delimiter '#' is not expected here")
    if types == MARK and "#" not in path:
        raise BadName("missing '#' delimiter in bookmark name")
    if making and "%" in path:
        raise BadName("invalid character % in name")


def is_name(path: str, types: int) -> bool:
    try:
        check(path, types)
    except BadName:
        return False
    return True


def component_ok(part: str) -> bool:
    return 0 < len(part) < LONGEST and all(char in _LEGAL for char in part)


def check_pool(name: str, *, making: bool = False) -> None:
    if len(name) >= LONGEST - 2 - 2 * len("$ORIGIN"):
        raise BadName("name is too long")
    for char in name:
        if char not in _LEGAL:
            raise BadName(f"invalid character '{char}' in pool name")
    if not name or name[0] not in string.ascii_letters:
        raise BadName("name must begin with a letter")
    if name in ("mirror", "raidz"):
        raise BadName("name is reserved")
    if name[0] == "c" and name[1:2].isdigit():
        raise BadName("pool name is reserved")
    if making and (name.startswith(("mirror", "raidz", "spare")) or name == "log"):
        raise BadName("name is reserved")


def file_system_of(name: str) -> str:
    """`a/b` of `a/b@s`, `a/b#m` and `a/b`."""
    return name.partition("@")[0].partition("#")[0]


def parent_of(name: str) -> str | None:
    """What holds this: the file system of a snapshot, the dataset above a dataset; None for a pool."""
    above = file_system_of(name)
    if above != name:
        return above
    head, slash, _ = name.rpartition("/")
    return head if slash else None


def pool_of(name: str) -> str:
    return file_system_of(name).partition("/")[0]


def depth(name: str) -> int:
    return file_system_of(name).count("/")
