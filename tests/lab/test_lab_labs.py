"""Labs as a whole: making one, running commands in its global zone, killing it in the middle, taking it down."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.stage import mounts, needs_namespaces, running
from zonemgr.lab import gz, labs, namespaces
from zonemgr.lab.world import LabError

ROOT = Path(__file__).parents[2]
# What $? is after a command that signal 9 ended: in ksh93 256 + 9, unless it is in its POSIX mode.
KILLED = 265 if Path("/usr/bin/ksh93").exists() else 137
RUN = (
    "import json, sys; from pathlib import Path; from zonemgr.lab import labs\n"
    "from zonemgr.lab.world import LabError\n"
    "place, argv, faults, user, share = json.loads(sys.argv[1])\n"
    "try:\n"
    "    if argv: sys.exit(labs.run(Path(place), argv, faults, user, share))\n"
    "    sys.exit(labs.shell(Path(place), faults, user, share))\n"
    "except LabError as trouble: sys.exit(f'refused: {trouble}')\n"
)


def command(
    place: Path,
    argv: Sequence[str],
    faults: Sequence[str] = (),
    user: str = "root",
    share: Sequence[str] = (),
) -> list[str]:
    return [sys.executable, "-c", RUN, json.dumps([str(place), argv, faults, user, share])]


def run(
    place: Path,
    *argv: str,
    faults: Sequence[str] = (),
    user: str = "root",
    stdin: str = "",
    cwd: Path = ROOT,
    share: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """`zonemgr lab run` in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command(place, argv, faults, user, share),
        input=stdin,
        capture_output=True,
        text=True,
        env=env,
        cwd=cwd,
        timeout=120,
    )


@contextmanager
def _lingering(holder: gz.Holder) -> Iterator[None]:
    """Meanwhile one process of the lab's is not buried by its parent, which is outside, as that of `lab run` is."""
    ready, told = os.pipe()
    parent = os.fork()
    if parent == 0:
        also = 0 if namespaces.same(namespaces.NEWUSER, holder.pid) else namespaces.NEWUSER
        namespaces.join(holder.pid, also | namespaces.NEWPID)
        if os.fork():
            os.write(told, b"!")
        signal.pause()
        os._exit(0)
    os.close(told)
    try:
        assert os.read(ready, 1)
        yield
    finally:
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        os.close(ready)


def sh(place: Path, script: str, **more: object) -> str:
    ended = run(place, "sh", "-c", script, **more)  # type: ignore[arg-type]
    assert ended.returncode == 0, ended
    return ended.stdout


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    labs.create(tmp_path / "lab")
    yield tmp_path / "lab"
    if (tmp_path / "lab").exists():
        labs.destroy(tmp_path / "lab")


class TestFolders:
    pytestmark = needs_namespaces

    def test_a_lab_is_made_once_in_an_empty_place(self, tmp_path: Path) -> None:
        place = tmp_path / "here" / "lab"
        labs.create(place, flavour="omnios", latency="none")
        assert labs.status(place)["flavour"] == "omnios"
        with pytest.raises(LabError, match="is not empty"):
            labs.create(place)
        for wrong in ({"flavour": "solaris"}, {"latency": "slow"}):
            with pytest.raises(LabError, match="there are: "):
                labs.create(tmp_path / "other", **wrong)
        assert not (tmp_path / "other").exists()

    def test_the_default_place_is_the_users_data(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert labs.default_directory() == tmp_path / "zonemgr/lab"
        monkeypatch.delenv("XDG_DATA_HOME")
        monkeypatch.setenv("HOME", "/home/me")
        assert labs.default_directory() == Path("/home/me/.local/share/zonemgr/lab")

    def test_what_is_no_lab_is_not_destroyed(self, tmp_path: Path) -> None:
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious/host").write_text("not ours")
        (tmp_path / "precious/thesis").write_text("mine")
        with pytest.raises(LabError, match="is not a lab; nothing was removed"):
            labs.destroy(tmp_path / "precious")
        with pytest.raises(LabError, match="does not exist"):
            labs.destroy(tmp_path / "absent")
        labs.create(tmp_path / "lab")
        (tmp_path / "lab/thesis").write_text("mine")
        with pytest.raises(LabError, match="not the lab's: thesis"):
            labs.destroy(tmp_path / "lab")
        assert (tmp_path / "lab/lab.json").exists()

    def test_a_half_made_lab_can_be_destroyed(self, tmp_path: Path) -> None:
        labs.create(tmp_path / "lab")
        (tmp_path / "lab/lab.json").unlink()
        labs.destroy(tmp_path / "lab")
        assert not (tmp_path / "lab").exists()

    @pytest.mark.parametrize("ask", [labs.log, labs.status, lambda place: labs.run(place, ["true"])])
    def test_without_a_lab_it_says_how_to_make_one(self, tmp_path: Path, ask) -> None:  # type: ignore[no-untyped-def]
        with pytest.raises(LabError, match=r"is not a lab; make one with: zonemgr lab create /"):
            ask(tmp_path)

    def test_a_wrong_fault_or_user_starts_nothing(self, lab: Path) -> None:
        with pytest.raises(LabError, match="there is no kind"):
            labs.run(lab, ["true"], ["explode"])
        with pytest.raises(LabError, match="there is no user stranger"):
            labs.run(lab, ["true"], user="stranger")
        assert labs.status(lab)["running"] is False


class TestGlobalZone:
    pytestmark = needs_namespaces

    def test_the_emulated_commands_are_where_illumos_has_them(self, lab: Path) -> None:
        script = "zonename; /usr/sbin/zoneadm list; /sbin/zfs list -H -o name rpool; which mount pkg pfexec"
        assert sh(lab, script).split() == [
            *("global", "global", "rpool"),
            *("/usr/sbin/mount", "/usr/bin/pkg", "/usr/bin/pfexec"),
        ]

    def test_its_etc_is_the_labs(self, lab: Path) -> None:
        assert "Super-User" in sh(lab, "cat /etc/passwd; echo note > /export/note")
        assert (lab / "host/etc/passwd").read_text() == sh(lab, "cat /etc/passwd")
        assert (lab / "host/export/note").read_text() == "note\n"

    def test_the_machines_usr_cannot_be_changed(self, lab: Path) -> None:
        assert sh(lab, "touch /usr/x /usr/sbin/zfs 2>/dev/null || echo no") == "no\n"

    def test_a_compiler_runs(self, lab: Path) -> None:
        (lab / "host/export/one.c").write_text("int main(void) { return 42; }\n")
        ended = run(lab, "sh", "-c", "cd /export && cc -o one one.c && ./one")
        assert ended.returncode == 42

    @pytest.mark.parametrize(
        ("argv", "status"),
        [
            (["sh", "-c", "exit 7"], 7),
            (["sh", "-c", "kill -TERM $$"], 143),
            (["sh", "-c", "kill -KILL $$"], 137),
            (["nosuchcommand"], 127),
            (["/etc/passwd"], 126),
        ],
    )
    def test_the_commands_end_is_the_runs_end(self, lab: Path, argv: list[str], status: int) -> None:
        assert run(lab, *argv).returncode == status

    def test_streams_pass_through(self, lab: Path) -> None:
        ended = run(lab, "sh", "-c", "cat; echo err >&2", stdin="in\n")
        assert (ended.stdout, ended.stderr) == ("in\n", "err\n")

    def test_a_signal_to_the_run_reaches_the_command(self, lab: Path) -> None:
        script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.02; done"
        with _started(lab, "sh", "-c", script) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.terminate()
            assert process.stdout.read() == "caught\n"
            assert process.wait(30) == 5

    def test_a_killed_run_takes_its_command_along(self, lab: Path) -> None:
        with _started(lab, "sh", "-c", "echo ready; exec sleep 81") as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.kill()
            assert process.stdout.read() == ""  # the end of it: nobody has the pipe any more
        assert not running("sleep 81")

    def test_background_processes_stay_and_need_no_terminal(self, lab: Path) -> None:
        sh(lab, "sleep 82 > /dev/null 2>&1 & echo started")
        assert "sleep 82" in sh(lab, "ps -e -o args")
        gz.stop(lab)
        assert not running("sleep 82")

    def test_two_runs_at_once_share_the_host(self, lab: Path) -> None:
        with _started(lab, "sh", "-c", "echo ready; read line; cat /export/word") as first:
            assert first.stdout is not None
            assert first.stdin is not None
            assert first.stdout.readline() == "ready\n"
            sh(lab, "echo hello > /export/word")
            first.stdin.write("\n")
            first.stdin.flush()
            assert first.stdout.read() == "hello\n"

    def test_two_labs_do_not_see_each_other(self, lab: Path, tmp_path: Path) -> None:
        other = tmp_path / "other"
        labs.create(other, flavour="omnios")
        sh(lab, "zfs create rpool/mine; sleep 83 > /dev/null 2>&1 &")
        assert "mine" not in sh(other, "zfs list; ls /rpool; ps -e -o args")
        labs.destroy(other)
        assert "sleep 83" in sh(lab, "ps -e -o args")

    def test_a_lab_inside_a_lab_is_refused(self, lab: Path) -> None:
        ended = run(lab, "zonemgr", "lab", "run", "--dir", str(lab), "true")
        assert ended.returncode == 1
        assert f"this is the global zone of the lab {lab} already" in ended.stderr

    def test_no_mount_and_no_process_is_left_on_the_machine(self, lab: Path) -> None:
        before = mounts()
        sh(lab, "zfs create rpool/x")
        assert mounts() == before
        labs.destroy(lab)
        assert mounts() == before
        assert not running(str(lab))
        assert not lab.exists()

    def test_the_caller_can_be_somebody_else(self, lab: Path) -> None:
        script = "env -i /usr/sbin/zfs create rpool/no; zonename; pfexec zonename; env -i /usr/bin/id -u -n"
        ended = run(lab, "sh", "-c", script, user="nobody")
        assert ended.stdout == "global\nglobal\nnobody\n"
        assert "permission denied" in ended.stderr
        assert {row["user"] for row in labs.log(lab)} == {"nobody"}
        assert sh(lab, "zfs create rpool/yes; id -un") == "root\n"

    def test_su_makes_another_caller(self, lab: Path) -> None:
        ended = run(lab, "sh", "-c", "su - jim -c 'id -un; pwd; zfs create rpool/no'; id -un; su nosuch")
        assert ended.stdout == "jim\n/export/home/jim\nroot\n"
        assert "permission denied" in ended.stderr
        assert ended.stderr.endswith("su: Unknown id: nosuch\n")


class TestFaults:
    pytestmark = needs_namespaces

    def test_faults_are_for_one_run_and_reach_commands_with_a_clean_environment(self, lab: Path) -> None:
        script = "env -i /usr/sbin/zfs list >/dev/null; echo $?; zfs list >/dev/null; echo $?"
        assert run(lab, "sh", "-c", script, faults=["fail:zfs list,exit=4,stderr=no"]).stdout == "4\n0\n"
        assert sh(lab, "zfs list > /dev/null; echo $?") == "0\n"
        assert [row["exit"] for row in labs.log(lab)] == [4, 0, 0]

    def test_a_command_is_killed(self, lab: Path) -> None:
        ended = run(lab, "sh", "-c", "zfs create rpool/x; echo $?", faults=["kill-after:zfs create"])
        assert ended.stdout == f"{KILLED}\n"
        assert "rpool/x" in sh(lab, "zfs list")

    def test_the_caller_is_killed(self, lab: Path) -> None:
        faults = ["kill-caller-before:zfs create"]
        ended = run(lab, "sh", "-c", "zfs create rpool/x; echo still here", faults=faults)
        assert (ended.returncode, ended.stdout) == (137, "")
        assert "rpool/x" not in sh(lab, "zfs list")
        assert run(lab, "zfs", "create", "rpool/y", faults=faults).returncode == 137

    def test_a_hanging_command_can_be_killed_by_its_caller(self, lab: Path) -> None:
        with _started(lab, "zfs", "list", faults=["hang:zfs"]) as process:
            while [row["exit"] for row in labs.log(lab)] != [-9]:
                time.sleep(0.02)
            process.terminate()
            assert process.wait(30) == 143

    def test_a_reboot_ends_everything_and_the_next_run_boots_the_host(self, lab: Path) -> None:
        sh(lab, "dladm create-vnic -t -l net0 short0; dladm create-vnic -l net0 long0; zfs create rpool/x")
        ended = run(lab, "sh", "-c", "sleep 84 & zfs list; echo still here", faults=["reboot:zfs list"])
        assert (ended.returncode, ended.stdout) == (137, "")
        assert not running("sleep 84")
        assert labs.status(lab)["running"] is False
        assert "short0" not in sh(lab, "dladm show-link")
        assert "long0" in sh(lab, "dladm show-link; zfs list rpool/x > /dev/null")

    def test_a_fact_is_shown_by_status(self, lab: Path) -> None:
        run(lab, "true", faults=["fact:fault.halt=stuck"])
        assert labs.status(lab)["facts"] == {"fault.halt": "stuck"}


class TestPowerCut:
    pytestmark = needs_namespaces

    def test_a_host_whose_power_is_being_cut_is_not_entered_any_more(self, lab: Path) -> None:
        """Its first process ends last: until all others are gone it is there, but nothing can be begun in it."""
        sh(lab, "true")
        holder = gz.find(lab)
        assert holder is not None
        with _lingering(holder):
            os.kill(holder.pid, signal.SIGKILL)
            while not holder.ending:
                pass
            assert holder.alive
            following = _started(lab, "echo", "again")
            while following.poll() is None and not _locked(lab):
                pass
        assert following.communicate(timeout=60)[0] == "again\n"

    def test_a_killed_holder_is_a_power_cut_and_the_lab_opens_again(self, lab: Path) -> None:
        before = mounts()
        sh(lab, "zfs create rpool/x; echo kept > /rpool/x/file; sleep 85 > /dev/null 2>&1 &")
        process = labs.status(lab)["process"]
        os.kill(process, signal.SIGKILL)
        while gz.find(lab).alive:  # type: ignore[union-attr]
            pass
        assert not running("sleep 85")
        assert labs.status(lab)["running"] is False
        assert mounts() == before
        assert sh(lab, "cat /rpool/x/file; zfs list -H -o mounted rpool/x") == "kept\nyes\n"
        assert labs.status(lab)["process"] != process

    def test_a_lab_removed_by_hand_does_not_go_on_in_secret(self, lab: Path) -> None:
        sh(lab, "sleep 86 > /dev/null 2>&1 &")
        holder = gz.find(lab)
        assert holder is not None
        shutil.rmtree(lab)
        while holder.alive:
            time.sleep(0.1)
        assert not running("sleep 86")


class TestShell:
    pytestmark = needs_namespaces

    def test_without_a_terminal_it_reads_commands(self, lab: Path) -> None:
        assert run(lab, stdin="zonename\nexit 3\n").returncode == 3

    def test_with_a_terminal_it_shows_where_one_is(self, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SHELL", "/bin/bash")
        said = _on_a_terminal(command(lab, []), ["zonename", "command -v zoneadm", "exit 6"])
        assert b"[lab lab]" in said
        assert b"\rglobal\r\n" in said
        assert b"/usr/sbin/zoneadm" in said
        assert said.endswith(b"status 6\n")


def _locked(lab: Path) -> bool:
    """Does somebody start or end the lab's host?"""
    with (lab / "holder.lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _started(place: Path, *argv: str, faults: Sequence[str] = ()) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command(place, argv, faults), stdin=pipe, stdout=pipe, text=True, env=env)


def _on_a_terminal(argv: list[str], lines: list[str]) -> bytes:
    """What appears on a terminal on which these lines are typed, one at each prompt; then the exit status."""
    pid, master = pty.fork()
    if pid == 0:
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(argv[0], argv)
    said, waiting = b"", list(lines)
    while select.select([master], [], [], 30)[0]:
        try:
            data = os.read(master, 4096)
        except OSError:
            break
        said += data
        if said.endswith((b"# ", b"$ ")) and waiting:
            os.write(master, waiting.pop(0).encode() + b"\n")
    os.close(master)
    return said + f"status {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode()
