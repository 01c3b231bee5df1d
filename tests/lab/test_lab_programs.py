"""The emulated commands as programs: how they are put there."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zonemgr.lab import programs

FORKS = multiprocessing.get_context("fork")


def _at_once(count: int, work: Callable[[], Any]) -> list[int | None]:
    """Do it in several processes that begin at the same moment; their exit statuses."""
    starting = FORKS.Barrier(count)

    def begin() -> None:
        starting.wait()
        work()

    processes = [FORKS.Process(target=begin) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def test_several_may_put_them_there_at_once(tmp_path: Path) -> None:
    """As when the first zones of a lab come up side by side."""
    (tmp_path / "lab.json").write_text('{"flavour": "openindiana"}')
    assert _at_once(4, lambda: programs.write(tmp_path)) == [0, 0, 0, 0]
    assert (tmp_path / "programs/gz/usr/sbin/zoneadm").stat().st_mode & 0o111
    assert not [left.name for left in (tmp_path / "programs").rglob(".*")]


def test_several_may_make_the_same_links(tmp_path: Path) -> None:
    """A moment that is too short to be met by the test above: many of them."""

    def make() -> None:
        for number in range(500):
            programs._link(tmp_path / str(number), "/bin/sh")

    assert _at_once(4, make) == [0, 0, 0, 0]
    assert len(list(tmp_path.iterdir())) == 500
