"""A whole host by its programs: zones made by the commands themselves, entered, killed, booted again."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.stage import needs_namespaces, running
from tests.lab.test_lab_labs import ROOT, _started, command, run, sh
from zonemgr.lab import gz, labs, tools

pytestmark = needs_namespaces

SET_UP = """
zfs create -o mountpoint=/zones rpool/zones || exit 1
zonecfg -z web 'create -b; set zonepath=/zones/web; set brand=ipkg; set ip-type=exclusive' || exit 1
zonecfg -z web 'set autoboot=true; add fs; set dir=/work; set special=/export/work; set type=lofs; end' || exit 1
mkdir -p /export/work
zoneadm -z web install > /dev/null || exit 1
zoneadm -z web boot || exit 1
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lab in which zone `web` was installed and runs."""
    place = tmp_path_factory.mktemp("program") / "lab"
    labs.create(place)
    ended = run(place, "sh", "-c", SET_UP)
    assert ended.returncode == 0, ended
    yield place
    labs.destroy(place)


@pytest.fixture
def up(host: Path) -> Path:
    """The same, running whatever the test before did."""
    sh(host, "test $(zoneadm -z web list -p | cut -d: -f3) = running || zoneadm -z web boot")
    return host


def test_a_zone_stays_up_between_runs(up: Path) -> None:
    sh(up, "zlogin web 'nohup sleep 91 > /dev/null 2>&1 &'")
    assert "sleep 91" in sh(up, "zlogin web ps -e -o args")


def test_a_program_is_compiled_in_the_zone(up: Path) -> None:
    source = '#include <stdio.h>\nint main(void) { puts("built"); return 0; }\n'
    (up / "host/export/work/one.c").write_text(source)
    assert sh(up, "zlogin -S web 'cd /work && cc -o one one.c && ./one'") == "built\n"
    assert (up / "host/export/work/one").exists()


def test_a_loop_that_reads_a_file_loses_it_to_zlogin(up: Path) -> None:
    waits = (
        "python3 -c 'import select; select.select([0], [], [])'"  # until there is something to read, unread
    )
    assert sh(up, f'printf "1\\n2\\n3\\n" | while read n; do zlogin web "{waits}"; echo $n; done') == "1\n"
    assert sh(up, "printf '1\\n2\\n3\\n' | while read n; do zlogin -n web true; echo $n; done") == "1\n2\n3\n"


def test_killing_zlogin_leaves_its_command_to_halt(up: Path) -> None:
    command = "rm -f /export/work/started; zlogin web 'echo started > /work/started; sleep 92' & "
    sh(up, command + "until test -s /export/work/started; do sleep 0.05; done; kill -9 $!; wait")
    assert "sleep 92" in sh(up, "zlogin web ps -e -o args")
    sh(up, "zoneadm -z web halt")
    assert not running("sleep 92")


def test_a_killed_run_leaves_the_zones_command_too(up: Path) -> None:
    with _started(up, "zlogin", "web", "echo ready; sleep 93") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
        process.wait()
    assert "sleep 93" in sh(up, "zlogin web ps -e -o args")
    sh(up, "zoneadm -z web halt")


def test_after_a_power_cut_zones_that_boot_by_themselves_run_again(up: Path) -> None:
    first = sh(up, "zoneadm -z web list -p").split(":")[0]
    sh(up, "zlogin web 'echo kept > /var/note; nohup sleep 94 > /dev/null 2>&1 &'")
    os.kill(labs.status(up)["process"], signal.SIGKILL)
    while labs.status(up)["running"]:
        time.sleep(0.01)
    assert not running("sleep 94")
    assert labs.status(up)["zones"] == {"web": "running"}  # as the dead host thought; nobody has looked since
    fields = sh(up, "zoneadm -z web list -p").split(":")
    assert fields[2] == "running"
    assert fields[0] != first
    assert sh(up, "zlogin web cat /var/note") == "kept\n"


def test_the_root_of_a_zone_that_does_not_boot_is_not_mounted_after_a_power_cut(up: Path) -> None:
    sh(up, "zoneadm -z web halt; zonecfg -z web set autoboot=false")
    assert sh(up, "ls /zones/web/root | wc -l").strip() != "0"
    gz.stop(up)
    script = "ls /zones/web/root | wc -l; zoneadm -z web list -p | cut -d: -f3"
    assert sh(up, script).split() == ["0", "installed"]
    sh(up, "zonecfg -z web set autoboot=true; zoneadm -z web boot")


def test_the_power_goes_while_a_zone_boots(up: Path) -> None:
    sh(up, "zoneadm -z web halt; zonecfg -z web set autoboot=false")
    ended = run(up, "zoneadm", "-z", "web", "boot", faults=["reboot:zoneadm"])
    assert ended.returncode == 137
    assert sh(up, "zoneadm -z web list -p").split(":")[2] == "installed"
    sh(up, "zonecfg -z web set autoboot=true; zoneadm -z web boot")


def test_two_starters_of_a_host_that_is_down_make_one_host(up: Path) -> None:
    gz.stop(up)
    words = ("readlink", "/proc/self/ns/pid")
    with _started(up, *words) as one, _started(up, *words) as two:
        assert one.stdout is not None
        assert two.stdout is not None
        assert one.stdout.read() == two.stdout.read() != ""


class TestTerminal:
    """zlogin on a terminal: a terminal of the zone's own on the other side."""

    def test_a_login_shell_with_job_control(self, up: Path) -> None:
        talk = Talk(command(up, ["zlogin", "web"]))
        talk.wait_for(rb"\[Connected to zone 'web' pts/\d+\]\r\n")
        talk.wait_for(rb"[#$] ")
        talk.type("echo on $(tty) as $0 in $(zonename) at $PWD")
        talk.wait_for(rb"on /dev/pts/\d+ as -bash in web at /root\r\n")
        talk.type("sleep 95 & jobs")
        talk.wait_for(rb"Running +sleep 95")
        talk.type("exit 7")
        assert talk.end() == 0
        assert re.search(rb"\[Connection to zone 'web' pts/\d+ closed\]", talk.said)

    def test_the_escape_ends_the_session(self, up: Path) -> None:
        talk = Talk(command(up, ["zlogin", "-S", "-e", "@", "web"]))
        talk.wait_for(rb"Connected[^#]*# ")
        talk.type("echo a@.b")  # not at the start of a line
        talk.wait_for(rb"\na@\.b\r\n[^#]*# ")
        talk.type("@@echo doubled", then=b"\n")
        talk.wait_for(rb"@echo")
        talk.type("@.", then=b"")
        assert talk.end() == 0

    def test_the_size_of_the_window_is_the_callers(self, up: Path) -> None:
        talk = Talk(command(up, ["zlogin", "-Q", "web"]))
        talk.wait_for(rb"[#$] ")
        assert b"Connected" not in talk.said
        talk.type("stty size; exit")
        talk.wait_for(rb"33 101\r\n")
        assert talk.end() == 0


class Talk:
    """A program on a terminal of 33 lines and 101 columns."""

    def __init__(self, argv: list[str]) -> None:
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.environ["PYTHONPATH"] = str(ROOT)
            subprocess.run(["stty", "rows", "33", "cols", "101"], check=True)
            os.execv(argv[0], argv)
        self.said, self.seen = b"", 0

    def _hear(self) -> bool:
        if not select.select([self.master], [], [], 30)[0]:
            raise AssertionError(f"silence after {self.said!r}")
        try:
            data = os.read(self.master, 4096)
        except OSError:
            return False
        self.said += data
        return bool(data)

    def wait_for(self, pattern: bytes) -> None:
        while not (found := re.search(pattern, self.said[self.seen :])):
            assert self._hear(), f"ended without {pattern!r}: {self.said!r}"
        self.seen += found.end()

    def type(self, line: str, then: bytes = b"\n") -> None:
        os.write(self.master, line.encode() + then)

    def end(self) -> int:
        while self._hear():
            pass
        os.close(self.master)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class TestStart:
    """Every emulated command is a process start, so it may not drag in what it does not need."""

    @pytest.mark.parametrize("name", ["zonename", "zfs", "zoneadm", "dladm"])
    def test_what_a_command_imports(self, name: str) -> None:
        module = tools.TOOLS[name].split(":")[0]
        listed = subprocess.run(
            [sys.executable, "-IS", "-c", IMPORTS.format(root=str(ROOT), module=module)],
            capture_output=True,
            text=True,
            check=True,
        )
        heavy = {"asyncio", "ctypes", "subprocess", "socket", "typer", "sh", "tomllib", "argparse", "email"}
        assert heavy & set(listed.stdout.split()) == set()
        assert "site" not in listed.stdout.split()


IMPORTS = (
    "import sys; sys.path.insert(0, {root!r})\n"
    "import zonemgr.lab.program, zonemgr.lab.dispatch, zonemgr.lab.callers, zonemgr.lab.{module}\n"
    "print(*sys.modules)"
)


def test_a_login_after_sysding_rebooted_the_zone_is_to_the_zone_after_that(up: Path) -> None:
    before = int(sh(up, "zoneadm -z web list -p | cut -d: -f1"))
    sh(up, "zlogin web 'svcs -H sysding > /dev/null; echo setup_timezone UTC > /etc/sysding.conf'")
    sh(up, "zlogin web svccfg -s sysding:system setprop config/finished=false")
    sh(up, "zoneadm -z web reboot")
    # From here on nothing but zlogin looks.
    asked = "zlogin web zoneadm list -p | cut -d: -f1"
    loop = f"for i in $(seq 200); do test $({asked}) = {before + 2} && exit 0; done; exit 1"
    sh(up, loop)
    assert sh(up, "zlogin web grep -c rebooting /var/log/sysding.log") == "1\n"


@pytest.mark.parametrize("line", ["reboot", "halt", "init 6", "poweroff", "shutdown -y -g0 -i5"])
def test_the_host_is_not_taken_down_by_a_command(up: Path, line: str) -> None:
    outside = run(up, *line.split())
    assert (outside.returncode, outside.stderr) == (127, f"lab: {line.split()[0]} is not emulated\n")
    assert sh(up, "zoneadm -z web list -p | cut -d: -f3") == "running\n"
