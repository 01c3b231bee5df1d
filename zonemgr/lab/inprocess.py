"""The lab entered in the same process: for tests, and for a door that needs no namespaces.

Time does not pass here: latency and hanging commands move the lab's clock. A fault kills this process.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from zonemgr.lab import dispatch, faults
from zonemgr.lab.call import Call, Finished, Sink, TimeLimit
from zonemgr.lab.power import reboot
from zonemgr.lab.world import LabError, World

Chunk = Callable[[bytes], None]

# Rows that say how the world came about, not what it looks like.
NOT_STATE = ("log", "faults", "callers", "facts", "sqlite_sequence")
# What counts of a data link: not its number or its invented address.
LINK = "name, class, over, vid, mtu, temporary, zone, up, props"
# Below LAB/host: logs, which grow with everything that happens, and what only serves the machine's programs.
NOT_TREE = ("var/log", "var/adm/sulog", "var/svc/log", "etc/mnttab")


class InProcess:
    """Runs commands in an open world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def run(
        self,
        argv: Sequence[str],
        stdin: bytes = b"",
        on_stdout: Chunk | None = None,
        on_stderr: Chunk | None = None,
        limit: float | None = None,
        user: str = "root",
    ) -> Finished:
        """Run one command to its end. Output handed to a callback is not in what is returned.

        Raises TimeLimit when it would take longer than `limit`.
        """
        out, err = _Output(on_stdout), _Output(on_stderr)
        call = Call(self.world, list(argv), io.BytesIO(stdin), out, err, {}, "/", user, user == "root")
        call.limit = limit
        status = dispatch.run(call, _SameProcess(self.world, argv, limit))
        return Finished(status, out.text(), err.text())

    def fails(self, pattern: str, *, stderr: str = "", exit: int = 1, at: int = 1, times: int = 1) -> None:
        """Arm a fault: the `at`th command matching the pattern fails like this."""
        faults.add(self.world, faults.Fault("fail", pattern, at, times, exit, stderr))

    def fault(self, spec: str) -> None:
        """Arm a fault written in the grammar of `zonemgr lab run --fault`."""
        faults.add(self.world, faults.parse(spec))

    def log(self) -> list[dict[str, Any]]:
        return dispatch.log(self.world)

    def everything(self) -> dict[str, Any]:
        return everything(self.world)


class _Output:
    """A sink that keeps what it gets, or passes it on."""

    def __init__(self, chunk: Chunk | None) -> None:
        self.chunk, self.kept = chunk, io.BytesIO()

    def write(self, data: bytes, /) -> object:
        if self.chunk is None:
            return self.kept.write(data)
        self.chunk(bytes(data))
        return len(data)

    def text(self) -> str:
        return self.kept.getvalue().decode("utf-8", "surrogateescape")


class _SameProcess:
    """dispatch.Ways without a process of the command's own."""

    def __init__(self, world: World, argv: Sequence[str], limit: float | None) -> None:
        self.world, self.argv, self.limit = world, argv, limit

    def wait(self, seconds: float) -> None:
        if self.limit is not None and seconds >= self.limit:
            self.world.advance(self.limit)
            raise TimeLimit(self.argv, self.limit)
        self.world.advance(seconds)

    def hang(self) -> None:
        if self.limit is None:
            raise LabError(f"{self.argv[0]} hangs and the caller set no time limit: it would never go on")
        self.wait(self.limit)

    def kill_caller(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def reboot(self) -> None:
        reboot(self.world)
        self.kill_caller()


# -- comparing worlds --------------------------------------------------------------------------------------


def everything(world: World) -> dict[str, Any]:
    """The whole state of a lab as plain data: two labs are alike if and only if these are equal."""
    import importlib

    found: dict[str, Any] = {}
    for module in ("zfs", "zonestore"):
        found[module] = importlib.import_module(f"zonemgr.lab.{module}").everything(world)
    active = world.db.execute("select name, state from kernel_zones order by name")
    found["kernel_zones"] = {row["name"]: row["state"] for row in active}
    found["links"] = [dict(row) for row in world.db.execute(f"select {LINK} from links order by name")]
    found["files"] = dict(_files(world))
    return found


def _files(world: World) -> Iterator[tuple[str, tuple[str, int, str]]]:
    pending = [world.host]
    while pending:
        folder = pending.pop()
        for entry in sorted(os.scandir(folder), key=lambda each: each.name):
            name = Path(entry.path).relative_to(world.host).as_posix()
            if name.endswith(NOT_TREE):
                continue
            mode = entry.stat(follow_symlinks=False).st_mode
            if folder == world.host and (not world.owns(name) or name == "tmp"):  # /tmp is empty after a boot
                continue
            if stat.S_ISDIR(mode):
                pending.append(Path(entry.path))
            yield "/" + name, (_kind(mode), stat.S_IMODE(mode), _content(Path(entry.path), mode))


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "file" if stat.S_ISREG(mode) else "special"


def _content(path: Path, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return str(path.readlink())
    return hashlib.sha1(path.read_bytes()).hexdigest() if stat.S_ISREG(mode) else ""


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """What sets two answers of `everything` apart, a line each, for the message of a failing test."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted({*before, *after}, key=str)
        lines = [differences(before.get(key), after.get(key), f"{where}[{key}]") for key in keys]
        return [line for some in lines for line in some]
    return [f"{where}: {_short(before)} -> {_short(after)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) < 200 else text[:200] + "..."


def copy(world: World, directory: Path) -> World:
    """A second lab like this one, to go a way of its own; no zone may be running in a real cell."""
    import shutil
    import subprocess

    if world.db.execute("select 1 from kernel_zones where init_pid != 0").fetchone():
        raise LabError("a lab with running cells cannot be copied")
    world.db.execute("pragma wal_checkpoint(truncate)")
    directory.mkdir(parents=True)
    parts = [world.dir / part for part in ("lab.json", "world.sqlite", "host", "store")]
    copier = [shutil.which("cp") or "/bin/cp", "-a", "--", *map(str, parts), str(directory)]
    subprocess.run(copier, check=True)
    return World(directory)


__all__ = ["Finished", "InProcess", "Sink", "TimeLimit", "copy", "differences", "everything", "reboot"]
