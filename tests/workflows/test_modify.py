"""Stories of zones that are changed: what is there at once, at the next boot, and when it goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, in_child, same
from zonemgr.errors import CommandError, UsageError, ZonemgrError
from zonemgr.host.zonescript import parse_export
from zonemgr.model import ZoneSettings
from zonemgr.workflows import disposable, execute, job, life, modify, snaps, teardown
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.furnish import Wishes
from zonemgr.workflows.wanted import Drops

HOME = "rpool/zones/diz/build-1"
SCRATCH = "rpool/export/scratch"
MANY = Wishes(
    lofs="/more|/export/more", over="net0", datasets=SCRATCH, quota="10G", cap_memory="1G", cap_swap="2G",
    cap_cpu="1.5", cpu_shares="20", max_processes="500",
)  # fmt: skip


@pytest.fixture
def zone(lab: Lab) -> Lab:
    """A running zone with a mount, a VNIC and a user."""
    return _zone(lab)


@pytest.fixture
def each_zone(each_lab: Lab) -> Lab:
    return _zone(each_lab)


def _zone(lab: Lab) -> Lab:
    (lab.world.host / "export/more").mkdir()
    disposable.create(
        lab.site(),
        DisposableRequest(GOLDEN, zone="build-1", lofs="/work|/export/src", over="net0", users="builder"),
    )
    return lab


def settings(lab: Lab, zone: str = "build-1") -> ZoneSettings:
    return parse_export(lab.run("zonecfg", "-z", zone, "export"))


def state(lab: Lab) -> str:
    return lab.run("zoneadm", "-z", "build-1", "list", "-p").split(":")[2]


def vnics(lab: Lab) -> list[str]:
    return lab.run("dladm", "show-vnic", "-p", "-o", "link").split()


def datasets(lab: Lab) -> list[str]:
    return lab.run("zfs", "list", "-H", "-o", "name").split()


def users(lab: Lab) -> list[str]:
    return [line.split(":")[0] for line in lab.in_zone("build-1", "/etc/passwd").read_text().splitlines()]


def seen(lab: Lab, command: str) -> str:
    """What a command in the zone prints."""
    execute.in_zone(lab.site(), "build-1", execute.Command(f"{command} > /root/seen 2>&1", discard="off"))
    return lab.in_zone("build-1", "/root/seen").read_text()


def change(
    lab: Lab, wishes: Wishes | None = None, drops: Drops | None = None, *, restart: bool = False
) -> None:
    modify.modify(lab.site(), "build-1", wishes, drops, restart=restart)


# -- what is given -------------------------------------------------------------------------------------------------


def test_a_halted_zone_has_it_all_at_its_next_boot_and_stays_halted(each_zone: Lab) -> None:
    life.halt(each_zone.site(), "build-1")
    change(each_zone, MANY, restart=True)
    assert state(each_zone) == "installed"
    found = settings(each_zone)
    assert {fs.dir for fs in found.fs} == {"/work", "/more"} and found.dataset == (SCRATCH,)
    limits = {one.name: one.values[0][1] for one in found.rctl}
    assert limits["zone.cpu-cap"] == "150" and limits["zone.max-swap"] == str(2 << 30)
    assert limits["zone.cpu-shares"] == "20" and limits["zone.max-processes"] == "500"
    assert each_zone.run("zfs", "get", "-H", "-o", "value", "quota", HOME).strip() == "10G"
    assert len(vnics(each_zone)) == 2
    life.start(each_zone.site(), "build-1")
    assert seen(each_zone, "ipadm show-addr -p -o addrobj,type,state").count(":dhcp:ok") == 2


def test_a_running_zone_goes_on_and_restart_brings_it_at_once(zone: Lab) -> None:
    (zone.world.host / "export/more/file").write_text("here\n")
    change(zone, MANY)
    assert state(zone) == "running" and "here" not in seen(zone, "cat /more/file")
    change(zone, Wishes(cap_swap="3G"), restart=True)
    assert state(zone) == "running" and "here" in seen(zone, "cat /more/file")


def test_accounts_come_at_once_to_a_running_zone(zone: Lab) -> None:
    zone.run("useradd", "-u", "2001", "-d", "/export/home/new", "newcomer", ok=False)
    passwd = zone.world.host / "etc/passwd"
    if "newcomer" not in passwd.read_text():
        passwd.write_text(passwd.read_text() + "newcomer:x:2001:10::/export/home/newcomer:/bin/sh\n")
    before = {path.name for path in zone.in_zone("build-1", "/etc").iterdir()}
    change(zone, Wishes(users="newcomer", elevated="builder"))
    assert "newcomer" in users(zone) and state(zone) == "running"
    assert "builder::::" in zone.in_zone("build-1", "/etc/user_attr").read_text()
    after = {path.name for path in zone.in_zone("build-1", "/etc").iterdir()}
    assert not [name for name in after - before if "zonemgr" in name]


def test_automounts_and_the_size_of_tmp_come_and_go(zone: Lab) -> None:
    change(zone, Wishes(autonfs="/mnt/src|filer:/export/src", tmpfs_size="64M"))
    assert "filer:/export/src" in zone.in_zone("build-1", "/etc/auto_direct").read_text()
    assert "size=64m" in zone.in_zone("build-1", "/etc/vfstab").read_text()
    change(zone, None, Drops(autonfs="/mnt/src", tmpfs_size=True))
    assert "filer" not in zone.in_zone("build-1", "/etc/auto_direct").read_text()
    assert "size=" not in zone.in_zone("build-1", "/etc/vfstab").read_text()
    with pytest.raises(ZonemgrError, match="no automount on /mnt/src"):
        change(zone, None, Drops(autonfs="/mnt/src"))


def test_what_was_given_goes_with_the_zone(zone: Lab) -> None:
    change(zone, MANY)
    teardown.destroy(zone.site(), "build-1")
    assert vnics(zone) == [] and SCRATCH not in datasets(zone)


# -- what is taken -------------------------------------------------------------------------------------------------


def test_a_user_group_and_rights_go_from_every_file(each_zone: Lab) -> None:
    change(each_zone, Wishes(elevated="builder"))
    change(each_zone, None, Drops(elevated="builder"))
    assert "Primary Administrator" not in each_zone.in_zone("build-1", "/etc/user_attr").read_text()
    change(each_zone, None, Drops(users="builder"))
    for file in ("passwd", "shadow", "group", "user_attr"):
        assert "builder:" not in each_zone.in_zone("build-1", f"/etc/{file}").read_text()
    life.halt(each_zone.site(), "build-1")
    change(each_zone, Wishes(users="builder"))
    assert "builder" in users(each_zone) and state(each_zone) == "installed"
    assert snaps.listing(each_zone.site().host, "build-1") == []


def test_what_a_running_zone_uses_goes_when_it_is_halted(zone: Lab) -> None:
    change(zone, Wishes(datasets=SCRATCH), restart=True)
    own = vnics(zone)
    change(zone, None, Drops(vnics=own[0], datasets=SCRATCH, lofs="/work"))
    assert vnics(zone) == own and SCRATCH in datasets(zone)
    assert not settings(zone).net and not settings(zone).attribute("zonemgr.autovnic")
    life.halt(zone.site(), "build-1")
    assert vnics(zone) == [] and SCRATCH not in datasets(zone)
    life.start(zone.site(), "build-1")


def test_restart_removes_it_at_once_and_destroy_does_not_forget_it(zone: Lab) -> None:
    first = vnics(zone)[0]
    change(zone, Wishes(over="net0", datasets=SCRATCH), Drops(vnics=first), restart=True)
    assert first not in vnics(zone) and len(vnics(zone)) == 1
    change(zone, None, Drops(vnics=vnics(zone)[0], datasets=SCRATCH))
    teardown.destroy(zone.site(), "build-1")
    assert vnics(zone) == [] and SCRATCH not in datasets(zone)


def test_what_was_there_before_stays_on_the_host(zone: Lab) -> None:
    zone.run("zfs", "create", "-o", "mountpoint=none", "rpool/export/mine")
    zone.run("dladm", "create-vnic", "-t", "-l", "net0", "mine0")
    life.halt(zone.site(), "build-1")
    change(zone, Wishes(datasets="rpool/export/mine", vnics="mine0"))
    change(zone, None, Drops(datasets="rpool/export/mine", vnics="mine0"))
    assert "rpool/export/mine" in datasets(zone) and "mine0" in vnics(zone)
    assert any("stays on the host" in text for text in zone.report.notes)


def test_limits_come_and_go_and_leave_nothing(each_zone: Lab) -> None:
    life.halt(each_zone.site(), "build-1")
    before = settings(each_zone)
    change(each_zone, Wishes(cap_memory="1G", cap_swap="2G", cap_cpu="2", cpu_shares="7", quota="20G"))
    change(each_zone, Wishes(cap_memory="2G"))
    assert {one.values[0][1] for one in settings(each_zone).rctl if one.name == "zone.max-swap"} == {
        str(2 << 30)
    }
    change(each_zone, None, Drops(cap_memory=True, cap_swap=True, cap_cpu=True, cpu_shares=True, quota=True))
    assert settings(each_zone) == before
    assert each_zone.run("zfs", "get", "-H", "-o", "value", "quota", HOME).strip() == "none"


def test_a_clone_of_a_dataset_comes_and_goes(zone: Lab) -> None:
    zone.run("zfs", "create", "-o", "mountpoint=/export/tree", "rpool/export/tree")
    before = datasets(zone)
    life.halt(zone.site(), "build-1")
    change(zone, Wishes(clones="rpool/export/tree|/tree"))
    assert [fs.dir for fs in settings(zone).fs if fs.type == "zfs"] == ["/tree"]
    snaps.snapshot(zone.site(), "build-1", "clean")
    snaps.rollback(zone.site(), "build-1", "clean")
    snaps.destroy_snapshot(zone.site(), "build-1", "clean")
    change(zone, None, Drops(clones="rpool/export/tree"))
    assert datasets(zone) == before
    assert zone.run("zfs", "list", "-H", "-r", "-t", "snapshot", "-o", "name", "rpool/export/tree") == ""


def test_a_clone_goes_without_another_that_was_asked_for_by_itself(zone: Lab) -> None:
    zone.run("zfs", "create", "-p", "rpool/export/tree/kid")
    change(zone, Wishes(clones="rpool/export/tree|/tree"), restart=True)
    change(zone, Wishes(clones="rpool/export/tree/kid|/kid"), restart=True)
    change(zone, None, Drops(clones="rpool/export/tree"), restart=True)
    assert [fs.dir for fs in settings(zone).fs if fs.type == "zfs"] == ["/kid"]
    change(zone, None, Drops(clones="rpool/export/tree/kid"), restart=True)
    assert not [fs.dir for fs in settings(zone).fs if fs.type == "zfs"]


def test_drop_and_add_in_one_command_replaces(zone: Lab) -> None:
    life.halt(zone.site(), "build-1")
    change(zone, Wishes(lofs="/work|/export/more"), Drops(lofs="/work"))
    assert [(fs.dir, fs.special) for fs in settings(zone).fs] == [("/work", "/export/more")]


# -- refusals: nothing is changed ----------------------------------------------------------------------------------


REFUSED = [
    (MANY, Drops(lofs="/nosuch"), "has no mount on /nosuch"),
    (MANY, Drops(vnics="nosuch0"), "has no VNIC nosuch0"),
    (MANY, Drops(datasets="rpool/nosuch"), "has no dataset rpool/nosuch"),
    (MANY, Drops(cap_cpu=True), "has no --cap-cpu to drop"),
    (MANY, Drops(quota=True), "has no --quota to drop"),
    (MANY, Drops(users="root"), "root stays"),
    (Wishes(over="net0", cap_cpu="2"), Drops(users="adm"), "user adm belongs to the system"),
    (
        Wishes(over="net0", lofs="/more|/export/more"),
        Drops(users="stranger"),
        "there is no user stranger",
    ),
    (Wishes(lofs="/work|/export/more"), Drops(), "has a mount on /work already"),
    (Wishes(lofs="/x|/export/nosuch", over="net0"), Drops(), "no directory /export/nosuch"),
    (Wishes(users="stranger", over="net0"), Drops(), "stranger"),
    (Wishes(), Drops(), "what is to change"),
]


def test_nothing_is_changed_when_a_part_cannot_be(zone: Lab) -> None:
    before = zone.everything()
    for wishes, drops, message in REFUSED:
        with pytest.raises(ZonemgrError, match=message):
            change(zone, wishes, drops)
        same(before, zone.everything())


def test_a_golden_image_takes_what_is_its_own_only(lab: Lab) -> None:
    with pytest.raises(ZonemgrError, match="would not reach its clones"):
        modify.modify(lab.site(), GOLDEN, Wishes(users="builder"))
    modify.modify(lab.site(), GOLDEN, Wishes(lofs="/work|/export/src", cap_cpu="2"))
    assert [fs.dir for fs in settings(lab, GOLDEN).fs] == ["/work"]
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="build-1"))
    assert not settings(lab).fs


# -- trouble -------------------------------------------------------------------------------------------------------


def test_a_set_up_that_fails_takes_everything_back(zone: Lab) -> None:
    before = zone.everything()
    zone.fails("zlogin*", stderr="broken", at=3)
    with pytest.raises(ZonemgrError):
        change(
            zone,
            Wishes(over="net0", cap_memory="1G", users="builder", elevated="builder"),
            Drops(users="builder"),
        )
    same(before, zone.everything())


def test_a_zone_that_does_not_boot_with_it_is_as_it_was_and_runs(zone: Lab) -> None:
    before = settings(zone)
    zone.inside.fault("fail:zoneadm -z build-1 boot*,stderr=broken")
    with pytest.raises(CommandError):
        change(zone, Wishes(lofs="/more|/export/more", users="builder"), Drops(lofs="/work"), restart=True)
    assert settings(zone) == before and state(zone) == "running"
    assert snaps.listing(zone.site().host, "build-1") == []


def test_a_kill_in_the_middle_is_undone(zone: Lab, tmp_path: Path) -> None:
    life.halt(zone.site(), "build-1")
    before = settings(zone), datasets(zone), vnics(zone), users(zone)
    zone.inside.fault("kill-caller-after:zlogin*")
    in_child(
        lambda: change(Lab(type(zone.world)(zone.world.dir)), MANY, Drops(users="builder")), tmp_path / "out"
    )
    job.recover_all(zone.site())
    assert (settings(zone), datasets(zone), vnics(zone), users(zone)) == before
    assert state(zone) == "installed"


@pytest.mark.parametrize("place", ["/export/home/jim", "/export/home/jim/ws", "/export/home"])
def test_undoing_touches_nothing_of_the_host_that_is_mounted_by_now(
    zone: Lab, tmp_path: Path, place: str
) -> None:
    """The home was not there when the change began; by the time of the undo the zone was booted with the mount."""
    precious = zone.world.host / "export/more/jim/ws"
    precious.mkdir(parents=True)
    (precious / "file").write_text("gold")
    zone.inside.fault("kill-caller-after@2:zlogin*")
    wishes = Wishes(users="jim", lofs=f"{place}|/export/more")
    in_child(lambda: change(Lab(type(zone.world)(zone.world.dir)), wishes), tmp_path / "out")
    zone.run("zoneadm", "-z", "build-1", "reboot")
    zone.world.advance(600)
    job.recover_all(zone.site())
    assert (precious / "file").read_text() == "gold"
    assert place not in {mount.dir for mount in settings(zone).fs}
    assert "jim" not in users(zone)


def test_what_was_dropped_goes_with_the_next_halt_of_whatever_kind(zone: Lab) -> None:
    for stops in (life.restart, life.reboot, snaps.snapshot):
        change(zone, Wishes(datasets=SCRATCH))
        assert SCRATCH in datasets(zone)
        life.restart(zone.site(), "build-1")
        change(zone, None, Drops(datasets=SCRATCH))
        assert SCRATCH in datasets(zone), "the zone still has it"
        stops(zone.site(), "build-1")
        assert SCRATCH not in datasets(zone)
        assert state(zone) == "running"


@pytest.mark.parametrize(
    "drops", [Drops(users="builder"), Drops(elevated="builder")], ids=["account", "rights"]
)
def test_rights_for_what_goes_are_a_mistake(zone: Lab, drops: Drops) -> None:
    before = zone.everything()
    with pytest.raises(UsageError, match="builder cannot be elevated and dropped at once"):
        change(zone, Wishes(elevated="builder"), drops)
    same(before, zone.everything())


def test_what_was_dropped_can_be_given_back_while_it_is_there(zone: Lab) -> None:
    change(zone, Wishes(datasets=SCRATCH), restart=True)
    change(zone, None, Drops(datasets=SCRATCH))
    change(zone, Wishes(datasets=SCRATCH))
    life.restart(zone.site(), "build-1")
    assert SCRATCH in datasets(zone) and settings(zone).dataset == (SCRATCH,)
    teardown.destroy(zone.site(), "build-1")
    assert SCRATCH not in datasets(zone)


def test_a_zone_that_went_down_in_the_middle_gets_its_files_back_all_the_same(
    zone: Lab, tmp_path: Path
) -> None:
    before = settings(zone), users(zone)
    zone.inside.fault("kill-caller-after@3:zlogin*")  # kept, dropped, and set up anew
    wishes, drops = Wishes(users="builder", elevated="builder", cap_cpu="2"), Drops(users="builder")
    in_child(lambda: change(Lab(type(zone.world)(zone.world.dir)), wishes, drops), tmp_path / "out")
    assert "builder::::" in zone.in_zone("build-1", "/etc/user_attr").read_text()
    zone.run("zoneadm", "-z", "build-1", "halt")
    job.recover_all(zone.site())
    assert (settings(zone), users(zone)) == before and state(zone) == "installed"
    assert "builder::::" not in zone.in_zone("build-1", "/etc/user_attr").read_text()
