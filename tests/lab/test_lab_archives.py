"""Zones made of archives, directories and streams, by the brands' own options."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import Lab
from zonemgr.lab.brands import archives
from zonemgr.lab.call import Finished

GOLDEN = "rpool/zones/giz/tools"


def root_of(lab: Lab, zone: str = "tools") -> Path:
    return lab.world.host / "zones/giz" / zone / "root"


def brand(lab: Lab) -> str:
    return lab.run("zoneadm", "-z", "tools", "list", "-p").split(":")[5]


def configure(lab: Lab, zone: str, kind: str = "") -> None:
    kind = kind or brand(lab)
    script = f"create -b; set zonepath=/zones/giz/{zone}; set brand={kind}; set ip-type=exclusive"
    lab.run("zonecfg", "-z", zone, script)


def state(lab: Lab, zone: str) -> str:
    return lab.run("zoneadm", "-z", zone, "list", "-p").split(":")[2]


def packed(root: Path, below: str = ".", form: int = tarfile.USTAR_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        tar.add(root, arcname=below)
    return made.getvalue()


def cpio(names: dict[str, tuple[int, bytes]]) -> bytes:
    """A new-ASCII cpio archive of these names, modes and contents."""
    made = b""
    for number, (name, (mode, data)) in enumerate([*names.items(), ("TRAILER!!!", (0, b""))]):
        fields = (number, mode, 0, 0, 1, 1000, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        made += head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)
    return made


def as_cpio(root: Path) -> bytes:
    names: dict[str, tuple[int, bytes]] = {}
    for path in sorted(root.rglob("*")):
        about = path.lstat()
        data = (
            str(path.readlink()).encode()
            if path.is_symlink()
            else b""
            if path.is_dir()
            else path.read_bytes()
        )
        names[f"./{path.relative_to(root)}"] = (about.st_mode, data)
    return cpio(names)


def saved(lab: Lab, name: str, data: bytes) -> str:
    (lab.world.host / "export" / name).write_bytes(data)
    return f"/export/{name}"


def install(lab: Lab, *options: str) -> Finished:
    configure(lab, "new")
    return lab.inside.run(("zoneadm", "-z", "new", "install", *options))


KINDS: dict[str, Callable[[Path], bytes]] = {
    "tar": packed,
    "cpio": as_cpio,
    "cpio.gz": lambda root: gzip.compress(as_cpio(root)),
    "cpio.bz2": lambda root: bz2.compress(as_cpio(root)),
    "tar.gz": lambda root: gzip.compress(packed(root)),  # cpio reads tar as well
    "zonepath.tar.gz": lambda root: gzip.compress(packed(root, "root")),
    "flar": lambda root: (
        b"FlAsH-aRcHiVe-2.0\nsection_begin=identification\nfiles_archived_method=cpio\n"
        b"section_end=identification\nsection_begin=archive\n" + as_cpio(root)
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_of_a_zone_becomes_a_zone(lab: Lab, kind: str) -> None:
    (root_of(lab) / "etc/marker").write_text("mine")
    (root_of(lab) / "etc/nodename").write_text("tools\n")
    file = saved(lab, kind, KINDS[kind](root_of(lab)))
    ended = install(lab, "-a", file, "-p")
    assert (ended.exit_code, ended.stderr, state(lab, "new")) == (0, "", "installed"), ended
    there = root_of(lab, "new")
    assert ((there / "etc/marker").read_text(), (there / "etc/nodename").read_text()) == ("mine", "tools\n")
    assert "# /devices\t" in (there / "etc/vfstab").read_text()
    assert len(list((there / "var/log").glob("new.install*.log"))) == 1
    assert not list((lab.world.host / "var/tmp").glob("new.install_log.*"))
    zbe = lab.run(
        "zfs", "get", "-H", "-o", "value", "org.opensolaris.libbe:active,canmount,mounted",
        "rpool/zones/giz/new/ROOT/zbe",
    )  # fmt: skip
    assert zbe.split() == ["on", "noauto", "yes"]
    assert lab.run("pkg", "-R", "/zones/giz/new/root", "list", "-H") == lab.run(
        "pkg", "-R", "/zones/giz/tools/root", "list", "-H"
    )


def test_unconfigured_or_from_a_directory(each_lab: Lab) -> None:
    lab = each_lab
    lab.world.put("openssh.dsa", "on")
    (root_of(lab) / "etc/nodename").write_text("tools\n")
    ended = install(lab, "-d", "/zones/giz/tools/root", "-u")
    assert (ended.exit_code, state(lab, "new")) == (0, "installed"), ended
    assert not (root_of(lab, "new") / "etc/nodename").exists()


def without(root: Path, *names: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.add(
            root, arcname=".", filter=lambda info: None if info.name.removeprefix("./") in names else info
        )
    return made.getvalue()


REFUSED: dict[str, tuple[Callable[[Path], bytes], tuple[str, ...], str]] = {
    "neither -p nor -u": (packed, (), "you must specify -u (sys-unconfig) or -p (preserve identity)."),
    "xz": (lambda root: lzma.compress(packed(root)), ("-p",), "Error: Unknown archive format. Must be a flash"),
    "nothing": (lambda root: b"", ("-p",), "Error: Unknown archive format. Must be a flash"),
    "a broken gzip": (lambda root: gzip.compress(packed(root))[:3000], ("-p",), "Unpacking the archive failed"),
    "no image": (lambda root: packed(root / "etc"), ("-p",), "Missing etc/svc at /zones/giz/new/root"),
    "no pkg": (lambda root: without(root, "usr/bin/pkg"), ("-p",), "Missing usr/bin/pkg at /zones/giz/new/root"),
    "never booted": (lambda root: without(root, "etc/zones"), ("-p",), "Invalid 'etc/zones' directory within"),
    "no package image": (
        lambda root: without(root, "var/pkg/pkg5.image"), ("-p",), "Changing the pkg variant to nonglobal failed",
    ),
    "of another name": (
        lambda root: gzip.compress(packed(root, "tools/root")), ("-p",),
        "Error: the archive top-level directory (tools) does not match the zonepath (new).",
    ),
    "absolute names": (
        lambda root: cpio({"/etc": (0o040755, b""), "/var": (0o040755, b"")}), ("-p",),
        "Error: archive contains absolute paths instead of relative paths.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_become_a_zone_leaves_nothing(lab: Lab, case: str) -> None:
    make, options, text = REFUSED[case]
    file = saved(lab, "image", make(root_of(lab)))
    ended = install(lab, "-a", file, *options)
    assert ended.exit_code == 1
    assert text in ended.stdout + ended.stderr
    assert state(lab, "new") == "configured"
    assert not (lab.world.host / "zones/giz/new/root").exists()
    assert lab.inside.run(("zfs", "list", "rpool/zones/giz/new")).exit_code == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("-a", "/f", "-d", "/d", "-p"), "cannot specify both -a and -d options"),
        (("-a", "/f", "-u", "-p"), "cannot specify both -u and -p options"),
        (("-a", "/f", "-e", "gawk", "-p"), "cannot specify both -a|-d and -e options"),
        (("-a", "/f", "-P", "x=http://y/", "-p"), "cannot specify both -a|-d and -P options"),
        # To zoneadm -p takes a value (installopts in config.xml); what comes next is glued to it.
        (("-a", "/f", "-p", "-e", "gawk"), "pkgcreatezone: --: unknown option"),
        (("-u",), "cannot specify both default and -p|-u options"),
        (("-a", "pub=http://y/", "-u"), "The -a publisher=uri option is obsolete."),
    ],
)
def test_options_that_do_not_go_together(lab: Lab, options: tuple[str, ...], text: str) -> None:
    ended = install(lab, *options)
    assert (ended.exit_code, text in ended.stderr) == (1, True), ended


def test_an_archive_that_would_leave_the_zone_is_refused(lab: Lab) -> None:
    data = cpio({"etc": (0o040755, b""), "var": (0o120777, b"/var"), "var/x": (0o100644, b"!")})
    ended = install(lab, "-a", saved(lab, "image", data), "-p")
    assert (ended.exit_code, "lab: an archive that leads out of the zone" in ended.stderr) == (1, True)
    assert not (lab.world.host / "var/x").exists()


def test_a_stream_is_no_archive_the_ips_brands_can_take(lab: Lab) -> None:
    """The scripts receive into a dataset that nobody names: with them it can only fail."""
    lab.run("zfs", "snapshot", "-r", f"{GOLDEN}@out")
    stream = lab.run("zfs", "send", f"{GOLDEN}/ROOT/zbe@out")
    ended = install(lab, "-a", saved(lab, "stream", stream.encode("utf-8", "surrogateescape")), "-p")
    assert (ended.exit_code, state(lab, "new")) == (1, "configured")


def test_a_stream_can_be_received_and_attached(each_lab: Lab) -> None:
    lab = each_lab
    (root_of(lab) / "etc/marker").write_text("mine")
    lab.run("zfs", "snapshot", "-r", f"{GOLDEN}@out")
    lab.run("zfs", "set", "tool:note=kept", f"{GOLDEN}/ROOT/zbe")
    stream = lab.run("zfs", "send", "-R", f"{GOLDEN}@out").encode("utf-8", "surrogateescape")
    received = lab.inside.run(("zfs", "receive", "-u", "rpool/zones/giz/new"), stream)
    assert received.exit_code == 0, received
    top = "rpool/zones/giz/new"
    rows = lab.run("zfs", "get", "-H", "-o", "value,source", "mountpoint,zoned", f"{top}/ROOT")
    assert rows == "legacy\treceived\non\treceived\n"
    assert lab.run("zfs", "get", "-H", "-o", "value", "tool:note", f"{top}/ROOT/zbe") == "kept\n"
    lab.run("zfs", "mount", top)
    lab.run("mount", "-F", "zfs", f"{top}/ROOT/zbe", "/zones/giz/new/root")
    configure(lab, "new")
    lab.run("zoneadm", "-z", "new", "attach")
    assert (state(lab, "new"), (root_of(lab, "new") / "etc/marker").read_text()) == ("installed", "mine")
    lab.run("zoneadm", "-z", "new", "ready")
    lab.run("zoneadm", "-z", "new", "halt")


def test_attach_takes_an_archive_of_a_zone_as_it_is(lab: Lab) -> None:
    file = saved(lab, "tools.tar", packed(root_of(lab)))
    configure(lab, "new")
    said = lab.run("zoneadm", "-z", "new", "attach", "-a", file)
    assert "        Attach ZFS Dataset: rpool/zones/giz/new/ROOT/zbe\n" in said
    assert state(lab, "new") == "installed"


def test_attach_wants_the_same_software_or_leave_to_make_it_so(lab: Lab) -> None:
    ours = lab.run("pkg", "list", "-Hv", "entire").split()[0]
    lab.publish("entire")
    lab.run("pkg", "-R", "/zones/giz/tools/root", "update", "entire")
    file = saved(lab, "tools.tar", packed(root_of(lab)))
    configure(lab, "new")
    ended = lab.inside.run(("zoneadm", "-z", "new", "attach", "-a", file))
    assert (ended.exit_code, "retry with the -u flag" in ended.stdout) == (1, True), ended
    assert state(lab, "new") == "configured"
    assert lab.inside.run(("zfs", "list", "rpool/zones/giz/new")).exit_code == 1
    lab.run("zoneadm", "-z", "new", "attach", "-u", "-a", file)
    assert ours in lab.run("pkg", "-R", "/zones/giz/new/root", "list", "-Hv", "entire")


@pytest.mark.parametrize("kind", ["tar", "tar.xz", "stream.gz"])
def test_the_illumos_brand_takes_tar_files_and_streams(
    prepared: dict[str, Lab], tmp_path: Path, kind: str
) -> None:
    lab = prepared["omnios"].copy(tmp_path / "lab")
    lab.run("zfs", "snapshot", f"{GOLDEN}/ROOT/zbe@out")
    stream = lab.run("zfs", "send", f"{GOLDEN}/ROOT/zbe@out").encode("utf-8", "surrogateescape")
    tar = packed(root_of(lab))
    data = {"tar": tar, "tar.xz": lzma.compress(tar), "stream.gz": gzip.compress(stream)}[kind]
    configure(lab, "new", "illumos")
    ended = lab.inside.run(("zoneadm", "-z", "new", "install", "-s", saved(lab, kind, data)))
    assert (ended.exit_code, state(lab, "new")) == (0, "installed"), ended
    lab.run("zoneadm", "-z", "new", "ready")
    assert (root_of(lab, "new") / "etc/passwd").is_file()
    lab.run("zoneadm", "-z", "new", "halt")
    configure(lab, "bad", "illumos")
    ended = lab.inside.run(("zoneadm", "-z", "bad", "install", "-s", saved(lab, "bad", b"x")))
    assert (ended.exit_code, "not in a supported format" in ended.stdout + ended.stderr) == (1, True)
    lab.world.close()


def test_kinds_of_files() -> None:
    assert archives.kind(b"\037\213") == "gzip"
    assert archives.kind(b"BZh9") == "bzip2"
    assert archives.kind(b"\xfd7zXZ\0") == ""
    assert archives.kind(b"") == ""
