"""The SMF repository of one root: a text file at etc/svc/repository.db.

What illumos keeps in memory only (temporary enabling, maintenance, the milestone of this boot) stands in it
too, under the boot it belongs to, and counts for nothing after the next one.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zonemgr.lab import place
from zonemgr.lab.place import Place
from zonemgr.lab.smf.services import SINGLE_USER

FILE = "etc/svc/repository.db"


@dataclass
class Kept:
    """What is set of one instance for good."""

    enabled: bool | None = None  # None: as its manifest has it
    comment: str = ""
    properties: dict[str, list[str]] = field(default_factory=dict)  # "config/finished" -> [type, value, ...]


@dataclass
class Passing:
    """What happened to one instance since the boot."""

    since: float = 0.0  # start again from here
    enabled: bool | None = None  # enabled or disabled until reboot
    comment: str = ""
    maintenance: str = ""  # the auxiliary state: administrative_request, method_failed
    degraded: bool = False
    ran: float = 0.0  # the start for which its method did its one run


@dataclass
class Repository:
    imported: bool = False
    milestone: str = "all"  # the default of every boot
    kept: dict[str, Kept] = field(default_factory=dict)
    boot: float = 0.0  # the boot that the rest belongs to
    current: str = ""  # milestone of this boot, empty: the default
    passing: dict[str, Passing] = field(default_factory=dict)
    sulogin: bool = False  # the console waits for the root password; console-login cannot start
    reboot: bool = False  # the zone asked for a reboot and still waits for it
    first: bool = False  # this boot is the one that imports the manifests
    killed: dict[str, float] = field(default_factory=dict)  # when a program of SMF's own was last killed

    def of(self, fmri: str) -> Kept:
        return self.kept.setdefault(fmri, Kept())

    def now(self, fmri: str) -> Passing:
        return self.passing.setdefault(fmri, Passing())

    def property(self, fmri: str, name: str) -> str | None:
        found = self.kept.get(fmri, Kept()).properties.get(name)
        return None if found is None else " ".join(found[1:])

    def begin(self, boot: float) -> None:
        """Forget what belonged to an earlier boot."""
        self.boot, self.current, self.passing, self.sulogin, self.reboot = boot, "", {}, False, False
        self.first, self.killed = False, {}


def load(root: Path) -> Repository | None:
    """The repository as the file has it; None when there is none (or it cannot be understood)."""
    text = place.read(root, FILE)
    if text is None:
        return None
    try:
        return _from_json(json.loads(text))
    except (ValueError, TypeError, KeyError):
        return None


def save(root: Path, repository: Repository) -> None:
    """Write the file if that changes it; raises OSError where the caller may not."""
    text = json.dumps(_to_json(repository), indent=1, sort_keys=True) + "\n"
    if place.read(root, FILE) != text:
        place.write(root, FILE, text)


def at(where: Place) -> Repository:
    """The repository for the present boot of a place; a place without one starts with its seed."""
    repository = load(where.root) or Repository(imported=where.zone is None)
    if repository.boot != where.booted:
        repository.begin(where.booted)
        if where.zone is not None:
            repository.first = not repository.imported
            _boot_arguments(where, repository)
    return repository


def keep(where: Place, repository: Repository) -> None:
    """Save, where the caller may write; a mere question by somebody else is answered all the same."""
    with suppress(OSError):
        save(where.root, repository)


def _boot_arguments(where: Place, repository: Repository) -> None:
    """`boot -- -s` and `boot -- -m milestone=...`, as init and svc.startd read them; -s wins."""
    words = where.boot_words()
    if "-s" in words:
        repository.current, repository.sulogin = SINGLE_USER, True
        return
    for option in _smf_options(words):
        if option.startswith("milestone="):
            repository.current = _milestone(option.removeprefix("milestone=")) or repository.current
    # Without console-login in the milestone startd puts sulogin on the console.
    repository.sulogin = repository.current not in ("", "all")


def _smf_options(words: list[str]) -> list[str]:
    options: list[str] = []
    for number, word in enumerate(words):
        if word == "-m":
            options += words[number + 1 : number + 2]
        elif word.startswith("-m"):
            options.append(word[2:])
    return [option for text in options for option in text.split(",")]


def _milestone(word: str) -> str:
    short = {"su": "single-user", "mu": "multi-user", "mus": "multi-user-server"}.get(word, word)
    if short in ("", "all", "none"):
        return short or "all"
    return (
        f"svc:/milestone/{short}:default"
        if short in ("single-user", "multi-user", "multi-user-server")
        else ""
    )


def _to_json(repository: Repository) -> dict[str, Any]:
    plain: dict[str, Any] = {"imported": repository.imported, "milestone": repository.milestone}
    plain["kept"] = {fmri: vars(kept) for fmri, kept in repository.kept.items() if kept != Kept()}
    passing = {fmri: vars(each) for fmri, each in repository.passing.items() if each != Passing()}
    flags = {"sulogin": repository.sulogin, "reboot": repository.reboot, "first": repository.first}
    if repository.current or passing or repository.killed or any(flags.values()):
        plain["volatile"] = {
            "boot": repository.boot,
            "current": repository.current,
            "passing": passing,
            **({"killed": repository.killed} if repository.killed else {}),
            **flags,
        }
    return plain


def _from_json(plain: dict[str, Any]) -> Repository:
    volatile = plain.get("volatile", {})
    return Repository(
        bool(plain["imported"]),
        str(plain.get("milestone", "all")),
        {fmri: Kept(**kept) for fmri, kept in plain.get("kept", {}).items()},
        float(volatile.get("boot", -1.0)),
        str(volatile.get("current", "")),
        {fmri: Passing(**each) for fmri, each in volatile.get("passing", {}).items()},
        bool(volatile.get("sulogin", False)),
        bool(volatile.get("reboot", False)),
        bool(volatile.get("first", False)),
        {str(name): float(when) for name, when in volatile.get("killed", {}).items()},
    )
