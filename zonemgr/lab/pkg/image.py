"""A package image: what is installed below a root and where packages come from, in files below var/pkg."""

from __future__ import annotations

import contextlib
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
from zonemgr.lab.pkg import actions, depot, shelves
from zonemgr.lab.pkg.actions import Action
from zonemgr.lab.pkg.catalogue import OF_FILES, Package
from zonemgr.lab.pkg.depot import Depot
from zonemgr.lab.pkg.shelves import Shelves
from zonemgr.lab.pkg.solver import Freeze
from zonemgr.lab.place import Place

MARK = "var/pkg/pkg5.image"
STATE = "var/pkg/state/image.json"
CATALOGUES = "var/pkg/state/catalogs.json"
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
    disabled: list[str] = field(default_factory=list)  # origins that are not asked
    fetched: float = 0.0  # when the catalogue was, 0 for never
    uuid: str = ""

    @property
    def asked(self) -> list[str]:
        return [uri for uri in self.origins if uri not in self.disabled]


@dataclass
class Image:
    where: Place
    shelves: Shelves
    publishers: list[Publisher] = field(default_factory=list)  # by rank
    installed: dict[str, Package] = field(default_factory=dict)
    manual: set[str] = field(default_factory=set)
    zone: bool = True  # what the variant opensolaris.zone says
    frozen: dict[str, Freeze] = field(default_factory=dict)
    cached: dict[str, list[Package]] = field(
        default_factory=dict
    )  # catalogues of file repositories: "PUBLISHER URI"
    times: dict[str, float] = field(default_factory=dict)  # when a package was installed or changed last
    temporary: list[str] = field(default_factory=list)  # origins of `-g`, for one command

    @property
    def variants(self) -> dict[str, str]:
        return {
            "variant.arch": "i386",
            "variant.opensolaris.zone": "nonglobal" if self.zone else "global",
        }

    def ranks(self) -> dict[str, tuple[int, bool]]:
        """By publisher its place in the search order, and whether it is sticky; those that are gone are not."""
        enabled = [each for each in self.publishers if each.enabled]
        found = {each.name: (rank, each.sticky) for rank, each in enumerate(enabled)}
        for uri in self.temporary:
            source = self.shelves.served(uri)
            for name in source.publishers if source is not None else ():
                found.setdefault(name, (len(enabled), True))
        for package in self.installed.values():
            found.setdefault(package.publisher, (len(enabled) + 1, False))
        return found

    def known(self, *, origins: list[str] | None = None) -> list[Package]:
        """Packages of the enabled publishers by their fetched catalogues, best publisher first.

        `origins` are looked at besides, for this one time, as they are now.
        """
        found: dict[str, Package] = {}
        for publisher in self.publishers:
            for uri in publisher.asked if publisher.enabled else ():
                found.update({each.fmri: each for each in self._fetched(publisher, uri)})
        for uri in origins or []:
            found.update({each.fmri: each for each in self._now_at(uri)})
        return list(found.values())

    def _fetched(self, publisher: Publisher, uri: str) -> list[Package]:
        if uri.startswith("file:"):
            return self.cached.get(f"{publisher.name} {uri}", [])
        source = self.shelves.ever_served(uri)
        if source is None or source.repository is None or publisher.name not in source.publishers:
            return []
        return self.shelves.available(source.repository, publisher.seen)

    def _now_at(self, uri: str, publisher: str = "") -> list[Package]:
        source = self.shelves.served(uri)
        if source is None:
            return []
        if source.depot is not None:
            names = [publisher] if publisher else source.publishers
            return [
                each for name in names if name in source.publishers for each in source.depot.packages(name)
            ]
        assert source.repository is not None
        return self.shelves.available(source.repository, self.shelves.now)

    # -- manifests and payloads --------------------------------------------------------------------------------

    def manifest(self, package: Package) -> list[Action] | None:
        """What a package delivers to this image; an invented one has nothing. None: it cannot be fetched."""
        if not package.has(OF_FILES):
            return []
        text = self.manifest_text(package)
        return None if text is None else actions.for_variants(actions.manifest(text), self.variants, {})

    def manifest_text(self, package: Package) -> str | None:
        name = f"var/pkg/publisher/{package.publisher}/{depot.manifest_path(package)}"
        text = place.read(self.where.root, name)
        if text is not None:
            return text
        for found in self._depots(package.publisher):
            with contextlib.suppress(OSError):
                text = found.manifest(package)
                place.write(self.where.root, name, text)
                return text
        return None

    def has_manifest(self, package: Package) -> bool:
        name = f"var/pkg/publisher/{package.publisher}/{depot.manifest_path(package)}"
        return place.read(self.where.root, name) is not None

    def forget_manifest(self, package: Package) -> None:
        path = place.inside(
            self.where.root, f"var/pkg/publisher/{package.publisher}/{depot.manifest_path(package)}"
        )
        path.unlink(missing_ok=True)

    def payload(self, package: Package, action: Action) -> bytes:
        for found in self._depots(package.publisher):
            with contextlib.suppress(OSError):
                return found.payload(package.publisher, action.payload)
        raise Unretrievable(package)

    def licences(self, package: Package) -> set[str]:
        """The payloads of the licences that came with an installed package."""
        lines = self.manifest(package) or []
        return {each.payload for each in lines if each.kind == "license"}

    def _depots(self, publisher: str) -> list[Depot]:
        own = self.publisher(publisher)
        uris = [*(own.asked if own is not None else ()), *self.temporary]
        found = [self.shelves.served(uri) for uri in uris if uri.startswith("file:")]
        return [each.depot for each in found if each is not None and each.depot is not None]

    def know_publishers(self, packages: Iterable[Package]) -> None:
        """Whoever something was installed from is a publisher afterwards, without origins if it was by `-g`."""
        for package in packages:
            if self.publisher(package.publisher) is None:
                self.publishers.append(Publisher(package.publisher))

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
            missing = silent.get(publisher.name, [])
            before = (publisher.seen, dict(self.cached))
            if len(missing) < len(publisher.asked):
                publisher.seen = self.shelves.now
            for uri in publisher.asked:
                if uri.startswith("file:") and uri not in missing:
                    self.cached[f"{publisher.name} {uri}"] = self._now_at(uri, publisher.name)
            if before != (publisher.seen, self.cached):
                publisher.fetched = self.where.now
        return silent

    def catalogues(self) -> tuple[list[tuple[int, int]], dict[str, list[Package]]]:
        """What there is of fetched catalogues, to see whether a refresh brought anything."""
        return [each.seen for each in self.publishers], dict(self.cached)

    def silent(self, names: Iterable[str] = ()) -> dict[str, list[str]]:
        """By publisher, the origins that do not answer."""
        found = {
            each.name: [uri for uri in each.asked if self.shelves.served(uri) is None]
            for each in self.refreshed(names)
        }
        return {name: uris for name, uris in found.items() if uris}

    def refreshed(self, names: Iterable[str] = ()) -> list[Publisher]:
        """The publishers that a refresh of these looks at."""
        wanted = set(names)
        return [
            each
            for each in self.publishers
            if (each.name in wanted if wanted else each.enabled and each.asked)
        ]

    def save(self) -> None:
        plain = {
            "publishers": [vars(each) for each in self.publishers],
            "installed": [shelves.plain(self.installed[name]) for name in sorted(self.installed)],
            "manual": sorted(self.manual),
            "zone": self.zone,
            "times": {name: self.times[name] for name in sorted(self.times) if name in self.installed},
            "frozen": [vars(each) for each in self.frozen.values()],
        }
        if place.read(self.where.root, MARK) is None:
            place.write(self.where.root, MARK, "[CONFIGURATION]\nversion = 4\n")
            place.write(self.where.root, LOCK, "")
        self._save_file(STATE, json.dumps(plain, indent=1) + "\n")
        of_files = [f"{each.name} {uri}" for each in self.publishers for uri in each.origins]
        rows = {
            key: [shelves.plain(each) for each in found]
            for key, found in sorted(self.cached.items())
            if key in of_files
        }
        if rows or place.read(self.where.root, CATALOGUES) is not None:
            self._save_file(CATALOGUES, json.dumps(rows) + "\n")

    def _save_file(self, name: str, text: str) -> None:
        if place.read(self.where.root, name) != text:
            place.write(self.where.root, name, text)


def load(where: Place, at: Shelves) -> Image | None:
    """The image at a root; None when there is none."""
    text = place.read(where.root, STATE)
    if text is None or place.read(where.root, MARK) is None:
        return None
    plain: dict[str, Any] = json.loads(text)
    installed = {row[0]: shelves.loaded(row) for row in plain["installed"]}
    publishers = [Publisher(**{**each, "seen": tuple(each["seen"])}) for each in plain["publishers"]]
    cached = json.loads(place.read(where.root, CATALOGUES) or "{}")
    return Image(
        where,
        at,
        publishers,
        installed,
        set(plain["manual"]),
        bool(plain["zone"]),
        {each["name"]: Freeze(**each) for each in plain.get("frozen", [])},
        {key: [shelves.loaded(row) for row in rows] for key, rows in cached.items()},
        dict(plain.get("times", {})),
    )


class Unretrievable(Exception):
    """A payload of a package cannot be fetched."""

    def __init__(self, package: Package) -> None:
        super().__init__(package.fmri)
        self.package = package


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
