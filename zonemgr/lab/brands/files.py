"""rm -rf as illumos' rm does it: what is mounted is emptied, and its mount point stays."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from zonemgr.lab.brands import common
from zonemgr.lab.call import Call


def remove_tree(call: Call, path: str) -> list[str]:
    """Remove a tree, symbolic links not followed; the complaints of rm, a line each."""
    place = call.world.path(path)
    if not os.path.lexists(place):
        return []
    points = {point for _, point in common.mounts(call) if point == path or point.startswith(f"{path}/")}
    complaints: list[str] = []
    _remove(place, path, points, complaints)
    return complaints


def _remove(place: Path, path: str, points: set[str], complaints: list[str]) -> None:
    if not stat.S_ISDIR(os.lstat(place).st_mode):
        place.unlink()
        return
    for name in sorted(os.listdir(place)):
        _remove(place / name, f"{path}/{name}", points, complaints)
    if path in points:
        complaints.append(f"rm: Unable to remove directory {path}: Device busy")
    elif any(point.startswith(f"{path}/") for point in points):
        complaints.append(f"rm: Unable to remove directory {path}: File exists")
    else:
        place.rmdir()


def remove_directory(call: Call, path: str) -> bool:
    """rmdir: an empty directory that nothing is mounted on."""
    if common.mounted_at(call, path):
        return False
    try:
        call.world.path(path).rmdir()
    except OSError:
        return False
    return True
