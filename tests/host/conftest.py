"""A host whose commands are answered by pytest-subprocess, so that a test shows each argument list.

pytest-subprocess stands in for subprocess.Popen. The real door starts programs with the sh library, which
forks by itself, so it cannot be intercepted; a CallableHost over subprocess.run can, and everything but the
running itself is the same code. The running is tested with real programs in test_host_door.py.
"""

from __future__ import annotations

import io
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from pytest_subprocess import FakeProcess

from zonemgr.host.door import CallableHost, CommandLine


class Illumos:
    """What the host answers, what it was told, and how long was waited."""

    def __init__(self, fake: FakeProcess) -> None:
        self._fake = fake
        self.waited: list[float] = []
        self.fed: list[str] = []
        self.log: list[CommandLine] = []
        self.host = CallableHost(self._execute, self.waited.append, elevate=("pfexec",), log=self.log.append)
        self.dry = CallableHost(self._execute, self.waited.append, dry_run=True)

    def answers(
        self, command: str, stdout: str = "", stderr: str = "", status: int = 0, times: int = 1
    ) -> None:
        """The next command must be able to be this one; anything that was not announced fails the test."""
        words = shlex.split(command)
        self._fake.register(words, stdout=stdout, stderr=stderr, returncode=status, occurrences=times)

    def answers_any(self, *words: Any, reply: Callable[[list[str]], tuple[str, str, int]]) -> None:
        """Answer commands that begin so by looking at their words."""

        def act(process: Any) -> None:
            out, err, process.returncode = reply(list(process.args))
            process.stdout, process.stderr = io.BytesIO(out.encode()), io.BytesIO(err.encode())

        self._fake.register([*words, self._fake.any()], callback=act, occurrences=99)

    @property
    def told(self) -> list[str]:
        """The commands that were run, in order."""
        return [shlex.join(map(str, call)) for call in self._fake.calls]

    def _execute(self, argv, stdin, on_stdout, on_stderr, limit):  # type: ignore[no-untyped-def]
        self.fed.append(stdin.decode())
        done = subprocess.run(list(argv), capture_output=True, check=False)
        out, err = done.stdout or b"", done.stderr or b""
        if on_stdout is None:
            return done.returncode, out.decode(), err.decode()
        on_stdout(out)
        on_stderr(err)
        return done.returncode, "", ""


@pytest.fixture
def illumos(fp: FakeProcess) -> Illumos:
    return Illumos(fp)
