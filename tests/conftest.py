"""Labs for stories: one prepared per flavour and session, a cheap copy for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import Lab
from zonemgr.lab import world as worlds
from zonemgr.workflows import golden

GOLDEN = "tools"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
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
