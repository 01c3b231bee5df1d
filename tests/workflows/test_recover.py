"""What a dead run left is undone; what became somebody else's meanwhile, or holds other people's things, is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import GOLDEN
from tests.support import KILLED, Lab, in_child, same
from tests.workflows.test_stories import execute_in_new, make, prop, state
from zonemgr.errors import ZonemgrError
from zonemgr.workflows import disposable, execute, golden, job, life, snaps, teardown
from zonemgr.workflows.disposable import DisposableRequest

ROOT = f"rpool/zones/giz/{GOLDEN}/ROOT/zbe"


def again(lab: Lab) -> Lab:
    """The same lab for another process: SQLite connections do not survive a fork."""
    return Lab(type(lab.world)(lab.world.dir))


def killed(lab: Lab, fault: str, work: object, tmp_path: Path) -> None:
    lab.world.put("cells", "off")
    lab.inside.fault(fault)
    assert in_child(lambda: work(again(lab)), tmp_path / "output") == KILLED  # type: ignore[operator]


def test_a_new_zone_of_an_old_name_is_left_alone(lab: Lab, tmp_path: Path) -> None:
    make(lab)
    killed(
        lab,
        "kill-caller-after:zonecfg -z build-1 *delete*",
        lambda lab: teardown.destroy(lab.site(), "build-1"),
        tmp_path,
    )
    lab.run("zonecfg", "-z", "build-1", "create -b; set zonepath=/zones/theirs")
    job.recover_all(lab.site())
    assert state(lab, "build-1") == "configured"


def test_an_image_that_was_cloned_since_is_not_taken_down(lab: Lab, tmp_path: Path) -> None:
    killed(
        lab,
        f"kill-caller-before:zoneadm -z {GOLDEN} uninstall*",
        lambda lab: teardown.destroy(lab.site(), GOLDEN),
        tmp_path,
    )
    make(lab)
    job.recover_all(lab.site())
    assert state(lab, GOLDEN) == "installed"
    assert prop(lab, "origin", "rpool/zones/diz/build-1/ROOT/zbe").startswith(ROOT)


def test_a_half_made_image_serves_no_snapshot_at_all(lab: Lab) -> None:
    lab.run("zfs", "inherit", "zonemgr:current", f"rpool/zones/giz/{GOLDEN}")
    with pytest.raises(ZonemgrError, match="no current snapshot"):
        make(lab, snapshot=f"initial-installed-{GOLDEN}")


def test_a_rollback_that_fails_keeps_its_snapshot(lab: Lab) -> None:
    make(lab)
    lab.inside.fault("fail:zfs rollback,times=2,stderr=cannot rollback: broken on purpose")
    with pytest.raises(ZonemgrError, match="broken on purpose"):
        execute.in_zone(lab.site(), "build-1", execute.Command("touch /root/mess; false", discard="onfail"))
    job.recover_all(lab.site())
    assert not lab.in_zone("build-1", "/root/mess").exists()
    assert state(lab, "build-1") == "running"
    assert snaps.listing(lab.site().host, "build-1") == []


def test_a_refused_uninstall_is_not_got_round(lab: Lab) -> None:
    lab.fails("zoneadm * boot", stderr="broken on purpose")
    lab.fails("zoneadm * uninstall", stderr="something sits in the root")
    with pytest.raises(ZonemgrError, match="broken on purpose"):
        make(lab)
    assert (
        state(lab, "build-1") == "installed"
    )  # and not unconfigured, with its root destroyed under somebody
    job.recover_all(lab.site())
    assert state(lab, "build-1") is None


def test_the_work_of_a_good_command_stays_when_tidying_fails(lab: Lab) -> None:
    make(lab)
    lab.fails("zfs destroy *before-exec*", stderr="dataset is busy", times=2)
    with pytest.raises(ZonemgrError):
        execute.in_zone(lab.site(), "build-1", execute.Command("touch /root/result", discard="onfail"))
    job.recover_all(lab.site())
    assert lab.in_zone("build-1", "/root/result").exists()


def test_nobodys_work_is_rolled_back_by_a_recovery(lab: Lab, tmp_path: Path) -> None:
    make(lab)
    snaps.snapshot(lab.site(), "build-1", "clean")
    killed(
        lab,
        "kill-caller-before:zfs rollback",
        lambda lab: snaps.rollback(lab.site(), "build-1", "clean"),
        tmp_path,
    )
    lab.run("zoneadm", "-z", "build-1", "boot", ok=False)
    lab.in_zone("build-1", "/root/work").write_text("mine\n")
    job.recover_all(lab.site())
    assert lab.in_zone("build-1", "/root/work").exists()


@pytest.mark.parametrize(
    "theirs",
    [
        ("zfs", "create", "-o", "canmount=noauto", "rpool/zones/diz/build-1/ROOT/backup"),
        ("zfs", "create", "-o", "mountpoint=none", "rpool/zones/diz/build-1/data"),
        ("zfs", "create", "-V", "16M", "rpool/zones/diz/build-1/volume"),
        ("zfs", "snapshot", "rpool/zones/diz/build-1/ROOT/zbe@mine"),
    ],
    ids=["root", "filesystem", "volume", "snapshot"],
)
def test_what_others_put_into_a_zones_home_stops_a_destroy(lab: Lab, theirs: tuple[str, ...]) -> None:
    make(lab)
    lab.run(*theirs)
    before = lab.everything()
    with pytest.raises(ZonemgrError, match="was not made by zonemgr"):
        teardown.destroy(lab.site(), "build-1")
    same(before, lab.everything())


def test_a_dataset_made_for_one_zone_is_not_given_to_another(lab: Lab) -> None:
    make(lab, datasets="rpool/export/scratch")
    with pytest.raises(ZonemgrError, match="was made for another zone"):
        make(lab, zone="build-2", datasets="rpool/export/scratch")


def test_a_foreign_hold_does_not_count(lab: Lab) -> None:
    served = f"{ROOT}@initial-postinstalled-{GOLDEN}"
    lab.run("zfs", "release", "zonemgr", served)
    lab.run("zfs", "hold", "backup", served)
    make(lab)
    lab.run("zfs", "release", "backup", served)
    teardown.destroy(lab.site(), "build-1")
    assert prop(lab, "userrefs", served) == "1"


def test_a_dry_recovery_changes_no_journal(lab: Lab, tmp_path: Path) -> None:
    before = lab.everything()
    killed(lab, "kill-caller-after:zonecfg -z build-1 -f*", make, tmp_path)
    half_made = lab.everything()
    assert job.recover_all(lab.site(dry_run=True)) == []
    same(half_made, lab.everything())
    job.recover_all(lab.site())
    same(before, lab.everything())


def test_all_dead_runs_are_recovered_in_one_go(lab: Lab, tmp_path: Path) -> None:
    before = lab.everything()
    for name in ("build-1", "build-2"):
        killed(
            lab,
            f"kill-caller-after:zonecfg -z {name} -f*",
            lambda lab, name=name: make(lab, zone=name),
            tmp_path,
        )
    assert len(job.recover_all(lab.site())) == 2
    assert state(lab, "build-1") is None and state(lab, "build-2") is None
    # Of two runs of the same second the one that made the home of zones may be the first to be undone.
    lab.run("zfs", "destroy", "rpool/zones/diz", ok=False)
    same(before, lab.everything())


def test_a_journal_of_another_version_concerns_its_own_zone_only(lab: Lab) -> None:
    make(lab)
    strange = Path(lab.config.state.directory) / "runs" / "20260101T000000Z-abcdef"
    strange.mkdir()
    (strange / "journal.jsonl").write_text(
        '{"run": "x", "pid": 1, "zones": ["other"]}\n{"begin": "New", "fields": {}}\n'
    )
    life.halt(lab.site(), "build-1")
    assert state(lab, "build-1") == "installed"


def test_a_discard_that_fails_does_not_hide_the_builds_answer(lab: Lab) -> None:
    lab.fails("zoneadm * uninstall", stderr="something sits in the root")
    outcome = execute_in_new(lab, "exit 3")
    assert outcome.exit_code == 3
    assert any("could not be taken down" in warning for warning in lab.report.warnings)
    job.recover_all(lab.site())
    assert state(lab, "build-1") is None


def test_a_destroy_does_not_need_an_older_run_cleared_up(lab: Lab, tmp_path: Path) -> None:
    """A zone whose recovery fails again and again can still be removed."""
    make(lab)
    killed(
        lab, "kill-caller-after:zoneadm -z build-1 shutdown",
        lambda lab: snaps.snapshot(lab.site(), "build-1", "x"), tmp_path,
    )  # fmt: skip
    lab.fails("zoneadm -z build-1 boot", stderr="no such link", times=3)
    with pytest.raises(ZonemgrError, match="could not be undone"):
        life.start(lab.site(), "build-1")
    teardown.destroy(lab.site(), "build-1")
    assert state(lab, "build-1") is None


def test_accounts_with_dots_and_groups_with_members(lab: Lab) -> None:
    etc = lab.world.host / "etc"
    for name, line in (("passwd", "a.b:x:201:10::/export/home/a.b:/bin/sh"), ("shadow", "a.b:NP:::::::"),
                       ("passwd", "aXb:x:202:10::/export/home/aXb:/bin/sh"), ("shadow", "aXb:NP:::::::")):  # fmt: skip
        (etc / name).write_text((etc / name).read_text() + line + "\n")
    group = (etc / "group").read_text().replace("sys::3:", "sys::3:a.b,")
    (etc / "group").write_text(group)
    make(lab, users="aXb a.b")
    passwd = lab.in_zone("build-1", "/etc/passwd").read_text()
    assert "\naXb:" in passwd and "\na.b:" in passwd
    sys_line = next(
        line
        for line in lab.in_zone("build-1", "/etc/group").read_text().splitlines()
        if line.startswith("sys:")
    )
    assert "a.b" in sys_line.split(":")[3].split(",")
    assert "root" in sys_line.split(":")[3].split(",")


def test_two_first_jobs_at_once_share_the_home_of_zones(fresh: Lab) -> None:
    golden.create(fresh.site(), golden.GoldenRequest(zone="tools"))
    zone = disposable.prepare(fresh.site(), DisposableRequest("tools", zone="build-1"))
    site = fresh.site()
    with job.job(site, ["build-1"], zone.run) as work:
        look = job.glimpse(site)
        planned = disposable.plan_clone(look, site, zone, disposable.configured(look, site, zone))
        disposable.create(fresh.site(), DisposableRequest("tools", zone="build-2"))
        for step in planned:
            step.do(site.host)
        work.keep()
    assert state(fresh, "build-1") == "mounted"  # as `clone -X` leaves it
