"""The list of an illumos host's programs, and that a lab keeps to it: in the global zone and in a zone."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.stage import Stage, needs_namespaces
from tests.lab.test_lab_labs import run, sh
from zonemgr.lab import checked, commandlist, labs, programs, shells, tools

ENTRIES = commandlist.read()
WORDS = {folder: word for word, folder in commandlist.FOLDERS.items()}
# Programs that have no function of their own for each place: see programs.py.
SCRIPTS = {"zonemgr"}
# Names that Linux has and illumos has not.
FOREIGN = ("apt", "apt-get", "dpkg", "systemctl", "ip", "ss", "free", "lsblk", "lscpu", "lsof", "mountpoint", "setsid",
           "adduser", "chpasswd", "nsenter", "losetup", "swapon", "sysctl", "journalctl")  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("commands") / "lab"
    labs.create(place)
    yield place
    labs.destroy(place)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("commands-zone") / "lab")
    made.boot()
    yield made
    made.close()


class TestList:
    def test_every_line_can_be_read(self) -> None:
        assert len(ENTRIES) > 800
        for entry in ENTRIES:
            assert entry.verdict in commandlist.VERDICTS, entry
            assert set(entry.folders) <= commandlist.FOLDERS.keys(), entry
            assert not entry.options or entry.verdict == commandlist.MACHINE, entry

    def test_it_is_sorted_and_says_one_thing_of_each_program(self) -> None:
        names = [entry.name for entry in ENTRIES]
        assert names == sorted(names)
        places = [(entry.name, folder) for entry in ENTRIES for folder in entry.folders]
        assert len(places) == len(set(places))

    def test_emulated_is_what_the_lab_has_functions_for(self) -> None:
        listed = {entry.name for entry in ENTRIES if entry.verdict == commandlist.EMULATED}
        assert listed - SCRIPTS == {*tools.TOOLS, *tools.IN_ZONE} - SCRIPTS


def verdict(folder: str, name: str) -> str:
    """What the list says of a program in a directory; empty when it is not in the list."""
    word = WORDS[folder]
    exact = [entry for entry in ENTRIES if entry.name == name and word in entry.folders]
    alike = [entry for entry in ENTRIES if word in entry.folders and fnmatch.fnmatch(name, entry.name)]
    return (exact or alike)[0].verdict if exact or alike else ""


def found(text: str) -> list[tuple[str, str, str]]:
    """Directory, name, and what is there, of all programs that `SHOW` printed."""
    return [tuple(line.split(" ", 2)) for line in text.splitlines()]  # type: ignore[misc]


FOLDERS = [folder for folder in commandlist.FOLDERS.values() if folder]
SHOW = (
    f"for folder in {' '.join(FOLDERS)}; do for file in /$folder/*; do name=${{file##*/}}; "
    'if [ -L "$file" ]; then what=$(/.lab/usr/bin/readlink "$file"); else read what < "$file"; fi; '
    'echo "$folder $name $what"; done; done'
)


def faults(programs: list[tuple[str, str, str]], functions: set[str]) -> Iterator[str]:
    for folder, name, what in programs:
        says = verdict(folder, name)
        refuses = what == "/.lab/tools/refused"
        if says == commandlist.EMULATED:
            good = (refuses and name not in functions) or (not refuses and "/.lab/" in what)
        elif says == commandlist.REFUSED:
            good = refuses or name in programs_of_the_shell()
        else:
            good = says == commandlist.MACHINE and not refuses
        if not good:
            yield f"/{folder}/{name}: {what}, and the list says {says or 'nothing'}"


def programs_of_the_shell() -> set[str]:
    return set(programs.BUILTINS)


class TestPrograms:
    pytestmark = needs_namespaces

    def test_every_program_of_the_global_zone_is_what_the_list_says(self, lab: Path) -> None:
        there = found(sh(lab, SHOW))
        assert len(there) > 700
        assert list(faults(there, {*tools.TOOLS, *SCRIPTS})) == []

    def test_every_program_of_a_zone_is_what_the_list_says(self, stage: Stage) -> None:
        there = found(stage.sh(SHOW))
        assert len(there) > 700
        assert list(faults(there, {*tools.IN_ZONE, *SCRIPTS})) == []
        assert "zonemgr" not in {name for _, name, _ in there}

    def test_whatever_the_list_has_is_there_unless_the_machine_has_it_not(self, lab: Path) -> None:
        there = {(folder, name) for folder, name, _ in found(sh(lab, SHOW))}
        for entry in ENTRIES:
            if entry.verdict != commandlist.MACHINE:
                for word in entry.folders:
                    folder = commandlist.FOLDERS[word]
                    assert not folder or (folder, entry.name) in there, entry

    def test_what_is_refused_says_so(self, lab: Path, stage: Stage) -> None:
        ended = run(lab, "sh", "-c", "snoop; echo $?; /usr/sbin/zpool_no; install -c a b; echo $?")
        assert ended.stdout == "127\n127\n"
        assert ended.stderr.splitlines()[0] == "lab: snoop is not emulated"
        assert ended.stderr.splitlines()[-1] == "lab: install is not emulated"
        ended = stage.run("zlogin", "-S", "web", "snoop; echo $?")
        assert (ended.stdout, ended.stderr) == ("127\n", "lab: snoop is not emulated\n")

    @pytest.mark.parametrize("where", ["gz", "zone"])
    def test_what_illumos_has_not_is_not_found(self, lab: Path, stage: Stage, where: str) -> None:
        script = f"for name in {' '.join(FOREIGN)}; do command -v $name; done; true"
        assert (sh(lab, script) if where == "gz" else stage.sh(script)) == ""

    def test_programs_are_where_illumos_has_them(self, lab: Path) -> None:
        script = (
            "ls /usr/sbin/zoneadm /usr/bin/pkg /sbin/zfs /usr/sbin/zfs /usr/bin/zonename /sbin/zonename /sbin/sh; "
            "ls /usr/bin/zoneadm /usr/sbin/pkg /usr/bin/zfs 2>/dev/null"
        )
        ended = run(lab, "sh", "-c", script)
        assert ended.stdout.split() == [
            *("/sbin/sh", "/sbin/zfs", "/sbin/zonename", "/usr/bin/pkg", "/usr/bin/zonename"),
            *("/usr/sbin/zfs", "/usr/sbin/zoneadm"),
        ]

    def test_gnus_programs_have_a_directory_of_their_own(self, lab: Path) -> None:
        assert sh(lab, "/usr/gnu/bin/sed --version | head -1; gsed --version | head -1").count("GNU sed") == 2
        assert "GNU Make" in sh(lab, "gmake --version")


CALLS = [
    ("sed --version", "lab: sed --version is not emulated"),
    ("sed -z p /dev/null", "lab: sed -z is not emulated"),
    ("sed -n -s p /dev/null", "lab: sed -s is not emulated"),
    ("grep -P x /dev/null", "lab: grep -P is not emulated"),
    ("grep -o x /dev/null", "lab: grep -o is not emulated"),
    ("date -d yesterday", "lab: date -d is not emulated"),
    ("tar --create -f /dev/null /etc/passwd", "lab: tar --create is not emulated"),
    ("mkdir -v /tmp/x", "lab: mkdir -v is not emulated"),
    ("cp -u /etc/passwd /tmp/x", "lab: cp -u is not emulated"),
    ("ls -lZ /etc", "lab: ls -lZ is not emulated"),
    ("find /etc -printf x", "lab: find -printf is not emulated"),
    ("find -name passwd", "find: path-list predicate-list"),
    ("xargs --null echo < /dev/null", "lab: xargs --null is not emulated"),
]


class TestOptions:
    pytestmark = needs_namespaces

    @pytest.mark.parametrize(("line", "said"), CALLS)
    def test_an_option_that_illumos_has_not_is_refused(self, lab: Path, line: str, said: str) -> None:
        ended = run(lab, "sh", "-c", line)
        assert ended.returncode != 0
        assert ended.stderr.startswith(said)

    def test_those_it_has_pass(self, lab: Path) -> None:
        script = (
            "cd /tmp; printf 'one\\ntwo\\n' > f; sed -n -e s/one/1/p f; sed -i.old s/two/2/ f; cat f f.old; "
            "grep -c -E 'one|2' f; tail -1 f; head -1 f; mkdir -p -m 755 d/e; cp -rp d g; ls -ld g/e | cut -c1-10; "
            "find . -name e -print | sort; tar cf t d && tar tf t; printf 'a b' | xargs -n 1 echo; date -u +%Y > y; "
            "printf 'b\\na\\n' | sort -r; echo abc | tr -d b; rm -rf d g f f.old t y"
        )
        said = " ".join(sh(lab, script).split())
        assert said == "1 one 2 one two 2 2 one drwxr-xr-x ./d/e ./g/e d/ d/e/ a b b a ac"


def test_a_letter_that_ends_the_look(tmp_path: Path) -> None:
    program = tmp_path / "sed"
    program.write_text(checked.script("sed", "/usr/bin/sed", "ni!").replace("/.lab/usr/bin/sh", "/bin/sh"))
    program.chmod(0o755)
    file = tmp_path / "file"
    file.write_text("a\n")
    assert subprocess.run([program, "-ni.bak", "p", file], check=False).returncode == 0
    assert (tmp_path / "file.bak").exists()


SHELLS = ("/bin/sh", "/sbin/sh", "/usr/bin/sh", "/usr/bin/ksh", "/usr/bin/ksh93", "/usr/xpg4/bin/sh")
KSH = (
    "a=(one two); [[ ${a[1]} == t* ]] && echo ${#a[@]} {x,y}; typeset -i n=7; ((n > 6)) && echo $n; "
    "function f { typeset here=1; print $here; }; f"
)


@pytest.mark.skipif(not Path("/usr/bin/ksh93").exists(), reason="this machine has no ksh93")
class TestShell:
    pytestmark = needs_namespaces

    @pytest.mark.parametrize("shell", SHELLS)
    def test_sh_is_ksh93(self, lab: Path, stage: Stage, shell: str) -> None:
        for text in (sh(lab, f"{shell} -c '{KSH}'"), stage.sh(f"{shell} -c '{KSH}'")):
            assert text == "2 x y\n7\n1\n"
        assert "93u" in sh(lab, f"{shell} -c 'echo ${{.sh.version}}'")

    def test_a_script_runs_under_it(self, lab: Path, stage: Stage) -> None:
        text = '#!/bin/sh\n[[ $1 == a* ]] && print "${0##*/} $# ${.sh.version}"\n'
        for root, do in ((lab / "host", lambda line: sh(lab, line)), (stage.root, stage.sh)):
            (root / "export/script").write_text(text)
            (root / "export/script").chmod(0o755)
            said = do("/export/script ab c; /bin/sh /export/script ab")  # type: ignore[no-untyped-call]
            assert [line.split()[:2] for line in said.splitlines()] == [["script", "2"], ["script", "1"]]
            assert "93u" in said

    def test_ps_shows_programs_as_they_were_called(self, stage: Stage) -> None:
        (stage.root / "export/waits").write_text("#!/bin/sh\ntail -f /dev/null & ps -ef\nkill $!\n")
        (stage.root / "export/waits").chmod(0o755)
        said = stage.sh("/export/waits")
        shown = [line.split(None, 7)[7] for line in said.splitlines()]
        assert {"sh /export/waits", "tail -f /dev/null", "ps -ef"} <= set(shown)
        assert ".lab" not in said
        assert "posix" not in said

    def test_it_reads_standard_input_and_ends_as_its_script_does(self, lab: Path) -> None:
        ended = run(lab, "sh", "-s", "word", stdin='print "in $1"; exit 7\n')
        assert (ended.returncode, ended.stdout) == (7, "in word\n")

    def test_programs_do_not_get_descriptors_above_two(self, lab: Path) -> None:
        """As ksh93 has it on illumos: what `exec 3<file` opens is closed for other programs."""
        assert sh(
            lab, "exec 3</etc/passwd; cat <&3 | head -1; bash -c 'read x <&3' 2>/dev/null || echo closed"
        ) == ("root:x:0:0:Super-User:/root:/usr/bin/bash\nclosed\n")

    @pytest.mark.skipif(os.geteuid() != 0, reason="other users' ids can only be had as root")
    def test_a_login_shell_is_one(self, stage: Stage) -> None:
        (stage.root / "export/home/builder/.profile").write_text("export FROM=profile\n")
        ended = stage.run("zlogin", "-l", "builder", "web", 'echo "$FROM $LOGNAME ${.sh.version%% *}"')
        assert ended.stdout == "profile builder Version\n", ended


@needs_namespaces[1]
@needs_namespaces[0]
def test_a_program_configures_builds_and_passes_its_check_in_a_zone(stage: Stage) -> None:
    """With a configure script that asks what those of autoconf ask."""
    shutil.copytree(Path(__file__).parent / "configured", stage.root / "export/configured")
    said = stage.sh(
        "mkdir /export/build && cd /export/build && ../configured/configure && gmake && gmake check"
        " && gmake install DESTDIR=/export/made && ls -l /export/made/usr/bin/hello | cut -c1-10"
    ).splitlines()
    assert said[:3] == [
        "checking build system type... x86_64-pc-solaris2.11",
        "checking for a BSD-compatible install... /usr/bin/ginstall",
        "checking whether the C compiler works... yes",
    ]
    assert said[-1] == "-rwxr-xr-x"


def test_without_ksh93_it_is_bash_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shells, "KSH93", str(tmp_path / "none"))
    assert "apt-get install ksh93u+m" in shells.warning()
    program = tmp_path / "sh"
    program.write_text(shells.text("sh").replace("/.lab/usr/bin", "/usr/bin"))
    program.chmod(0o755)
    line = 'a=(1 2); [[ ${a[1]} == 2 ]] && echo "$0 ${a[@]} $(shopt -o posix)"'
    said = subprocess.run([program, "-c", line], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["sh", "1", "2", "posix", "on"]
