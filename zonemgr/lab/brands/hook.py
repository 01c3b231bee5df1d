"""A brand's hook while it runs: where its messages go and how it ends.

The hooks are shell scripts on illumos. Here a hook is a function `(call, argv) -> exit status`, with the script's
name as argv[0]; zoneadm and zoneadmd run it with `run` and know nothing of what is inside.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from zonemgr.lab.brands.options import Parsed, getopts
from zonemgr.lab.call import Call, Finished

OK, USAGE, NOT_COMPLETE, FATAL = 0, 253, 254, 255

Body = Callable[["Hook"], None]


class HookExit(Exception):
    """The script called `exit`."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Killed(Exception):
    """A fault killed the script, and zoneadm with it: signal 9, nothing is tidied up."""


@dataclass
class Hook:
    """One running script.

    OpenIndiana's scripts write their errors to stdout. OmniOS' write them to stderr and to <zonepath>/log/zone.log,
    and from the first one on the log takes all of the script's stderr.
    """

    call: Call
    argv: list[str]
    zone: str = ""
    zonepath: str = ""
    usage: str = ""
    log: list[str] | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        return self.argv[0]

    def out(self, text: str) -> None:
        self.call.out(text)

    def err(self, text: str) -> None:
        if self.log is None:
            self.call.err(text)
        else:
            self._append(text)

    def run(self, *argv: str, quiet: bool = False) -> Finished:
        """Run a command of the global zone; its stderr is the script's (`quiet`: 2>/dev/null)."""
        done = self.call.run(*argv)
        if not quiet and done.stderr:
            self.err(done.stderr)
        return done

    def ok(self, *argv: str) -> bool:
        """Run a command for its effect: both its outputs are the script's."""
        done = self.run(*argv)
        if done.stdout:
            self.out(done.stdout)
        return done.exit_code == 0

    def error(self, message: str) -> None:
        if not self.call.world.omnios:
            self.out(f"ERROR: {message}\n")
            return
        first = self.log is None
        self._open_log()
        if first:
            self.call.err(f"ERROR: {message}\n")
        else:
            self._append(f"ERROR: {message}\n")
        self._append(f"[{self._date()}] ERROR: {message}\n")

    def remark(self, message: str) -> None:
        """What the scripts only say to a log that is already open."""
        if self.log is not None:
            self._append(f"[{self._date()}] {message}\n")

    def note(self, message: str) -> None:
        """A line for the log alone, which is opened for it (OmniOS)."""
        self._open_log()
        self._append(f"[{self._date()}] {message}\n")

    def options(self, spec: str, words: list[str], *, usage: str = "") -> Parsed:
        """getopts in a loop that ends with the usage at the first wrong letter."""
        parsed = getopts(spec, words)
        if parsed.wrong:
            letter = parsed.wrong[0]
            trouble = "argument expected" if letter in parsed.missing else "unknown option"
            self.err(f"{self.name}: -{letter}: {trouble}\n")
            raise self.misused(usage)
        return parsed

    def fatal(self, message: str) -> HookExit:
        self.error(message)
        return HookExit(FATAL)

    def incomplete(self, message: str) -> HookExit:
        self.err(f"ERROR: {message}\n")
        return HookExit(NOT_COMPLETE)

    def misused(self, message: str = "") -> HookExit:
        self.err(f"{message}\nbrand-specific usage: {self.usage}\n")
        return HookExit(USAGE)

    def _open_log(self) -> None:
        if self.log is not None:
            return
        folder = self.call.world.path(f"{self.zonepath}/log")
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "zone.log"
        file.touch(0o600)
        self.log = [str(file)]

    def _append(self, text: str) -> None:
        assert self.log is not None
        with open(self.log[0], "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)

    def _date(self) -> str:
        now = time.gmtime(self.call.world.now())
        return time.strftime("%A, %B %e, %Y at %I:%M:%S %p UTC", now)


def run(call: Call, argv: list[str], body: Body, *, usage: str = "") -> int:
    """Run a hook to its end; the exit status."""
    try:
        body(Hook(call, argv, usage=usage))
    except HookExit as end:
        return end.status
    return OK
