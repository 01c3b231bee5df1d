"""zlogin: one word goes in, and how it ended comes out by a marker (docs/illumos.md: zlogin and rights)."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zonemgr.errors import CommandError, CommandTimeout, NotThere, UsageError, ZonemgrError
from zonemgr.host import zlogin
from zonemgr.host.door import LocalHost
from zonemgr.model import CommandEnd, UserName, ZoneName

Z = ZoneName("build-1")
NONCE = "0123456789abcdef"


@pytest.fixture
def nonce(monkeypatch: pytest.MonkeyPatch) -> str:
    """Eight bytes of chance that are always the same."""
    monkeypatch.setattr(os, "urandom", lambda size: bytes.fromhex(NONCE))
    return NONCE


def marker(what: str = "exit", number: int = 0) -> str:
    return f"\x1ezonemgr:{NONCE}:{what}:{number}\n"


CONTRACT = (
    "c=$(/usr/bin/ps -o ctid= -p $$ 2>/dev/null); "
    f"case $c in *[0-9]) printf '\\036zonemgr:{NONCE}:ctid:%d\\n' $c >&2 ;; esac"
)
REPORT = f"s=$?; printf '\\036zonemgr:{NONCE}:exit:%d\\n' $s >&2; exit $s"


# -- the words ----------------------------------------------------------------------------------------------


def test_a_script_goes_through_standard_input(illumos: Any, nonce: str) -> None:
    illumos.answers_any("pfexec", "zlogin", reply=lambda words: ("done\n", "note\n" + marker(), 0))
    done = zlogin.run_script(illumos.host, Z, "echo $6$hash\n", secret=True)
    assert (done.stdout, done.stderr, done.exit_code) == ("done\n", "note\n", 0)
    assert illumos.told == [shlex.join(["pfexec", "zlogin", "-S", "build-1", f"/bin/sh -s; {REPORT}"])]
    assert illumos.fed == ["echo $6$hash\n"]
    assert "hash" not in repr(illumos.log)


def test_a_question_inside_is_one_word(illumos: Any, nonce: str) -> None:
    illumos.answers_any("pfexec", "zlogin", reply=lambda words: ("x\n", marker(number=1), 1))
    assert zlogin.ask(illumos.host, Z, "pkg", "list", "-H", "a b", ok=(0, 1)).exit_code == 1
    assert illumos.told == [shlex.join(["pfexec", "zlogin", "-S", "build-1", f"pkg list -H 'a b'; {REPORT}"])]


def test_a_build_as_root_is_one_word_for_the_failsafe_shell(illumos: Any, nonce: str) -> None:
    heard: list[bytes] = []
    illumos.answers_any("pfexec", "zlogin", reply=lambda words: ("out", "err" + marker(number=3), 3))
    end = zlogin.run(
        illumos.host,
        Z,
        "make 'all it' && ls",
        env={"A": "b c", "B": "1"},
        cwd="/my work",
        on_stdout=heard.append,
        on_stderr=heard.append,
    )
    assert end == CommandEnd(3)
    assert heard == [b"out", b"err"]
    cwd = f"cd -- '/my work' 2>/dev/null || {{ printf '\\036zonemgr:{NONCE}:cwd:%d\\n' 125 >&2; exit 125; }}"
    run = shlex.join(["/usr/bin/env", "A=b c", "B=1", "/bin/sh", "-c", "make 'all it' && ls"])
    assert illumos.log[0].argv == (
        *("pfexec", "zlogin", "-S", "build-1"),
        f"trap : HUP INT QUIT TERM; {CONTRACT}; {cwd}; {run}; {REPORT}",
    )


def test_a_build_as_a_user_replaces_the_login_shell(illumos: Any, nonce: str) -> None:
    illumos.answers_any("pfexec", "zlogin", reply=lambda words: ("", marker(), 0))
    end = zlogin.run(illumos.host, Z, "make", user=UserName("jim"), on_stdout=print, on_stderr=print)
    assert end == CommandEnd(0)
    line = f"trap : HUP INT QUIT TERM; {CONTRACT}; /bin/sh -c make; {REPORT}"
    assert illumos.log[0].argv == (
        *("pfexec", "zlogin", "-l", "jim", "build-1"),
        f"exec /bin/sh -c {shlex.quote(line)}",
    )


def test_the_contract_is_told_while_it_runs_and_is_no_end(illumos: Any, nonce: str) -> None:
    said = f"\x1ezonemgr:{NONCE}:ctid:1234567\n"
    illumos.answers_any("pfexec", "zlogin", reply=lambda words: ("", said + "err", 0))
    told: list[int] = []
    end = zlogin.run(illumos.host, Z, "x", on_stdout=print, on_stderr=print, on_contract=told.append)
    assert told == [1234567]
    assert end.status is None and end.trouble == "zlogin ended with 0: err"


@pytest.mark.parametrize(("answer", "gone"), [("gone\n", True), ("", False)])
def test_a_contract_is_ended_from_inside(illumos: Any, nonce: str, answer: str, gone: bool) -> None:
    illumos.answers_any("pfexec", "zlogin", reply=lambda words: (answer, marker(), 0))
    assert zlogin.end_contract(illumos.host, Z, 77) is gone
    assert "/usr/bin/pkill -$signal -c 77" in illumos.log[0].stdin


def test_login_and_console_have_the_terminal(illumos: Any) -> None:
    illumos.answers("pfexec zlogin build-1")
    illumos.answers("pfexec zlogin -l jim build-1")
    illumos.answers("pfexec zlogin -C build-1", status=1)
    assert zlogin.login(illumos.host, Z) == 0
    assert zlogin.login(illumos.host, Z, user=UserName("jim")) == 0
    assert zlogin.console(illumos.host, Z) == 1


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ({"command": "  "}, "no command"),
        ({"command": "make", "env": {"A-B": "x"}}, "environment variable"),
        ({"command": "make", "env": {"": "x"}}, "environment variable"),
        ({"command": "make", "cwd": "build"}, "not absolute"),
        ({"command": "a\0b"}, "NUL"),
    ],
)
def test_what_cannot_be_run_is_refused_before(illumos: Any, what: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        zlogin.run(illumos.host, Z, on_stdout=print, on_stderr=print, **what)
    assert illumos.told == []


# -- no marker, no belief -----------------------------------------------------------------------------------


def test_a_script_that_was_killed_is_no_success_although_zlogin_exits_0(illumos: Any, nonce: str) -> None:
    illumos.answers_any("pfexec", "zlogin", reply=lambda words: ("half", "", 0))
    with pytest.raises(ZonemgrError, match="did not say how it ended"):
        zlogin.run_script(illumos.host, Z, "set -e\n")


def test_the_status_of_a_script_is_what_it_said(illumos: Any, nonce: str) -> None:
    said = "setup: no such user\n" + marker(number=3)
    illumos.answers_any("pfexec", "zlogin", reply=lambda words: ("", said, 0))
    with pytest.raises(CommandError, match="zlogin exited with 3: setup: no such user"):
        zlogin.run_script(illumos.host, Z, "exit 3\n")


@pytest.mark.parametrize(
    ("said", "status", "trouble"),
    [
        (
            "zlogin: login allowed only to running zones (build-1 is 'installed').\n",
            1,
            "only to running zones",
        ),
        ("No directory!\n", 1, "No directory!"),
        ("", 0, "no reason"),
        (marker("cwd", 125), 125, "no directory /nowhere in the zone"),
    ],
)
def test_a_command_that_never_began_has_no_status(
    illumos: Any, nonce: str, said: str, status: int, trouble: str
) -> None:
    heard: list[bytes] = []
    illumos.answers_any("pfexec", "zlogin", reply=lambda words: ("", said, status))
    end = zlogin.run(illumos.host, Z, "make", cwd="/nowhere", on_stdout=print, on_stderr=heard.append)
    assert end.status is None
    assert trouble in end.trouble


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("zlogin: login allowed only to running zones (build-1 is 'ready').", "zonemgr boot -z build-1"),
        ("zlogin: cannot login to a zone which is 'configured'", "no root yet"),
        ("zlogin: You lack sufficient privilege to run this command (all privs required)", "Zone Management"),
    ],
)
def test_a_refusal_has_the_next_thing_to_try(illumos: Any, nonce: str, said: str, hint: str) -> None:
    illumos.answers_any("pfexec", "zlogin", reply=lambda words: ("", said + "\n", 1))
    with pytest.raises(CommandError) as failed:
        zlogin.run_script(illumos.host, Z, ":\n")
    assert hint in (failed.value.hint or "")


def test_an_unknown_zone_is_not_there(illumos: Any, nonce: str) -> None:
    illumos.answers_any("pfexec", "zlogin", reply=lambda words: ("", "zlogin: zone 'build-1' unknown\n", 1))
    with pytest.raises(NotThere, match="no zone build-1"):
        zlogin.ask(illumos.host, Z, "true")


def test_a_dry_run_runs_nothing_inside(illumos: Any) -> None:
    zlogin.run_script(illumos.dry, Z, "x\n")
    zlogin.change(illumos.dry, Z, "pkg", "refresh")
    assert zlogin.run(illumos.dry, Z, "make", on_stdout=print, on_stderr=print) == CommandEnd(0)
    assert illumos.told == []


@pytest.mark.parametrize(
    ("number", "end"),
    [
        (0, CommandEnd(0)),
        (255, CommandEnd(255)),
        (137, CommandEnd(137, 9)),
        (265, CommandEnd(137, 9)),  # ksh93
        (271, CommandEnd(143, 15)),
        (200, CommandEnd(200)),
    ],
)
def test_a_signal_shows_in_every_shells_way(number: int, end: CommandEnd) -> None:
    assert zlogin.end_of(number) == end


# -- the filter ---------------------------------------------------------------------------------------------


class Sieve:
    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.filter = zlogin.StreamFilter(NONCE, self.out.append)

    @property
    def text(self) -> bytes:
        return b"".join(self.out)


def test_bytes_go_on_at_once() -> None:
    sieve = Sieve()
    for chunk in (b"prompt# ", b"\n", b"\xff\x00", b"zonemgr:"):
        sieve.filter.feed(chunk)
        assert sieve.out.pop() == chunk
    assert sieve.filter.said is None


def test_only_what_may_be_the_marker_waits() -> None:
    sieve = Sieve()
    sieve.filter.feed(b"last line" + marker().encode()[:5])
    assert sieve.text == b"last line"
    sieve.filter.feed(b" it was not")
    assert sieve.text == b"last line" + marker().encode()[:5] + b" it was not"


def test_the_stream_may_end_inside_a_marker() -> None:
    sieve = Sieve()
    sieve.filter.feed(marker().encode()[:-1])
    assert sieve.text == b""
    sieve.filter.close()
    assert sieve.text == marker().encode()[:-1]
    assert sieve.filter.said is None


@pytest.mark.parametrize(
    "other",
    [
        marker().replace(NONCE, "0" * 16),  # of another run
        marker("done"),
        marker().replace(":0", ":x"),
        marker(number=1234567),
        f"\x1ezonemgr:{NONCE}:exit:" + "9" * 500,
    ],
)
def test_what_only_looks_like_a_marker_passes(other: str) -> None:
    sieve = Sieve()
    sieve.filter.feed(other.encode())
    sieve.filter.close()
    assert sieve.text == other.encode()
    assert sieve.filter.said is None


def test_the_last_marker_counts_and_none_is_seen() -> None:
    sieve = Sieve()
    sieve.filter.feed((marker(number=0) + "later" + marker(number=7) + "late").encode())
    assert sieve.text == b"laterlate"
    assert sieve.filter.said == ("exit", 7)


PIECES = st.binary(max_size=40) | st.sampled_from([b"\x1e", b"\x1ezonemgr:", b"\n", marker().encode()[:20]])


@settings(suppress_health_check=[HealthCheck.too_slow])  # a machine may be busy
@given(before=st.lists(PIECES), after=st.lists(PIECES), cuts=st.lists(st.integers(1, 30), min_size=1))
def test_however_it_is_split_only_the_marker_is_gone(
    before: list[bytes], after: list[bytes], cuts: list[int]
) -> None:
    sieve, start, end = Sieve(), b"".join(before), b"".join(after)
    data, at = start + marker(number=42).encode() + end, 0
    while data:
        size = cuts[at % len(cuts)]
        sieve.filter.feed(data[:size])
        data, at = data[size:], at + 1
    sieve.filter.close()
    assert sieve.text == start + end
    assert sieve.filter.said == ("exit", 42)


# -- in real shells -----------------------------------------------------------------------------------------

# As much of zlogin as counts here: words are joined by blanks and go through a shell; killed shows as 0.
FAKE = """#!/bin/sh
shell=/bin/sh
while :; do case $1 in -S) shift;; -l) shell=$2; shift 2;; *) break;; esac; done
shift
$shell -c "$*"
s=$?
[ $s -lt 128 ] || s=0
exit $s
"""


@pytest.fixture
def inside(tmp_path: Path) -> LocalHost:
    (tmp_path / "zlogin").write_text(FAKE)
    (tmp_path / "zlogin").chmod(0o755)
    return LocalHost(path=f"{tmp_path}:{os.environ['PATH']}", grace=0.3)


def build(host: LocalHost, command: str, **how: Any) -> tuple[CommandEnd, bytes, bytes]:
    out: list[bytes] = []
    err: list[bytes] = []
    end = zlogin.run(host, Z, command, on_stdout=out.append, on_stderr=err.append, limit=60, **how)
    return end, b"".join(out), b"".join(err)


SHELLS = [name for name in ("sh", "bash", "ksh", "csh", "tcsh") if shutil.which(name)]


@pytest.mark.parametrize("shell", [None, *SHELLS])
@pytest.mark.parametrize(
    ("command", "out"),
    [
        ("echo 'a  b' \"$0\" \\$HOME", b"a  b /bin/sh $HOME\n"),
        ("printf %s it\\'s", b"it's"),
        ("echo wow! ; printf %s 'ü %s \\n'", b"wow!\n\xc3\xbc %s \\n"),
        ("echo one\necho two # comment", b"one\ntwo\n"),
        ("test -t 0 || cat", b""),
        ("if true; then echo `echo x` $(echo y); fi &\nwait", b"x y\n"),
    ],
)
def test_a_command_line_arrives_as_it_was_written(
    inside: LocalHost, shell: str | None, command: str, out: bytes
) -> None:
    user = UserName(shell) if shell else None
    end, stdout, stderr = build(inside, command, user=user)
    assert (end, stdout, stderr) == (CommandEnd(0), out, b"")


@pytest.mark.parametrize("status", [0, 1, 2, 77, 124, 125, 126, 127, 128, 200, 255])
def test_every_exit_status_comes_back(inside: LocalHost, status: int) -> None:
    assert build(inside, f"exit {status}")[0].status == status


@pytest.mark.parametrize("shell", [None, *SHELLS])
@pytest.mark.parametrize(
    ("number", "name"), [(9, "KILL"), (15, "TERM"), (11, "SEGV"), (2, "INT"), (1, "HUP")]
)
def test_a_command_killed_by_a_signal_says_so(
    inside: LocalHost, shell: str | None, number: int, name: str
) -> None:
    end, _, _ = build(inside, f"kill -{name} $$", user=UserName(shell) if shell else None)
    assert end == CommandEnd(128 + number, number)


def test_a_build_that_ends_its_whole_process_group_still_reports(inside: LocalHost) -> None:
    assert build(inside, "kill -TERM 0; sleep 600")[0] == CommandEnd(143, 15)


def test_environment_and_directory_are_set_inside(inside: LocalHost, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    env = {"ONE": "a 'b' $c\nd", "PATH": "/usr/bin:/bin"}
    end, out, _ = build(inside, 'pwd; printf %s "$ONE"', env=env, cwd=str(tmp_path / "a b"))
    assert (end, out) == (CommandEnd(0), f"{tmp_path}/a b\na 'b' $c\nd".encode())


def test_a_missing_directory_is_not_the_commands_failure(inside: LocalHost, tmp_path: Path) -> None:
    end, out, _ = build(inside, "echo ran", cwd=str(tmp_path / "gone"))
    assert (end.status, out) == (None, b"")
    assert "no directory" in end.trouble


def test_stderr_is_the_commands_alone(inside: LocalHost) -> None:
    end, _, err = build(inside, "printf 'no newline' >&2; exit 5")
    assert (end, err) == (CommandEnd(5), b"no newline")


def test_a_script_runs_whole_and_its_status_counts(inside: LocalHost) -> None:
    assert zlogin.run_script(inside, Z, "set -eu\necho \"$PWD\"\ncat <<'E'\n$x\nE\n").stdout == "/\n$x\n"
    with pytest.raises(CommandError, match="exited with 4"):
        zlogin.run_script(inside, Z, "exit 4\n")
    with pytest.raises(CommandError):
        zlogin.run_script(inside, Z, "kill -9 $$\n")


def test_a_time_limit_goes_on_as_it_is(inside: LocalHost) -> None:
    with pytest.raises(CommandTimeout):
        zlogin.run(inside, Z, "sleep 600", on_stdout=print, on_stderr=print, limit=0.3)


def test_a_wrapped_line_is_posix(tmp_path: Path) -> None:
    line = zlogin.wrapped("exit 3", NONCE, env={"A": "b"}, cwd="/")
    for shell in SHELLS:
        if shell.endswith("csh"):
            continue
        ran = subprocess.run([shell, "-c", line], capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (3, marker(number=3))
