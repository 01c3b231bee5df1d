"""A pool that is full, or read-only: nothing half-made stays, and the reason is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, same
from zonemgr.errors import ZonemgrError
from zonemgr.workflows import disposable, execute, golden, snaps, teardown
from zonemgr.workflows.disposable import DisposableRequest

ZONE = "build-1"
REASONS = {"full": "out of space", "readonly": "pool is read-only"}
JOBS: dict[str, Callable[[Lab], object]] = {
    "create-diz": lambda lab: disposable.create(lab.site(), DisposableRequest(GOLDEN, ZONE, over="net0")),
    "create-giz": lambda lab: golden.create(lab.site(), golden.GoldenRequest(zone="more")),
    "snapshot": lambda lab: snaps.snapshot(lab.site(), GOLDEN, "today"),
}


@pytest.mark.parametrize("state", REASONS)
@pytest.mark.parametrize("job", JOBS)
def test_a_pool_that_takes_nothing_is_told_of_and_left_as_it_was(lab: Lab, job: str, state: str) -> None:
    before = lab.everything()
    lab.inside.fault(f"fact:pool={state}")
    with pytest.raises(ZonemgrError, match=REASONS[state]):
        JOBS[job](lab)
    lab.inside.fault("fact:pool=")
    same(before, lab.everything())


def test_a_pool_that_fills_up_during_a_build_does_not_keep_its_zone_from_going(lab: Lab) -> None:
    disposable.create(lab.site(), DisposableRequest(GOLDEN, ZONE, over="net0"))
    lab.inside.fault("fact:pool=full")
    outcome = execute.in_zone(lab.site(), ZONE, execute.Command("exit 3", discard="off"))
    assert outcome.exit_code == 3
    teardown.destroy(lab.site(), ZONE)
    assert ZONE not in lab.run("zoneadm", "list", "-cp") + lab.run("zfs", "list", "-H", "-t", "all")
    assert lab.run("dladm", "show-vnic", "-p", "-o", "link") == ""


def test_a_zone_on_a_read_only_pool_is_not_said_to_be_gone(lab: Lab) -> None:
    disposable.create(lab.site(), DisposableRequest(GOLDEN, ZONE))
    lab.inside.fault("fact:pool=readonly")
    with pytest.raises(ZonemgrError, match="destroying ZFS dataset"):
        teardown.destroy(lab.site(), ZONE)
    lab.inside.fault("fact:pool=")
    teardown.destroy(lab.site(), ZONE)
    assert ZONE not in lab.run("zoneadm", "list", "-cp") + lab.run("zfs", "list", "-H", "-t", "all")
