"""A lab with one hand-made zone, for tests of what goes on inside zones.

It is not made by zoneadm, so that a fault of that one does not show here.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from zonemgr.lab import cell, inprocess, world, zonefs, zoneroot, zonestore
from zonemgr.lab.call import Finished
from zonemgr.lab.world import World

PEOPLE = (
    "builder:x:1001:10:Builder:/export/home/builder:/bin/sh\n"
    "homeless:x:1002:10::/export/home/homeless:/bin/sh\n"
    "shellless:x:1003:10::/export/home/builder:/usr/bin/nosuchshell\n"
)


def namespaces() -> str:
    """Why no cell can be made on this machine; empty when one can."""
    unshared = subprocess.run(
        ["unshare", *(() if os.geteuid() == 0 else ("-Ur",)), "-m", "-p", "-f", "true"], capture_output=True
    )
    return "" if unshared.returncode == 0 else "neither root nor user namespaces on this machine"


needs_namespaces = [
    pytest.mark.namespaces,
    pytest.mark.skipif(bool(namespaces()), reason=namespaces() or "never"),
]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="other users' ids can only be had as root")


class Stage:
    """A world with zone `web`, whose root directory is there and which can be brought up."""

    def __init__(self, directory: Path, flavour: str = "openindiana", configure: str = "") -> None:
        self.world: World = world.create(directory, flavour=flavour)
        self.inside = inprocess.InProcess(self.world)
        script = "create -b; set zonepath=/zones/web; set brand=ipkg; set ip-type=exclusive; " + configure
        assert self.run("zonecfg", "-z", "web", script).exit_code == 0
        zonestore.set_state(self.world, "web", "installed")
        self.root = self.world.path("/zones/web/root")
        self.root.mkdir(parents=True)
        zoneroot.create(self.root, self.world)
        with (self.root / "etc/passwd").open("a") as passwd:
            passwd.write(PEOPLE)
        with (self.root / "etc/group").open("a") as group:
            group.write("wheel::77:other,builder\n")
        home = self.root / "export/home/builder"
        home.mkdir()
        if os.geteuid() == 0:
            os.chown(home, 1001, 10)

    def run(self, *argv: str, stdin: bytes = b"", limit: float | None = None, user: str = "root") -> Finished:
        return self.inside.run(argv, stdin, limit=limit, user=user)

    def state(self, state: str, root: str = "/zones/web/root") -> None:
        """Make the kernel say so, without a cell."""
        self.world.db.execute(
            "insert or replace into kernel_zones (id, name, state, root, brand) values (7, 'web', ?, ?, 'ipkg')",
            (state, root),
        )

    def config(self) -> zonestore.ZoneConfig:
        return zonestore.load(self.world, "web")

    def boot(self) -> tuple[int, int]:
        """Bring the zone up in a cell of its own."""
        self.state("running")
        pid, start = cell.start(self.world, "web", self.root, self.config())
        self.world.db.execute("update kernel_zones set init_pid = ?, init_start = ?", (pid, start))
        return pid, start

    def halt(self) -> None:
        cell.stop(self.world, "web")
        for path in reversed(self.run("mount", "-p").stdout.split()):
            if path.startswith("/zones/web/root/"):
                self.run("umount", path)
        zonefs.undo_boot(self.world, "web")
        self.world.db.execute("delete from kernel_zones")

    def sh(self, script: str) -> str:
        """Output of a shell script in the zone, which must end well."""
        ended = self.run("zlogin", "-S", "web", script)
        assert ended.exit_code == 0, ended
        return ended.stdout

    def close(self) -> None:
        cell.stop(self.world, "web")
        self.world.close()


def mounts() -> list[str]:
    """The mounts this process sees."""
    return sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())


def running(words: str) -> list[int]:
    """The machine's processes whose command line has these words."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and words in (entry / "cmdline").read_text().replace("\0", " "):
                found.append(int(entry.name))
    return found
