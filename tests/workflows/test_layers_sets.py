"""The wanted set: its one spelling, its name, its record."""

from __future__ import annotations

import pytest

from tests.support import Lab
from zonemgr.errors import UsageError
from zonemgr.model import Dataset
from zonemgr.workflows import imageset, naming

HOST = (("omnios", "https://pkg.omnios.org/r151046/core"), ("extra", "https://pkg.omnios.org/extra"))


def packages(*words: str, **more: object) -> imageset.ImageSet:
    return imageset.of("lipkg", packages=words, **more)  # type: ignore[arg-type]


def test_an_image_keeps_the_name_it_had_before_publishers_and_removals_counted() -> None:
    assert packages("b", "a").name == naming.golden("lipkg", (), ["a", "b"]) == "giz-b94478be27b0"


@pytest.mark.parametrize("spelling", ["/developer/gcc-14", "pkg:///developer/gcc-14"])
def test_a_package_has_one_name_however_it_is_spelled(spelling: str) -> None:
    exact = "pkg:/developer/gcc-14"
    assert packages(spelling, "text/less", exact).name == packages("text/less", spelling).name
    assert packages(spelling) == packages(exact) == packages(exact, "developer/gcc-14")
    assert packages(spelling, "developer/gcc-14@14") == packages("pkg:/developer/gcc-14@14")


def test_an_anchor_makes_another_set_and_stays_with_it() -> None:
    """pkg takes `network/ssh` for `service/network/ssh`, too."""
    exact, loose = packages("pkg:/network/ssh"), packages("network/ssh")
    assert exact.name != loose.name
    assert imageset.recall(imageset.marks(exact)) == exact
    assert imageset.difference(packages(), exact) == imageset.Difference(add=("pkg:/network/ssh",))
    assert imageset.difference(exact, packages()) == imageset.Difference(remove=("pkg:/network/ssh",))
    assert imageset.difference(exact, loose) is None, "it may be another package"
    both = packages("pkg:/network/ssh", "service/network/ssh")
    assert both.changed(remove=["pkg:/network/ssh"]) == packages("service/network/ssh")
    assert imageset.difference(both, packages("service/network/ssh")) is not None
    known = imageset.as_installed(
        packages("pkg:/network/ssh@1"),
        {"service/network/ssh": "pkg://x/service/network/ssh@9-1", "network/ssh": "pkg://x/network/ssh@2-1"},
    )
    assert known.packages == {"pkg:/network/ssh@2-1"}


@pytest.mark.parametrize(
    ("word", "name", "fits"),
    [
        ("gnu*", "gnu-tar", True),
        ("gnu*", "archiver/gnu-tar", False),
        ("pkg:/gnu*", "gnu-tar", True),
        ("*gnu*", "archiver/gnu-tar", True),
        ("archiver/gnu-???", "archiver/gnu-tar", True),
        ("gnu-tar", "archiver/gnu-tar", True),
        ("tar", "archiver/gnu-tar", False),
        ("/gnu-tar", "archiver/gnu-tar", False),
        ("pkg://extra/gnu-tar", "archiver/gnu-tar", False),
        ("pkg:/archiver/gnu-tar@1", "archiver/gnu-tar", True),
    ],
)
def test_words_match_as_pkg_matches_them(word: str, name: str, fits: bool) -> None:
    assert imageset.fits(word, name) is fits


@pytest.mark.parametrize(
    ("out", "stays", "sure"),
    [
        ("text/*", "gnu-tar", False),  # it may be text/gnu-tar
        ("text/*", "pkg:/gnu-tar", True),
        ("text/*", "x/gnu-tar", False),  # text/x/gnu-tar
        ("gnu*", "tar", False),  # gnu/tar
        ("gnu*", "pkg:/x/gnu-tar", True),
        ("a/b?d", "bcd", False),  # a/bcd
        ("a/b?d", "pkg:/a/bd", True),
    ],
)
def test_a_removal_must_not_take_what_stays(out: str, stays: str, sure: bool) -> None:
    wanted = packages(stays).changed(remove=[out])
    assert wanted.without == {out}
    assert (imageset.difference(packages(stays), wanted) is not None) is sure


def test_what_makes_a_package_another_one() -> None:
    names = {
        packages(word).name for word in ("gcc", "gcc@14", "gcc@13", "pkg://extra/gcc", "pkg://omnios/gcc")
    }
    assert len(names) == 5


@pytest.mark.parametrize(
    "spelling",
    [
        "local|http://build:80/repo/",
        "local=http://build/repo",
        "local|HTTP://BUILD/repo//",
        "local|http://build//repo",
    ],
)
def test_a_repository_has_one_address(spelling: str) -> None:
    assert packages(publishers=[spelling]).publishers == (("local", "http://build/repo"),)


def test_publishers_rank_and_their_origins_do_not() -> None:
    a, b, more = "a|http://a", "b|http://b", "a|http://another"
    assert packages(publishers=[a, b]).name != packages(publishers=[b, a]).name
    assert packages(publishers=[a, more, b]) == packages(publishers=[more, b, a, a])


@pytest.mark.parametrize(
    "word", ["local", "local|", "|http://x", "local|x", "local|http://a b", "lo cal|http://x"]
)
def test_words_that_are_no_publishers_are_refused(word: str) -> None:
    with pytest.raises(UsageError):
        packages(publishers=[word])


@pytest.mark.parametrize("word", ["-gcc", "", "pkg:/", "@14", "a'b", "a\tb"])
def test_words_that_are_no_packages_are_refused(word: str) -> None:
    with pytest.raises(UsageError):
        packages(word)


def test_removed_first_then_added_so_what_is_both_is_in() -> None:
    assert packages("a", "b", remove_packages=["a"]) == packages("a", "b")
    assert packages("b", remove_packages=["a"], base=["a"]) == packages("b")


def test_what_is_removed_without_having_been_asked_for_makes_another_image() -> None:
    plain, lean = packages("b"), packages("b", remove_packages=["pkg:/network/ssh"])
    assert lean.without == {"pkg:/network/ssh"} and lean.name != plain.name
    assert lean.changed(add=["network/ssh"]) == packages("b", "network/ssh")


def test_a_removal_by_the_last_part_of_a_name_means_the_whole_one() -> None:
    made = packages("developer/gcc-14", "text/less")
    assert made.changed(remove=["gcc-14"]) == packages("text/less")
    assert made.changed(remove=["developer/*"]) == packages("text/less")
    both = packages("a/gcc", "b/gcc")
    with pytest.raises(UsageError, match="may be any of: a/gcc, b/gcc"):
        both.changed(remove=["gcc"])
    assert packages("gcc", "b/gcc").changed(remove=["gcc"]) == packages("b/gcc")


def test_a_version_replaces_another_and_two_at_once_contradict() -> None:
    assert packages("gcc@13").changed(add=["gcc@14"]) == packages("gcc@14") == packages("gcc", "gcc@14")
    with pytest.raises(UsageError, match="exclude each other"):
        packages("gcc@13", "gcc@14")


def test_removing_a_publisher_of_the_host_names_the_others() -> None:
    assert packages(remove_publishers=["extra"], own=HOST).publishers == HOST[:1]
    assert (
        packages(remove_publishers=["extra|https://pkg.omnios.org/extra/"], own=HOST).publishers == HOST[:1]
    )
    assert packages(remove_publishers=["stranger"], own=HOST).publishers == ()
    with pytest.raises(UsageError, match="no publisher is left"):
        packages(remove_publishers=["extra", "omnios"], own=HOST)


def test_a_publisher_is_added_below_the_hosts_own() -> None:
    added = packages("a").changed(add_publishers=["local|http://build/"], own=HOST)
    assert added.publishers == (*HOST, ("local", "http://build"))


def test_the_way_from_one_set_to_another() -> None:
    way = imageset.difference(packages("a", "b@1", "c"), packages("a", "b@2", "d"))
    assert way == imageset.Difference(add=("b@2", "d"), remove=("c",))


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        (packages(), imageset.of("sparse")),
        (packages(publishers=["a|http://a"]), packages()),
        (packages(publishers=["a|http://a", "b|http://b"]), packages(publishers=["a|http://a"])),
        (packages(publishers=["a|http://a"]), packages(publishers=["a|http://a", "a|http://b"])),
        (packages(remove_packages=["ssh"]), packages()),
        (packages("gcc", "x/gcc"), packages("x/gcc")),
        (packages(extras=["user:bob"]), packages()),
    ],
)
def test_there_is_no_sure_way(start: imageset.ImageSet, wanted: imageset.ImageSet) -> None:
    assert imageset.difference(start, wanted, HOST) is None


def test_publishers_can_be_added_below() -> None:
    wanted = packages("x").changed(add_publishers=["local|http://build"], own=HOST)
    assert imageset.difference(packages("x"), wanted, HOST) == imageset.Difference(
        add_publishers=("local=http://build",)
    )


def test_the_record_outlives_the_longest_list(lab: Lab) -> None:
    many = packages(
        *(f"category/of/things/package-number-{n:04}" for n in range(600)), remove_packages=["ssh"]
    )
    few = packages("a", publishers=["a|http://ä"], extras=["user:bob"])
    home = "rpool/zones/giz/tools"
    for one in (many, few):  # the second is shorter: what is left of the first does not count
        assert all(len(value) <= 8191 for value in imageset.marks(one).values())
        lab.run("zfs", "set", *(f"{name}={value}" for name, value in imageset.marks(one).items()), home)
        assert imageset.read(lab.door()) == {Dataset(home): one}


def test_a_damaged_record_is_none() -> None:
    good = imageset.marks(packages("a"))[imageset.PROPERTIES[0]]
    assert imageset.recall({imageset.PROPERTIES[0]: good}) == packages("a")
    for bad in ("", good[:-3], good[2:], "1 []", "1 {}", "2 " + good[2:-1], "9 x"):
        assert imageset.recall({imageset.PROPERTIES[0]: bad}) is None
