"""Golden images as layers: find the image with the wanted set, else start from the nearest, else from nothing.

What is wanted is a set (see imageset): two requests with the same set get the same image, whatever it is called. A
template is not part of it: it gives the brand, and the rest of it is configuration, which clones do not inherit. Only
an image that is whole and served, in the pool of the zones to be, can be found or started from. One that runs is found
(it is being upgraded, or looked into, and a second one like it would be built in vain) but never started from.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from zonemgr import locks, records
from zonemgr.errors import UsageError, ZonemgrError
from zonemgr.host import zoneadm
from zonemgr.host.door import Host
from zonemgr.model import ZoneName, ZoneState
from zonemgr.workflows import golden, imageset, survey
from zonemgr.workflows.furnish import Wishes
from zonemgr.workflows.imageset import Difference, ImageSet
from zonemgr.workflows.job import Site, glimpse


@dataclass(frozen=True)
class ImageWish:
    """What an image is to hold, as it stood on the command line; lists are separated by whitespace."""

    brand: str = ""
    template: str = ""
    packages: str = ""
    remove_packages: str = ""
    publishers: str = ""  # NAME|URI, the first one seeds the image
    remove_publishers: str = ""  # NAME or NAME|URI

    @property
    def contents(self) -> bool:
        """Whether packages or publishers were asked for."""
        return any((self.packages, self.remove_packages, self.publishers, self.remove_publishers))

    @property
    def words(self) -> dict[str, tuple[str, ...]]:
        """The lists taken apart, by the names GoldenRequest and imageset.of have for them."""
        lists = ("packages", "remove_packages", "publishers", "remove_publishers")
        return {name: tuple(getattr(self, name).split()) for name in lists}

    def request(self, zone: str) -> golden.GoldenRequest:
        """For an image of this name with just this in it."""
        words = self.words
        return golden.GoldenRequest(
            zone, self.brand, self.template, words["packages"], words["remove_packages"], words["publishers"],
            words["remove_publishers"],
        )  # fmt: skip


# -- the decision: pure, so that it can be tried on thousands of hosts ----------------------------------------


@dataclass(frozen=True)
class Image:
    """What the decision needs to know of a golden image that is served. `fit`: it can be cloned as it stands."""

    name: str
    contents: ImageSet
    created: str = ""  # as it sorts
    fit: bool = True


@dataclass(frozen=True)
class Start:
    """An image to start from, and what is to be changed in a clone of it."""

    image: str
    contents: ImageSet  # of the image; another one by now is another plan
    way: Difference


def exact(wanted: ImageSet, images: Iterable[Image], favourite: str = "") -> Image | None:
    """The image that has just this set: the favourite, else one that can be cloned now, else the oldest."""
    found = [one for one in images if one.contents == wanted]
    return min(
        found, key=lambda one: (one.name != favourite, not one.fit, one.created, one.name), default=None
    )


def nearest(wanted: ImageSet, images: Iterable[Image], own: Sequence[tuple[str, str]] = ()) -> Start | None:
    """The image from which the fewest packages are to be added and removed; None when nothing is as good as none.

    Among equals the one with less to remove (a removal leaves dependencies behind), then the older one, then by
    name. At the same distance as nothing at all only an image from which nothing is removed is worth starting from.
    """
    empty = len(wanted.packages) + len(wanted.without)
    ways = [(one, imageset.difference(one.contents, wanted, own)) for one in images if one.fit]
    found = [
        (
            way.size,
            len(set(way.remove) - wanted.without),
            one.created,
            one.name,
            Start(one.name, one.contents, way),
        )
        for one, way in ways
        if way is not None
    ]
    near = [row for row in found if row[0] < empty or (row[0] == empty and not row[1])]
    best = min(near, key=lambda row: row[:4], default=None)
    return None if best is None else best[4]


def free_names(wanted: ImageSet, taken: Mapping[str, ImageSet | None]) -> Iterator[str]:
    """`giz-<hash>`, then with -2, -3 and so on; never a name that has gone to another set, or to no known one."""
    for number in itertools.count(1):
        name = wanted.name if number == 1 else f"{wanted.name}-{number}"
        if name not in taken or taken[name] == wanted:
            yield name


@dataclass(frozen=True)
class Plan:
    """What a new image is to hold, if its origin still holds what it did when this was decided."""

    base: ImageSet
    wanted: ImageSet


# -- the host ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sought:
    """What a wish comes to on this host as it is now."""

    wanted: ImageSet
    name: str  # of the image that has the set, or of the one to be made
    found: bool = False
    start: Start | None = None  # None: from nothing, if not found
    origin: str = ""  # the image that was named as the one to start from
    base: ImageSet | None = None  # what that holds
    snapshot: str = ""  # of it


def provide(
    site: Site, wish: ImageWish, origin: str = "", snapshot: str = "", *, wishes: Wishes | None = None
) -> str:
    """Name of a served golden image with exactly the wanted set; it is found, or derived from the nearest, or made.

    With an origin, the wanted set is the origin's with the changes of the wish, and the origin is what to start
    from. Of several jobs with the same needs one makes the image; the others wait and use it.
    """
    asked = wishes or Wishes()
    sought = seek(glimpse(site), site, wish, origin, snapshot, wishes=asked)
    if sought.found:
        return sought.name
    if site.host.dry_run:
        _make(site, sought, wish, asked)
        return sought.name
    run = records.new_run_id()
    with locks.set_lock(site.config, sought.wanted.name, run, waiting=site.report.note):
        return _found_or_made(site, wish, origin, snapshot, asked)


def _found_or_made(site: Site, wish: ImageWish, origin: str, snapshot: str, wishes: Wishes) -> str:
    spoilt: set[str] = set()
    for _ in range(10):  # others pull at images and names, but not for ever
        sought = seek(glimpse(site), site, wish, origin, snapshot, wishes=wishes, spoilt=spoilt)
        if sought.found:
            return sought.name
        try:
            _make(site, sought, wish, wishes)
            spoilt.add(
                sought.name
            )  # if it is not found now, something of that name stands that is never served
        except Moved as moved:
            site.report.note(f"{moved}; looking again")
    raise ZonemgrError(
        f"the golden images that {sought.name} would start from change too fast",
        hint="see what goes on: zonemgr runs",
    )


def guess(look: Host, site: Site, wish: ImageWish, origin: str, snapshot: str) -> Sought | None:
    """Which image a disposable zone with this wish comes from; None: just the one that is named, there or not.

    Who wishes nothing gets what `create-giz` would make: the host's brand with the configured packages.
    """
    if origin:
        there = survey.find(look, ZoneName(origin)) is not None
        if there and not wish.contents and (wish.brand or wish.template):
            brand = survey.managed(look, origin, survey.GIZ).row.brand
            same_brand(look, site, brand, wish.brand, wish.template)
        if not (there and wish.contents):
            return None
    elif snapshot:
        raise UsageError(f"the snapshot {snapshot} of which golden image?", hint="name one with -c")
    return seek(look, site, wish, origin, snapshot, wishes=Wishes())


class Moved(ZonemgrError):
    """What a plan was made from is another one now; a new plan is needed."""


def seek(
    look: Host, site: Site, wish: ImageWish, origin: str = "", snapshot: str = "", *, wishes: Wishes,
    spoilt: Collection[str] = (),
) -> Sought:  # fmt: skip
    """Find the image, or decide what it is made from and called. Changes nothing. `spoilt`: names not to use."""
    rows = inventory(look, site)
    own = imageset.own(look) if wish.publishers or wish.remove_publishers else ()
    base = _base(look, site, wish, origin, snapshot) if origin else None
    wanted = _wanted(look, site, wish, base, own, extras(wishes))
    images = served(look, site, rows)
    same = exact(wanted, images, origin)
    if same is None and base is None:
        former = golden.former_brand(look, site, wish.brand, wish.template)
        same = exact(replace(wanted, brand=former), images) if former else None
    if same is not None:
        return Sought(wanted, same.name, found=True)
    start = None
    if not origin:
        hosts = own or (imageset.own(look) if wanted.publishers else ())
        start = nearest(wanted, images, hosts)
    return Sought(
        wanted, _name(look, rows, wanted, spoilt), start=start, origin=origin, base=base, snapshot=snapshot
    )


def _wanted(
    look: Host, site: Site, wish: ImageWish, base: ImageSet | None, own: imageset.Publishers,
    more: frozenset[str],
) -> ImageSet:  # fmt: skip
    if base is not None:
        return changed(base, **wish.words, extras=more, own=own)
    brand, _ = golden.brand_for(look, site, golden.GoldenRequest(brand=wish.brand, template=wish.template))
    return imageset.of(brand, base=site.config.giz.packages, **wish.words, extras=more, own=own)


def _base(look: Host, site: Site, wish: ImageWish, origin: str, snapshot: str) -> ImageSet:
    base = contents_of(look, survey.managed(look, ZoneName(origin), survey.GIZ), snapshot)
    same_brand(look, site, base.brand, wish.brand, wish.template)
    return base


def changed(
    base: ImageSet,
    *,
    packages: Iterable[str] = (),
    remove_packages: Iterable[str] = (),
    publishers: Iterable[str] = (),
    remove_publishers: Iterable[str] = (),
    extras: Iterable[str] = (),
    own: imageset.Publishers = (),
) -> ImageSet:
    """A set with the changes of a request; publishers that are added rank last."""
    found = base.changed(
        add=packages,
        remove=remove_packages,
        add_publishers=publishers,
        remove_publishers=remove_publishers,
        own=own,
    )
    return replace(found, extras=found.extras | frozenset(extras))


def contents_of(look: Host, image: survey.Managed, snapshot: str = "") -> ImageSet:
    """What an image holds. One without a record, or an old snapshot of it, holds something of its own.

    Such a set equals no other, and nothing that was not told to starts from it.
    """
    known = imageset.read(look).get(image.dataset)
    if known is None:
        return ImageSet(image.row.brand, (), frozenset(), extras=frozenset({f"image:{image.name}"}))
    if snapshot and snapshot != image.marks.get("current"):
        return replace(known, extras=known.extras | {f"snapshot:{image.name}@{snapshot}"})
    return known


def same_brand(look: Host, site: Site, origins: str, brand: str, template: str) -> None:
    """A clone has its origin's brand; asking for another one is a mistake."""
    if not (brand or template):
        return
    asked, _ = golden.brand_for(look, site, golden.GoldenRequest(brand=brand, template=template))
    if asked != origins:
        raise UsageError(
            f"a clone has the brand of its origin, {origins}, not {asked}",
            hint="leave -b and -t out, or name an image of that brand with -c",
        )


def extras(wishes: Wishes) -> frozenset[str]:
    """What furnishing a golden image leaves in its root, and so in every clone of it."""
    kinds = {
        "user": wishes.users, "group": wishes.groups, "elevated": wishes.elevated, "autonfs": wishes.autonfs,
    }  # fmt: skip
    return frozenset(f"{kind}:{word}" for kind, words in kinds.items() for word in words.split())


def inventory(look: Host, site: Site) -> dict[str, tuple[survey.Managed, ImageSet | None]]:
    """All golden images that there are, half-made ones too, with their sets as far as they are known."""
    sets = imageset.read(look)
    zones = [one for one in survey.managed_zones(look) if one.kind == survey.GIZ]
    return {one.name: (one, sets.get(one.dataset)) for one in zones}


def served(look: Host, site: Site, rows: Mapping[str, tuple[survey.Managed, ImageSet | None]]) -> list[Image]:
    """The images new clones can come from: whole, served, with a known set, and in the pool of the zones to be."""
    pool = survey.containment(site.config, survey.DIZ)[0].pool
    images = [
        Image(one.name, contents, one.marks.get("created", ""), one.row.state is ZoneState.INSTALLED)
        for one, contents in rows.values()
        if contents is not None and one.marks.get("current") and one.dataset.pool == pool
        if one.row.brand == contents.brand and _on_disk(one.row.state)
    ]
    return [image for image in images if _stands(look, rows[image.name][0])]


def _on_disk(state: ZoneState) -> bool:
    return state is ZoneState.INSTALLED or state.active


def _stands(look: Host, image: survey.Managed) -> bool:
    """Has it the root and the snapshot that clones are made from?"""
    try:
        root = survey.root_of(look, image.dataset, image.name).name
    except ZonemgrError:
        return False
    parent = str(image.dataset.parent)  # one question for all images
    wanted = f"{root}@{image.marks['current']}"
    return any(str(row.snapshot) == wanted for row in survey.snapshots(look, parent))


def _name(
    look: Host, rows: Mapping[str, tuple[survey.Managed, ImageSet | None]], wanted: ImageSet,
    spoilt: Collection[str],
) -> str:  # fmt: skip
    """A name for a new image. A half-made one of the same set has it at most until it is cleared up."""
    taken: dict[str, ImageSet | None] = {row.name: None for row in zoneadm.list_zones(look)}
    half_made = {name: known for name, (one, known) in rows.items() if not one.marks.get("current")}
    return next(name for name in free_names(wanted, taken | half_made) if name not in spoilt)


def _make(site: Site, sought: Sought, wish: ImageWish, wishes: Wishes) -> None:
    """Derive or install it; whoever comes to wait for it finds it served."""
    from zonemgr.workflows import deriving  # it needs what is here

    plain = replace(wish.request(sought.name), wishes=wishes)
    if sought.origin:
        site.report.note(f"{sought.name} is made from {sought.origin} first")
        request = replace(plain, origin=sought.origin, snapshot=sought.snapshot)
        deriving.create(site, request, plan=Plan(sought.base or sought.wanted, sought.wanted))
        return
    if sought.start is not None:
        site.report.note(
            f"no golden image has just this; {sought.name} is made from {sought.start.image} first"
        )
        if deriving.attempt(site, sought.name, sought.start, sought.wanted, wishes):
            return
    else:
        site.report.note(f"no golden image has this, or comes near to it; {sought.name} is made first")
    golden.create(site, plain, unless_there=True)
