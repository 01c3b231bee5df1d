"""What a lab shows of the machine: its programs, and what is shared with it. Nothing else is seen or changed."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.stage import Stage, needs_namespaces
from tests.lab.test_lab_labs import run, sh
from zonemgr.lab import gz, labs, shares
from zonemgr.lab import world as worlds
from zonemgr.lab.inprocess import InProcess
from zonemgr.lab.world import LabError

ZONE = "create -b; set zonepath=/zones/web; set brand=ipkg; set ip-type=exclusive"
UP = "zfs create -o mountpoint=/zones rpool/zones && zonecfg -z web '{}' && zoneadm -z web install > /dev/null && "
UP += "zoneadm -z web boot"
# Directories of a machine that belong to its users and its services.
PRIVATE = (
    "/root",
    "/home",
    "/opt",
    "/srv",
    "/run",
    "/tmp",
    "/mnt",
    "/media",
    "/var/tmp",
    "/var/log",
    "/etc",
    "/boot",
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    labs.create(tmp_path / "lab")
    yield tmp_path / "lab"
    labs.destroy(tmp_path / "lab")


@pytest.fixture
def work() -> Iterator[Path]:
    """A directory of the machine where the lab has one of its own above it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        yield Path(name).resolve()


@pytest.fixture
def markers() -> Iterator[list[Path]]:
    """A file in each private directory of this machine that takes one from whoever runs the tests."""
    made = []
    for folder in PRIVATE:
        if Path(folder).is_dir() and os.access(folder, os.W_OK):
            path = Path(folder, f"zonemgr-test-{secrets.token_hex(4)}")
            path.write_text("the machine's\n")
            made.append(path)
    yield made
    for path in made:
        path.unlink(missing_ok=True)


def script_to_reach(markers: list[Path]) -> str:
    """Prints what it can see of the markers, then tries to change and to remove them."""
    names = " ".join(map(str, markers))
    return (
        f"for each in {names}; do cat $each 2>/dev/null; ls ${{each%/*}} 2>/dev/null | grep zonemgr-test-; done; "
        f"for each in {names}; do mkdir -p ${{each%/*}} 2>/dev/null; echo changed 2>/dev/null > $each; done; "
        f"rm -f {names}; true"
    )


class TestHandsOff:
    pytestmark = needs_namespaces

    def test_the_global_zone_sees_nothing_of_the_machines_users(self, lab: Path, markers: list[Path]) -> None:
        assert len(markers) >= 2
        assert sh(lab, script_to_reach(markers)) == ""
        assert [path.read_text() for path in markers] == ["the machine's\n"] * len(markers)

    def test_nor_does_a_zone(self, tmp_path: Path, markers: list[Path]) -> None:
        stage = Stage(tmp_path / "lab")
        stage.boot()
        assert stage.sh(script_to_reach(markers)) == ""
        assert [path.read_text() for path in markers] == ["the machine's\n"] * len(markers)
        stage.close()

    def test_nor_does_a_zone_booted_in_the_global_zone(self, lab: Path, markers: list[Path]) -> None:
        assert run(lab, "sh", "-c", UP.format(ZONE)).returncode == 0
        (lab / "host/export/reach.sh").write_text(script_to_reach(markers))
        assert sh(lab, "zlogin -S web sh -s < /export/reach.sh") == ""
        assert [path.read_text() for path in markers] == ["the machine's\n"] * len(markers)

    def test_no_writable_mount_of_the_machine_is_left(self, lab: Path) -> None:
        """What is writable is below the lab's folder, or in memory and its own."""
        table = [line.split() for line in sh(lab, "cat /proc/self/mountinfo").splitlines()]
        writable = [words for words in table if "rw" in words[5].split(",")]
        below = {f"{lab}{part}" for part in ("", "/host", "/pyc")}
        folders = [words for words in writable if words[3] != "/" and not words[4].startswith("/dev/")]
        assert len(folders) == len(below)
        assert all(any(each.endswith(words[3]) for each in below) for words in folders), folders
        whole = {words[4] for words in writable if words[3] == "/"}
        assert whole == {"/proc", "/dev", "/dev/shm", "/dev/pts"}

    def test_the_kernel_and_the_package_cannot_be_changed(self, lab: Path) -> None:
        lib = Path(shares.__file__).parents[2]
        script = (
            "(echo 1 > /proc/sys/kernel/sysrq) 2>/dev/null || echo no sysctl; "
            "touch /.lab/lib/zonemgr/x 2>/dev/null || echo no package; test -e /sys || echo no sys; "
            f"test -e {lib} || echo no checkout; test -e /.lab/etc/shadow || echo no shadow"
        )
        assert sh(lab, script) == "no sysctl\nno package\nno sys\nno checkout\nno shadow\n"

    def test_the_environment_leads_nowhere_outside(self, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/me")
        monkeypatch.setenv("TMPDIR", "/home/me/tmp")
        monkeypatch.setenv("XDG_DATA_HOME", "/home/me/data")
        monkeypatch.setenv("EDITOR", "vi")
        script = "echo $HOME $EDITOR ${TMPDIR-none} ${XDG_DATA_HOME-none} $PATH; test -d $HOME"
        assert sh(lab, script) == "/root vi none none /usr/sbin:/usr/bin:/sbin\n"
        assert sh(lab, "echo $HOME $USER", user="builder") == "/export/home/builder builder\n"

    def test_a_boot_empties_tmp_and_keeps_the_rest(self, lab: Path) -> None:
        sh(lab, "for d in /tmp /var/run /var/tmp /root /opt; do mkdir $d/d; echo kept > $d/d/file; done")
        sh(lab, "zfs create -o mountpoint=/tmp/deep/data rpool/data; echo data > /tmp/deep/data/file")
        assert sh(lab, "cat /tmp/d/file") == "kept\n"
        gz.stop(lab)
        assert sh(
            lab, "ls /tmp /var/run /tmp/deep /tmp/deep/data; cat /var/tmp/d/file /root/d/file /opt/d/file"
        ) == ("/tmp:\ndeep\n\n/tmp/deep:\ndata\n\n/tmp/deep/data:\nfile\n\n/var/run:\nkept\nkept\nkept\n")


class TestShare:
    pytestmark = needs_namespaces

    def test_a_directory_is_shown_where_it_is(self, lab: Path, work: Path) -> None:
        (work / "source").write_text("mine\n")
        said = sh(lab, "pwd; cat source; echo out > artefact", cwd=work, share=[str(work)])
        assert said == f"{work}\nmine\n"
        assert (work / "artefact").read_text() == "out\n"
        assert sh(lab, "pwd; cat artefact", cwd=work) == f"{work}\nout\n"  # until the host goes down
        gz.stop(lab)
        assert sh(lab, f"pwd; ls {work}", cwd=work) == "/\n"

    def test_read_only_with_all_that_is_mounted_below(self, lab: Path, work: Path) -> None:
        (work / "source").write_text("mine\n")
        script = "cat source; touch x source 2>/dev/null || echo read-only"
        assert sh(lab, script, cwd=work, share=[f"{work}:ro"]) == "mine\nread-only\n"
        assert sh(lab, "echo out > artefact; cat artefact", cwd=work, share=[str(work)]) == "out\n"
        assert (
            sh(lab, "touch x 2>/dev/null || echo read-only", cwd=work, share=[f"{work}:ro"]) == "read-only\n"
        )

    def test_shares_of_create_are_there_after_every_boot(self, tmp_path: Path, work: Path) -> None:
        (work / "rw").mkdir()
        (work / "ro").mkdir()
        gone = work / "gone"
        gone.mkdir()
        place = tmp_path / "lab"
        labs.create(place, share=[f"{work}/rw", f"{work}/ro:ro", str(gone)])
        gone.rmdir()
        for word in ("one", "two"):
            sh(place, f"echo {word} > {work}/rw/file; ! touch {work}/ro/file 2> /dev/null")
            assert (work / "rw/file").read_text() == f"{word}\n"
            gz.stop(place)
        sh(place, "true")
        found = labs.status(place)
        assert (found["shared"], found["missing"]) == ([f"{work}/rw", f"{work}/ro:ro"], [str(gone)])
        labs.destroy(place)
        assert (work / "rw/file").read_text() == "two\n"

    def test_a_zone_can_mount_what_is_shared(self, lab: Path, work: Path) -> None:
        (work / "source").write_text("mine\n")
        add = f"{ZONE}; add fs; set dir=/work; set special={work}; set type=lofs; end"
        assert run(lab, "sh", "-c", UP.format(add), share=[str(work)]).returncode == 0
        assert sh(lab, "zlogin -S web 'cat /work/source; echo out > /work/artefact'") == "mine\n"
        assert (work / "artefact").read_text() == "out\n"

    def test_a_mount_on_the_machine_does_not_follow_one_in_the_lab(self, lab: Path, work: Path) -> None:
        (work / "sub").mkdir()
        sh(lab, "true", share=[str(work)])
        holder = gz.find(lab)
        assert holder is not None
        inside = Path(f"/proc/{holder.pid}/mountinfo").read_text()
        points = [line for line in inside.splitlines() if line.split()[4] == str(work)]
        assert len(points) == 1
        assert "shared:" not in points[0]

    @pytest.mark.parametrize(
        "name", ["/", "/etc", "/etc/ssl", "/usr/lib", "/proc", "/root", "/tmp", "/var", "/dev/shm"]
    )
    def test_what_would_hide_the_host_is_refused(self, lab: Path, name: str) -> None:
        with pytest.raises(LabError, match=f"cannot share {name}: the lab has its own"):
            labs.run(lab, ["true"], share=[name])
        assert labs.status(lab)["running"] is False

    def test_what_is_no_directory_is_refused(self, lab: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for name in (f"{tmp_path}/file", f"{tmp_path}/absent:ro", ""):
            with pytest.raises(LabError, match="it is not a directory of this machine"):
                labs.create(tmp_path / "other", share=[name])
        assert not (tmp_path / "other").exists()

    def test_the_lab_itself_is_refused(self, work: Path) -> None:
        labs.create(work / "lab")
        with pytest.raises(LabError, match="it is part of the lab itself"):
            labs.run(work / "lab", ["true"], share=[f"{work}/lab/host"])
        labs.destroy(work / "lab")


class TestScripts:
    pytestmark = needs_namespaces

    def test_the_current_directory_comes_with_a_script_in_it(self, lab: Path, work: Path) -> None:
        (work / "tests").mkdir()
        (work / "tests/one.sh").write_text(
            "#!/bin/sh\npwd; cat data; touch x 2>/dev/null || echo read-only; zonename; echo $0\n"
        )
        (work / "tests/one.sh").chmod(0o755)
        (work / "data").write_text("beside\n")
        for words in (["tests/one.sh"], ["sh", "tests/one.sh"], ["env", "A=b", "sh", "-e", "./tests/one.sh"]):
            ended = run(lab, *words, cwd=work)
            assert ended.stdout == f"{work}\nbeside\nread-only\nglobal\n{words[-1]}\n", ended

    def test_elsewhere_it_is_the_scripts_own_directory(self, lab: Path, work: Path, tmp_path: Path) -> None:
        (work / "one.sh").write_text(
            'cat "${0%/*}/data"; touch "${0%/*}/x" 2>/dev/null || echo read-only; pwd\n'
        )
        (work / "data").write_text("beside\n")
        ended = run(lab, "sh", str(work / "one.sh"), cwd=Path("/"))
        assert ended.stdout == "beside\nread-only\n/\n", ended

    def test_from_a_directory_that_the_lab_has_too_it_comes_alone(self, lab: Path) -> None:
        with tempfile.NamedTemporaryFile("w", dir="/var/tmp", suffix=".sh") as script:
            script.write("echo alone; ls /var/tmp\n")
            script.flush()
            name = Path(script.name).name
            for words in (["sh", name], ["sh", script.name]):
                ended = run(lab, *words, cwd=Path("/var/tmp"))
                assert ended.stdout == f"alone\n{name}\n", ended

    def test_a_script_of_the_labs_own_is_the_one_that_runs(self, lab: Path, work: Path) -> None:
        script = work / "one.sh"
        script.write_text("echo the machine\n")
        sh(lab, f"mkdir -p {work}; echo 'echo the lab' > {script}")
        assert run(lab, "sh", str(script)).stdout == "the lab\n"

    def test_a_command_that_only_names_a_file_shows_nothing(self, lab: Path, work: Path) -> None:
        (work / "secret").write_text("mine\n")
        for words in (["cat", f"{work}/secret"], ["sh", "-c", f"cat {work}/secret"]):
            assert run(lab, *words, cwd=work).stdout == ""


class TestOlderLabs:
    """A lab made by a version that mounted the machine's directories has mount points of its own for them."""

    @needs_namespaces[1]
    @needs_namespaces[0]
    def test_its_mount_points_become_the_labs(self, lab: Path) -> None:
        for name in ("root", "home", "opt", "tmp"):
            (lab / "host" / name).chmod(worlds.MACHINE_MARK)
        assert sh(lab, "ls -ld /root /tmp | cut -c1-10; echo x > /opt/file") == "drwx------\ndrwxrwxrwt\n"
        assert (lab / "host/opt/file").read_text() == "x\n"


def test_in_one_process_the_same_directories_are_the_labs(tmp_path: Path) -> None:
    world = worlds.create(tmp_path / "lab")
    inside = InProcess(world)
    for name in ("/tmp/x", "/root/x", "/home/x", "/opt/x", "/srv/x", "/build/x"):
        assert world.path(name) == world.host / name.lstrip("/")
    assert inside.run(["test", "-d", "/root"]).exit_code == 0
    assert inside.run(["test", "-e", str(tmp_path)]).exit_code == 1
    world.close()


def test_the_command_line_takes_shares(tmp_path: Path, work: Path) -> None:
    place = tmp_path / "lab"
    words = ["-m", "zonemgr", "-q", "lab", "create", str(place), "--share", f"{work}:ro"]
    import sys

    assert subprocess.run([sys.executable, *words], check=False).returncode == 0
    assert worlds.World(place).settings["shares"] == [f"{work}:ro"]
    labs.destroy(place)
