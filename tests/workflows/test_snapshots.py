"""Stories of a zone's snapshots: all its datasets as one, and the configuration with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, in_child, same
from zonemgr.errors import NotThere, ZonemgrError
from zonemgr.host import zonechange
from zonemgr.host.zonescript import parse_export
from zonemgr.lab.zfs.store import Store
from zonemgr.workflows import disposable, execute, job, keepsake, life, modify, snaps, teardown
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.wanted import Drops

HOME = "rpool/zones/diz/build-1"
ROOT = f"{HOME}/ROOT/zbe"
SCRATCH = "rpool/export/scratch"


def make(lab: Lab, **more: str) -> None:
    """A halted zone with a dataset of its own."""
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="build-1", datasets=SCRATCH, **more))
    life.halt(lab.site(), "build-1")


def export(lab: Lab) -> str:
    return lab.run("zonecfg", "-z", "build-1", "export")


def configure(lab: Lab, *lines: str) -> None:
    lab.run("zonecfg", "-z", "build-1", "; ".join(lines))


def names(lab: Lab, dataset: str) -> list[str]:
    listed = lab.run("zfs", "list", "-H", "-d", "1", "-t", "snapshot", "-o", "name", dataset).split()
    return [name.partition("@")[2] for name in listed]


def datasets(lab: Lab) -> list[str]:
    return lab.run("zfs", "list", "-H", "-o", "name").split()


def content(lab: Lab, dataset: str) -> Path:
    """Where a dataset's files are on this machine, whoever may mount it."""
    row = lab.world.db.execute("select id from zfs_datasets where name = ?", (dataset,)).fetchone()
    return Store(lab.world).fs(row["id"])


def state(lab: Lab) -> str:
    return lab.run("zoneadm", "-z", "build-1", "list", "-p").split(":")[2]


# -- together ------------------------------------------------------------------------------------------------------


def test_root_children_and_what_was_made_for_the_zone_are_snapshot_in_one_command(each_lab: Lab) -> None:
    make(each_lab)
    each_lab.run("zfs", "create", f"{SCRATCH}/sub")
    already = len(each_lab.commands())
    snaps.snapshot(each_lab.site(), "build-1", "clean")
    taken = [argv for argv in each_lab.commands()[already:] if list(argv[:2]) == ["zfs", "snapshot"]]
    assert len(taken) == 1
    assert set(taken[0]) >= {f"{name}@clean" for name in (HOME, ROOT, SCRATCH, f"{SCRATCH}/sub")}


def test_a_dataset_that_was_there_before_is_not_touched(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=none", "rpool/export/mine")
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="build-1", datasets="rpool/export/mine"))
    life.halt(lab.site(), "build-1")
    snaps.snapshot(lab.site(), "build-1", "clean")
    snaps.rollback(lab.site(), "build-1", "clean")
    assert names(lab, "rpool/export/mine") == []


def test_all_are_rolled_back_and_what_is_newer_goes(lab: Lab) -> None:
    make(lab)
    snaps.snapshot(lab.site(), "build-1", "clean")
    lab.in_zone("build-1", "/etc/mess").write_text("mess\n")
    lab.run("zfs", "create", f"{SCRATCH}/made-since")
    lab.run("zfs", "snapshot", f"{SCRATCH}/made-since@own")
    snaps.snapshot(lab.site(), "build-1", "later")
    snaps.rollback(lab.site(), "build-1", "clean")
    assert not lab.in_zone("build-1", "/etc/mess").exists()
    assert f"{SCRATCH}/made-since" not in datasets(lab)
    assert [names(lab, one) for one in (HOME, ROOT, SCRATCH)] == [["clean"]] * 3


def test_a_running_zone_is_stopped_and_started_again_and_waited_for(lab: Lab) -> None:
    make(lab)
    life.start(lab.site(), "build-1")
    snaps.snapshot(lab.site(), "build-1", "clean")
    snaps.rollback(lab.site(), "build-1")
    assert state(lab) == "running"
    assert (
        lab.run("svcs", "-z", "build-1", "-H", "-o", "state", "svc:/milestone/multi-user-server")
        == "online\n"
    )


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ([["zfs", "destroy", f"{SCRATCH}@clean"]], f"{SCRATCH} has no snapshot clean"),
        ([["zfs", "hold", "backup", f"{SCRATCH}@later"]], "is newer and held by backup"),
        ([["zfs", "clone", f"{SCRATCH}@later", "rpool/export/theirs"]], "is newer and has clones"),
        ([["zfs", "hold", "backup", f"{ROOT}@later"]], "is newer and held by backup"),
        (
            [
                ["zfs", "create", f"{SCRATCH}/sub"], ["zfs", "snapshot", f"{SCRATCH}/sub@x"],
                ["zfs", "clone", f"{SCRATCH}/sub@x", "rpool/export/theirs"],
            ],
            "goes with the rollback and has clones",
        ),
    ],
)  # fmt: skip
def test_if_one_dataset_cannot_be_rolled_back_none_is(
    lab: Lab, trouble: list[list[str]], message: str
) -> None:
    make(lab)
    snaps.snapshot(lab.site(), "build-1", "clean")
    snaps.snapshot(lab.site(), "build-1", "later")
    lab.in_zone("build-1", "/etc/mess").write_text("mess\n")
    for command in trouble:
        lab.run(*command)
    before = lab.everything()
    with pytest.raises(ZonemgrError, match=message):
        snaps.rollback(lab.site(), "build-1", "clean")
    same(before, lab.everything())


def _rollback_elsewhere(lab: Lab) -> None:
    snaps.rollback(Lab(type(lab.world)(lab.world.dir)).site(), "build-1", "clean")


def test_a_rollback_cut_short_between_two_datasets_is_finished(lab: Lab, tmp_path: Path) -> None:
    """Neither has a newer snapshot, so nothing but the word on the zonepath dataset tells that it had begun."""
    make(lab)
    snaps.snapshot(lab.site(), "build-1", "clean")
    lab.in_zone("build-1", "/etc/mess").write_text("mess\n")
    mess = content(lab, SCRATCH) / "mess"
    mess.write_text("mess\n")
    lab.inside.fault("kill-caller-after:zfs rollback*")
    in_child(lambda: _rollback_elsewhere(lab), tmp_path / "out")
    assert not lab.in_zone("build-1", "/etc/mess").exists() and (content(lab, SCRATCH) / "mess").exists()
    job.recover_all(lab.site())
    assert not (content(lab, SCRATCH) / "mess").exists()


def test_a_first_rollback_that_zfs_refuses_changes_nothing(lab: Lab) -> None:
    make(lab)
    snaps.snapshot(lab.site(), "build-1", "clean")
    configure(lab, "set autoboot=true")
    before = lab.everything()
    lab.fails("zfs rollback*", stderr="cannot rollback: I/O error\n")
    with pytest.raises(ZonemgrError, match="I/O error"):
        snaps.rollback(lab.site(), "build-1", "clean")
    same(before, lab.everything())


def test_a_snapshot_goes_from_all_datasets_or_from_none(lab: Lab) -> None:
    make(lab)
    snaps.snapshot(lab.site(), "build-1", "clean")
    lab.run("zfs", "clone", f"{SCRATCH}@clean", "rpool/export/theirs")
    before = lab.everything()
    with pytest.raises(ZonemgrError, match="has clones: rpool/export/theirs"):
        snaps.destroy_snapshot(lab.site(), "build-1", "clean")
    same(before, lab.everything())
    lab.run("zfs", "destroy", "rpool/export/theirs")
    snaps.destroy_snapshot(lab.site(), "build-1", "clean")
    assert [names(lab, one) for one in (HOME, ROOT, SCRATCH)] == [[]] * 3


def test_snapshots_do_not_keep_a_zone_from_going(each_lab: Lab) -> None:
    before = each_lab.everything()
    make(each_lab, over="net0")
    each_lab.run("zfs", "create", f"{SCRATCH}/sub")
    for name in ("one", "two"):
        snaps.snapshot(each_lab.site(), "build-1", name)
    teardown.destroy(each_lab.site(), "build-1")
    each_lab.run("zfs", "destroy", "rpool/zones/diz")
    same(before, each_lab.everything())


# -- the configuration ---------------------------------------------------------------------------------------------


def test_the_configuration_comes_back(each_lab: Lab) -> None:
    (each_lab.world.host / "export/more").mkdir()
    make(each_lab, lofs="/work|/export/src", over="net0")
    configure(each_lab, "set bootargs=\"-m verbose\"", "set cpu-shares=7", "add capped-memory", "set physical=1G",
              "set swap=2G", "end", "add capped-cpu", "set ncpus=1.5", "end")  # fmt: skip
    before = export(each_lab)
    snaps.snapshot(each_lab.site(), "build-1", "clean")
    configure(each_lab, "remove fs dir=/work", "add fs", "set dir=/more", "set special=/export/more", "set type=lofs",
              "end", "set autoboot=true", "clear bootargs", "remove capped-memory", "clear cpu-shares",
              "remove capped-cpu", "add attr", "set name=note", "set type=string", "set value=new", "end",
              "add capped-memory", "set physical=4G", "end")  # fmt: skip
    snaps.rollback(each_lab.site(), "build-1", "clean")
    assert sorted(export(each_lab).splitlines()) == sorted(before.splitlines())
    life.start(each_lab.site(), "build-1")


def test_a_dataset_of_the_snapshot_that_is_gone_stops_all_of_it(lab: Lab) -> None:
    make(lab)
    lab.run("zfs", "create", f"{SCRATCH}/kid")
    snaps.snapshot(lab.site(), "build-1", "clean")
    life.halt(lab.site(), "build-1")
    lab.run("zfs", "destroy", "-r", f"{SCRATCH}/kid")
    before = lab.everything()
    with pytest.raises(NotThere, match=f"{SCRATCH}/kid was in snapshot clean and is gone"):
        snaps.rollback(lab.site(), "build-1", "clean")
    same(before, lab.everything())


def test_a_clone_that_waits_for_the_zones_halt_comes_back_with_a_rollback(lab: Lab) -> None:
    lab.run("zfs", "create", "rpool/export/tree")
    make(lab, clones="rpool/export/tree|/tree")
    snaps.snapshot(lab.site(), "build-1", "clean")
    life.start(lab.site(), "build-1")
    modify.modify(lab.site(), "build-1", None, Drops(clones="rpool/export/tree"))
    snaps.rollback(lab.site(), "build-1", "clean")
    clone = "rpool/zones/_clones/build-1/1-tree"
    assert f"{clone}@clean" in lab.run("zfs", "list", "-H", "-t", "snapshot", "-o", "name").split()
    assert lab.run("zfs", "get", "-H", "-o", "value", "zonemgr:pending", "rpool/zones/diz/build-1") == "-\n"
    assert "running" in lab.run("zoneadm", "-z", "build-1", "list", "-p")


def test_what_the_host_no_longer_has_is_left_out_with_a_warning(lab: Lab) -> None:
    (lab.world.host / "export/gone").mkdir()
    lab.run("dladm", "create-vnic", "-t", "-l", "net0", "mine0")
    make(lab, lofs="/work|/export/src /gone|/export/gone", vnics="mine0")
    snaps.snapshot(lab.site(), "build-1", "clean")
    configure(lab, "remove fs dir=/gone", "remove fs dir=/work", "remove net physical=mine0",
              f"remove dataset name={SCRATCH}")  # fmt: skip
    lab.run("dladm", "delete-vnic", "-t", "mine0")
    lab.run("zfs", "destroy", "-r", SCRATCH)
    (lab.world.host / "export/gone").rmdir()
    before = lab.everything()
    with pytest.raises(NotThere, match=f"{SCRATCH} was in snapshot clean and is gone") as refused:
        snaps.rollback(lab.site(), "build-1", "clean")
    same(before, lab.everything())
    lab.run(*str(refused.value.hint).partition(": ")[2].partition(";")[0].split())
    lab.report.warnings.clear()
    snaps.rollback(lab.site(), "build-1", "clean")
    assert [word for word in lab.report.warnings if "any more" in word or "is gone" in word] == [
        "the host has no directory /export/gone any more, so /gone is not mounted again",
        "the host has no link mine0 any more, so the zone does not get it back",
        f"the dataset {SCRATCH} is gone, so the zone does not get it back",
    ]
    settings = parse_export(export(lab))
    assert [fs.dir for fs in settings.fs] == ["/work"] and not settings.net and not settings.dataset
    life.start(lab.site(), "build-1")


def test_a_vnic_of_its_own_is_made_again_and_one_made_since_goes(lab: Lab) -> None:
    make(lab, over="net0")
    vnic = parse_export(export(lab)).net[0].physical
    snaps.snapshot(lab.site(), "build-1", "clean")
    configure(lab, f"remove net physical={vnic}", "add net", "set physical=zmsince_0", "end",
              'select attr name=zonemgr.autovnic', 'set value="zmsince_0|net0"', "end")  # fmt: skip
    lab.run("dladm", "delete-vnic", "-t", vnic)
    lab.run("dladm", "create-vnic", "-t", "-l", "net0", "zmsince_0")
    snaps.rollback(lab.site(), "build-1", "clean")
    life.start(lab.site(), "build-1")
    assert lab.run("dladm", "show-vnic", "-p", "-o", "link").split() == [vnic]


def test_what_root_in_the_zone_writes_on_its_own_snapshots_is_not_believed(lab: Lab) -> None:
    """The brand hands ROOT to the zone; a configuration from there could mount the host's root in the zone."""
    make(lab)
    snaps.snapshot(lab.site(), "build-1", "clean")
    evil = export(lab) + 'add fs\nset dir="/host"\nset special="/"\nset type="lofs"\nend\n'
    for name, value in keepsake.properties(evil).items():
        lab.run("zfs", "set", f"{name}={value}", f"{ROOT}@clean")
    snaps.rollback(lab.site(), "build-1", "clean")
    assert not parse_export(export(lab)).fs


def test_a_damaged_memory_is_told_and_nothing_is_done(lab: Lab) -> None:
    make(lab)
    snaps.snapshot(lab.site(), "build-1", "clean")
    lab.run("zfs", "set", "zonemgr:config.0=AAAA", f"{HOME}@clean")
    before = lab.everything()
    with pytest.raises(ZonemgrError, match="is damaged"):
        snaps.rollback(lab.site(), "build-1", "clean")
    same(before, lab.everything())


def test_a_snapshot_zonemgr_did_not_take_has_no_configuration(lab: Lab) -> None:
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="build-1"))
    life.halt(lab.site(), "build-1")
    lab.run("zfs", "snapshot", f"{ROOT}@theirs")
    lab.in_zone("build-1", "/etc/mess").write_text("mess\n")
    configure(lab, "set autoboot=true")
    snaps.rollback(lab.site(), "build-1", "theirs")
    assert not lab.in_zone("build-1", "/etc/mess").exists()
    assert "set autoboot=true" in export(lab)
    assert any("no configuration was kept" in word for word in lab.report.warnings)


def test_any_configuration_survives_the_properties() -> None:
    text = "".join(
        f'add attr\nset name=a{n}\nset value="{"é" * 80}{os.urandom(40).hex()}"\nend\n' for n in range(400)
    )
    kept = keepsake.properties(text)
    assert len(kept) > 2 and all(len(value) <= 8191 for value in kept.values())
    assert keepsake.text_of(kept, "x") == text


def test_no_difference_needs_no_command(lab: Lab) -> None:
    make(lab, lofs="/work|/export/src", over="net0")
    settings = parse_export(export(lab))
    assert zonechange.lines(settings, settings) == []


# -- after an upgrade ----------------------------------------------------------------------------------------------


def upgrade(lab: Lab, zone: str) -> None:
    """`pkg update` in the zone itself, with a package that takes a new root."""
    lab.publish("system/library", reboot=True)
    life.start(lab.site(), zone)
    update = execute.Command("pkg refresh; pkg update --accept", discard="off")
    execute.in_zone(lab.site(), zone, update)


def roots(lab: Lab, home: str) -> list[str]:
    return [name for name in datasets(lab) if name.startswith(f"{home}/ROOT/")]


def test_the_way_back_leads_past_the_root_that_an_upgrade_left(lab: Lab) -> None:
    """The new root is promoted, and the old one is then a clone of something newer than the snapshot."""
    home, wanted = f"rpool/zones/giz/{GOLDEN}", f"initial-postinstalled-{GOLDEN}"
    upgrade(lab, GOLDEN)
    assert len(roots(lab, home)) == 2
    snaps.rollback(lab.site(), GOLDEN, wanted)
    assert roots(lab, home) == [f"{home}/ROOT/zbe-1"]
    assert [one.name for one in snaps.details(lab.site().host, GOLDEN)][-1] == wanted
    assert "system/library" in lab.run("pkg", "-R", f"/zones/giz/{GOLDEN}/root", "list", "-H")
    life.restart(lab.site(), GOLDEN)


def test_snapshots_that_a_failed_upgrade_took_along_come_back(lab: Lab) -> None:
    """In a zone that is a clone the new root takes the snapshots, and then cannot be activated."""
    make(lab)
    snaps.snapshot(lab.site(), "build-1", "clean")
    upgrade(lab, "build-1")
    assert names(lab, f"{ROOT}-1")[0] == "clean" and names(lab, ROOT) == []
    assert str(snaps.listing(lab.site().host, "build-1")[0].snapshot.name) == "clean"
    snaps.rollback(lab.site(), "build-1", "clean")
    assert roots(lab, HOME) == [ROOT] and names(lab, ROOT) == ["clean"]


# -- lists ---------------------------------------------------------------------------------------------------------


def test_the_list_tells_what_made_each(lab: Lab) -> None:
    make(lab)
    snaps.snapshot(lab.site(), "build-1", "clean")
    lab.run("zfs", "snapshot", f"{ROOT}@theirs")
    lab.run("zfs", "clone", f"{SCRATCH}@clean", "rpool/export/theirs")
    ours, theirs = (one.as_dict() for one in snaps.details(lab.site().host, "build-1"))
    assert (ours["job"], ours["user"], ours["configuration"]) == ("snapshot", "root", True)
    assert ours["clones"] == ["rpool/export/theirs"] and ours["datasets"] == [ROOT, SCRATCH]
    assert (theirs["run"], theirs["job"], theirs["configuration"]) == ("", "", False)
    image = snaps.details(lab.site().host, GOLDEN)
    assert [(one.job, one.served) for one in image] == [("create-giz", False)] * 2 + [("create-giz", True)]


def test_the_plain_list_is_a_name_a_line(lab: Lab) -> None:
    make(lab)
    for name in ("one", "two"):
        snaps.snapshot(lab.site(), "build-1", name)
    assert [row.snapshot.name for row in snaps.listing(lab.site().host, "build-1")] == ["one", "two"]
