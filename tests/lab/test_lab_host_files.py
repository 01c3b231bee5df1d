"""What the global zone is recognised by: its mnttab, df, vfstab, release files, brands, and what Python says it is."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.lab.byhand import Hand, make
from tests.lab.stage import needs_namespaces
from tests.lab.test_lab_labs import run, sh
from tests.lab.zonehost import ZoneHost
from zonemgr.lab import facade, gzmounts, labs


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return make(tmp_path)


# -- df ----------------------------------------------------------------------------------------------------


def test_df_shows_file_systems_in_columns(hand: Hand) -> None:
    hand.out("zfs create -o mountpoint=/build -o quota=1G rpool/build")
    head, row = hand.out("df -h /build").splitlines()
    assert head.split() == ["Filesystem", "Size", "Used", "Available", "Capacity", "Mounted", "on"]
    assert row.split()[0] == "rpool/build"
    assert row.split()[-1] == "/build"
    assert hand.out("df -k /build").split()[1] == "1024-blocks"
    (hand.world.path("/build") / "deep/er").mkdir(parents=True)
    assert hand.out("df -k /build/deep/er").split()[-1] == "/build"
    assert hand.out("df -n /").startswith("/                  : zfs\n")
    everything = hand.out("df -k -F zfs")
    assert {line.split()[-1] for line in everything.splitlines()[1:]} == {
        *("/", "/rpool", "/export", "/export/home", "/build"),
    }


def test_df_refusals(hand: Hand) -> None:
    assert hand.refused("df /") == "lab: df without -k or -h is not emulated\n"
    assert (
        hand.refused("df -k /nosuch") == "df: (/nosuch) not a block device, directory or mounted resource\n"
    )
    assert hand.refused("df --help").startswith("Usage: df [-F FSType] [-abeghklmntVvZ]")


# -- mnttab ------------------------------------------------------------------------------------------------


def test_the_mount_table_has_the_roots_of_zones_and_what_is_shown_in_them(tmp_path: Path) -> None:
    host = ZoneHost.fresh(tmp_path / "lab")
    host.path("/export/work").mkdir()
    host.install("web", "add fs", "set dir=/work", "set special=/export/work", "set type=lofs", "end")
    host.must("zoneadm", "-z", "web", "boot")
    gzmounts.write(host.world)
    rows = [line.split("\t") for line in host.path("/etc/mnttab").read_text().splitlines()]
    assert rows[0][:3] == ["rpool/ROOT/openindiana", "/", "zfs"]
    assert ["rpool/zones/web/ROOT/zbe", "/zones/web/root", "zfs"] in [row[:3] for row in rows]
    assert ["/export/work", "/zones/web/root/work", "lofs"] in [row[:3] for row in rows]
    assert all(len(row) == 5 and row[4].isdigit() for row in rows)
    host.must("zoneadm", "-z", "web", "halt")
    gzmounts.write(host.world)
    assert "/work" not in host.path("/etc/mnttab").read_text()
    host.world.close()


# -- files -------------------------------------------------------------------------------------------------


def test_the_host_says_which_distribution_it_is(flavour: str, tmp_path: Path) -> None:
    hand = make(tmp_path, flavour)
    text = hand.out("cat /etc/os-release")
    pairs = dict(shlex.split(line)[0].split("=", 1) for line in text.splitlines())
    assert pairs["ID"] == flavour
    assert pairs["ID_LIKE"] == "illumos"
    assert "/proc\t\t-\t\t/proc" in hand.out("cat /etc/vfstab")


@pytest.mark.parametrize(("name", "brands"), [
    ("openindiana", {"ipkg", "nlipkg", "bhyve", "kvm"}),
    ("omnios", {"ipkg", "lipkg", "sparse", "pkgsrc", "illumos", "lx", "bhyve", "kvm", "emu"}),
])  # fmt: skip
def test_brands_have_a_directory_with_their_files(name: str, brands: set[str]) -> None:
    files = {path: (text, mode) for path, text, mode in facade.brand_files(name)}
    assert {path.split("/")[2] for path in files} == brands
    for brand in brands:
        config = ElementTree.fromstring(files[f"lib/brand/{brand}/config.xml"][0])
        assert config.get("name") == brand
        for hook in ("install", "clone", "attach", "uninstall"):
            named, there = config.find(hook), f"lib/brand/{brand}/{hook}" in files
            assert (named is not None) == there
            if there:
                assert files[f"lib/brand/{brand}/{hook}"][1] == 0o755
        ElementTree.fromstring(files[f"lib/brand/{brand}/platform.xml"][0])


# -- as programs -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    lab = tmp_path_factory.mktemp("files") / "lab"
    labs.create(lab)
    yield lab
    labs.destroy(lab)


@pytest.mark.namespaces
class TestPrograms:
    pytestmark = needs_namespaces

    def test_the_mount_table_is_current(self, made: Path) -> None:
        assert sh(made, "awk '$2 == \"/\" {print $1}' /etc/mnttab") == "rpool/ROOT/openindiana\n"
        sh(made, "zfs create -o mountpoint=/fresh rpool/fresh; grep -q /fresh /etc/mnttab")
        sh(made, "zfs umount rpool/fresh; ! grep -q /fresh /etc/mnttab; zfs destroy rpool/fresh")

    def test_the_host_has_its_own_name(self, made: Path) -> None:
        assert sh(made, "uname -n; hostname; cat /etc/nodename").split() == ["openindiana"] * 3

    def test_brands_are_where_tools_look_for_them(self, made: Path) -> None:
        assert (
            sh(made, "test -d /usr/lib/brand/nlipkg && ! test -e /usr/lib/brand/lx && echo found")
            == "found\n"
        )
        ended = run(made, "/usr/lib/brand/ipkg/clone", "web", "/zones/web")
        assert (ended.returncode, ended.stderr) == (
            1,
            "lab: /usr/lib/brand/ipkg/clone is run by zoneadm only\n",
        )

    @pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="the machine's /usr has no Python")
    def test_python_says_sunos(self, made: Path) -> None:
        """Ansible's module of zones asks platform.system() and platform.release() first."""
        script = "import platform; print(platform.system(), platform.release(), platform.node())"
        assert sh(made, f"/usr/bin/python3 -c '{script}'") == "SunOS 5.11 openindiana\n"
