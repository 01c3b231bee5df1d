"""What `pkg update` would do to an image that is seen from outside, asked with its dry run.

`-n` plans and changes nothing; exit 4 means that there is nothing to update. The plan is read from
`-v`, whose part `Changed packages:` has the publisher at the left, a package two columns in, and four columns in
`OLD -> NEW`, with `None` for a package that comes or goes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from zonemgr.host import pkg
from zonemgr.host.door import Host

HEADING = "Changed packages:"


@dataclass(frozen=True)
class PackageChange:
    """One package in a plan; `old` is empty for one that comes, `new` for one that goes."""

    name: str
    old: str = ""
    new: str = ""

    def __str__(self) -> str:
        if self.old and self.new:
            return f"{self.name} {self.old} -> {self.new}"
        return f"{self.name} {self.new} (new)" if self.new else f"{self.name} {self.old} (removed)"


def update(host: Host, root: str, *, limit: float | None = None) -> list[PackageChange]:
    """What an update of the image below this mounted root would change; empty when it is up to date.

    Only what was fetched before counts (`--no-refresh`). Waits for a locked image as all of pkg does; raises
    CommandError with pkg's reason when no plan can be made.
    """
    words = ("pkg", "-R", root, "update", "-n", "-v", "--accept", "--no-refresh")
    for seconds in (*pkg.LOCK_PAUSES, None):
        planned = host.ask(*words, ok=range(256), limit=limit, elevated=True)
        if not pkg.in_use(planned):
            break
        if seconds is not None:
            host.pause(seconds)
    if planned.exit_code == pkg.NOTHING_TO_DO:
        return []
    if planned.exit_code != 0:
        raise pkg.explained(planned, "update")
    return parse(planned.stdout) or [PackageChange("pkg", new="a plan that could not be read")]


def parse(text: str) -> list[PackageChange]:
    """The changes in the output of `-v`, in pkg's order."""
    lines = text.splitlines()
    if HEADING not in lines:
        return []
    return _changes(lines[lines.index(HEADING) + 1 :])


def _changes(lines: Sequence[str]) -> list[PackageChange]:
    found: list[PackageChange] = []
    name = ""
    for line in lines:
        if not line.strip():
            break
        if re.match(r" {2}\S", line):
            name = line.strip()
        elif name and (versions := re.fullmatch(r" {4}(\S+)(?: -> (\S+))?", line.rstrip())):
            old, new = versions[1], versions[2] or versions[1]
            found.append(PackageChange(name, "" if old == "None" else old, "" if new == "None" else new))
            name = ""
    return found
