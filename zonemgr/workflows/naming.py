"""Names zonemgr makes up: stable for golden images, unique for everything else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from zonemgr.model import RunId


def golden(
    brand: str, publishers: Sequence[str], packages: Sequence[str], rest: Sequence[Sequence[str]] = ()
) -> str:
    """`giz-` and 12 hex digits of a hash of brand, publishers in order, sorted packages, and what else there is."""
    wanted = json.dumps([brand, list(publishers), sorted(set(packages)), *map(list, rest)])
    return f"giz-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"


def tail(run: RunId) -> str:
    """The part of a run id that tells it from others of the same second: lower-case letters and digits."""
    return run.rsplit("-", 1)[-1]


def disposable(origin: str, run: RunId) -> str:
    """`diz-<golden>-<run id tail>`, cut in the middle so that the tail always fits."""
    end = f"-{tail(run)}"
    return f"diz-{origin}"[: 63 - len(end)] + end


def initial(what: str, zone: str) -> str:
    """One of the three snapshots of a new golden image."""
    return f"initial-{what}-{zone}"


def stamp() -> str:
    """UTC time as it appears in snapshot names: 20260131T235959Z."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def before(job: str) -> str:
    return f"before-{job}-{stamp()}"
