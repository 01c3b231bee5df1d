"""Accounts of the host in a zone: replaced and not doubled, elevated once, and no hash where anybody could read it."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab
from zonemgr import records
from zonemgr.cli.show import Screen
from zonemgr.errors import CommandError, NotThere, ZonemgrError
from zonemgr.model import ZoneName
from zonemgr.workflows import building, disposable, execute, setup, survey
from zonemgr.workflows.disposable import DisposableRequest

ZONE = "build-1"
SUDO = "mkdir -p /etc/sudoers.d; chmod 750 /etc/sudoers.d"


def make(lab: Lab, **words: str) -> None:
    disposable.create(lab.site(), DisposableRequest(**{"origin": GOLDEN, "zone": ZONE, **words}))


def inside(lab: Lab, text: str, user: str = "root") -> None:
    ended = execute.in_zone(lab.site(), ZONE, execute.Command(text, user=user, discard="off"))
    assert ended.exit_code == 0, text


def again(lab: Lab, **words: object) -> None:
    """The set-up script once more."""
    from zonemgr.workflows.job import job

    made_by = survey.managed(lab.site().host, ZoneName(ZONE), survey.DIZ).run
    lab.run("zoneadm", "-z", ZONE, "halt")
    with job(lab.site(), [ZoneName(ZONE)], records.new_run_id()) as work:
        work.do(building.SetUp(ZONE, made_by, 60.0, **words))  # type: ignore[arg-type]
    lab.run("zoneadm", "-z", ZONE, "boot")


def lines(lab: Lab, file: str, name: str) -> list[str]:
    text = lab.in_zone(ZONE, file).read_text().splitlines()
    return [line for line in text if line.startswith(f"{name}:")]


def hashes(lab: Lab) -> list[str]:
    text = (lab.world.host / "etc/shadow").read_text().splitlines()
    return [word for word in (line.split(":")[1] for line in text) if word.startswith("$")]


def on_host(lab: Lab, file: str, line: str) -> None:
    """One more line of an account file of the host, in the place of the one of that name."""
    path, name = lab.world.host / "etc" / file, line.partition(":")[0]
    kept = [old for old in path.read_text().splitlines() if not old.startswith(f"{name}:")]
    path.write_text("\n".join([*kept, line, ""]))


# -- what comes over -----------------------------------------------------------------------------------------------


def test_a_primary_group_that_the_host_has_not_is_told_of(lab: Lab) -> None:
    on_host(lab, "passwd", "lone:x:300:777:Lone:/export/home/lone:/bin/sh")
    make(lab, users="lone")
    assert "the host has no group 777, which is lone's own, so none comes over" in lab.report.warnings


def test_an_account_comes_over_whole(each_lab: Lab) -> None:
    make(each_lab, users="builder", groups="adm")
    assert lines(each_lab, "/etc/passwd", "builder") == [
        "builder:x:101:10:Build user:/export/home/builder:/bin/sh"
    ]
    [shadow] = lines(each_lab, "/etc/shadow", "builder")
    host = dict(line.split(":")[:2] for line in (each_lab.world.host / "etc/shadow").read_text().splitlines())
    assert shadow == f"builder:{host['builder']}:::::::"
    assert lines(each_lab, "/etc/group", "build") == ["build::100:builder"]
    assert lines(each_lab, "/etc/group", "staff") == ["staff::10:"]
    assert len(lines(each_lab, "/etc/group", "adm")) == 1
    for file, mode in (("passwd", 0o644), ("shadow", 0o400), ("group", 0o644)):
        assert stat.S_IMODE(each_lab.in_zone(ZONE, f"/etc/{file}").stat().st_mode) == mode
    assert not list(each_lab.in_zone(ZONE, "/etc").glob("*.zonemgr"))
    home = each_lab.in_zone(ZONE, "/export/home/builder")
    assert home.is_dir() and (home / ".profile").exists()  # of /etc/skel
    if os.geteuid() == 0:
        assert (home.stat().st_uid, home.stat().st_gid) == (101, 10)
        assert (home / ".profile").stat().st_uid == 101
        inside(each_lab, "test $(id -u) = 101 && touch made-here", user="builder")
        assert (home / "made-here").exists()


def test_an_account_that_is_there_is_replaced_with_its_files(lab: Lab) -> None:
    make(lab)
    inside(
        lab,
        "echo 'builder:x:555:1:Old:/export/home/builder:/bin/ksh' >> /etc/passwd; cp /etc/passwd /etc/passwd.1;"
        "echo 'builder:oldhash:1::::::' >> /etc/shadow; echo 'build::777:other' >> /etc/group;"
        "echo 'web.site:x:101:80::/:' >> /etc/passwd; echo 'crew::100:' >> /etc/group;"
        "mkdir -p /export/home/builder/src; touch /export/home/builder/src/a /export/home/builder/theirs;"
        "chown -R 555:1 /export/home/builder; chown 80 /export/home/builder/theirs",
    )
    for _ in range(2):
        again(lab, users=("builder",), groups=("build",))
    assert lines(lab, "/etc/passwd", "builder") == [
        "builder:x:101:10:Build user:/export/home/builder:/bin/sh"
    ]
    assert len(lines(lab, "/etc/shadow", "builder")) == 1
    assert "oldhash" not in lab.in_zone(ZONE, "/etc/shadow").read_text()
    assert lines(lab, "/etc/group", "build") == ["build::100:other,builder"]
    told = "\n".join(lab.report.warnings)
    assert "group build had gid 777 here and has 100 now" in told
    assert "group build shares gid 100 with crew of this zone" in told
    assert "user builder shares uid 101 with web.site of this zone" in told
    if os.geteuid() == 0:
        home = lab.in_zone(ZONE, "/export/home/builder")
        assert [(home / name).stat().st_uid for name in (".", "src", "src/a", "theirs")] == [
            101,
            101,
            101,
            80,
        ]


def test_names_that_begin_alike_or_have_dots_are_not_mixed_up(lab: Lab) -> None:
    for name, uid in (("a.b", 301), ("a_b", 302), ("axb", 303)):
        on_host(lab, "passwd", f"{name}:x:{uid}:10::/export/home/{name}:/bin/sh")
        on_host(lab, "shadow", f"{name}:$5$salt{uid}$hash{uid}:::::::")
    make(lab, users="axb a_b")
    again(lab, users=("a.b",))
    for name, uid in (("a.b", 301), ("a_b", 302), ("axb", 303)):
        assert [line.split(":")[2] for line in lines(lab, "/etc/passwd", name)] == [str(uid)]
        assert lines(lab, "/etc/shadow", name) == [f"{name}:$5$salt{uid}$hash{uid}:::::::"]


@pytest.mark.parametrize(
    ("lofs", "made"),
    [("/export/home|/export/src", False), ("/export/home/builder|/export/src", False), ("", True)],
)
def test_a_home_that_is_mounted_stays_the_hosts(lab: Lab, lofs: str, made: bool) -> None:
    outside = lab.world.host / "export/src"
    before = outside.stat()
    make(lab, users="builder", lofs=lofs)
    assert list(outside.iterdir()) == []
    assert (outside.stat().st_uid, outside.stat().st_mode) == (before.st_uid, before.st_mode)
    assert lab.in_zone(ZONE, "/export/home/builder").exists() == (made or "builder" in lofs)


def test_a_directory_made_for_a_mount_below_is_the_users_all_the_same(lab: Lab) -> None:
    make(lab, users="builder", lofs="/export/home/builder/src|/export/src")
    if os.geteuid() == 0:
        assert lab.in_zone(ZONE, "/export/home/builder").stat().st_uid == 101


def test_odd_homes_and_shells_and_no_password(lab: Lab) -> None:
    """Homes in the automounter's way are moved; one that is the system's stays root's; what is missing is told."""
    on_host(lab, "passwd", "jim:x:102:10:Jim:/home/jim:/opt/no/zsh")
    on_host(lab, "shadow", "jim::::::::")
    make(lab, users="webservd adm jim")
    assert lines(lab, "/etc/passwd", "jim") == ["jim:x:102:10:Jim:/export/home/jim:/opt/no/zsh"]
    assert lab.in_zone(ZONE, "/export/home/jim").is_dir()
    assert f"{ZONE}: user jim cannot log in: the zone has no /opt/no/zsh" in lab.report.warnings
    assert lines(lab, "/etc/shadow", "jim") == ["jim:NP:::::::"]
    assert any("no password comes over for jim: there is none" in text for text in lab.report.warnings)
    assert len(lines(lab, "/etc/passwd", "webservd")) == 1
    if os.geteuid() == 0:
        assert lab.in_zone(ZONE, "/").stat().st_uid == 0
        assert lab.in_zone(ZONE, "/var/adm").stat().st_uid == 0


# -- passwords -----------------------------------------------------------------------------------------------------


def test_unreadable_hashes_become_np_and_are_told(lab: Lab) -> None:
    lab.user = "builder"
    make(lab, users="builder jim")
    assert lines(lab, "/etc/shadow", "jim") == ["jim:NP:::::::"]
    assert lines(lab, "/etc/shadow", "builder") == ["builder:NP:::::::"]
    [told] = [text for text in lab.report.warnings if "no password" in text]
    assert "for builder, jim: their hashes could not be read" in told


def test_who_has_all_rights_by_pfexec_brings_hashes_over(lab: Lab) -> None:
    on_host(lab, "user_attr", "builder::::type=normal;profiles=Primary Administrator")
    lab.user = "builder"
    make(lab, users="jim")
    assert lines(lab, "/etc/shadow", "jim")[0].split(":")[1] in hashes(lab)
    assert not [text for text in lab.report.warnings if "no password" in text]


def test_root_takes_nothing_from_the_hosts_root(lab: Lab) -> None:
    make(lab, users="root", elevated="root", groups="root")
    assert lines(lab, "/etc/shadow", "root")[0].split(":")[1] == "NP"
    assert len(lines(lab, "/etc/passwd", "root")) == 1
    assert len(lines(lab, "/etc/user_attr", "root")) == 1
    assert "root is in every zone already: nothing of the host's comes over" in lab.report.warnings


def test_no_hash_is_to_be_seen_anywhere(lab: Lab, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Not in arguments, logs, records, journals, the dry run's plan or what people are shown, also when it fails."""
    secrets = hashes(lab)
    assert len(secrets) == 3
    shown = tmp_path / "shown"
    with shown.open("w") as stream:
        screen = Screen(level=5, stream=stream)
        site = lab.site()
        site.report = screen
        heard: list[str] = []
        dry = lab.site(dry_run=True)
        dry.host = lab.door(dry_run=True, report=heard.append)
        request = DisposableRequest(GOLDEN, zone=ZONE, users="builder jim root", elevated="builder")
        disposable.create(dry, request)
        disposable.create(site, request)
        lab.inside.fault("kill-after:zlogin -S other */bin/sh -s*")
        with pytest.raises(ZonemgrError):
            disposable.create(site, DisposableRequest(GOLDEN, zone="other", users="builder jim"))
        kept_here = [path for path in _files(lab.world.dir) if _holds(path, secrets)]
        echoing = f"sh: syntax error: {secrets[1]} unexpected"
        lab.fails("zlogin -S third */bin/sh -s*", stderr=echoing)
        with pytest.raises(CommandError) as failure:
            disposable.create(site, DisposableRequest(GOLDEN, zone="third", users="builder jim"))
        screen.error(str(failure.value), failure.value.hint, list(getattr(failure.value, "__notes__", [])))
    seen = capfd.readouterr()
    everything = "\n".join([
        shown.read_text(), *heard, seen.out, seen.err, str(failure.value), failure.value.stderr,
        *map(str, lab.lines), *map(str, lab.commands()), *lab.report.warnings,
    ])  # fmt: skip
    assert "set up build-1" in everything
    for secret in secrets:
        assert secret not in everything
    assert {path.name for path in kept_here} <= {"shadow"}, kept_here
    records = lab.world.host / "var/lib/zonemgr"
    assert not [path for path in _files(records) if _holds(path, secrets)]


def _files(top: Path) -> list[Path]:
    return [Path(folder, name) for folder, _, names in os.walk(top) for name in names]


def _holds(path: Path, secrets: list[str]) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    text = path.read_bytes()
    return any(secret.encode() in text for secret in secrets)


# -- rights --------------------------------------------------------------------------------------------------------


def test_elevation_is_written_once_however_often(lab: Lab) -> None:
    make(lab, users="builder", elevated="builder")
    inside(lab, SUDO)
    for _ in range(3):
        again(lab, elevated=("builder",))
    assert lines(lab, "/etc/user_attr", "builder") == [
        "builder::::type=normal;profiles=Primary Administrator"
    ]
    rule = lab.in_zone(ZONE, "/etc/sudoers.d/zonemgr-builder")
    assert rule.read_text() == "builder ALL=(ALL) NOPASSWD: ALL\n"
    assert stat.S_IMODE(rule.stat().st_mode) == 0o440
    assert (rule.stat().st_uid, rule.stat().st_gid) == (os.geteuid(), os.getegid())
    assert [path.name for path in rule.parent.iterdir()] == ["zonemgr-builder"]


def test_attributes_an_account_had_are_kept(lab: Lab) -> None:
    make(lab, users="builder jim")
    inside(
        lab,
        r"printf '%s\n' 'builder::::type=role;auths=solaris.*;profiles=All,Zone Management;audit_flags=lo\:no' "
        r"'#jim::::a' 'jim::::project=x;\' 'lock_after_retries=no' 'jim.x::::profiles=All' >> /etc/user_attr",
    )
    for _ in range(2):
        again(lab, elevated=("builder", "jim"))
    assert lines(lab, "/etc/user_attr", "builder") == [
        r"builder::::type=role;profiles=Primary Administrator,All,Zone Management;auths=solaris.*;audit_flags=lo\:no"
    ]
    assert lines(lab, "/etc/user_attr", "jim") == [
        "jim::::type=normal;profiles=Primary Administrator;project=x;lock_after_retries=no"
    ]
    text = lab.in_zone(ZONE, "/etc/user_attr").read_text()
    assert "#jim::::a\n" in text and "jim.x::::profiles=All\n" in text
    assert len(lines(lab, "/etc/user_attr", "root")) == 1


def test_sudo_of_pkgsrc_has_its_own_place_and_without_sudo_nothing_is_written(lab: Lab) -> None:
    make(lab, users="builder")
    inside(lab, "mkdir -p /opt/local/etc/sudoers.d")
    again(lab, elevated=("builder",))
    assert lab.in_zone(ZONE, "/opt/local/etc/sudoers.d/zonemgr-builder").exists()
    assert not lab.in_zone(ZONE, "/etc/sudoers.d").exists()


def test_every_user_has_a_file_that_sudo_reads() -> None:
    users = ["a.b", "a_b", "a-b", "a_2eb", "A.b", "b", "_b", "b_", "x.", "x._"]
    names = {setup.sudoers_name(user) for user in users}
    assert len(names) == len(users)
    assert all(re.fullmatch(r"zonemgr-[A-Za-z0-9_-]+", name) for name in names)


def test_who_is_in_the_image_alone_can_be_elevated_and_rights_may_wait_for_the_account(lab: Lab) -> None:
    make(lab, elevated="lp jim")
    rights = "::::type=normal;profiles=Primary Administrator"
    assert lines(lab, "/etc/user_attr", "lp") == [f"lp{rights}"]
    assert lines(lab, "/etc/user_attr", "jim") == [f"jim{rights}"]
    assert any("there is no user jim in the zone" in text for text in lab.report.warnings)


def test_accounts_the_host_lacks_are_refused_at_once(lab: Lab) -> None:
    before = lab.everything()
    for words in ({"users": "ghost"}, {"groups": "ghosts"}):
        with pytest.raises(NotThere, match=r"there is no (user|group) ghost"):
            make(lab, **words)
    assert lab.everything() == before
