"""The package repositories of a world: which there are, whether they answer, what has been published in them.

facts of the world:
pkg.updates      how often all repositories got newer versions of the catalogue's packages
pkg.published    what was published one by one since, oldest first (see `publish`)
pkg.repositories repositories beyond the first day's: publisher and origin
fault.origin     origins that do not answer just now, separated by blanks
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from zonemgr.lab.pkg import catalogue, depot
from zonemgr.lab.pkg.catalogue import Entry, Package, Repository
from zonemgr.lab.pkg.depot import Depot

if TYPE_CHECKING:
    from zonemgr.lab.place import Place
    from zonemgr.lab.world import World

PUBLISHED, REPOSITORIES, SILENT = "pkg.published", "pkg.repositories", "fault.origin"


@dataclass(frozen=True)
class Source:
    """What is at an origin: one of the invented repositories, or one in files."""

    publishers: tuple[str, ...]
    repository: Repository | None = None
    depot: Depot | None = None


@dataclass(frozen=True)
class Shelves:
    flavour: str
    level: int = 0
    published: tuple[Package, ...] = ()
    more: tuple[Repository, ...] = ()
    silent: frozenset[str] = frozenset()
    local: Callable[[str], Path] | None = field(
        default=None, compare=False
    )  # where a path of the caller's is

    @property
    def repositories(self) -> tuple[Repository, ...]:
        return (*catalogue.REPOSITORIES[self.flavour], *self.more)

    @property
    def now(self) -> tuple[int, int]:
        """How new a catalogue is that is fetched now: updates, and single packages."""
        return self.level, len(self.published)

    def served(self, origin: str) -> Source | None:
        """The repository at an origin, if there is one and it answers."""
        return None if bare(origin) in self.silent else self.ever_served(origin)

    def ever_served(self, origin: str) -> Source | None:
        """The same, whether or not it answers: where a catalogue came from that was fetched earlier."""
        if urlsplit(origin).scheme == "file":
            return self._files(origin)
        found = next((each for each in self.repositories if bare(each.origin) == bare(origin)), None)
        return None if found is None else Source((found.publisher,), repository=found)

    def _files(self, origin: str) -> Source | None:
        if self.local is None:
            return None
        try:
            found = depot.find(self.local(unquote(urlsplit(origin).path)))
        except depot.NoRepository:
            return None
        return Source(tuple(found.publishers), depot=found)

    def available(self, repository: Repository, seen: tuple[int, int]) -> list[Package]:
        """Everything a repository had when a catalogue of that age was fetched; the newest of a name first."""
        level, count = seen
        if level < 0:
            return []
        found = [each for each in self.published[:count] if each.publisher == repository.publisher]
        if repository in catalogue.REPOSITORIES[self.flavour]:
            found += catalogue.available(self.flavour, repository, level)
        return sorted(found, key=lambda each: each.key, reverse=True)


def bare(origin: str) -> str:
    return origin.rstrip("/")


def of(world: World, local: Callable[[str], Path] | None = None) -> Shelves:
    """`local`: where a path is that the caller names, if not in the global zone."""
    return Shelves(
        world.flavour,
        int(world.get("pkg.updates", "0")),
        tuple(loaded(each) for each in json.loads(world.get(PUBLISHED, "[]"))),
        tuple(Repository(*each) for each in json.loads(world.get(REPOSITORIES, "[]"))),
        frozenset(bare(each) for each in world.get(SILENT).split()),
        world.path if local is None else local,
    )


def told(where: Place) -> Shelves:
    """What can be known without the world: by a command in a zone that asks nobody."""
    return Shelves(where.flavour, where.updates, local=lambda path: where.root / path.lstrip("/"))


# -- packages as plain data ------------------------------------------------------------------------------------


def plain(package: Package) -> list[Any]:
    """[name, publisher, version, stamp], and what it says of itself if that is not in the catalogue."""
    row: list[Any] = [package.name, package.publisher, package.version, package.stamp]
    return row if package.own is None else [*row, asdict(package.own), package.build]


def loaded(row: Sequence[Any]) -> Package:
    own = None
    if len(row) > 4:
        entry: dict[str, Any] = dict(row[4])
        lists = {name: tuple(entry.get(name, ())) for name in ("depends", "excludes", "actions")}
        own = Entry(**{**entry, **lists})
    name, publisher, version, stamp = (str(each) for each in row[:4])
    return Package(name, publisher, version, stamp, own, str(row[5]) if len(row) > 5 else "5.11")


def newest(packages: Iterable[Package]) -> Package | None:
    return max(packages, key=lambda each: each.key, default=None)
