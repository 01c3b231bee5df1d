"""What vanished zones leave behind: found if it is provably ours, removed on request, and nothing else touched."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, same
from zonemgr import records
from zonemgr.errors import ZonemgrError
from zonemgr.model import ZoneName
from zonemgr.workflows import building, disposable, gc, job, life, modify, teardown
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.furnish import Wishes

RUN = "20260101T000000Z-abcdef"
ZONE = "build-1"


def make(lab: Lab, **words: str) -> None:
    disposable.create(lab.site(), DisposableRequest(**{"origin": GOLDEN, "zone": ZONE, **words}))


def vanish(lab: Lab, zone: str = ZONE) -> None:
    """The zone goes, by hands that know nothing of what zonemgr made for it."""
    lab.run("zoneadm", "-z", zone, "halt")
    lab.run("zonecfg", "-z", zone, "delete", "-F")


def listed(lab: Lab) -> list[tuple[str, str]]:
    return [(thing.what, thing.name) for thing in gc.collect(lab.site()).found]


def remains(lab: Lab, *, run: str = RUN) -> None:
    """A VNIC and a dataset as a vanished zone leaves them, and empty ancestors."""
    lab.run("dladm", "create-vnic", "-t", "-l", "net0", f"zm{run[-6:]}_0")
    mark = ("-o", f"zonemgr:run={run}", "-o", "mountpoint=none")
    shared = ("-o", "canmount=off", "-o", "zonemgr:shared=on")
    lab.run("zfs", "create", *mark, *shared, "rpool/export/made")
    recorded(lab, "rpool/export/made/scratch")
    lab.run("zfs", "create", *mark, "-o", "zoned=on", "rpool/export/made/scratch")


def recorded(lab: Lab, dataset: str) -> None:
    """A run of today that says it made a dataset."""
    with records.Run(lab.config, records.new_run_id()) as run, run.step(f"create {dataset}"):
        pass


def links(lab: Lab) -> list[str]:
    return lab.run("dladm", "show-vnic", "-p", "-o", "link").split()


def names(found: Iterable[gc.Thing]) -> list[str]:
    return [thing.name for thing in found]


def test_what_was_taken_for_a_zone_later_is_found_as_well(lab: Lab) -> None:
    make(lab)
    lab.run("zfs", "create", "rpool/export/tree")
    modify.modify(lab.site(), ZONE, Wishes(clones="rpool/export/tree|/tree"), restart=True)
    lab.run("zfs", "rename", "rpool/export/tree", "rpool/export/other")
    teardown.destroy(lab.site(), ZONE)
    (left,) = [name for what, name in listed(lab) if what == "snapshot"]
    assert left.startswith("rpool/export/other@zonemgr-")
    gc.collect(lab.site(), remove=True)
    assert listed(lab) == []


def test_all_a_vanished_zone_left_is_found_and_goes(each_lab: Lab) -> None:
    lab = each_lab
    lab.run("zfs", "create", "-o", "mountpoint=/export/tree", "rpool/export/tree")
    before = lab.everything()
    make(lab, over="net0", datasets="rpool/export/scratch", clones="rpool/export/tree|/tree")
    run = lab.run("zfs", "get", "-H", "-o", "value", "zonemgr:run", f"rpool/zones/diz/{ZONE}").strip()
    assert listed(lab) == []
    vanish(lab)
    assert listed(lab) == [
        ("vnic", f"zm{run[-6:]}_0"), ("dataset", "rpool/export/scratch"), ("clones", f"rpool/zones/_clones/{ZONE}"),
        ("home", f"rpool/zones/diz/{ZONE}"), ("empty", "rpool/zones/_clones"),
        ("snapshot", f"rpool/export/tree@zonemgr-{run}"),
    ]  # fmt: skip
    sweep = gc.collect(lab.site(), remove=True)
    assert sweep.left == [] and sweep.removed == sweep.found
    assert listed(lab) == []
    lab.run("zfs", "destroy", "rpool/zones/diz")
    same(before, lab.everything())


def test_listing_changes_nothing(lab: Lab) -> None:
    remains(lab)
    before = lab.everything()
    assert listed(lab) == [
        ("vnic", "zmabcdef_0"), ("dataset", "rpool/export/made/scratch"), ("empty", "rpool/export/made"),
    ]  # fmt: skip
    gc.collect(lab.site(dry_run=True), remove=True)
    same(before, lab.everything())


def test_what_others_made_is_never_listed(lab: Lab) -> None:
    """Names alone prove nothing, nor does an inherited mark, nor what lasts over a reboot."""
    lab.run("dladm", "create-vnic", "-l", "net0", "zmabcdef_0")
    lab.run("dladm", "create-vnic", "-t", "-l", "net0", "zmabcdeg_0")
    lab.run("dladm", "create-vnic", "-t", "-l", "net0", "zmabcdef0")
    lab.run("zfs", "create", "rpool/zones/giz/nobody")
    lab.run("zfs", "create", "rpool/zones/diz")
    lab.run("zfs", "create", "rpool/zones/diz/nobody")
    lab.run("zfs", "snapshot", "rpool/export@before-exec-20260101T000000Z")
    assert listed(lab) == []


def test_what_a_zone_names_stays(lab: Lab) -> None:
    """By its attr, by its net resource, by its datasets; also a zone that is only configured, or not ours."""
    remains(lab)
    lab.run("dladm", "create-vnic", "-t", "-l", "net0", "zmabcdef_1")
    lab.run(
        "zonecfg", "-z", "theirs",
        "create -b; set zonepath=/zones/theirs; set ip-type=exclusive; add net; set physical=zmabcdef_0; end;"
        "add dataset; set name=rpool/export/made/scratch; end;"
        'add attr; set name=zonemgr.autovnic; set type=string; set value="zmabcdef_1|net0"; end; commit',
    )  # fmt: skip
    assert listed(lab) == []
    lab.run("zonecfg", "-z", "theirs", "delete", "-F")
    assert len(listed(lab)) == 4


def test_a_zone_in_any_state_keeps_what_it_has(lab: Lab) -> None:
    make(lab, over="net0", datasets="rpool/export/scratch")
    life.halt(lab.site(), ZONE)
    assert listed(lab) == []


def test_what_waits_for_a_zones_halt_stays(lab: Lab) -> None:
    """Taken from a zone that runs, it stands in its configuration no more."""
    remains(lab)
    home = f"rpool/zones/giz/{GOLDEN}"
    lab.run("zfs", "set", "zonemgr:pending=vnic:zmabcdef_0 dataset:rpool/export/made/scratch", home)
    assert listed(lab) == []


def test_an_image_with_clones_is_no_leftover(lab: Lab) -> None:
    make(lab)
    lab.run("zonecfg", "-z", GOLDEN, "delete", "-F")
    assert listed(lab) == []


def test_what_a_run_has_under_way_is_not_swept(lab: Lab) -> None:
    """Neither a live one's nor a dead one's that recover will see to."""
    run = records.new_run_id()
    with job.job(lab.site(), [ZoneName("coming")], run) as work:
        work.do(building.MakeVnic(f"zm{run[-6:]}_0", "net0"))
        remains(lab)
        work.do(building.MakeFilesystem("rpool/export/coming", ("zoned=on", "mountpoint=/coming"), run))
        assert f"zm{run[-6:]}_0" in links(lab)
        sweep = gc.collect(lab.site(), remove=True)
        assert names(sweep.removed) == ["zmabcdef_0", "rpool/export/made/scratch", "rpool/export/made"]
        assert links(lab) == [f"zm{run[-6:]}_0"]
        work.unsettled = True
    lab.report.notes.clear()
    assert listed(lab) == []
    assert any(f"run {run} on coming was cut short" in note for note in lab.report.notes)


def test_what_is_in_use_is_left_and_the_rest_goes(lab: Lab) -> None:
    remains(lab)
    lab.fails("dladm delete-vnic", stderr="dladm: vnic deletion failed: link busy", times=-1)
    lab.run("zfs", "snapshot", "rpool/export/made/scratch@x")
    lab.run("zfs", "clone", "-o", "mountpoint=none", "rpool/export/made/scratch@x", "rpool/export/theirs")
    sweep = gc.collect(lab.site(), remove=True)
    assert names(sweep.removed) == []
    assert [str(left) for left in sweep.left] == [
        "vnic zmabcdef_0 is left: it is in use", "dataset rpool/export/made/scratch is left: it is in use",
        "empty rpool/export/made is left: it is in use",
    ]  # fmt: skip
    lab.run("zfs", "destroy", "rpool/export/theirs")
    assert names(gc.collect(lab.site(), remove=True).removed) == [
        "rpool/export/made/scratch",
        "rpool/export/made",
    ]


def test_a_home_with_something_foreign_in_it_is_left_whole(lab: Lab) -> None:
    make(lab)
    lab.run("zfs", "create", f"rpool/zones/diz/{ZONE}/precious")
    vanish(lab)
    sweep = gc.collect(lab.site(), remove=True)
    assert [left.what for left in sweep.left] == [f"home rpool/zones/diz/{ZONE}"]
    assert any("precious in it was not made by zonemgr" in text for text in lab.report.warnings)
    assert f"rpool/zones/diz/{ZONE}/ROOT/zbe" in lab.run("zfs", "list", "-H", "-o", "name").split()


def test_a_snapshot_that_exec_could_not_drop_goes(lab: Lab) -> None:
    make(lab)
    root = f"rpool/zones/diz/{ZONE}/ROOT/zbe"
    lab.run("zfs", "snapshot", "-o", f"zonemgr:run={RUN}", f"{root}@before-exec-20260101T000000Z")
    lab.run("zfs", "hold", "zonemgr", f"{root}@before-exec-20260101T000000Z")
    lab.run("zfs", "snapshot", "-o", f"zonemgr:run={RUN}", f"{root}@mine")
    assert names(gc.collect(lab.site(), remove=True).removed) == [f"{root}@before-exec-20260101T000000Z"]
    assert f"{root}@mine" in lab.run("zfs", "list", "-H", "-t", "snapshot", "-o", "name")


def test_a_vnic_that_stays_busy_at_take_down_is_told_and_left_for_gc(lab: Lab) -> None:
    make(lab, over="net0")
    [vnic] = links(lab)
    lab.fails("dladm delete-vnic", stderr="dladm: vnic deletion failed: link busy", times=7)
    teardown.destroy(lab.site(), ZONE)
    assert any(f"VNIC {vnic} of zone {ZONE} stays busy" in text for text in lab.report.warnings)
    assert names(gc.collect(lab.site(), remove=True).removed) == [vnic]


def test_a_user_without_the_profiles_may_look_and_no_more(lab: Lab) -> None:
    remains(lab)
    lab.user = "jim"
    assert len(listed(lab)) == 3
    with pytest.raises(ZonemgrError, match="lacks the rights profile"):
        gc.collect(lab.site(), remove=True)
    lab.user = "builder"
    assert len(gc.collect(lab.site(), remove=True).removed) == 3
