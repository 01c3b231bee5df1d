"""A package image: what is installed below a root and where packages come from, in files below var/pkg."""

from __future__ import annotations

import fcntl
import json
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zonemgr.lab import place
from zonemgr.lab.pkg import shelves
from zonemgr.lab.pkg.catalogue import Package
from zonemgr.lab.pkg.shelves import Shelves
from zonemgr.lab.place import Place

MARK = "var/pkg/pkg5.image"
STATE = "var/pkg/state/image.json"
LOCK = "var/pkg/lock"
IN_USE = "The image cannot be modified as it is currently in use by another package client."


@dataclass
class Publisher:
    name: str
    origins: list[str] = field(default_factory=list)
    mirrors: list[str] = field(default_factory=list)
    sticky: bool = True
    enabled: bool = True
    seen: tuple[int, int] = (-1, 0)  # how new the catalogue is that was fetched last; -1: none was


@dataclass
class Image:
    where: Place
    shelves: Shelves
    publishers: list[Publisher] = field(default_factory=list)  # by rank
    installed: dict[str, Package] = field(default_factory=dict)
    manual: set[str] = field(default_factory=set)
    zone: bool = True  # what the variant opensolaris.zone says

    def known(self, *, origins: list[str] | None = None) -> list[Package]:
        """Packages of the enabled publishers by their fetched catalogues, best publisher first.

        `origins` are looked at besides, for this one time, as they are now.
        """
        found: dict[str, Package] = {}
        for publisher in self.publishers:
            for uri in publisher.origins if publisher.enabled else ():
                repository = self.shelves.ever_served(uri)
                if repository is not None and repository.publisher == publisher.name:
                    at_hand = self.shelves.available(repository, publisher.seen)
                    found.update({each.fmri: each for each in at_hand})
        for uri in origins or []:
            repository = self.shelves.served(uri)
            if repository is not None:
                found.update({e.fmri: e for e in self.shelves.available(repository, self.shelves.now)})
        return list(found.values())

    def publisher(self, name: str) -> Publisher | None:
        return next((each for each in self.publishers if each.name == name), None)

    def copy_publishers(self, others: Iterable[Publisher]) -> None:
        """Know these as well, in their order before all others (`pkg copy-publishers-from`)."""
        mine = {each.name: each for each in self.publishers}
        copied = [
            replace(each, origins=list(each.origins), mirrors=list(each.mirrors), seen=mine[each.name].seen)
            if each.name in mine
            else replace(each, origins=list(each.origins), mirrors=list(each.mirrors), seen=(-1, 0))
            for each in others
        ]
        names = {each.name for each in copied}
        self.publishers = [*copied, *(each for each in self.publishers if each.name not in names)]

    @property
    def preferred(self) -> str:
        return self.publishers[0].name if self.publishers else ""

    def refresh(self, names: Iterable[str] = ()) -> dict[str, list[str]]:
        """Fetch the catalogues of these publishers (none: of all that are enabled).

        By publisher, the origins that do not answer; what an origin of the same publisher gave is taken.
        """
        silent = self.silent(names)
        for publisher in self.refreshed(names):
            if len(silent.get(publisher.name, [])) < len(publisher.origins):
                publisher.seen = self.shelves.now
        return silent

    def silent(self, names: Iterable[str] = ()) -> dict[str, list[str]]:
        """By publisher, the origins that do not answer."""
        found = {
            each.name: [uri for uri in each.origins if self.shelves.served(uri) is None]
            for each in self.refreshed(names)
        }
        return {name: uris for name, uris in found.items() if uris}

    def refreshed(self, names: Iterable[str] = ()) -> list[Publisher]:
        """The publishers that a refresh of these looks at."""
        wanted = set(names)
        return [
            each
            for each in self.publishers
            if (each.name in wanted if wanted else each.enabled and each.origins)
        ]

    def save(self) -> None:
        plain = {
            "publishers": [vars(each) for each in self.publishers],
            "installed": [shelves.plain(self.installed[name]) for name in sorted(self.installed)],
            "manual": sorted(self.manual),
            "zone": self.zone,
        }
        if place.read(self.where.root, MARK) is None:
            place.write(self.where.root, MARK, "[CONFIGURATION]\nversion = 4\n")
            place.write(self.where.root, LOCK, "")
        text = json.dumps(plain, indent=1) + "\n"
        if place.read(self.where.root, STATE) != text:
            place.write(self.where.root, STATE, text)


def load(where: Place, at: Shelves) -> Image | None:
    """The image at a root; None when there is none."""
    text = place.read(where.root, STATE)
    if text is None or place.read(where.root, MARK) is None:
        return None
    plain: dict[str, Any] = json.loads(text)
    installed = {row[0]: shelves.loaded(row) for row in plain["installed"]}
    publishers = [Publisher(**{**each, "seen": tuple(each["seen"])}) for each in plain["publishers"]]
    return Image(where, at, publishers, installed, set(plain["manual"]), bool(plain["zone"]))


class Locked(Exception):
    """Another package client holds the image; the text is pkg's."""

    def __init__(self) -> None:
        super().__init__(IN_USE)


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the image as a package client does; raises Locked, and OSError where the caller may not write.

    pkg5 takes a lock of POSIX `lockf` on the file and writes into it who it is (`lockfile.py`, `LockFile.lock`). Text
    in the file of a client that is gone is no lock, and pkg's message does not repeat it. The lab's commands may run in
    threads of one process, which `lockf` does not keep apart; the lock of an open file description, which Linux has
    besides, does, and excludes those who use `lockf`.
    """
    path = place.inside(root, LOCK)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        try:
            _set_lock(descriptor, fcntl.F_WRLCK)
        except BlockingIOError:
            raise Locked from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\npkg\n{os.uname().nodename}\n".encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _set_lock(descriptor: int, kind: int) -> None:
    whole_file = struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0)  # struct flock
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, whole_file)
