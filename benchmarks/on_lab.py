"""What needs a host: host commands per job against a script by hand, and `zonemgr list` on a thousand zones.

Both on a lab without latency, made for the measurement. Commands are counted from the lab's log; times are whole
processes inside the lab, so that zonemgr and its measure pay the same for entering it.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.frame import Result, timed_ratio
from zonemgr.lab import labs
from zonemgr.lab.inprocess import InProcess
from zonemgr.lab.world import World

ZONEMGR = [sys.executable, "-m", "zonemgr"]
HERE = Path(__file__).resolve().parent.parent
BYHAND = HERE / "benchmarks/byhand.sh"
GOLDEN, ZONES = "tools", 1000


def measure(runs: int) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="zonemgr-bench.") as folder:
        lab = Path(folder, "lab")
        labs.create(lab, share=[f"{HERE}:ro"])
        try:
            _inside(lab, "zonemgr", "-Q", "create-giz", "-z", GOLDEN)
            results = [_commands(lab)]
            _many_zones(lab)
            return [*results, _listing(lab, runs)]
        finally:
            labs.destroy(lab)


def _inside(lab: Path, *argv: str, ok: int = 0) -> str:
    ended = subprocess.run(
        [*ZONEMGR, "lab", "run", "--dir", str(lab), "--", *argv], capture_output=True, text=True, check=False
    )
    if ended.returncode != ok:
        raise SystemExit(f"{shlex.join(argv)} ended with {ended.returncode}: {ended.stderr}")
    return ended.stdout


def _count(lab: Path, *argv: str, ok: int) -> int:
    already = len(labs.log(lab))
    _inside(lab, *argv, ok=ok)
    return len(labs.log(lab)) - already


def _commands(lab: Path) -> Result:
    """The same job both ways: one lofs mount, one VNIC, a command that ends with 3, everything removed."""
    _inside(lab, "mkdir", "-p", "/export/src")
    _inside(
        lab, "zonemgr", "-Q", "exec-diz", "-c", GOLDEN, "--exec-cmd", "true"
    )  # makes the home of such zones
    snapshot = f"initial-postinstalled-{GOLDEN}"
    byhand = _count(
        lab, "sh", str(BYHAND), GOLDEN, snapshot, "by-hand", "/export/src", "net0", "exit 3", ok=3
    )  # fmt: skip
    ours = _count(
        lab, "zonemgr", "-Q", "exec-diz", "-c", GOLDEN, "--mount-lofs", "/export/src", "--add-vnic-over", "net0",
        "--exec-cmd", "exit 3", ok=3,
    )  # fmt: skip
    details = {"exec-diz": float(ours), "byhand": float(byhand)}
    return Result(
        f"host commands of exec-diz: {ours}", f"byhand.sh: {byhand}", round(ours / byhand, 2), 1.5, details
    )


def _many_zones(lab: Path) -> None:
    """A thousand configured disposable zones, each with its marked dataset, as exec-diz would leave them."""
    world = World(lab)
    host = InProcess(world)
    for number in range(ZONES):
        script = f"create -b; set brand=nlipkg; set zonepath=/zones/diz/z{number}"
        host.run(["zonecfg", "-z", f"z{number}", script])
        host.run(
            [
                "zfs",
                "create",
                "-o",
                "zonemgr:kind=diz",
                "-o",
                "zonemgr:run=bench",
                f"rpool/zones/diz/z{number}",
            ]
        )
    world.close()


def _listing(lab: Path, runs: int) -> Result:
    """Timed inside the lab, by this very module, so that entering it is not measured."""
    count = _count(lab, "zonemgr", "list", ok=0)
    line = f"cd {shlex.quote(str(HERE))} && PYTHONPATH=/.lab/lib exec python3 -m benchmarks.on_lab {runs} {count}"
    return Result(**json.loads(_inside(lab, "sh", "-c", line)))


def _timed_inside(runs: int, count: int) -> Result:
    return timed_ratio(
        f"zonemgr list: {ZONES} zones, {count} host commands",
        ["zonemgr", "list"],
        against="python -c pass",
        baseline=["python3", "-c", "pass"],
        runs=runs,
        goal=20,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(_timed_inside(int(sys.argv[1]), int(sys.argv[2])))))
