"""Who calls an emulated command started as a program: which `lab run` it belongs to, as which user.

The environment cannot carry that, because callers rightly clean theirs. So a process that starts others on
somebody's behalf (`lab run`, su, pfexec) leaves its process id here, and a command looks for its nearest
ancestor.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from zonemgr.lab.processes import stat
from zonemgr.lab.world import HOST_BOOT, SCHEMA, World

SCHEMA.append(
    "create table callers (pid integer not null, start integer not null, run text not null,"
    " user text not null, privileged integer not null, primary key (pid, start))"
)


@dataclass(frozen=True)
class Caller:
    run: str = ""  # the `lab run` whose faults apply
    user: str = "root"
    privileged: bool = True


def register(world: World, caller: Caller) -> None:
    """From here on, this process and whatever it starts call as this caller."""
    pid = os.getpid()
    world.db.execute(
        "insert or replace into callers values (?, ?, ?, ?, ?)",
        (pid, stat(pid).start, caller.run, caller.user, int(caller.privileged)),
    )


def find(world: World) -> Caller:
    """The caller of this process: what its nearest registered ancestor said."""
    known = {(row["pid"], row["start"]): row for row in world.db.execute("select * from callers")}
    pid = os.getpid() if known else 0
    while pid > 1:
        try:
            found = stat(pid)
        except OSError:
            break
        row = known.get((pid, found.start))
        if row is not None:
            return Caller(row["run"], row["user"], bool(row["privileged"]))
        pid = found.parent
    return Caller()


def forget(world: World, run: str) -> None:
    """A `lab run` has ended; what it left running in the background calls as root, without faults."""
    world.db.execute("delete from callers where run = ?", (run,))


def _forget_all(world: World) -> None:
    world.db.execute("delete from callers")


HOST_BOOT.append(_forget_all)
