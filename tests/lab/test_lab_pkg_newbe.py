"""pkg and the boot environments of zones: what a change leaves behind, inside a zone and from outside."""

from __future__ import annotations

import re

from tests.lab.stage import needs_namespaces
from tests.support import Lab
from zonemgr.lab.call import Finished

pytestmark = needs_namespaces

ACTIVE, PARENT = "org.opensolaris.libbe:active", "org.opensolaris.libbe:parentbe"
HOME = "rpool/zones/giz/tools"
ROOT = f"{HOME}/ROOT"


def inside(lab: Lab, line: str, zone: str = "tools") -> Finished:
    """A command in a zone, its own status at the end of stdout."""
    return lab.inside.run(("zlogin", "-S", zone, f"{line}; echo status=$?"))


def ends(lab: Lab, line: str, status: int, zone: str = "tools") -> Finished:
    ended = inside(lab, line, zone)
    assert ended.stdout.endswith(f"status={status}\n"), ended
    return ended


def boot(lab: Lab, zone: str = "tools") -> None:
    lab.run("zoneadm", "-z", zone, "boot")


def value(lab: Lab, dataset: str, prop: str) -> str:
    return lab.run("zfs", "get", "-H", "-o", "value", prop, dataset).strip()


def names(lab: Lab, top: str = ROOT, kind: str = "filesystem") -> list[str]:
    found = lab.run("zfs", "list", "-H", "-r", "-t", kind, "-o", "name", top).split()
    return [name.removeprefix(f"{top}/") for name in found if name != top]


def state(lab: Lab) -> tuple[object, str]:
    """Datasets with all their properties, and what is installed."""
    return lab.everything()["zfs"], lab.run("pkg", "-R", "/zones/giz/tools/root", "list", "-Hv")


def mounted_on_root(lab: Lab) -> str:
    rows = (line.split() for line in lab.run("zfs", "mount").splitlines())
    return next(row[0] for row in rows if row[1] == "/zones/giz/tools/root")


def test_a_new_zbe_takes_all_snapshots_along_and_is_booted_next(each_lab: Lab) -> None:
    lab = each_lab
    before = names(lab, ROOT, "snapshot")
    was = ends_version(lab, "service/network/ssh")
    boot(lab)
    fmri = lab.publish("service/network/ssh", reboot=True)
    said = ends(lab, "pkg update", 0).stdout
    assert "       Create boot environment: Yes\n     Activate boot environment: Yes\n" in said
    assert "A clone of zbe exists and has been updated and activated.\n" in said
    assert "*** Reboot required ***\nNew BE: zbe-1\n" in said

    assert names(lab) == ["zbe", "zbe-1"]
    origin = value(lab, f"{ROOT}/zbe", "origin")
    assert re.fullmatch(rf"{ROOT}/zbe-1@\d{{4}}-\d\d-\d\d-\d\d:\d\d:\d\d", origin)
    assert value(lab, f"{ROOT}/zbe-1", "origin") == "-"
    after = names(lab, ROOT, "snapshot")
    assert after == [*(each.replace("zbe@", "zbe-1@") for each in before), origin.removeprefix(f"{ROOT}/")]
    for prop, old, new in ((ACTIVE, "off", "on"), ("canmount", "noauto", "noauto"), ("mounted", "yes", "no")):
        assert (value(lab, f"{ROOT}/zbe", prop), value(lab, f"{ROOT}/zbe-1", prop)) == (old, new)
    assert value(lab, f"{ROOT}/zbe", PARENT) == value(lab, f"{ROOT}/zbe-1", PARENT)
    assert value(lab, f"{ROOT}/zbe-1", "mountpoint") == "legacy"

    listed = ends(lab, "beadm list -H", 0).stdout.splitlines()
    assert [line.split(";")[:4] for line in listed[:2]] == [["zbe", "", "N", "/"], ["zbe-1", "", "R", ""]]
    assert was in ends(lab, "pkg list -Hv service/network/ssh", 0).stdout  # not before the reboot
    lab.run("zoneadm", "-z", "tools", "reboot")
    assert mounted_on_root(lab) == f"{ROOT}/zbe-1"
    assert fmri in ends(lab, "pkg list -Hv service/network/ssh", 0).stdout
    lab.run("zoneadm", "-z", "tools", "halt")
    assert (mounted_on_root(lab), ends_version(lab, "service/network/ssh")) == (f"{ROOT}/zbe-1", fmri)


def ends_version(lab: Lab, name: str) -> str:
    return lab.run("pkg", "-R", "/zones/giz/tools/root", "list", "-Hv", name).split()[0]


def test_halting_is_enough_for_the_new_zbe_to_be_mounted(lab: Lab) -> None:
    boot(lab)
    lab.publish("service/network/ssh", reboot=True)
    ends(lab, "pkg update", 0)
    assert mounted_on_root(lab) == f"{ROOT}/zbe"
    lab.run("zoneadm", "-z", "tools", "halt")
    assert mounted_on_root(lab) == f"{ROOT}/zbe-1"
    boot(lab)
    lab.publish("service/network/ssh", reboot=True)
    ends(lab, "pkg update", 0)
    assert names(lab) == ["zbe", "zbe-1", "zbe-2"]


def clone(lab: Lab, name: str) -> None:
    script = f"create -b; set zonepath=/zones/diz/{name}; set brand={lab_brand(lab)}; set ip-type=exclusive"
    lab.run("zfs", "create", "-p", "rpool/zones/diz")
    lab.run("zonecfg", "-z", name, script)
    lab.run("zoneadm", "-z", name, "clone", "tools")


def lab_brand(lab: Lab) -> str:
    return lab.run("zoneadm", "-z", "tools", "list", "-p").split(":")[5]


def test_disposable_zones_depend_on_the_new_zbe_afterwards(lab: Lab) -> None:
    clone(lab, "work")
    boot(lab)
    lab.publish("service/network/ssh", reboot=True)
    ends(lab, "pkg update", 0)
    assert value(lab, "rpool/zones/diz/work/ROOT/zbe", "origin") == f"{ROOT}/zbe-1@work_snap"


def test_a_zone_that_is_a_clone_cannot_activate_a_new_zbe_and_pkg_ends_with_0(lab: Lab) -> None:
    clone(lab, "work")
    boot(lab, "work")
    lab.publish("service/network/ssh", reboot=True)
    ended = ends(lab, "pkg update", 0, "work")
    assert (ended.stderr, "has been updated" in ended.stdout) == ("pkg: unable to activate zbe-1\n", False)
    top = "rpool/zones/diz/work/ROOT"
    assert (value(lab, f"{top}/zbe", ACTIVE), value(lab, f"{top}/zbe-1", ACTIVE)) == ("on", "-")
    assert value(lab, f"{top}/zbe", "origin").startswith(f"{top}/zbe-1@")  # so far it could be promoted
    assert value(lab, f"{top}/zbe-1", "origin") == f"{ROOT}/zbe@work_snap"
    assert value(lab, f"{top}/zbe-1", "mounted") == "yes"
    lab.run("zoneadm", "-z", "work", "halt")
    assert value(lab, f"{top}/zbe-1", "mounted") == "no"


def test_what_may_not_be_done_to_a_live_image(lab: Lab) -> None:
    boot(lab)
    lab.publish("service/network/ssh", reboot=True)
    before = state(lab)
    ended = ends(lab, "pkg update --deny-new-be", 5)
    assert ended.stderr == "\npkg update: The proposed operation cannot be performed on a live image.\n"
    ends(lab, "pkg update -n", 0)
    ends(lab, "pkg update --be-name zbe", 1)
    ends(lab, "pkg update --be-name a/b", 1)
    ended = ends(lab, "pkg update --require-new-be --deny-new-be", 2)
    assert ended.stderr.startswith(
        "pkg update: The '--require-new-be' and '--deny-new-be' options may not be combined.\n"
    )
    ends(lab, "pkg update --backup-be-name x --no-backup-be", 2)
    ends(lab, "pkg update --backup-be-name x --be-name y", 2)
    assert state(lab) == before


def test_names_for_boot_environments(lab: Lab) -> None:
    boot(lab)
    said = ends(lab, "pkg install --be-name mine gawk", 0).stdout
    assert "      Name of boot environment: mine\n" in said
    assert (names(lab), value(lab, f"{ROOT}/mine", ACTIVE)) == (["mine", "zbe"], "on")
    ended = ends(lab, "pkg install --be-name mine wget", 1)
    assert ended.stderr == "\npkg install: The boot environment 'mine' already exists.\n"
    lab.publish("shell/bash")
    ends(lab, "pkg update --backup-be-name before bash", 0)
    assert names(lab) == ["before", "mine", "zbe"]
    assert value(lab, f"{ROOT}/before", ACTIVE) == "-"


def test_an_update_in_place_keeps_a_backup_unless_told_not_to(lab: Lab) -> None:
    boot(lab)
    ends(lab, "pkg install gawk", 0)
    assert names(lab) == ["zbe"]
    for _ in range(2):
        lab.publish("shell/bash")
        assert "Create backup boot environment: Yes\n" in ends(lab, "pkg update", 0).stdout
    assert names(lab) == ["zbe", "zbe-backup-1", "zbe-backup-2"]
    assert value(lab, f"{ROOT}/zbe", ACTIVE) == "on"
    lab.publish("shell/bash")
    ends(lab, "pkg update --no-backup-be", 0)
    ends(lab, "pkg update", 4)
    assert len(names(lab)) == 3


def test_from_outside_the_root_is_changed_in_place_whatever_the_packages_say(each_lab: Lab) -> None:
    lab = each_lab
    fmri = lab.publish("service/network/ssh", reboot=True)
    datasets = names(lab, ROOT, "all")
    root = "/zones/giz/tools/root"
    for option in ("--be-name", "--backup-be-name"):
        ended = lab.inside.run(("pkg", "-R", root, "update", option, "x"))
        assert (ended.exit_code, "operating on a non-live image" in ended.stderr) == (1, True)
    said = lab.run("pkg", "-R", root, "update", "--require-new-be")
    assert "\nPackages to update: 1\n" in said
    assert ends_version(lab, "service/network/ssh") == fmri
    assert names(lab, ROOT, "all") == datasets
    assert lab.inside.run(("pkg", "-R", root, "update", "--deny-new-be")).exit_code == 4


def test_what_goes_wrong_on_the_way(lab: Lab) -> None:
    boot(lab)
    lab.publish("service/network/ssh", reboot=True)
    lab.world.put("fault.pkg-locked.tools", "1")
    ended = ends(lab, "pkg update", 7)
    assert "currently in use by another package client" in ended.stderr
    lab.world.put("fault.be", "copy")
    ended = ends(lab, "pkg update", 1)
    assert ended.stderr == "pkg update: Unable to clone the current boot environment.\n"
    assert names(lab) == ["zbe"]
    lab.world.put("fault.be", "activate")
    ended = ends(lab, "pkg update", 0)
    assert (ended.stderr, value(lab, f"{ROOT}/zbe", ACTIVE)) == ("pkg: unable to activate zbe-1\n", "on")


def test_the_success_of_doing_nothing_on_omnios(each_lab: Lab) -> None:
    boot(each_lab)
    ends(each_lab, "PKG_SUCCESS_ON_NOP=1 pkg update", 0 if each_lab.world.omnios else 4)


def test_unprivileged_users_of_a_zone_may_look_only(lab: Lab) -> None:
    boot(lab)
    before = state(lab)
    said = lab.inside.run(("zlogin", "-l", "adm", "tools", "pkg list -H bash; pkg install gawk; echo $?"))
    assert said.stdout.startswith("shell/bash ")
    assert said.stdout.endswith("\n1\n")
    assert "Insufficient access to complete the requested operation." in said.stderr
    assert state(lab) == before
