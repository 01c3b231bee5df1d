"""The door with real programs: what they are given, what comes back, and that none outlives a call."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import zonemgr
from zonemgr.errors import CommandError, CommandNotFound, CommandTimeout, UsageError
from zonemgr.host.door import CallableHost, CommandLine, Limits, LocalHost

PATH = os.environ["PATH"]  # the tests' helper programs may live anywhere
HERE = {**os.environ, "PYTHONPATH": str(Path(zonemgr.__file__).parents[1])}


class Ear:
    """Hears what a door logs and reports."""

    def __init__(self) -> None:
        self.lines: list[CommandLine] = []
        self.reports: list[str] = []


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def host(ear: Ear) -> LocalHost:
    return LocalHost(path=PATH, log=ear.lines.append, report=ear.reports.append)


def alive(pid: int) -> bool:
    """Does a process exist that is more than an entry nobody has collected yet?"""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip() not in ("",) and not found.stdout.strip().startswith("Z")


# -- what a program is given and what comes back -------------------------------------------------------------


def test_stdout_and_stderr_come_back_apart_with_the_exit_status(host: LocalHost) -> None:
    ended = host.ask("sh", "-c", "echo yes; echo but >&2; exit 3", ok=(3,))
    assert (ended.stdout, ended.stderr, ended.exit_code) == ("yes\n", "but\n", 3)


def test_an_exit_status_that_was_not_expected_is_an_error_with_the_last_words(host: LocalHost) -> None:
    with pytest.raises(CommandError, match=r"^sh exited with 1: no such pool$") as failed:
        host.ask("sh", "-c", "echo warning >&2; echo no such pool >&2; exit 1")
    assert failed.value.command == "sh -c 'echo warning >&2; echo no such pool >&2; exit 1'"


def test_killed_by_a_signal_shows_as_its_negative_number(host: LocalHost) -> None:
    assert host.ask("sh", "-c", "kill -9 $$", ok=(-9,)).exit_code == -9
    with pytest.raises(CommandError):
        host.ask("sh", "-c", "kill -TERM $$")


def test_programs_get_the_c_locale_a_small_environment_and_the_root_directory(
    host: LocalHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("http_proxy", "http://proxy")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    seen = LocalHost(path=PATH, environment={"EXTRA": "1"}).ask("env").stdout.splitlines()
    assert sorted(seen) == sorted([f"PATH={PATH}", "LC_ALL=C", f"HOME={tmp_path}", "EXTRA=1"])
    assert host.ask("pwd").stdout == "/\n"


def test_programs_have_no_terminal_and_an_empty_input(host: LocalHost) -> None:
    assert host.ask("sh", "-c", "test -t 0 || test -t 1 || test -t 2", ok=(1,)).exit_code == 1
    assert host.ask("sh", "-c", ": < /dev/tty", ok=(1, 2)).exit_code != 0
    assert host.ask("cat").stdout == ""


def test_a_text_is_fed_to_standard_input(host: LocalHost) -> None:
    assert host.ask("cat", stdin="line\nno newline at the end: ü").stdout == "line\nno newline at the end: ü"


def test_a_program_that_does_not_read_its_input_is_no_error(host: LocalHost) -> None:
    assert host.ask("true", stdin="x" * 1_000_000).exit_code == 0


def test_megabytes_go_through_both_ways_at_once(host: LocalHost) -> None:
    text = "0123456789abcdef" * 200_000
    ended = host.ask("sh", "-c", "tee /dev/stderr", stdin=text)
    assert ended.stdout == text
    assert ended.stderr == text


def test_bytes_that_are_not_utf8_survive(host: LocalHost) -> None:
    ended = host.ask("sh", "-c", r"printf 'a\377\000b'")
    assert ended.stdout.encode("utf-8", "surrogateescape") == b"a\xff\0b"


def test_words_are_given_as_they_are(host: LocalHost) -> None:
    words = ["a b", "", "$HOME", "*", "'", '"', "\\", "ü", "-n", "line\nline"]
    assert host.ask("printf", "%s|", *words).stdout == "".join(f"{word}|" for word in words)


@pytest.mark.parametrize("word", ["nul\0byte", "not\udcff utf-8"])
def test_words_no_program_can_be_given_are_refused(host: LocalHost, word: str) -> None:
    with pytest.raises(UsageError, match="cannot be an argument of echo"):
        host.ask("echo", word)


def test_more_words_than_the_system_takes_is_a_plain_error(host: LocalHost) -> None:
    with pytest.raises(CommandError, match=r"could not be started.*too long"):
        host.ask("echo", "x" * 500_000)


def test_a_missing_command_says_that_this_is_no_illumos_host(host: LocalHost) -> None:
    with pytest.raises(CommandNotFound, match="no command zoneadm-nowhere on this host") as missing:
        host.ask("zoneadm-nowhere", "list")
    assert missing.value.hint is not None
    assert "zonemgr lab run" in missing.value.hint


def test_a_background_process_that_keeps_the_pipes_does_not_keep_the_caller(
    host: LocalHost, tmp_path: Path
) -> None:
    ended = host.ask("sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; echo started")
    assert ended.stdout == "started\n"
    left = int((tmp_path / "pid").read_text())
    assert alive(left)  # a daemon that a command started is not ours to end
    os.kill(left, signal.SIGKILL)


# -- streams ------------------------------------------------------------------------------------------------


def test_output_is_handed_over_live_in_order_and_apart(host: LocalHost, tmp_path: Path) -> None:
    """Each piece is answered before the next is written; a door that waits for more would wait for ever."""
    answers = tmp_path / "answers"
    os.mkfifo(answers)
    heard: list[tuple[str, bytes]] = []
    script = (
        f"exec 3<> {answers}; printf 'no newline'; read a <&3; echo two >&2; read a <&3; echo three; exit 4"
    )
    with answers.open("r+b", buffering=0) as reply:

        def take(name: str, chunk: bytes) -> None:
            heard.append((name, chunk))
            reply.write(b"go on\n")

        ended = host.stream(
            "sh",
            "-c",
            script,
            on_stdout=lambda chunk: take("out", chunk),
            on_stderr=lambda chunk: take("err", chunk),
            limit=60,
        )
    assert heard == [("out", b"no newline"), ("err", b"two\n"), ("out", b"three\n")]
    assert (ended.exit_code, ended.stdout, ended.stderr) == (4, "", "")


def test_an_error_of_the_listener_ends_the_program_and_is_not_mistaken_for_its_own(
    host: LocalHost, tmp_path: Path
) -> None:
    def full(chunk: bytes) -> None:
        (tmp_path / "pid").write_bytes(chunk)
        raise FileNotFoundError("the log's directory is gone")

    with pytest.raises(FileNotFoundError, match="the log's directory"):
        host.stream("sh", "-c", "echo $$; exec sleep 600", on_stdout=full, on_stderr=full)
    assert not alive(int((tmp_path / "pid").read_text()))


# -- limits and interrupts ----------------------------------------------------------------------------------


def test_the_time_limit_ends_the_program_and_all_its_children(ear: Ear, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "child")
    host = LocalHost(path=PATH, grace=0.3, log=ear.lines.append)
    script = FAMILY.replace("echo ready > PLACE/started", "echo mounting >&2").replace("PLACE", str(tmp_path))
    with pytest.raises(CommandTimeout, match=r"no answer within 1\.5 seconds") as late:
        host.change("sh", "-c", script, limit=1.5)
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 3
    assert not [pid for pid in pids if alive(int(pid))]
    assert late.value.stderr == "mounting\n"
    assert ear.lines[-1].exit_code is None


def test_a_program_may_clean_up_when_its_time_is_over(host: LocalHost, tmp_path: Path) -> None:
    done = tmp_path / "done"
    with pytest.raises(CommandTimeout):
        host.change("sh", "-c", f"trap 'echo tidy > {done}; exit' TERM; sleep 600 & wait", limit=0.5)
    assert done.read_text() == "tidy\n"


def test_a_program_that_closed_its_outputs_is_still_waited_for_and_limited(host: LocalHost) -> None:
    assert host.ask("sh", "-c", "exec >&- 2>&-; sleep 0.1; exit 5", ok=(5,)).exit_code == 5
    with pytest.raises(CommandTimeout):
        host.ask("sh", "-c", "exec >&- 2>&-; sleep 600", limit=0.3)


# A shell that ignores INT, a child that ignores TERM too, and a grandchild. Their numbers go to a file; then
# the FIFO says that all are there.
FAMILY = """
trap '' INT
(trap '' TERM; sleep 600 & echo $! >> PLACE/pids; echo there > PLACE/child; wait) & read there < PLACE/child
echo $! $$ >> PLACE/pids
echo ready > PLACE/started
while :; do sleep 600 & wait; done
"""

DRIVER = """
import os, pathlib, signal, subprocess, sys
from zonemgr.host.door import LocalHost
place, kind, family = sys.argv[1:]
class Stopped(BaseException): pass
def stop(number, frame): raise Stopped
signal.signal(signal.SIGTERM, stop)
host = LocalHost(path=os.environ["PATH"], grace=0.3)
try:
    if kind == "ask":
        host.ask("sh", "-c", family)
    else:
        host.stream("sh", "-c", family, on_stdout=print, on_stderr=print)
except (KeyboardInterrupt, Stopped) as why:
    pids = pathlib.Path(place, "pids").read_text().split()
    def stat(pid):
        words = ["ps", "-o", "stat=", "-p", str(pid)]
        return subprocess.run(words, capture_output=True, text=True).stdout.strip()
    print(type(why).__name__, len(pids), [pid for pid in pids if stat(pid)[:1] not in ("", "Z")])
"""


@pytest.mark.parametrize("kind", ["ask", "stream"])
@pytest.mark.parametrize(
    ("number", "why"), [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "Stopped")]
)
def test_an_interrupt_goes_on_only_when_the_program_and_its_children_are_gone(
    tmp_path: Path, kind: str, number: int, why: str
) -> None:
    os.mkfifo(tmp_path / "started")
    os.mkfifo(tmp_path / "child")
    family = FAMILY.replace("PLACE", str(tmp_path))
    running = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path), kind, family],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=HERE,
    )
    assert (tmp_path / "started").read_text() == "ready\n"  # blocks until the program has said so
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert (out.strip(), err) == (f"{why} 3 []", "")


STUBBORN = """
import os, signal, sys
from zonemgr.host.door import LocalHost
place = sys.argv[1]
host = LocalHost(path=os.environ["PATH"], grace=600)
script = f"trap 'echo asked > {place}/asked' TERM; echo ready > {place}/started; while :; do sleep 0.05; done"
try:
    host.ask("sh", "-c", script)
except KeyboardInterrupt as why:
    print("ended", getattr(why, "__notes__", []))
"""


def test_a_second_interrupt_ends_a_program_that_takes_its_time(tmp_path: Path) -> None:
    """TERM did not impress it, the grace time is ten minutes: one more Ctrl-C and it is killed."""
    os.mkfifo(tmp_path / "started")
    os.mkfifo(tmp_path / "asked")
    running = subprocess.Popen(
        [sys.executable, "-c", STUBBORN, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=HERE
    )
    assert (tmp_path / "started").read_text() == "ready\n"
    running.send_signal(signal.SIGINT)
    assert (tmp_path / "asked").read_text() == "asked\n"
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=60)[0] == "ended []\n"


SWIFT = """
import os, signal, sys, threading
from zonemgr.host.door import LocalHost
host = LocalHost(path=os.environ["PATH"], grace=0.3)
host.ask("true")
delay = float(sys.argv[1])
interrupted = 0
for step in range(30):
    timer = threading.Timer(delay * step, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        host.ask("sleep", "77.25")
    except KeyboardInterrupt:
        interrupted += 1
    timer.join()
print(interrupted)
"""


def test_an_interrupt_at_any_moment_of_the_start_leaves_no_program() -> None:
    """Thirty interrupts, each a little later: before the fork, inside the library, after it."""
    ran = subprocess.run(
        [sys.executable, "-c", SWIFT, "0.0004"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=HERE,
    )
    assert (ran.stdout.strip(), ran.stderr) == ("30", "")
    left = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True).stdout
    assert "sleep 77.25" not in left.splitlines()


def test_the_door_works_in_a_thread(host: LocalHost) -> None:
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(host.ask("echo", "hello").stdout))
    thread.start()
    thread.join()
    assert answers == ["hello\n"]


def test_signals_ignored_by_zonemgr_are_not_ignored_by_its_programs(host: LocalHost) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert host.ask("sh", "-c", "kill -TERM $$; echo still here", ok=(-15,)).exit_code == -15
    finally:
        signal.signal(signal.SIGTERM, before)


def test_no_descriptor_is_left_open(host: LocalHost) -> None:
    host.ask("true")
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        host.ask("cat", stdin="text")
        with pytest.raises(CommandTimeout):
            host.ask("sleep", "600", limit=0.05)
    assert len(list(Path("/dev/fd").iterdir())) == before


# -- the terminal -------------------------------------------------------------------------------------------

CONVERSE = """
import os
from zonemgr.host.door import LocalHost
host = LocalHost(path=os.environ["PATH"])
script = "test -t 0 && test -t 1 && read word && echo got $word $TERM; exit 7"
print("ended with", host.interact("sh", "-c", script))
"""


def test_a_conversation_has_the_terminal_and_its_exit_status_comes_back() -> None:
    import pty

    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-c", CONVERSE],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**HERE, "TERM": "vt100"},
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, b"hello\n")
    seen = b""
    while b"ended with" not in seen or not seen.endswith(b"\n"):
        seen += os.read(ours, 4096)
    assert running.wait(timeout=60) == 0
    os.close(ours)
    assert b"got hello vt100" in seen
    assert b"ended with 7" in seen


HANGED_UP = """
import os, signal
from zonemgr.host.door import LocalHost
class Stopped(Exception): pass
def stop(number, frame): raise Stopped
signal.signal(signal.SIGTERM, stop)
host = LocalHost(path=os.environ["PATH"], grace=0.3)
try:
    host.interact("sh", "-c", "trap '' TERM; echo pid $$; while :; do sleep 0.05; done")
except Stopped:
    print("stopped")
"""


def test_a_conversation_ends_with_zonemgr() -> None:
    import pty

    ours, theirs = pty.openpty()
    words = [sys.executable, "-c", HANGED_UP]
    running = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env=HERE, start_new_session=True
    )
    os.close(theirs)
    seen = b""
    while not seen.endswith(b"\n"):
        seen += os.read(ours, 4096)
    running.send_signal(signal.SIGTERM)
    while b"stopped" not in seen:
        seen += os.read(ours, 4096)
    assert running.wait(timeout=60) == 0
    os.close(ours)
    assert not alive(int(seen.split()[1]))


# -- elevation, dry run, log --------------------------------------------------------------------------------


def test_changes_are_elevated_and_questions_only_on_request(ear: Ear, tmp_path: Path) -> None:
    (tmp_path / "raise").write_text('#!/bin/sh\nRAISED=yes\nexport RAISED\nexec "$@"\n')
    (tmp_path / "raise").chmod(0o755)
    host = LocalHost(path=f"{tmp_path}:{PATH}", elevate=("raise",), log=ear.lines.append)
    show = ("sh", "-c", "echo ${RAISED:-no}")
    heard: list[bytes] = []
    assert host.ask(*show).stdout == "no\n"
    assert host.ask(*show, elevated=True).stdout == "yes\n"
    assert host.change(*show).stdout == "yes\n"
    host.stream(*show, on_stdout=heard.append, on_stderr=heard.append)
    assert heard == [b"yes\n"]
    assert host.interact("sh", "-c", "test $RAISED = yes") == 0
    assert [line.argv[0] for line in ear.lines] == ["sh", "raise", "raise", "raise", "raise"]


def test_an_error_names_the_tool_and_its_command_the_elevation_too(tmp_path: Path) -> None:
    host = LocalHost(path=PATH, elevate=("env",))
    with pytest.raises(CommandError, match=r"^sh exited with 2: ") as failed:
        host.change("sh", "-c", "exit 2")
    assert failed.value.command == "env sh -c 'exit 2'"
    assert failed.value.argv == ("sh", "-c", "exit 2")
    with pytest.raises(CommandNotFound, match="no command no-pfexec"):
        LocalHost(path=PATH, elevate=("no-pfexec",)).change("true")


def test_a_dry_run_asks_but_only_reports_changes(ear: Ear, tmp_path: Path) -> None:
    host = LocalHost(
        path=PATH, dry_run=True, elevate=("pfexec",), log=ear.lines.append, report=ear.reports.append
    )
    made = tmp_path / "made here"
    ended = host.change("mkdir", str(made))
    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "", "")
    assert host.stream("touch", "x", on_stdout=print, on_stderr=print).exit_code == 0
    assert host.interact("zlogin", "z") == 0
    assert host.ask("echo", "asked").stdout == "asked\n"
    assert not made.exists()
    assert ear.reports == [f"pfexec mkdir '{made}'", "pfexec touch x", "pfexec zlogin z"]
    assert [line.dry for line in ear.lines] == [True, True, True, False]


def test_a_dry_run_shows_what_would_be_fed(ear: Ear) -> None:
    host = LocalHost(path=PATH, dry_run=True, report=ear.reports.append)
    host.change("zlogin", "-S", "z", "/bin/sh -s", stdin="echo EOF\nEOF\n")
    host.change("zlogin", "-S", "z", "/bin/sh -s", stdin="$6$hash", secret=True)
    with host.file("create -b\n") as path:
        assert not Path(path).exists()
    assert ear.reports == [
        "zlogin -S z '/bin/sh -s' <<'EOF_'\necho EOF\nEOF\nEOF_",
        "zlogin -S z '/bin/sh -s'  # its input is secret",
        f"cat > {path} <<'EOF'\ncreate -b\nEOF",
    ]


def test_the_log_has_a_line_that_can_be_pasted_with_status_and_duration(host: LocalHost, ear: Ear) -> None:
    script = 'read word; printf "%s\\n" "$word" "it\'s $1"; exit 3'
    first = host.ask("sh", "-c", script, "sh", "a  b", stdin="fed", ok=(3,))
    (line,) = ear.lines
    assert (line.kind, line.exit_code, line.dry) == ("ask", 3, False)
    assert line.seconds > 0
    again = subprocess.run(["sh", "-c", str(line)], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (3, first.stdout)
    assert shlex.split(line.line) == list(first.argv)


def test_secrets_never_reach_the_log(host: LocalHost, ear: Ear) -> None:
    assert host.change("cat", stdin="$6$hash", secret=True).stdout == "$6$hash"
    assert "hash" not in repr(ear.lines) + str(ear.lines[0])


def test_a_command_that_could_not_run_is_logged_all_the_same(host: LocalHost, ear: Ear) -> None:
    with pytest.raises(CommandNotFound):
        host.change("zonecfg-nowhere")
    assert [(line.line, line.exit_code) for line in ear.lines] == [("zonecfg-nowhere", None)]


def test_default_limits_are_per_kind(ear: Ear) -> None:
    host = LocalHost(path=PATH, limits=Limits(ask=0.2, change=600, stream=0.2))
    with pytest.raises(CommandTimeout):
        host.ask("sleep", "600")
    with pytest.raises(CommandTimeout):
        host.stream("sleep", "600", on_stdout=print, on_stderr=print)
    assert host.change("sleep", "0.3").exit_code == 0


# -- files --------------------------------------------------------------------------------------------------


def test_a_file_is_private_and_removed_also_on_failure(host: LocalHost) -> None:
    with pytest.raises(CommandError), host.file("create -b\nü\n") as path:
        kept = path
        assert path.startswith("/tmp/")
        assert Path(path).stat().st_mode & 0o777 == 0o600
        assert host.ask("cat", path).stdout == "create -b\nü\n"
        host.change("false")
    assert not Path(kept).exists()


def test_a_file_that_the_program_removed_itself_is_no_error(host: LocalHost) -> None:
    with host.file("x") as path:
        host.change("rm", path)


# -- other doors --------------------------------------------------------------------------------------------


class FarHost(LocalHost):
    """A host behind one more program, as ssh would be: it takes one command line and hands it to a shell."""

    def _here(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        return ("sh", "-c", shlex.join(argv))


def test_a_host_elsewhere_needs_only_another_way_to_say_the_words(ear: Ear) -> None:
    far = FarHost(path=PATH, elevate=("env",), log=ear.lines.append)
    assert far.change("printf", "%s|", "a  b", "$HOME").stdout == "a  b|$HOME|"
    assert ear.lines[0].argv == ("env", "printf", "%s|", "a  b", "$HOME")


def test_a_function_can_be_a_door_with_all_the_same_rules(ear: Ear) -> None:
    waited: list[float] = []
    given: list[tuple[tuple[str, ...], bytes, float | None]] = []

    def execute(argv, stdin, on_stdout, on_stderr, limit):  # type: ignore[no-untyped-def]
        given.append((argv, stdin, limit))
        if argv[-1] == "unknown":
            raise FileNotFoundError(2, "no such command", "unknown")
        if argv[-1] == "hang":
            raise TimeoutError("stuck")
        if on_stdout:
            on_stdout(b"live")
            return 3, "", ""
        return (1, "", f"{argv[0]}: boom\n") if argv[-1] == "fail" else (0, "ok\n", "")

    host = CallableHost(execute, waited.append, elevate=("pfexec",), log=ear.lines.append)
    assert host.ask("zfs", "list", stdin="x").stdout == "ok\n"
    with pytest.raises(CommandError, match="zfs exited with 1"):
        host.change("zfs", "fail")
    with pytest.raises(CommandNotFound, match="unknown"):
        host.ask("unknown")
    with pytest.raises(CommandTimeout) as late:
        host.change("zoneadm", "hang", limit=9)
    heard: list[bytes] = []
    assert host.stream("zlogin", "z", on_stdout=heard.append, on_stderr=heard.append).exit_code == 3
    host.pause(120)
    assert (heard, waited, late.value.stderr) == ([b"live"], [120], "stuck")
    assert given[0] == (("zfs", "list"), b"x", 60.0)
    assert given[1] == (("pfexec", "zfs", "fail"), b"", 600.0)
    assert [line.exit_code for line in ear.lines] == [0, 1, None, None, 3]


# -- what it costs ------------------------------------------------------------------------------------------


def test_sh_comes_with_the_first_command_and_without_asyncio() -> None:
    script = (
        "import sys; from zonemgr.host.door import LocalHost; host = LocalHost(path='/usr/bin:/bin');"
        "assert 'sh' not in sys.modules; host.ask('true'); assert 'sh' in sys.modules;"
        "print([name for name in ('asyncio', 'importlib.metadata') if name in sys.modules]);"
        "import asyncio, importlib.metadata; asyncio.run(asyncio.sleep(0)); importlib.metadata.version('sh');"
        "host.ask('true')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=HERE
    )
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


# -- programs of another user ---------------------------------------------------------------------------------

# Stands for zoneadm, zonecfg or pkg started by pfexec: a program of root's, while zonemgr is somebody else. Where
# zonemgr is, somebody's ids are in force except while a program is started by pfexec (the first word), as the kernel
# of illumos gives it root's. `allowed`: a profile names /usr/bin/kill, so pfexec makes that root's as well.
UNENDABLE = """
import os, sys
import zonemgr.host.programs  # now: somebody may not be able to read it
from zonemgr.errors import CommandTimeout
from zonemgr.host.contract import Limits
from zonemgr.host.door import LocalHost
place, allowed, outlast, script = sys.argv[1:]
SOMEBODY = 65534
class Host(LocalHost):
    def _start(self, argv, descriptors, *, terminal):
        raised = argv[0] == "env" and (argv[1] == "sh" or allowed == "allowed")
        if raised:
            os.setresuid(0, 0, 0)
        try:
            return super()._start(argv, descriptors, terminal=terminal)
        finally:
            os.setresuid(SOMEBODY, SOMEBODY, 0)
limits = Limits(outlast=float(outlast))
host = Host(path="/usr/bin:/bin", grace=0.3, elevate=("env",), limits=limits, warn=print)
host.ask("true")
os.setresuid(SOMEBODY, SOMEBODY, 0)
try:
    host.change("sh", "-c", script, limit=0.5)
except CommandTimeout as late:
    os.setresuid(0, 0, 0)
    print("late", os.path.exists(f"{place}/done"), getattr(late, "__notes__", []))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs programs of two users")
@pytest.mark.parametrize(
    ("allowed", "outlast", "done", "waited"),
    [("allowed", "60", False, False), ("", "60", True, True), ("", "0.2", False, True)],
)
def test_a_program_of_roots_is_ended_by_pfexec_or_waited_for(
    tmp_path: Path, allowed: str, outlast: str, done: bool, waited: bool
) -> None:
    """Undo must not begin beside a zoneadm that still works: the door returns when it is gone, or says it is not."""
    tmp_path.chmod(0o755)
    length = "1.5" if done else "600"
    script = f"sleep {length}; touch {tmp_path}/done"
    ran = subprocess.run(
        [sys.executable, "-c", UNENDABLE, str(tmp_path), allowed, outlast, script],
        capture_output=True, text=True, timeout=60, check=False, env=HERE,
    )  # fmt: skip
    assert ran.stderr == ""
    *warnings, last = ran.stdout.splitlines()
    assert last.startswith(f"late {done} [")
    assert bool(warnings) == waited
    assert all("Process Management" in warning and warning.startswith("sh (process") for warning in warnings)
    words = ["pgrep", "-f", f"^sh -c sleep {length}; touch {tmp_path}/done"]
    left = subprocess.run(words, capture_output=True, text=True, check=False)
    assert bool(left.stdout) == ("does not end" in last) == (outlast == "0.2")
    for pid in left.stdout.split():
        os.killpg(int(pid), signal.SIGKILL)
