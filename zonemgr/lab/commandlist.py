"""commands.txt, the list of an illumos host's programs and of what a lab makes of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EMULATED, MACHINE, REFUSED = VERDICTS = ("emulated", "machine", "refused")
# Where a program is, by the word for it in the list.
FOLDERS = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "root": "sbin",
    "xpg4": "usr/xpg4/bin",
    "gnu": "usr/gnu/bin",
    "lib": "",
}


@dataclass(frozen=True)
class Entry:
    name: str  # or a pattern of the shell, for the machine's programs
    verdict: str
    folders: tuple[str, ...]  # words of FOLDERS
    options: str = ""  # what a machine's program may be told, in the notation of checked.py; "": anything


def read() -> list[Entry]:
    return [_entry(line) for line in _lines() if line and not line.startswith("#")]


def _lines() -> list[str]:
    return (Path(__file__).parent / "commands.txt").read_text().splitlines()


def _entry(line: str) -> Entry:
    name, verdict, folders, options = [*line.split(), ""][:4]
    return Entry(name, verdict, tuple(folders.split(",")), options)
