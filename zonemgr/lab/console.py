"""The console of a zone: what zoneadmd says there, and `zlogin -C`.

Kept are the lines zoneadmd writes ([NOTICE: Zone booting up]) and those of wall(8), in a file for each zone. There is
no login on it: what is typed goes nowhere, but the escape (`~.`) is looked for.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from zonemgr.lab.call import Call
from zonemgr.lab.world import World

if TYPE_CHECKING:
    from zonemgr.lab.terminal import Typed

LOOK = 0.05  # seconds between looks at what is new
KEPT = 64 * 1024


def _file(world: World, zone: str) -> Path:
    return world.dir / "cells/.console" / zone


def notice(world: World, zone: str, text: str) -> None:
    """A line of zoneadmd's, such as `NOTICE: Zone halted`."""
    _write(world, zone, f"\r\n[{text}]\r\n")


def wall(world: World, zone: str, text: str) -> None:
    lines = "\r\n".join(text.split("\n"))
    _write(world, zone, f"\r\nBroadcast Message from root (???) on {zone}...\r\n{lines}\r\n")


def _write(world: World, zone: str, text: str) -> None:
    path = _file(world, zone)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def forget(world: World, zone: str) -> None:
    _file(world, zone).unlink(missing_ok=True)


def session(call: Call, zone: str, escape: bytes, *, disconnect: bool) -> None:
    """Show what comes until the input ends, the escape is typed, or (-d) the zone is halted."""
    from zonemgr.lab.terminal import Typed

    path, typed = _file(call.world, zone), Typed(escape)
    seen = path.stat().st_size if path.exists() else 0
    while True:
        seen, new = _news(path, seen)
        if new:
            call.stdout.write(new)
            if disconnect and (b"[NOTICE: Zone halted]" in new or b"boot failed]" in new):
                return
        if _typed(call, typed):
            _, new = _news(path, seen)
            call.stdout.write(new)
            return


def _news(path: Path, seen: int) -> tuple[int, bytes]:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(seen if size >= seen else 0)
            new = file.read(KEPT)
            return file.tell(), new
    except OSError:
        return seen, b""


def _typed(call: Call, typed: Typed) -> bool:
    """Wait a moment for input; True when it is over."""
    try:
        descriptor = call.stdin.fileno()
    except (AttributeError, OSError):
        return typed.read(call.stdin.read())[1] or True
    ready, _, _ = select.select([descriptor], [], [], LOOK)
    return bool(ready) and typed.read(os.read(descriptor, 1024))[1]


def lines(world: World, zone: str) -> Iterable[str]:
    """What was said on a console, for tests."""
    path = _file(world, zone)
    return path.read_text().replace("\r", "").split("\n") if path.exists() else []
