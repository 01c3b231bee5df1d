"""zlogin in the lab against docs/illumos.md: zlogin and rights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.stage import Stage, needs_namespaces, needs_root, running
from zonemgr.lab import cell, zlogin, zonestore
from zonemgr.lab.call import Call, TimeLimit

USAGE = "usage: zlogin [ -dnQCES ] [ -e cmdchar ] [-l user] zonename [command [args ...] ]\n"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path / "lab")
    yield made
    made.close()


@pytest.fixture
def up(stage: Stage) -> Stage:
    stage.boot()
    return stage


class TestRefusals:
    """Nothing is run; the texts are the manual's."""

    @pytest.mark.parametrize(
        ("words", "text"),
        [
            ([], ""),
            (["-x", "web"], "illegal option -- x"),
            (["web", "-l"], None),
            (["-l"], "option requires an argument -- l"),
            (["-S", "-l", "builder", "web"], "-l may not be specified for failsafe login"),
            (["-C", "-l", "builder", "web"], "-l may not be specified for console login"),
            (["-C", "-n", "web"], "-n may not be specified for console login"),
            (["-C", "-S", "web"], "-S may not be specified for console login"),
            (["-C", "web", "id"], "Commands may not be specified for console login."),
            (["-d", "web"], "-d may only be specified with console login"),
            (["-n", "web"], "-n may not be specified for interactive login"),
            (["-e", "\\9", "web"], "Unrecognized escape character option \\9"),
            (["-e", "\\777", "web"], "Octal escape character '777' too large"),
        ],
    )
    def test_options_that_cannot_go_together_are_usage_errors(
        self, stage: Stage, words: list[str], text: str | None
    ) -> None:
        if text is None:  # words after the zone are the command's
            assert zlogin.parse(words).words == ("-l",)
            return
        ended = stage.run("zlogin", *words)
        said = f"zlogin: {text}\n" if text else ""
        assert (ended.exit_code, ended.stdout, ended.stderr) == (2, "", said + USAGE)

    @pytest.mark.parametrize(
        ("state", "text"),
        [
            ("configured", "cannot login to a zone which is 'configured'"),
            ("incomplete", "cannot login to a zone which is 'incomplete'"),
            ("installed", "login allowed only to running zones (web is 'installed')."),
            ("ready", "login allowed only to running zones (web is 'ready')."),
            ("shutting_down", "login allowed only to running zones (web is 'shutting_down')."),
            ("down", "login allowed only to running zones (web is 'down')."),
        ],
    )
    @pytest.mark.parametrize("words", [["web", "true"], ["-S", "web", "true"], ["web"]])
    def test_only_running_and_mounted_zones_let_one_in(
        self, stage: Stage, state: str, text: str, words: list[str]
    ) -> None:
        if state in ("configured", "incomplete", "installed"):
            zonestore.set_state(stage.world, "web", state)
        else:
            stage.state(state)
        ended = stage.run("zlogin", *words)
        assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", f"zlogin: {text}\n")

    def test_a_zone_must_exist_and_not_be_the_global_one(self, stage: Stage) -> None:
        assert stage.run("zlogin", "wab", "id").stderr == "zlogin: zone 'wab' unknown\n"
        assert stage.run("zlogin", "global", "id").stderr == (
            "zlogin: 'zlogin' not applicable to the global zone\n"
        )

    def test_the_state_is_told_before_the_lack_of_privilege(self, stage: Stage) -> None:
        ended = stage.run("zlogin", "web", "id", user="builder")
        assert ended.stderr == (
            "zlogin: You lack sufficient privilege to run this command (all privs required)\n"
        )
        stage.run("zonecfg", "-z", "fresh", "create -b; set zonepath=/zones/fresh; set brand=ipkg")
        ended = stage.run("zlogin", "fresh", "id", user="builder")
        assert ended.stderr == "zlogin: cannot login to a zone which is 'configured'\n"

    def test_the_console_is_there_from_installed_on(self, stage: Stage) -> None:
        ended = stage.run("zlogin", "-C", "web")
        assert (ended.exit_code, ended.stdout) == (0, "[Connected to zone 'web' console]\n")
        assert ended.stderr == "\n[Connection to zone 'web' console closed]\n"
        assert stage.run("zlogin", "-Q", "-C", "web").stderr == ""


class TestJoining:
    """One string, read again by a shell in the zone: never what the caller quoted."""

    @pytest.mark.parametrize(
        ("words", "gate", "omnios"),
        [
            (["echo", "a  b"], "echo a  b ", "echo 'a  b'"),
            (["echo 'a  b'"], "echo 'a  b' ", "echo 'a  b'"),
            (["echo", "it's here"], "echo it's here ", "echo 'it's here'"),
            (["echo", "$HOME"], "echo $HOME ", "echo $HOME"),
            (["echo", ""], "echo  ", "echo "),
        ],
    )
    def test_each_flavour_joins_its_own_way(self, words: list[str], gate: str, omnios: str) -> None:
        assert zlogin.joined(words, omnios=False) == gate
        assert zlogin.joined(words, omnios=True) == omnios


@pytest.mark.usefixtures("up")
class TestRunning:
    pytestmark = needs_namespaces

    def test_blanks_of_an_argument_are_lost_and_variables_are_the_zones(self, up: Stage) -> None:
        assert up.run("zlogin", "web", "echo", "a  b", "$HOME").stdout == "a b /root\n"

    def test_a_root_command_gets_the_environment_of_su(self, up: Stage) -> None:
        lines = up.run("zlogin", "web", "env; pwd").stdout.splitlines()
        assert lines[-1] == "/root"
        values = dict(line.split("=", 1) for line in lines[:-1])
        for shell_made in ("_", "PWD", "SHLVL", "OLDPWD", "A__z"):
            values.pop(shell_made, None)
        assert values == {
            "PATH": "/usr/sbin:/usr/bin",
            "HOME": "/root",
            "LOGNAME": "root",
            "MAIL": "/var/mail/root",
            "SHELL": "/usr/bin/bash",
        }

    def test_failsafe_has_four_variables_and_starts_at_the_root(self, up: Stage) -> None:
        lines = up.run("zlogin", "-S", "web", "env; pwd").stdout.splitlines()
        assert lines[-1] == "/"
        of_the_shell = ("PWD=", "SHLVL=", "_=", "A__z=")  # the last one is ksh93's: attributes of the others
        said = {line for line in lines[:-1] if not line.startswith(of_the_shell)}
        assert said == {"PATH=/usr/sbin:/usr/bin", "HOME=/", "SHELL=/sbin/sh"}

    def test_of_the_callers_environment_only_term_crosses(self, up: Stage) -> None:
        import io

        out = io.BytesIO()
        caller = {"TERM": "vt220", "LANG": "de_DE", "http_proxy": "http://x", "LD_PRELOAD": "x.so"}
        assert zlogin.zlogin(Call(up.world, ["zlogin", "-S", "web", "env"], stdout=out, env=caller)) == 0
        assert b"TERM=vt220\n" in out.getvalue()
        assert not {b"LANG", b"http_proxy", b"LD_PRELOAD"} & {
            line.split(b"=")[0] for line in out.getvalue().splitlines()
        }

    @needs_root
    def test_another_user_gets_a_login_environment_and_its_groups(self, up: Stage) -> None:
        lines = up.run(
            "zlogin", "-l", "builder", "web", "id -un; id -gn; id -G; pwd; env"
        ).stdout.splitlines()
        assert lines[:4] == ["builder", "staff", "10 77", "/export/home/builder"]
        assert "LOGNAME=builder" in lines
        assert "MAIL=/var/mail/builder" in lines
        assert "HZ=" in lines

    def test_an_unknown_user_is_sus_business(self, up: Stage) -> None:
        ended = up.run("zlogin", "-l", "nobodyatall", "web", "id")
        assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", "su: Unknown id: nobodyatall\n")

    @needs_root
    def test_a_missing_home_stops_a_user(self, up: Stage) -> None:
        ended = up.run("zlogin", "-l", "homeless", "web", "id")
        assert (ended.exit_code, ended.stdout) == (1, "")
        assert ended.stderr == (
            "zlogin: Could not chdir to home directory /export/home/homeless: No such file or directory\n"
            "su: No directory!\n"
        )

    def test_a_missing_home_does_not_stop_root(self, up: Stage) -> None:
        (up.root / "root").rename(up.root / "elsewhere")
        ended = up.run("zlogin", "web", "pwd")
        assert (ended.exit_code, ended.stdout) == (0, "/\n")
        assert ended.stderr.startswith("zlogin: Could not chdir to home directory /root: ")

    @needs_root
    def test_a_user_without_a_shell_cannot_run_anything(self, up: Stage) -> None:
        ended = up.run("zlogin", "-l", "shellless", "web", "id")
        assert (ended.exit_code, ended.stderr) == (3, "su: No shell\n")

    def test_root_without_its_shell_falls_back(self, up: Stage) -> None:
        passwd = up.root / "etc/passwd"
        passwd.write_text(passwd.read_text().replace("/usr/bin/bash", "/usr/bin/gone", 1))
        ended = up.run("zlogin", "web", "echo here")
        assert ended.stdout == "here\n"
        assert ended.stderr == "su: No shell /usr/bin/gone.  Trying fallback shell /sbin/sh.\n"

    def test_the_path_of_root_is_configured_in_the_zone(self, up: Stage) -> None:
        (up.root / "etc/default/su").write_text("# SUPATH=/no\nSUPATH=/opt/bin:/usr/bin\n")
        assert up.run("zlogin", "web", "echo $PATH").stdout == "/opt/bin:/usr/bin\n"

    def test_without_a_command_or_terminal_a_login_shell_reads_stdin(self, up: Stage) -> None:
        ended = up.run("zlogin", "web", stdin=b"echo $0; pwd\nexit 3\n")
        assert (ended.exit_code, ended.stdout) == (3, "-bash\n/root\n")

    def test_failsafe_without_a_command_is_a_shell_that_reads_stdin(self, up: Stage) -> None:
        ended = up.run("zlogin", "-S", "web", stdin=b"echo one\ncat <<X\ntwo\nX\nexit 4\n")
        assert (ended.exit_code, ended.stdout) == (4, "one\ntwo\n")


class TestEnding:
    """Exit statuses, pipes, signals."""

    pytestmark = needs_namespaces

    @pytest.mark.parametrize("status", [0, 1, 7, 255])
    def test_the_commands_own_status_comes_back(self, up: Stage, status: int) -> None:
        assert up.run("zlogin", "web", f"exit {status}").exit_code == status

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
    def test_a_command_killed_by_a_signal_counts_as_success(self, up: Stage, number: int) -> None:
        assert up.run("zlogin", "-S", "web", f"kill -{number:d} $$").exit_code == 0

    def test_a_shell_that_survives_says_which_signal_it_was(self, up: Stage) -> None:
        assert up.run("zlogin", "web", "sh -c 'kill -9 $$'; exit $?").exit_code == 137

    def test_the_streams_are_kept_apart(self, up: Stage) -> None:
        ended = up.run("zlogin", "web", "echo out; echo err >&2; test -t 0 || test -t 1 || echo no terminal")
        assert (ended.stdout, ended.stderr) == ("out\nno terminal\n", "err\n")

    def test_much_output_on_both_arrives_whole(self, up: Stage) -> None:
        script = "head -c 300000 /dev/zero | tee /dev/stderr"
        ended = up.run("zlogin", "-S", "web", script)
        assert (len(ended.stdout), len(ended.stderr)) == (300000, 300000)

    def test_output_is_seen_while_the_command_runs(self, up: Stage) -> None:
        """The command waits for an answer to what it has just said."""
        answer = up.root / "tmp/answer"

        def heard(data: bytes) -> None:
            if b"question" in data:
                answer.write_text("yes\n")

        script = "echo question; until test -s /tmp/answer; do sleep 0.02; done; exit 9"
        ended = up.inside.run(("zlogin", "-S", "web", script), on_stdout=heard, limit=20)
        assert ended.exit_code == 9

    def test_a_background_process_does_not_delay_the_end(self, up: Stage) -> None:
        started = time.monotonic()
        ended = up.run("zlogin", "web", "sleep 60 & echo started", limit=50)
        assert (ended.exit_code, ended.stdout) == (0, "started\n")
        assert time.monotonic() - started < 50
        assert "sleep 60" in up.sh("ps -e -o args")

    def test_closing_one_output_loses_the_rest_of_the_other(self, up: Stage) -> None:
        ended = up.run("zlogin", "-S", "web", "exec 2>&-; echo before; sleep 0.3; echo lost")
        assert (ended.exit_code, ended.stdout) == (0, "before\n")

    def test_zlogin_swallows_its_stdin(self, up: Stage, tmp_path: Path) -> None:
        lines = tmp_path / "lines"
        lines.write_text("one\ntwo\nthree\n")
        with lines.open("rb") as stdin:
            zlogin.zlogin(Call(up.world, ["zlogin", "-S", "web", "true"], stdin=stdin))
            assert os.lseek(stdin.fileno(), 0, os.SEEK_CUR) == lines.stat().st_size

    def test_with_n_it_leaves_stdin_alone(self, up: Stage, tmp_path: Path) -> None:
        lines = tmp_path / "lines"
        lines.write_text("one\ntwo\n")
        with lines.open("rb") as stdin:
            zlogin.zlogin(Call(up.world, ["zlogin", "-n", "-S", "web", "cat"], stdin=stdin))
            assert os.lseek(stdin.fileno(), 0, os.SEEK_CUR) == 0

    def test_what_is_typed_reaches_the_command_whole(self, up: Stage) -> None:
        data = bytes(range(256)) * 400
        ended = up.run("zlogin", "-S", "web", "md5sum", stdin=data)
        import hashlib

        assert ended.stdout.split()[0] == hashlib.md5(data).hexdigest()

    def test_a_time_limit_leaves_the_process_running_in_the_zone(self, up: Stage) -> None:
        with pytest.raises(TimeLimit):
            up.run("zlogin", "web", "sleep 61", limit=0.3)
        assert "sleep 61" in up.sh("ps -e -o args")
        up.halt()

    def test_halting_the_zone_ends_what_runs_in_it(self, up: Stage) -> None:
        ended: list[int] = []
        session = threading.Thread(
            target=lambda: ended.append(_zlogin_in_a_process(up, "echo ready; sleep 62").wait(30))
        )
        session.start()
        while "sleep 62" not in up.sh("ps -e -o args"):
            time.sleep(0.02)
        up.halt()
        session.join(30)
        assert ended == [0]  # a signal: zlogin knows no better

    def test_an_interrupt_reaches_the_command_and_nothing_else_does(self, up: Stage) -> None:
        loop = "echo ready; while :; do sleep 0.02; done"
        session = _zlogin_in_a_process(up, f"trap 'echo caught; exit 6' INT; {loop}")
        assert session.stdout is not None
        assert session.stdout.readline() == "ready\n"
        session.send_signal(signal.SIGINT)
        assert session.wait(30) == 6
        session = _zlogin_in_a_process(up, "echo ready; exec sleep 63")
        assert session.stdout is not None
        assert session.stdout.readline() == "ready\n"
        session.terminate()
        assert session.wait(30) == -signal.SIGTERM
        assert "sleep 63" in up.sh("ps -e -o args")


def _zlogin_in_a_process(stage: Stage, script: str) -> subprocess.Popen[str]:
    program = (
        "import sys; from pathlib import Path\n"
        "from zonemgr.lab.call import Call\n"
        "from zonemgr.lab.program import Output\n"
        "from zonemgr.lab.world import World\n"
        "from zonemgr.lab.zlogin import zlogin\n"
        "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "words = ['zlogin', '-S', 'web', sys.argv[2]]\n"
        "call = Call(World(Path(sys.argv[1])), words, sys.stdin.buffer, Output(1), Output(2))\n"
        "sys.exit(zlogin(call))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, str(stage.world.dir), script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


class TestWithoutACellOfItsOwn:
    """A mounted zone, and a running one in a lab with cells off, get a cell for one command."""

    pytestmark = needs_namespaces

    def test_a_command_runs_and_nothing_is_left(self, stage: Stage) -> None:
        stage.world.put("cells", "off")
        assert cell.start(stage.world, "web", stage.root, stage.config()) == (0, 0)
        stage.state("running")
        ended = stage.run("zlogin", "web", "sleep 64 & echo hello > /etc/motd; echo kept > /tmp/note; exit 5")
        assert ended.exit_code == 5
        assert stage.sh("cat /etc/motd /tmp/note") == "hello\nkept\n"
        assert not running("sleep 64")
        assert not list((stage.world.dir / "cells/web").iterdir())

    def test_a_mounted_zone_shows_directories_of_the_host_and_itself_at_a(self, stage: Stage) -> None:
        stage.world.path("/zones/web/lu").mkdir()
        stage.state("mounted", "/zones/web/lu")
        (stage.root / "opt/kept").write_text("in the zone\n")
        (stage.world.host / "opt").mkdir(exist_ok=True)
        before = (stage.world.host / "etc/nodename").read_text()
        script = (
            "cat /a/opt/kept; echo web2 > /a/etc/nodename; cat /etc/nodename; test -e /opt/kept || echo not here;"
            "for dir in /etc /var /opt /usr; do echo > $dir/mine 2> /tmp/said || echo read-only; done;"
            ": > /var/tmp/mine && : > /var/run/mine && echo fresh"
        )
        readonly = "read-only\n" * 4
        assert stage.sh(script) == f"in the zone\n{before}not here\n{readonly}fresh\n"
        assert (stage.root / "etc/nodename").read_text() == "web2\n"
        assert (stage.world.host / "etc/nodename").read_text() == before

    def test_below_chroot_links_stay_inside_and_there_are_no_devices(self, stage: Stage) -> None:
        stage.world.path("/zones/web/lu").mkdir()
        stage.state("mounted", "/zones/web/lu")
        (stage.root / "etc/sub").symlink_to("/export/sub")
        (stage.root / "export/sub").mkdir()
        words = "echo in > /etc/sub/note; ls /dev; ls /proc; sed s/in/out/ /etc/sub/note"
        assert stage.sh(f"/usr/sbin/chroot /a /bin/sh -c '{words}'") == "out\n"
        assert (stage.root / "export/sub/note").read_text() == "in\n"

        stage.run("zlogin", "-S", "web", "echo gone > /tmp/scratch")
        assert not (stage.root / "tmp/scratch").exists()
