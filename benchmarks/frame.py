"""The frame: paired timings, results with their goals, the table and the JSON file."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

OUT = Path(__file__).parent / "out"


@dataclass(frozen=True)
class Result:
    """One figure: how many times `against` something costs, and what was aimed for."""

    what: str
    against: str
    ratio: float
    goal: float | None = None  # at most this
    details: dict[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return "met" if self.ratio <= self.goal else "MISSED"


def timed_ratio(
    what: str,
    argv: Sequence[str],
    *,
    against: str,
    baseline: Sequence[str],
    runs: int,
    goal: float | None = None,
) -> Result:
    """The median over pairs, each command right after its baseline: a busy moment then hits both alike."""
    for words in (argv, baseline):
        _seconds(words)  # not counted: fills caches and writes .pyc files
    pairs = [(_seconds(baseline), _seconds(argv)) for _ in range(runs)]
    ratios = [command / base for base, command in pairs]
    details = {
        "runs": runs,
        "baseline_ms": round(1000 * statistics.median(base for base, _ in pairs), 1),
        "command_ms": round(1000 * statistics.median(command for _, command in pairs), 1),
        "lowest": round(min(ratios), 2),
        "highest": round(max(ratios), 2),
    }
    return Result(what, against, round(statistics.median(ratios), 2), goal, details)


# What a checkout costs once its modules are compiled, whatever this shell says about writing them.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _seconds(argv: Sequence[str]) -> float:
    begun = time.perf_counter()
    ended = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    taken = time.perf_counter() - begun
    if ended.returncode != 0:  # an error message is quickly printed; its time means nothing
        raise SystemExit(f"{' '.join(argv)} ended with {ended.returncode}: {ended.stderr.strip()}")
    return taken


def table(results: Sequence[Result]) -> str:
    rows = [("what", "against", "ratio", "goal", "")]
    for result in results:
        goal = "" if result.goal is None else f"{result.goal:g}"
        rows.append((result.what, result.against, f"{result.ratio:.2f}", goal, result.verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for what, against, ratio, goal, verdict in rows:
        left = f"{what:<{widths[0]}}  {against:<{widths[1]}}"
        lines.append(f"{left}  {ratio:>{widths[2]}}  {goal:>{widths[3]}}  {verdict}".rstrip())
    return "\n".join(lines)


def written(results: Sequence[Result], folder: Path = OUT) -> Path:
    """All figures with what they were measured on, as one JSON file per run."""
    from zonemgr import __version__

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    machine = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
    }
    figures = [{**asdict(result), "verdict": result.verdict} for result in results]
    report = {"zonemgr": __version__, "machine": machine, "results": figures}
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path
