"""digest(1) of illumos: checksums of files, or of standard input."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from zonemgr.lab import options
from zonemgr.lab.call import Call

ALGORITHMS = ("sha1", "md5", "sha224", "sha256", "sha384", "sha512")
_USAGE = "Usage: digest -l | [-v] -a <algorithm> [file...]"


def digest(call: Call) -> int:
    try:
        found, names = options.parse(call.argv[1:], "lva:")
    except options.BadOption:
        return call.fail(_USAGE)
    given = dict(found)
    if "l" in given and len(found) == 1:
        call.out("".join(f"{name}\n" for name in ALGORITHMS))
        return 0
    if "a" not in given or "l" in given:
        return call.fail(_USAGE)
    algorithm = given["a"]
    if algorithm not in ALGORITHMS:
        return call.fail(f"digest: unknown algorithm: {algorithm}")
    status = 0
    for name in names or [""]:
        try:
            told = _sum(call, algorithm, name)
        except OSError as trouble:
            status = call.fail(f"digest: can not open input file {name}\n{trouble.strerror}")
            continue
        verbose = f"{algorithm} ({name}) = " if name and ("v" in given or len(names) > 1) else ""
        call.out(f"{verbose}{told}\n")
    return status


def _sum(call: Call, algorithm: str, name: str) -> str:
    if not name:
        return _of(call.stdin, algorithm)
    with call.path(name).open("rb") as file:
        return _of(file, algorithm)


def _of(file: BinaryIO, algorithm: str) -> str:
    found = hashlib.new(algorithm)
    while block := file.read(1 << 20):
        found.update(block)
    return found.hexdigest()
