"""A job that stops before each of its host commands and tries what happens if just this one goes wrong.

Running a job anew for every command and every way to fail costs the square of its length. Here it runs once. Before
each command the lab is copied aside; a fork of the process meets the fault in the lab itself, so that every path,
lock and open file is what it would be; what it leaves is recovered and looked at by a third process; then the lab is
put back and the job goes on, with its files and locks opened again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import KILLED, Lab, LabHost
from zonemgr.host.door import CallableHost, Chunk
from zonemgr.lab import inprocess

KINDS = ("fail", "kill-caller-before", "kill-caller-after")
# Every fault at every command takes long; without this every change and one question in three meet one, by turns.
WHOLE = os.environ.get("TEST_SWEEP") == "whole"
# These change nothing, so that it is all the same whether the caller is killed before or after.
QUESTIONS = (
    "zfs list", "zfs get", "zfs holds", "zoneadm list", "beadm list", "dladm show-link", "dladm show-vnic",
    "dladm show-phys", "pkg list", "pkg publisher", "svcs", "cat", "test", "id", "getent", "profiles",
)  # fmt: skip
Verdict = Callable[[Lab], list[str]]  # what is wrong with a world after the recovery


class Crossroads(Lab):
    """A lab whose job is to be tried at every command; `judge` looks at what each fault has left."""

    def watch(self, judge: Verdict, aside: Path) -> None:
        self.judge, self.aside = judge, aside
        self.number = 0
        self.seen: object = None  # zonemgr's own files when it was last killed, if the host is the same since
        self.trouble: list[str] = []
        self.forked = False

    def door(self, *, dry_run: bool = False, report: Any = None) -> CallableHost:
        def pause(seconds: float) -> None:
            self.world.advance(seconds)

        elevate = () if self.user == "root" else ("pfexec",)
        door = LabHost(self._execute, pause, dry_run=dry_run, elevate=elevate, log=self._log, report=report)
        door.world = self.world
        return door

    def _execute(
        self, argv: tuple[str, ...], stdin: bytes, out: Chunk | None, err: Chunk | None, limit: float | None
    ) -> tuple[int, str, str]:
        if not self.forked:
            self.number += 1
            files = [self.world.path(word) for word in argv if Path(word).name.startswith("zonemgr-")]
            placed = {path: path.read_text() for path in files}
            for kind in self._kinds(argv):
                told = self._try(kind, lambda: super(Crossroads, self)._execute(argv, stdin, out, err, limit))
                if told is not None:
                    return told  # in the fork: the job goes on with the failure
                for path, text in placed.items():  # the fork has removed them as it unwound
                    path.write_text(text)
        return super()._execute(argv, stdin, out, err, limit)

    def _kinds(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """The faults worth trying here: to be killed makes a difference only when something has changed since."""
        question = len(argv) > 1 and " ".join(argv[:2]).startswith(QUESTIONS)
        if question and not WHOLE and self.number % 3:
            return ()
        noted = sorted(
            (str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self._own_files()
        )
        known, self.seen = noted == self.seen, noted if question else None
        kinds = KINDS[:2] if question else KINDS
        worth = tuple(kind for kind in kinds if not (known and kind == "kill-caller-before"))
        return worth if WHOLE or len(worth) < 2 else (worth[self.number % len(worth)],)

    def _own_files(self) -> list[Path]:
        """What zonemgr itself keeps on the host and a recovery goes by: journals, records, locks; not its logs."""
        kept = Path(self.config.state.directory).rglob("*")
        return [path for path in kept if path.is_file() and path.suffix != ".log"]

    def _try(self, kind: str, command: Callable[[], Any]) -> Any:
        """One fault at this place; the answer of the command in the fork, None in the process that goes on."""
        inprocess.copy(self.world, self.aside).close()
        self.world.close()
        pid = os.fork()
        if pid == 0:
            return self._meet(kind, command)
        files = _let_go(self.world.dir)
        _, status = os.waitpid(pid, 0)
        self.trouble += self._recovered(kind, status)
        shutil.rmtree(self.world.dir)
        self.aside.rename(self.world.dir)
        _take_again(files)
        self._open()
        return None

    def _meet(self, kind: str, command: Callable[[], Any]) -> Any:
        self.forked = True
        self._open()
        if kind == "kill-caller-before":
            os.kill(os.getpid(), 9)
        if kind == "fail":
            self.inside.fault("fail,stderr=broken on purpose")
        answer = command()
        if kind == "kill-caller-after":
            os.kill(os.getpid(), 9)
        return answer

    def _open(self) -> None:
        self.world = type(self.world)(self.world.dir)
        self.inside = inprocess.InProcess(self.world)

    def _recovered(self, kind: str, status: int) -> list[str]:
        """Recover and judge in a process of its own: this one's memory still knows the run."""
        ended = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        where = f"{kind}@{self.number}"
        if (ended == KILLED) != (kind != "fail"):
            return [f"{where}: the job ended with {ended}"]
        reading, writing = os.pipe()
        if os.fork() == 0:
            try:
                said = self.judge(Lab(type(self.world)(self.world.dir)))
                os.write(writing, "\n".join(f"{where}: {line}" for line in said).encode()[:60000])
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            text = answer.read().decode()
        os.wait()
        return text.splitlines()


OpenFile = tuple[int, str, int, bool]  # number, path, flags, locked


def _let_go(below: Path) -> list[OpenFile]:
    """Let go of all files below a directory, and so of the locks on them, without giving up their numbers."""
    found: list[OpenFile] = []
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for entry in list(Path("/proc/self/fd").iterdir()):
        name = entry.name
        try:
            path = str(entry.readlink())
            info = Path(f"/proc/self/fdinfo/{name}").read_text()
        except OSError:
            continue  # the listing's own
        if path.startswith(f"{below}/"):
            flags = next(int(line.split()[1], 8) for line in info.splitlines() if line.startswith("flags:"))
            found.append((int(name), path, flags, "FLOCK" in info))
            os.dup2(nothing, int(name), inheritable=False)
    os.close(nothing)
    return found


def _take_again(files: list[OpenFile]) -> None:
    for number, path, flags, locked in files:
        path = path.removesuffix(" (deleted)")  # by a fork that was done before we let go
        if not Path(path).exists():
            continue
        fresh = os.open(path, flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC))
        os.dup2(fresh, number, inheritable=False)
        os.close(fresh)
        if locked:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
