"""Labs for stories: one prepared per flavour and session, a cheap copy for each test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Lab
from zonemgr.lab import world as worlds
from zonemgr.workflows import golden

GOLDEN = "tools"
# Minutes after which no further test begins, 0: any number, for who cannot wait.
MINUTES = float(os.environ.get("TEST_MINUTES", "0"))
BEGUN = "TEST_BEGUN"  # for the workers: when the first process began
LAST = ("tests/sweep/", "tests/test_scenarios.py")  # the long ones
TOO_LATE = "not begun: the time was up (TEST_MINUTES=0: all are)"
MEMORY, ENOUGH = Path("/dev/shm"), 4 << 30  # bytes


def pytest_configure(config: pytest.Config) -> None:
    """Labs live in memory if there is room for them and programs can be run there: they are all small files and syncs.

    Measured on a loaded machine, a file of stories took 14 seconds there and 51 on disk.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: programs inherit that
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault(BEGUN, repr(time.time()))
    if hasattr(config, "workerinput") or config.option.basetemp or "PYTEST_DEBUG_TEMPROOT" in os.environ:
        return
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ENOUGH and _runs_programs(MEMORY):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)


def _runs_programs(folder: Path) -> bool:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        program = Path(place, "true")
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        try:
            return subprocess.run([program], check=False).returncode == 0
        except PermissionError:
            return False


def pytest_runtest_setup() -> None:
    if MINUTES and time.time() - float(os.environ[BEGUN]) > 60 * MINUTES:
        pytest.skip(TOO_LATE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    late = [each for each in terminalreporter.getreports("skipped") if TOO_LATE in str(each.longrepr)]
    if late:
        terminalreporter.write_line(f"{len(late)} tests were {TOO_LATE}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.nodeid.startswith(LAST))
    if os.environ.get("ZONEMGR_ON_ILLUMOS"):
        return
    for item in items:
        if item.get_closest_marker("illumos"):
            item.add_marker(
                pytest.mark.skip(reason="runs on a real illumos host only (ZONEMGR_ON_ILLUMOS=1)")
            )


@pytest.fixture(params=worlds.FLAVOURS)
def flavour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Lab]]:
    """A lab with the golden image `tools`, per flavour, made by zonemgr itself."""
    labs: dict[str, Lab] = {}
    for name in worlds.FLAVOURS:
        lab = Lab(worlds.create(tmp_path_factory.mktemp("labs") / name, flavour=name))
        golden.create(lab.site(), golden.GoldenRequest(zone=GOLDEN))
        (lab.world.host / "export/src").mkdir()
        labs[name] = lab
    yield labs
    for lab in labs.values():
        lab.world.close()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Lab]:
    """An OpenIndiana lab on its first day."""
    lab = Lab(worlds.create(tmp_path / "lab"))
    yield lab
    lab.world.close()


@pytest.fixture
def lab(prepared: dict[str, Lab], tmp_path: Path) -> Iterator[Lab]:
    """An OpenIndiana lab with the golden image `tools`."""
    yield from _copy(prepared["openindiana"], tmp_path)


@pytest.fixture
def each_lab(prepared: dict[str, Lab], flavour: str, tmp_path: Path) -> Iterator[Lab]:
    """The same on both flavours."""
    yield from _copy(prepared[flavour], tmp_path)


def _copy(prepared: Lab, tmp_path: Path) -> Iterator[Lab]:
    lab = prepared.copy(tmp_path / "lab")
    yield lab
    for row in lab.world.db.execute("select name from kernel_zones where init_pid != 0").fetchall():
        lab.run("zoneadm", "-z", row["name"], "halt", ok=False)
    lab.world.close()
