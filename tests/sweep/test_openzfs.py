"""Jobs on real OpenZFS, in this process: they do what they should, and what a fault leaves is recovered.

Needs root and TEST_ZFS=POOL/DATASET (`make test-zfs` sets it). The sweep copies its lab before every command, and
a lab on a pool cannot be copied; here one lab goes on: after each fault it is as before the job, or as after it.
TEST_ZFS_STEP=N: a fault at each Nth command (default 5).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, in_child
from tests.sweep.jobs import FURNISHED, JOBS
from tests.sweep.test_sweep import _plain
from zonemgr.lab import world as worlds
from zonemgr.lab.inprocess import differences
from zonemgr.lab.openzfs import lifecycle
from zonemgr.workflows import disposable, golden, snaps, teardown
from zonemgr.workflows import job as jobs

POOL, STEP = os.environ.get("TEST_ZFS", ""), int(os.environ.get("TEST_ZFS_STEP", "5"))
KINDS = ("fail", "kill-caller-before", "kill-caller-after")

pytestmark = [
    pytest.mark.skipif(not POOL, reason="needs OpenZFS: TEST_ZFS=POOL/DATASET, or make test-zfs"),
    pytest.mark.xdist_group("openzfs"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab on the machine's ZFS with the golden image; its zones have no processes of their own."""
    place = tmp_path_factory.mktemp("openzfs") / "lab"
    settings = {**lifecycle.settings(f"{POOL}-inprocess")}
    lab = Lab(worlds.create(place, zfs=settings))
    lab.world.put("cells", "off")
    try:
        golden.create(lab.site(), golden.GoldenRequest(zone=GOLDEN))
        (lab.world.host / "export/src").mkdir()
        yield lab
    finally:
        lab.world.close()
        _unmount_below(place)
        lifecycle.destroy(place)


def _unmount_below(place: Path) -> None:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in reversed([each for each in points if each.startswith(f"{place}/")]):
        subprocess.run([shutil.which("umount") or "/bin/umount", "-l", point], check=True)


def test_an_image_is_a_real_snapshot(lab: Lab) -> None:
    listed = subprocess.run(["zfs", "list", "-H", "-t", "snapshot", "-o", "name", "-r", lab.world.pool],
                            capture_output=True, text=True, check=True)  # fmt: skip
    assert (
        f"{lab.world.pool}/rpool/zones/giz/{GOLDEN}/ROOT/zbe@initial-postinstalled-{GOLDEN}" in listed.stdout
    )


def test_a_clone_takes_no_room_and_a_rollback_brings_files_back(lab: Lab) -> None:
    begun = time.monotonic()
    disposable.create(lab.site(), replace(FURNISHED, zone="build-2"))
    print(f"a disposable zone: {time.monotonic() - begun:.1f} s, {len(lab.commands())} commands so far")
    root = lab.in_zone("build-2", "/")
    snaps.snapshot(lab.site(), "build-2", "clean")
    (root / "etc/motd").write_text("spoilt\n")
    snaps.rollback(lab.site(), "build-2", "clean")
    assert not (root / "etc/motd").exists()
    teardown.destroy(lab.site(), "build-2")
    assert "build-2" not in lab.run("zfs", "list", "-H", "-t", "all", "-o", "name")


@pytest.mark.parametrize("name", ["create-diz", "destroy", "snapshot"])
def test_what_a_fault_leaves_is_recovered(lab: Lab, name: str, tmp_path: Path) -> None:
    job, output = JOBS[name], tmp_path / "output"
    job.prepare(lab)
    before = lab.everything()
    first = len(lab.commands())
    job.run(lab)
    count, after = len(lab.commands()) - first, lab.everything()
    _back(lab, name)
    trouble = []
    for at in range(1, count + 1, STEP):
        kind = KINDS[at // STEP % len(KINDS)]
        lab.inside.fault(f"{kind}@{at},stderr=broken on purpose" if kind == "fail" else f"{kind}@{at}")
        in_child(lambda: _run(lab, name), output)
        lab.world.db.execute("delete from faults")
        jobs.recover_all(lab.site())
        now = lab.everything()
        if _plain(now) == _plain(after):
            _back(lab, name)
        elif _plain(now) != _plain(before):
            trouble += [f"{kind}@{at}: {line}" for line in differences(before, now)[:3]]
    print(f"{name}: {count} commands, a fault at {len(range(1, count + 1, STEP))} of them")
    if _is_there(lab):
        teardown.destroy(lab.site(), "build-1")
    assert not trouble, "\n".join(trouble[:40])


def _run(lab: Lab, name: str) -> None:
    JOBS[name].run(lab)


def _is_there(lab: Lab) -> bool:
    return "build-1" in lab.run("zoneadm", "list", "-c").split()


def _back(lab: Lab, name: str) -> None:
    """As it was before the job."""
    if name == "snapshot":
        snaps.destroy_snapshot(lab.site(), "build-1", "clean")
    elif name == "create-diz":
        teardown.destroy(lab.site(), "build-1")
    else:
        JOBS[name].prepare(lab)
