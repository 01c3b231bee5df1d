"""Names and versions of packages as pkg5 writes them: pkg://PUBLISHER/NAME@RELEASE,BUILD-BRANCH:STAMP.

How versions compare and what a pattern stands for is in pkg5's `version.py` (`Version`, `is_successor`) and `fmri.py`.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import lru_cache

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.+]*(/[A-Za-z0-9][A-Za-z0-9_\-.+]*)*")
PUBLISHER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
VERSION = re.compile(r"(\d+(?:\.\d+)*)(?:,(\d+(?:\.\d+)*))?(?:-(\d+(?:\.\d+)*))?(?::(\d{8}T\d{6}Z))?")
GLOB = re.compile(r"[*?\[]")


class IllegalFmri(ValueError):
    """The text is pkg's, with its `Illegal FMRI`."""

    def __init__(self, shown: str, detail: str) -> None:
        super().__init__(f"Illegal FMRI '{shown}': {detail}")


@dataclass(frozen=True, order=True)
class Version:
    """Ordered as pkg5 orders: what is not given is less than anything that is."""

    release: tuple[int, ...]
    branch: tuple[int, ...] = ()
    stamp: str = ""

    def covers(self, other: Version) -> bool:
        """Is the other what this one says, as far as it says anything (pkg5's CONSTRAINT_AUTO)?"""
        return (
            self.release == other.release[: len(self.release)]
            and self.branch == other.branch[: len(self.branch)]
            and self.stamp in ("", other.stamp)
        )


@lru_cache(maxsize=4096)
def version(text: str) -> Version:
    """Of the text after the @; raises ValueError."""
    found = VERSION.fullmatch(text)
    if found is None:
        raise ValueError(f"Bad Version: '{text}'")
    release, _, branch, stamp = found.groups()
    return Version(_numbers(release), _numbers(branch), stamp or "")


def _numbers(text: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")) if text else ()


@dataclass(frozen=True)
class Wanted:
    """What a dependency names: a package, mostly with a version."""

    name: str
    publisher: str = ""
    version: Version | None = None
    text: str = ""  # NAME or NAME@VERSION, as pkg's messages have it: without publisher and build release


@lru_cache(maxsize=4096)
def wanted(text: str) -> Wanted:
    """From the fmri of a depend action: pkg:/NAME@VERSION, NAME@VERSION, pkg://PUBLISHER/NAME."""
    publisher, rest = _split(text.strip())
    name, _, given = rest.partition("@")
    shown = re.sub(r",[0-9.]+", "", given)
    return Wanted(name, publisher, version(given) if given else None, f"{name}@{shown}" if shown else name)


def _split(text: str) -> tuple[str, str]:
    """The publisher, if one is named, and the rest."""
    bare = text.removeprefix("pkg:") if text.startswith("pkg:/") else text
    if bare.startswith("//"):
        publisher, _, rest = bare.removeprefix("//").partition("/")
        return publisher, rest
    return "", bare.removeprefix("/")


@dataclass(frozen=True)
class Pattern:
    """What the user typed to mean packages: the end of a name, a whole name, or a glob; perhaps with a version."""

    text: str
    name: str
    publisher: str = ""
    version: str = ""
    exact: bool = False

    @property
    def glob(self) -> bool:
        return bool(GLOB.search(self.name))

    @property
    def latest(self) -> bool:
        return self.version == "latest"

    def fits_name(self, name: str) -> bool:
        """A glob is anchored at both ends of the name."""
        if self.glob:
            return fnmatch.fnmatchcase(name, self.name)
        return name == self.name if self.exact else f"/{name}".endswith(f"/{self.name}")

    def fits_version(self, have: Version) -> bool:
        if not self.version or self.latest:
            return True
        if GLOB.search(self.version):
            return _glob_covers(self.version, have)
        return version(self.version).covers(have)

    def fits(self, publisher: str, name: str, have: Version) -> bool:
        return self.publisher in ("", publisher) and self.fits_name(name) and self.fits_version(have)


def _glob_covers(text: str, have: Version) -> bool:
    """Component by component, `*` for anything."""
    head, _, stamp = text.partition(":")
    release, _, branch = head.partition("-")
    pairs = ((release.partition(",")[0], have.release), (branch, have.branch))
    fits = all(
        each in ("", "*")
        or all(part in ("*", str(number)) for part, number in zip(each.split("."), numbers, strict=False))
        for each, numbers in pairs
    )
    return fits and stamp in ("", "*", have.stamp)


def pattern(text: str) -> Pattern:
    """Raises IllegalFmri."""
    stem, _, given = text.partition("@")
    publisher, name = _split(stem)
    if not name:
        raise IllegalFmri(stem, "Missing package name")
    if not NAME.fullmatch(GLOB.sub("a", name).replace("]", "a")):
        raise IllegalFmri(stem, f"Invalid Package Name: {name}")
    if given and given != "latest" and not GLOB.search(given):
        try:
            version(given)
        except ValueError as bad:
            raise IllegalFmri(text, str(bad)) from None
    return Pattern(text, name, publisher, given, stem.startswith(("pkg:/", "/")))
