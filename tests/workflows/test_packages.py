"""Packages and publishers of zones: what was asked for is there, or the zone is as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import KILLED, Lab, in_child, same
from zonemgr import records
from zonemgr.errors import CommandError, NotThere, UsageError, ZonemgrError
from zonemgr.host import pkg
from zonemgr.host.door import CallableHost
from zonemgr.workflows import (
    building,
    disposable,
    golden,
    imageset,
    life,
    packages,
    pkgjobs,
    privilege,
    snaps,
    survey,
    teardown,
)
from zonemgr.workflows import job as jobs
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.job import glimpse, job

# The host's two publishers, and one more that a test may make.
FIRST = {
    "openindiana": ("openindiana.org", "http://pkg.openindiana.org/hipster/"),
    "omnios": ("omnios", "https://pkg.omnios.org/r151058/core/"),
}
SECOND = {
    "openindiana": ("hipster-encumbered", "http://pkg.openindiana.org/hipster-encumbered/"),
    "omnios": ("extra.omnios", "https://pkg.omnios.org/r151058/extra/"),
}
OWN = ("ours", "http://pkg.example.org/ours/")
SENDMAIL, POSTFIX = "service/network/smtp/sendmail", "service/network/smtp/postfix"


def image(lab: Lab, name: str = "tools") -> survey.Managed:
    return survey.managed(glimpse(lab.site()), name)


def where(zone: str) -> pkg.Image:
    return pkg.Image(root=f"/zones/{'diz' if zone.startswith('build') else 'giz'}/{zone}/root")


def contents(lab: Lab, zone: str = "tools") -> dict[str, str]:
    return pkg.contents(lab.door(), where(zone))


def publishers(lab: Lab, zone: str = "tools") -> list[tuple[str, str]]:
    """Names and origins; pkg ends most of these with a slash."""
    return [
        (row.name, f"{uri.rstrip('/')}/")
        for row in pkg.publishers(lab.door(), where(zone))
        for uri in row.origins
    ]


def snapshots(lab: Lab, zone: str = "tools") -> list[str]:
    home = image(lab, zone).dataset
    rows = survey.snapshots_of(lab.door(), survey.root_of(lab.door(), home, zone).name)
    return [str(row.snapshot.name) for row in rows]


def names(lab: Lab) -> list[str]:
    """All datasets and snapshots."""
    return lab.run("zfs", "list", "-H", "-o", "name", "-t", "all").split()


def words(pair: tuple[str, str]) -> str:
    return "|".join(pair)


def build_zone(lab: Lab, *, running: bool = True) -> None:
    disposable.create(lab.site(), DisposableRequest("tools", zone="build-1"))
    if not running:
        life.halt(lab.site(), "build-1")


def number(lab: Lab, zone: str = "build-1") -> int | None:
    """A zone gets a new number with each boot."""
    return survey.zone(lab.door(), zone).id


def install(lab: Lab, zone: str, add: str = "", **more: str) -> pkgjobs.Outcome:
    return pkgjobs.install(lab.site(), zone, packages.parse(add, **more))


def repository(lab: Lab) -> str:
    """One more publisher, with a package; its origin."""
    from zonemgr.lab.pkg import publish

    publish.repository(lab.world, *OWN)
    lab.publish("local/thing", publisher=OWN[0])
    return words(OWN)


# -- words -------------------------------------------------------------------------------------------------------


def test_publishers_are_written_in_two_ways() -> None:
    change = packages.parse(
        " a  b a", ["c"], "one|http://x.org/r/ two=https://y.org", "three four|file:///z/"
    )
    assert change == packages.Change(
        ("a", "b"), ("c",), ("one|http://x.org/r", "two|https://y.org"), ("three", "four|file:///z")
    )
    assert not packages.parse()


@pytest.mark.parametrize(
    "wrong",
    [{"add": "-x"}, {"remove": 'a"b'}, {"add_publishers": "one"}, {"add_publishers": "one|x y"},
     {"add_publishers": "o/e|http://x.org"}, {"remove_publishers": "-x"}, {"remove_publishers": "one|gopher"}],
    ids=str,
)  # fmt: skip
def test_words_that_are_no_packages_or_publishers(wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        packages.parse(**wrong)


PLACE = {"zone": "z", "zonepath": "/zones/z"}


def test_what_the_installation_can_be_seeded_with() -> None:
    two = packages.parse("a b*", "", "one|http://x.org two|http://y.org")
    one = replace(two, add_publishers=two.add_publishers[:1])
    seed, rest = golden.seeded("nlipkg", one, linked=False, **PLACE)
    assert (seed, rest) == (("-P", "one=http://x.org", "-e", "a"), packages.Change(("b*",)))
    seed, rest = golden.seeded("nlipkg", two, linked=False, **PLACE)
    assert (seed, rest) == (("-P", "one=http://x.org"), replace(two, add_publishers=("two|http://y.org",)))
    assert golden.seeded("lipkg", one, linked=True, **PLACE) == ((), one)
    assert golden.seeded("sparse", one, linked=True, **PLACE) == ((), one)
    removing = packages.parse("a", "b")
    assert golden.seeded("nlipkg", removing, linked=False, **PLACE) == ((), removing)
    with pytest.raises(UsageError, match="cannot take the publisher"):
        golden.seeded("nlipkg", packages.parse(add_publishers="one|http://x.org/a&b"), linked=False, **PLACE)


def test_what_the_installation_was_given_is_looked_for() -> None:
    """pkg installs the one and passes over the other, which is obsolete, with exit 0."""
    said = {
        "list -H make old/only": (3, "make  1  i--\n", "pkg list: no packages matching …:\n  old/only\n"),
        "list -H -af old/only": (0, "old/only  1.0-1  --o\n", ""),
    }
    host = CallableHost(lambda argv, *_: said[" ".join(argv[3:])], lambda _: None)
    step = packages.ProvePackages("z", "p/z", "/zones/z", ("make", "old/only"), 60.0)
    with pytest.raises(NotThere, match="package old/only is obsolete"):
        step.change(host, pkg.Image(root="/zones/z/root"))


# -- golden images -----------------------------------------------------------------------------------------------


def test_a_golden_image_gets_packages_and_serves_them(each_lab: Lab) -> None:
    before = snapshots(each_lab)
    done = install(each_lab, "tools", "developer/gcc-14")
    assert "developer/gcc-14" in contents(each_lab)
    assert "developer/gcc-14@" in " ".join(done.added)
    assert snapshots(each_lab) == [*before, done.before, done.after]
    assert done.before.startswith("before-pkg-install-2") and done.after.startswith("after-pkg-install-2")
    assert image(each_lab).row.state == "installed"
    assert image(each_lab).marks["current"] == done.after
    assert imageset.read(each_lab.door())[image(each_lab).dataset].packages == {"developer/gcc-14"}
    build_zone(each_lab, running=False)
    assert "developer/gcc-14" in contents(each_lab, "build-1")


def test_what_is_there_already_leaves_nothing(lab: Lab) -> None:
    marks, before = image(lab).marks, names(lab)
    done = install(lab, "tools", "shell/bash", remove="web/wget")
    assert not done.changed and str(done) == "nothing to do"
    assert lab.report.notes == ["web/wget is not installed in tools"]
    assert not pkgjobs.upgrade(lab.site(), "tools").changed
    assert (image(lab).marks, names(lab)) == (marks, before)


def test_packages_that_cannot_be_had_leave_the_image_as_it_was(each_lab: Lab) -> None:
    before = each_lab.everything()
    with pytest.raises(CommandError) as failed:
        install(each_lab, "tools", f"{SENDMAIL} {POSTFIX}")
    assert failed.value.hint and "-P" in failed.value.hint
    same(before, each_lab.everything())
    with pytest.raises(CommandError, match="no/such"):
        install(each_lab, "tools", "no/such", add_publishers=words(SECOND[each_lab.world.flavour]))
    same(before, each_lab.everything())


def test_what_is_obsolete_is_an_error_and_not_nothing_to_do(lab: Lab) -> None:
    before = lab.everything()
    for words in ("system/install/media/legacy", "text/gawk system/install/media/legacy"):
        with pytest.raises(ZonemgrError, match=r"package .*system/install/media/legacy"):
            install(lab, "tools", words)
    same(before, lab.everything())


@pytest.mark.parametrize("running", [True, False])
def test_a_dead_repository_is_not_nothing_to_do(lab: Lab, running: bool) -> None:
    build_zone(lab, running=running)
    kept = contents(lab, "build-1")
    lab.world.put("fault.origin", FIRST["openindiana"][1])
    with pytest.raises(ZonemgrError, match=r"no repository of publisher openindiana\.org answers"):
        pkgjobs.upgrade(lab.site(), "build-1")
    assert contents(lab, "build-1") == kept
    assert survey.zone(lab.door(), "build-1").state == ("running" if running else "installed")


def test_a_publisher_that_the_host_has_disabled_is_not_its_own(each_lab: Lab) -> None:
    first, second = (one[each_lab.world.flavour] for one in (FIRST, SECOND))
    bare = (first[0], first[1].rstrip("/"))
    assert imageset.own(each_lab.door())[:1] == (bare,)
    each_lab.run("pkg", "set-publisher", "-d", second[0])
    assert imageset.own(each_lab.door()) == (bare,)


def test_removal_comes_first_so_that_one_takes_the_place_of_another(lab: Lab) -> None:
    install(lab, "tools", SENDMAIL)
    done = install(lab, "tools", POSTFIX, remove=SENDMAIL)
    assert str(done) == "1 package added, 1 package removed" and not lab.report.notes
    assert POSTFIX in contents(lab) and SENDMAIL not in contents(lab)
    assert imageset.read(lab.door())[image(lab).dataset].packages == {POSTFIX}
    assert pkgjobs.uninstall(lab.site(), "tools", packages.parse(remove=POSTFIX)).changed
    assert imageset.read(lab.door())[image(lab).dataset] == imageset.of("nlipkg")


def test_what_others_depend_on_stays(lab: Lab) -> None:
    before = lab.everything()
    with pytest.raises(CommandError) as failed:
        pkgjobs.uninstall(lab.site(), "tools", packages.parse(remove="pkg:/network/ssh"))
    assert "dependents" in (failed.value.hint or "").lower()
    same(before, lab.everything())


def test_an_upgrade_is_done_in_place_and_served(each_lab: Lab) -> None:
    before = contents(each_lab)
    each_lab.publish("service/network/ssh", reboot=True)
    done = pkgjobs.upgrade(each_lab.site(), "tools")
    assert str(done) == "1 package updated"
    assert contents(each_lab)["service/network/ssh"] != before["service/network/ssh"]
    assert done.root == "rpool/zones/giz/tools/ROOT/zbe"
    assert packages.zbes(each_lab.door(), "rpool/zones/giz/tools") == [done.root]
    assert image(each_lab).marks["current"] == done.after


def test_a_refresh_is_kept_and_served(lab: Lab) -> None:
    done = pkgjobs.refresh(lab.site(), "tools")
    assert (str(done), snapshots(lab)[-2:]) == ("", [done.before, done.after])
    assert image(lab).marks["current"] == done.after


def test_a_running_image_is_stopped_for_it_and_runs_again(lab: Lab) -> None:
    life.start(lab.site(), "tools")
    done = install(lab, "tools", "text/gawk")
    assert image(lab).row.state == "running"
    assert image(lab).marks["current"] == done.after


def test_a_locked_image_is_tried_again(lab: Lab) -> None:
    lab.world.put("fault.pkg-locked", "2")
    assert install(lab, "tools", "text/gawk").changed


def test_an_image_that_stays_locked_is_as_before(lab: Lab) -> None:
    before = lab.everything()
    lab.world.put("fault.pkg-locked", str(len(pkg.LOCK_PAUSES) + 1))
    with pytest.raises(CommandError, match="currently in use") as failed:
        install(lab, "tools", "text/gawk")
    assert "another pkg" in (failed.value.hint or "")
    same(before, lab.everything())


def test_a_dry_run_changes_nothing(lab: Lab) -> None:
    before = lab.everything()
    pkgjobs.install(lab.site(dry_run=True), "tools", packages.parse("text/gawk", add_publishers=words(OWN)))
    pkgjobs.upgrade(lab.site(dry_run=True), "tools")
    golden.create(
        lab.site(dry_run=True),
        golden.GoldenRequest(zone="more", packages=("text/gawk",), publishers=(words(OWN),)),
    )
    same(before, lab.everything())


# -- publishers --------------------------------------------------------------------------------------------------


def test_publishers_come_and_go(lab: Lab) -> None:
    first, second = FIRST[lab.world.flavour], SECOND[lab.world.flavour]
    done = install(lab, "tools", "local/thing", add_publishers=repository(lab), remove_publishers=second[0])
    assert publishers(lab) == [first, OWN]
    assert done.publishers == (" ".join(first), " ".join(OWN))
    assert "pkg://ours/local/thing@" in " ".join(done.added)
    held = imageset.read(lab.door())[image(lab).dataset]
    assert [name for name, _ in held.publishers] == [first[0], "ours"]
    pkgjobs.uninstall(lab.site(), "tools", packages.parse(remove="local/thing", remove_publishers=words(OWN)))
    assert publishers(lab) == [first]


def test_a_publisher_that_gets_another_origin_keeps_its_rank(lab: Lab) -> None:
    from zonemgr.lab.pkg import publish

    name, old = FIRST[lab.world.flavour]
    new = "http://mirror.example.org/hipster/"
    publish.repository(lab.world, name, new)
    install(lab, "tools", add_publishers=f"{name}|{new}", remove_publishers=f"{name}|{old}")
    assert publishers(lab)[0] == (name, new)


@pytest.mark.parametrize("gone", ["nosuch", f"{FIRST['openindiana'][0]}|http://nowhere.example.org"])
def test_a_publisher_that_is_not_there_cannot_go(lab: Lab, gone: str) -> None:
    before = lab.everything()
    with pytest.raises(NotThere, match=r"has no (publisher|origin)"):
        pkgjobs.uninstall(lab.site(), "tools", packages.parse(remove_publishers=gone))
    same(before, lab.everything())


def test_an_image_is_seeded_by_its_first_publisher(lab: Lab) -> None:
    first = FIRST["openindiana"]
    golden.create(
        lab.site(),
        golden.GoldenRequest(
            zone="more", packages=("local/thing",), publishers=(words(first), repository(lab))
        ),
    )
    seed = next(line for line in map(list, lab.commands()) if line[3:4] == ["install"] and "more" in line)
    assert seed[4:] == ["-P", f"{first[0]}={first[1].rstrip('/')}"]
    assert publishers(lab, "more") == [first, OWN]
    assert "local/thing" in contents(lab, "more")
    assert [name for name, _ in imageset.read(lab.door())[image(lab, "more").dataset].publishers] == [
        first[0],
        "ours",
    ]


def test_a_package_that_the_installation_does_not_find_is_named(each_lab: Lab) -> None:
    before = each_lab.everything()
    with pytest.raises(
        CommandError, match=r"^zoneadm install exited with 1: no package matches no/such$"
    ) as failed:
        golden.create(each_lab.site(), golden.GoldenRequest(zone="more", packages=("no/such",)))
    assert "pkg list -af" in (failed.value.hint or "")
    same(before, each_lab.everything())


def test_a_seed_without_an_operating_system_leaves_nothing(lab: Lab) -> None:
    ours = repository(lab)
    before = lab.everything()
    with pytest.raises(CommandError, match="entire"):
        golden.create(lab.site(), golden.GoldenRequest(zone="more", publishers=(ours,)))
    same(before, lab.everything())


@pytest.mark.parametrize("brand", ["lipkg", "sparse"])
def test_a_linked_image_has_the_hosts_publishers_first(
    prepared: dict[str, Lab], tmp_path_factory: pytest.TempPathFactory, brand: str
) -> None:
    lab = prepared["omnios"].copy(tmp_path_factory.mktemp("linked") / "lab")
    request = golden.GoldenRequest(
        zone="more", brand=brand, packages=("local/thing",), publishers=(repository(lab),),
    )  # fmt: skip
    golden.create(lab.site(), request)
    assert publishers(lab, "more") == [FIRST["omnios"], SECOND["omnios"], OWN]
    assert (
        lab.report.notes[0]
        == f"zones of brand {brand} are linked: the host's publishers stay first, others come below"
    )
    assert "local/thing" in contents(lab, "more")
    with pytest.raises(UsageError, match="needs the host's publisher"):
        pkgjobs.uninstall(lab.site(), "more", packages.parse(remove_publishers=FIRST["omnios"][0]))
    lab.world.close()


# -- golden images from the command line -------------------------------------------------------------------------


def test_an_image_loses_what_every_image_has(lab: Lab) -> None:
    request = golden.GoldenRequest(zone="more", packages=("text/gawk",), remove_packages=("text/gnu-sed",))
    config = replace(lab.config, giz=replace(lab.config.giz, packages=("text/gnu-sed", "web/wget")))
    golden.create(lab.site(config=config), request)
    assert {"text/gawk", "web/wget"} <= set(contents(lab, "more"))
    assert "text/gnu-sed" not in contents(lab, "more")
    held = imageset.read(lab.door())[image(lab, "more").dataset]
    assert held.packages == {"text/gawk", "web/wget"} and not held.without


def test_a_furnished_image_hands_on_what_is_in_its_root(lab: Lab) -> None:
    from zonemgr.workflows.furnish import Wishes

    things = Wishes(
        lofs="/work|/export/src",
        over="net0",
        users="builder",
        elevated="builder",
        datasets="rpool/export/scratch",
    )
    golden.create(lab.site(), golden.GoldenRequest(zone="more", wishes=things))
    settings = lab.run("zonecfg", "-z", "more", "export")
    for thing in ('set dir="/work"', "add net", "rpool/export/scratch"):
        assert thing in settings
    assert image(lab, "more").row.state == "installed"
    disposable.create(lab.site(), DisposableRequest("more", zone="build-2"))
    assert "builder:" in lab.in_zone("build-2", "/etc/passwd").read_text()
    clone = lab.run("zonecfg", "-z", "build-2", "export")
    assert not any(thing in clone for thing in ("/work", "add net", "scratch"))


def test_a_name_and_a_made_up_name_exclude_each_other(lab: Lab) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        golden.create(lab.site(), golden.GoldenRequest(zone="more", autoname=True))
    with pytest.raises(UsageError, match="of which image"):
        golden.create(lab.site(), golden.GoldenRequest(zone="more", snapshot="x"))


# -- disposable zones --------------------------------------------------------------------------------------------


def test_a_running_zone_goes_on_while_pkg_works_inside(each_lab: Lab) -> None:
    build_zone(each_lab)
    before = number(each_lab)
    done = install(each_lab, "build-1", "text/gawk")
    assert number(each_lab) == before
    assert "text/gawk" in contents(each_lab, "build-1") and "text/gawk" not in contents(each_lab)
    assert snapshots(each_lab, "build-1") == [done.before, done.after]


def test_removal_and_addition_in_a_running_zone(lab: Lab) -> None:
    build_zone(lab)
    before = number(lab)
    assert not install(lab, "build-1", "shell/bash", remove="web/wget").changed
    assert install(lab, "build-1", SENDMAIL).changed
    assert install(lab, "build-1", POSTFIX, remove=SENDMAIL).changed
    assert pkgjobs.refresh(lab.site(), "build-1").changed
    assert number(lab) == before


def test_a_mistyped_name_does_not_stop_the_zone(lab: Lab) -> None:
    build_zone(lab)
    before, was = lab.everything()["zfs"], number(lab)
    with pytest.raises(CommandError, match="no/such") as failed:
        install(lab, "build-1", "no/such")
    assert "pkg list -af" in (failed.value.hint or "")
    assert (lab.everything()["zfs"], number(lab)) == (before, was)


def test_what_fails_inside_is_rolled_back_and_the_zone_runs_again(lab: Lab) -> None:
    build_zone(lab)
    life.halt(lab.site(), "build-1")
    before = names(lab)
    life.start(lab.site(), "build-1")
    kept = contents(lab, "build-1")
    with pytest.raises(CommandError):  # one change builds on the other, so neither is foreseen
        install(lab, "build-1", f"text/gawk {SENDMAIL} {POSTFIX}", remove="editor/vim web/wget")
    assert image(lab, "build-1").row.state == "running"
    assert contents(lab, "build-1") == kept
    life.halt(lab.site(), "build-1")
    assert names(lab) == before


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_run_inside_is_rolled_back_by_the_next(lab: Lab, tmp_path: Path, when: str) -> None:
    build_zone(lab)
    kept, before = contents(lab, "build-1"), names(lab)
    lab.world.put("cells", "off")
    lab.inside.fault(f"kill-caller-{when}:zlogin -S build-1 'pkg install --deny*'")
    again = Lab(type(lab.world)(lab.world.dir))
    ended = in_child(
        lambda: print(install(Lab(type(lab.world)(lab.world.dir)), "build-1", "text/gawk")), tmp_path / "out"
    )
    assert ended == KILLED, (tmp_path / "out").read_text()
    jobs.recover_all(again.site())
    assert image(again, "build-1").row.state == "running"
    assert (contents(again, "build-1"), names(again)) == (kept, before)
    again.world.close()


def test_what_needs_a_new_boot_environment_is_done_while_the_zone_is_down(lab: Lab) -> None:
    build_zone(lab)
    was = number(lab)
    lab.publish("service/network/ssh", reboot=True)
    done = pkgjobs.upgrade(lab.site(), "build-1")
    assert str(done) == "1 package updated"
    assert image(lab, "build-1").row.state == "running" and number(lab) != was
    assert packages.zbes(lab.door(), "rpool/zones/diz/build-1") == ["rpool/zones/diz/build-1/ROOT/zbe"]


def test_a_zone_whose_own_pkg_is_old_is_upgraded_while_it_is_down(lab: Lab) -> None:
    """Inside, pkg would refuse until it has been updated itself; from outside the host's pkg does it."""
    build_zone(lab)
    was = number(lab)
    lab.publish("package/pkg")
    lab.publish("SUNWcs")  # pkg asks for both
    lab.publish("shell/bash")
    lab.run("zlogin", "build-1", "pkg refresh")
    assert "3 packages updated" in str(pkgjobs.upgrade(lab.site(), "build-1"))
    assert image(lab, "build-1").row.state == "running" and number(lab) != was


@pytest.mark.parametrize("running", [True, False])
def test_an_old_pkg_of_the_host_is_named(lab: Lab, running: bool) -> None:
    build_zone(lab, running=running)
    lab.publish("package/pkg")
    lab.publish("SUNWcs")  # pkg asks for both
    lab.publish("shell/bash")
    lab.run("pkg", "refresh")
    kept = contents(lab, "build-1")
    with pytest.raises(CommandError, match="pkg exited with 1: pkg itself is out of date") as refused:
        pkgjobs.upgrade(lab.site(), "build-1")
    assert str(refused.value.hint).startswith("update the host's own pkg first: pkg install pkg:/package/pkg")
    assert contents(lab, "build-1") == kept
    assert image(lab, "build-1").row.state == ("running" if running else "installed")


def test_a_halted_zone_stays_halted_and_goes_with_its_snapshots(lab: Lab) -> None:
    install(lab, "tools", "web/wget")
    build_zone(lab, running=False)
    done = install(lab, "build-1", "text/gawk")
    assert image(lab, "build-1").row.state == "installed"
    assert snapshots(lab, "build-1") == [done.before, done.after]
    teardown.destroy(lab.site(), "build-1")
    assert "build-1" not in lab.run("zfs", "list", "-H", "-t", "all", "-o", "name")
    teardown.destroy(lab.site(), "tools")
    assert "tools" not in lab.run("zfs", "list", "-H", "-t", "all", "-o", "name")


def test_an_image_that_is_rolled_back_holds_what_its_snapshot_held(lab: Lab) -> None:
    install(lab, "tools", "web/wget")
    held, served = imageset.read(lab.door())[image(lab).dataset], image(lab).marks["current"]
    install(lab, "tools", "text/gawk")
    snaps.rollback(lab.site(), "tools", served)
    assert imageset.read(lab.door())[image(lab).dataset] == held
    assert "text/gawk" not in contents(lab)
    snaps.rollback(lab.site(), "tools", "initial-installed-tools")
    assert image(lab).dataset not in imageset.read(lab.door()), "what that one held was never written down"


def test_a_version_that_an_upgrade_has_replaced_is_no_longer_in_the_set(lab: Lab) -> None:
    install(lab, "tools", "text/gawk@5.3.1 web/wget")
    lab.publish("text/gawk", "5.4.0-2024.0.0.0")
    pkgjobs.upgrade(lab.site(), "tools")
    held = imageset.read(lab.door())[image(lab).dataset]
    assert held.packages == {"text/gawk@5.4.0-2024.0.0.0", "web/wget"}


# -- who and what is refused -------------------------------------------------------------------------------------


def test_zones_in_other_states_are_refused(lab: Lab) -> None:
    lab.run("zoneadm", "-z", "tools", "mount")
    before = lab.everything()
    with pytest.raises(ZonemgrError, match="tools is mounted") as refused:
        pkgjobs.upgrade(lab.site(), "tools")
    assert refused.value.hint == "zonemgr unmount tools"
    same(before, lab.everything())


@pytest.mark.parametrize("job", [pkgjobs.install, pkgjobs.uninstall])
def test_nothing_asked_for_is_a_mistake(
    lab: Lab, job: Callable[[object, str, packages.Change], object]
) -> None:
    with pytest.raises(UsageError, match="which packages"):
        job(lab.site(), "tools", packages.Change())


def test_a_user_with_the_profiles_may_and_one_without_may_not(lab: Lab) -> None:
    before = lab.everything()
    with pytest.raises(privilege.NotAllowed):
        install(Lab(lab.world, "jim"), "tools", "text/gawk")
    same(before, lab.everything())
    builder = Lab(lab.world, "builder")
    assert install(builder, "tools", "text/gawk").changed
    assert pkgjobs.uninstall(builder.site(), "tools", packages.parse(remove="text/gawk")).changed
    with pytest.raises(CommandError):
        install(builder, "tools", "no/such")
    assert "text/gawk" not in contents(lab)


# -- roots -------------------------------------------------------------------------------------------------------


def test_a_root_that_is_not_mounted_is_mounted_first(lab: Lab) -> None:
    lab.run("umount", "/zones/giz/tools/root")
    install(lab, "tools", "text/gawk")
    assert "text/gawk" in contents(lab)


def test_another_root_is_never_taken_for_the_active_one(lab: Lab) -> None:
    lab.run("umount", "/zones/giz/tools/root")
    lab.run("zfs", "create", "-o", "canmount=noauto", "rpool/zones/giz/tools/ROOT/old")
    lab.run("mount", "-F", "zfs", "rpool/zones/giz/tools/ROOT/old", "/zones/giz/tools/root")
    before = lab.everything()
    with pytest.raises(ZonemgrError, match="is where rpool/zones/giz/tools/ROOT/old is mounted"):
        install(lab, "tools", "text/gawk")
    same(before, lab.everything())


def test_the_way_back_undoes_a_new_boot_environment(lab: Lab) -> None:
    lab.run("zoneadm", "-z", "tools", "mount")  # which leaves a directory
    lab.run("zoneadm", "-z", "tools", "unmount")
    before, zone = lab.everything(), image(lab)
    lab.publish("service/network/ssh", reboot=True)
    with pytest.raises(RuntimeError), job(lab.site(), ["tools"], records.new_run_id()) as work:
        work.do(building.TakeSnapshot("tools", zone.dataset, "before", work.run))
        work.do(packages.return_to(glimpse(lab.site()), zone, "before"))
        lab.run("zoneadm", "-z", "tools", "boot")
        lab.run("zlogin", "-S", "tools", "pkg update")
        lab.run("zoneadm", "-z", "tools", "reboot")
        assert survey.root_of(lab.door(), zone.dataset, "tools").name.endswith("/zbe-1")
        lab.world.put("fault.pkg-locked", "2")  # what a killed run left behind is waited for
        raise RuntimeError("not good enough")
    same(before, lab.everything())
