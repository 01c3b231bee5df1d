"""Golden images as layers: found by what they hold, made from the nearest one, never made twice."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import GOLDEN
from tests.support import KILLED, Lab, in_child, same
from zonemgr.errors import NotOurs, NotThere, UsageError, ZonemgrError
from zonemgr.lab.pkg import publish as publishing
from zonemgr.model import Dataset
from zonemgr.workflows import (
    deriving,
    disposable,
    golden,
    imageset,
    layers,
    naming,
    packages,
    pkgjobs,
    snaps,
    survey,
    teardown,
)
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.furnish import Wishes
from zonemgr.workflows.golden import GoldenRequest
from zonemgr.workflows.layers import ImageWish

GCC, GIT, BINUTILS, GAWK = (
    "developer/gcc-14", "developer/versioning/git", "developer/gnu-binutils", "text/gawk",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_processes(lab: Lab) -> None:
    """Zones need none here but while zlogin runs."""
    lab.world.put("cells", "off")


def wish(*words: str, without: str = "", **more: str) -> ImageWish:
    return ImageWish(packages=" ".join(words), remove_packages=without, **more)


def provide(lab: Lab, *words: str, **more: str) -> str:
    return layers.provide(lab.site(), wish(*words, **more))


def seek(lab: Lab, *words: str) -> layers.Sought:
    """What would be done for a request."""
    return layers.seek(lab.door(), lab.site(), wish(*words), wishes=Wishes())


def record(lab: Lab, name: str, *words: str) -> None:
    """As if these had been put into an image."""
    marks = imageset.marks(imageset.of("nlipkg", packages=words))
    lab.run("zfs", "set", *(f"{key}={value}" for key, value in marks.items()), f"rpool/zones/giz/{name}")


def giz(lab: Lab, name: str, *words: str, **more: object) -> str:
    """An image made by hand."""
    request = GoldenRequest(zone=name, packages=words, **more)  # type: ignore[arg-type]
    return golden.create(lab.site(), request).zone


def images(lab: Lab) -> set[str]:
    return {one.name for one in survey.managed_zones(lab.door()) if one.kind == survey.GIZ}


def contents(lab: Lab, name: str) -> frozenset[str]:
    """What the image's own record says."""
    return imageset.read(lab.door())[Dataset(f"rpool/zones/giz/{name}")].packages


def installed(lab: Lab, name: str) -> set[str]:
    """What is really on the image's root."""
    lines = lab.run("pkg", "-R", f"/zones/giz/{name}/root", "list", "-H").splitlines()
    return {line.split()[0] for line in lines}


def made_from(lab: Lab, name: str) -> str:
    """The image whose snapshot this one was cloned from; empty for an installed one."""
    origin = lab.run("zfs", "get", "-H", "-o", "value", "origin", f"rpool/zones/giz/{name}/ROOT/zbe").strip()
    return origin.split("/")[3] if "/" in origin else ""


def builds(lab: Lab) -> int:
    """How many zones were installed or cloned."""
    return sum(
        {"install", "clone"} & set(argv[:4]) != set() for argv in lab.commands() if argv[0] == "zoneadm"
    )


# -- found, derived, made ------------------------------------------------------------------------------------


def test_a_request_is_met_by_the_nearest_image_and_then_by_its_own(lab: Lab) -> None:
    first = provide(lab, GCC)
    assert first == naming.golden("nlipkg", (), [GCC]) and made_from(lab, first) == GOLDEN
    assert GCC in installed(lab, first) and GIT not in installed(lab, first)
    second = provide(lab, GIT, GCC)
    assert made_from(lab, second) == first and {GCC, GIT} <= installed(lab, second)
    before, so_far = lab.everything(), builds(lab)
    assert provide(lab, GIT, GCC, GCC) == second
    assert provide(lab, GCC) == first
    assert provide(lab) == GOLDEN
    assert builds(lab) == so_far
    same(before, lab.everything())


def test_an_anchor_goes_to_pkg_and_into_the_record(lab: Lab) -> None:
    made = provide(lab, f"/{GCC}")
    assert any(list(words[-2:]) == ["--accept", f"pkg:/{GCC}"] for words in lab.commands())
    (record,) = [one for home, one in imageset.read(lab.door()).items() if home.last == made]
    assert record.packages == {f"pkg:/{GCC}"}
    assert provide(lab, f"pkg:/{GCC}") == made


def test_what_the_nearest_image_has_too_much_is_taken_out(lab: Lab) -> None:
    giz(lab, "big", GCC, GIT, GAWK)
    name = provide(lab, GCC, GIT)
    assert made_from(lab, name) == "big"
    assert contents(lab, name) == {GCC, GIT}
    assert GAWK not in installed(lab, name) and {GCC, GIT} <= installed(lab, name)
    assert GAWK in installed(lab, "big")


def test_nothing_near_means_from_nothing(lab: Lab) -> None:
    record(lab, GOLDEN, GAWK)
    sought = seek(lab, GCC)
    assert not sought.found and sought.start is None
    assert made_from(lab, provide(lab, GCC)) == ""


def test_an_image_of_any_name_serves_if_it_has_the_set(lab: Lab) -> None:
    giz(lab, "mine", GIT, GCC)
    assert provide(lab, GCC, GIT) == "mine"


def test_a_name_that_went_to_another_set_gets_a_number(lab: Lab) -> None:
    name = provide(lab, GCC)
    pkgjobs.install(lab.site(), name, packages.parse(GAWK))
    second = provide(lab, GCC)
    assert second == f"{name}-2" and contents(lab, second) == {GCC}
    assert provide(lab, GCC) == second and provide(lab, GAWK, GCC) == name


def test_a_stranger_of_the_name_is_let_be(lab: Lab) -> None:
    name = naming.golden("nlipkg", (), [GCC])
    lab.run("zonecfg", "-z", name, "create -b; set zonepath=/export/theirs")
    assert seek(lab, GCC).name == f"{name}-2"


def test_what_pkg_would_not_remove_is_no_start_after_all(lab: Lab) -> None:
    """A dependency of what stays was named by itself in the nearest image."""
    giz(lab, "near", GCC, BINUTILS, GIT)
    before = images(lab)
    name = provide(lab, GCC, GIT)
    assert made_from(lab, name) == "" and contents(lab, name) == {GCC, GIT}
    assert images(lab) == before | {name}
    assert any("is no start for" in note for note in lab.report.notes)


def test_what_every_image_has_can_be_left_out_and_is_not_served_to_others(lab: Lab) -> None:
    lean = provide(lab, GAWK, without="entire")
    assert "entire" not in installed(lab, lean)
    full = seek(lab, GAWK)
    assert full.name != lean and full.start and full.start.image == GOLDEN
    again = provide(lab, GAWK, GIT, without="entire")
    assert made_from(lab, again) == lean


def test_a_package_that_does_not_exist_leaves_nothing(lab: Lab) -> None:
    before = lab.everything()
    with pytest.raises(ZonemgrError, match="nosuch"):
        provide(lab, "nosuch/thing")
    same(before, lab.everything())


@pytest.mark.parametrize("which", ["running", "unserved", "snapshot gone", "foreign", "incomplete"])
def test_no_start_from_what_is_not_whole(lab: Lab, which: str) -> None:
    home = f"rpool/zones/giz/{GOLDEN}"
    if which == "running":
        lab.run("zoneadm", "-z", GOLDEN, "boot")
    elif which == "unserved":
        lab.run("zfs", "inherit", "zonemgr:current", home)
    elif which == "snapshot gone":
        lab.run("zfs", "set", "zonemgr:current=nosuch", home)
    elif which == "foreign":
        lab.run("zfs", "inherit", "zonemgr:set", home)
    else:
        lab.run("zoneadm", "-z", GOLDEN, "mark", "incomplete")
    assert seek(lab, GCC).start is None


def test_no_start_in_another_pool(lab: Lab) -> None:
    config = replace(lab.config, diz=replace(lab.config.diz, dataset="tank/zones/diz"))
    look = lab.door()
    rows = layers.inventory(look, lab.site())
    assert [one.name for one in layers.served(look, lab.site(), rows)] == [GOLDEN]
    assert layers.served(look, lab.site(config=config), rows) == []


def test_a_running_image_with_the_very_set_is_the_answer_all_the_same(lab: Lab) -> None:
    """It is being upgraded, or somebody looks into it; a second one like it would be built twice."""
    name = provide(lab, GCC)
    lab.run("zoneadm", "-z", name, "boot")
    assert provide(lab, GCC) == name


def test_publishers_make_another_image_and_start_only_from_what_they_extend(lab: Lab) -> None:
    uri = "http://pkg.example.org/site"
    publishing.repository(lab.world, "site", uri)
    lab.publish("site/tool", publisher="site")
    added = layers.provide(lab.site(), wish("site/tool", publishers=f"site|{uri}/"), GOLDEN)
    assert made_from(lab, added) == GOLDEN and "site/tool" in installed(lab, added)
    found = imageset.read(lab.door())[Dataset(f"rpool/zones/giz/{added}")]
    assert found.publishers == (*imageset.own(lab.door()), ("site", uri))
    alone = layers.seek(lab.door(), lab.site(), wish("site/tool", publishers=f"site|{uri}"), wishes=Wishes())
    assert not alone.found and alone.start is None and alone.wanted.publishers == (("site", uri),)
    more = layers.seek(lab.door(), lab.site(), wish(GAWK, publishers=f"site={uri}"), added, wishes=Wishes())
    assert more.wanted == found.changed(add=[GAWK])


# -- by hand -------------------------------------------------------------------------------------------------


def test_create_giz_from_another_by_hand(lab: Lab) -> None:
    made = golden.create(lab.site(), GoldenRequest(zone="child", origin=GOLDEN, packages=(GCC,)))
    assert made.snapshot == "initial-postinstalled-child" and made_from(lab, "child") == GOLDEN
    child = survey.managed(lab.door(), "child", survey.GIZ)
    assert child.marks["origin"] == f"giz:{GOLDEN}@initial-postinstalled-{GOLDEN}"
    names = [str(row.snapshot.name) for row in snaps.listing(lab.door(), "child")]
    assert names == [
        f"initial-{what}-child" for what in ("installed", "manifest_import_booted", "postinstalled")
    ]
    assert provide(lab, GCC) == "child"
    with pytest.raises(ZonemgrError, match="exists already"):
        golden.create(lab.site(), GoldenRequest(zone="child", origin=GOLDEN))
    diz = disposable.create(lab.site(), DisposableRequest("child", zone="b"))
    assert diz.origin == "child@initial-postinstalled-child"


def test_an_old_snapshot_of_an_image_is_a_start_of_its_own(lab: Lab) -> None:
    snap = f"initial-installed-{GOLDEN}"
    made = golden.create(lab.site(), GoldenRequest(origin=GOLDEN, snapshot=snap, packages=(GCC,)))
    origin = survey.managed(lab.door(), made.zone, survey.GIZ).marks["origin"]
    assert origin == f"giz:{GOLDEN}@{snap}"
    assert seek(lab, GCC).name != made.zone  # what the old snapshot lacked nobody knows
    with pytest.raises(NotThere, match="no snapshot nosuch"):
        golden.create(lab.site(), GoldenRequest(zone="x", origin=GOLDEN, snapshot="nosuch"))


def test_an_image_without_a_record_is_cloned_by_hand_and_never_guessed(lab: Lab) -> None:
    lab.run("zfs", "inherit", "zonemgr:set", f"rpool/zones/giz/{GOLDEN}")
    made = golden.create(lab.site(), GoldenRequest(origin=GOLDEN, packages=(GCC,))).zone
    assert made_from(lab, made) == GOLDEN
    assert (
        golden.create(lab.site(), GoldenRequest(origin=GOLDEN, packages=(GCC,), autoname=True)).zone == made
    )
    assert seek(lab, GCC) == layers.Sought(
        imageset.of("nlipkg", packages=[GCC]), naming.golden("nlipkg", (), [GCC])
    )


REFUSED: list[tuple[dict[str, object], type[ZonemgrError], str]] = [
    ({"origin": "nosuch"}, NotThere, "no zone nosuch"),
    ({"origin": GOLDEN, "brand": "sparse"}, UsageError, "has the brand of its origin"),
    ({"origin": GOLDEN, "packages": ("a'b",)}, UsageError, "is not a package name"),
    ({"origin": GOLDEN, "publishers": ("x",)}, UsageError, "is not a publisher"),
    ({"origin": "b1"}, NotOurs, "a disposable zone, not a golden-image zone"),
    ({"snapshot": "x", "zone": "y"}, UsageError, "of which image"),
    ({"origin": GOLDEN, "zone": "b1"}, ZonemgrError, "exists already"),
    ({"origin": GOLDEN, "zone": "x", "autoname": True}, UsageError, "exclude each other"),
]


def test_what_cannot_be_meant_is_refused_before_anything_changes(lab: Lab) -> None:
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="b1"))
    before = lab.everything()
    for words, error, text in REFUSED:
        with pytest.raises(error, match=text) as refused:
            golden.create(lab.site(), GoldenRequest(**words))  # type: ignore[arg-type]
        assert refused.value.hint
    same(before, lab.everything())


def test_a_furnished_image_serves_only_those_who_want_its_accounts(lab: Lab) -> None:
    made = golden.create(
        lab.site(), GoldenRequest(packages=(GAWK,), wishes=Wishes(users="builder"), autoname=True)
    ).zone
    assert made_from(lab, made) == GOLDEN
    assert "builder:" in lab.in_zone(made, "/etc/passwd").read_text()
    plain = seek(lab, GAWK)
    assert plain.name != made and plain.start and plain.start.image == GOLDEN
    again = GoldenRequest(packages=(GAWK,), wishes=Wishes(users="builder"), autoname=True)
    assert golden.create(lab.site(), again).zone == made


# -- disposable zones ----------------------------------------------------------------------------------------


def test_a_disposable_zone_comes_from_the_image_with_the_set(lab: Lab) -> None:
    first = disposable.prepare(lab.site(), DisposableRequest(image=wish(GCC)))
    so_far = builds(lab)
    second = disposable.prepare(lab.site(), DisposableRequest(image=wish(GCC)))
    assert first.origin == second.origin and builds(lab) == so_far
    assert second.zone.startswith(f"diz-{second.origin.partition('@')[0]}-")


def test_with_an_origin_the_set_is_its_set_with_the_changes(lab: Lab) -> None:
    giz(lab, "base", GCC, GAWK)
    request = DisposableRequest("base", image=wish(GIT, without=GAWK))
    origin = disposable.prepare(lab.site(), request).origin.partition("@")[0]
    assert made_from(lab, origin) == "base" and contents(lab, origin) == {GCC, GIT}
    assert GAWK not in installed(lab, origin)
    assert disposable.prepare(lab.site(), DisposableRequest("base", image=wish(GCC))).origin.startswith(
        "base@"
    )


def test_a_named_image_that_does_not_exist_is_made_with_what_is_wanted(lab: Lab) -> None:
    disposable.prepare(lab.site(), DisposableRequest("fresh", image=wish(GCC)))
    assert contents(lab, "fresh") == {GCC} and GCC in installed(lab, "fresh")


IMPOSSIBLE = [
    (DisposableRequest(snapshot="x", image=wish(GCC)), "of which golden image"),
    (DisposableRequest(GOLDEN, image=wish(brand="sparse")), "has the brand of its origin"),
    (DisposableRequest(image=wish(GCC), zone=GOLDEN), "exists already"),
    (DisposableRequest(image=wish(GCC), lofs="/work|/no/such"), "no directory /no/such"),
]


def test_a_disposable_zone_that_cannot_be_costs_no_image(lab: Lab) -> None:
    before = lab.everything()
    for request, text in IMPOSSIBLE:
        with pytest.raises(ZonemgrError, match=text):
            disposable.create(lab.site(), request)
    same(before, lab.everything())


def test_a_dry_run_says_what_would_be_and_changes_nothing(lab: Lab) -> None:
    before = lab.everything()
    site = lab.site(dry_run=True)
    assert layers.provide(site, wish(GCC)) == naming.golden("nlipkg", (), [GCC])
    disposable.create(site, DisposableRequest(image=wish(GCC)))
    golden.create(site, GoldenRequest(origin=GOLDEN, packages=(GCC,), autoname=True))
    same(before, lab.everything())


# -- together, and after accidents ---------------------------------------------------------------------------


def test_two_jobs_with_the_same_needs_make_one_image(lab: Lab, tmp_path: Path) -> None:
    def job() -> None:
        mine = Lab(type(lab.world)(lab.world.dir))
        disposable.create(mine.site(), DisposableRequest(image=wish(GCC)))

    so_far = builds(lab)
    children = []
    for number in range(2):
        pid = os.fork()
        if pid == 0:
            code = in_child(job, tmp_path / f"output-{number}")
            os._exit(code if code >= 0 else 99)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    said = [(tmp_path / f"output-{number}").read_text() for number in range(2)]
    assert codes == [0, 0], said
    assert images(lab) == {naming.golden("nlipkg", (), [GCC]), GOLDEN}
    assert builds(lab) - so_far == 3  # the image, and two disposable zones
    zones = [one for one in survey.managed_zones(lab.door()) if one.kind == survey.DIZ]
    assert len(zones) == 2 and len({one.marks["origin"] for one in zones}) == 1


@pytest.mark.parametrize("moment", ["before:zfs set zonemgr:current=*", "after:zoneadm -z giz-* clone*"])
def test_after_a_kill_the_next_job_clears_up_and_gets_the_name(lab: Lab, moment: str, tmp_path: Path) -> None:
    lab.inside.fault(f"kill-caller-{moment}")

    def job() -> None:
        layers.provide(Lab(type(lab.world)(lab.world.dir)).site(), wish(GCC))

    assert in_child(job, tmp_path / "output") == KILLED
    assert provide(lab, GCC) == naming.golden("nlipkg", (), [GCC])
    assert len(images(lab)) == 2


def test_a_half_made_image_that_nobody_clears_up_keeps_its_name_to_itself(lab: Lab) -> None:
    name = provide(lab, GCC)
    lab.run("zfs", "inherit", "zonemgr:current", f"rpool/zones/giz/{name}")
    assert provide(lab, GCC) == f"{name}-2"


def test_an_origin_that_changes_under_the_plan_is_looked_at_again(lab: Lab) -> None:
    before = lab.everything()
    plan = layers.Plan(imageset.of("nlipkg", packages=[GIT]), imageset.of("nlipkg", packages=[GIT, GCC]))
    with pytest.raises(layers.Moved):
        deriving.create(lab.site(), GoldenRequest(origin=GOLDEN, packages=(GCC,)), plan=plan)
    same(before, lab.everything())


def test_what_was_asked_for_and_is_now_unwanted_is_on_record_as_left_out(lab: Lab) -> None:
    giz(lab, "near", GCC, GIT, GAWK)
    name = provide(lab, GCC, GIT, without=GAWK)
    assert made_from(lab, name) == "near" and GAWK not in installed(lab, name)
    assert provide(lab, GIT, GCC, without=GAWK) == name


def test_destroying_an_image_that_others_stand_on_is_refused_by_name(lab: Lab) -> None:
    child = provide(lab, GCC)
    with pytest.raises(ZonemgrError, match=f"has clones: {child}"):
        teardown.destroy(lab.site(), GOLDEN)
    before = [str(row.snapshot) for row in snaps.listing(lab.door(), GOLDEN)]
    teardown.destroy(lab.site(), child)
    assert [str(row.snapshot) for row in snaps.listing(lab.door(), GOLDEN)] == before
    teardown.destroy(lab.site(), GOLDEN)
    assert images(lab) == set()
