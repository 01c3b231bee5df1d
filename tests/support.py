"""A lab with zonemgr's door to it, for stories: enter it in-process, arm faults, compare worlds."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zonemgr.config import Config, State
from zonemgr.host.contract import CommandLine
from zonemgr.host.door import CallableHost, Chunk
from zonemgr.lab import inprocess
from zonemgr.lab.call import TimeLimit
from zonemgr.lab.pkg import publish as publishing
from zonemgr.lab.world import World
from zonemgr.workflows.job import Site
from zonemgr.workflows.steps import Quiet

NOT_EMULATED = 127


class Heard(Quiet):
    """A report that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class LabHost(CallableHost):
    """zonemgr's door to a lab in this process; files for its programs lie in the lab's /tmp."""

    world: World

    def _place(self, text: str) -> str:
        path = super()._place(text)
        there = self.world.path(path)
        there.parent.mkdir(mode=0o1777, exist_ok=True)
        shutil.move(path, there)
        return path

    def _remove(self, path: str) -> None:
        self.world.path(path).unlink(missing_ok=True)


@dataclass
class Lab:
    """One lab of a test."""

    world: World
    user: str = "root"
    lines: list[CommandLine] = field(default_factory=list)
    report: Heard = field(default_factory=Heard)

    def __post_init__(self) -> None:
        self.inside = inprocess.InProcess(self.world)

    # -- zonemgr's side ------------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        return replace(Config(), state=State(directory=str(self.world.host / "var/lib/zonemgr")))

    def door(self, *, dry_run: bool = False, report: Callable[[str], None] | None = None) -> CallableHost:
        elevate = () if self.user == "root" else ("pfexec",)
        door = LabHost(
            self._execute, self.world.advance, dry_run=dry_run, elevate=elevate, log=self._log, report=report
        )
        door.world = self.world
        return door

    def site(self, *, dry_run: bool = False, config: Config | None = None) -> Site:
        site = Site(self.door(dry_run=dry_run), config or self.config, self.report, ["zonemgr", "test"])
        self._site = site
        return site

    def _log(self, line: CommandLine) -> None:
        self.lines.append(line)
        if hasattr(self, "_site"):
            self._site.heard(line)

    def _execute(
        self, argv: tuple[str, ...], stdin: bytes, out: Chunk | None, err: Chunk | None, limit: float | None
    ) -> tuple[int, str, str]:
        try:
            ended = self.inside.run(argv, stdin, out, err, limit, self.user)
        except TimeLimit as late:
            raise TimeoutError(str(late)) from None
        if ended.exit_code == NOT_EMULATED and "is not emulated" in ended.stderr:
            raise FileNotFoundError(2, "No such file or directory", argv[0])
        return ended.exit_code, ended.stdout, ended.stderr

    # -- the host's side -----------------------------------------------------------------------------------

    def run(self, *argv: str, ok: bool = True) -> str:
        """A command by hand on the lab; its stdout."""
        ended = self.inside.run(argv)
        assert not ok or ended.exit_code == 0, f"{argv}: {ended}"
        return ended.stdout

    def fails(self, pattern: str, *, stderr: str = "", exit: int = 1, at: int = 1, times: int = 1) -> None:
        self.inside.fails(pattern, stderr=stderr, exit=exit, at=at, times=times)

    def everything(self) -> dict[str, Any]:
        """The host, without zonemgr's own records."""
        found = self.inside.everything()
        found["files"] = {
            path: what for path, what in found["files"].items() if not path.startswith("/var/lib")
        }
        return found

    def commands(self) -> list[Sequence[str]]:
        """Argument lists of all commands so far."""
        return [row["argv"] for row in self.inside.log()]

    def in_zone(self, zone: str, path: str) -> Path:
        """A file of a zone's root, on this machine."""
        for kind in ("diz", "giz"):
            root = self.world.host / "zones" / kind / zone / "root"
            if root.is_dir():
                return root / path.lstrip("/")
        raise AssertionError(f"zone {zone} has no root")

    def publish(
        self,
        package: str,
        version: str = "",
        *,
        publisher: str = "",
        reboot: bool = False,
        depends: Sequence[str] | None = None,
        excludes: Sequence[str] | None = None,
        obsolete: bool = False,
        licence: bool = False,
    ) -> str:
        """Put a package into a repository, without a version the next one; its FMRI. See lab.pkg.publish."""
        return publishing.publish(
            self.world,
            package,
            version,
            publisher=publisher,
            reboot=reboot,
            depends=depends,
            excludes=excludes,
            obsolete=obsolete,
            licence=licence,
        )

    def copy(self, directory: Path) -> Lab:
        return Lab(inprocess.copy(self.world, directory), self.user)


def same(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Two worlds are alike, or the test says where not."""
    differences = inprocess.differences(before, after)
    assert not differences, "\n".join(differences[:20])


def in_child(work: Callable[[], None], output: Path) -> int:
    """Run something in a forked child, which a fault may kill; its exit status, or minus the signal."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with output.open("a") as sink:
                os.dup2(sink.fileno(), 1)
                os.dup2(sink.fileno(), 2)
            work()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException as failure:  # noqa: BLE001 - the child reports by its status and output
            with output.open("a") as sink:
                sink.write(f"{type(failure).__name__}: {failure}\n")
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


KILLED = -signal.SIGKILL
