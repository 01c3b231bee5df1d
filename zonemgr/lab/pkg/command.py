"""One pkg command: its options, the image it works on, and how refusals become text and exit status."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from zonemgr.lab import options, place
from zonemgr.lab.call import Call, NoWorld
from zonemgr.lab.pkg import USAGE, fmri, shelves
from zonemgr.lab.pkg.image import Image, Locked, exclusive, load
from zonemgr.lab.pkg.plan import PkgError
from zonemgr.lab.place import Place

OK, OOPS, BAD_OPTION, PARTIAL, NOTHING, LOCKED = 0, 1, 2, 3, 4, 7


class Run:
    def __init__(self, call: Call, name: str, root: str) -> None:
        self.call, self.name = call, name
        self.root = root  # as the caller wrote it; empty: the image of the running system
        self.where = self._place()
        alone = isinstance(call.world, NoWorld)
        self.shelves = shelves.told(place.here(call)) if alone else shelves.of(call.world, self.local)

    def _place(self) -> Place:
        if self.call.zone is not None and not isinstance(self.call.world, NoWorld):
            return self._in_zone(self.call.zone)
        here = place.here(self.call)
        if self.live:
            return here
        path = self.call.path(self.root)
        if self.call.zone is not None:
            return replace(here, root=path, booted=0.0, boot_args="", links=(), given=())
        return place.at_root(self.call.world, None, path)

    def _in_zone(self, zone: str) -> Place:
        """A zone's image, or one below it, from outside of the zone's cell: see `pkg.answer`."""
        from zonemgr.lab.zfs import zones

        world = self.call.world
        row = world.db.execute("select state, root from kernel_zones where name = ?", (zone,)).fetchone()
        root = Path(row["root"])
        if row["state"] == "mounted":  # the maintenance root is made of the zone's own, which it has at /a
            root = root.with_name("root")
        seen = zones.View(zone, str(root), ())
        inside = self.root.removeprefix("/a") if row["state"] == "mounted" else self.root
        target = seen.resolved(world.host, posixpath.join(self.call.cwd, inside or "/"))
        return place.at_root(world, zone, target)

    def local(self, path: str) -> Path:
        """Where a file of the caller's is: repositories are named as the running system sees them, also with -R."""
        if self.call.zone is None:
            return self.call.path(path)
        if isinstance(self.call.world, NoWorld):
            return place.here(self.call).root / path.lstrip("/")
        from zonemgr.lab.zfs import zones

        world = self.call.world
        row = world.db.execute("select root from kernel_zones where name = ?", (self.call.zone,)).fetchone()
        seen = zones.View(self.call.zone, row["root"], ())
        return seen.resolved(world.host, posixpath.join(self.call.cwd, path))

    def check_patterns(self, patterns: Sequence[str]) -> None:
        """Malformed patterns are refused before anything else is looked at."""
        texts = []
        for pattern in patterns:
            try:
                fmri.pattern(pattern)
            except fmri.IllegalFmri as illegal:
                texts.append(str(illegal))
        if texts:
            raise PkgError("\n".join(texts))

    @property
    def live(self) -> bool:
        """Is it the image of the running system, which boot environments are made for?"""
        return self.root in ("", "/")

    def image(self) -> Image:
        found = load(self.where, self.shelves)
        if found is None:
            raise PkgError(f"No image rooted at '{self.root or '/'}'")
        return found

    def options(
        self, words: Sequence[str], letters: str, long: dict[str, str]
    ) -> tuple[dict[str, list[str]], list[str]]:
        """Options by letter, with all their values. Long names that have no letter get one of their own."""
        try:
            found, rest = options.parse(words, letters, long or None)
        except options.BadOption as bad:
            raise Misused(self.name, bad) from None
        given: dict[str, list[str]] = {}
        for letter, value in found:
            given.setdefault(letter, []).append(value)
        return given, rest

    @contextmanager
    def changing(self, given: dict[str, list[str]] | None = None) -> Iterator[Image]:
        """The image, held against other clients; names `given` for boot environments are looked at."""
        image = self.image()
        if not self.call.privileged:
            what = "pkg: " if self.name == "refresh" else ""
            raise PkgError(
                f"\n{what}Insufficient access to complete the requested operation.\n"
                "Please try the operation again as a privileged user."
            )
        self._check_fault()
        from zonemgr.lab.pkg import linked

        with exclusive(self.where.root):
            linked.check_children(self)
            if given:
                from zonemgr.lab.pkg import environments

                environments.check_names(self, given)
            yield image

    def _check_fault(self) -> None:
        """`fault.pkg-locked` of the world (in a zone `fault.pkg-locked.ZONE`): so many more changes find it locked."""
        if isinstance(self.call.world, NoWorld):
            return
        fact = "fault.pkg-locked" + (f".{self.call.zone}" if self.call.zone is not None else "")
        left = int(self.call.world.get(fact, "0") or 0)
        if left:
            self.call.world.put(fact, str(left - 1))
            raise Locked


class Misused(Exception):
    def __init__(self, name: str, bad: options.BadOption) -> None:
        self.name, self.bad = name, bad
        super().__init__(name)

    def text(self) -> str:
        what = (
            f"option {'-' if len(self.bad.letter) == 1 else '--'}{self.bad.letter} requires an argument"
            if self.bad.missing
            else ""
        )
        what = what or f"illegal option -- {self.bad.letter}"
        return f"pkg {self.name}: {what}\n{_synopsis(self.name)}"


def run(
    call: Call, name: str, words: Sequence[str], root: str, function: Callable[[Run, Sequence[str]], int]
) -> int:
    try:
        status = function(Run(call, name, root), words)
    except Misused as misused:
        return call.fail(misused.text(), BAD_OPTION)
    except Locked as locked:
        if name == "set-publisher":  # it takes this for one of its own errors, which have no prefix
            return call.fail(f"\n{locked}", OOPS)
        return call.fail(f"pkg: {locked}", LOCKED)
    except PkgError as refused:
        text = str(refused) if refused.bare else error(str(refused), name)
        return call.fail(text, refused.status)
    if status == NOTHING and (call.env.get("PKG_SUCCESS_ON_NOP") and place.here(call).omnios):
        return OK
    return status


def error(text: str, name: str) -> str:
    """pkg's prefix goes behind the white space a message starts with."""
    bare = text.lstrip()
    if bare.startswith(("lab: ", "pkg: ", "Errors were encountered while attempting to retrieve")):
        return text
    name = "" if bare.startswith("No image") else name
    blank = text[: len(text) - len(bare)]
    return f"{blank}pkg {name}: {bare}" if name else f"{blank}pkg: {bare}"


def usage(run: Run, text: str) -> PkgError:
    return PkgError(f"{text}\n{_synopsis(run.name)}", BAD_OPTION)


def _synopsis(name: str) -> str:
    """The lines of one command, as pkg shows them after a mistake in its arguments."""
    lines = [line for line in USAGE.splitlines() if line.startswith(f"        pkg {name} ")]
    return "\n".join(["Usage:", *lines])
