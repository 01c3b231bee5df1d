"""What cannot be meant, or cannot work, is refused before anything changes: the world is compared before and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, same
from zonemgr.config import Config
from zonemgr.errors import ZonemgrError
from zonemgr.host import zoneadm
from zonemgr.model import ZoneName, ZoneState
from zonemgr.workflows import disposable, execute, golden, host_setup, life, snaps, teardown
from zonemgr.workflows.disposable import DisposableRequest

Story = Callable[[Lab], object]


def diz(**words: str) -> Story:
    return lambda lab: disposable.create(
        lab.site(), DisposableRequest(**{"origin": GOLDEN, "zone": "build-1", **words})
    )


def giz(**words: str) -> Story:
    return lambda lab: golden.create(lab.site(), golden.GoldenRequest(**words))  # type: ignore[arg-type]


USAGE: dict[str, tuple[Story, str]] = {
    "bad zone name": (diz(zone="a b"), "'a b' is not a zone name"),
    "reserved zone name": (diz(zone="global"), "reserved"),
    "SUNW zone name": (giz(zone="SUNWx"), "reserved"),
    "long zone name": (diz(zone="z" * 64), "64 bytes, and 63 are allowed"),
    "bad snapshot name": (diz(snapshot="a b"), "not a snapshot name"),
    "snapshot name with an @": (diz(snapshot="a@b"), "not a snapshot name"),
    "bad dataset name": (diz(datasets="rpool//x"), "not a dataset name"),
    "VNIC with a hyphen": (diz(vnics="build-0"), "not a link name"),
    "VNIC without a number": (diz(vnics="build"), "does not end in a number"),
    "VNIC with a leading zero": (diz(vnics="build01"), "does not end in a number"),
    "VLAN too large": (diz(over="net0|4095"), "not a VLAN id"),
    "bad MAC": (diz(over="net0||2:8:20"), "not a MAC address"),
    "relative mount": (diz(lofs="work"), "not an absolute path"),
    "mount with dots": (diz(lofs="/work|/export/../etc"), "'.' or '..'"),
    "mount over the root": (diz(lofs="/|/export"), "hide the zone's own root"),
    "mount with a quote": (diz(lofs='/wo"rk'), "quote or a control character"),
    "mount with an escape": (diz(lofs="/wo\x1brk"), "quote or a control character"),
    "the same mount twice": (diz(lofs="/a|/export /a|/export/home"), "named twice"),
    "bad user name": (diz(users="a:b"), "not a user or group name"),
    "mount over the system": (diz(lofs="/usr|/export"), "hide all that the zone has in /usr"),
    "mount in the kernel's tree": (diz(lofs="/dev/x|/export"), "hide the zone's own /dev/x"),
    "the same dataset twice": (diz(datasets="rpool/x rpool/x"), "named twice"),
    "multicast MAC": (diz(over="net0||ff:ff:ff:ff:ff:ff"), "multicast"),
    "snapshot like an option": (diz(snapshot="-x"), "take it for an option"),
    "empty command": (lambda lab: execute.Command("  "), "no command to run"),
    "command that is no text": (lambda lab: execute.Command("echo \udcff"), "bytes that are not UTF-8"),
    "endless command": (lambda lab: execute.Command("x" * 70_000), "longer than"),
    "variable that is no text": (lambda lab: execute.Command("true", env={"A": "\udcff"}), "the A has bytes"),
    "no time limit": (lambda lab: execute.Command("true", timeout=float("nan")), "no time limit"),
    "negative time limit": (lambda lab: execute.Command("true", timeout=-1), "no time limit"),
    "package with a quote": (giz(zone="x", packages=("a'b",)), "not a package name"),
}  # fmt: skip

HOST: dict[str, tuple[Story, str]] = {
    "lofs source missing": (diz(lofs="/work|/export/nowhere"), "no directory /export/nowhere"),
    "VNIC missing": (diz(vnics="nosuch0"), "no link nosuch0"),
    "VNIC over a missing link": (diz(over="nosuch0"), "no link nosuch0"),
    "unknown user": (diz(users="nobodyatall"), "no user nobodyatall"),
    "unknown group": (diz(groups="nobodyatall"), "no group nobodyatall"),
    "unknown user elevated": (diz(elevated="nobodyatall"), "no user nobodyatall"),
    "snapshot missing": (diz(snapshot="nosuch"), "no snapshot nosuch"),
    "snapshot of a golden image that does not exist": (diz(origin="nosuch", snapshot="x"), "no zone nosuch"),
    "dataset that inherits its mount point": (diz(datasets="rpool/export/home"), "is inherited"),
    "dataset in no pool": (diz(datasets="tank/x"), "no dataset tank"),
    "a whole pool": (diz(datasets="rpool"), "is a whole pool"),
    "the host's root": (diz(datasets="rpool/ROOT"), "the host's own root"),
    "below the host's root": (diz(datasets="rpool/ROOT/openindiana/x"), "the host's own root"),
    "the home of all zones": (diz(datasets="rpool/zones"), "where zones live"),
    "a golden image": (diz(datasets=f"rpool/zones/giz/{GOLDEN}"), "where zones live"),
    "in a golden image": (diz(datasets=f"rpool/zones/giz/{GOLDEN}/x"), "where zones live"),
    "its own home": (diz(datasets="rpool/zones/diz/build-1"), "where zones live"),
    "a volume": (diz(datasets="rpool/swap"), "is a volume"),
    "the host's own network card": (diz(vnics="net0"), "not a VNIC"),
    "name taken by a managed zone": (diz(zone=GOLDEN), "exists already .* managed by zonemgr"),
    "golden name taken": (giz(zone=GOLDEN), "exists already"),
    "unknown template": (giz(zone="x", template="nosuch"), "no zone template nosuch"),
    "unknown zone": (lambda lab: life.boot(lab.site(), "nosuch"), "no zone nosuch"),
    "unknown zone to destroy": (lambda lab: teardown.destroy(lab.site(), "nosuch"), "no zone nosuch"),
    "unknown zone to run in": (
        lambda lab: execute.in_zone(lab.site(), "nosuch", execute.Command("true")), "no zone nosuch",
    ),
    "unknown snapshot to destroy": (
        lambda lab: snaps.destroy_snapshot(lab.site(), GOLDEN, "nosuch"), "no snapshot nosuch",
    ),
    "the served snapshot": (
        lambda lab: snaps.destroy_snapshot(lab.site(), GOLDEN, f"initial-postinstalled-{GOLDEN}"), "new clones",
    ),
    "rollback to nothing": (lambda lab: snaps.rollback(lab.site(), GOLDEN, "nosuch"), "no snapshot nosuch"),
    "a disposable zone as origin of none": (diz(origin="nosuch", zone=GOLDEN), "exists already"),
}  # fmt: skip


@pytest.mark.parametrize("case", USAGE)
def test_what_cannot_be_meant(lab: Lab, case: str) -> None:
    _refused(lab, *USAGE[case], exit_code=2)


@pytest.mark.parametrize("case", HOST)
def test_what_the_host_does_not_have(lab: Lab, case: str) -> None:
    _refused(lab, *HOST[case], exit_code=1)


def _refused(lab: Lab, story: Story, text: str, *, exit_code: int) -> None:
    before = lab.everything()
    with pytest.raises(ZonemgrError, match=text) as refused:
        story(lab)
    assert refused.value.exit_code == exit_code
    assert refused.value.hint
    assert "\n" not in str(refused.value)
    same(before, lab.everything())


def test_a_foreign_zones_name_is_taken(lab: Lab) -> None:
    lab.run("zonecfg", "-z", "build-1", "create -b; set zonepath=/zones/theirs")
    _refused(lab, diz(), "exists already .* not made by zonemgr", exit_code=1)
    _refused(lab, lambda lab: teardown.destroy(lab.site(), "build-1"), "not made by zonemgr", exit_code=1)
    _refused(lab, lambda lab: life.boot(lab.site(), "build-1"), "not made by zonemgr", exit_code=1)


def test_a_dataset_of_that_name_is_somebody_elses(lab: Lab) -> None:
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="other"))
    lab.run("zfs", "create", "rpool/zones/diz/build-1")
    _refused(lab, diz(), "rpool/zones/diz/build-1", exit_code=1)


def test_a_directory_at_the_zonepath_is_somebody_elses(lab: Lab) -> None:
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="other"))
    (lab.world.host / "zones/diz/build-1").mkdir()
    _refused(lab, diz(), "directory /zones/diz/build-1", exit_code=1)


def test_a_running_golden_image_is_not_cloned(lab: Lab) -> None:
    lab.run("zoneadm", "-z", GOLDEN, "ready")
    _refused(lab, diz(), "ready, not installed", exit_code=1)


def test_a_half_made_golden_image_is_not_served(lab: Lab) -> None:
    lab.run("zfs", "inherit", "zonemgr:current", f"rpool/zones/giz/{GOLDEN}")
    _refused(lab, diz(), "no current snapshot", exit_code=1)


def test_a_disposable_zone_is_no_golden_image(lab: Lab) -> None:
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="other"))
    _refused(lab, diz(origin="other"), "a disposable zone, not a golden-image zone", exit_code=1)


def test_a_golden_image_with_clones_stays(lab: Lab) -> None:
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="other"))
    _refused(lab, lambda lab: teardown.destroy(lab.site(), GOLDEN), "has clones: other", exit_code=1)


def test_a_vnic_over_a_vnic_does_not_work(lab: Lab) -> None:
    lab.run("dladm", "create-vnic", "-t", "-l", "net0", "mine0")
    _refused(lab, diz(over="mine0"), "is a VNIC itself", exit_code=1)


def test_a_received_backup_that_claims_the_zonepath_is_noticed(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "canmount=off", "-o", f"mountpoint=/zones/giz/{GOLDEN}", "rpool/a-backup")
    _refused(lab, diz(), "rpool/a-backup has the mountpoint", exit_code=1)


def test_a_containment_dataset_elsewhere_is_noticed(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/elsewhere", "rpool/zones/diz")
    _refused(lab, diz(), "zones are to live in /zones/diz", exit_code=1)


@pytest.mark.parametrize(("user", "profile"), [("jim", "Zone Management"), ("builder", None)])
def test_pfexec_is_no_help_without_profiles(lab: Lab, user: str, profile: str | None) -> None:
    """pfexec runs a command unprivileged when no profile names it, so that has to be said beforehand."""
    lab.user = user
    if profile:
        _refused(lab, diz(), f"user {user} lacks the rights profile {profile}", exit_code=1)
    else:
        made = disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="build-1"))
        assert lab.run("zoneadm", "-z", made.zone, "list", "-p").split(":")[2] == "running"


def test_another_pool_cannot_hold_clones(lab: Lab) -> None:
    config = replace(lab.config, diz=replace(Config().diz, dataset="tank/diz"))
    before = lab.everything()
    with pytest.raises(ZonemgrError, match="pool"):
        disposable.create(lab.site(config=config), DisposableRequest(GOLDEN, zone="build-1"))
    same(before, lab.everything())


def test_a_zone_that_lost_one_of_its_mounts_neither_verifies_nor_boots(lab: Lab) -> None:
    """zoneadm verify exits 0: it goes by the last file system alone."""
    for name in ("one", "two"):
        (lab.world.host / f"export/{name}").mkdir()
        mount = f"add fs; set type=lofs; set dir=/{name}; set special=/export/{name}; end"
        assert lab.inside.run(("zonecfg", "-z", GOLDEN, mount)).exit_code == 0
    zoneadm.verify(lab.door(), ZoneName(GOLDEN))
    (lab.world.host / "export/one").rmdir()
    assert lab.inside.run(("zoneadm", "-z", GOLDEN, "verify")).exit_code == 0
    with pytest.raises(ZonemgrError, match="could not verify fs /one: could not access /export/one"):
        zoneadm.verify(lab.door(), ZoneName(GOLDEN))
    with pytest.raises(ZonemgrError) as failed:
        life.boot(lab.site(), GOLDEN)
    assert failed.value.hint == "make that directory on the host, or do not mount it"
    assert zoneadm.state(lab.door(), GOLDEN) is ZoneState.INSTALLED


@pytest.mark.parametrize(
    ("release", "why"),
    [("                       SmartOS 20250821T000000Z x86_64\n", "SmartOS: it has no IPS"),
     ("Tribblix m34\n", "Tribblix: the brands of its zones have no clone")],
)  # fmt: skip
def test_other_distributions_are_refused_by_name(lab: Lab, release: str, why: str) -> None:
    """With the reason, and not with advice to try the lab: this is an illumos host."""
    (lab.world.host / "etc/release").write_text(release)
    for story in (diz(), giz(zone="more"), lambda lab: host_setup.setup(lab.site())):
        _refused(lab, story, f"does not work on {why}", exit_code=1)
