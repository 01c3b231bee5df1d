"""pkg: exit statuses, texts and what an image has afterwards (docs/illumos.md: pkg)."""

from __future__ import annotations

import fcntl
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.byhand import Hand, in_zone, make
from zonemgr.lab import pkg
from zonemgr.lab.pkg.plan import PkgError

HIPSTER = "http://pkg.openindiana.org/hipster/"
ENCUMBERED = "http://pkg.openindiana.org/hipster-encumbered/"


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return make(tmp_path)


def names(hand: Hand, where: str = "") -> list[str]:
    return [line.split()[0] for line in hand.out(f"pkg {where} list -H").splitlines()]


def image(hand: Hand, *packages: str, name: str = "z") -> Path:
    root = hand.world.path(f"/zones/{name}/root")
    root.mkdir(parents=True)
    pkg.create_image(hand.world, root, list(packages), [("openindiana.org", HIPSTER)])
    return root


@pytest.mark.parametrize(
    ("line", "exit_code", "text"),
    [
        ("pkg install text/gawk", 0, ""),
        ("pkg install bash", 4, ""),
        ("pkg install -n gawk", 0, ""),
        ("pkg uninstall gcc-14", 0, ""),
        ("pkg update", 4, ""),
        ("pkg install", 2, "pkg install: at least one package name required"),
        ("pkg install -X gawk", 2, "pkg install: illegal option -- X"),
        ("pkg install -vq gawk", 2, "pkg install: The '-v' and '-q' options may not be combined."),
        ("pkg frobnicate", 2, "pkg: unknown subcommand 'frobnicate'"),
        ("pkg", 2, "pkg: no subcommand specified"),
        (
            "pkg install nosuch",
            1,
            "\npkg install: The following pattern(s) did not match any allowable packages.  Try",
        ),
        ("pkg install locale", 1, "\npkg install: 'locale' matches multiple packages"),
        ("pkg install 'a b'", 1, "pkg install: Illegal FMRI 'a b': Invalid Package Name: a b\n"),
        ("pkg install legacy", 4, ""),
        ("pkg uninstall nosuch", 1, "\npkg uninstall: 'nosuch' matches no installed packages"),
        ("pkg uninstall --ignore-missing nosuch", 4, ""),
        (
            "pkg uninstall gnu-binutils",
            1,
            "\npkg uninstall: Unable to remove 'developer/gnu-binutils@2.43-2024.0.0.0' due to",
        ),
        ("pkg update nosuch", 1, "\npkg update: 'nosuch' matches no installed packages"),
        (
            "pkg install encumbered",
            6,
            "\npkg: The following packages require their licenses to be accepted before",
        ),
        ("pkg install --accept encumbered", 0, ""),
        (
            "pkg list nosuch",
            1,
            " \npkg list: no packages matching the following patterns are installed:\n  nosuch\n",
        ),
        (
            "pkg list bash nosuch",
            3,
            " \npkg list: no packages matching the following patterns are installed:\n  nosuch\n",
        ),
        ("pkg list -q bash", 0, ""),
        (
            "pkg list -a nosuch",
            1,
            " \npkg list: no packages matching the following patterns are allowed by installed",
        ),
        ("pkg list -af nosuch", 1, " \npkg list: no known packages matching:\n  nosuch\n"),
        ("pkg list -u", 1, "no packages have newer versions available\n"),
        (
            "pkg info nosuch",
            1,
            "pkg: info: no packages matching the following patterns you specified are\ninstalled",
        ),
        ("pkg info -r", 2, "pkg info: must request remote info for specific packages"),
        ("pkg publisher nosuch", 1, "pkg: Unknown publisher 'nosuch'.\n"),
        (
            "pkg unset-publisher nosuch",
            1,
            "\npkg unset-publisher: Removal failed for 'nosuch': Unknown publisher 'nosuch'.\n",
        ),
        (
            "pkg unset-publisher nosuch hipster-encumbered",
            3,
            "\npkg unset-publisher: Removal failed for 'nosuch'",
        ),
        ("pkg refresh nosuch", 1, "pkg: Unknown publisher 'nosuch'.\n"),
        ("pkg set-publisher -M http://x/ nosuch", 1, "Unknown publisher 'nosuch'.\n"),
        (
            "pkg set-publisher -g http://nosuch.org/ foo",
            1,
            "The origin URIs for 'foo' do not appear to point",
        ),
        (
            "pkg set-publisher -g gopher://x/ foo",
            1,
            "\nThe URI 'gopher://x/' uses the unsupported scheme",
        ),
        (
            f"pkg set-publisher -g {HIPSTER} foo",
            1,
            f"\nThe repository at {HIPSTER} does not contain package data for foo;",
        ),
        (
            "pkg set-publisher -G '*' -g http://nosuch.org/ openindiana.org",
            1,
            "The origin URIs for",
        ),
        ("pkg -R /nosuch list", 1, "pkg: No image rooted at '/nosuch'\n"),
        ("pkg verify nosuch", 1, "\npkg verify: 'nosuch' matches no installed packages"),
        ("pkg verify bash", 0, ""),
        ("pkg image-create /x", 1, "lab: pkg image-create is not emulated\n"),
        ("pkg contents bash", 0, ""),
        ("pkg update -r", 1, "lab: pkg update with -r, -R, -t"),
    ],
)
def test_exit_statuses(hand: Hand, line: str, exit_code: int, text: str) -> None:
    was = hand.inside.everything()
    ended = hand(line)
    assert ended.exit_code == exit_code, ended
    assert ended.stderr.startswith(text) if text else ended.stderr == ""
    changes = (exit_code == 3 and "unset" in line) or (
        exit_code == 0 and line.split()[1] in ("install", "uninstall") and "-n" not in line
    )
    assert (hand.inside.everything() != was) == changes


def test_packages_come_with_what_they_need_and_go_alone(hand: Hand) -> None:
    was = set(names(hand))
    shown = hand.out("pkg install -v build-essential")
    assert "\n           Packages to install:  " in shown
    assert "\n       Create boot environment: " in shown
    assert "openindiana.org\n  developer/build/gnu-make\n    None -> 4.4.1-2024.0.0.0\n" in shown
    new = {
        "metapackages/build-essential",
        "developer/build/gnu-make",
        "developer/object-file",
        "text/gnu-sed",
    }
    assert set(names(hand)) == was | new
    hand.out("pkg uninstall -q build-essential")
    assert set(names(hand)) == was | new - {"metapackages/build-essential"}


def test_packages_that_exclude_each_other(hand: Hand) -> None:
    hand.out("pkg install sendmail")
    ended = hand("pkg install postfix")
    assert ended.exit_code == 1
    assert (
        "Reason:  Package contains 'exclude' dependency service/network/smtp/sendmail on installed package"
        in ended.stderr
    )
    assert "service/network/smtp/postfix" not in names(hand)
    assert hand("pkg install gawk sendmail postfix").exit_code == 1
    assert "text/gawk" not in names(hand)  # all or nothing


def test_the_licence_is_asked_for_before_anything_is_installed(hand: Hand) -> None:
    assert hand("pkg install gawk encumbered").exit_code == 6
    assert "text/gawk" not in names(hand)


def test_updates_are_found_once_the_repositories_have_them(hand: Hand) -> None:
    hand.world.put("pkg.updates", "1")
    assert hand("pkg list -u").exit_code == 1  # the catalogues are not fetched by a mere list
    hand.out("pkg refresh")
    assert [line.split()[:2] for line in hand.out("pkg list -Hu bash entire").splitlines()] == [
        ["entire", "0.5.11-2024.0.0.0"],
        ["shell/bash", "5.2.37-2024.0.0.0"],
    ], "what is installed and could be newer"
    hand.out("pkg update --no-backup-be bash")
    assert hand.out("pkg list -H bash").split()[1] == "5.2.37-2024.0.0.1"
    assert hand("pkg update bash").exit_code == 4


def test_what_needs_a_new_boot_environment_is_not_done_to_a_live_image(hand: Hand) -> None:
    hand.world.put("pkg.updates", "1")
    hand.out("pkg install --no-backup-be package/pkg")
    was = hand.out("pkg list -H")
    assert hand.refused("pkg update").startswith(
        "lab: pkg update into a new boot environment of the global zone is not emulated\n"
    )
    ended = hand("pkg update --deny-new-be")
    assert (ended.exit_code, hand.out("pkg list -H")) == (5, was)
    root = image(hand, "entire", "SUNWcs")
    hand.world.put("pkg.updates", "2")
    assert in_zone(root, "pkg update --deny-new-be").exit_code == 4  # the zone has not been told of updates
    (root / ".lab").mkdir()
    (root / ".lab/zone.json").write_text('{"zone": "z", "updates": 2}')
    assert in_zone(root, "pkg update -f --deny-new-be").exit_code == 5
    assert in_zone(root, "pkg update -f").stderr.startswith(
        "lab: pkg update into a new boot environment of a zone nobody answers is not emulated\n"
    )
    assert "Create boot environment" not in hand.out("pkg -R /zones/z/root update")
    assert in_zone(root, "pkg list -H entire").stdout.split()[1] == "0.5.11-2024.0.0.2"


OLD = """\
WARNING: pkg(5) appears to be out of date, and should be updated before
running update.  Please update pkg(5) by executing 'pkg install
pkg:/package/pkg' as a privileged user and then retry the update.
"""


def test_an_old_pkg_updates_no_image_as_a_whole(tmp_path: Path) -> None:
    """pkg5, ipkg_is_up_to_date: what counts is the pkg that runs, and what its own image knows of newer ones."""
    hand = make(tmp_path, flavour="omnios")
    old = OLD.replace("pkg(5)", "pkg(7)")
    root = hand.world.path("/zones/z/root")
    root.mkdir(parents=True)
    pkg.create_image(
        hand.world, root, ["entire", "package/pkg"], [("omnios", "https://pkg.omnios.org/r151058/core/")]
    )
    hand.world.put("pkg.updates", "1")
    assert hand("pkg -R /zones/z/root update -n").exit_code == 0, "the host's catalogue is of before"
    hand.out("pkg refresh")
    for line in ("pkg update", "pkg update -n", "pkg -R /zones/z/root update"):
        ended = hand(line)
        assert (ended.exit_code, ended.stdout[-len(old) :], ended.stderr) == (1, old, "")
    assert hand("pkg -R /zones/z/root update -n -f").exit_code == 0
    assert hand("pkg -R /zones/z/root update -n bash").exit_code == 0
    hand.out("pkg install --no-backup-be package/pkg")
    assert hand("pkg -R /zones/z/root update").exit_code == 0


def test_an_image_without_pkg_itself_is_updated_by_any(hand: Hand) -> None:
    image(hand, "shell/bash")
    hand.world.put("pkg.updates", "1")
    hand.out("pkg refresh")
    assert hand("pkg update -n").exit_code == 1
    hand.out("pkg -R /zones/z/root update")


def test_in_a_zone_it_is_the_zones_own_pkg(hand: Hand) -> None:
    root = image(hand, "entire", "package/pkg")
    (root / ".lab").mkdir()
    (root / ".lab/zone.json").write_text('{"zone": "z", "updates": 1}')
    assert in_zone(root, "pkg update").stdout.endswith(OLD)
    assert in_zone(root, "pkg install --no-backup-be package/pkg").exit_code == 0
    assert in_zone(root, "pkg update --deny-new-be").exit_code == 5


IN_USE = "The image cannot be modified as it is currently in use by another package client."
HOLD_IT = "import fcntl,sys; f=open(sys.argv[1],'a'); fcntl.lockf(f, fcntl.LOCK_EX); print(); input()"


def test_the_image_is_one_clients_at_a_time(hand: Hand) -> None:
    lock = hand.world.host / "var/pkg/lock"
    with lock.open("a") as held:
        fcntl.fcntl(held, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        ended = hand("pkg install gawk")
        assert (ended.exit_code, ended.stderr) == (7, f"pkg: {IN_USE}\n")
        ended = hand("pkg set-publisher --non-sticky openindiana.org")
        assert (ended.exit_code, ended.stderr) == (1, f"\n{IN_USE}\n")
        assert hand("pkg unset-publisher hipster-encumbered").exit_code == 7
        assert hand("pkg list bash").exit_code == 0  # reading needs no lock
    hand.world.put("fault.pkg-locked", "2")
    assert [hand("pkg install gawk").exit_code for _ in range(3)] == [7, 7, 0]


def test_a_lock_is_who_holds_it_not_what_the_file_says(hand: Hand) -> None:
    lock = hand.world.host / "var/pkg/lock"
    lock.write_text("4711\npkg\noi\n")  # of a client that was killed
    hand.out("pkg install gawk")
    assert lock.read_text() == ""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_IT, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        assert hand("pkg uninstall gawk").exit_code == 7
        other.communicate(b"\n")
    hand.out("pkg uninstall gawk")


def test_publishers(hand: Hand) -> None:
    assert hand.out("pkg publisher -H -F tsv") == (
        f"openindiana.org\ttrue\tfalse\ttrue\torigin\tonline\t{HIPSTER}\t-\n"
        f"hipster-encumbered\ttrue\tfalse\ttrue\torigin\tonline\t{ENCUMBERED}\t-\n"
    )
    hand.out(f"pkg set-publisher -G '*' -g {HIPSTER} openindiana.org")
    hand.out("pkg set-publisher -P --non-sticky hipster-encumbered")
    hand.out("pkg set-publisher -d openindiana.org")
    assert [line.split("\t")[:4] for line in hand.out("pkg publisher -HF tsv").splitlines()] == [
        ["hipster-encumbered", "false", "false", "true"],
        ["openindiana.org", "true", "false", "true"],
    ], "ENABLED is the origin's"
    assert [line.split()[0] for line in hand.out("pkg publisher -nH").splitlines()] == ["hipster-encumbered"]
    assert hand.out("pkg publisher -HPF tsv").split("\t")[0] == "hipster-encumbered"
    assert hand("pkg install gawk").exit_code == 1  # its publisher is disabled
    hand.out("pkg set-publisher -e --search-before hipster-encumbered openindiana.org")
    assert hand.out("pkg publisher -HPnF tsv").startswith("openindiana.org\t")
    hand.out("pkg unset-publisher hipster-encumbered")
    assert (
        hand.out(f"pkg set-publisher -p {ENCUMBERED}").partition("pkg set-publisher:\n")[2]
        == "  Added publisher(s): hipster-encumbered\n"
    )


def test_a_package_of_a_lesser_publisher_says_so(hand: Hand) -> None:
    hand.out("pkg install --accept encumbered")
    assert hand.out("pkg list -H encumbered").startswith("media/codec/encumbered (hipster-encumbered) ")
    assert "     Publisher: hipster-encumbered\n" in hand.out("pkg info encumbered")
    assert "           FMRI: " not in hand.out("pkg info -q encumbered")


def test_omnios_counts_nothing_to_do_as_success_on_request(tmp_path: Path) -> None:
    from zonemgr.lab.call import Call

    hand = make(tmp_path, "omnios")
    assert hand("pkg install bash").exit_code == 4
    call = Call(hand.world, ["pkg", "install", "bash"], env={"PKG_SUCCESS_ON_NOP": "1"})
    assert pkg.pkg(call) == 0
    assert hand.out("pkg list -H entire").split()[1:] == ["11-151058.0", "im-"]
    assert hand("pkg install build-essential").exit_code == 0
    assert "developer/build-essential" in names(hand)


def test_who_may_change_an_image(hand: Hand) -> None:
    denied = "Please try the operation again as a privileged user.\n"
    assert hand.refused("pkg install gawk", user="jim").endswith(denied)
    assert hand.refused("pkg install gawk", user="builder").endswith(denied)
    assert hand("pfexec pkg install gawk", user="builder").exit_code == 0
    assert "text/gawk" in names(hand)


def test_images_of_zones(hand: Hand) -> None:
    root = image(hand, "pkg:/SUNWcs", "gcc-14")
    assert set(names(hand, "-R /zones/z/root")) > {"SUNWcs", "developer/gcc-14", "system/library"}
    shown = in_zone(root, "pkg install gawk").stdout
    assert "Create boot environment: No" in shown  # live
    assert "Create" not in hand.out("pkg -R /zones/z/root install groff")  # not live
    assert {"text/gawk", "text/groff"} <= set(names(hand, "-R /zones/z/root"))
    assert "text/gawk" not in names(hand)
    copy = hand.world.path("/zones/y/root")
    import shutil

    shutil.copytree(root, copy)
    hand.out("pkg -R /zones/y/root uninstall gawk")
    assert "text/gawk" in names(hand, "-R /zones/z/root")


def test_making_an_image_can_fail(hand: Hand) -> None:
    with pytest.raises(PkgError, match="did not match any allowable packages") as failed:
        image(hand, "SUNWcs", "nosuch", name="a")
    assert failed.value.status == 1
    with pytest.raises(PkgError, match="do not appear to point to a valid pkg repository"):
        pkg.create_image(
            hand.world, hand.world.path("/zones/a/root"), ["SUNWcs"], [("foo", "http://nosuch.org/")]
        )
    assert hand("pkg -R /zones/a/root list").exit_code == 1


def test_a_broken_linked_zone_stops_the_global_zone(hand: Hand) -> None:
    """Only brands that are linked images: ipkg of OpenIndiana, not nlipkg."""
    from zonemgr.lab import zonestore

    for name, brand in (("a", "nlipkg"), ("b", "ipkg")):
        hand.out(f"zonecfg -z {name} 'create; set zonepath=/zones/{name}; set brand={brand}'")
        zonestore.set_state(hand.world, name, "installed")
        hand.world.path(f"/zones/{name}/root").mkdir(parents=True)
        expected = 0 if brand == "nlipkg" else 1
        assert hand(f"pkg install {'gawk' if expected == 0 else 'groff'}").exit_code == expected
    assert hand.refused("pkg install groff") == "pkg: No image rooted at '/zones/b/root'\n"
    image_root = hand.world.path("/zones/b/root")
    pkg.create_image(hand.world, image_root, ["SUNWcs"], [("openindiana.org", HIPSTER)])
    hand.out("pkg install groff")


def test_a_version_can_be_asked_for(hand: Hand) -> None:
    hand.world.put("pkg.updates", "1")
    hand.out("pkg refresh")
    assert hand("pkg list -af pkg://openindiana.org/entire@0.5.11-2024.0.0.0").exit_code == 0
    assert len(hand.out("pkg list -Haf gcc-10").splitlines()) == 2
    assert len(hand.out("pkg list -Ha gcc-10").splitlines()) == 1
    hand.out("pkg install developer/gcc-10@10.5.0-2024.0.0.0")
    assert hand.out("pkg list -H gcc-10").split()[1] == "10.5.0-2024.0.0.0"
    assert hand("pkg install gcc-10@9").exit_code == 1
