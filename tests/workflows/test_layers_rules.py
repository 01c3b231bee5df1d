"""The rules of layering, under requests nobody thought of: on a model of hosts, and a few on the lab itself."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st

from tests.conftest import GOLDEN
from tests.support import Lab
from tests.workflows.test_layers import GAWK, GCC, GIT, images, installed
from zonemgr.errors import UsageError
from zonemgr.model import Dataset
from zonemgr.workflows import imageset, layers
from zonemgr.workflows.imageset import ImageSet
from zonemgr.workflows.layers import Image, ImageWish

SED = "text/gnu-sed"
BASE = ("entire", "system/core", "editor/vi")  # what the model's brands install by themselves
NAMES = ("a", "b", "x/a", "x/b", "y/x/a", "c", "d", "e", "pkg:/a", "pkg:/c")
PUBLISHERS = ("p|http://p", "q|http://q/", "p|http://other", "r=file:///r")
OWN = (("host", "http://host"), ("extra", "http://extra"))


@dataclass(frozen=True)
class Request:
    """What a job asks for."""

    packages: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    brand: str = "nlipkg"

    @property
    def wanted(self) -> ImageSet:
        return imageset.of(
            self.brand, packages=self.packages, remove_packages=self.removed, publishers=self.publishers, own=OWN
        )  # fmt: skip

    def said_otherwise(self, rng: random.Random) -> Request:
        """The same wish: another order and spelling, things said twice; only publishers keep their order."""

        def shuffled(words: Iterable[str]) -> tuple[str, ...]:
            found = [re.sub("^pkg:/", rng.choice(["/", "pkg:/", "pkg:///"]), word) for word in words]
            found += [word for word in found if rng.random() < 0.3]
            rng.shuffle(found)
            return tuple(found)

        publishers = tuple(word + "/" * rng.randrange(3) for word in self.publishers)
        return replace(
            self,
            packages=shuffled(self.packages),
            removed=shuffled(self.removed),
            publishers=(*publishers, *publishers[:1]),
        )


versions = st.sampled_from(["", "", "", "@1", "@2"])
words = st.builds("{}{}".format, st.sampled_from(NAMES), versions)
requests = st.builds(
    Request,
    st.lists(words, max_size=5, unique_by=lambda word: imageset.stem(word).removeprefix("pkg:/")).map(tuple),
    st.lists(st.sampled_from([*NAMES[:3], *BASE[:2]]), max_size=2).map(tuple),
    st.one_of(st.just(()), st.lists(st.sampled_from(PUBLISHERS), max_size=3).map(tuple)),
    st.sampled_from(["nlipkg", "nlipkg", "nlipkg", "ipkg"]),
)


@dataclass
class Root:
    """What is really installed, as pkg would leave it: names with their versions."""

    packages: dict[str, str]

    @classmethod
    def fresh(cls) -> Root:
        return cls(dict.fromkeys(BASE, ""))

    def install(self, words: Iterable[str]) -> None:
        for word in words:
            name, _, version = word.removeprefix("pkg:/").partition("@")
            self.packages[name] = version

    def uninstall(self, words: Iterable[str]) -> None:
        """pkg takes a name for the whole one if there is one, else for the end of any."""
        for word in words:
            name = word.removeprefix("pkg:/")
            exact = word.startswith("pkg:/") or name in self.packages
            hits = [n for n in self.packages if n == name or (not exact and n.endswith(f"/{name}"))]
            for name in hits:
                del self.packages[name]


@dataclass
class Model:
    """A host whose images are only sets and roots."""

    sets: dict[str, ImageSet] = field(default_factory=dict)
    roots: dict[str, Root] = field(default_factory=dict)
    made: int = 0

    @property
    def images(self) -> list[Image]:
        return [Image(name, one, f"{n:04}") for n, (name, one) in enumerate(self.sets.items())]

    def provide(self, wanted: ImageSet) -> str:
        """As layers.provide does it, in miniature."""
        found = layers.exact(wanted, self.images)
        if found is not None:
            return found.name
        start = layers.nearest(wanted, self.images, OWN)
        name = next(layers.free_names(wanted, dict(self.sets)))
        self.made += 1
        if start is None:
            self._build(name, wanted, Root.fresh(), wanted.packages, wanted.without)
        else:
            root = Root(dict(self.roots[start.image].packages))
            self._build(name, wanted, root, start.way.add, start.way.remove)
        return name

    def _build(
        self, name: str, contents: ImageSet, root: Root, add: Iterable[str], out: Iterable[str]
    ) -> None:
        root.uninstall(out)
        root.install(add)
        self.sets[name], self.roots[name] = contents, root


def from_nothing(wanted: ImageSet) -> dict[str, str]:
    """The root that an installation of this set has; a removal comes before the additions."""
    root = Root.fresh()
    root.uninstall(wanted.without)
    root.install(wanted.packages)
    return root.packages


def sound(request: Request) -> bool:
    """Not all that can be said makes sense."""
    try:
        return bool(request.wanted)
    except UsageError:
        return False


@given(st.lists(requests.filter(sound), min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_a_host_under_any_sequence_of_requests(asked: list[Request], rng: random.Random) -> None:
    host = Model()
    for request in asked:
        wanted = request.wanted
        name = host.provide(wanted)
        assert host.sets[name] == wanted
        assert host.roots[name].packages == from_nothing(wanted), f"{name} {wanted}"
        made = host.made
        assert host.provide(request.said_otherwise(rng).wanted) == name
        assert host.made == made
    assert len(set(host.sets.values())) == len(host.sets) == host.made
    assert {one.name for one in host.sets.values()} == set(host.sets)


@given(requests.filter(sound), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_same_wish_has_the_same_name(request: Request, rng: random.Random) -> None:
    other = request.said_otherwise(rng).wanted
    assert other == request.wanted and other.name == request.wanted.name
    assert imageset.recall(imageset.marks(other)) == other


@given(requests.filter(sound), requests.filter(sound))
@settings(max_examples=100, deadline=None)
def test_different_wishes_have_different_names(one: Request, other: Request) -> None:
    assert (one.wanted == other.wanted) == (one.wanted.name == other.wanted.name)


@given(
    requests.filter(sound), st.lists(requests.filter(sound), max_size=6), st.randoms(use_true_random=False)
)
@example(Request(("a", "b")), [Request(("a", "c")), Request(("b",)), Request(("a",))], random.Random(1))
@settings(max_examples=100, deadline=None)
def test_no_nearer_start_is_passed_over(asked: Request, there: list[Request], rng: random.Random) -> None:
    """Against a plain count, and whatever order the images are told in."""
    wanted = asked.wanted
    sets = {f"i{n}": one.wanted for n, one in enumerate(there) if one.wanted != wanted}
    rows = [Image(name, contents, rng.choice("123")) for name, contents in sets.items()]
    start = layers.nearest(wanted, rows, OWN)
    rng.shuffle(rows)
    assert layers.nearest(wanted, rows, OWN) == start
    empty = len(wanted.packages | wanted.without)
    if start is not None:
        assert start.way.size <= empty
        assert start.way == imageset.difference(sets[start.image], wanted, OWN)
    for row in rows:
        count = plain_count(row.contents, wanted)
        if count is not None and count < empty:
            assert start is not None and start.way.size <= count


def plain_count(start: ImageSet, wanted: ImageSet) -> int | None:
    """Packages to move between two sets without any subtleties; None where there are some."""
    words = start.packages | wanted.packages
    if any(re.search("[@/]", word) for word in words) or start.without or wanted.without:
        return None
    if (start.brand, start.publishers) != (wanted.brand, wanted.publishers):
        return None
    return len(start.packages ^ wanted.packages)


@given(requests.filter(sound), requests.filter(sound))
@settings(max_examples=100, deadline=None)
def test_every_way_leads_where_it_should(one: Request, other: Request) -> None:
    start, wanted = one.wanted, other.wanted
    way = imageset.difference(start, wanted, OWN)
    assume(way is not None)
    assert way is not None
    moved = start.changed(add=way.add, remove=way.remove, add_publishers=way.add_publishers, own=OWN)
    assert (moved.packages, moved.publishers) == (wanted.packages, wanted.publishers)
    root = Root(from_nothing(start))
    root.uninstall(way.remove)
    root.install(way.add)
    assert root.packages == from_nothing(wanted)


# -- on the lab ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def another_lab(prepared: dict[str, Lab], tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Lab]:
    number = iter(range(1000))
    folder: Path = tmp_path_factory.mktemp("rules")
    return lambda: prepared["openindiana"].copy(folder / f"lab-{next(number)}")


sequences = st.lists(
    st.tuples(
        st.lists(st.sampled_from([GCC, GIT, GAWK, SED]), max_size=3, unique=True),
        st.lists(st.sampled_from([GAWK, SED]), max_size=1),
        st.sampled_from(["", "", GOLDEN]),
    ),
    min_size=3,
    max_size=4,
)


@given(sequences, st.randoms(use_true_random=False))
@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_lab_keeps_the_rules_too(
    another_lab: Callable[[], Lab], asked: list[tuple[list[str], list[str], str]], rng: random.Random
) -> None:
    lab = another_lab()
    lab.world.put("cells", "off")
    for add, out, origin in asked:
        wanted = imageset.of("nlipkg", packages=add, remove_packages=out)
        name = layers.provide(
            lab.site(), ImageWish(packages=" ".join(add), remove_packages=" ".join(out)), origin
        )
        assert imageset.read(lab.door())[Dataset(f"rpool/zones/giz/{name}")] == wanted
        named = {GCC, GIT, GAWK, SED} & installed(lab, name)
        assert named == wanted.packages  # none of the four needs another
        before = images(lab)
        said = Request(tuple(add), tuple(out)).said_otherwise(rng)
        again = ImageWish(packages=" ".join(said.packages), remove_packages=" ".join(said.removed))
        assert layers.provide(lab.site(), again, origin) == name
        assert images(lab) == before
    sets = list(imageset.read(lab.door()).values())
    assert len(set(sets)) == len(sets)
    lab.world.close()
