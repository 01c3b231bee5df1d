"""zoneadm's state table: every subcommand in every state, on both flavours."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.zonehost import STATES, ZoneHost
from zonemgr.lab import world
from zonemgr.lab.world import World

FLAVOURS = world.FLAVOURS
ACTIVE = ("ready", "running", "shutting_down", "down", "mounted")
UP = ("running", "shutting_down", "down")


@dataclass(frozen=True)
class Outcome:
    stderr: str = ""
    exit: int = 0
    then: str = ""  # the state afterwards; empty: as before


def zoneadm(text: str) -> Outcome:
    """Refused by zoneadm itself."""
    return Outcome(f"zoneadm: zone 'x': {text}\n", 1)


def zoneadmd(text: str, *, relayed: bool = False) -> Outcome:
    """Refused by zoneadmd."""
    failed = "zoneadm: zone 'x': call to zoneadmd failed\n" if relayed else ""
    return Outcome(f"zone 'x': {text}\n{failed}", 1)


def to(state: str, said: str = "") -> Outcome:
    return Outcome(f"zone 'x': {said}\n" if said else "", 0, state)


def invalid(command: str, state: str, *, relayed: bool = False) -> Outcome:
    return zoneadmd(f"{command} operation is invalid for zones in state '{state}'", relayed=relayed)


INCOMPLETE = zoneadm("zone is incomplete; uninstall required.")
TABLE: dict[str, dict[str, Outcome]] = {
    "verify": {state: Outcome() for state in STATES} | {"incomplete": INCOMPLETE},
    "clone src": {
        "configured": to("installed"),
        "incomplete": INCOMPLETE,
        "installed": zoneadm("is already installed."),
        **{state: zoneadm(f"clone operation is invalid for {state} zones.") for state in ACTIVE},
    },
    "install": {
        "incomplete": INCOMPLETE,
        "installed": zoneadm("is already installed."),
        **{state: zoneadm(f"install operation is invalid for {state} zones.") for state in ACTIVE},
    },
    "attach -F": {
        "configured": to("installed"),
        "incomplete": INCOMPLETE,
        "installed": zoneadm("is already installed."),
        **{state: zoneadm(f"attach operation is invalid for {state} zones.") for state in ACTIVE},
    },
    "detach": {
        "configured": zoneadm("must be installed before detach."),
        "incomplete": zoneadm("must be installed before detach."),
        "installed": to("configured"),
        **{state: zoneadm(f"detach operation is invalid for {state} zones.") for state in ACTIVE},
    },
    "move /zones/y": {
        "configured": zoneadm("must be installed before move."),
        "incomplete": zoneadm("must be installed before move."),
        "installed": Outcome(),
        **{state: zoneadm(f"move operation is invalid for {state} zones.") for state in ACTIVE},
    },
    "uninstall -F": {
        "configured": zoneadm("is already in state 'configured'."),
        "incomplete": to("configured"),
        "installed": to("configured"),
        **{state: zoneadm(f"uninstall operation is invalid for {state} zones.") for state in ACTIVE},
    },
    "mark incomplete": {
        "configured": to("incomplete"),
        "incomplete": Outcome(),
        "installed": to("incomplete"),
        **{state: zoneadm(f"mark operation is invalid for {state} zones.") for state in ACTIVE},
    },
    "ready": {
        "configured": zoneadm("must be installed before ready."),
        "incomplete": zoneadm("must be installed before ready."),
        "installed": to("ready"),
        "ready": to("ready", "zone is already ready"),
        **{state: to("ready") for state in UP},
        "mounted": invalid("ready", "mounted", relayed=True),
    },
    "boot": {
        "configured": zoneadm("must be installed before boot."),
        "incomplete": zoneadm("must be installed before boot."),
        "installed": to("running"),
        "ready": to("running"),
        **{state: to(state, "zone is already booted") for state in UP},
        "mounted": invalid("boot", "mounted", relayed=True),
    },
    "boot -f": {
        "configured": zoneadm("must be incomplete before boot."),
        "incomplete": to("running"),
        "installed": to("running"),
        "ready": to("running"),
        **{state: to(state, "zone is already booted") for state in UP},
        "mounted": invalid("forceboot", "mounted", relayed=True),
    },
    "halt": {
        "configured": Outcome(
            "cannot manage a zone which is in state 'configured'\nzone 'x': could not start zoneadmd\n", 1
        ),
        "incomplete": invalid("halt", "incomplete"),
        "installed": to("installed", "zone is already halted"),
        **{state: to("installed") for state in ("ready", *UP)},
        "mounted": invalid("halt", "mounted"),
    },
    "shutdown": {
        **{state: zoneadm("not running") for state in ("configured", "incomplete", "installed")},
        "ready": invalid("shutdown", "ready"),
        "running": to("installed"),
        **{state: zoneadmd("unable to shutdown zone") for state in ("shutting_down", "down")},
        "mounted": invalid("shutdown", "mounted"),
    },
    "reboot": {
        **{state: zoneadm("not running") for state in ("configured", "incomplete", "installed")},
        "ready": invalid("reboot", "ready"),
        **{state: to("running") for state in UP},
        "mounted": invalid("reboot", "mounted"),
    },
    "mount": {
        "configured": zoneadm("must be installed before mount."),
        "incomplete": zoneadm("must be installed before mount."),
        "installed": to("mounted"),
        **{state: invalid("mount", state, relayed=True) for state in ACTIVE},
    },
    "mount -f": {
        "configured": zoneadm("must be incomplete before mount."),
        "incomplete": to("mounted"),
        "installed": to("mounted"),
        **{state: invalid("forcemount", state, relayed=True) for state in ACTIVE},
    },
    "unmount": {
        **{state: zoneadm("must be mounted before unmount.") for state in STATES},
        "mounted": to("installed"),
    },
    "list": {state: Outcome() for state in STATES},
}
CASES = [(command, state) for command, row in TABLE.items() for state in row]
SPEAKS = ("list", "verify", "install", "detach", "clone")  # subcommands with something to say on stdout


@pytest.fixture(scope="module", params=FLAVOURS)
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A host with a golden zone src and a zone x, a copy of it for every state that x can be in."""
    directory = tmp_path_factory.mktemp(request.param)
    host = ZoneHost.fresh(directory / "made", request.param)
    for zone in ("src", "x"):
        host.install(zone)
    host.world.close()
    for state in STATES:
        copied = _copy(directory / "made", directory / state)
        copied.bring("x", state)
        if state == "configured":  # nothing on disk, as it should be
            copied.must("zfs", "destroy", "-r", "rpool/zones/x")
        copied.world.db.execute("pragma wal_checkpoint(truncate)")
        copied.world.close()
    yield directory


def _copy(source: Path, target: Path) -> ZoneHost:
    shutil.copytree(source, target, symlinks=True)
    return ZoneHost(World(target))


@pytest.mark.parametrize(("command", "state"), CASES, ids=[f"{c} on {s}" for c, s in CASES])
def test_the_state_table(command: str, state: str, prepared: Path, tmp_path: Path) -> None:
    host = _copy(prepared / state, tmp_path / "lab")
    if command in ("attach -F", "verify") and state == "configured":  # they want the zonepath to be there
        host.path("/zones/x").mkdir(mode=0o700)
    outcome = TABLE[command][state]
    ended = host.run("zoneadm", "-z", "x", *command.split())
    assert (ended.exit_code, ended.stderr) == (outcome.exit, outcome.stderr)
    assert host.state("x") == (outcome.then or state)
    if ended.exit_code or command.split()[0] not in SPEAKS:
        assert ended.stdout == ""
    host.world.close()


@pytest.mark.parametrize("state", STATES)
def test_a_zone_is_listed_in_every_state(state: str, prepared: Path, tmp_path: Path) -> None:
    host = _copy(prepared / state, tmp_path / "lab")
    active = state in ACTIVE
    names = ["global", *(["x"] if active else [])]
    assert host.must("zoneadm", "list").split() == names
    assert host.must("zoneadm", "list", "-n").split() == names[1:]
    stored = ["src"] if active else ["src", "x"] if state == "installed" else ["src"]
    assert host.must("zoneadm", "list", "-i").split() == [*names, *stored]
    everything = [*names, "src", *([] if active else ["x"])]
    assert host.must("zoneadm", "list", "-c").split() == everything
    assert [line.split(":")[1] for line in host.must("zoneadm", "list", "-cp").splitlines()] == everything
    host.world.close()
