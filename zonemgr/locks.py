"""Locks on zones and golden images: files in the state directory, freed by the kernel when their holder dies.

Whoever needs several takes a set before zones, and zones before images; those of a kind in the order of their names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zonemgr import state
from zonemgr.config import Config
from zonemgr.errors import ZonemgrError
from zonemgr.model import RunId, ZoneName

if TYPE_CHECKING:
    from filelock import BaseFileLock

Waiting = Callable[[str], None]  # told once when a lock is taken and zonemgr begins to wait for it


class LockTaken(ZonemgrError):
    """Another run has the zone or image, and the time to wait for it is over."""


@dataclass(frozen=True)
class Holder:
    """Who has a lock, as it wrote down when it took it."""

    pid: int
    run: str

    def __str__(self) -> str:
        return f"run {self.run} (process {self.pid})"


@contextmanager
def zone_lock(
    config: Config,
    zones: str | Sequence[str],
    run: RunId,
    *,
    wait: float | None = None,
    waiting: Waiting | None = None,
) -> Iterator[None]:
    """Hold these zones. Waits `wait` seconds for one that another run has; by default [state] zone_wait."""
    with _held(config, "zone", zones, run, config.state.zone_wait if wait is None else wait, waiting):
        yield


@contextmanager
def image_lock(
    config: Config,
    images: str | Sequence[str],
    run: RunId,
    *,
    wait: float | None = None,
    waiting: Waiting | None = None,
) -> Iterator[None]:
    """Hold golden images while they are made, moved on or cloned; by default waits [state] image_wait."""
    with _held(config, "image", images, run, config.state.image_wait if wait is None else wait, waiting):
        yield


@contextmanager
def set_lock(config: Config, name: str, run: RunId, *, waiting: Waiting | None = None) -> Iterator[None]:
    """Hold a set of packages (by its canonical name) while an image with it is looked for and made.

    So the second of two with the same needs waits, for [state] image_wait at most, and finds the first one's image.
    """
    with _held(config, "set", name, run, config.state.image_wait, waiting):
        yield


def zone_holder(config: Config, zone: str) -> Holder | None:
    """Who has this zone now; None when nobody has. A run that is just taking it shows as process 0."""
    return _Lock(config, "zone", zone).holder()


def image_holder(config: Config, image: str) -> Holder | None:
    return _Lock(config, "image", image).holder()


@contextmanager
def _held(
    config: Config, kind: str, names: str | Sequence[str], run: RunId, limit: float, waiting: Waiting | None
) -> Iterator[None]:
    state.folder(config, "locks")
    with ExitStack() as stack:
        for name in sorted({names} if isinstance(names, str) else set(names)):
            stack.enter_context(_Lock(config, kind, name).held(run, limit, waiting))
        yield


class _Lock:
    def __init__(self, config: Config, kind: str, name: str) -> None:
        self._config = config
        self._what = f"{kind} {name}"
        # A zone name is a safe file name; anything else ends here.
        self._path = Path(config.state.directory, "locks", f"{kind}-{ZoneName(name)}.lock")
        # Beside the lock and not in it: trying a lock may truncate its file.
        self._note = self._path.with_suffix(".owner")

    @contextmanager
    def held(self, run: RunId, limit: float, waiting: Waiting | None) -> Iterator[None]:
        lock = self._taken(0)
        if lock is None and limit > 0:
            if waiting:
                waiting(f"{self._what} is in use by {self._whoever()}; waiting up to {limit:g} seconds")
            lock = self._taken(limit)
        if lock is None:
            patience = f", still after {limit:g} seconds" if limit > 0 else ""
            raise LockTaken(
                f"{self._what} is in use by {self._whoever()}{patience}", hint="see: zonemgr runs"
            )
        try:
            self._sign(run)
            yield
        finally:
            with suppress(OSError):
                self._note.unlink()  # before the release: afterwards it may be the next holder's
            lock.release()

    def holder(self) -> Holder | None:
        if not self._path.exists():
            return None
        lock = self._taken(0)
        if lock is None:
            return self._signed() or Holder(0, "unknown")
        lock.release()
        return None

    def _taken(self, limit: float) -> BaseFileLock | None:
        from filelock import FileLock, Timeout  # here: it takes longer to load than all of zonemgr

        # Group-writable whatever the umask: the group of the state directory shares the locks.
        lock = FileLock(self._path, mode=0o664)
        try:
            lock.acquire(timeout=limit, poll_interval=0.1)
        except Timeout:
            return None
        except OSError as refused:
            raise state.not_usable(self._config, self._path, refused) from refused
        return lock

    def _whoever(self) -> str:
        return str(self._signed() or "another run")

    def _sign(self, run: RunId) -> None:
        """Only for messages, so a full disk does not stop a run here."""
        fresh = self._note.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            fresh.write_text(json.dumps({"pid": os.getpid(), "run": run}) + "\n")
            fresh.chmod(0o664)
            fresh.replace(self._note)

    def _signed(self) -> Holder | None:
        try:
            entry = json.loads(self._note.read_text())
            return Holder(int(entry["pid"]), str(entry["run"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None  # taken, and not signed yet: it is held all the same
