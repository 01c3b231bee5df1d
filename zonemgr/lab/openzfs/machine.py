"""The machine's own zfs: where the program is, which dataset a lab has, and names as each side writes them.

A lab with `--zfs system --pool POOL/DATASET` keeps its pools as the file systems right below POOL/DATASET: what the
lab calls rpool/zones is POOL/DATASET/rpool/zones on the machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from zonemgr.lab.call import Finished, Sink
from zonemgr.lab.world import LabError, World

FOLDERS = "/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin"
SHOWN_USR = Path(
    "/.lab/usr"
)  # the machine's /usr in the lab's global zone, where /usr/sbin/zfs is the lab's own
BLOCK = 1 << 20  # bytes


def find(program: str, folders: str = FOLDERS) -> str:
    """The machine's program of this name; raises LabError where OpenZFS is not installed."""
    found = shutil.which(program, path=folders)
    if found is None:
        raise LabError(f"this machine has no {program} command; install OpenZFS (Debian: zfsutils-linux)")
    return found


class Machine:
    """The machine's zfs as one lab uses it."""

    def __init__(self, world: World) -> None:
        self.world, self.base = world, world.pool
        pattern = rf"(?<![\w/.:-]){re.escape(self.base)}(?:/|(?![\w/.:@#-]))"
        self._mine = re.compile(pattern)

    # -- names -------------------------------------------------------------------------------------------------

    def real(self, name: str) -> str:
        """What the machine calls a dataset, snapshot or bookmark of the lab."""
        return f"{self.base}/{name}"

    def lab(self, name: str) -> str:
        """What the lab calls one of the machine's; one that is not the lab's keeps its name."""
        return name.removeprefix(self.base + "/")

    def owns(self, real: str) -> bool:
        return real.startswith(self.base + "/")

    def text(self, said: str) -> str:
        """Words of the machine's zfs with the lab's names in them, and illumos' text where only that differs."""
        for pattern, instead in _TEXTS:
            said = pattern.sub(instead, said)
        return self._mine.sub("", said)

    # -- running -----------------------------------------------------------------------------------------------

    def program(self, name: str = "zfs") -> str:
        """Where a program is: the lab's settings may name the folder (`zfs_programs`)."""
        folder = str(self.world.settings.get("zfs_programs", ""))
        path = os.path.join(folder, name) if folder else find(name)
        inside = SHOWN_USR / path.removeprefix("/usr/")
        return str(inside) if path.startswith("/usr/") and SHOWN_USR.is_dir() else path

    def run(self, *words: str, program: str = "zfs") -> Finished:
        """Run it with names as the machine has them; both outputs come back as they are."""
        done = subprocess.run(
            [self.program(program), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_environment(),
            check=False,
        )
        return Finished(done.returncode, _decoded(done.stdout), _decoded(done.stderr))

    def stream(self, words: Sequence[str], stdin: BinaryIO | None, stdout: Sink | None) -> Finished:
        """Run it with a stream of bytes at one end; the output that is text comes back."""
        source = _descriptor(stdin)
        with subprocess.Popen(
            [self.program(), *words],
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE if source is None else source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
        ) as child:
            if stdin is not None and source is None:
                return self._fed(child, stdin)
            assert child.stdout is not None
            assert child.stderr is not None
            said = b""
            while block := child.stdout.read(BLOCK):
                if stdout is None:
                    said += block
                else:
                    stdout.write(block)
            errors = child.stderr.read()
        return Finished(child.returncode, _decoded(said), _decoded(errors))

    def _fed(self, child: subprocess.Popen[bytes], stdin: BinaryIO) -> Finished:
        """The stream is in this process' memory: hand it over whole."""
        out, err = child.communicate(stdin.read())
        return Finished(child.returncode, _decoded(out), _decoded(err))

    def rows(self, *words: str) -> list[list[str]]:
        """The tab-separated lines of a question that must have an answer; raises LabError otherwise."""
        done = self.run(*words)
        if done.exit_code:
            raise LabError(f"the machine's zfs {words[0]} failed: {done.stderr.strip()}")
        return [line.split("\t") for line in done.stdout.splitlines()]


# Texts of OpenZFS 2.1 that illumos of 2022 words differently, in messages that scripts look at.
_TEXTS: Iterable[tuple[re.Pattern[str], str]] = (
    (re.compile(r"^(cannot unmount '.*'): pool or dataset is busy$", re.M), r"\1: Device busy"),
    (re.compile(r"^(cannot destroy snapshot .*): it's being held\b.*$", re.M), r"\1: dataset is busy"),
)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("TZ",) if name in os.environ}
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", **kept}


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _descriptor(stream: BinaryIO | Sink | None) -> int | None:
    try:
        return int(cast(BinaryIO, stream).fileno())
    except (AttributeError, OSError):
        return None
