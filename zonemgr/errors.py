"""What can go wrong, in an administrator's words; only the command line turns these into text and an exit status."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence


class ZonemgrError(Exception):
    """A failure the operator can act on; `hint` is the next thing to try.

    `exit_code` is what a command other than exec ends with: 1, or 2 for usage.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(ZonemgrError):
    """The command line or a value on it cannot be what was meant."""

    exit_code = 2


class NotThere(ZonemgrError):
    """Something named does not exist on the host."""


class AlreadyThere(ZonemgrError):
    """A name is taken; what has it is somebody else's."""


class NotOurs(ZonemgrError):
    """Refusal to touch what does not bear the expected mark."""


class ConfigError(ZonemgrError):
    """Configuration files or variables are wrong; the message names each fault."""

    exit_code = 2


class CommandError(ZonemgrError):
    """A host command ended badly; keeps all it takes to run it again by hand."""

    def __init__(self, argv: Sequence[str], exit_code: int, stderr: str, hint: str | None = None) -> None:
        super().__init__(f"{argv[0]} exited with {exit_code}: {_last_words(argv[0], stderr)}", hint=hint)
        self.argv = tuple(argv)
        self.command, self.exit_code_of_command, self.stderr = shlex.join(argv), exit_code, stderr


# What zoneadm says when the reason stands on the line before.
CONCLUSION = re.compile(r"call to zoneadmd failed$|failed to verify$|because of the above errors\.$")


def _last_words(name: str, stderr: str) -> str:
    """The last thing a command said, in one line: a list that it indented belongs to the line above."""
    lines = [line for line in stderr.splitlines() if line.strip()] or ["it gave no reason"]
    while len(lines) > 1 and CONCLUSION.search(lines[-1]):
        lines.pop()
    first = max((n for n, line in enumerate(lines) if not line[0].isspace()), default=0)
    said = " ".join(line.strip() for line in lines[first:]).removeprefix(f"{name}: ")
    return said if len(said) <= 300 else said[:299] + "…"


class CommandTimeout(CommandError):
    """A host command was ended because it ran into its time limit."""

    def __init__(self, argv: Sequence[str], limit: float, stderr: str = "") -> None:
        super().__init__(argv, -1, stderr)
        self.args = (f"{argv[0]} was ended: no answer within {limit:g} seconds",)
        self.limit = limit


class CommandNotFound(ZonemgrError):
    """A host command does not exist, so this is not an illumos host."""


class Unsupported(ZonemgrError):
    """A distribution of illumos whose zones zonemgr cannot make."""
