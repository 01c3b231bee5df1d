"""Package repositories in files: pkgrepo and pkgsend make them in pkg5's format, and pkg installs from them."""

from __future__ import annotations

import gzip
import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.lab.byhand import Hand, in_zone, make
from zonemgr.lab import pkg

HIPSTER = "http://pkg.openindiana.org/hipster/"
MANIFEST = """\
# a small package
set name=pkg.fmri value=pkg:/tools/hello@1.2-3
set name=pkg.summary value="Says hello"
dir path=opt/hello owner=root group=sys mode=0755
file hello path=opt/hello/bin owner=root group=bin mode=0755
file conf path=/etc/hello.conf owner=root group=sys \\
    mode=0644 preserve=true
link path=opt/hello/link target=bin
hardlink path=opt/hello/again target=bin
license COPYING license=MIT
depend type=require fmri=pkg:/tools/base@1.0
depend type=optional fmri=pkg:/shell/bash@1.0
legacy pkg=HELLO name=Hello
"""
BASE = "set name=pkg.fmri value=tools/base@1.0\n"


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    found = make(tmp_path)
    write(found, "/src", {"hello": "echo hello\n", "conf": "loud=no\n", "COPYING": "as you like\n"})
    found.out("pkgrepo create /repo")
    found.out("pkgrepo set -s /repo publisher/prefix=own")
    return found


def write(hand: Hand, directory: str, files: Mapping[str, str]) -> None:
    where = hand.world.path(directory)
    where.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (where / name).write_text(text)


def send(hand: Hand, manifest: str, *, repository: str = "/repo") -> str:
    write(hand, "/src", {"manifest": manifest})
    return hand.out(f"pkgsend -s {repository} publish -d /src /src/manifest").splitlines()[0]


def publish(hand: Hand) -> str:
    send(hand, BASE)
    return send(hand, MANIFEST)


# -- from a manifest to files in an image ------------------------------------------------------------------------


def test_a_package_of_ones_own_is_published_and_installed(hand: Hand) -> None:
    fmri = publish(hand)
    assert fmri.startswith("pkg://own/tools/hello@1.2,5.11-3:")
    hand.out("pkg set-publisher -g /repo own")
    assert hand.out("pkg publisher -H -F tsv").splitlines()[-1].endswith("\tonline\tfile:///repo/\t-")
    hand.out("pkg install tools/hello")
    opt = hand.world.path("/opt/hello")
    assert (opt / "bin").read_text() == "echo hello\n"
    assert (opt / "bin").stat().st_mode & 0o777 == 0o755
    assert (opt / "link").readlink() == Path("bin")
    assert (opt / "again").samefile(opt / "bin")
    assert hand.world.path("/etc/hello.conf").read_text() == "loud=no\n"
    assert [line.split()[:2] for line in hand.out("pkg list -H tools/*").splitlines()] == [
        ["tools/base", "(own)"],
        ["tools/hello", "(own)"],
    ]
    assert hand("pkg verify tools/hello").exit_code == 0


def test_what_an_update_and_a_removal_do_to_files(hand: Hand) -> None:
    publish(hand)
    root = hand.world.path("/zones/z/root")
    root.mkdir(parents=True)
    pkg.create_image(hand.world, root, ["shell/bash"], [("openindiana.org", HIPSTER)])
    hand.out("pkg -R /zones/z/root set-publisher -g file:///repo own")
    hand.out("pkg -R /zones/z/root install tools/hello")
    (root / "etc/hello.conf").write_text("loud=yes\n")
    (root / "opt/hello/mine").write_text("not the package's\n")
    write(hand, "/src", {"hello": "echo hallo\n", "conf": "loud=maybe\n"})
    send(hand, MANIFEST.replace("1.2-3", "1.3-1").replace("hardlink path=opt/hello/again target=bin\n", ""))
    hand.out("pkg -R /zones/z/root update")
    assert (root / "opt/hello/bin").read_text() == "echo hallo\n"
    assert not (root / "opt/hello/again").exists()
    assert (root / "etc/hello.conf").read_text() == "loud=yes\n", "an editable file that was changed is kept"
    hand.out("pkg -R /zones/z/root uninstall tools/hello")
    assert sorted(each.name for each in (root / "opt/hello").iterdir()) == ["mine"]
    assert not (root / "etc/hello.conf").exists()


def test_a_repository_that_is_gone(hand: Hand) -> None:
    publish(hand)
    hand.out("pkg set-publisher -g /repo own")
    hand.world.path("/repo").rename(hand.world.path("/away"))
    said = hand.refused("pkg install tools/hello")
    assert "The path '/repo' does not contain a valid package repository." in said
    ended = hand("pkg install text/gawk")
    assert (ended.exit_code, "WARNING: Errors were encountered" in ended.stdout) == (0, True)
    hand.world.path("/away").rename(hand.world.path("/repo"))
    hand.out("pkg install tools/hello")
    hand.world.path("/repo").rename(hand.world.path("/away"))
    hand.out("pkg uninstall tools/hello")  # what is installed needs no repository to go


def test_a_repository_for_one_command(hand: Hand) -> None:
    publish(hand)
    hand.out("pkg install -g /repo tools/hello")
    rows = [line.split("\t") for line in hand.out("pkg publisher -H -F tsv").splitlines()]
    assert [row[0] for row in rows if not row[6]] == ["own"], "a publisher without origins is left"


def test_damaged_files_are_found(hand: Hand) -> None:
    publish(hand)
    hand.out("pkg set-publisher -g /repo own")
    hand.out("pkg install tools/hello")
    hand.world.path("/opt/hello/bin").write_text("rm -rf /\n")
    ended = hand("pkg verify tools/hello")
    assert ended.exit_code == 1
    assert "\tfile: opt/hello/bin\n\t\tERROR: Hash: " in ended.stdout


def test_two_packages_deliver_the_same_file(hand: Hand) -> None:
    publish(hand)
    send(
        hand,
        "set name=pkg.fmri value=tools/other@1\nfile hello path=opt/hello/bin owner=root group=bin mode=0755\n",
    )
    hand.out("pkg set-publisher -g /repo own")
    said = hand.refused("pkg install tools/hello tools/other")
    assert "The following packages all deliver file actions to opt/hello/bin:" in said
    assert hand("pkg list tools/hello").exit_code == 1


def test_in_a_zone(hand: Hand) -> None:
    root = hand.world.path("/zones/z/root")
    root.mkdir(parents=True)
    pkg.create_image(hand.world, root, ["shell/bash"], [("openindiana.org", HIPSTER)])
    (root / ".lab").mkdir()
    (root / ".lab/zone.json").write_text('{"zone": "z"}')
    (root / "m").write_text(
        "set name=pkg.fmri value=tools/mine@1.0\ndir path=opt/mine owner=root group=sys mode=0755\n"
    )
    for line in (
        "pkgrepo create /repo",
        "pkgrepo set -s /repo publisher/prefix=own",
        "pkgsend -s /repo publish /m",
        "pkg set-publisher -g /repo own",
        "pkg install --deny-new-be --no-backup-be tools/mine",
    ):
        ended = in_zone(root, line)
        assert ended.exit_code == 0, (line, ended)
    assert (root / "opt/mine").is_dir()
    assert not hand.world.path("/opt/mine").exists()


# -- what lies on disk --------------------------------------------------------------------------------------------


def test_the_repository_is_written_in_pkg5s_format(hand: Hand) -> None:
    """pkg5 doc/on-disk layout and src/modules/catalog.py, CatalogPart.save and _JSONWriter."""
    fmri = publish(hand)
    root = hand.world.path("/repo/publisher/own")
    version = fmri.partition("@")[2]
    name = version.replace(",", "%2C").replace(":", "%3A")
    manifest = (root / "pkg/tools%2Fhello" / name).read_text()
    assert manifest.splitlines()[0] == f"set name=pkg.fmri value={fmri}"
    digest = hashlib.sha1(b"echo hello\n").hexdigest()
    assert f"\nfile {digest} chash=" in manifest
    packed = (root / "file" / digest[:2] / digest).read_bytes()
    assert gzip.decompress(packed) == b"echo hello\n"
    assert f"chash={hashlib.sha1(packed).hexdigest()} " in manifest
    attrs = json.loads((root / "catalog/catalog.attrs").read_text())
    assert (attrs["package-count"], attrs["package-version-count"], attrs["version"]) == (2, 2, 1)
    for part, told in {**attrs["parts"], **attrs["updates"]}.items():
        signed, _, rest = (root / "catalog" / part).read_text().partition(',"_SIGNATURE":')
        assert json.loads(rest.removesuffix("}\n")) == {"sha-1": told["signature-sha-1"]}
        assert hashlib.sha1(f"{signed}}}\n".encode()).hexdigest() == told["signature-sha-1"]
    base = json.loads((root / "catalog/catalog.base.C").read_text())["own"]["tools/hello"]
    assert base == [{"signature-sha-1": hashlib.sha1(manifest.encode()).hexdigest(), "version": version}]
    needs = json.loads((root / "catalog/catalog.dependency.C").read_text())["own"]["tools/hello"][0][
        "actions"
    ]
    assert "depend fmri=pkg:/tools/base@1.0 type=require" in needs


def by_hand(root: Path) -> None:
    """A repository as pkg5's own tools leave it, written from the description of the format."""
    version, text = "2.0,5.11-1:20240101T000000Z", "from elsewhere\n"
    digest = hashlib.sha1(text.encode()).hexdigest()
    fmri = f"pkg://theirs/their/tool@{version}"
    where = root / "publisher/theirs"
    manifest = (
        f"set name=pkg.fmri value={fmri}\n"
        f"file {digest} chash=0 group=bin mode=0555 owner=root path=opt/tool pkg.csize=1 pkg.size={len(text)}\n"
    )
    moment = "20240101T000000.5Z"
    attrs = {
        **{"created": moment, "last-modified": moment, "package-count": 1, "package-version-count": 1},
        **{"parts": {}, "updates": {}, "version": 1},
    }
    files: dict[Path, bytes] = {
        root / "pkg5.repository": b"[publisher]\nprefix = theirs\n\n[repository]\nversion = 4\n\n"
        b"[CONFIGURATION]\nversion = 4\n\n",
        where / "pkg/their%2Ftool/2.0%2C5.11-1%3A20240101T000000Z": manifest.encode(),
        where / "file" / digest[:2] / digest: gzip.compress(text.encode()),
        where / "catalog/catalog.base.C": json.dumps(
            {"theirs": {"their/tool": [{"version": version}]}}
        ).encode(),
        where / "catalog/catalog.attrs": json.dumps(attrs).encode(),
    }
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def test_a_repository_that_others_made_installs(hand: Hand) -> None:
    by_hand(hand.world.path("/theirs"))
    hand.out("pkg set-publisher -p file:///theirs")
    hand.out("pkg install their/tool")
    assert hand.world.path("/opt/tool").read_text() == "from elsewhere\n"
    assert hand.out("pkgrepo info -H -s /theirs").split()[:3] == ["theirs", "1", "online"]


# -- pkgrepo and pkgsend ---------------------------------------------------------------------------------------------


def test_repositories_are_looked_after(hand: Hand) -> None:
    publish(hand)
    assert [line.split()[1] for line in hand.out("pkgrepo list -H -s /repo").splitlines()] == [
        "tools/base",
        "tools/hello",
    ]
    hand.out("pkgrepo verify -s /repo")
    hand.out("pkgrepo rebuild -s /repo")
    hand.out("pkgrepo remove -s /repo tools/base")
    assert len(hand.out("pkgrepo list -H -s /repo").splitlines()) == 1
    payload = next(hand.world.path("/repo/publisher/own/file").glob("??/*"))
    payload.write_bytes(b"not gzip")
    ended = hand("pkgrepo verify -s /repo")
    assert (ended.exit_code, "Corrupted gzip file" in ended.stdout) == (1, True)
    hand.out("pkgrepo remove -s /repo tools/hello")
    assert list(hand.world.path("/repo/publisher/own/file").glob("??/*")) == [], "no payload is left behind"
    hand.out("pkgrepo add-publisher -s /repo more")
    assert hand.out("pkgrepo info -H -s /repo").split()[0:2] == ["more", "0"]
    hand.out("pkgrepo remove-publisher -s /repo more")


@pytest.mark.parametrize(
    ("line", "exit_code", "text"),
    [
        ("pkgrepo create /repo", 1, "already exists"),
        ("pkgrepo list -s /nosuch", 1, "The path '/nosuch' does not contain a valid package repository."),
        ("pkgrepo list", 2, "A package repository location must be provided using -s."),
        ("pkgrepo frobnicate", 2, "unknown subcommand 'frobnicate'"),
        ("pkgrepo set -s /repo publisher/colour=red", 1, "unknown property 'colour'"),
        ("pkgrepo remove -s /repo nosuch", 1, "did not match any packages"),
        ("pkgrepo fix -s /repo", 1, "lab: pkgrepo fix is not emulated"),
        ("pkgrepo list -s http://pkg.example.org/", 1, "lab: only repositories in files are emulated"),
        ("pkgsend -s /repo open a@1", 1, "lab: pkgsend open is not emulated"),
        ("pkgsend -s /nosuch publish /src/manifest", 1, "does not contain a valid package repository"),
        ("pkgsend publish /src/manifest", 2, "a destination package repository must be provided using -s."),
        ("pkgsend -s /repo publish /src/nosuch", 1, "No such file or directory"),
        ("pkgsend -s /repo publish /src/unnamed", 1, "Manifest does not contain pkg.fmri"),
        ("pkgsend -s /repo publish /src/unknown", 1, "Unknown action type 'fiel'"),
        ("pkgsend -s /repo publish -d /src /src/missing", 1, "references file that does not exist: nosuch"),
        ("pkgsend -s /repo publish -d /src /src/ownerless", 1, "'owner' is a required attribute"),
    ],
)
def test_what_is_refused(hand: Hand, line: str, exit_code: int, text: str) -> None:
    head = "set name=pkg.fmri value=tools/x@1\n"
    files = {
        "manifest": BASE,
        "unnamed": "dir path=opt/x owner=root group=sys mode=0755\n",
        "unknown": f"{head}fiel hello path=opt/x\n",
        "missing": f"{head}file nosuch path=opt/x owner=root group=bin mode=0555\n",
        "ownerless": f"{head}file hello path=opt/x group=bin mode=0555\n",
    }
    write(hand, "/src", files)
    ended = hand(line)
    assert (ended.exit_code, text in ended.stderr) == (exit_code, True), (shlex.split(line), ended)
    assert hand.out("pkgrepo list -H -s /repo") == "", "nothing was published"
