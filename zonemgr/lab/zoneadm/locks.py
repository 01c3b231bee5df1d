"""zoneadm's lock and zoneadmd's mutex, one of each for a zone. Who comes second waits."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from zonemgr.lab.zoneadm.request import Request

HELD = "_ZONEADM_LOCK_HELD"  # in the environment of a hook, so that a zoneadm it runs does not wait for its parent


@contextlib.contextmanager
def operation(request: Request) -> Iterator[None]:
    """Held by install, clone, attach, detach, move, uninstall and mark from end to end."""
    env = request.call.env
    if env.get(HELD) == request.zone:
        yield
        return
    with _flock(request, "zoneadm"):
        before = env.get(HELD)
        env[HELD] = request.zone
        try:
            yield
        finally:
            del env[HELD]
            if before is not None:
                env[HELD] = before


@contextlib.contextmanager
def daemon(request: Request) -> Iterator[None]:
    """zoneadmd's: first whoever holds the other one is waited for, as zoneadm does to start zoneadmd."""
    with operation(request):
        pass
    with _flock(request, "zoneadmd"):
        yield


@contextlib.contextmanager
def _flock(request: Request, kind: str) -> Iterator[None]:
    folder = request.world.dir / "locks"
    folder.mkdir(exist_ok=True)
    handle = os.open(folder / f"{request.zone}.{kind}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
