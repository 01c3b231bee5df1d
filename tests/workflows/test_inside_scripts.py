"""The scripts that run in zones, under each shell there is for them: awkward account files go in, and are read after.

/bin/sh of illumos is ksh93. The sed is GNU's, and one that ends as illumos' does when there is no line left for `N`.
"""

# ruff: noqa: E501 - rows of a table, each with what goes in and what comes out

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from zonemgr.workflows import setup

SHELLS = [
    pytest.param(
        name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"there is no {name} here")
    )
    for name in ("dash", "ksh93", "bash")
]
# POSIXLY_CORRECT: GNU sed prints nothing when `N` finds no line (illumos-gate, cmd/sed/process.c: exit(0) without OUT).
SEDS = {"gnu": 'exec /usr/bin/sed "$@"', "illumos": 'POSIXLY_CORRECT=1 exec /usr/bin/sed "$@"'}


class Zone:
    """The root of a zone, as the scripts are told of it in R."""

    def __init__(self, root: Path, shell: str, sed: str) -> None:
        self.root, self.shell = root, shell
        self.tools = root / "tools"
        self.tools.mkdir(parents=True)
        (root / "etc").mkdir()
        for name, text in {"sed": sed, "svcs": "echo disabled", "svcadm": ":"}.items():
            (self.tools / name).write_text(f"#!/bin/sh\n{text}\n")
            (self.tools / name).chmod(0o755)

    def has(self, name: str, text: str, mode: int = 0o644) -> None:
        path = self.root / "etc" / name
        path.write_bytes(text.encode("latin-1"))
        path.chmod(mode)

    def file(self, name: str) -> str | None:
        path = self.root / "etc" / name
        return path.read_bytes().decode("latin-1") if path.exists() else None

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        script = script.replace("PATH=/usr/sbin:", f"PATH={self.tools}:/usr/sbin:")
        done = subprocess.run(
            [self.shell, "-s"], input=script, capture_output=True, text=True, check=False, encoding="latin-1",
            env={"R": str(self.root), "PATH": f"{self.tools}:/usr/bin:/bin"},
        )  # fmt: skip
        assert not list((self.root / "etc").glob("*.zonemgr")), "a copy was left behind"
        return done

    def call(self, *lines: str) -> subprocess.CompletedProcess[str]:
        """Functions of the set-up script."""
        parts = [
            setup.rendered(f"configure/{name}.sh.j2", sudoers=setup.SUDOERS)
            for name in ("records", "accounts")
        ]
        return self.run("\n".join(["set -eu", *parts, *lines, ""]))

    def drop(self, **what: list[str]) -> subprocess.CompletedProcess[str]:
        nothing: dict[str, Any] = {
            "users": [],
            "groups": [],
            "elevated": [],
            "autonfs_dropped": [],
            "links": [],
            "sudoers": setup.SUDOERS,
            "mounted": False,
        }
        return self.run(setup.rendered("configure/drop.sh.j2", **{**nothing, **what}))


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(SEDS))
def zone(request: pytest.FixtureRequest, shell: str, tmp_path: Path) -> Zone:
    return Zone(tmp_path / "root", shell, SEDS[request.param])


ROOT = "root:x:0:0:Super-User:/root:/usr/bin/bash\n"
JIM = "jim:x:300:10::/export/home/jim:/bin/sh"


class Row(NamedTuple):
    """A file, and what it is after `put FILE jim` of the new record, and after `without FILE jim`."""

    story: str
    file: str
    before: str | None
    put: str
    without: str | None
    name: str = "jim"


ROWS = [
    Row("one is added", "passwd", ROOT, f"{ROOT}NEW\n", ROOT),
    Row("one is replaced", "passwd", f"{JIM}\n{ROOT}", f"{ROOT}NEW\n", ROOT),
    Row("there were two", "passwd", f"{JIM}\n{ROOT}{JIM}\n", f"{ROOT}NEW\n", ROOT),
    Row("no line break at the end", "passwd", ROOT + JIM, f"{ROOT}NEW\n", ROOT),
    Row("none after somebody else", "passwd", ROOT[:-1], f"{ROOT}NEW\n", ROOT),
    Row("empty", "passwd", "", "NEW\n", ""),
    Row("missing", "passwd", None, "NEW\n", None),
    Row("missing, and secret", "shadow", None, "NEW\n", None),
    Row("only jim", "passwd", f"{JIM}\n", "NEW\n", ""),
    # What programs would join with the next line is kept apart from it.
    Row("ends in a backslash", "passwd", f"{ROOT}eve:x:1:1:\\\n", f"{ROOT}eve:x:1:1:\\\n\nNEW\n", f"{ROOT}eve:x:1:1:\\\n"),
    Row("a backslash and no line break", "shadow", "eve:NP:::::::\\", "eve:NP:::::::\\\n\nNEW\n", "eve:NP:::::::\\\n"),
    Row("jim ends in a backslash", "passwd", f"{JIM}\\\n{ROOT}", f"{ROOT}NEW\n", ROOT),
    Row("jim is last, with a backslash", "passwd", f"{ROOT}{JIM}\\", f"{ROOT}NEW\n", ROOT),
    Row("one before jim ends in a backslash", "passwd", f"eve:\\\n{JIM}\n{ROOT}", f"eve:\\\n\n{ROOT}NEW\n", f"eve:\\\n\n{ROOT}"),
    Row("a backslash is a character of shadow", "shadow", "eve:\\\njim:NP:::::::\nada:NP:::::::\n",
        "eve:\\\n\nada:NP:::::::\nNEW\n", "eve:\\\n\nada:NP:::::::\n"),
    Row("a backslash is a character of group", "group", "wheel::20:\\\njim::300:\n", "wheel::20:\\\n\nNEW\n", "wheel::20:\\\n\n"),
    # user_attr: records over several lines, comments, blanks.
    Row("a record over three lines", "user_attr", "root::::type=role\njim::::\\\ntype=normal;\\\nauths=a\nada::::b=c\n",
        "root::::type=role\nada::::b=c\nNEW\n", "root::::type=role\nada::::b=c\n"),
    Row("of somebody else", "user_attr", "ada::::\\\nb=c\njim::::\\\nb=d", "ada::::\\\nb=c\nNEW\n", "ada::::\\\nb=c\n"),
    Row("jim: within another's record", "user_attr", "ada::::\\\njim::::b=c\n", "ada::::\\\njim::::b=c\nNEW\n", "ada::::\\\njim::::b=c\n"),
    Row("the last record goes on and ends", "user_attr", "root::::type=role\nada::::b=c\\\n",
        "root::::type=role\nada::::b=c\\\n\nNEW\n", "root::::type=role\nada::::b=c\\\n"),
    Row("jim's goes on and ends", "user_attr", "root::::type=role\njim::::b=c\\", "root::::type=role\nNEW\n", "root::::type=role\n"),
    Row("comments stay", "user_attr", "# jim::::x\n#jim::::x\n\njim::::type=normal # his\n", "# jim::::x\n#jim::::x\n\nNEW\n", "# jim::::x\n#jim::::x\n\n"),
    Row("blanks before the name", "user_attr", " \tjim::::type=normal\n", "NEW\n", ""),
    Row("blanks before a name of passwd", "passwd", f" {JIM}\n", f" {JIM}\nNEW\n", f" {JIM}\n"),
    # Names are no patterns, and no beginnings of others.
    Row("a dot", "passwd", "axb:x:1:1:::\na.b:x:2:1:::\n", "axb:x:1:1:::\nNEW\n", "axb:x:1:1:::\n", "a.b"),
    Row("an asterisk", "passwd", "aab:x:1:1:::\na*b:x:2:1:::\n", "aab:x:1:1:::\nNEW\n", "aab:x:1:1:::\n", "a*b"),
    Row("a bracket", "group", "a[b::1:\nab::2:\n", "ab::2:\nNEW\n", "ab::2:\n", "a[b"),
    Row("a dollar", "group", "a$::1:\na::2:\n", "a::2:\nNEW\n", "a::2:\n", "a$"),
    Row("a backslash in a name", "passwd", "dom\\jim:x:1:1:::\ndomjim:x:2:1:::\n", "domjim:x:2:1:::\nNEW\n", "domjim:x:2:1:::\n", "dom\\jim"),
    Row("a longer name", "passwd", "jimmy:x:1:1:::\nkjim:x:1:1:::\n", "jimmy:x:1:1:::\nkjim:x:1:1:::\nNEW\n", "jimmy:x:1:1:::\nkjim:x:1:1:::\n"),
    # What is left alone stays letter by letter.
    Row("odd lines", "passwd", "+nis\n-\n\n  \na::b\n\t\nx:%s:\\n\\t*?[a]$HOME`id`\ncaf\xe9:x:1:1:::\n",
        "+nis\n-\n\n  \na::b\n\t\nx:%s:\\n\\t*?[a]$HOME`id`\ncaf\xe9:x:1:1:::\nNEW\n",
        "+nis\n-\n\n  \na::b\n\t\nx:%s:\\n\\t*?[a]$HOME`id`\ncaf\xe9:x:1:1:::\n"),
    Row("all nine fields of shadow", "shadow", "ada:$5$x$y:19000:0:99999:7:::1\njim:old:1:2:3:4:5:6:7\n",
        "ada:$5$x$y:19000:0:99999:7:::1\nNEW\n", "ada:$5$x$y:19000:0:99999:7:::1\n"),
    Row("an entry of a map over two lines", "auto_direct", "/a -ro \\\n  h:/a\njim h:/b \\\n  i:/b\n/c h:/c\n",
        "/a -ro \\\n  h:/a\n/c h:/c\nNEW\n", "/a -ro \\\n  h:/a\n/c h:/c\n"),
    Row("a map with tabs", "auto_direct", "/a.b\th:/x\n/axb\th:/y", "/axb\th:/y\nNEW\n", "/axb\th:/y\n", "/a.b"),
]  # fmt: skip


@pytest.mark.parametrize("row", [pytest.param(row, id=row.story) for row in ROWS])
@pytest.mark.parametrize("script", ["put", "without"])
def test_a_record_is_put_or_taken_away_and_nothing_else_changes(zone: Zone, row: Row, script: str) -> None:
    mode = 0o600 if row.file == "shadow" else 0o644
    if row.before is not None:
        zone.has(row.file, row.before, mode)
    new = f"{row.name}{' ' if row.file == 'auto_direct' else ':'}new"
    line = f"{script} \"$R/etc/{row.file}\" '{row.name}'"
    after = row.put.replace("NEW", new) if script == "put" else row.without
    for _ in range(2):  # once more makes no difference
        done = zone.call(f"{line} <<'END'\n{new}\nEND" if script == "put" else line)
        assert (done.returncode, done.stderr) == (0, "")
        assert zone.file(row.file) == after
    if after is not None:
        assert stat.S_IMODE((zone.root / "etc" / row.file).stat().st_mode) == mode


ADMIN = "profiles=Primary Administrator"


@pytest.mark.parametrize(
    ("before", "raised", "lowered"),
    [
        (None, f"jim::::type=normal;{ADMIN}\n", ""),
        ("", f"jim::::type=normal;{ADMIN}\n", ""),
        (
            "root::::type=role\nada::::b=c\\\n",  # the last account: illumos' sed lost it
            f"root::::type=role\nada::::b=c\\\n\njim::::type=normal;{ADMIN}\n",
            "root::::type=role\nada::::b=c\\\n\n",
        ),
        (
            "jim::::type=role;auths=a\\,b;profiles=All,\\\nZone Management\\\n",
            f"jim::::type=role;{ADMIN},All,Zone Management;auths=a\\,b\n",
            "jim::::type=role;profiles=All,Zone Management;auths=a\\,b\n",
        ),
        (
            "jim::::profiles=All\nada::::\\\n# x\njim::::defaultpriv=basic,\\\n!proc_info # no\n",
            f"ada::::\\\n# x\njim::::type=normal;{ADMIN},All;defaultpriv=basic,!proc_info \n",
            "ada::::\\\n# x\njim::::type=normal;profiles=All;defaultpriv=basic,!proc_info \n",
        ),
        (
            "jimmy::::type=role\n jim::::project=*?[a]",
            f"jimmy::::type=role\njim::::type=normal;{ADMIN};project=*?[a]\n",
            "jimmy::::type=role\njim::::type=normal;project=*?[a]\n",
        ),
    ],
)
def test_rights_are_raised_and_lowered_beside_whatever_else_there_is(
    zone: Zone, before: str | None, raised: str, lowered: str
) -> None:
    zone.has("passwd", f"{ROOT}{JIM}")
    if before is not None:
        zone.has("user_attr", before)
    for _ in range(2):
        assert zone.call("elevate jim ''").stderr == ""
        assert zone.file("user_attr") == raised
    assert zone.drop(elevated=["jim"]).stderr == ""
    assert zone.file("user_attr") == lowered


def test_nobody_is_elevated_who_is_nowhere(zone: Zone) -> None:
    zone.has("passwd", ROOT[:-1])
    done = zone.call("elevate j.m ''")
    assert (done.returncode, done.stderr) == (
        1,
        "setup: there is no user j.m in the zone to elevate, nor on the host\n",
    )
    zone.has("passwd", f"{ROOT}jxm:x:300:10::/:")
    assert zone.call("elevate j.m ''").returncode == 1
    assert zone.file("user_attr") is None


def test_a_group_keeps_its_members_and_tells_of_a_number_that_changes(zone: Zone) -> None:
    zone.has("group", "root::0:\ncrew::300:ada,eve\\\nx.w::20:\ncrew::301:ada,kim\nxaw::77:\nmen::20:jim")
    done = zone.call("put_group crew 20 jim ada")
    assert zone.file("group") == (
        "root::0:\nx.w::20:\nxaw::77:\nmen::20:jim\ncrew::20:ada,eve\\,ada,kim,jim\n"
    )
    assert done.stderr == (
        "setup: warning: group crew had gid 300 here and has 20 now, as on the host\n"
        "setup: warning: group crew shares gid 20 with x.w men of this zone\n"
    )
    zone.call("put_group 'x.w' 20")
    assert (zone.file("group") or "").endswith("x.w::20:\n")
    assert "xaw::77:\n" in (zone.file("group") or "")


def test_users_and_groups_go_from_every_file_and_from_nobody_elses_lines(zone: Zone) -> None:
    zone.has("passwd", f"{ROOT}jimmy:x:301:10:::\\\n{JIM}\nj.m:x:302:10:::\naxm:x:303:10:::")
    zone.has("shadow", "root:NP:::::::\njim:h:::::::\njimmy:h:::::::", 0o600)
    zone.has(
        "group",
        "root::0:\nstaff::10:jim,ada,jim\nmen::301:jim\nall::302:a,jim,jimmy,kjim,j.m\njim::303:\nodd\njim\n",
    )
    zone.has("auto_direct", "/mnt/a.b h:/x\n/mnt/axb h:/y \\\n h:/z")
    zone.has("auto_master", "/home auto_home\n/- other", 0o644)
    done = zone.drop(users=["jim", "j.m"], groups=["jim"], autonfs_dropped=["/mnt/a.b"], links=["net1"])
    assert (done.returncode, done.stderr) == (0, "")
    assert zone.file("passwd") == f"{ROOT}jimmy:x:301:10:::\\\n\naxm:x:303:10:::\n"
    assert zone.file("shadow") == "root:NP:::::::\njimmy:h:::::::\n"
    assert zone.file("group") == "root::0:\nstaff::10:ada\nmen::301:\nall::302:a,jimmy,kjim\nodd\njim\n"
    assert zone.file("user_attr") is None
    assert zone.file("auto_direct") == "/mnt/axb h:/y \\\n h:/z\n"
    assert zone.file("auto_master") == "/home auto_home\n/- other\n/-\tauto_direct\n"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"users": ["eve"]}, "there is no user eve in the zone"),
        ({"users": ["j.m"]}, "there is no user j.m in the zone"),
        ({"users": ["root"]}, "user root belongs to the system"),
        ({"groups": ["eve"]}, "there is no group eve in the zone"),
        ({"groups": ["crew"]}, "group crew is the primary group of jxm"),
        (
            {"users": ["jim"], "autonfs_dropped": ["/mnt/a.b"]},
            "there is no automount on /mnt/a.b in the zone",
        ),
    ],
)
def test_what_cannot_be_dropped_is_refused(zone: Zone, what: dict[str, list[str]], said: str) -> None:
    zone.has("passwd", f"{ROOT}{JIM}\njxm:x:301:310::/:")
    zone.has("group", "root::0:\ncrew::310:")
    zone.has("auto_direct", "# /mnt/a.b h:/x\n/mnt/axb h:/y\n/mnt/a.bc h:/x\n")
    before = [zone.file(name) for name in ("passwd", "group", "auto_direct")]
    done = zone.drop(**what)
    assert (done.returncode, done.stderr) == (1, f"setup: refused: {said}\n")
    assert [zone.file(name) for name in ("passwd", "group", "auto_direct")] == before


def test_the_sed_of_this_test_ends_as_illumos_does(tmp_path: Path) -> None:
    """Else half of this file says nothing."""
    (tmp_path / "sed").write_text(f"#!/bin/sh\n{SEDS['illumos']}\n")
    (tmp_path / "sed").chmod(0o755)
    for words, out in ((["N;N"], ""), (["$!N;$!N"], "a\nb\n"), (["-n", "p"], "a\nb\n")):
        done = subprocess.run(
            [tmp_path / "sed", *words], input="a\nb\n", capture_output=True, text=True, check=True
        )
        assert done.stdout == out
