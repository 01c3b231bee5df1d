"""What happens round every command given to a lab: log, faults, latency. Commands in commands have none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from zonemgr.lab import tools
from zonemgr.lab.call import Call
from zonemgr.lab.world import SCHEMA, LabError, World

SCHEMA.append(
    # exit is null while the command runs, and for ever when it was killed from outside.
    "create table log (id integer primary key, started real not null, seconds real, argv text not null,"
    " exit integer, user text not null, run text not null)"
)

KILLED = -9


class Ways(Protocol):
    """How the process this runs in does what a fault or a latency profile asks of it."""

    def wait(self, seconds: float) -> None: ...

    def hang(self) -> None:
        """Never return: be killed, or raise the caller's time limit."""

    def kill_caller(self) -> None: ...

    def reboot(self) -> None:
        """Take the host's power away, and the caller with it."""


def run(call: Call, ways: Ways, *, run_id: str = "") -> int:
    """Run one command as its caller sees it; the exit status, or minus the signal that killed it."""
    entry = _begin(call, run_id)
    started = call.world.now()
    # Said before anybody is killed on purpose, so that the log knows the end of every story.
    ended = _Ended(call.world, entry, started)
    try:
        status = _with_faults(call, ways, ended, run_id)
    except LabError as trouble:
        status = call.fail(f"lab: {trouble}")
    except BaseException:
        ended(None)
        raise
    ended(status)
    return status


class _Ended:
    """Completes a command's row in the log."""

    def __init__(self, world: World, entry: int, started: float) -> None:
        self.world, self.entry, self.started = world, entry, started

    def __call__(self, status: int | None) -> None:
        self.world.db.execute(
            "update log set seconds = ?, exit = ? where id = ?",
            (self.world.now() - self.started, status, self.entry),
        )


def _begin(call: Call, run_id: str) -> int:
    cursor = call.world.db.execute(
        "insert into log (started, argv, user, run) values (?, ?, ?, ?)",
        (call.world.now(), json.dumps([call.name, *call.argv[1:]]), call.user, run_id),
    )
    return int(cursor.lastrowid or 0)


def _with_faults(call: Call, ways: Ways, ended: _Ended, run_id: str) -> int:
    fault = None
    if call.world.db.execute("select 1 from faults where run = ?", (run_id,)).fetchone():
        from zonemgr.lab import faults

        fault = faults.due(call.world, call.argv, run_id)
    if call.world.latency != "none":
        from zonemgr.lab import latency

        ways.wait(latency.seconds(call.argv))
    if fault is None:
        return _tool(call)
    if fault.kind == "fail":
        if fault.stderr:
            call.err(fault.stderr if fault.stderr.endswith("\n") else fault.stderr + "\n")
        return fault.exit
    return _violence(fault.kind, call, ways, ended)


def _violence(kind: str, call: Call, ways: Ways, ended: _Ended) -> int:
    if kind.endswith("-after"):
        quiet = _Nowhere()
        _tool(replace(call, stdout=quiet, stderr=quiet))
    ended(KILLED)
    if kind == "hang":
        ways.hang()
    elif kind == "reboot":
        ways.reboot()
    elif kind.startswith("kill-caller"):
        ways.kill_caller()
    return KILLED


class _Nowhere:
    """Output of a command whose end nobody lives to see."""

    def write(self, data: bytes, /) -> object:
        return len(data)


def _tool(call: Call) -> int:
    try:
        tool = tools.find(call.argv[0])
    except KeyError:
        return call.fail(f"lab: {call.name} is not emulated", 127)
    return tool(call)


def log(world: World) -> list[dict[str, Any]]:
    """Every command since the lab was made, oldest first; `exit` is None for one still running or killed."""
    rows = world.db.execute("select id, started, seconds, argv, exit, user from log order by id")
    return [{**dict(row), "argv": json.loads(row["argv"])} for row in rows]


def since(world: World, entry: int = 0) -> list[Sequence[str]]:
    """The argument lists of the commands after this log entry."""
    rows = world.db.execute("select argv from log where id > ? order by id", (entry,))
    return [json.loads(row[0]) for row in rows]
