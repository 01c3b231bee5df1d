"""What a golden image holds, as it was asked for: one canonical set, its hash and name, and its record on ZFS.

The rules, in short. Order and repetition of packages mean nothing; publishers rank, so their order does. A removal
comes before an addition: what is both removed and added is in the set. A package is known by its name; a version
belongs to it, and a later request for the same name replaces it. Only what was asked for is in the set, not what was
installed along with it.

Names are patterns, and pkg's rules are kept (pkg5, client/imageplan.py, match_user_stems, and fmri.py): `pkg:/x/y` and
`/x/y` are one package exactly; `x/y` is any whose name ends so, whole components, and an error if there are several
(`network/ssh` and `service/network/ssh`); with `*` or `?` it must match from the beginning of the name. So the anchor
stays: the set of `pkg:/network/ssh` is not that of `network/ssh`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache

from zonemgr.errors import UsageError
from zonemgr.host import pkg, zfs
from zonemgr.host.door import Host
from zonemgr.model import Dataset
from zonemgr.workflows import naming

Publishers = tuple[tuple[str, str], ...]

# ZFS user properties of the zonepath dataset; the first begins with the number of those that count.
PROPERTIES = ("zonemgr:set", *(f"zonemgr:set-{n}" for n in range(2, 9)))
LONGEST = 8000  # bytes of one; ZFS takes 8191


@dataclass(frozen=True)
class ImageSet:
    """Compare, hash and name this; make it with `of` and `changed`, which know the rules."""

    brand: str
    publishers: Publishers  # (name, origin), highest rank first; empty: the host's own
    packages: frozenset[str]
    without: frozenset[str] = (
        frozenset()
    )  # removed although nobody had asked for them: part of every new image
    extras: frozenset[str] = frozenset()  # accounts and automounts in its root, which its clones inherit

    @property
    def hash(self) -> str:
        return self.name.removeprefix("giz-")

    @property
    def name(self) -> str:
        publishers = [f"{name}={uri}" for name, uri in self.publishers]
        return naming.golden(self.brand, publishers, sorted(self.packages), self._rest)

    @property
    def _rest(self) -> tuple[tuple[str, ...], ...]:
        rest = (tuple(sorted(self.without)), tuple(sorted(self.extras)))
        return rest if any(rest) else ()

    def __str__(self) -> str:
        packages = sorted(self.packages) + [f"-{name}" for name in sorted(self.without)]
        publishers = [f"{name}={uri}" for name, uri in self.publishers]
        return " ".join([self.brand, *publishers, *packages, *sorted(self.extras)])

    def changed(
        self,
        *,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        add_publishers: Iterable[str] = (),
        remove_publishers: Iterable[str] = (),
        own: Sequence[tuple[str, str]] = (),
    ) -> ImageSet:
        """This set after removals, then additions. `own`: the host's publishers, if any of them are to change.

        Raises UsageError for words that are no packages or publishers.
        """
        packages, without = _removed(self.packages, self.without, [package(word) for word in remove])
        added = _by_name(package(word) for word in add)
        kept = {one for one in packages if _name(one) not in added}
        without = {one for one in without if not any(_same(one, other) for other in added.values())}
        publishers = _publishers(self.publishers, own, [*add_publishers], [*remove_publishers])
        return replace(
            self,
            publishers=publishers,
            packages=frozenset(kept | set(added.values())),
            without=frozenset(without),
        )


def of(
    brand: str,
    *,
    base: Iterable[str] = (),
    packages: Iterable[str] = (),
    remove_packages: Iterable[str] = (),
    publishers: Iterable[str] = (),
    remove_publishers: Iterable[str] = (),
    extras: Iterable[str] = (),
    own: Sequence[tuple[str, str]] = (),
) -> ImageSet:
    """The set of an image that is made from nothing: `base` is what every image gets (giz.packages).

    Publishers that are named replace the host's own, so there is nothing else to remove from.
    """
    start = ImageSet(brand, (), frozenset(), extras=frozenset(extras)).changed(add=base)
    named = list(publishers)
    if named:
        start, remove_publishers = replace(start, publishers=_ranked(map(publisher, named))), ()
    return start.changed(
        add=packages, remove=remove_packages, remove_publishers=remove_publishers, own=own
    )  # fmt: skip


# -- words ---------------------------------------------------------------------------------------------------


ANCHOR = "pkg:/"


def package(word: str) -> str:
    """The one spelling of a package: `pkg:/` before a name that was anchored; publisher and version stay."""
    text = word.removeprefix("pkg:")
    named = re.fullmatch(r"//([^/@]+)/([^/].*)", text)
    exact = text.startswith("/")
    text = text.lstrip("/")
    if not text or text.startswith(("-", "@")) or re.search(r"[\"'\x00-\x20\x7f]", text):
        raise UsageError(f"{word!r} is not a package name", hint="-p 'developer/gcc-14 text/gnu-diffutils'")
    if named:
        return f"pkg://{named[1]}/{named[2]}"
    return f"{ANCHOR}{text}" if exact and not _is_glob(text) else text  # a pattern is anchored as it is


def publisher(word: str) -> tuple[str, str]:
    """`NAME|URI` or `NAME=URI`, with the one spelling of the URI."""
    name, uri = _halves(word)
    if not (re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) and uri):
        raise UsageError(f"{word!r} is not a publisher", hint="-g 'NAME|URI': openindiana.org|https://…")
    return name, origin(uri)


def origin(uri: str) -> str:
    """A repository's URI: scheme and host in lower case, no port that goes without saying, no slash at the end."""
    if uri.startswith("/"):
        uri = f"file://{uri}"
    parts = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/]*)(.*)", uri)
    if parts is None or re.search(r"[\"'\x00-\x20\x7f]", uri):
        raise UsageError(
            f"{uri!r} is not the address of a package repository", hint="https://…, or file:///…"
        )
    scheme, place = parts[1].lower(), parts[2].lower()
    if "@" in parts[2]:  # a password keeps its case
        who, _, host = parts[2].rpartition("@")
        place = f"{who}@{host.lower()}"
    place = place.removesuffix({"http": ":80", "https": ":443"}.get(scheme, ":"))
    return f"{scheme}://{place}{re.sub('/+', '/', parts[3]).rstrip('/')}"


def own(host: Host) -> Publishers:
    """The host's publishers, as an image gets them when none are named."""
    rows = pkg.publishers(host, pkg.HOST_IMAGE, enabled=True)
    return _ranked((row.name, _tidy(uri)) for row in rows for uri in row.origins)


def _tidy(uri: str) -> str:
    try:
        return origin(uri)
    except UsageError:  # whatever the host has there, it has
        return uri


def _halves(word: str) -> tuple[str, str]:
    name, bar, uri = word.partition("|")
    if not bar:
        name, _, uri = word.partition("=")
    return name, uri


def _ranked(pairs: Iterable[tuple[str, str]]) -> Publishers:
    """Publishers by their first mention; a publisher's origins do not rank among themselves."""
    origins: dict[str, set[str]] = {}
    for name, uri in pairs:
        origins.setdefault(name, set()).add(uri)
    return tuple((name, uri) for name, uris in origins.items() for uri in sorted(uris))


def _publishers(
    before: Publishers, own: Sequence[tuple[str, str]], add: list[str], remove: list[str]
) -> Publishers:
    if not (add or remove):
        return before
    there = before or tuple(own)
    gone = [_halves(word) for word in remove]
    kept = [
        (name, uri)
        for name, uri in there
        if not any(name == out and (not where or uri == _tidy(where)) for out, where in gone)
    ]
    found = _ranked([*kept, *map(publisher, add)])
    if not found and there:
        raise UsageError(
            "no publisher is left to install packages from", hint="add one: -g 'NAME|URI'"
        )  # fmt: skip
    return before if found == tuple(there) else found


# -- packages ------------------------------------------------------------------------------------------------


def stem(one: str) -> str:
    """A package without its version."""
    return one.partition("@")[0]


def _name(one: str) -> str:
    """Without publisher, anchor and version: two of these cannot be installed at once."""
    return re.sub(r"^pkg:/(/[^/]+/)?", "", stem(one))


def _is_glob(word: str) -> bool:
    return re.search(r"[*?]", stem(word)) is not None


def fits(word: str, name: str) -> bool:
    """Does pkg take this word for the package of that full name?"""
    pattern = _name(package(word))
    if _is_glob(word):
        return fnmatchcase(name, pattern)
    return name == pattern or (not _is_exact(word) and name.endswith(f"/{pattern}"))


def _is_exact(word: str) -> bool:
    """A publisher anchors the name behind it, too."""
    return package(word).startswith(ANCHOR) and not _is_glob(word)


def _same(one: str, other: str) -> bool:
    """Does one of them stand for the very name that the other has?"""
    return fits(one, _name(other)) or fits(other, _name(one))


def _alike(one: str, other: str) -> bool:
    """May pkg take both for one package?"""
    return any(_overlap(left, right) for left in _patterns(one) for right in _patterns(other))


def _patterns(word: str) -> tuple[str, ...]:
    """All names that a word stands for, as patterns from the beginning of the name to its end."""
    name = _name(word)
    return (name,) if _is_exact(word) or _is_glob(word) else (name, f"*/{name}")


def _overlap(one: str, other: str) -> bool:
    """Is there a name that both patterns match?"""

    @cache
    def from_here(left: int, right: int) -> bool:
        mine, its = one[left : left + 1], other[right : right + 1]
        if "*" in (mine, its):  # it stands for nothing, or also for the next character of the other
            shorter = (mine == "*" and from_here(left + 1, right)) or (
                its == "*" and from_here(left, right + 1)
            )
            longer = mine and its and mine != its
            return shorter or bool(longer and from_here(left + (mine != "*"), right + (its != "*")))
        if not (mine and its):
            return mine == its
        return (mine == its or "?" in (mine, its)) and from_here(left + 1, right + 1)

    return from_here(0, 0)


def _by_name(words: Iterable[str]) -> dict[str, str]:
    """Packages by their names; a version is more than none, an anchor too, and two versions are a contradiction."""
    found: dict[str, str] = {}
    for word in sorted(set(words), key=lambda word: ("@" in word, "pkg://" in word, ANCHOR in word, word)):
        before = found.get(_name(word), word)
        if "@" in before and before.partition("@")[2] != word.partition("@")[2]:
            raise UsageError(f"{before} and {word} exclude each other", hint="name one of them")
        anchored = before.startswith(ANCHOR) and not word.startswith(ANCHOR)
        found[_name(word)] = f"{ANCHOR}{word}" if anchored else word
    return found


def _removed(
    packages: Iterable[str], without: Iterable[str], words: Sequence[str]
) -> tuple[set[str], set[str]]:
    """What was asked for is no longer; anything else must be part of every image, and is noted as missing."""
    kept, missing = set(packages), set(without)
    for word in words:
        hits = {one for one in packages if _name(one) == _name(word)} or {
            one for one in packages if fits(word, _name(one))
        }
        if len(hits) > 1 and not _is_glob(word):
            names = sorted(f"{ANCHOR}{_name(one)}" for one in hits)
            raise UsageError(
                f"{word} may be any of: {', '.join(sorted(hits))}", hint=f"give the exact name: {names[0]}"
            )
        kept -= hits
        if not hits:
            missing.add(stem(word))
    return kept, missing


def as_installed(known: ImageSet, contents: Mapping[str, str]) -> ImageSet:
    """The set after an update: a package that was asked for in a version it no longer has is that of its new version.

    `contents`: full FMRIs by name.
    """

    def now(one: str) -> str:
        name, _, wanted = one.partition("@")
        if not wanted:
            return one
        fmri = next((fmri for full, fmri in contents.items() if fits(name, full)), "")
        version = fmri.partition("@")[2].partition(":")[0]
        same = wanted.partition(":")[0] == version or re.match(rf"{re.escape(wanted)}[-.,]", version)
        return one if same or not version else f"{name}@{version}"

    return replace(known, packages=frozenset(map(now, known.packages)))


# -- the way from one set to another -------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """What turns one image into another; removals first. All sorted."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    add_publishers: tuple[str, ...] = ()  # NAME=URI

    @property
    def size(self) -> int:
        """How many packages it moves."""
        return len(self.add) + len(self.remove)


def difference(start: ImageSet, wanted: ImageSet, own: Sequence[tuple[str, str]] = ()) -> Difference | None:
    """The way from `start` to `wanted`; None where there is no sure one. `own`: the host's publishers.

    - Other brand, or accounts in it that the other has not: no.
    - Publishers may only be added below those that are there: a package could have come from any of them.
    - What `start` lacks although every new image has it cannot be told from what it never had.
    - A name that goes must not be what pkg could take for one that stays.
    - The same name with an anchor on one side only may be two packages.
    """
    added = _added_publishers(start.publishers or tuple(own), wanted.publishers or tuple(own))
    if start.brand != wanted.brand or not start.extras <= wanted.extras or added is None:
        return None
    add = wanted.packages - start.packages
    names = {_name(one) for one in wanted.packages}
    if any(
        _name(one) == _name(other) and _is_exact(one) != _is_exact(other)
        for one in add
        for other in start.packages
    ):
        return None
    if any(one not in names for one in map(_name, start.without - wanted.without)):
        return None
    gone = {stem(one) for one in start.packages - wanted.packages if _name(one) not in names}
    gone |= {one for one in wanted.without - start.without if not any(_alike(one, other) for other in gone)}
    kept = start.packages & wanted.packages
    if any(_alike(out, one) for out in gone for one in kept):
        return None
    return Difference(
        tuple(sorted(add)), tuple(sorted(gone)), tuple(f"{name}={uri}" for name, uri in added)
    )  # fmt: skip


def _added_publishers(there: Publishers, wanted: Publishers) -> Publishers | None:
    if wanted[: len(there)] != there:
        return None
    added = wanted[len(there) :]
    return None if {name for name, _ in added} & {name for name, _ in there} else added


# -- the record ----------------------------------------------------------------------------------------------


def marks(wanted: ImageSet) -> dict[str, str]:
    """ZFS user properties for the zonepath dataset. Those of a longer, older record may stay: they do not count."""
    text = json.dumps(
        {
            "brand": wanted.brand,
            "publishers": wanted.publishers,
            "packages": sorted(wanted.packages),
            "without": sorted(wanted.without),
            "extras": sorted(wanted.extras),
        },
        separators=(",", ":"),
    )
    pieces = [text[n : n + LONGEST] for n in range(0, len(text), LONGEST)]
    if len(pieces) > len(PROPERTIES):
        raise UsageError(
            "these are more packages than one image can keep account of", hint="name fewer of them"
        )
    return dict(zip(PROPERTIES, [f"{len(pieces)} {pieces[0]}", *pieces[1:]], strict=False))


def read(host: Host) -> dict[Dataset, ImageSet]:
    """The sets of all golden images by their zonepath datasets; one command. A record that is damaged is none."""
    values: dict[str, dict[str, str]] = {}
    for dataset, name, value in zfs.local_values(host, *PROPERTIES):
        values.setdefault(dataset, {})[name] = value
    found = {Dataset(dataset): recall(pieces) for dataset, pieces in values.items()}
    return {dataset: one for dataset, one in found.items() if one is not None}


def recall(properties: Mapping[str, str]) -> ImageSet | None:
    """The set that `marks` wrote down."""
    number, _, _ = properties.get(PROPERTIES[0], "").partition(" ")
    if not re.fullmatch("[1-8]", number):
        return None
    text = "".join(properties.get(name, "") for name in PROPERTIES[: int(number)])
    try:
        known = json.loads(text.removeprefix(f"{number} "))
        return ImageSet(
            str(known["brand"]),
            tuple((str(name), str(uri)) for name, uri in known["publishers"]),
            frozenset(map(str, known["packages"])),
            frozenset(map(str, known["without"])),
            frozenset(map(str, known["extras"])),
        )
    except (ValueError, KeyError, TypeError):
        return None
