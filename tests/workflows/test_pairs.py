"""Every pair of options of exec-diz in some command line: the command runs, and afterwards the host is as before."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, same
from zonemgr.workflows import execute, teardown
from zonemgr.workflows.disposable import DisposableRequest

# Each option with values it may have; None: not given.
ZONE: Mapping[str, tuple[Any, ...]] = {
    "zone": (None, "build-1"),
    "snapshot": (None, f"initial-installed-{GOLDEN}"),
    "lofs": (None, "/work|/export/src", "/export/src /ro|/export"),
    "autonfs": (None, "/mnt/cache|filer:/cache"),
    "datasets": (None, "rpool/export/made", "rpool/export/there"),
    "clones": (None, "rpool/export/tree|/tree", "rpool/export/tree@old"),
    "vnics": (None, "given0"),
    "over": (None, "net0", "stub0|81|2:8:20:1:2:3 net0"),
    "users": (None, "builder", "builder jim"),
    "groups": (None, "staff"),
    "elevated": (None, "root", "jim"),
    "quota": (None, "4G"),
    "cap_memory": (None, "1G"),
    "cap_swap": (None, "2G"),
    "cap_cpu": (None, "1.5"),
    "max_processes": (None, "1000"),
    "tmpfs_size": (None, "512m"),
}
COMMAND: Mapping[str, tuple[Any, ...]] = {
    "text": ("true", "exit 3"),
    "user": ("root", "-S"),
    "discard": ("always", "onsuccess", "onfail", "off"),
    "env": ({}, {"A": "b c"}),
    "cwd": ("", "/var"),
    "timeout": (0, 3600),
}
OPTIONS = {**ZONE, **COMMAND}


Choice = tuple[str, int]  # an option, and which of its values


def all_pairs() -> set[tuple[Choice, Choice]]:
    return {
        ((one, x), (two, y))
        for one, two in itertools.combinations(OPTIONS, 2)
        for x, y in itertools.product(range(len(OPTIONS[one])), range(len(OPTIONS[two])))
    }


def pairs_of(line: Mapping[str, int]) -> set[tuple[Choice, Choice]]:
    return set(itertools.combinations(((name, line[name]) for name in OPTIONS), 2))


def covering() -> list[dict[str, int]]:
    """Few lines in which every two values of two options meet: greedy, and the same each time."""
    missing, lines = all_pairs(), []
    while missing:
        line = dict(min(missing))
        for name in (name for name in OPTIONS if name not in line):
            gain = {
                n: sum(missing.isdisjoint(_both(one, (name, n))) is False for one in line.items())
                for n in range(len(OPTIONS[name]))
            }
            line[name] = max(gain, key=lambda n, gain=gain: gain[n])  # type: ignore[misc]
        missing -= pairs_of(line)
        lines.append(line)
    return lines


def _both(one: Choice, two: Choice) -> set[tuple[Choice, Choice]]:
    return {(one, two), (two, one)}


LINES = covering()


def test_few_lines_cover_all_pairs() -> None:
    met = set().union(*(pairs_of(line) for line in LINES))
    assert all_pairs() <= met
    assert len(LINES) < 40


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_a_build_with_these_options(lab: Lab, line: Mapping[str, int]) -> None:
    lab.world.put("cells", "off")
    for words in (
        "zfs create rpool/zones/diz", "zfs create -o mountpoint=/export/there -o zoned=on rpool/export/there",
        "zfs create -o mountpoint=/export/tree rpool/export/tree", "zfs snapshot rpool/export/tree@old",
        "dladm create-vnic -t -l net0 given0", "dladm create-etherstub -t stub0",
    ):  # fmt: skip
        lab.run(*words.split())
    before = lab.everything()
    chosen = {name: OPTIONS[name][number] for name, number in line.items()}
    request = DisposableRequest(GOLDEN, **{name: chosen[name] for name in ZONE if chosen[name] is not None})
    command = execute.Command(**{name: chosen[name] for name in COMMAND})
    named: list[str] = []
    ended = execute.in_new_zone(lab.site(), request, command, named.append)
    failed = ended.exit_code != 0
    assert ended.exit_code == (3 if chosen["text"] == "exit 3" else 0)
    assert named == [ended.zone]
    assert (
        ended.kept
        == {"always": False, "onsuccess": failed, "onfail": not failed, "off": True}[command.discard]
    )
    if ended.kept:
        teardown.destroy(lab.site(), ended.zone)
    same(before, lab.everything())
