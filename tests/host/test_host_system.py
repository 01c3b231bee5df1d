"""What kind of host this is, who we are there, and what that allows (docs/illumos.md: ZFS, zlogin and rights)."""

from __future__ import annotations

from typing import Any

import pytest

from zonemgr.errors import CommandError, CommandNotFound, ZonemgrError
from zonemgr.host import system
from zonemgr.host.door import CallableHost
from zonemgr.model import BootEnvironment, Identity


def test_the_global_zone_knows_itself(illumos: Any) -> None:
    illumos.answers("zonename", "global\n")
    assert system.in_global_zone(illumos.host)
    illumos.answers("zonename", "build-1\n")
    assert not system.in_global_zone(illumos.host)


def test_where_there_is_no_zonename_it_is_no_illumos_host() -> None:
    def execute(*how: Any) -> tuple[int, str, str]:
        raise FileNotFoundError(2, "No such file or directory", "zonename")

    host = CallableHost(execute, print)
    with pytest.raises(CommandNotFound, match="not an illumos host") as missing:
        system.in_global_zone(host)
    assert "zonemgr lab run" in (missing.value.hint or "")


def test_who_runs_the_commands(illumos: Any) -> None:
    illumos.answers("id -u -n", "jim\n")
    illumos.answers("id -u", "100\n")
    assert system.identity(illumos.host) == Identity("jim", 100)
    assert not Identity("jim", 100).is_root


def test_profiles_in_order(illumos: Any) -> None:
    illumos.answers("profiles", "Zone Management\nZone Security\nBasic Solaris User\nAll\n")
    assert system.profiles(illumos.host) == ["Zone Management", "Zone Security", "Basic Solaris User", "All"]
    illumos.answers("profiles", "", "profiles: jim: No profiles\n", 1)
    assert system.profiles(illumos.host) == []
    illumos.answers("profiles", "", "profiles: out of memory\n", 1)
    with pytest.raises(CommandError):
        system.profiles(illumos.host)


@pytest.mark.parametrize(
    ("have", "tools", "missing"),
    [
        (["All"], ["zfs"], ["ZFS File System Management"]),
        (["Zone Management"], ["zoneadm", "zlogin"], ["Zone Security"]),
        ([], ["zoneadm", "zonecfg", "zfs", "dladm", "pkg"],
         ["Zone Management", "Zone Security", "ZFS File System Management", "Network Link Security",
          "Software Installation"]),
        (["Network Management"], ["dladm"], []),
        (["Primary Administrator"], ["zoneadm", "zfs"], []),
        ([], ["id", "cat"], []),
    ],
)  # fmt: skip
def test_which_profile_a_job_lacks(have: list[str], tools: list[str], missing: list[str]) -> None:
    assert sorted(system.missing_profiles(have, tools)) == sorted(missing)


BEADM = (
    "oi-2;b6e7f1a2-0000;NR;/;9063936;static;1700000000\n"
    "oi-1;11112222-0000;-;-;1234;static;1600000000\n"
)  # fmt: skip


def test_the_boot_environment_that_is_booted_now(illumos: Any) -> None:
    illumos.answers("beadm list -H", BEADM)
    assert system.current_be(illumos.host) == BootEnvironment("oi-2", "b6e7f1a2-0000", True, True)
    illumos.answers("beadm list -H", BEADM.replace("NR", "N").replace(";-;-;", ";R;-;"))
    booted, other = system.boot_environments(illumos.host)
    assert (booted.booted, booted.next, other.booted, other.next) == (True, False, False, True)


def test_no_booted_environment_is_an_error(illumos: Any) -> None:
    illumos.answers("beadm list -H", BEADM.replace("NR", "-"))
    with pytest.raises(ZonemgrError, match="which boot environment"):
        system.current_be(illumos.host)


def test_paths_are_asked_for_by_command(illumos: Any) -> None:
    illumos.answers("test -d '/export/a b'")
    illumos.answers("test -d /nowhere", status=1)
    illumos.answers("test -e /etc/passwd")
    assert system.directory_exists(illumos.host, "/export/a b")
    assert not system.directory_exists(illumos.host, "/nowhere")
    assert system.path_exists(illumos.host, "/etc/passwd")


@pytest.mark.parametrize(
    ("status", "err", "text"),
    [
        (0, "", "search x\n"),
        (1, "cat: /f: No such file or directory\n", None),
        (2, "cat: cannot open /f: No such file or directory\n", None),
    ],
)  # fmt: skip
def test_a_file_is_read_by_command(illumos: Any, status: int, err: str, text: str | None) -> None:
    illumos.answers("cat /f", text or "", err, status)
    assert system.read_file(illumos.host, "/f") == text


def test_a_file_that_may_not_be_read_is_an_error(illumos: Any) -> None:
    illumos.answers("pfexec cat /f", "", "cat: cannot open /f: Permission denied\n", 2)
    with pytest.raises(CommandError, match="Permission denied"):
        system.read_file(illumos.host, "/f", elevated=True)


@pytest.mark.parametrize(
    ("setting", "words"), [("", ()), ("pfexec", ("pfexec",)), ("sudo -n", ("sudo", "-n"))]
)
def test_elevation_by_setting(setting: str, words: tuple[str, ...]) -> None:
    assert system.elevation(setting) == words


def test_root_needs_no_elevation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert system.elevation("auto") == ()
    monkeypatch.setattr("os.geteuid", lambda: 100)
    assert system.elevation("auto") == ("pfexec",)
