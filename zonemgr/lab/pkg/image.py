"""A package image: what is installed below a root and where packages come from, in files below var/pkg."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zonemgr.lab import place
from zonemgr.lab.pkg import catalogue
from zonemgr.lab.pkg.catalogue import Package
from zonemgr.lab.place import Place

MARK = "var/pkg/pkg5.image"
STATE = "var/pkg/state/image.json"
LOCK = "var/pkg/lock"


@dataclass
class Publisher:
    name: str
    origins: list[str] = field(default_factory=list)
    mirrors: list[str] = field(default_factory=list)
    sticky: bool = True
    enabled: bool = True


@dataclass
class Image:
    where: Place
    publishers: list[Publisher] = field(default_factory=list)  # by rank
    installed: dict[str, Package] = field(default_factory=dict)
    manual: set[str] = field(default_factory=set)
    seen: int = 0  # how new the catalogues are that were fetched last

    def known(self, *, origins: list[str] | None = None) -> list[Package]:
        """Packages of the enabled publishers by their fetched catalogues, best publisher first."""
        wanted = [uri for each in self.publishers if each.enabled for uri in each.origins] + (origins or [])
        found: list[Package] = []
        for uri in dict.fromkeys(wanted):
            repository = catalogue.served(self.where.flavour, uri)
            if repository is not None:
                found += catalogue.available(self.where.flavour, repository, self.seen)
        return found

    def publisher(self, name: str) -> Publisher | None:
        return next((each for each in self.publishers if each.name == name), None)

    @property
    def preferred(self) -> str:
        return self.publishers[0].name if self.publishers else ""

    def refresh(self) -> None:
        self.seen = self.where.updates

    def save(self) -> None:
        plain = {
            "publishers": [vars(each) for each in self.publishers],
            "installed": {
                name: [p.publisher, p.version, p.stamp] for name, p in sorted(self.installed.items())
            },
            "manual": sorted(self.manual),
            "seen": self.seen,
        }
        if place.read(self.where.root, MARK) is None:
            place.write(self.where.root, MARK, "[CONFIGURATION]\nversion = 4\n")
            place.write(self.where.root, LOCK, "")
        text = json.dumps(plain, indent=1) + "\n"
        if place.read(self.where.root, STATE) != text:
            place.write(self.where.root, STATE, text)


def load(where: Place) -> Image | None:
    """The image at a root; None when there is none."""
    text = place.read(where.root, STATE)
    if text is None or place.read(where.root, MARK) is None:
        return None
    plain: dict[str, Any] = json.loads(text)
    installed = {name: Package(name, *values) for name, values in plain["installed"].items()}
    publishers = [Publisher(**each) for each in plain["publishers"]]
    return Image(where, publishers, installed, set(plain["manual"]), int(plain["seen"]))


class Locked(Exception):
    """Another package client holds the image; the text says which."""


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the image as a package client does; raises Locked, and OSError where the caller may not write."""
    path = place.inside(root, LOCK)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(_holder(descriptor)) from None
        if os.fstat(descriptor).st_size:
            raise Locked(_holder(descriptor))  # a lock file with somebody in it: `PID NAME HOST`
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    words = os.pread(descriptor, 200, 0).decode(errors="replace").split()
    busy = "The image cannot be modified as it is currently in use by another package client"
    if len(words) == 3:
        return f"{busy}: {words[1]} on {words[2]}, pid {words[0]}."
    return f"{busy}."
