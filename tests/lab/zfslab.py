"""A host for stories about ZFS: a lab with nothing on it but its pool, and commands as lines."""

from __future__ import annotations

import io
import os
import shlex
from pathlib import Path

from zonemgr.lab import mounts, zpool
from zonemgr.lab import zfs as lab_zfs
from zonemgr.lab.call import Call
from zonemgr.lab.world import World

TOOLS = {"zfs": lab_zfs.zfs, "zpool": zpool.zpool, "mount": mounts.mount, "umount": mounts.umount}


class Host:
    def __init__(self, world: World) -> None:
        self.world = world
        self.cwd = "/"

    def run(self, line: str, *, stdin: bytes = b"", privileged: bool = True) -> tuple[int, bytes, str]:
        argv, out, err = shlex.split(line), io.BytesIO(), io.BytesIO()
        call = Call(self.world, argv, io.BytesIO(stdin), out, err, cwd=self.cwd, privileged=privileged)
        return TOOLS[argv[0]](call), out.getvalue(), err.getvalue().decode()

    def does(self, *lines: str) -> str:
        """Run lines that must succeed and say nothing on stderr; the output of the last."""
        answer = b""
        for line in lines:
            status, answer, stderr = self.run(line)
            assert (status, stderr) == (0, ""), (line, status, stderr)
        return answer.decode()

    def fails(self, line: str, *, exit_code: int = 1, privileged: bool = True) -> str:
        """Run a line that must fail; what it says."""
        status, _, stderr = self.run(line, privileged=privileged)
        assert status == exit_code, (line, status, stderr)
        return stderr

    def path(self, name: str) -> Path:
        return self.world.host / name.lstrip("/")

    def write(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)

    def read(self, name: str) -> str:
        return self.path(name).read_text()

    def names(self, root: str = "rpool/t") -> list[str]:
        return self.does(f"zfs list -H -r -t all -o name {root}").splitlines()

    def get(self, prop: str, name: str) -> str:
        return self.does(f"zfs get -H -o value {prop} {name}").rstrip("\n")

    def mounted(self) -> dict[str, str]:
        return dict(lab_zfs.mounts(self.world))


def disorder(world: World) -> list[str]:
    """What is not as the datasets say: contents elsewhere, directories of nobody, unfinished business."""
    rows = world.db.execute(
        "select d.id, d.name, d.type, m.path, m.pinned from zfs_datasets d left join zfs_mounts m on m.ds = d.id"
    ).fetchall()
    held = {part: set(os.listdir(world.store / part)) for part in ("fs", "snap", "under", "roll", "journal")}
    expected: dict[str, set[str]] = {part: set() for part in held}
    wrong = []
    for ds, name, kind, path, pinned in rows:
        if kind == "snapshot" and _head_type(world, name) == "filesystem":
            expected["snap"].add(str(ds))
        elif kind == "filesystem" and path is not None and not pinned:
            expected["under"].add(str(ds))
            if not (world.host / path.lstrip("/")).is_dir():
                wrong.append(f"{name} is not at {path}")
        elif kind == "filesystem":
            expected["fs"].add(str(ds))
    wrong += [f"store/{part}: {held[part] ^ expected[part]}" for part in held if held[part] != expected[part]]
    return wrong


def _head_type(world: World, snapshot: str) -> str:
    query = "select type from zfs_datasets where name = ?"
    return str(world.db.execute(query, (snapshot.partition("@")[0],)).fetchone()[0])
