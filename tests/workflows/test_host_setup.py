"""Stories of `zonemgr setup`: a host on its first day, one that is ready, and users who may or may not."""

from __future__ import annotations

import grp
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import Lab, same
from zonemgr.errors import CommandError, NotThere
from zonemgr.workflows import golden, host_setup
from zonemgr.workflows.host_setup import MADE, MISSING, OK, TO_MAKE, Item

MINE = grp.getgrgid(os.getegid()).gr_name


def states(items: list[Item]) -> dict[str, str]:
    return {item.what: item.state for item in items}


def rights(lab: Lab, user: str) -> list[str]:
    return lab.run("profiles", user, ok=False).split("\n")[1:]


def test_a_new_host_gets_everything_once(fresh: Lab) -> None:
    made = host_setup.setup(fresh.site(), group=MINE, user="jim")
    assert set(states(made).values()) == {MADE}
    assert (fresh.world.host / "etc/zonemgr").is_dir()
    told = fresh.run(
        "zfs", "get", "-H", "-o", "value", "compression,atime,dedup,com.sun:auto-snapshot", "rpool/zones/giz"
    )
    assert told.split() == ["gzip-9", "off", "off", "false"]
    assert fresh.run("zfs", "get", "-H", "-o", "value", "compression", "rpool/zones/diz").strip() == "zle"
    assert {"Zone Management", "Process Management", "Network Link Security"} <= {
        line.strip() for line in rights(fresh, "jim")
    }
    before = fresh.everything()
    again = host_setup.setup(fresh.site(), group=MINE, user="jim")
    assert set(states(again).values()) == {OK}
    same(before, fresh.everything())
    assert golden.create(fresh.site(), golden.GoldenRequest(zone="tools")).zone == "tools"


def test_the_state_directory_is_shared_by_its_group(fresh: Lab) -> None:
    """Setgid, so that a lock that root made is the group's."""
    host_setup.setup(fresh.site(), group=MINE)
    top = Path(fresh.config.state.directory)
    for folder in (top, top / "locks", top / "runs"):
        assert folder.stat().st_gid == os.getegid()
        assert folder.stat().st_mode & (stat.S_ISGID | stat.S_IRWXG) == stat.S_ISGID | stat.S_IRWXG
    (top / "locks").chmod(0o755)
    items = host_setup.setup(fresh.site(dry_run=True), group=MINE)
    assert items[0] == Item("state directory", str(top), TO_MAKE, f"{top}/locks has not the mode g+rwxs")
    assert f"chgrp {MINE} {top} " in fresh.report.notes[-1] and "chmod g+ws" in fresh.report.notes[-1]
    assert (
        states(host_setup.setup(fresh.site()))["state directory"] == OK
    )  # of one alone, that is for nobody else
    assert states(host_setup.setup(fresh.site(), group=MINE))["state directory"] == MADE


def test_a_dry_run_shows_and_changes_nothing(fresh: Lab) -> None:
    before = fresh.everything()
    items = host_setup.setup(fresh.site(dry_run=True), group=MINE, user="jim")
    assert set(states(items).values()) == {TO_MAKE}
    assert not Path(fresh.config.state.directory).exists()
    same(before, fresh.everything())


def test_who_is_not_root_is_told_what_root_must_do(fresh: Lab) -> None:
    fresh.user = "builder"
    items = {item.what: item for item in host_setup.setup(fresh.site(), group=MINE, user="jim")}
    assert items["settings"] == Item("settings", "/etc/zonemgr", MISSING, "as root: mkdir /etc/zonemgr")
    assert items["giz dataset"].state == items["diz dataset"].state == MADE
    profiles = (
        "Zone Management,Zone Security,ZFS File System Management,Network Link Security,Software Installation"
    )
    assert items["rights profiles"].state == MISSING
    assert items["rights profiles"].why.endswith(f"as root: usermod -P '{profiles},Process Management' jim")
    assert not (fresh.world.host / "etc/zonemgr").exists()


def test_who_has_no_rights_at_all_is_told_all_of_it(fresh: Lab) -> None:
    fresh.user = "jim"
    before = fresh.everything()
    items = host_setup.setup(fresh.site(), group=MINE)
    assert states(items) == {
        "state directory": MADE, "settings": MISSING, "giz dataset": MISSING, "diz dataset": MISSING,
    }  # fmt: skip
    assert "ZFS File System Management" in items[-1].why
    same(before, fresh.everything())


def test_profiles_of_a_users_own_stay(fresh: Lab) -> None:
    """usermod -P replaces the list: what the user has is named again; and Primary Administrator needs no other."""
    fresh.run("usermod", "-P", "Log Management,Zone Management", "jim")
    host_setup.setup(fresh.site(), group=MINE, user="jim")
    assert [line.strip() for line in rights(fresh, "jim")][:3] == [
        "Log Management",
        "Zone Management",
        "Zone Security",
    ]
    fresh.run("usermod", "-P", "Primary Administrator", "jim")
    assert states(host_setup.setup(fresh.site(), group=MINE, user="jim"))["rights profiles"] == OK


def test_groups_of_a_users_own_stay(fresh: Lab) -> None:
    fresh.run("usermod", "-G", "adm", "jim")
    host_setup.setup(fresh.site(), group=MINE, user="jim")
    members = [line for line in (fresh.world.host / "etc/group").read_text().splitlines() if "jim" in line]
    assert sorted(line.partition(":")[0] for line in members) == sorted(["adm", MINE])


def test_unknown_users_and_groups_are_refused_before_anything(fresh: Lab) -> None:
    before = fresh.everything()
    with pytest.raises(NotThere, match="no user nobodyatall"):
        host_setup.setup(fresh.site(), user="nobodyatall")
    with pytest.raises(NotThere, match="no group nobodyatall"):
        host_setup.setup(fresh.site(), group="nobodyatall")
    same(before, fresh.everything())


def test_other_settings_tune_what_zonemgr_made_and_name_what_it_did_not(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/zones/diz", "rpool/zones/diz")
    config = replace(lab.config, giz=replace(lab.config.giz, compression="lz4"))
    items = {item.what: item for item in host_setup.setup(lab.site(config=config))}
    assert items["giz dataset"].state == MADE
    assert lab.run("zfs", "get", "-H", "-o", "value", "compression", "rpool/zones/giz").strip() == "lz4"
    assert items["diz dataset"].state == OK
    assert "not made by zonemgr" in items["diz dataset"].why and "compression=zle" in items["diz dataset"].why
    assert lab.run("zfs", "get", "-H", "-o", "value", "compression", "rpool/zones/diz").strip() != "zle"


def test_a_dataset_mounted_elsewhere_is_named(lab: Lab) -> None:
    lab.run("zfs", "create", "-o", "mountpoint=/elsewhere", "rpool/zones/diz")
    items = {item.what: item for item in host_setup.setup(lab.site())}
    assert items["diz dataset"].state == MISSING
    assert "zfs set mountpoint=/zones/diz rpool/zones/diz" in items["diz dataset"].why


def test_what_cannot_be_made_takes_the_rest_back(fresh: Lab) -> None:
    host_setup.setup(fresh.site(dry_run=True))
    before = fresh.everything()
    fresh.fails(
        "usermod *", stderr="UX: usermod: ERROR: Cannot update system files - login cannot be modified.\n"
    )
    with pytest.raises(CommandError, match="Cannot update system files"):
        host_setup.setup(fresh.site(), group=MINE, user="jim")
    same(before, fresh.everything())
