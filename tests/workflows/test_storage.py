"""Stories of what a zone is given of the host's storage: clones, delegated datasets, limits, NFS mounts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, same
from zonemgr.errors import UsageError, ZonemgrError
from zonemgr.workflows import disposable, execute, furnish, gc, golden, life, modify, storage, teardown
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.furnish import Wishes
from zonemgr.workflows.wanted import Drops


def make(lab: Lab, **words: str) -> disposable.Disposable:
    return disposable.create(lab.site(), DisposableRequest(**{"origin": GOLDEN, "zone": "build-1", **words}))


def run(lab: Lab, text: str, discard: str = "always", **words: str) -> execute.Outcome:
    request = DisposableRequest(**{"origin": GOLDEN, "zone": "build-1", **words})  # type: ignore[arg-type]
    return execute.in_new_zone(lab.site(), request, execute.Command(text, discard=discard), lambda zone: None)


def names(lab: Lab, top: str = "rpool", types: str = "all") -> list[str]:
    return lab.run("zfs", "list", "-H", "-r", "-t", types, "-o", "name", top).split()


def prop(lab: Lab, name: str, dataset: str) -> str:
    return lab.run("zfs", "get", "-H", "-o", "value", name, dataset).strip()


@pytest.fixture
def source(each_lab: Lab) -> Path:
    """rpool/export/cc with a child, mounted on /cc, each with a file."""
    each_lab.run("zfs", "create", "-o", "mountpoint=/cc", "rpool/export/cc")
    each_lab.run("zfs", "create", "rpool/export/cc/deep")
    top = each_lab.world.host / "cc"
    (top / "hit").write_text("old\n")
    (top / "deep/hit").write_text("deep\n")
    return top


# -- clones of datasets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [{"datasets": "rpool/a rpool/a/b"}, {"datasets": "rpool/a/b rpool/a"},
     {"clones": "rpool/export|/x rpool/export/cc|/y"}, {"clones": "rpool/export/cc|/tmp/x"},
     {"lofs": "/tmp|/export/src"}],
    ids=str,
)  # fmt: skip
def test_what_would_be_given_twice_or_hidden_is_refused(words: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"lies below|would be hidden"):
        furnish.parse(Wishes(**words), tag="x")


def test_a_mark_set_inside_makes_nothing_the_zones_own(lab: Lab) -> None:
    """Root in a zone can set any mark on what it was given, however young that is: it stays."""
    lab.run("zfs", "create", "-o", "mountpoint=/precious", "rpool/precious")
    zone = make(lab, datasets="rpool/precious rpool/made")
    run = lab.run("zfs", "get", "-H", "-o", "value", "zonemgr:run", "rpool/made").strip()
    lab.run("zfs", "set", f"zonemgr:run={run}", "rpool/precious")
    teardown.destroy(lab.site(), zone.zone)
    names = lab.run("zfs", "list", "-H", "-o", "name").split()
    assert "rpool/precious" in names and "rpool/made" not in names


def test_a_clone_is_the_zones_own_and_goes_with_it(each_lab: Lab, source: Path) -> None:
    lab = each_lab
    make(lab)
    teardown.destroy(lab.site(), "build-1")  # so that the home of all zones is there
    before = lab.everything()
    ended = run(
        lab,
        "cat /cc/hit /cc/deep/hit > /cc/seen && echo new > /cc/hit && rm /cc/deep/hit",
        clones="rpool/export/cc",
    )
    assert (ended.verdict, ended.kept) == ("ok", False)
    assert (source / "hit").read_text() == "old\n"
    assert (source / "deep/hit").read_text() == "deep\n"
    same(before, lab.everything())


def test_a_kept_clone_lies_beside_the_zones_homes_unmounted_and_marked(each_lab: Lab, source: Path) -> None:
    lab = each_lab
    zone = make(lab, clones="rpool/export/cc|/work/cache")
    mine = [name for name in names(lab, types="filesystem") if "/_clones/build-1/" in name]
    assert mine == ["rpool/zones/_clones/build-1/1-cc", "rpool/zones/_clones/build-1/2-deep"]
    assert [prop(lab, "mountpoint", name) for name in mine] == ["legacy", "legacy"]
    assert prop(lab, "origin", mine[1]) == f"rpool/export/cc/deep@zonemgr-{zone.run}"
    assert {prop(lab, "zonemgr:run", name) for name in mine} == {str(zone.run)}
    export = lab.run("zonecfg", "-z", "build-1", "export")
    assert 'set dir="/work/cache"\n' in export and 'set dir="/work/cache/deep"\n' in export
    assert lab.run("zlogin", "build-1", "cat /work/cache/hit /work/cache/deep/hit") == "old\ndeep\n"
    lab.run("zlogin", "build-1", "echo mine > /work/cache/hit")
    life.halt(lab.site(), "build-1")
    life.boot(lab.site(), "build-1")
    assert lab.run("zlogin", "build-1", "cat /work/cache/hit") == "mine\n"
    teardown.destroy(lab.site(), "build-1")
    assert not [name for name in names(lab) if "_clones" in name or "@zonemgr" in name]


def test_a_named_snapshot_is_cloned_and_stays(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/cc", "rpool/export/cc")
    (lab.world.host / "cc/hit").write_text("then\n")
    lab.run("zfs", "snapshot", "rpool/export/cc@then")
    (lab.world.host / "cc/hit").write_text("now\n")
    ended = run(lab, "grep then /cc/hit", clones="rpool/export/cc@then")
    assert ended.verdict == "ok"
    assert names(lab, "rpool/export/cc") == ["rpool/export/cc", "rpool/export/cc@then"]


def test_nothing_that_is_done_inside_reaches_the_original(each_lab: Lab, source: Path) -> None:
    lab = each_lab
    make(lab, clones="rpool/export/cc")
    mine = "rpool/zones/_clones/build-1/1-cc"
    before = names(lab)
    for words in ("promote", "destroy -r", "snapshot", "set mountpoint=/x"):
        target = f"{mine}@x" if words == "snapshot" else mine
        refused = lab.inside.run(("zlogin", "build-1", f"zfs {words} {target}"))
        assert refused.exit_code != 0, words
    lab.inside.run(("zlogin", "build-1", "rm -rf /cc/*"))
    assert names(lab) == before
    assert (source / "hit").read_text() == "old\n"
    teardown.destroy(lab.site(), "build-1")
    assert (source / "hit").read_text() == "old\n"


def test_a_clone_promoted_on_the_host_gives_the_original_back(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/cc", "rpool/export/cc")
    lab.run("zfs", "snapshot", "rpool/export/cc@mine")
    make(lab, clones="rpool/export/cc")
    lab.run("zfs", "promote", "rpool/zones/_clones/build-1/1-cc")
    assert prop(lab, "origin", "rpool/export/cc").startswith("rpool/zones/_clones/")
    teardown.destroy(lab.site(), "build-1")
    assert prop(lab, "origin", "rpool/export/cc") == "-"
    assert names(lab, "rpool/export/cc") == ["rpool/export/cc", "rpool/export/cc@mine"]
    assert "rpool/zones/_clones" not in names(lab)


def test_a_snapshot_of_a_clone_and_its_hold_do_not_keep_it(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/cc", "rpool/export/cc")
    make(lab, clones="rpool/export/cc")
    lab.run("zfs", "snapshot", "rpool/zones/_clones/build-1/1-cc@look")
    lab.run("zfs", "hold", "keep", "rpool/zones/_clones/build-1/1-cc@look")
    teardown.destroy(lab.site(), "build-1")
    assert "rpool/zones/_clones" not in names(lab)


def test_somebody_elses_clone_of_a_clone_stops_the_destruction_with_a_hint(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/cc", "rpool/export/cc")
    make(lab, clones="rpool/export/cc")
    lab.run("zfs", "snapshot", "rpool/zones/_clones/build-1/1-cc@look")
    lab.run("zfs", "clone", "rpool/zones/_clones/build-1/1-cc@look", "rpool/export/mine")
    with pytest.raises(ZonemgrError, match="rpool/export/mine is a clone of"):
        teardown.destroy(lab.site(), "build-1")
    lab.run("zfs", "promote", "rpool/export/mine")
    teardown.destroy(lab.site(), "build-1")
    assert "rpool/export/mine" in names(lab) and "rpool/zones/_clones" not in names(lab)


def test_two_zones_clone_one_source_and_each_goes_alone(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/cc", "rpool/export/cc")
    make(lab, clones="rpool/export/cc")
    make(lab, zone="build-2", clones="rpool/export/cc")
    teardown.destroy(lab.site(), "build-1")
    assert "rpool/zones/_clones/build-2/1-cc" in names(lab)
    assert len(names(lab, "rpool/export/cc", "snapshot")) == 1
    teardown.destroy(lab.site(), "build-2")
    assert "rpool/zones/_clones" not in names(lab) and not names(lab, "rpool/export/cc", "snapshot")


REFUSED_CLONES = {
    "rpool/nosuch": "no dataset rpool/nosuch to clone",
    "rpool/export@nosuch": "no snapshot rpool/export@nosuch",
    "rpool": "a whole pool",
    "rpool/swap|/x": "is a volume",
    "rpool/ROOT|/x": "the host's own root",
    "rpool/zones|/x": "where zones live",
    f"rpool/zones/giz/{GOLDEN}/ROOT/zbe|/x": "where zones live",
    "rpool/export/none": "has no mount point of its own",
    "rpool/export|/usr": "hide all that the zone has in /usr",
    "rpool/export|/": "hide the zone's own root",
    "rpool/export|/work rpool/export/home|/work": "named twice",
    "rpool/export rpool/export/home|/export/home": "rpool/export/home lies below rpool/export",
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED_CLONES)
def test_what_cannot_be_cloned_is_refused_beforehand(lab: Lab, words: str) -> None:
    if words == "rpool/export/none":
        lab.run("zfs", "create", "-o", "mountpoint=none", "rpool/export/none")
    before = lab.everything()
    with pytest.raises(ZonemgrError, match=REFUSED_CLONES[words]) as refused:
        make(lab, clones=words)
    assert refused.value.hint
    same(before, lab.everything())


def test_a_clone_below_a_mount_needs_its_directory_on_the_host(lab: Lab) -> None:
    words = {"lofs": "/work|/export/src", "clones": "rpool/export/home|/work/cache"}
    with pytest.raises(ZonemgrError, match="no directory /export/src/cache"):
        make(lab, **words)
    (lab.world.host / "export/src/cache").mkdir()
    make(lab, **words)
    assert "builder" in lab.run("zlogin", "build-1", "ls /work/cache")


def test_a_dataset_made_for_a_zone_is_not_cloned_for_another(lab: Lab) -> None:
    make(lab, datasets="rpool/export/mine")
    with pytest.raises(ZonemgrError, match="was made for a zone"):
        make(lab, zone="build-2", clones="rpool/export/mine|/x")


# -- delegated datasets --------------------------------------------------------------------------------------


def test_a_delegated_dataset_is_made_with_what_lies_above_and_all_of_it_goes(each_lab: Lab) -> None:
    """As the predecessor's own tests want it: below the home of the golden images."""
    lab = each_lab
    make(lab, datasets="rpool/zones/giz/_local/build-1")
    mine = "rpool/zones/giz/_local/build-1"
    assert [prop(lab, name, mine) for name in ("mountpoint", "zoned", "canmount")] == [
        "/zones/giz/_local/build-1", "on", "on",
    ]  # fmt: skip
    above = "rpool/zones/giz/_local"
    assert [prop(lab, name, above) for name in ("mountpoint", "zoned", "canmount")] == ["none", "off", "off"]
    make(lab, zone="build-2", datasets="rpool/zones/giz/_local/build-2")
    teardown.destroy(lab.site(), "build-1")
    assert above in names(lab) and mine not in names(lab)
    teardown.destroy(lab.site(), "build-2")
    assert above not in names(lab) and "rpool/zones/giz" in names(lab)


def test_the_first_golden_image_of_a_host_may_have_a_dataset_in_the_home_of_them_all(fresh: Lab) -> None:
    wishes = Wishes(
        datasets="rpool/zones/giz/_local/first", autonfs="/mnt/x|filer:/x", quota="9G", tmpfs_size="1G"
    )
    golden.create(fresh.site(), golden.GoldenRequest(zone="first", wishes=wishes))
    assert prop(fresh, "zoned", "rpool/zones/giz/_local/first") == "on"
    assert prop(fresh, "mountpoint", "rpool/zones/giz") == "/zones/giz"
    assert prop(fresh, "quota", "rpool/zones/giz/first") == "9G"
    assert "filer:/x" in fresh.in_zone("first", "/etc/auto_direct").read_text()
    teardown.destroy(fresh.site(), "first")
    assert "rpool/zones/giz/_local" not in names(fresh)


def test_what_was_turned_around_inside_a_delegated_dataset_goes_too(lab: Lab) -> None:
    make(lab, datasets="rpool/export/mine")
    for words in (
        "snapshot rpool/export/mine@a", "clone rpool/export/mine@a rpool/export/mine/b", "promote rpool/export/mine/b",
        "snapshot rpool/export/mine/b@c", "hold x rpool/export/mine/b@c",
    ):  # fmt: skip
        lab.run("zfs", *words.split())
    assert prop(lab, "origin", "rpool/export/mine") == "rpool/export/mine/b@a"
    teardown.destroy(lab.site(), "build-1")
    assert "rpool/export/mine" not in names(lab)


def test_an_existing_dataset_is_taken_as_it_is_and_stays(each_lab: Lab) -> None:
    lab = each_lab
    lab.run("zfs", "create", "-o", "mountpoint=/data", "-o", "zoned=on", "rpool/export/data")
    before = lab.run("zfs", "get", "-H", "-s", "local", "all", "rpool/export/data")
    assert run(lab, "true", datasets="rpool/export/data").verdict == "ok"
    assert lab.run("zfs", "get", "-H", "-s", "local", "all", "rpool/export/data") == before


def test_marks_set_inside_the_zone_do_not_make_an_existing_dataset_ours(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/data", "-o", "zoned=on", "rpool/export/data")
    lab.world.db.execute("update zfs_datasets set created = created - 7200 where name = 'rpool/export/data'")
    zone = make(lab, datasets="rpool/export/data")
    lab.run("zlogin", "build-1", f"zfs set zonemgr:run={zone.run} rpool/export/data")
    lab.run("zlogin", "build-1", "zfs set zonemgr:shared=on rpool/export/data")
    home = "rpool/export/data/_clones/build-1"
    for words in ("create rpool/export/data/_clones", f"create {home}", f"set zonemgr:run={zone.run} {home}"):
        lab.run("zlogin", "build-1", f"zfs {words}")
    teardown.destroy(lab.site(), "build-1")
    assert home in names(lab)


def test_a_dataset_no_zone_could_boot_with_is_refused(lab: Lab) -> None:
    lab.run("zfs", "create", "rpool/export/plain")
    with pytest.raises(ZonemgrError, match="is inherited") as refused:
        make(lab, datasets="rpool/export/plain")
    assert refused.value.hint == "zfs set mountpoint=/export/plain rpool/export/plain"


def test_a_dataset_of_another_zone_is_refused(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/data", "rpool/export/data")
    make(lab, datasets="rpool/export/data")
    with pytest.raises(ZonemgrError, match="delegated to zone build-1 already"):
        make(lab, zone="build-2", datasets="rpool/export/data")
    with pytest.raises(ZonemgrError, match="in the hands of a zone"):
        make(lab, zone="build-2", datasets="rpool/export/data/below")


# -- limits --------------------------------------------------------------------------------------------------

LIMITS = {
    "quota": "20G", "cap_memory": "1.5G", "cap_swap": "2G", "cap_cpu": "1.5", "cpu_shares": "20",
    "max_processes": "4000", "tmpfs_size": "512M",
}  # fmt: skip


def test_limits_are_in_the_configuration_and_on_the_home(each_lab: Lab) -> None:
    lab = each_lab
    make(lab, **LIMITS)
    assert prop(lab, "quota", "rpool/zones/diz/build-1") == "20G"
    info = lab.run("zonecfg", "-z", "build-1", "info")
    for line in (
        "physical: 1.5G",
        "[swap: 2G]",
        "[ncpus: 1.50]",
        "[cpu-shares: 20]",
        "[max-processes: 4000]",
    ):
        assert line in info, info
    table = lab.in_zone("build-1", "/etc/vfstab").read_text()
    assert [line.split() for line in table.splitlines() if "/tmp" in line] == [
        ["swap", "-", "/tmp", "tmpfs", "-", "yes", "size=512m"]
    ]


@pytest.mark.parametrize(
    "word, value",
    [
        ("quota", "0"), ("quota", "big"), ("quota", "-1G"), ("cap_memory", "1K"), ("cap_swap", "49M"), ("cap_cpu", "0"),
        ("cap_cpu", "1.234"), ("cap_cpu", "many"), ("cpu_shares", "0"), ("cpu_shares", "65536"),
        ("max_processes", "99"), ("max_processes", "1e3"), ("tmpfs_size", "1K"), ("tmpfs_size", "1 G x"),
    ],
)  # fmt: skip
def test_limits_that_the_tools_would_refuse(word: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"--{word.replace('_', '-')}") as refused:
        furnish.parse(Wishes(**{word: value}), tag="x")
    assert refused.value.hint


def test_what_zonecfg_takes_is_what_was_meant() -> None:
    found = furnish.parse(
        Wishes(quota="none", cap_memory="1.5g", cap_swap="1025MB", tmpfs_size="2GiB"), tag="x"
    ).caps
    assert (found.quota, found.memory, found.swap, found.tmpfs) == ("", "1536M", "1025M", "2048m")


# -- NFS by autofs -------------------------------------------------------------------------------------------


def test_exports_are_in_a_direct_map_and_their_services_on(each_lab: Lab) -> None:
    lab = each_lab
    make(lab, autonfs="/mnt/.ccache|filer:/var/.ccache-shared /mnt/src|filer.example.org:/src|ro,soft")
    table = lab.in_zone("build-1", "/etc/auto_direct")
    assert table.read_text().splitlines() == [
        "/mnt/.ccache\tfiler:/var/.ccache-shared", "/mnt/src\t-ro,soft filer.example.org:/src",
    ]  # fmt: skip
    assert table.stat().st_mode & 0o777 == 0o644
    master = lab.in_zone("build-1", "/etc/auto_master").read_text().splitlines()
    assert [line.split() for line in master].count(["/-", "auto_direct"]) == 1
    for service in ("svc:/network/nfs/client:default", "svc:/system/filesystem/autofs:default"):
        assert lab.run("svcs", "-z", "build-1", "-H", "-o", "state", service).strip() == "online"


@pytest.mark.parametrize(
    "words, text",
    [
        ("/mnt/x", "is not HOST:/PATH"),
        ("/mnt/x|filer", "is not HOST:/PATH"),
        ("/mnt/x|filer:src", "is not HOST:/PATH"),
        ("/mnt/x|filer:/a&b", "is not HOST:/PATH"),
        ("/mnt/x|filer:/a:b", "is not HOST:/PATH"),
        ("mnt|filer:/x", "not an absolute path"),
        ("/|filer:/x", "hide the zone's own root"),
        ("/usr|filer:/x", "hide all that the zone has in /usr"),
        ("/home/me|filer:/x", "autofs has already"),
        ("/mnt/x|filer:/x|fstype=lofs", "no options of an NFS mount"),
        ("/mnt/x|filer:/x|ro;reboot", "no options of an NFS mount"),
        ("/mnt/$x|filer:/x", "cannot stand in a map"),
        ("/mnt/x|filer:/x /mnt/x|filer:/y", "named twice"),
        ("/mnt/x|filer:/x /mnt/x/y|filer:/y", "lie one in the other"),
    ],
)
def test_exports_that_autofs_would_misread(words: str, text: str) -> None:
    with pytest.raises(UsageError, match=text.replace("$", r"\$")):
        furnish.parse(Wishes(autonfs=words), tag="x")


@pytest.mark.parametrize(
    "wishes, option",
    [
        (Wishes(lofs="x"), "--mount-lofs"),
        (Wishes(autonfs="x|filer:/x"), "--mount-autonfs"),
        (Wishes(clones="rpool/x|x"), "--clone-dataset"),
    ],
)
def test_a_relative_path_is_refused_with_an_example_of_the_option_it_stood_in(
    wishes: Wishes, option: str
) -> None:
    with pytest.raises(UsageError, match="not an absolute path") as refused:
        furnish.parse(wishes, tag="x")
    assert option in str(refused.value.hint)


def test_an_export_does_not_meet_a_mount_or_a_clone() -> None:
    for other in ({"lofs": "/work|/export"}, {"clones": "rpool/export|/work"}):
        with pytest.raises(UsageError, match="lie one in the other"):
            furnish.parse(Wishes(autonfs="/work/x|filer:/x", **other), tag="x")


def test_an_url_is_as_good() -> None:
    (found,) = furnish.parse(Wishes(autonfs="/mnt/x|nfs://[2001:db8::1]:2049/x|ro"), tag="x").autonfs
    assert str(found) == "/mnt/x|-ro,port=2049 [2001:db8::1]:/x"


def test_clones_live_in_the_pool_of_their_source(lab: Lab) -> None:
    assert storage.clones_home(lab.config, "tank/src/x", "z") == "tank/zones/_clones/z"


# -- datasets that outlive their zone ------------------------------------------------------------------------


def test_datasets_made_for_a_zone_stay_when_asked_for(each_lab: Lab) -> None:
    lab = each_lab
    lab.run("zfs", "create", "-o", "mountpoint=/given", "rpool/given")
    make(lab, datasets="rpool/given rpool/data/out", clones="rpool/export/home|/cache")
    lab.run("zlogin", "build-1", "zfs create rpool/data/out/deep; echo result > /data/out/file")
    assert teardown.destroy(lab.site(), "build-1", keep_datasets=True) == ("rpool/data/out",)
    assert not [name for name in names(lab) if "_clones" in name or "build-1" in name]
    assert prop(lab, "zoned", "rpool/data/out") == prop(lab, "zoned", "rpool/data/out/deep") == "off"
    assert prop(lab, "zonemgr:kept", "rpool/data/out") == "build-1"
    assert prop(lab, "mounted", "rpool/data/out") == "no"
    assert any(
        warning.startswith("rpool/data/out is kept, and not mounted") for warning in lab.report.warnings
    )
    lab.run("zfs", "mount", "rpool/data/out")
    assert (lab.world.host / "data/out/file").read_text() == "result\n"


def test_what_was_kept_is_nobodys_leftover_and_can_be_given_to_the_next_zone(lab: Lab) -> None:
    make(lab, datasets="rpool/data/out")
    lab.run("zlogin", "build-1", "echo result > /data/out/file")
    teardown.destroy(lab.site(), "build-1", keep_datasets=True)
    assert gc.collect(lab.site(), remove=True).found == []
    lab.run("zfs", "set", "canmount=on", "rpool/data/out")
    ended = run(lab, "cat /data/out/file", datasets="rpool/data/out")
    assert ended.verdict == "ok"
    assert "rpool/data/out" in names(lab)


def test_nothing_a_zone_has_set_on_what_is_kept_works_on_the_host(lab: Lab) -> None:
    """Root in the zone chooses mount points, marks and files; none of it may count once the host has it back."""
    make(lab, datasets="rpool/data/out")
    lab.run(
        "zlogin", "build-1", "zfs create -o mountpoint=/etc rpool/data/out/evil", ok=False
    )  # but made it is
    for words in (
        "zfs set zonemgr:kind=giz rpool/data/out/evil",
        "zfs set org.opensolaris.libbe:parentbe=x rpool/data/out/evil",
        "zfs set canmount=on rpool/data/out/evil",
        "zfs set setuid=on rpool/data/out/evil",
    ):
        lab.run("zlogin", "build-1", words)
    teardown.destroy(lab.site(), "build-1", keep_datasets=True)
    evil = "rpool/data/out/evil"
    lab.run("zfs", "mount", "-a")
    assert [prop(lab, what, evil) for what in ("mounted", "canmount", "setuid", "devices")] == [
        "no",
        "noauto",
        "off",
        "off",
    ]
    local = lab.run("zfs", "get", "-H", "-s", "local", "-o", "property", "all", evil).split()
    assert not [name for name in local if name.startswith(("zonemgr:", "org.opensolaris"))]
    assert "evil" not in lab.run("zfs", "list", "-H", "-o", "name", "-r", "rpool/zones")


def test_a_discarded_zone_leaves_its_datasets_by_option_or_setting(lab: Lab) -> None:
    request = DisposableRequest(GOLDEN, zone="build-1", datasets="rpool/data/out")
    command = execute.Command("echo one > /data/out/file", keep_datasets=True)
    ended = execute.in_new_zone(lab.site(), request, command, lambda zone: None)
    assert (ended.kept, ended.datasets) == (False, ("rpool/data/out",))
    setting = replace(lab.config, diz=replace(lab.config.diz, keep_datasets=True))
    again = replace(request, datasets="rpool/data/more")
    ended = execute.in_new_zone(lab.site(config=setting), again, execute.Command("true"), lambda zone: None)
    assert ended.as_dict()["kept_datasets"] == ["rpool/data/more"]
    make(lab, datasets="rpool/data/third")
    assert teardown.destroy(lab.site(config=setting), "build-1") == ("rpool/data/third",)
    assert {"rpool/data/out", "rpool/data/more", "rpool/data/third"} <= set(names(lab))


def test_a_dropped_dataset_goes_although_the_others_are_kept(lab: Lab) -> None:
    make(lab, datasets="rpool/data/out rpool/data/scratch")
    modify.modify(lab.site(), "build-1", Wishes(), Drops(datasets="rpool/data/scratch"))
    teardown.destroy(lab.site(), "build-1", keep_datasets=True)
    assert [name for name in names(lab, "rpool/data") if name != "rpool/data"] == ["rpool/data/out"]
