"""dd, chmod, mv, rm, wc for callers without the machine's own, as far as zonemgr uses them on files of the host."""

from __future__ import annotations

import shutil

from zonemgr.lab.call import Call


def dd(call: Call) -> int:
    """`if= of= bs= count= skip= conv=notrunc`; the counts go to stderr as ever."""
    given = dict(word.partition("=")[::2] for word in call.argv[1:])
    if (
        not given.keys() <= {"if", "of", "bs", "count", "skip", "conv"}
        or given.get("conv", "notrunc") != "notrunc"
    ):
        return call.fail("lab: dd with these operands is not emulated", 2)
    block = int(given.get("bs", "512"))
    most = int(given["count"]) * block if "count" in given else -1
    try:
        data = _read(call, given.get("if", ""), int(given.get("skip", "0")) * block, most)
        _write(call, given.get("of", ""), data, keep="conv" in given)
    except OSError as trouble:
        return call.fail(f"dd: {trouble.filename or ''}: open: {trouble.strerror}", 2)
    records = f"{len(data) // block}+{int(bool(len(data) % block))} records"
    call.err(f"{records} in\n{records} out\n")
    return 0


def _read(call: Call, name: str, start: int, count: int) -> bytes:
    """`count` bytes, or (-1) to the end."""
    if name == "/dev/zero":
        return bytes(max(count, 0))
    if not name:
        call.stdin.read(start)
        return call.stdin.read(count)
    with call.path(name).open("rb") as file:
        file.seek(start)
        return file.read(count)


def _write(call: Call, name: str, data: bytes, *, keep: bool) -> None:
    if not name:
        call.stdout.write(data)
        return
    path = call.path(name)
    if keep and path.exists():
        with path.open("r+b") as file:
            file.write(data)
        return
    path.write_bytes(data)


def chmod(call: Call) -> int:
    if len(call.argv) != 3 or not call.argv[1].isdigit():
        return call.fail("lab: chmod with these operands is not emulated", 2)
    try:
        call.path(call.argv[2]).chmod(int(call.argv[1], 8))
    except OSError as trouble:
        return call.fail(f"chmod: WARNING: can't access {call.argv[2]}: {trouble.strerror}")
    return 0


def mkdir(call: Call) -> int:
    """One directory. Only root may make one where zonemgr wants it; nobody else's directories are looked into."""
    if len(call.argv) != 2 or call.argv[1].startswith("-"):
        return call.fail("lab: mkdir with these operands is not emulated", 2)
    name = call.argv[1]
    if not call.privileged:
        return call.fail(f'mkdir: Failed to make directory "{name}"; Permission denied', 2)
    try:
        call.path(name).mkdir()
    except OSError as trouble:
        return call.fail(f'mkdir: Failed to make directory "{name}"; {trouble.strerror}', 2)
    return 0


def mv(call: Call) -> int:
    if len(call.argv) != 3 or call.argv[1].startswith("-"):
        return call.fail("lab: mv with these operands is not emulated", 2)
    source, target = call.path(call.argv[1]), call.path(call.argv[2])
    try:
        shutil.move(str(source), str(target / source.name if target.is_dir() else target))
    except OSError as trouble:
        return call.fail(f"mv: cannot access {call.argv[1]}: {trouble.strerror}", 2)
    return 0


def rm(call: Call) -> int:
    words = call.argv[1:]
    if words[:1] != ["-f"] or any(word.startswith("-") for word in words[1:]):
        return call.fail("lab: rm with these operands is not emulated", 2)
    for name in words[1:]:
        if call.path(name).is_dir():
            return call.fail(f"rm: {name} is a directory", 2)
        call.path(name).unlink(missing_ok=True)
    return 0


def wc(call: Call) -> int:
    if call.argv[1:] != ["-c"]:
        return call.fail("lab: wc but of bytes is not emulated", 2)
    call.out(f"{len(call.stdin.read()):8d}\n")
    return 0
