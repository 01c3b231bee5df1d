"""Stories of golden images that travel: exported into a file, imported on another host, made from archives."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, same
from zonemgr.errors import CommandError, ZonemgrError
from zonemgr.lab import world as worlds
from zonemgr.workflows import (
    archives,
    container,
    disposable,
    golden,
    imageset,
    lineage,
    packages,
    pkgjobs,
    survey,
    teardown,
)
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.golden import GoldenRequest

FILE = "/export/tools.zone"
ROOT = f"rpool/zones/giz/{GOLDEN}/ROOT/zbe"


def names(lab: Lab, top: str = "rpool") -> list[str]:
    return lab.run("zfs", "list", "-H", "-r", "-t", "all", "-o", "name", top).split()


def prop(lab: Lab, name: str, dataset: str) -> str:
    return lab.run("zfs", "get", "-H", "-o", "value", name, dataset).strip()


@pytest.fixture
def exported(each_lab: Lab) -> Path:
    """The image `tools` in a file of its host."""
    archives.export(each_lab.site(), GOLDEN, FILE)
    return each_lab.world.host / FILE.lstrip("/")


@pytest.fixture
def elsewhere(each_lab: Lab, tmp_path: Path) -> Iterator[Lab]:
    """Another host of the same kind, on its first day."""
    lab = Lab(worlds.create(tmp_path / "elsewhere", flavour=each_lab.world.flavour))
    yield lab
    for row in lab.world.db.execute("select name from kernel_zones where init_pid != 0").fetchall():
        lab.run("zoneadm", "-z", row["name"], "halt", ok=False)
    lab.world.close()


def test_an_image_goes_to_another_host_and_serves_there(
    each_lab: Lab, exported: Path, elsewhere: Lab
) -> None:
    (elsewhere.world.host / "export/in.zone").write_bytes(exported.read_bytes())
    made = archives.import_(elsewhere.site(), "/export/in.zone")
    assert made.zone == GOLDEN
    home = f"rpool/zones/giz/{GOLDEN}"
    assert prop(elsewhere, "zonemgr:set", home) == prop(each_lab, "zonemgr:set", home)
    found = [name.partition("@")[2] for name in names(elsewhere, f"{home}/ROOT/zbe") if "@" in name]
    assert found == [
        f"initial-{what}-{GOLDEN}" for what in ("installed", "manifest_import_booted", "postinstalled")
    ]
    disposable.create(elsewhere.site(), DisposableRequest(GOLDEN, zone="build-1"))
    assert elsewhere.run("zlogin", "build-1", "cat /etc/nodename").strip() == "build-1"
    teardown.destroy(elsewhere.site(), "build-1")
    teardown.destroy(elsewhere.site(), GOLDEN)
    assert not [name for name in names(elsewhere) if GOLDEN in name]


def contents(lab: Lab, name: str) -> imageset.ImageSet | None:
    return imageset.read(lab.door()).get(survey.managed(lab.door(), name).dataset)


def test_an_older_snapshot_goes_with_what_it_held_itself(lab: Lab) -> None:
    before = contents(lab, GOLDEN)
    first = f"initial-postinstalled-{GOLDEN}"
    pkgjobs.install(lab.site(), GOLDEN, packages.parse("text/gawk"))
    archives.export(lab.site(), GOLDEN, FILE, first)
    archives.import_(lab.site(), FILE, "older")
    assert contents(lab, "older") == before
    archives.export(lab.site(), GOLDEN, "/export/middle.zone", f"initial-installed-{GOLDEN}")
    archives.import_(lab.site(), "/export/middle.zone", "middle")
    assert contents(lab, "middle") is None, "nobody knows"


def test_what_is_added_to_an_image_from_a_file_is_in_its_set(lab: Lab) -> None:
    archives.export(lab.site(), GOLDEN, FILE)
    before = contents(lab, GOLDEN)
    assert before is not None
    archives.create(lab.site(), GoldenRequest(zone="more", source=FILE, packages=("text/gawk",)))
    assert contents(lab, "more") == before.changed(add=["text/gawk"])


def test_an_image_from_a_snapshot_has_lost_no_origin(lab: Lab) -> None:
    archives.create(lab.site(), GoldenRequest(zone="more", source=f"{ROOT}@initial-postinstalled-{GOLDEN}"))
    family = lineage.tree(lab.door())
    assert {image.name: image.fault for image in family.images} == {GOLDEN: "", "more": ""}
    assert not family.orphans


def test_the_file_is_a_tar_archive_for_its_owner_alone(each_lab: Lab, exported: Path) -> None:
    assert exported.stat().st_mode & 0o777 == 0o600
    with tarfile.open(exported) as found:
        assert found.getnames() == ["manifest.json", "root.zfs"]
        stream = found.extractfile("root.zfs")
        assert stream is not None
        assert exported.read_bytes()[65536:].startswith(stream.read())
    told = container.read(exported.read_bytes()[:65536].decode("utf-8", "surrogateescape"), FILE)
    assert told is not None
    assert (told["zone"], told["snapshot"]) == (GOLDEN, f"initial-postinstalled-{GOLDEN}")
    assert not list(exported.parent.glob("*.part*"))


def test_a_plain_zfs_receive_reads_it_too(lab: Lab) -> None:
    archives.export(lab.site(), GOLDEN, FILE)
    lab.run("sh", "-c", f"dd if={FILE} bs=65536 skip=1 | zfs receive -o mountpoint=none rpool/export/root")
    assert f"rpool/export/root@initial-postinstalled-{GOLDEN}" in names(lab)


def test_it_is_imported_beside_itself_under_another_name(lab: Lab) -> None:
    archives.export(lab.site(), GOLDEN, FILE)
    with pytest.raises(ZonemgrError, match="exists already"):
        archives.import_(lab.site(), FILE)
    archives.import_(lab.site(), FILE, "again")
    assert survey.managed(lab.door(), "again").kind == survey.GIZ
    assert lab.in_zone("again", "/etc/nodename").read_text().strip() == "again"
    assert "zonemgr.origin" in lab.run("zonecfg", "-z", "again", "export")


@pytest.mark.parametrize("where", ["head", "manifest", "stream", "short"])
def test_a_damaged_file_is_refused_before_anything_is_made(lab: Lab, where: str) -> None:
    archives.export(lab.site(), GOLDEN, FILE)
    path = lab.world.host / FILE.lstrip("/")
    data = bytearray(path.read_bytes())
    at = {"head": 1, "manifest": data.index(b'"brand"') + 12, "stream": 70000, "short": 0}[where]
    data[at] ^= 0 if where == "short" else 1
    path.write_bytes(data[:-1] if where == "short" else data)
    before = lab.everything()
    with pytest.raises(ZonemgrError, match=r"cannot be read|damaged|was not written by zonemgr") as refused:
        archives.import_(lab.site(), FILE, "again")
    assert refused.value.hint
    same(before, lab.everything())


def test_an_export_that_fails_leaves_no_file(lab: Lab) -> None:
    before = lab.everything()
    lab.fails("sh -c *digest*", stderr="digest: unable\n")
    with pytest.raises(CommandError, match="unable"):
        archives.export(lab.site(), GOLDEN, FILE)
    same(before, lab.everything())


def test_a_dry_run_writes_and_makes_nothing(lab: Lab) -> None:
    archives.export(lab.site(), GOLDEN, FILE)
    before = lab.everything()
    archives.export(lab.site(dry_run=True), GOLDEN, "/export/other")
    archives.import_(lab.site(dry_run=True), FILE, "again")
    golden.create(
        lab.site(dry_run=True), GoldenRequest(zone="x", source=f"{ROOT}@initial-installed-{GOLDEN}")
    )
    disposable.create(
        lab.site(dry_run=True), DisposableRequest(GOLDEN, clones="rpool/export|/x", tmpfs_size="1G")
    )
    same(before, lab.everything())


def test_what_cannot_be_exported_is_said_beforehand(lab: Lab) -> None:
    (lab.world.host / "export/taken").touch()
    cases = {
        "/export/taken": "a file /export/taken already", "/nowhere/x": "no directory /nowhere", "x": "absolute path",
    }  # fmt: skip
    before = lab.everything()
    for path, text in cases.items():
        with pytest.raises(ZonemgrError, match=text):
            archives.export(lab.site(), GOLDEN, path)
    with pytest.raises(ZonemgrError, match="no snapshot"):
        archives.export(lab.site(), GOLDEN, FILE, "nosuch")
    same(before, lab.everything())


# -- create-giz --from ---------------------------------------------------------------------------------------


def archive_of(lab: Lab, zone: str) -> Path:
    """A tar archive of a golden image's root, as `tar cf` in it makes one."""
    path = lab.world.host / "export/root.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(lab.in_zone(zone, ""), ".")
    return path


def test_an_image_is_made_of_an_archive(each_lab: Lab) -> None:
    archive_of(each_lab, GOLDEN)
    made = golden.create(each_lab.site(), GoldenRequest(zone="packed", source="/export/root.tar"))
    assert made.zone == "packed"
    assert prop(each_lab, "zonemgr:current", "rpool/zones/giz/packed") == "initial-postinstalled-packed"
    disposable.create(each_lab.site(), DisposableRequest("packed", zone="build-1"))


def test_an_image_is_made_of_a_snapshot_and_does_not_hang_on_it(each_lab: Lab) -> None:
    source = f"{ROOT}@initial-installed-{GOLDEN}"
    golden.create(each_lab.site(), GoldenRequest(zone="copied", source=source))
    assert prop(each_lab, "origin", "rpool/zones/giz/copied/ROOT/zbe") == "-"
    assert [
        name.partition("@")[2] for name in names(each_lab, "rpool/zones/giz/copied/ROOT/zbe") if "@" in name
    ] == [f"initial-{what}-copied" for what in ("installed", "manifest_import_booted", "postinstalled")]
    teardown.destroy(each_lab.site(), "copied")
    assert source in names(each_lab)


def test_an_image_is_made_of_a_bare_stream(lab: Lab) -> None:
    lab.run("sh", "-c", f"zfs send {ROOT}@initial-installed-{GOLDEN} > /export/root.stream")
    golden.create(lab.site(), GoldenRequest(zone="streamed", source="/export/root.stream"))
    assert prop(lab, "zonemgr:kind", "rpool/zones/giz/streamed") == "giz"


def test_what_is_no_root_leaves_nothing(lab: Lab) -> None:
    other = io.BytesIO()
    with tarfile.open(fileobj=other, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("readme"))
    (lab.world.host / "export/other.tar").write_bytes(other.getvalue())
    (lab.world.host / "export/noise").write_text("noise\n" * 100)
    lab.run("zfs", "create", "rpool/export/data")
    lab.run("zfs", "snapshot", "rpool/export/data@now")
    before = but_logs(lab)
    for source in ("/export/other.tar", "/export/noise", "rpool/export/data@now"):
        with pytest.raises(ZonemgrError):
            golden.create(lab.site(), GoldenRequest(zone="bad", source=source))
        same(before, but_logs(lab))


def but_logs(lab: Lab) -> dict[str, Any]:
    """The host without what the brand's scripts write below /var/tmp, and leave there."""
    found = lab.everything()
    found["files"] = {path: what for path, what in found["files"].items() if not path.startswith("/var/tmp/")}
    return found


REFUSED = {
    "/export/nosuch": "no file /export/nosuch",
    "rpool/export@nosuch": "no snapshot rpool/export@nosuch",
    "rpool/export": "neither an absolute path nor DATASET@SNAP",
    "/export/a b.tar": "characters that zoneadm",
}


@pytest.mark.parametrize("source", REFUSED)
def test_sources_that_cannot_be(lab: Lab, source: str) -> None:
    (lab.world.host / "export/a b.tar").write_bytes(b"070707")
    with pytest.raises(ZonemgrError, match=REFUSED[source]):
        golden.create(lab.site(), GoldenRequest(zone="bad", source=source))
    with pytest.raises(ZonemgrError, match="exclude each other"):
        golden.create(lab.site(), GoldenRequest(zone="bad", source=source, origin=GOLDEN))
    with pytest.raises(ZonemgrError, match=r"needs a name|exclude"):
        archives.create(lab.site(), GoldenRequest(source=f"{ROOT}@initial-installed-{GOLDEN}"))


def test_a_stream_of_any_size_has_a_head_of_one_block() -> None:
    for size in (0, 1, (8 << 30) - 1, 9 << 30, 1 << 50):
        block = container.head({"size": size, "format": container.FORMAT})
        assert len(block) == 65536
        found = container.read(block, "x")
        assert found is not None and found["size"] == size
    assert container.read("\0" * 65536, "x") is None
