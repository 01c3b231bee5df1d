"""What looks like ours and is not stays: through destroy, gc, rollback, recover and import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, same
from tests.workflows.test_stories import make, prop, state
from zonemgr import records
from zonemgr.errors import ZonemgrError
from zonemgr.workflows import (
    archives,
    container,
    gc,
    golden,
    job,
    modify,
    packages,
    snaps,
    surplus,
    survey,
    teardown,
)

HOME = "rpool/zones/diz/build-1"


def datasets(lab: Lab) -> list[str]:
    return lab.run("zfs", "list", "-H", "-t", "all", "-o", "name").split()


def swept(lab: Lab) -> list[str]:
    return [thing.name for thing in gc.collect(lab.site(), remove=True).found]


def run_of(lab: Lab) -> str:
    return prop(lab, "zonemgr:run", HOME)


def vanish(lab: Lab) -> None:
    lab.run("zoneadm", "-z", "build-1", "halt")
    lab.run("zonecfg", "-z", "build-1", "delete", "-F")


def test_a_dataset_that_was_taken_back_for_the_host_is_not_empty(lab: Lab) -> None:
    """Mounted on the host again it may be full of files, although no dataset is in it."""
    make(lab, datasets="rpool/export/scratch")
    vanish(lab)
    lab.run("zfs", "set", "zoned=off", "rpool/export/scratch")
    assert "rpool/export/scratch" not in swept(lab)
    assert "rpool/export/scratch" in datasets(lab)


def test_an_ancestor_that_holds_files_by_now_stays(lab: Lab) -> None:
    make(lab, datasets="rpool/work/scratch")
    lab.run("zfs", "set", "mountpoint=/work", "rpool/work")
    lab.run("zfs", "set", "canmount=on", "rpool/work")
    lab.run("zfs", "mount", "rpool/work", ok=False)
    teardown.destroy(lab.site(), "build-1")
    assert "rpool/work" in datasets(lab) and "rpool/work/scratch" not in datasets(lab)
    assert "rpool/work" not in swept(lab)
    assert "rpool/work" in datasets(lab)


def test_a_mark_that_a_zone_set_itself_is_no_proof_for_gc(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/precious", "rpool/export/precious")
    make(lab, datasets="rpool/export/precious")
    lab.run("zlogin", "build-1", "zfs set zonemgr:run=20200101T000000Z-abcdef rpool/export/precious")
    teardown.destroy(lab.site(), "build-1")
    assert "rpool/export/precious" not in swept(lab)
    assert "rpool/export/precious" in datasets(lab)


def test_a_zone_of_another_boot_environment_is_no_leftover(lab: Lab) -> None:
    """Its configuration lies in /etc/zones of that one, its data in the same pool."""
    lab.run("zfs", "create", "-o", "mountpoint=/cc", "rpool/export/cc")
    make(lab, datasets="rpool/export/scratch", clones="rpool/export/cc")
    vanish(lab)
    other = "8a7b6c5d-0000-0000-0000-000000000000"
    lab.run("zfs", "set", f"org.opensolaris.libbe:parentbe={other}", f"{HOME}/ROOT/zbe")
    before = datasets(lab)
    assert swept(lab) == []
    assert datasets(lab) == before


def test_what_others_put_beside_a_zones_clones_stops_a_destroy(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/cc", "rpool/export/cc")
    make(lab, clones="rpool/export/cc")
    lab.run("zfs", "create", "-o", "mountpoint=none", "rpool/zones/_clones/build-1/precious")
    before = lab.everything()
    with pytest.raises(ZonemgrError, match="was not made by zonemgr"):
        teardown.destroy(lab.site(), "build-1")
    same(before, lab.everything())
    vanish(lab)
    swept(lab)
    assert "rpool/zones/_clones/build-1/precious" in datasets(lab)


def crafted(lab: Lab, marks: dict[str, str]) -> None:
    """An export whose manifest somebody has written anew, checksum and all."""
    archives.export(lab.site(), GOLDEN, "/export/x.zone")
    path = lab.world.host / "export/x.zone"
    data = path.read_bytes()
    told: dict[str, Any] = container.read(data[:65536].decode("utf-8", "surrogateescape"), "x") or {}
    told["marks"] = {**told["marks"], **marks}
    path.write_bytes(container.head(told).encode() + data[65536:])


def test_an_archive_says_what_is_in_it_and_sets_nothing_else(lab: Lab) -> None:
    crafted(lab, {"mountpoint": "/etc", "zonemgr:run": "x", "zonemgr:current": "y", "quota": "1M"})
    made = archives.import_(lab.site(), "/export/x.zone", "again")
    home = "rpool/zones/giz/again"
    assert prop(lab, "mountpoint", home) == "/zones/giz/again" and prop(lab, "quota", home) == "0"
    assert prop(lab, "zonemgr:run", home) == made.run
    assert prop(lab, "zonemgr:set", home).startswith("1 ")


def test_a_stream_mounts_nothing_on_the_host(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/data", "rpool/export/data")
    lab.run("zfs", "create", "-o", "mountpoint=/data/deep", "rpool/export/data/deep")
    lab.run("zfs", "snapshot", "-r", "rpool/export/data@now")
    lab.run("sh", "-c", "zfs send -R rpool/export/data@now > /export/data.stream")
    lab.run("zfs", "destroy", "-r", "rpool/export/data")
    before = lab.everything()
    with pytest.raises(ZonemgrError):
        golden.create(lab.site(), golden.GoldenRequest(zone="bad", source="/export/data.stream"))

    same(before, lab.everything())


def test_a_dataset_that_a_zone_by_hand_has_is_not_given_back(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/shared", "rpool/export/shared")
    make(lab, datasets="rpool/export/shared")
    snaps.snapshot(lab.site(), "build-1", "clean")
    modify.modify(lab.site(), "build-1", drops=modify.Drops(datasets="rpool/export/shared"), restart=True)
    lab.run(
        "zonecfg", "-z", "theirs",
        "create -b; set zonepath=/zones/theirs; add dataset; set name=rpool/export/shared; end; commit",
    )  # fmt: skip
    snaps.rollback(lab.site(), "build-1", "clean")
    assert "rpool/export/shared" not in lab.run("zonecfg", "-z", "build-1", "export")
    assert any("belongs to zone theirs now" in text for text in lab.report.warnings)


def test_a_way_back_destroys_no_root_that_pkg_did_not_make(lab: Lab) -> None:
    make(lab)
    lab.run("zoneadm", "-z", "build-1", "halt")
    zone = survey.managed(lab.door(), "build-1")
    run = records.new_run_id()
    with pytest.raises(ZonemgrError, match="on purpose"), job.job(lab.site(), ["build-1"], run) as work:
        lab.run("zfs", "snapshot", "-o", f"zonemgr:run={run}", f"{HOME}/ROOT/zbe@before")
        work.do(packages.return_to(lab.door(), zone, "before"))
        lab.run("zfs", "create", "-o", "canmount=noauto", f"{HOME}/ROOT/backup")
        raise ZonemgrError("on purpose")
    assert f"{HOME}/ROOT/backup" in datasets(lab)


def test_a_zone_cannot_pass_its_dataset_off_as_a_zones_home(lab: Lab) -> None:
    make(lab, datasets="rpool/zzz/scratch")
    words = f"-o zonemgr:kind=diz -o mountpoint=/zones/giz/{GOLDEN} -o canmount=noauto"
    lab.run("zlogin", "build-1", f"zfs create {words} rpool/zzz/scratch/fake")
    assert survey.managed(lab.door(), GOLDEN).kind == survey.GIZ
    assert survey.managed(lab.door(), GOLDEN).dataset == f"rpool/zones/giz/{GOLDEN}"


def test_one_zone_that_goes_does_not_end_the_undoing_of_another(lab: Lab, tmp_path: Path) -> None:
    """An upgrade works on the image and on a clone of it; destroying the clone says nothing of the image."""
    make(lab)
    run = records.new_run_id()
    with (
        pytest.raises(ZonemgrError, match="on purpose"),
        job.job(lab.site(), [GOLDEN, "build-1"], run) as work,
    ):
        work.do(snaps.StopForNow("build-1", 60, run_of(lab)))
        lab.fails("zoneadm -z build-1 boot", stderr="no such link", times=2)
        raise ZonemgrError("on purpose")
    assert work.ledger.path.exists()  # type: ignore[union-attr]
    with pytest.raises(ZonemgrError, match="could not be undone"):
        teardown.destroy(lab.site(), "build-1")
    assert work.ledger.path.exists()  # type: ignore[union-attr]
    teardown.destroy(lab.site(), "build-1")
    assert state(lab, "build-1") is None


def test_an_old_snapshot_that_was_cloned_meanwhile_stays(lab: Lab) -> None:
    """An upgrade was cut short after serving; before it is finished somebody clones the snapshot that was to go."""
    for name in ("upgraded-1", "upgraded-2"):
        snaps.snapshot(lab.site(), GOLDEN, name)
    make(lab, snapshot="upgraded-1")
    image = survey.managed(lab.door(), GOLDEN)
    surplus.LetGo(GOLDEN, image.dataset, ("upgraded-1", "upgraded-2"), image.marks["current"]).undo(
        lab.door()
    )
    left = [row.snapshot.name for row in snaps.listing(lab.door(), GOLDEN)]
    assert "upgraded-1" in left and "upgraded-2" not in left
    assert prop(lab, "userrefs", f"rpool/zones/giz/{GOLDEN}/ROOT/zbe@upgraded-1") == "1"
