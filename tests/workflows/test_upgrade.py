"""Golden images are upgraded, proved in a zone, and then served; whatever goes wrong, they are what they were."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, in_child, same
from zonemgr import locks, records
from zonemgr.cli import upgrade as cli
from zonemgr.cli.runtime import Runtime
from zonemgr.cli.show import STEPS, WARNINGS
from zonemgr.errors import UsageError
from zonemgr.host import pkgplan
from zonemgr.host.programs import SignalsHeld
from zonemgr.lab.pkg import publish
from zonemgr.model import RunId, Snapshot
from zonemgr.workflows import disposable, golden, imageset, job, life, nightly, snaps, surplus, survey
from zonemgr.workflows.cancel import Cancelled, signals_cancel
from zonemgr.workflows.nightly import Round, UpgradeRequest
from zonemgr.workflows.upgrade import Result

FIRST = f"initial-postinstalled-{GOLDEN}"
CATALOGUE = "/var/pkg/state/image.json"  # pkg's own: what it has fetched, and when


@pytest.fixture(autouse=True)
def no_cells(request: pytest.FixtureRequest) -> None:
    """Zones need no processes of their own here but while zlogin runs: these stories are about what is on disk."""
    for name in ("lab", "each_lab"):
        if name in request.fixturenames:
            request.getfixturevalue(name).world.put("cells", "off")


def night(lab: Lab, *zones: str, **how: Any) -> Round:
    """One call of upgrade-giz; all images unless some are named."""
    done = Round()
    nightly.run(lab.site(), UpgradeRequest(zones, not zones, **how), done)
    return done


def outcomes(done: Round) -> dict[str, str]:
    return {one.image: one.outcome for one in done.results}


def host(lab: Lab) -> dict[str, Any]:
    """The lab without what refreshing a catalogue may change."""
    found = lab.everything()
    found["files"] = {path: what for path, what in found["files"].items() if not path.endswith(CATALOGUE)}
    return found


def image(world: dict[str, Any], name: str) -> Any:
    """All that a world says of one image."""
    home = f"rpool/zones/giz/{name}"
    return (
        [row for row in world["zfs"] if f"{row['name']}/".startswith((f"{home}/", f"{home}@"))],
        {path: what for path, what in world["files"].items() if path.startswith(f"/zones/giz/{name}/")},
        world["kernel_zones"].get(name),
    )


def current(lab: Lab, image: str = GOLDEN) -> str:
    return lab.run("zfs", "get", "-H", "-o", "value", "zonemgr:current", f"rpool/zones/giz/{image}").strip()


def names(lab: Lab, image: str = GOLDEN) -> list[str]:
    return [str(row.snapshot.name) for row in snaps.listing(lab.door(), image)]


def version(lab: Lab, root: str, package: str = "shell/bash") -> str:
    return lab.run("pkg", "-R", root, "list", "-H", package).split()[1]


# -- one image ---------------------------------------------------------------------------------------------------


def test_an_image_without_updates_is_left_as_it_is(each_lab: Lab) -> None:
    before, runs = host(each_lab), len(records.list_runs(each_lab.config))
    done = night(each_lab)
    assert outcomes(done) == {GOLDEN: "unchanged"}
    same(before, host(each_lab))
    assert len(records.list_runs(each_lab.config)) == runs, "there is nothing to put on record"
    assert done.quiet
    assert done.exit_code == 0
    assert len(records.list_runs(each_lab.config)) == runs, "there is nothing to put on record"


def test_an_upgraded_image_is_served_from_its_new_snapshot(each_lab: Lab) -> None:
    old = version(each_lab, f"/zones/giz/{GOLDEN}/root")
    each_lab.world.put("pkg.updates", "1")
    done = night(each_lab)
    (one,) = done.results
    assert (one.outcome, one.message, one.notes) == ("upgraded", "", ())
    assert one.snapshot.startswith("upgraded-")
    assert current(each_lab) == one.snapshot
    assert "shell/bash" in {change.name for change in one.changes}
    held = f"rpool/zones/giz/{GOLDEN}/ROOT/zbe@{one.snapshot}"
    assert "zonemgr" in each_lab.run("zfs", "holds", "-H", held)
    assert survey.zone(each_lab.door(), GOLDEN).state == "installed"
    assert [row.name for row in survey.managed_zones(each_lab.door())] == [GOLDEN], "the canary is gone"
    zone = disposable.create(each_lab.site(), disposable.DisposableRequest(GOLDEN, zone="build-1"))
    assert zone.origin == f"{GOLDEN}@{one.snapshot}"
    assert version(each_lab, "/zones/diz/build-1/root") != old
    assert outcomes(night(each_lab)) == {GOLDEN: "unchanged"}, "and nothing is left to do the night after"


# Some of them, for what is said; the sweep has every command.
FAILURES = {
    "the catalogues cannot be fetched": ("pkg -R * refresh", "pkg: 1/1 catalogs could not be updated"),
    "no plan can be made": (
        "pkg -R * update -n *",
        "pkg update: No solution was found to satisfy constraints",
    ),
    "the update breaks off": ("pkg -R * update --accept", "pkg: the repository went away"),
    "it does not boot": ("zoneadm -z tools boot *", "zoneadm: zone 'tools': call to zoneadmd failed"),
    "it cannot be cloned": ("zoneadm -z diz-* clone *", "zoneadm: clone failed"),
    "the canary fails": ("zlogin -S diz-* *exec-the-canary*", "a library is missing"),
    "it cannot be served": ("zfs set zonemgr:current=*", "cannot set property: permission denied"),
}


HIPSTER, SECOND = "http://pkg.openindiana.org/hipster/", "http://second.example.org/hipster/"
ROOT = f"/zones/giz/{GOLDEN}/root"


def test_a_dead_repository_is_a_failure_every_night(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    before = host(lab)
    lab.world.put("fault.origin", HIPSTER)
    for _ in range(2):
        assert called(lab).exit_code == 1
        said = capsys.readouterr().out
        assert "golden images: 1 failed" in said
        assert f"failed    {GOLDEN}: pkg -R {ROOT} refresh exited with" in said
        assert f"no repository of publisher openindiana.org answers: {HIPSTER}: " in said
        assert "hint: see that the repository answers" in said
        same(before, host(lab))


def test_one_repository_of_two_is_told_of_and_no_failure(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    publish.repository(lab.world, "openindiana.org", SECOND)
    lab.run("pkg", "-R", ROOT, "set-publisher", "-g", SECOND, "openindiana.org")
    lab.world.put("fault.origin", SECOND)
    assert called(lab).exit_code == 0
    first, line, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("golden images: 1 without updates; ")
    assert line == f"unchanged {GOLDEN}: no updates, as far as is known"
    silent = f"a repository of publisher openindiana.org does not answer: {SECOND}: "
    assert [one.strip().startswith(silent) for one in rest] == [True]


@pytest.mark.parametrize("pattern, text", FAILURES.values(), ids=FAILURES)
def test_an_image_that_fails_is_what_it_was(lab: Lab, pattern: str, text: str) -> None:
    lab.world.put("pkg.updates", "1")
    before = host(lab)
    lab.fails(pattern, stderr=f"{text}\n")
    done = night(lab, canary="true exec-the-canary")
    assert lab.world.db.execute("select seen from faults").fetchone()[0] >= 1, "the fault came"
    (one,) = done.results
    assert one.outcome == "failed"
    assert text.rpartition(": ")[2] in one.message
    assert done.exit_code == 1
    same(before, host(lab))


def test_a_canary_that_says_no_is_quoted(lab: Lab) -> None:
    lab.world.put("pkg.updates", "1")
    before = host(lab)
    done = night(lab, canary="echo no compiler here >&2; exit 3")
    assert done.results[0].message == "the canary exited with 3: no compiler here"
    assert done.results[0].run, "its record has the commands"
    record = records.read_run(lab.config, done.results[0].run)
    assert record.verdict == "failed"
    assert (record.directory / "stderr.log").read_text() == "no compiler here\n"
    assert "entire 0.5.11-2024.0.0.0 -> 0.5.11-2024.0.0.1\n" in (record.directory / "stdout.log").read_text()
    same(before, host(lab))
    assert outcomes(night(lab)) == {GOLDEN: "upgraded"}, "and the next night it works"


def test_a_canary_that_hangs_is_ended(lab: Lab) -> None:
    lab.world.put("pkg.updates", "1")
    before = host(lab)
    lab.inside.fault("hang:zlogin -S diz-* *exec-the-canary*")
    settings = replace(lab.config, upgrade=replace(lab.config.upgrade, canary_limit=60))
    done = Round()
    request = UpgradeRequest(every=True, canary="true exec-the-canary")
    nightly.run(lab.site(config=settings), request, done)
    assert done.results[0].message == "the canary did not end within 60 seconds"
    same(before, host(lab))


def test_the_configured_canary_is_run_in_a_clone_of_the_upgraded_image(lab: Lab) -> None:
    lab.world.put("pkg.updates", "1")
    settings = replace(lab.config, upgrade=replace(lab.config.upgrade, canary="hostname; exit 7"))
    done = Round()
    nightly.run(lab.site(config=settings), UpgradeRequest(every=True), done)
    assert done.results[0].message.startswith(f"the canary exited with 7: diz-{GOLDEN}-")


def test_a_running_image_fails_and_keeps_running(lab: Lab) -> None:
    lab.world.put("pkg.updates", "1")
    life.start(lab.site(), GOLDEN)
    before = host(lab)
    done = night(lab)
    assert done.results[0].outcome == "failed"
    assert done.results[0].message == f"golden image {GOLDEN} is running, so it was not upgraded"
    assert done.results[0].hint == f"zonemgr halt {GOLDEN}"
    same(before, host(lab))


def test_a_half_made_image_is_passed_over(lab: Lab) -> None:
    lab.world.put("pkg.updates", "1")
    lab.run("zfs", "inherit", "zonemgr:current", f"rpool/zones/giz/{GOLDEN}")
    before = lab.everything()
    done = night(lab)
    assert outcomes(done) == {GOLDEN: "skipped"}
    assert "half-made" in done.results[0].message
    assert not done.quiet
    assert done.exit_code == 0
    same(before, lab.everything())


def test_an_image_that_serves_a_vanished_snapshot_is_said_to(lab: Lab) -> None:
    lab.world.put("pkg.updates", "1")
    lab.run("zfs", "set", "zonemgr:current=upgraded-long-ago", f"rpool/zones/giz/{GOLDEN}")
    (one,) = night(lab).results
    assert "upgraded-long-ago, which its root does not have" in one.message


def test_a_root_that_is_not_mounted_is_mounted_by_the_brand(lab: Lab) -> None:
    lab.world.put("pkg.updates", "1")
    lab.run("umount", f"/zones/giz/{GOLDEN}/root")
    assert outcomes(night(lab)) == {GOLDEN: "upgraded"}


def test_a_dry_run_says_what_it_would_do(lab: Lab) -> None:
    lab.world.put("pkg.updates", "1")
    lab.run("pkg", "-R", f"/zones/giz/{GOLDEN}/root", "refresh")
    before = lab.everything()
    done = Round()
    nightly.run(lab.site(dry_run=True), UpgradeRequest(every=True), done)
    assert outcomes(done) == {GOLDEN: "due"}
    assert done.results[0].changes
    same(before, lab.everything())


def test_killed_half_way_it_is_put_right_by_recover(lab: Lab, tmp_path: Path) -> None:
    """The sweep has every command; here a process is really killed, and the image asked what it serves."""
    lab.world.put("pkg.updates", "1")
    before = host(lab)
    lab.inside.fault("kill-caller-after:zoneadm -z diz-* clone *")
    in_child(lambda: print(night(lab)), tmp_path / "output")
    assert current(lab) == FIRST
    assert len(survey.managed_zones(lab.door())) == 2, "the canary is there"
    job.recover_all(lab.site())
    same(before, host(lab))


def test_the_next_upgrade_clears_up_after_a_killed_one(lab: Lab, tmp_path: Path) -> None:
    lab.world.put("pkg.updates", "1")
    lab.inside.fault("kill-caller-after:zoneadm -z tools boot *")
    in_child(lambda: print(night(lab)), tmp_path / "output")
    assert survey.zone(lab.door(), GOLDEN).state == "running"
    assert outcomes(night(lab)) == {GOLDEN: "upgraded"}
    assert len([name for name in names(lab) if name.startswith("upgraded-")]) == 1


def test_somebody_else_has_the_image(lab: Lab) -> None:
    lab.world.put("pkg.updates", "1")
    settings = replace(lab.config, state=replace(lab.config.state, image_wait=0))
    done = Round()
    with locks.zone_lock(lab.config, GOLDEN, RunId("20260101T000000Z-other1")):
        nightly.run(lab.site(config=settings), UpgradeRequest(every=True), done)
    assert "is in use by run 20260101T000000Z-other1" in done.results[0].message


# -- which, and in which order -----------------------------------------------------------------------------------


def test_images_come_after_what_they_are_derived_from() -> None:
    parents = {"a": "z", "b": "", "c": "a", "z": "", "d": "b"}
    assert nightly.select(parents, (), every=True) == ["z", "a", "b", "c", "d"]
    assert nightly.select(parents, ("a",), every=False) == ["a", "c"]
    assert nightly.select(parents, ("b", "gone"), every=False) == ["b", "d", "gone"]
    assert nightly.select({"a": "b", "b": "a"}, (), every=True) == ["b", "a"], "even if no one is first"


def test_with_several_at_once_children_wait_for_their_parents_only() -> None:
    parents = {"a": "z", "b": "", "c": "a", "z": ""}
    assert nightly.ready(["z", "a", "b", "c"], parents, set()) == ["z", "b"]
    assert nightly.ready(["a", "c"], parents, {"z"}) == []
    assert nightly.ready(["a", "c"], parents, {"b"}) == ["a"]
    assert nightly.ready(["a", "b"], {"a": "b", "b": "a"}, set()) == ["a"]


def test_what_is_to_be_upgraded_must_be_said(lab: Lab) -> None:
    with pytest.raises(UsageError, match="which golden images"):
        nightly.run(lab.site(), UpgradeRequest(), Round())
    with pytest.raises(UsageError, match="at least one"):
        night(lab, parallel=0)
    with pytest.raises(UsageError, match="less than none"):
        night(lab, keep=-1)


def test_a_name_that_is_no_golden_image_gets_its_line_and_the_others_their_turn(lab: Lab) -> None:
    lab.world.put("pkg.updates", "1")
    disposable.create(lab.site(), disposable.DisposableRequest(GOLDEN, zone="build-1"))
    done = night(lab, "nosuch", "build-1", GOLDEN)
    assert outcomes(done) == {"nosuch": "failed", "build-1": "failed", GOLDEN: "upgraded"}
    assert {one.message for one in done.of("failed")} == {
        "there is no zone nosuch", "zone build-1 is a disposable zone, not a golden-image zone",
    }  # fmt: skip


# -- what becomes of older ones ----------------------------------------------------------------------------------


def _row(name: str, created: int, *clones: str, dataset: str = "p/giz/a/ROOT/zbe") -> survey.SnapshotRow:
    return survey.SnapshotRow(Snapshot.parse(f"{dataset}@{name}"), created, 0, 0, clones)


def _name(kind: str, number: int) -> str:
    return f"{kind}-2026010{number}T000000Z"


def test_upgrade_snapshots_beyond_the_newest_are_surplus() -> None:
    rows = [
        _row("initial-a", 1),
        _row("upgraded-by-me", 1),
        *(_row(_name(kind, n), n) for n in range(2, 7) for kind in ("before-upgrade", "upgraded")),
    ]
    assert surplus.among(rows, 3, {_name("upgraded", 6)}) == [
        _name("upgraded", 2),
        _name("upgraded", 3),
        _name("before-upgrade", 2),
        _name("before-upgrade", 3),
    ]
    assert surplus.among(rows, 9, set()) == []
    assert _name("upgraded", 6) not in surplus.among(rows, 0, {_name("upgraded", 6)})
    rows[3] = _row(_name("upgraded", 2), 2, "p/diz/x/ROOT/zbe")
    assert surplus.among(rows, 3, set()) == [
        _name("upgraded", 3),
        _name("before-upgrade", 2),
        _name("before-upgrade", 3),
    ]
    child = _row(_name("upgraded", 3), 3, "p/diz/y/ROOT/zbe/svc", dataset="p/giz/a/ROOT/zbe/svc")
    assert _name("upgraded", 3) not in surplus.among([*rows, child], 3, set()), (
        "a clone of a child keeps the whole"
    )


def test_older_upgrades_go_but_those_with_clones_stay(lab: Lab) -> None:
    taken = []
    for number in range(1, 4):
        lab.publish("shell/bash")
        (one,) = night(lab, keep=1).results
        taken.append(one.snapshot)
        if number == 1:
            disposable.create(lab.site(), disposable.DisposableRequest(GOLDEN, zone="build-1"))
    assert [name for name in names(lab) if name.startswith("upgraded-")] == [taken[0], taken[2]]
    assert one.dropped[0] == taken[1]
    assert len([name for name in names(lab) if name.startswith("before-upgrade-")]) == 1
    assert set(names(lab)) >= {f"initial-installed-{GOLDEN}", FIRST}, "others are not touched"


def test_a_snapshot_that_somebody_holds_or_took_stays(lab: Lab) -> None:
    root = f"rpool/zones/giz/{GOLDEN}/ROOT/zbe"
    lab.run("zfs", "snapshot", f"{root}@upgraded-by-hand")
    lab.world.put("pkg.updates", "1")
    first = night(lab, keep=0).results[0].snapshot
    lab.run("zfs", "hold", "backup", f"{root}@{first}")
    lab.world.put("pkg.updates", "2")
    (one,) = night(lab, keep=0).results
    assert set(names(lab)) >= {"upgraded-by-hand", first, one.snapshot}


def test_a_snapshot_that_does_not_go_is_told_of_and_goes_the_next_time(lab: Lab) -> None:
    lab.publish("shell/bash")
    (first,) = night(lab, keep=1).results
    lab.publish("shell/bash")
    lab.fails(f"zfs destroy *@{first.snapshot}", stderr="cannot destroy: dataset is busy\n", times=2)
    (one,) = night(lab, keep=1).results
    assert (one.outcome, one.dropped) == ("upgraded", ())
    assert "older snapshots could not be destroyed: zfs exited with 1: cannot destroy" in cli.text(
        Round([one])
    )
    assert current(lab) == one.snapshot
    lab.publish("shell/bash")
    assert first.snapshot in night(lab, keep=1).results[0].dropped


# -- layers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def layered(lab: Lab) -> Lab:
    """`tools`, upgraded once, and `tools-more` derived from that."""
    lab.publish("shell/bash")
    night(lab)
    golden.create(lab.site(), golden.GoldenRequest(zone="tools-more", origin=GOLDEN, packages=("text/gawk",)))
    lab.publish("shell/bash")
    return lab


def test_who_is_asked_for_takes_along_what_is_derived_from_it(layered: Lab) -> None:
    origin = current(layered)
    done = night(layered, GOLDEN, keep=0)
    assert [(one.image, one.outcome, one.parent) for one in done.results] == [
        (GOLDEN, "upgraded", ""), ("tools-more", "upgraded", GOLDEN),
    ]  # fmt: skip
    assert origin in names(layered), "what the other one hangs on stays, however few are to be kept"
    root = layered.run("zfs", "get", "-H", "-o", "value", "origin", "rpool/zones/giz/tools-more/ROOT/zbe")
    assert root.strip() == f"rpool/zones/giz/{GOLDEN}/ROOT/zbe@{origin}"
    assert version(layered, "/zones/giz/tools-more/root") == version(layered, f"/zones/giz/{GOLDEN}/root")
    zone = disposable.create(layered.site(), disposable.DisposableRequest("tools-more", zone="build-1"))
    assert zone.origin == f"tools-more@{current(layered, 'tools-more')}"


def test_a_parent_that_fails_does_not_stop_its_children(layered: Lab) -> None:
    before = host(layered)
    layered.fails("zoneadm -z tools boot *", stderr="zoneadm: broken\n")
    done = night(layered)
    assert outcomes(done) == {GOLDEN: "failed", "tools-more": "upgraded"}
    assert image(host(layered), GOLDEN) == image(before, GOLDEN)
    assert "upgraded  tools-more (derived from tools): 1 package, now serves upgraded-" in cli.text(done)


def test_an_image_cloned_from_another_that_fails_is_what_it_was(layered: Lab) -> None:
    before = host(layered)
    done = night(layered, "tools-more", canary="exit 1")
    assert outcomes(done) == {"tools-more": "failed"}
    same(before, host(layered))


def test_who_asks_for_the_old_version_is_not_given_the_new_one(lab: Lab) -> None:
    golden.create(lab.site(), golden.GoldenRequest(zone="awk", packages=("text/gawk@5.3.1",)))
    lab.publish("text/gawk", "5.4.0-2024.0.0.0")
    assert outcomes(night(lab, "awk")) == {"awk": "upgraded"}
    home = survey.managed(lab.door(), "awk").dataset
    assert imageset.read(lab.door())[home].packages == {"text/gawk@5.4.0-2024.0.0.0"}


def test_an_old_pkg_of_the_host_upgrades_nothing_and_is_named(lab: Lab) -> None:
    lab.world.put("pkg.updates", "1")
    lab.run("pkg", "refresh")
    before = host(lab)
    (one,) = night(lab).results
    assert (one.outcome, one.message) == ("failed", "pkg exited with 1: pkg itself is out of date")
    same(before, host(lab))
    lab.run("pkg", "install", "--no-backup-be", "package/pkg")
    assert outcomes(night(lab)) == {GOLDEN: "upgraded"}


# -- several -----------------------------------------------------------------------------------------------------


class Steady(Lab):
    """Signals come between its commands: a real door, too, ends a command before it lets an interrupt travel on."""

    def _execute(self, *what: Any) -> tuple[int, str, str]:
        with SignalsHeld():
            return super()._execute(*what)


@pytest.fixture
def three(lab: Lab) -> Lab:
    lab = Steady(lab.world)
    lab.run("zfs", "create", "rpool/zones/diz")  # one worker makes it, and it stays for the others' canaries
    for name in ("jdk", "perl"):
        golden.create(lab.site(), golden.GoldenRequest(zone=name))
    lab.world.put("pkg.updates", "1")
    return lab


@pytest.mark.parametrize("parallel", [1, 3])
def test_some_fail_and_the_others_are_served_anew(three: Lab, parallel: int) -> None:
    before = host(three)
    three.fails("zlogin -S diz-jdk-* *", stderr="no java\n", at=2, times=9)
    done = night(three, parallel=parallel)
    assert outcomes(done) == {"jdk": "failed", "perl": "upgraded", GOLDEN: "upgraded"}
    assert done.exit_code == 1
    assert image(host(three), "jdk") == image(before, "jdk")
    for name in ("perl", GOLDEN):
        assert current(three, name).startswith("upgraded-")
    assert {row.name for row in survey.managed_zones(three.door())} == {"jdk", "perl", GOLDEN}
    report = cli.text(done)
    assert report.startswith("golden images: 1 failed, 2 upgraded; ")
    assert "failed    jdk: nothing is known of the canary: zlogin ended with 1: no java" in report
    if parallel > 1:
        said = {note.partition(":")[0] for note in three.report.notes if ": done: " in note}
        assert said == {"jdk", "perl", GOLDEN}, "what several say at once has their names"


def test_a_worker_that_is_killed_is_cleared_up_after(three: Lab) -> None:
    before = host(three)
    three.inside.fault("kill-caller-after:zoneadm -z diz-perl-* clone *")
    done = night(three, parallel=3)
    assert outcomes(done) == {"jdk": "upgraded", "perl": "failed", GOLDEN: "upgraded"}, [
        one.message for one in done.results
    ]
    assert "killed by signal 9); what it had begun is undone" in done.of("failed")[0].message
    assert image(host(three), "perl") == image(before, "perl")


def test_ended_by_a_signal_all_workers_undo_what_they_began(three: Lab) -> None:
    before = host(three)
    parent = os.getpid()

    def hear(text: str) -> None:
        if ": boot " in text:
            os.kill(parent, signal.SIGTERM)

    three.report.note = hear  # type: ignore[method-assign]
    with pytest.raises(Cancelled), signals_cancel():
        night(three, parallel=3)
    same(before, host(three))


def test_without_its_parent_a_worker_undoes_and_ends(three: Lab, tmp_path: Path) -> None:
    before = host(three)

    def orphan() -> None:
        def hear(text: str) -> None:
            if ": boot " in text:
                os.kill(os.getpid(), signal.SIGKILL)

        three.report.note = hear  # type: ignore[method-assign]
        night(three, parallel=2)

    assert in_child(orphan, tmp_path / "output") == -signal.SIGKILL
    job.recover_all(three.site())  # waits for what the workers are about to do themselves
    same(before, host(three))


# -- what is said ------------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_it_goes_by(capsys: pytest.CaptureFixture[str]) -> None:
    for dry_run in (True, False):
        cli._tell(Runtime([], dry_run=dry_run), Round([Result("tools", "unchanged")]))
        said = capsys.readouterr().out
        assert ("golden images: 1 without updates" in said) is dry_run
        assert ("judged by the catalogues as they are" in said) is dry_run


def test_the_report_is_short() -> None:
    changes = tuple(pkgplan.PackageChange(f"p{n}", "1", "2") for n in range(9))
    entire = pkgplan.PackageChange("entire", "5.11-1", "5.11-2")
    done = Round(
        [
            Result("tools", "upgraded", 62, snapshot="upgraded-X", changes=(*changes, entire), run="R1"),
            Result(
                "jdk",
                "failed",
                3,
                parent="tools",
                message="it broke",
                hint="mend it",
                notes=("left",),
                run="R2",
            ),
            Result("half", "skipped", message="it is half-made"),
            *(Result(f"other{n}", "unchanged") for n in range(40)),
        ]
    )
    first, *rest = cli.text(done).splitlines()
    assert first.startswith("golden images: 1 failed, 1 upgraded, 1 skipped, 40 without updates; ")
    assert rest == [
        "failed    jdk (derived from tools): it broke",
        "            left",
        "            hint: mend it",
        "            log: zonemgr log R2",
        "upgraded  tools: 10 packages, now serves upgraded-X, 1 min 2 s",
        "            entire 5.11-1 -> 5.11-2",
        "            p0 1 -> 2",
        "            p1 1 -> 2",
        "            and 7 more",
        "skipped   half: it is half-made",
    ]
    assert Result.from_dict(json.loads(json.dumps(done.results[0].as_dict()))) == done.results[0]


def called(lab: Lab, *argv: str, level: int = STEPS, as_json: bool = False) -> Runtime:
    """`zonemgr upgrade-giz --all` as its command line calls it."""
    runtime = Runtime(["upgrade-giz", *argv], level=level, as_json=as_json)
    runtime.__dict__["site"] = replace(lab.site(), report=runtime.screen)
    cli.upgrade_giz(SimpleNamespace(obj=runtime), all=True)  # type: ignore[arg-type]
    return runtime


def test_cron_hears_nothing_unless_something_happened(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(lab).exit_code == 0
    assert capsys.readouterr() == ("", "")
    lab.publish("shell/bash")
    lab.fails("zoneadm -z tools boot *", stderr="zoneadm: broken\n")
    assert called(lab).exit_code == 1
    said = capsys.readouterr()
    assert "failed    tools: zoneadm exited with 1: broken\n" in said.out
    assert said.err == "", "progress is for terminals"
    assert called(lab, as_json=True, level=WARNINGS).exit_code == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["upgraded"], answer["failed"]) == (1, 0)
    assert answer["images"][0]["changes"][0]["name"] == "shell/bash"
    called(lab, "-d", "3")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"look for updates of {GOLDEN}\n")


def test_plans_are_read_as_pkg_writes_them() -> None:
    plan = """\
            Packages to remove:         1
            Packages to update:         2
       Create boot environment:        No

Changed packages:
openindiana.org
  entire
    0.5.11-2024.0.0.0 -> 0.5.11-2024.0.0.1
  runtime/python-39
    3.9.20-2024.0.0.0 -> None
hipster-encumbered
  media/codec
    None -> 1.0-2024.0.0.0

Services:
  restart_fmri:
    svc:/system/manifest-import:default
"""
    assert [str(change) for change in pkgplan.parse(plan)] == [
        "entire 0.5.11-2024.0.0.0 -> 0.5.11-2024.0.0.1",
        "runtime/python-39 3.9.20-2024.0.0.0 (removed)",
        "media/codec 1.0-2024.0.0.0 (new)",
    ]
    assert pkgplan.parse("No updates available for this image.\n") == []
