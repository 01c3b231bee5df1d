"""pkg: exit statuses, lists and publishers (facts sheet 9)."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from zonemgr.errors import CommandError
from zonemgr.host import pkg
from zonemgr.host.pkg import HOST_IMAGE, Image
from zonemgr.model import PackageRow, Publisher, ZoneName

ROOT = Image(root="/zones/gold/root")
ZONE = Image(zone=ZoneName("gold"))
LOCKED = (
    "pkg install: The image cannot be modified as it is currently in use by another package client: "
    "pkg on host, pid 7.\n"
)


def test_packages_are_installed_into_a_root(illumos: Any) -> None:
    illumos.answers("pfexec pkg -R /zones/gold/root install --accept developer/gcc-13 make")
    assert pkg.install(illumos.host, ROOT, "developer/gcc-13", "make") is True


def test_nothing_to_do_is_no_failure(illumos: Any) -> None:
    illumos.answers("pfexec pkg install make", "No updates necessary for this image.\n", status=4)
    assert pkg.install(illumos.host, HOST_IMAGE, "make", accept=False) is False


def test_a_locked_image_is_tried_again(illumos: Any) -> None:
    illumos.answers("pfexec pkg -R /zones/gold/root uninstall make", "", LOCKED, status=7, times=2)
    illumos.answers("pfexec pkg -R /zones/gold/root uninstall make")
    assert pkg.uninstall(illumos.host, ROOT, "make") is True
    assert illumos.waited == [1.0, 2.0]


def test_an_image_that_stays_locked_is_an_error(illumos: Any) -> None:
    tries = len(pkg.LOCK_PAUSES) + 1
    illumos.answers("pfexec pkg refresh --full", "", LOCKED, status=7, times=tries)
    with pytest.raises(CommandError, match="currently in use") as failed:
        pkg.refresh(illumos.host, HOST_IMAGE, full=True)
    assert "another pkg" in (failed.value.hint or "")
    assert len(illumos.told) == tries


@pytest.mark.parametrize(
    ("status", "hint"), [(1, "Software Installation"), (6, "licence"), (3, "a part"), (99, None)]
)
def test_other_statuses_are_errors(illumos: Any, status: int, hint: str | None) -> None:
    said = "pkg: Insufficient privilege\n" if status == 1 else "pkg install: no\n"
    illumos.answers("pfexec pkg install --accept x", "", said, status=status)
    with pytest.raises(CommandError) as failed:
        pkg.install(illumos.host, HOST_IMAGE, "x")
    assert (failed.value.hint is None) if hint is None else hint in (failed.value.hint or "")


def test_inside_a_running_zone_pkg_goes_through_zlogin(illumos: Any) -> None:
    def reply(words: list[str]) -> tuple[str, str, int]:
        line = words[-1]
        nonce = line.split("zonemgr:")[1].split(":")[0]
        return "", f"\x1ezonemgr:{nonce}:exit:4\n", 4

    illumos.answers_any("pfexec", "zlogin", reply=reply)
    assert pkg.install(illumos.host, ZONE, "make") is False
    words = shlex.split(illumos.told[0])
    assert words[:4] == ["pfexec", "zlogin", "-S", "gold"]
    assert words[4].startswith("pkg install --deny-new-be --no-backup-be --accept make; s=$?; ")


def test_installed_packages(illumos: Any) -> None:
    illumos.answers(
        "pfexec pkg -R /zones/gold/root list -H",
        "SUNWcs                                            0.5.11-2024.0.0.1          i--\n"
        "developer/gcc-13 (userland)                       13.2.0-2024.0.0.1          i-o\n",
    )
    assert pkg.installed(illumos.host, ROOT) == [
        PackageRow("SUNWcs", "0.5.11-2024.0.0.1", "", "i--"),
        PackageRow("developer/gcc-13", "13.2.0-2024.0.0.1", "userland", "i-o"),
    ]


def test_no_such_package_is_an_empty_list(illumos: Any) -> None:
    said = "pkg list: no packages matching the following patterns are installed:\n  nosuch\n"
    illumos.answers("pkg list -H nosuch", "", said, status=1)
    assert pkg.installed(illumos.host, HOST_IMAGE, "nosuch") == []
    illumos.answers("pkg list -H", "", "pkg: No image rooted at '/'\n", status=1)
    with pytest.raises(CommandError, match="No image"):
        pkg.installed(illumos.host, HOST_IMAGE)


def test_publishers_in_order_with_their_origins(illumos: Any) -> None:
    illumos.answers(
        "pkg publisher -H -F tsv",
        "openindiana.org\ttrue\tfalse\ttrue\torigin\tonline\thttps://pkg.openindiana.org/hipster/\t-\n"
        "openindiana.org\ttrue\tfalse\ttrue\torigin\tonline\thttps://second/\t-\n"
        "openindiana.org\ttrue\tfalse\ttrue\tmirror\tonline\thttps://mirror/\t-\n"
        "local\tfalse\tfalse\tfalse\t\t\t\t\n",
    )
    assert pkg.publishers(illumos.host, HOST_IMAGE) == [
        Publisher("openindiana.org", ("https://pkg.openindiana.org/hipster/", "https://second/")),
        Publisher("local", (), sticky=False, enabled=False),
    ]


def test_a_publisher_gets_exactly_these_origins(illumos: Any) -> None:
    illumos.answers("pfexec pkg -R /zones/gold/root set-publisher -G '*' -g https://a -g https://b local")
    assert pkg.set_publisher(illumos.host, ROOT, "local", "https://a", "https://b") is True


def test_what_is_installed_by_full_name(illumos: Any) -> None:
    illumos.answers(
        "pfexec pkg -R /zones/gold/root list -H -v",
        "pkg://openindiana.org/SUNWcs@0.5.11-2024.0.0.1:20241011T093000Z      i--\n"
        "pkg://userland/developer/gcc-13@13.2.0-2024.0.0.1:20241011T093000Z  i-o\n",
    )
    assert pkg.contents(illumos.host, ROOT) == {
        "SUNWcs": "pkg://openindiana.org/SUNWcs@0.5.11-2024.0.0.1:20241011T093000Z",
        "developer/gcc-13": "pkg://userland/developer/gcc-13@13.2.0-2024.0.0.1:20241011T093000Z",
    }


def test_origins_come_and_go(illumos: Any) -> None:
    illumos.answers("pfexec pkg -R /zones/gold/root set-publisher -G https://old -g https://new local")
    assert pkg.change_origins(illumos.host, ROOT, "local", add=["https://new"], remove=["https://old"])
    illumos.answers("pfexec pkg -R /zones/gold/root unset-publisher local")
    assert pkg.unset_publisher(illumos.host, ROOT, "local")


def test_packages_that_are_not_there_need_not_be_removed(illumos: Any) -> None:
    illumos.answers("pfexec pkg -R /zones/gold/root uninstall --ignore-missing make", status=4)
    assert pkg.uninstall(illumos.host, ROOT, "make", ignore_missing=True) is False


@pytest.mark.parametrize("status", [0, 4, 5])
def test_a_plan_is_only_asked_for(illumos: Any, status: int) -> None:
    illumos.answers("pfexec pkg -R /zones/gold/root install -n --accept make", status=status)
    assert pkg.plan(illumos.host, ROOT, "install", "--accept", "make") == status


def test_a_plan_that_cannot_be_made_says_why(illumos: Any) -> None:
    said = (
        "pkg install: \nThe following pattern(s) did not match any allowable packages.  Try\n"
        "using a different matching pattern, or refreshing publisher information:\n\n\tnosuch\n\tother\n"
    )
    illumos.answers("pfexec pkg -R /zones/gold/root install -n nosuch", "", said, status=1)
    with pytest.raises(CommandError, match=r"no package matches nosuch, other$") as failed:
        pkg.plan(illumos.host, ROOT, "install", "nosuch")
    assert "pkg list -af" in (failed.value.hint or "")


def test_it_is_pkg_that_fails_in_a_zone_not_zlogin(illumos: Any) -> None:
    def reply(words: list[str]) -> tuple[str, str, int]:
        nonce = words[-1].split("zonemgr:")[1].split(":")[0]
        return "", f"pkg uninstall: no\n\x1ezonemgr:{nonce}:exit:1\n", 1

    illumos.answers_any("pfexec", "zlogin", reply=reply)
    with pytest.raises(CommandError, match=r"^pkg exited with 1: .*no$") as failed:
        pkg.uninstall(illumos.host, ZONE, "make")
    assert failed.value.argv[:3] == ("zlogin", "-S", "gold")
    assert failed.value.command.startswith("pfexec zlogin -S gold")


def test_a_repository_that_does_not_answer_is_named(illumos: Any) -> None:
    said = (
        "pkg set-publisher: The origin URIs for 'ours' do not appear to point to a valid pkg repository.\n"
        "Please verify the repository's location and the client's network configuration.\n"
        "Additional details:\n\nhttp protocol error: code: 404\nURL: 'http://nowhere/'\n"
    )
    illumos.answers("pfexec pkg -R /zones/gold/root set-publisher -g http://nowhere ours", "", said, status=1)
    with pytest.raises(CommandError, match=r"for 'ours' do not appear .* URL: 'http://nowhere/'") as failed:
        pkg.change_origins(illumos.host, ROOT, "ours", add=["http://nowhere"])
    assert "repository answers" in (failed.value.hint or "")
