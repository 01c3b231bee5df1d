"""zoneadm and the brand's scripts: their command lines and limits, what their end means, what is undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.zonehost import ZoneHost
from zonemgr.lab import trace, world, zonestore
from zonemgr.lab.brands import hooks

LIMIT = 1024  # bytes of a command line, of which the end mark takes one


@pytest.fixture(params=world.FLAVOURS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ZoneHost]:
    """A host on which scripts only do what is wanted of them here, with an installed zone src."""
    made = ZoneHost.fresh(tmp_path / "lab", request.param)
    made.install("src")
    made.world.put(hooks.SCRIPTED, "on")
    made.world.put(trace.FACT, "on")
    yield made
    made.world.close()


def scripts(host: ZoneHost) -> list[str]:
    return [" ".join(words[1:]) for words in trace.steps(host.world) if words[0] == "hook"]


# -- command lines -----------------------------------------------------------------------------------------

INSTALL = "exec /usr/lib/brand/ipkg/pkgcreatezone -z x -R /zones/x"


def install(host: ZoneHost, length: int) -> tuple[int, str, str]:
    """Install zone x with one package name that makes the command line so long; exit, stderr and state."""
    host.configure("x")
    package = "p" * (length - len(INSTALL) - len(" -e"))
    ended = host.run("zoneadm", "-z", "x", "install", "-e", package)
    return ended.exit_code, ended.stderr, host.state("x")


def test_install_hands_each_option_on_with_its_value_glued_to_it(host: ZoneHost) -> None:
    host.configure("x")
    host.must("zoneadm", "-z", "x", "install", "-x", "nodataset", "-e", "a", "-vs", "-Q", "word")
    assert scripts(host) == ["pkgcreatezone -z x -R /zones/x -xnodataset -ea -v -s -Q word"]
    assert "rpool/zones/x" in host.datasets()  # nodataset or not


@pytest.mark.parametrize("length", [LIMIT - 1, LIMIT])
def test_a_command_line_of_install_that_fits_or_seems_to(host: ZoneHost, length: int) -> None:
    assert install(host, length) == (0, "", "installed")
    wanted = LIMIT - 1 - len(INSTALL) - len(" -e")
    assert scripts(host) == [
        f"pkgcreatezone -z x -R /zones/x -e{'p' * wanted}"
    ]  # the last letter is lost at 1024


def test_a_command_line_of_install_that_is_too_long(host: ZoneHost) -> None:
    trouble = "zoneadm: zone 'x': Install command line too long\n"
    assert install(host, LIMIT + 1) == (1, trouble, "configured")
    assert scripts(host) == []


@pytest.mark.parametrize(
    ("command", "before", "line"),
    [
        ("clone", "configured", "exec /usr/lib/brand/ipkg/clone -z x -R /zones/x -W src"),
        ("attach", "configured", "exec /usr/lib/brand/ipkg/attach x /zones/x -W"),
        ("detach", "installed", "exec /usr/lib/brand/ipkg/detach -z x -R /zones/x -W"),
        ("uninstall", "installed", "exec /usr/lib/brand/ipkg/uninstall x /zones/x -F -W"),
    ],
)
def test_the_other_command_lines_have_the_same_limit_and_lose_nothing(
    host: ZoneHost, command: str, before: str, line: str
) -> None:
    host.install("x") if before == "installed" else host.configure("x")
    host.path("/zones/x").mkdir(mode=0o700, exist_ok=True)
    option = "-" + "W" * (LIMIT - len(line) + 1)
    words = [*(["-F"] if command == "uninstall" else []), option, *(["src"] if command == "clone" else [])]
    ended = host.run("zoneadm", "-z", "x", command, *words)
    assert (ended.exit_code, host.state("x")) == (1, before)
    assert ended.stderr == "zoneadm: zone 'x': Command line too long\n"
    assert scripts(host) == []
    words[words.index(option)] = option[:-1]
    host.must("zoneadm", "-z", "x", command, *words)
    assert len(scripts(host)[0]) + len("exec /usr/lib/brand/ipkg/") == LIMIT - 1


def test_a_shell_takes_the_command_line_apart(host: ZoneHost) -> None:
    host.configure("x")
    host.must("zoneadm", "-z", "x", "clone", "-s", "a;b", "src")
    host.must("zoneadm", "-z", "x", "uninstall", "-F", "'one word'", "two words", "*none", "#", "rest")
    assert scripts(host) == [
        "clone -z x -R /zones/x -s a",
        "uninstall x /zones/x -F one word two words *none",
    ]


# -- how scripts end ---------------------------------------------------------------------------------------


def test_a_script_killed_by_a_signal(host: ZoneHost) -> None:
    host.configure("x")
    host.world.put("fault.hook.clone.x", "sig9")
    ended = host.run("zoneadm", "-z", "x", "clone", "src")
    assert ended.stderr == "zoneadm: zone 'x': 'brand-specific clone' terminated by signal SIGKILL.\n"
    assert (ended.exit_code, host.state("x")) == (1, "incomplete")


def test_a_failed_script_after_the_platform_is_up_leaves_it_up(host: ZoneHost) -> None:
    host.install("x")
    host.world.put("fault.hook.poststate", "1")
    assert host.run("zoneadm", "-z", "x", "ready").exit_code == 1
    assert host.state("x") == "ready"
    host.world.put("fault.hook.poststate", "")
    host.must("zoneadm", "-z", "x", "boot")


def test_a_boot_that_never_reached_the_kernel_is_halted_all_the_same(host: ZoneHost) -> None:
    host.install("x")
    host.world.put("fault.vplat.create", "no room for another zone")
    ended = host.run("zoneadm", "-z", "x", "boot")
    assert ended.stderr.startswith("zone 'x': no room for another zone\n")
    assert host.state("x") == "installed"
    assert scripts(host) == [
        "prestate x /zones/x 2 0",
        "poststate x /zones/x 3 4",
        "prestate x /zones/x 2 4",
    ]


def test_omnios_runs_no_script_at_an_unmount(host: ZoneHost) -> None:
    host.install("x")
    host.must("zoneadm", "-z", "x", "mount")
    mounted = len(scripts(host))
    host.must("zoneadm", "-z", "x", "unmount")
    after = [] if host.world.omnios else ["prestate x /zones/x 7 4", "poststate x /zones/x 7 4"]
    assert scripts(host)[mounted:] == after


def test_what_a_state_change_script_says_on_stderr(host: ZoneHost) -> None:
    host.install("x")
    host.world.put("fault.hook.prestate", "1 no such luck")
    ended = host.run("zoneadm", "-z", "x", "ready")
    relayed = "zone 'x': no such luck\n" if host.world.omnios else ""
    assert ended.stderr == f"{relayed}zoneadm: zone 'x': call to zoneadmd failed\n"


def test_a_script_that_fails_at_the_hosts_boot_is_exit_40(host: ZoneHost) -> None:
    host.world.put("fault.hook.prestate", "255")
    ended = host.run("zoneadm", "-z", "src", "sysboot")
    assert (ended.exit_code, ended.stderr) == (40, "")


# -- what zoneadm itself gets wrong ------------------------------------------------------------------------

LOFS = "add fs; set type=lofs; set special={}; set dir=/{}; end"


@pytest.mark.parametrize("command", ["install", "clone src"])
def test_only_the_last_file_system_decides_whether_a_zone_verifies(host: ZoneHost, command: str) -> None:
    host.path("/data").mkdir()
    host.configure("x", LOFS.format("/gone", "one"), LOFS.format("/data", "two"))
    ended = host.run("zoneadm", "-z", "x", *command.split())
    assert ended.stderr == "could not verify fs /one: could not access /gone: No such file or directory\n"
    assert (ended.exit_code, host.state("x")) == (0, "installed")
    ended = host.run("zoneadm", "-z", "x", "boot")  # where the mount fails
    assert (ended.exit_code, host.state("x")) == (1, "installed")
    assert "zone 'x': '/gone' -> '/zones/x/root/one': No such file or directory\n" in ended.stderr


def test_a_file_system_that_is_wrong_after_good_ones_fails(host: ZoneHost) -> None:
    host.path("/data").mkdir()
    host.configure("x", LOFS.format("/data", "two"), LOFS.format("/gone", "one"))
    assert host.run("zoneadm", "-z", "x", "install").exit_code == 1
    assert host.state("x") == "configured"


def test_with_one_dataset_in_both_configurations_the_source_is_cloned_onto_itself(host: ZoneHost) -> None:
    host.must("zfs", "create", "-o", "mountpoint=/x", "rpool/data")
    dataset = "add dataset; set name=rpool/data; end"
    host.must("zonecfg", "-z", "src", dataset)
    host.configure("x", dataset)
    ended = host.run("zoneadm", "-z", "x", "clone", "src")
    assert (
        ended.stderr == "zoneadm: zone 'src': WARNING: dataset 'rpool/data' is configured in both zones.\n\n"
    )
    assert (ended.exit_code, host.state("x"), host.state("src")) == (0, "configured", "installed")
    assert scripts(host) == ["clone -z src -R /zones/src src"]


def test_an_empty_name_is_no_zone(host: ZoneHost) -> None:
    ended = host.run("zoneadm", "-z", "", "list")
    assert (ended.exit_code, ended.stderr) == (1, "zoneadm: : No such zone configured\n")


# -- move --------------------------------------------------------------------------------------------------


def test_a_move_that_cannot_be_written_down_is_undone(host: ZoneHost) -> None:
    host.install("x")
    before = host.path("/etc/zones/x.xml").read_bytes()
    with host.path("/etc/zones/index").open("a") as index:
        index.write("x:\n")  # a line that cannot be changed
    ended = host.run("zoneadm", "-z", "x", "move", "/zones/y")
    assert (ended.exit_code, ended.stderr) == (
        1,
        "zoneadm: zonecfg save failed: Problem updating index file\n",
    )
    assert host.get("rpool/zones/x", "mountpoint") == "/zones/x"
    assert host.mounted()["/zones/x/root"] == "rpool/zones/x/ROOT/zbe"
    entry = zonestore.entry(host.world, "x")
    assert entry is not None
    assert (entry.zonepath, host.path("/etc/zones/x.xml").read_bytes()) == ("/zones/x", before)


def test_a_move_of_a_plain_directory_is_undone_by_its_name(host: ZoneHost) -> None:
    host.configure("x")
    root = host.path("/zones/x/root")
    root.mkdir(parents=True)
    host.path("/zones/x").chmod(0o700)
    (root / "keep").write_text("mine")
    host.must("zoneadm", "-z", "x", "mark", "-F", "installed")
    with host.path("/etc/zones/index").open("a") as index:
        index.write("x:\n")
    assert host.run("zoneadm", "-z", "x", "move", "/zones/y").exit_code == 1
    assert (root / "keep").read_text() == "mine"
    assert not host.path("/zones/y").exists()


# -- attach -n ---------------------------------------------------------------------------------------------


def test_a_manifest_is_looked_at_without_any_zone(host: ZoneHost) -> None:
    host.install("x")
    host.must("zoneadm", "-z", "x", "detach", "-n")
    host.path("/data").mkdir()
    host.path("/data/x.xml").write_bytes(host.path("/etc/zones/x.xml").read_bytes())
    host.must("zoneadm", "attach", "-n", "/data/x.xml")
    assert scripts(host)[-1].startswith("attach - - -n /var/run/zone.")


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("", "/data/x.xml is not an XML file"),
        ("<?xml version='1.0'?><nothing/>", "Cannot attach to an earlier release of the operating system"),
    ],
)
def test_a_manifest_that_is_none(host: ZoneHost, text: str, trouble: str) -> None:
    host.path("/data").mkdir()
    host.path("/data/x.xml").write_text(text)
    ended = host.run("zoneadm", "-z", "src", "attach", "-n", "/data/x.xml")
    assert (ended.exit_code, ended.stderr) == (1, f"zoneadm: zone 'src': {trouble}\n")
