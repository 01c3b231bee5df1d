"""Stories about ZFS on the lab's host: contents, mount points, refusals, and what a fresh lab has."""

from __future__ import annotations

import io
import json
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from zfslab import Host, disorder

from zonemgr.lab import world as worlds
from zonemgr.lab import zfs as lab_zfs

ENTRY = "rpool/t"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    opened = Host(worlds.create(tmp_path / "lab"))
    opened.does("zfs create rpool/t")
    yield opened
    assert disorder(opened.world) == []
    opened.world.close()


# -- the first day -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flavour", "be"), [("openindiana", "openindiana"), ("omnios", "omnios")])
def test_a_fresh_host_has_its_root_pool(tmp_path: Path, flavour: str, be: str) -> None:
    host = Host(worlds.create(tmp_path / "lab", flavour=flavour))
    listed = host.does("zfs list -H -o name,type,mountpoint,mounted,canmount").splitlines()
    assert [line.split("\t") for line in listed] == [
        ["rpool", "filesystem", "/rpool", "yes", "on"],
        ["rpool/ROOT", "filesystem", "legacy", "no", "on"],
        [f"rpool/ROOT/{be}", "filesystem", "/", "yes", "noauto"],
        ["rpool/dump", "volume", "-", "-", "-"],
        ["rpool/export", "filesystem", "/export", "yes", "on"],
        ["rpool/export/home", "filesystem", "/export/home", "yes", "on"],
        ["rpool/swap", "volume", "-", "-", "-"],
    ]
    assert len(host.get("org.opensolaris.libbe:uuid", f"rpool/ROOT/{be}")) == 36
    assert host.does("zpool get -H -o value bootfs rpool") == f"rpool/ROOT/{be}\n"
    assert lab_zfs.mounted_at(host.world, "/export/home") == "rpool/export/home"
    assert lab_zfs.mounted_at(host.world, "/export/home/x") is None
    assert host.does("zfs list -H -o name /etc") == f"rpool/ROOT/{be}\n"
    assert host.fails("umount /") == "cannot unmount '/': Device busy\n"


def test_two_labs_have_nothing_in_common(tmp_path: Path) -> None:
    one, other = (Host(worlds.create(tmp_path / name)) for name in ("one", "other"))
    one.does("zfs create rpool/only-here")
    assert "rpool/only-here" not in other.names("rpool")
    be = "rpool/ROOT/openindiana"
    uuid = "org.opensolaris.libbe:uuid"
    assert one.get(uuid, be) != other.get(uuid, be)


# -- contents ----------------------------------------------------------------------------------------------


def test_contents_come_and_go_with_the_mount(host: Host) -> None:
    host.write("/rpool/t/a/file", "kept")
    top = host.path("/rpool/t").stat().st_ino
    host.does("zfs unmount rpool/t")
    assert list(host.path("/rpool/t").iterdir()) == []
    host.does("zfs set mountpoint=/export/moved rpool/t", "zfs mount rpool/t")
    assert host.read("/export/moved/a/file") == "kept"
    assert host.path("/export/moved").stat().st_ino == top


def test_a_snapshot_keeps_modes_times_and_links_but_not_what_is_mounted_below(host: Host) -> None:
    host.write("/rpool/t/script", "#!/bin/sh\n")
    host.path("/rpool/t/script").chmod(0o4755)
    host.path("/rpool/t/link").symlink_to("/etc/passwd")
    host.does("zfs create rpool/t/sub")
    host.write("/rpool/t/sub/file", "not in the snapshot")
    before = host.path("/rpool/t/script").stat()
    host.does("zfs snapshot rpool/t@s", "zfs clone rpool/t@s rpool/c")
    after = host.path("/rpool/c/script").stat()
    assert stat.S_IMODE(after.st_mode) == 0o4755
    assert (after.st_mtime_ns, after.st_uid) == (before.st_mtime_ns, before.st_uid)
    assert str(host.path("/rpool/c/link").readlink()) == "/etc/passwd"
    assert list(host.path("/rpool/c/sub").iterdir()) == []


def test_rollback_keeps_the_directory_itself_and_what_is_mounted_in_it(host: Host) -> None:
    host.write("/rpool/t/file", "then")
    host.does("zfs create -p rpool/t/deep/er", "zfs snapshot rpool/t@s")
    host.write("/rpool/t/file", "now")
    host.write("/rpool/t/new", "now")
    host.write("/rpool/t/deep/er/file", "child's own")
    tops = [host.path(name).stat().st_ino for name in ("/rpool/t", "/rpool/t/deep", "/rpool/t/deep/er")]
    host.does("zfs rollback rpool/t@s")
    assert host.read("/rpool/t/file") == "then"
    assert not host.path("/rpool/t/new").exists()
    assert host.read("/rpool/t/deep/er/file") == "child's own"
    assert [
        host.path(name).stat().st_ino for name in ("/rpool/t", "/rpool/t/deep", "/rpool/t/deep/er")
    ] == tops


def test_a_clone_outlives_the_promoted_order_of_things(host: Host) -> None:
    host.write("/rpool/t/file", "golden")
    host.does("zfs snapshot rpool/t@s", "zfs hold keep rpool/t@s", "zfs clone rpool/t@s rpool/c")
    host.does("zfs promote rpool/c", "zfs destroy rpool/t")
    assert host.names("rpool/c") == ["rpool/c", "rpool/c@s"]
    assert host.read("/rpool/c/file") == "golden"
    assert host.does("zfs holds -H rpool/c@s").startswith("rpool/c@s\tkeep\t")


def test_a_deferred_snapshot_goes_with_its_last_user(host: Host) -> None:
    host.does("zfs snapshot rpool/t@s", "zfs hold k rpool/t@s", "zfs clone rpool/t@s rpool/c")
    host.does("zfs destroy -d rpool/t@s")
    assert host.get("defer_destroy", "rpool/t@s") == "on"
    host.does("zfs release k rpool/t@s")
    assert "rpool/t@s" in host.names()
    host.does("zfs destroy rpool/c")
    assert host.names() == ["rpool/t"]


# -- where things are mounted ------------------------------------------------------------------------------


def test_zfs_mounts_over_nothing_but_legacy_mounts_hide_what_was_there(host: Host) -> None:
    host.does("zfs unmount rpool/t", "zfs create -o mountpoint=legacy rpool/l")
    host.write("/rpool/t/stray", "underneath")
    assert host.fails("zfs mount rpool/t") == "cannot mount '/rpool/t': directory is not empty\n"
    host.does("zfs mount -O rpool/t")
    assert list(host.path("/rpool/t").iterdir()) == []
    host.does("zfs unmount rpool/t", "mount -F zfs rpool/l /rpool/t")
    assert list(host.path("/rpool/t").iterdir()) == []
    assert host.fails("mount -F zfs rpool/l /rpool/t") == "mount failed: Device busy\n"
    assert host.fails("zfs unmount rpool/l").startswith("cannot unmount 'rpool/l': legacy mountpoint\n")
    host.does("umount rpool/l")
    assert host.read("/rpool/t/stray") == "underneath"
    host.path("/rpool/t/stray").unlink()


def test_a_file_in_the_way_leaves_the_dataset_unmounted(host: Host) -> None:
    host.write("/rpool/t/a", "a file")
    assert host.fails("zfs create rpool/t/a") == (
        "cannot mount 'rpool/t/a': Not a directory\nfilesystem successfully created, but not mounted\n"
    )
    assert host.get("mounted", "rpool/t/a") == "no"


def test_no_mount_point_can_be_made_in_a_read_only_or_full_parent(host: Host) -> None:
    host.does("zfs set readonly=on rpool/t")
    assert host.fails("zfs create rpool/t/a").startswith(
        "cannot mount '/rpool/t/a': failed to create mountpoint\n"
    )
    host.does("zfs set readonly=off rpool/t", "zfs set quota=1M rpool/t")
    host.path("/rpool/t/big").write_bytes(b"x" * (2 << 20))
    assert "failed to create mountpoint" in host.fails("zfs create rpool/t/b")
    assert host.names() == ["rpool/t", "rpool/t/a", "rpool/t/b"]


def test_symlinks_on_the_way_never_lead_out_of_the_lab(host: Host, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    host.path("/rpool/t/way").symlink_to("/export/inside")
    host.does("zfs create -o mountpoint=/rpool/t/way/in rpool/in")
    assert host.mounted()["rpool/in"] == "/export/inside/in"
    assert host.path("/export/inside/in").is_dir()
    host.path("/rpool/t/out").symlink_to(tmp_path / "outside")
    said = host.run("zfs create -o mountpoint=/rpool/t/out/x rpool/out")[2]
    assert said.startswith("lab: a file system at ")
    host.path("/rpool/t/up").symlink_to("../../../../../.." + str(tmp_path / "outside"))
    host.run("zfs create -o mountpoint=/rpool/t/up/x rpool/up")
    assert list((tmp_path / "outside").iterdir()) == []
    assert host.fails("zfs create -o mountpoint=/usr/lib/x rpool/usr").startswith(
        "lab: a file system at /usr"
    )


def test_mount_tells_what_is_mounted_and_how(host: Host) -> None:
    host.does("zfs unmount rpool/t", "zfs mount -o ro,nosuid rpool/t")
    plain = next(line for line in host.does("mount").splitlines() if line.startswith("/rpool/t "))
    assert plain.startswith("/rpool/t on rpool/t read only/nosetuid/nodevices/nonbmand/exec/xattr/atime on ")
    assert "rpool/t on /rpool/t type zfs read-only/" in host.does("mount -v")
    assert "rpool/t - /rpool/t zfs - no ro,nodevices,nosetuid," in host.does("mount -p")
    assert host.does("zfs get -H -o value,source setuid rpool/t") == "off\ttemporary\n"


@pytest.mark.parametrize(
    "line",
    ["mount -F lofs /export /mnt", "mount -F tmpfs swap /tmp", "mount -a", "mount /export", "umount -a"],
)
def test_other_mounts_are_refused_plainly(host: Host, line: str) -> None:
    assert host.fails(line).startswith("lab: ")


# -- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("zfs create rpool/t/x", "cannot create 'rpool/t/x': permission denied\n"),
        ("zfs snapshot rpool/t@y", "cannot create snapshots : permission denied\n"),
        ("zfs set atime=off rpool/t", "cannot set property for 'rpool/t': permission denied\n"),
        ("zfs inherit a:b rpool/t", "cannot inherit a:b for 'rpool/t': permission denied\n"),
        ("zfs destroy rpool/t@s", "cannot destroy snapshots: permission denied\n"),
        ("zfs rollback rpool/t@s", "cannot rollback 'rpool/t': permission denied\n"),
        ("zfs clone rpool/t@s rpool/c", "cannot create 'rpool/c': permission denied\n"),
        ("zfs hold k rpool/t@s", "cannot hold: permission denied\n"),
        ("zfs rename rpool/t@s rpool/t@z", "cannot rename 'rpool/t@s': permission denied\n"),
        ("zfs unmount rpool/t", "cannot unmount '/rpool/t': permission denied\n"),
        ("zfs mount rpool/off", "cannot mount 'rpool/off': Insufficient privileges\n"),
        ("zpool set comment=x rpool", "cannot set property for 'rpool': permission denied\n"),
    ],
)
def test_without_privilege_nothing_changes(host: Host, line: str, said: str) -> None:
    host.does("zfs snapshot rpool/t@s", "zfs create rpool/off", "zfs unmount rpool/off")
    before = lab_zfs.everything(host.world)
    assert host.fails(line, privileged=False) == said
    assert lab_zfs.everything(host.world) == before


@pytest.mark.parametrize("command", ["allow", "diff", "upgrade", "program", "share", "load-key", "userspace"])
def test_what_is_not_emulated_says_so(host: Host, command: str) -> None:
    assert host.fails(f"zfs {command} rpool/t") == f"lab: zfs {command} is not emulated\n"
    assert host.fails("zfs set sharenfs=on rpool/t") == "lab: sharing file systems is not emulated\n"
    assert host.fails("zfs create -o encryption=on rpool/t/e") == "lab: encryption is not emulated\n"


def test_a_value_too_long_is_told_by_set_and_kills_create(host: Host) -> None:
    value = "v" * 8192
    said = host.fails(f"zfs set a:b={value} rpool/t")
    assert said == "cannot set property for 'rpool/t': property value too long\n"
    said = host.fails(f"zfs create -o a:b={value} rpool/t/x", exit_code=-6)
    assert said == "internal error: Arg list too long\n"
    assert host.names() == ["rpool/t"]


def test_zoned_datasets_are_left_to_their_zone(host: Host) -> None:
    host.does("zfs create -o zoned=on -o mountpoint=/data rpool/t/z", "zfs create rpool/t/z/below")
    exported = "cannot mount 'rpool/t/z': dataset is exported to a local zone\n"
    assert host.fails("zfs mount rpool/t/z") == exported
    outside = "'mountpoint' cannot be set on dataset in a non-global zone\n"
    assert host.fails("zfs set mountpoint=/x rpool/t/z").endswith(outside)
    assert host.fails("zfs create -o mountpoint=/x rpool/t/z/y").endswith(outside)
    used = "dataset is used in a non-global zone\n"
    assert host.fails("zfs inherit mountpoint rpool/t/z").endswith(used)
    assert host.fails("zfs rename rpool/t/z rpool/t/y").endswith(used)
    host.does("zfs create rpool/t/plain", "zfs set zoned=on rpool/t/plain")
    assert host.get("mounted", "rpool/t/plain") == "no"
    host.does("zfs set zoned=off rpool/t/plain")
    assert host.get("mounted", "rpool/t/plain") == "no"
    host.does("zfs destroy rpool/t/z/below", "zfs set mountpoint=none rpool/t/z", "zfs destroy rpool/t/z")


def test_destroy_stops_at_what_does_not_go(host: Host) -> None:
    host.does(
        "zfs create -p rpool/t/a/b",
        "zfs create rpool/t/c",
        "zfs snapshot rpool/t/a/b@s",
        "zfs hold k rpool/t/a/b@s",
    )
    assert host.fails("zfs destroy -r rpool/t") == "cannot destroy snapshot rpool/t/a/b@s: dataset is busy\n"
    assert host.names() == ["rpool/t", "rpool/t/a", "rpool/t/a/b", "rpool/t/a/b@s", "rpool/t/c"]
    assert (
        host.does("zfs destroy -rnp rpool/t/a")
        == "destroy\trpool/t/a/b@s\ndestroy\trpool/t/a/b\ndestroy\trpool/t/a\n"
    )


# -- sending -----------------------------------------------------------------------------------------------


def test_a_tree_travels_to_another_host(host: Host, tmp_path: Path) -> None:
    host.write("/rpool/t/file", "one")
    host.does("zfs create -o a:b=c rpool/t/sub", "zfs snapshot -r rpool/t@1")
    host.write("/rpool/t/file", "two")
    host.does("zfs snapshot -r rpool/t@2")
    stream = host.run("zfs send -R rpool/t@2")[1]
    other = Host(worlds.create(tmp_path / "other"))
    assert other.run("zfs receive rpool/got", stdin=stream)[0] == 0
    assert other.names("rpool/got") == [
        *("rpool/got", "rpool/got@1", "rpool/got@2"),
        *("rpool/got/sub", "rpool/got/sub@1", "rpool/got/sub@2"),
    ]
    assert other.read("/rpool/got/file") == "two"
    assert other.does("zfs get -H -o value,source a:b rpool/got/sub") == "c\treceived\n"
    host.write("/rpool/t/file", "three")
    host.does("zfs snapshot rpool/t@3")
    stream = host.run("zfs send -i @2 rpool/t@3")[1]
    other.write("/rpool/got/file", "changed")
    status, _, said = other.run("zfs receive rpool/got", stdin=stream)
    assert (status, said.splitlines()[-1]) == (1, "since most recent snapshot")
    assert other.run("zfs receive -F rpool/got", stdin=stream)[0] == 0
    assert other.read("/rpool/got/file") == "three"
    assert disorder(other.world) == []


def test_a_stream_that_was_tampered_with_writes_nothing_outside(host: Host, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        link = tarfile.TarInfo("way")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        for name in ("way/planted", "../planted", "/planted"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
    item = {"name": "p/f@s", "type": "filesystem", "guid": 1, "from": None, "clone": False, "props": {}}
    item |= {"size": 1, "fixed": {}, "bytes": len(packed.getvalue())}
    lines = [{"package": False, "top": "p/f"}, item]
    stream = b"LABZFS1\n" + b"".join(json.dumps(line).encode() + b"\n" for line in lines) + packed.getvalue()
    before = lab_zfs.everything(host.world)
    status, _, said = host.run("zfs receive rpool/t/evil", stdin=stream)
    assert (status, said) == (1, "cannot receive: invalid backup stream\n")
    assert not list(tmp_path.rglob("planted"))
    assert lab_zfs.everything(host.world) == before


# -- pools -------------------------------------------------------------------------------------------------


def test_a_pool_on_a_file_comes_and_goes(host: Host) -> None:
    disk = host.path("/lab/disk")
    disk.parent.mkdir(exist_ok=True)
    with disk.open("wb") as image:
        image.truncate(128 << 20)
    host.does("zpool create tank /lab/disk", "zfs create tank/a")
    assert host.does("zpool list -H -o name,size,health") == "rpool\t128G\tONLINE\ntank\t128M\tONLINE\n"
    assert host.does("zpool status -x") == "all pools are healthy\n"
    assert host.mounted()["tank/a"] == "/tank/a"
    assert host.fails("zpool destroy rpool") == "lab: destroying the root pool is not emulated\n"
    host.does("zpool destroy tank")
    assert host.fails("zfs list tank") == "cannot open 'tank': dataset does not exist\n"
    assert host.fails("zpool scrub rpool") == "lab: zpool scrub is not emulated\n"


# -- what there is -----------------------------------------------------------------------------------------


def test_everything_says_nothing_of_ids_and_times(host: Host) -> None:
    host.does("zfs snapshot -o a:b=c rpool/t@s", "zfs hold k rpool/t@s", "zfs clone rpool/t@s rpool/c")
    described = {str(entry["name"]): entry for entry in lab_zfs.everything(host.world)}
    assert described["rpool/c"] == {
        **{"name": "rpool/c", "type": "filesystem", "local": {}, "received": {}, "origin": "rpool/t@s"},
        **{"holds": [], "userrefs": 0, "defer_destroy": False, "mounted": "/rpool/c"},
    }
    assert described["rpool/t@s"]["holds"] == ["k"]
    before = json.dumps(lab_zfs.everything(host.world))
    host.world.advance(3600)
    host.does("zfs create rpool/t/x", "zfs destroy rpool/t/x", "zfs unmount rpool/c", "zfs mount rpool/c")
    assert json.dumps(lab_zfs.everything(host.world)) == before


def test_sizes_agree_with_each_other(host: Host) -> None:
    host.path("/rpool/t/big").write_bytes(b"x" * (3 << 20))
    host.does("zfs snapshot rpool/t@s")
    exact = {
        prop: int(value)
        for prop, value in (
            line.split("\t") for line in host.does("zfs get -Hp -o property,value all rpool/t").splitlines()
        )
        if value.isdigit()
    }
    parts = ("usedbydataset", "usedbysnapshots", "usedbychildren", "usedbyrefreservation")
    assert exact["used"] == sum(exact[part] for part in parts)
    assert exact["referenced"] >= 3 << 20
    assert host.get("used", "rpool/t").endswith("M")
    host.path("/rpool/t/big").unlink()
    assert int(host.does("zfs get -Hp -o value usedbysnapshots rpool/t")) >= 3 << 20
