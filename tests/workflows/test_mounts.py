"""Directories of the host in a zone: no script may change them, and some are given away by no slip of the pen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, same
from zonemgr.errors import UsageError, ZonemgrError
from zonemgr.host import zonecfg
from zonemgr.model import ZoneName
from zonemgr.workflows import disposable, furnish, golden, life, modify, places
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.furnish import Wishes
from zonemgr.workflows.wanted import Drops

ZONE = "build-1"
# Every directory that a script writes to while a zone is made, and files it would find there.
WRITTEN = {
    "/etc/ssh": {"sshd_config": "PermitRootLogin yes\n", "ssh_host_rsa_key": "the host's\n"},
    "/etc/inet": {"hosts": "10.0.0.1 host\n", "netmasks": "mine\n", "static_routes-DEFAULT": "mine\n"},
    "/etc/default": {"init": "TZ=Europe/Prague\n"},
    "/etc/ipadm": {"ipadm.conf": "mine\n"},
    "/etc/dladm": {"datalink.conf": "mine\n"},
    "/etc/dhcp": {"net0.dhc": "lease\n", "duid": "duid\n"},
    "/etc/sudoers.d": {"admins": "ALL\n"},
    "/etc/skel": {".profile": "mine\n"},
    "/opt/local/etc/sudoers.d": {"admins": "ALL\n"},
    "/var/adm": {"messages": "log\n", "messages.0": "log\n"},
    "/var/log": {"syslog": "log\n", "syslog.0": "log\n"},
    "/var/ldap": {"ldap_client_file": "mine\n"},
    "/var/lib/dbus": {"machine-id": "0123\n"},
    "/export/home/builder": {".profile": "mine\n"},
}


def hostile(lab: Lab) -> str:
    """Directories of the host for all of WRITTEN, as the value of --mount-lofs."""
    words = []
    for number, (inside, files) in enumerate(WRITTEN.items()):
        folder = lab.world.host / f"export/given/{number}"
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text)
        words.append(f"{inside}|/export/given/{number}")
    return " ".join(words)


def given(lab: Lab) -> dict[str, Any]:
    """All that is known of these directories."""
    files = lab.everything()["files"]
    return {path: what for path, what in files.items() if path.startswith("/export/given")}


EVERYTHING = {
    "users": "builder",
    "elevated": "builder",
    "over": "net0",
    "tmpfs_size": "1G",
    "force_mount": True,
}


def test_no_script_meets_a_mount_while_a_zone_is_made(each_lab: Lab) -> None:
    mounts = hostile(each_lab)
    before = given(each_lab)
    disposable.create(each_lab.site(), DisposableRequest(GOLDEN, ZONE, lofs=mounts, **EVERYTHING))  # type: ignore[arg-type]
    assert given(each_lab) == before
    fs = zonecfg.export(each_lab.site().host, ZoneName(ZONE)).fs
    assert [f"{mount.dir}|{mount.special}" for mount in fs] == mounts.split()
    assert "hides" in " ".join(each_lab.report.notes)


def test_a_zone_without_programs_of_its_own_is_set_up_as_well(
    prepared: dict[str, Lab], tmp_path: Path
) -> None:
    """In the maintenance root of a sparse zone there is nothing to chroot to."""
    lab = prepared["omnios"].copy(tmp_path / "lab")
    golden.create(lab.site(), golden.GoldenRequest("lean", brand="sparse"))
    mounts = hostile(lab)
    before = given(lab)
    disposable.create(lab.site(), DisposableRequest("lean", ZONE, lofs=mounts, **EVERYTHING))  # type: ignore[arg-type]
    assert given(lab) == before
    root = lab.in_zone(ZONE, "/")
    assert "builder:x:101:" in (root / "etc/passwd").read_text()
    assert (root / "etc/nodename").read_text() == f"{ZONE}\n"
    assert f"localhost loghost {ZONE}" in (root / "etc/inet/hosts").read_text()
    assert "\tsize=" in (root / "etc/vfstab").read_text()
    assert not lab.report.warnings
    life.halt(lab.site(), ZONE)
    lab.world.close()


def test_nor_while_an_image_is_made(lab: Lab) -> None:
    mounts = hostile(lab)
    before = given(lab)
    wishes = Wishes(lofs=mounts, **EVERYTHING)  # type: ignore[arg-type]
    golden.create(lab.site(), golden.GoldenRequest("own", wishes=wishes))
    golden.create(lab.site(), golden.GoldenRequest("derived", origin=GOLDEN, wishes=wishes))
    assert given(lab) == before


@pytest.mark.parametrize("restart", [True, False])
def test_nor_while_a_zone_is_changed(lab: Lab, restart: bool) -> None:
    mounts = hostile(lab)
    before = given(lab)
    disposable.create(lab.site(), DisposableRequest(GOLDEN, ZONE, lofs=mounts, force_mount=True))
    if restart:
        modify.modify(
            lab.site(), ZONE, Wishes(users="builder", elevated="builder", over="net0"), restart=True
        )
        modify.modify(lab.site(), ZONE, None, Drops(users="builder"), restart=True)
    else:
        life.halt(lab.site(), ZONE)
        modify.modify(lab.site(), ZONE, Wishes(users="builder", elevated="builder", tmpfs_size="1G"))
        life.boot(lab.site(), ZONE)
    assert given(lab) == before
    fs = zonecfg.export(lab.site().host, ZoneName(ZONE)).fs
    assert sorted(f"{mount.dir}|{mount.special}" for mount in fs) == sorted(mounts.split())


def test_a_running_zone_that_has_the_hosts_etc_is_changed_when_it_is_down_only(lab: Lab) -> None:
    hostile(lab)
    request = DisposableRequest(GOLDEN, ZONE, lofs="/etc/ssh|/export/given/0", force_mount=True)
    disposable.create(lab.site(), request)
    before = lab.everything()
    with pytest.raises(ZonemgrError, match="/etc/ssh of zone build-1 is a directory of the host"):
        modify.modify(lab.site(), ZONE, Wishes(users="builder"))
    same(before, lab.everything())


def test_file_systems_of_a_template_are_not_mounted_while_an_image_is_set_up(lab: Lab) -> None:
    hostile(lab)
    mount = "add fs; set dir=/etc/ssh; set special=/export/given/0; set type=lofs; end"
    script = f"create -t OInlipkg; set zonepath=/zones/shared; {mount}"
    lab.run("zonecfg", "-z", "shared", script)
    before = lab.everything()
    request = golden.GoldenRequest("own", template="shared", wishes=Wishes(users="builder"))
    with pytest.raises(ZonemgrError, match="file system on /etc/ssh"):
        golden.create(lab.site(), request)
    same(before, lab.everything())


def test_a_mount_that_fails_at_boot_takes_the_zone_back(lab: Lab) -> None:
    """zoneadmd mounts it when the zone boots, after everything else went well."""
    before = lab.everything()
    lab.inside.fault(f"fail:zoneadm -z {ZONE} boot*,stderr=zone '{ZONE}': /work is a symlink")
    with pytest.raises(ZonemgrError, match="is a symlink"):
        disposable.create(lab.site(), DisposableRequest(GOLDEN, ZONE, lofs="/work|/export/src", over="net0"))
    same(before, lab.everything())


# -- what is refused ---------------------------------------------------------------------------------------------

HIDING = (
    "/etc", "/etc/ssh", "/etc/svc/volatile", "/lib", "/lib/svc", "/sbin", "/sbin/x", "/kernel/drv", "/dev", "/dev/x",
    "/proc/1", "/system/contract", "/var/svc", "/var/svc/log", "/var/pkg/cache", "/usr", "/usr/lib", "/var", "/opt",
    "/root", "/var/adm", "/var/log", "/var/run", "/var/tmp", "/bin", "/platform/i86pc", "/export", "/home",
)  # fmt: skip
FREE = ("/usr/local", "/opt/x", "/var/tmp/x", "/usr/lib/mine", "/export/home", "/export/home/x", "/work", "/etcetera",
        "/var/adm/x", "/root/x", "/libs", "/srv")  # fmt: skip


@pytest.mark.parametrize("inside", HIDING)
def test_a_mount_over_what_the_system_uses_must_be_asked_for(inside: str) -> None:
    for wishes in ({"lofs": f"{inside}|/src"}, {"clones": f"rpool/src|{inside}"}):
        with pytest.raises(UsageError, match=f"would hide .*{inside}") as refused:
            furnish.parse(Wishes(**wishes), tag="a")
        assert "--force-mount" in str(refused.value.hint)
        things = furnish.parse(Wishes(force_mount=True, **wishes), tag="a")
        assert [mount.inside for mount in things.lofs] in ([inside], [])
    assert furnish.parse(Wishes(lofs=f"{inside}|/src", force_mount=True), tag="a").hidden


@pytest.mark.parametrize("inside", FREE)
def test_a_mount_elsewhere_is_nobodys_business(inside: str) -> None:
    things = furnish.parse(Wishes(lofs=f"{inside}|/src"), tag="a")
    assert [mount.inside for mount in things.lofs] == [inside] and not things.hidden


@pytest.mark.parametrize("inside", ["/", "/tmp", "/tmp/x"])
def test_what_cannot_work_is_refused_all_the_same(inside: str) -> None:
    with pytest.raises(UsageError):
        furnish.parse(Wishes(lofs=f"{inside}|/src", force_mount=True), tag="a")


VITAL = ("/", "/zones", "/zones/giz", "/zones/diz", f"/zones/giz/{GOLDEN}", f"/zones/giz/{GOLDEN}/root",
         "/export/a-link", "/export/way/to/zones", "/zones/other")  # fmt: skip


def _vital(lab: Lab) -> None:
    host: Path = lab.world.host
    (host / "zones/diz").mkdir(parents=True, exist_ok=True)
    (host / "var/lib/zonemgr").mkdir(parents=True, exist_ok=True)
    (host / "export/a-link").symlink_to("../zones")
    (host / "export/way").mkdir()
    (host / "export/way/to").symlink_to("../../")
    (host / "zones/other").mkdir()
    lab.run("zonecfg", "-z", "other", "create -b; set zonepath=/zones/other; set brand=ipkg")


def test_what_zones_and_records_lie_in_is_had_read_only_or_not_at_all(lab: Lab) -> None:
    _vital(lab)
    before = lab.everything()
    for directory in VITAL:
        with pytest.raises(ZonemgrError, match="root in the zone could change all of it"):
            disposable.create(lab.site(), DisposableRequest(GOLDEN, ZONE, lofs=f"/work|{directory}"))
    same(before, lab.everything())


def test_nor_the_state_directory_and_what_is_above_it(lab: Lab) -> None:
    _vital(lab)
    vital = places.vital(lab.site().host, (), "/var/lib/zonemgr/")
    for directory in ("/var", "/var/lib", "/var/lib/zonemgr", "/var/lib/zonemgr/runs"):
        with pytest.raises(ZonemgrError, match="records of zonemgr"):
            places.check_source(lab.site().host, directory, "/work", vital)
    places.check_source(lab.site().host, "/var/lib/other", "/work", vital)


def test_read_only_it_is_had(lab: Lab) -> None:
    _vital(lab)
    disposable.create(
        lab.site(), DisposableRequest(GOLDEN, ZONE, lofs="/work|/var/lib|ro /src|/export/src|rw")
    )
    fs = zonecfg.export(lab.site().host, ZoneName(ZONE)).fs
    assert [(mount.dir, mount.options) for mount in fs] == [
        ("/work", ("ro", "nodevices")),
        ("/src", ("nodevices",)),
    ]
    with pytest.raises(UsageError, match="no way to mount"):
        furnish.parse(Wishes(lofs="/work|/src|readonly"), tag="a")
