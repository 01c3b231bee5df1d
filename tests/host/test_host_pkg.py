"""pkg: exit statuses, lists and publishers (docs/illumos.md: pkg)."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from zonemgr.errors import CommandError, NotThere, ZonemgrError
from zonemgr.host import pkg, pkgplan, pkgtext
from zonemgr.host.contract import Completed
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
    illumos.answers("pfexec pkg -R /zones/gold/root list -H developer/gcc-13 make")
    assert pkg.install(illumos.host, ROOT, "developer/gcc-13", "make")


def test_nothing_to_do_is_no_failure(illumos: Any) -> None:
    illumos.answers("pfexec pkg install make", "No updates necessary for this image.\n", status=4)
    illumos.answers("pkg list -H make", "developer/make  1-1  i--\n")
    assert not pkg.install(illumos.host, HOST_IMAGE, "make", accept=False)


def test_a_locked_image_is_tried_again(illumos: Any) -> None:
    illumos.answers("pfexec pkg -R /zones/gold/root uninstall make", "", LOCKED, status=7, times=2)
    illumos.answers("pfexec pkg -R /zones/gold/root uninstall make")
    assert pkg.uninstall(illumos.host, ROOT, "make")
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
        status = 4 if "install" in line else 0
        return "", f"\x1ezonemgr:{nonce}:exit:{status}\n", status

    illumos.answers_any("pfexec", "zlogin", reply=reply)
    assert not pkg.install(illumos.host, ZONE, "make")
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
        "openindiana.org\ttrue\tfalse\tfalse\torigin\tdisabled\thttps://third/\t-\n"
        "local\tfalse\tfalse\ttrue\t\t\t\t\n",
    )
    assert pkg.publishers(illumos.host, HOST_IMAGE) == [
        Publisher("openindiana.org", ("https://pkg.openindiana.org/hipster/", "https://second/")),
        Publisher("local", (), sticky=False),
    ]


def test_a_disabled_publisher_is_known_only_by_its_absence(illumos: Any) -> None:
    """The recording R515, R516: ENABLED is that of the origin, and `-n` leaves the publisher out."""
    lab = "lab\ttrue\tfalse\ttrue\torigin\tonline\tfile:///repos/lab/\t-\n"
    extra = "extra\ttrue\tfalse\ttrue\torigin\tonline\tfile:///repos/extra/\t-\n"
    illumos.answers("pkg publisher -H -F tsv", lab + extra)
    illumos.answers("pkg publisher -H -n -F tsv", lab)
    assert [one.name for one in pkg.publishers(illumos.host, HOST_IMAGE)] == ["lab", "extra"]
    assert [one.name for one in pkg.publishers(illumos.host, HOST_IMAGE, enabled=True)] == ["lab"]


def test_a_publisher_gets_exactly_these_origins(illumos: Any) -> None:
    illumos.answers("pfexec pkg -R /zones/gold/root set-publisher -G '*' -g https://a -g https://b local")
    assert pkg.set_publisher(illumos.host, ROOT, "local", "https://a", "https://b")


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
    assert pkg.uninstall(illumos.host, ROOT, "make", ignore_missing=True).changed is False


@pytest.mark.parametrize("status", [0, 4, 5])
def test_a_plan_is_only_asked_for(illumos: Any, status: int) -> None:
    illumos.answers("pfexec pkg -R /zones/gold/root install -n --accept make", status=status)
    illumos.answers("pfexec pkg -R /zones/gold/root list -H make", "developer/make  1-1  i--\n")
    assert pkg.plan(illumos.host, ROOT, "install", "--accept", "make").status == status


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
    with pytest.raises(CommandError, match=r"^pkg uninstall make exited with 1: no$") as failed:
        pkg.uninstall(illumos.host, ZONE, "make")
    assert failed.value.argv[:3] == ("zlogin", "-S", "gold")
    assert failed.value.command.startswith("pfexec zlogin -S gold")


def test_a_repository_that_does_not_answer_is_named(illumos: Any) -> None:
    said = (
        "pkg set-publisher: The origin URIs for 'ours' do not appear to point to a valid pkg repository.\n"
        "Please verify the repository's location and the client's network configuration.\n"
        "Additional details:\n\nhttp protocol error: code: 404 reason: Not Found\nURL: 'http://nowhere/'\n"
    )
    illumos.answers("pfexec pkg -R /zones/gold/root set-publisher -g http://nowhere ours", "", said, status=1)
    with pytest.raises(CommandError, match=r"publisher ours does not answer: http://nowhere/: Not") as failed:
        pkg.change_origins(illumos.host, ROOT, "ours", add=["http://nowhere"])
    assert "repository answers" in (failed.value.hint or "")


# -- what the real pkg5 of OmniOS and OpenIndiana said (ids beginning with `oi`) when it refused --------------------


REFUSALS = [
    json.loads(line) for line in (Path(__file__).parent / "pkg-refusals.jsonl").read_text().splitlines()
]
BOILERPLATE = re.compile(
    r"Re-run|The above led|try the|Please (try|provide|verify)|maintained incorp|-vvv|Usage:|Details|Try |Additional"
)


@pytest.mark.parametrize("said", REFUSALS, ids=[one["id"] for one in REFUSALS])
def test_a_refusal_is_told_by_package_and_cause(said: dict[str, Any]) -> None:
    words = said["argv"][3:] if said["argv"][1] == "-R" else said["argv"][1:]
    ended = Completed(tuple(said["argv"]), said["exit"], said["stdout"], said["stderr"], 0.0, 0)
    told = pkg.explained(ended, words[0], words[1:])
    assert (str(told), told.hint or "") == (said["message"], said["hint"])
    assert told.stderr == said["stderr"]  # the whole of it stays in the record
    _, _, cause = str(told).partition(": ")
    assert cause
    assert not BOILERPLATE.search(cause)
    # What the command named is named; where it named nothing, the cause must do.
    named = [re.sub("^pkg:/+|@.*|/$", "", word) for word in words[1:] if word[:1] not in ("-", "*")]
    assert not named or any(word in str(told) for word in named)


@pytest.mark.parametrize("flavour", ["omnios", "openindiana"])
def test_of_many_causes_the_first_are_named_and_the_rest_counted(flavour: str) -> None:
    names = [f"x/p{n}" for n in range(5)]
    word = "Package" if flavour == "omnios" else "Reject"
    causes = "".join(
        f"\n  {word}:  pkg://lab/{one}@1\n  Reason:  No version for {one}-dep\n" for one in names
    )
    said = f"pkg install: No matching version of x/p0 can be installed.\n{causes}\nThe above led to x.\n"
    reason = pkgtext.reason("", said)
    assert reason.startswith("x/p0 cannot be installed: pkg://lab/x/p0@1: No version for x/p0-dep; ")
    assert reason.endswith(" and 2 more")


def test_two_publishers_of_one_package_are_told_apart_by_their_names() -> None:
    said = "pkg install: 'one' matches multiple packages\n\tpkg://lab/a/one\n\tpkg://ours/a/one\n"
    assert pkgtext.reason("", said) == "one may be any of pkg://lab/a/one, pkg://ours/a/one"


# -- a locked image ---------------------------------------------------------------------------------------------


def test_set_publisher_says_that_the_image_is_locked_with_exit_1(illumos: Any) -> None:
    said = "\nThe image cannot be modified as it is currently in use by another package client.\n"
    command = "pfexec pkg -R /zones/gold/root set-publisher -g https://new ours"
    illumos.answers(command, "", said, status=1, times=2)
    illumos.answers(command)
    assert pkg.change_origins(illumos.host, ROOT, "ours", add=["https://new"])
    assert illumos.waited == [1.0, 2.0]


def test_a_plan_waits_for_a_locked_image_whatever_pkg_calls_it(illumos: Any) -> None:
    said = (
        "\npkg install: Could not operate on /zones/gold/root/var/pkg/state/state_updating\nbecause of insufficient "
        "permissions. Please try the command again as a privileged user.\n"
    )
    illumos.answers("pfexec pkg -R /zones/gold/root install -n x", "", said, status=1)
    illumos.answers("pfexec pkg -R /zones/gold/root install -n x")
    assert pkg.plan(illumos.host, ROOT, "install", "x").status == 0


# -- repositories that do not answer ------------------------------------------------------------------------------


GONE = (
    "WARNING: Errors were encountered when attempting to retrieve package\ncatalog information. Packages added to the "
    "affected publisher repositories since\nthe last retrieval may not be available.\n\nErrors were encountered when "
    "attempting to contact {} for publisher 'extra'.\n\nUnable to contact valid package repository: "
    "file:///repos/extra/\nEncountered the following error(s):\n  file protocol error: code: E_HTTP_NOT_FOUND (22) "
    "reason: The path '/repos/extra' does not contain a valid package repository.\nRepository URL: "
    "'file:///repos/extra'.\n\n"
)
NOTHING = "No updates available for this image.\n"
DEAD = (
    "no repository of publisher extra answers: file:///repos/extra/: The path '/repos/extra' does not contain"
)


def test_a_dead_repository_is_not_nothing_to_do(illumos: Any) -> None:
    illumos.answers(
        "pfexec pkg -R /zones/gold/root update --accept", NOTHING + GONE.format("repository"), status=4
    )
    with pytest.raises(ZonemgrError, match=f"updates is not known: {DEAD}") as failed:
        pkg.update(illumos.host, ROOT)
    assert "repository answers" in (failed.value.hint or "")
    illumos.answers("pfexec pkg -R /zones/gold/root update -n", NOTHING + GONE.format("repository"), status=4)
    with pytest.raises(ZonemgrError, match="is not known"):
        pkg.plan(illumos.host, ROOT, "update")


def test_what_the_other_publishers_have_is_taken_and_the_dead_one_told_of(illumos: Any) -> None:
    illumos.answers("pfexec pkg -R /zones/gold/root update --accept", GONE.format("repository"))
    done = pkg.update(illumos.host, ROOT)
    assert done.changed
    assert [(one.publisher, one.dead) for one in done.silent] == [("extra", True)]


def test_one_of_two_repositories_of_a_publisher_is_enough(illumos: Any) -> None:
    half = GONE.format("1 of 2 repositories")
    illumos.answers("pfexec pkg -R /zones/gold/root update --accept", NOTHING + half, status=4)
    done = pkg.update(illumos.host, ROOT)
    assert not done
    assert str(done.silent[0]).startswith(
        "a repository of publisher extra does not answer: file:///repos/extra/: The"
    )


def refusal(number: str) -> dict[str, Any]:
    return next(one for one in REFUSALS if one["id"] == number)


def test_a_refresh_fails_when_a_publisher_has_no_repository_left(illumos: Any) -> None:
    for number in ("R630", "R633"):
        said = refusal(number)
        illumos.answers(
            "pfexec pkg -R /zones/gold/root refresh", said["stdout"], said["stderr"], status=said["exit"]
        )
        with pytest.raises(
            CommandError, match=r"no repository of publisher (lab|extra) answers: file:///repos/"
        ):
            pkg.refresh(illumos.host, ROOT)


def test_a_refresh_from_another_repository_of_the_publisher_is_told_of(illumos: Any) -> None:
    said = refusal("R636")
    illumos.answers("pfexec pkg -R /zones/gold/root refresh", said["stdout"], said["stderr"], status=3)
    assert [str(one) for one in pkg.refresh(illumos.host, ROOT).silent] == [
        "a repository of publisher lab does not answer: file:///repos/lab2/: The path '/repos/lab2' does not contain a "
        "valid package repository."
    ]


# -- what pkg passes over in silence --------------------------------------------------------------------------------


NOT_INSTALLED = "\npkg list: no packages matching the following patterns are installed:\n  {}\n"


@pytest.mark.parametrize(("status", "listed"), [(4, 1), (0, 3)])
def test_what_is_obsolete_was_not_installed(illumos: Any, status: int, listed: int) -> None:
    words = "old/only@1.0" if listed == 1 else "make old/only"
    names = words.replace("@1.0", "")
    illumos.answers(f"pfexec pkg -R /zones/gold/root install --accept {words}", status=status)
    illumos.answers(
        f"pfexec pkg -R /zones/gold/root list -H {names}", "", NOT_INSTALLED.format("old/only"), status=listed
    )
    illumos.answers("pfexec pkg -R /zones/gold/root list -H -af old/only", "old/only  1.0-1  --o\n")
    with pytest.raises(NotThere, match="package old/only is obsolete") as failed:
        pkg.install(illumos.host, ROOT, *words.split())
    assert "pkg list -af old/only" in (failed.value.hint or "")


def test_a_plan_that_installs_nothing_of_an_obsolete_package_is_no_plan(illumos: Any) -> None:
    illumos.answers("pfexec pkg -R /zones/gold/root install -n --accept old/only", status=4)
    said = NOT_INSTALLED.format("old/only")
    illumos.answers("pfexec pkg -R /zones/gold/root list -H old/only", "", said, status=1)
    illumos.answers("pfexec pkg -R /zones/gold/root list -H -af old/only", "old/only  1.0-1  --o\n")
    with pytest.raises(NotThere, match="obsolete"):
        pkg.plan(illumos.host, ROOT, "install", "--accept", "old/only")


def test_what_was_renamed_is_installed_under_its_new_name(illumos: Any) -> None:
    illumos.answers("pfexec pkg -R /zones/gold/root install --accept old/name", status=4)
    illumos.answers(
        "pfexec pkg -R /zones/gold/root list -H old/name", "", NOT_INSTALLED.format("old/name"), status=1
    )
    illumos.answers(
        "pfexec pkg -R /zones/gold/root list -H -af old/name", "old/name  2.0-1  --r\nold/name  1-1  ---\n"
    )
    assert not pkg.install(illumos.host, ROOT, "old/name")


def test_a_change_in_a_boot_environment_that_is_not_activated_is_a_failure(illumos: Any) -> None:
    """The recording 2-Z007b: exit 0."""
    illumos.answers("pfexec pkg update --accept", "Packages to update: 5\n", "pkg: unable to activate be-2\n")
    with pytest.raises(CommandError, match="unable to activate be-2") as failed:
        pkg.update(illumos.host, HOST_IMAGE)
    assert "stop it first" in (failed.value.hint or "")


def test_some_of_the_packages_asked_for_are_installed(illumos: Any) -> None:
    illumos.answers("pkg list -H make nosuch", "make  1-1  i--\n", NOT_INSTALLED.format("nosuch"), status=3)
    assert [one.name for one in pkg.installed(illumos.host, HOST_IMAGE, "make", "nosuch")] == ["make"]


def test_a_plan_of_an_update_waits_and_gives_the_cause(illumos: Any) -> None:
    command = "pfexec pkg -R /zones/gold/root update -n -v --accept --no-refresh"
    illumos.answers(command, "", LOCKED, status=7)
    said = refusal("R287")
    illumos.answers(command, said["stdout"], said["stderr"], status=1)
    with pytest.raises(
        CommandError, match=r"app/tool cannot be installed: .* excluded by installed incorporation entire"
    ):
        pkgplan.update(illumos.host, "/zones/gold/root")
