"""The jobs of the sweep: a new one joins by one line of JOBS (and a `prepare` if it needs something there)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.conftest import GOLDEN
from tests.support import Lab
from zonemgr.workflows import disposable, execute, golden, life, snaps, teardown
from zonemgr.workflows.disposable import DisposableRequest

FURNISHED = DisposableRequest(
    GOLDEN, zone="build-1", lofs="/work|/export/src", over="net0", users="builder", elevated="builder",
    datasets="rpool/export/scratch",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """What is done, and what has to be there before."""

    run: Callable[[Lab], object]
    prepare: Callable[[Lab], object] = lambda lab: None


def _command(discard: str, text: str = "true") -> execute.Command:
    return execute.Command(text, discard=discard)


def _zone(lab: Lab) -> None:
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="build-1", over="net0"))


def _halted(lab: Lab) -> None:
    _zone(lab)
    life.halt(lab.site(), "build-1")


def _snapshot(lab: Lab) -> None:
    _halted(lab)
    snaps.snapshot(lab.site(), "build-1", "clean")


JOBS: dict[str, Job] = {
    "create-giz": Job(lambda lab: golden.create(lab.site(), golden.GoldenRequest(zone="more"))),
    "create-diz": Job(lambda lab: disposable.create(lab.site(), FURNISHED)),
    "exec-diz": Job(lambda lab: execute.in_new_zone(lab.site(), FURNISHED, _command("always"), str)),
    "exec-diz-kept": Job(
        lambda lab: execute.in_new_zone(
            lab.site(), DisposableRequest(GOLDEN, zone="build-1"), _command("onsuccess", "exit 3"), str
        )
    ),
    "exec": Job(lambda lab: execute.in_zone(lab.site(), "build-1", _command("off")), _halted),
    "exec-always": Job(lambda lab: execute.in_zone(lab.site(), "build-1", _command("always")), _zone),
    "snapshot": Job(lambda lab: snaps.snapshot(lab.site(), "build-1", "clean"), _halted),
    "rollback": Job(lambda lab: snaps.rollback(lab.site(), "build-1", "clean"), _snapshot),
    "destroy-snapshot": Job(lambda lab: snaps.destroy_snapshot(lab.site(), "build-1", "clean"), _snapshot),
    "destroy": Job(lambda lab: teardown.destroy(lab.site(), "build-1"), _zone),
}
