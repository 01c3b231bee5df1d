"""The jobs of the sweep: a new one joins by one line of JOBS (and a `prepare` if it needs something there)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.conftest import GOLDEN
from tests.support import Lab
from zonemgr import records
from zonemgr.workflows import (
    archives,
    disposable,
    execute,
    gc,
    golden,
    host_setup,
    layers,
    life,
    modify,
    packages,
    pkgjobs,
    snaps,
    teardown,
    upgrade,
)
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.furnish import Wishes
from zonemgr.workflows.layers import ImageWish
from zonemgr.workflows.wanted import Drops

FILE = "/export/tools.zone"
FURNISHED = DisposableRequest(
    GOLDEN, zone="build-1", lofs="/work|/export/src", over="net0", users="builder", elevated="builder",
    datasets="rpool/export/scratch",
)  # fmt: skip
CLONED = replace(FURNISHED, clones="rpool/export/home|/cache", quota="20G", cap_memory="1G")
DERIVED = golden.GoldenRequest(
    zone="more", origin=GOLDEN, packages=("text/gawk",), remove_packages=("entire",)
)  # fmt: skip
GUESSED = DisposableRequest(zone="build-1", image=ImageWish(packages="text/gawk"))


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


def _with_dataset(lab: Lab) -> None:
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="build-1", datasets="rpool/export/scratch"))
    life.halt(lab.site(), "build-1")


def _cloned(lab: Lab) -> None:
    words = {
        "clones": "rpool/export/home|/cache",
        "datasets": "rpool/zones/giz/_local/build-1",
        "over": "net0",
    }
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="build-1", **words))  # type: ignore[arg-type]


def _exported(lab: Lab) -> None:
    archives.export(lab.site(), GOLDEN, FILE)


def _snapshot(lab: Lab) -> None:
    _with_dataset(lab)
    snaps.snapshot(lab.site(), "build-1", "clean")


def _changed(lab: Lab) -> None:
    """The way back leads over the configuration, two datasets, a newer snapshot and a dataset made since."""
    _snapshot(lab)
    lab.run("zonecfg", "-z", "build-1", "set autoboot=true")
    lab.run("zfs", "create", "rpool/export/scratch/since")
    lab.run("zfs", "snapshot", "rpool/export/scratch@newer")


def _updates(lab: Lab) -> None:
    """One package is newer; with nothing to keep the job also drops what it took itself."""
    lab.publish("shell/bash")


def _outdated(lab: Lab) -> None:
    """What needs a new boot environment, in a running zone: it is stopped for it and started again."""
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="build-1"))
    lab.publish("service/network/ssh", reboot=True)


def _modify(lab: Lab) -> object:
    wishes, drops = Wishes(lofs="/work|/export/src"), Drops(datasets="rpool/export/scratch")
    return modify.modify(lab.site(), "build-1", wishes, drops)


def _modify_inside(lab: Lab) -> object:
    return modify.modify(lab.site(), "build-1", Wishes(users="builder", cap_cpu="2"))


def _remains(lab: Lab) -> None:
    """As a zone leaves them that was deleted by hand."""
    lab.run("dladm", "create-vnic", "-t", "-l", "net0", "zmabcdef_0")
    mark = "zonemgr:run=20260101T000000Z-abcdef"
    with records.Run(lab.config, records.new_run_id()) as run, run.step("create rpool/export/made"):
        pass
    lab.run("zfs", "create", "-o", mark, "-o", "zoned=on", "-o", "mountpoint=/made", "rpool/export/made")


JOBS: dict[str, Job] = {
    "create-giz": Job(lambda lab: golden.create(lab.site(), golden.GoldenRequest(zone="more"))),
    "create-giz-derived": Job(lambda lab: golden.create(lab.site(), DERIVED)),
    "create-diz": Job(lambda lab: disposable.create(lab.site(), CLONED)),
    "exec-diz": Job(lambda lab: execute.in_new_zone(lab.site(), FURNISHED, _command("always"), str)),
    "exec-diz-kept": Job(
        lambda lab: execute.in_new_zone(
            lab.site(), DisposableRequest(GOLDEN, zone="build-1"), _command("onsuccess", "exit 3"), str
        )
    ),
    "exec-diz-guessed": Job(
        lambda lab: execute.in_new_zone(lab.site(), GUESSED, _command("always"), str),
        lambda lab: layers.provide(lab.site(), GUESSED.image),
    ),
    "exec": Job(lambda lab: execute.in_zone(lab.site(), "build-1", _command("off")), _halted),
    "exec-always": Job(lambda lab: execute.in_zone(lab.site(), "build-1", _command("always")), _zone),
    "snapshot": Job(lambda lab: snaps.snapshot(lab.site(), "build-1", "clean"), _with_dataset),
    "rollback": Job(lambda lab: snaps.rollback(lab.site(), "build-1", "clean"), _changed),
    "destroy-snapshot": Job(lambda lab: snaps.destroy_snapshot(lab.site(), "build-1", "clean"), _snapshot),
    "destroy": Job(lambda lab: teardown.destroy(lab.site(), "build-1"), _cloned),
    "destroy-kept": Job(
        lambda lab: teardown.destroy(lab.site(), "build-1", keep_datasets=True), _with_dataset
    ),
    "export": Job(lambda lab: archives.export(lab.site(), GOLDEN, FILE)),
    "import": Job(lambda lab: archives.import_(lab.site(), FILE, "again"), _exported),
    "upgrade-giz": Job(lambda lab: upgrade.upgrade(lab.site(), GOLDEN, upgrade.Terms(keep=0)), _updates),
    "pkg-install": Job(
        lambda lab: pkgjobs.install(lab.site(), GOLDEN, packages.parse("text/gawk", "web/wget")),
        lambda lab: lab.run("pkg", "-R", f"/zones/giz/{GOLDEN}/root", "install", "web/wget"),
    ),
    "pkg-upgrade": Job(lambda lab: pkgjobs.upgrade(lab.site(), "build-1"), _outdated),
    "modify": Job(_modify, _with_dataset),
    "modify-inside": Job(_modify_inside, _zone),
    "setup": Job(lambda lab: host_setup.setup(lab.site(), user="jim")),
    "gc": Job(lambda lab: gc.collect(lab.site(), remove=True), _remains),
}
