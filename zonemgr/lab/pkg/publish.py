"""Publishing: new versions, new packages and new repositories, for tests and for people at a lab."""

from __future__ import annotations

import calendar
import json
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zonemgr.lab.pkg import shelves
from zonemgr.lab.pkg.catalogue import Entry, Package, Repository
from zonemgr.lab.pkg.shelves import PUBLISHED, REPOSITORIES, SILENT, Shelves

if TYPE_CHECKING:
    from zonemgr.lab.world import World

FIRST = {"openindiana": "1.0-2024.0.0.0", "omnios": "1.0-151058.0"}


class Unpublishable(ValueError):
    """The text says what is wrong with what was to be published."""


def publish(
    world: World,
    name: str,
    version: str = "",
    *,
    publisher: str = "",
    reboot: bool = False,
    depends: Sequence[str] | None = None,
    excludes: Sequence[str] | None = None,
    obsolete: bool = False,
    licence: bool = False,
    summary: str = "",
) -> str:
    """Put a version of a package into the repository of a publisher; returns its FMRI.

    Without a version: the one after the newest there, or the first of a package that is new. Without a publisher: the
    one that has the package, or the first. A new version needs and excludes what the one before did, unless said
    otherwise; `reboot`: changing to it takes a new boot environment. Images see it once they have been refreshed.
    """
    with world.transaction():
        now = shelves.of(world)
        repository = _repository(now, name, publisher)
        before = _newest(now, repository, name)
        entry = _entry(before, name, reboot, obsolete, licence, summary)
        entry = _related(entry, before, depends, excludes)
        text = version or (_next(before.version) if before else FIRST[world.flavour])
        if not re.fullmatch(r"\d+(\.\d+)*(,\d+(\.\d+)*)?(-\d+(\.\d+)*)?", text):
            raise Unpublishable(f"'{text}' is not a version")
        package = Package(name, repository.publisher, text, _stamp(world, now), entry)
        rows = [shelves.plain(each) for each in (*now.published, package)]
        world.put(PUBLISHED, json.dumps(rows))
    return package.fmri


def repository(world: World, publisher: str, origin: str) -> None:
    """Set up one more repository, empty at first."""
    now = shelves.of(world)
    if any(shelves.bare(each.origin) == shelves.bare(origin) for each in now.repositories):
        raise Unpublishable(f"there is a repository at {origin} already")
    rows = [[each.publisher, each.origin] for each in now.more]
    world.put(REPOSITORIES, json.dumps([*rows, [publisher, origin]]))


def silence(world: World, origin: str, *, answers: bool = False) -> None:
    """Have a repository not answer any more, or answer again."""
    now = set(world.get(SILENT).split())
    wanted = shelves.bare(origin)
    world.put(SILENT, " ".join(sorted(now - {wanted} if answers else now | {wanted})))


def _repository(now: Shelves, name: str, publisher: str) -> Repository:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_./+-]*", name):
        raise Unpublishable(f"'{name}' is not a package name")
    if publisher:
        found = next((each for each in now.repositories if each.publisher == publisher), None)
        if found is None:
            raise Unpublishable(f"no repository has packages of {publisher}")
        return found
    having = [each for each in now.repositories if _newest(now, each, name)]
    return (having or now.repositories)[0]


def _newest(now: Shelves, repository: Repository, name: str) -> Package | None:
    return shelves.newest(each for each in now.available(repository, now.now) if each.name == name)


def _entry(
    before: Package | None, name: str, reboot: bool, obsolete: bool, licence: bool, summary: str
) -> Entry:
    # A flag of the version before is not handed on: it says of that version alone what it takes to change to it.
    flags = "".join(letter for letter, given in (("b", reboot), ("o", obsolete), ("l", licence)) if given)
    said = summary or (before.entry.summary if before else name.rpartition("/")[2])
    return Entry(name, "", flags, said)


def _related(
    entry: Entry, before: Package | None, depends: Sequence[str] | None, excludes: Sequence[str] | None
) -> Entry:
    old = before.entry if before else Entry("", "", "", "")
    return Entry(
        entry.name,
        entry.component,
        entry.flags,
        entry.summary,
        old.depends if depends is None else tuple(depends),
        old.excludes if excludes is None else tuple(excludes),
    )


def _next(version: str) -> str:
    head, last = re.fullmatch(r"(.*?)(\d+)", version).groups()  # type: ignore[union-attr]  # checked when made
    return f"{head}{int(last) + 1}"


def _stamp(world: World, now: Shelves) -> str:
    """Never the same twice, and never before an older one's."""
    text = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(world.now()))
    last = max((each.stamp for each in now.published), default="")
    if text > last:
        return text
    seconds = calendar.timegm(time.strptime(last, "%Y%m%dT%H%M%SZ")) + 1
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
