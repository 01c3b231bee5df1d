"""One pkg command: its options, the image it works on, and how refusals become text and exit status."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from zonemgr.lab import options, place
from zonemgr.lab.call import Call, NoWorld
from zonemgr.lab.pkg import USAGE, shelves
from zonemgr.lab.pkg.image import Image, Locked, exclusive, load
from zonemgr.lab.pkg.plan import PkgError
from zonemgr.lab.place import Place

OK, OOPS, BAD_OPTION, PARTIAL, NOTHING, LOCKED = 0, 1, 2, 3, 4, 7


class Run:
    def __init__(self, call: Call, name: str, root: str) -> None:
        self.call, self.name = call, name
        self.root = root  # as the caller wrote it; empty: the image of the running system
        self.where = self._place()
        self.shelves = shelves.told(self.where) if isinstance(call.world, NoWorld) else shelves.of(call.world)

    def _place(self) -> Place:
        here = place.here(self.call)
        if not self.root or self.root == "/":
            return here
        path = self.call.path(self.root)
        if self.call.zone is not None:
            return Place(
                path, self.call.zone, here.flavour, here.latency, 0.0, "", here.now, updates=here.updates
            )
        return place.at_root(self.call.world, None, path)

    @property
    def live(self) -> bool:
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
    def changing(self) -> Iterator[Image]:
        """The image, held against other clients."""
        image = self.image()
        if not self.call.privileged:
            path = f"{(self.root or '/').rstrip('/')}/var/pkg/lock"
            raise PkgError(
                f"\nCould not operate on {path}\nbecause of insufficient permissions. "
                "Please try the command again as a privileged user."
            )
        self._check_fault()
        with exclusive(self.where.root):
            self._check_children()
            yield image

    def _check_fault(self) -> None:
        """`fault.pkg-locked` of the world: so many more changes find the image locked."""
        if self.call.zone is not None:
            return
        left = int(self.call.world.get("fault.pkg-locked", "0") or 0)
        if left:
            self.call.world.put("fault.pkg-locked", str(left - 1))
            raise Locked(
                "The image cannot be modified as it is currently in use by another package client: "
                "pkg on openindiana, pid 4711."
            )

    def _check_children(self) -> None:
        """Zones of linked brands are children of the global zone's image, and must be images themselves."""
        if self.call.zone is not None or not self.live:
            return
        from zonemgr.lab import zonestore

        linked = ("lipkg", "sparse", "pkgsrc") if self.where.omnios else ("ipkg",)
        for entry in zonestore.index(self.call.world):
            if entry.state != "installed" or _brand(self.call, entry.name) not in linked:
                continue
            root = f"{entry.zonepath}/root"
            if load(place.at_root(self.call.world, None, self.call.world.path(root)), self.shelves) is None:
                raise PkgError(f"No image rooted at '{root}'")


def _brand(call: Call, zone: str) -> str:
    from zonemgr.lab import zonestore

    try:
        return zonestore.load(call.world, zone).brand
    except zonestore.StoreError:
        return ""


class Misused(Exception):
    def __init__(self, name: str, bad: options.BadOption) -> None:
        self.name, self.bad = name, bad
        super().__init__(name)

    def text(self) -> str:
        dashes = "-" if len(self.bad.letter) == 1 else "--"
        what = f"option {dashes}{self.bad.letter} requires an argument" if self.bad.missing else ""
        what = what or f"illegal option -- {self.bad.letter}"
        return f"pkg {self.name}: {what}\n{USAGE}".rstrip("\n")


def run(
    call: Call, name: str, words: Sequence[str], root: str, function: Callable[[Run, Sequence[str]], int]
) -> int:
    try:
        status = function(Run(call, name, root), words)
    except Misused as misused:
        return call.fail(misused.text(), BAD_OPTION)
    except Locked as locked:
        return call.fail(error(str(locked), name), LOCKED)
    except PkgError as refused:
        text = str(refused)
        return call.fail(error(text, "" if text.startswith("No image") else name), refused.status)
    if status == NOTHING and (call.env.get("PKG_SUCCESS_ON_NOP") and place.here(call).omnios):
        return OK
    return status


def error(text: str, name: str) -> str:
    """pkg's prefix goes behind the white space a message starts with."""
    if text.startswith(("lab: ", "pkg: ")):
        return text
    bare = text.lstrip()
    blank = text[: len(text) - len(bare)]
    return f"{blank}pkg {name}: {bare}" if name else f"{blank}pkg: {bare}"


def usage(run: Run, text: str) -> PkgError:
    return PkgError(f"{text}\n{USAGE}".rstrip("\n"), BAD_OPTION)
