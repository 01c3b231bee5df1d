"""The lab's zfs against recordings of real OpenZFS (vectors/zfs.jsonl): exit status, output, what is there after.

Each record is replayed on a fresh lab. The ids of those that differ are listed, with a reason each, in
vectors/zfs-differs.txt; a record that begins to differ fails here, and so does one that no longer does.
"""

from __future__ import annotations

import errno
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from zonemgr.lab import mounts, world, zpool
from zonemgr.lab import zfs as lab_zfs
from zonemgr.lab.call import Call
from zonemgr.lab.world import World

VECTORS = Path(__file__).parent / "vectors"
RECORDS: list[dict[str, Any]] = [
    json.loads(line) for line in (VECTORS / "zfs.jsonl").read_text().splitlines()
]
DIFFERS: dict[str, str] = dict(
    line.split(": ", 1)
    for line in (VECTORS / "zfs-differs.txt").read_text().splitlines()
    if line and not line.startswith("#")
)
TOOLS = {"zfs": lab_zfs.zfs, "zpool": zpool.zpool, "mount": mounts.mount, "umount": mounts.umount}
Answer = tuple[int, str, str]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab with the dataset every recording starts from, to be copied."""
    directory = tmp_path_factory.mktemp("pristine") / "lab"
    fresh = world.create(directory)
    assert lab_zfs.zfs(Call(fresh, ["zfs", "create", "rpool/t"])) == 0
    fresh.close()
    return directory


@pytest.fixture
def stage(pristine: Path, tmp_path: Path) -> Iterator[Stage]:
    shutil.copytree(pristine, tmp_path / "lab", symlinks=True)
    opened = World(tmp_path / "lab")
    played = Stage(opened)
    yield played
    played.leave()
    opened.close()


class Stage:
    """A host of the recordings: the real commands, and the recorder's helper verbs."""

    def __init__(self, opened: World) -> None:
        self.world = opened
        self.files: dict[str, bytes] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def leave(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def run(self, argv: list[str], *, stdin: bytes = b"", allowed: bool = True) -> tuple[int, bytes, str]:
        if argv[0] == "sh":
            done = subprocess.run(argv, capture_output=True, check=False)
            return done.returncode, done.stdout, done.stderr.decode()
        out, err = io.BytesIO(), io.BytesIO()
        call = Call(self.world, argv, io.BytesIO(stdin), out, err, privileged=allowed)
        status = TOOLS[argv[0]](call)
        return status, out.getvalue(), err.getvalue().decode("utf-8", "surrogateescape")

    def step(self, argv: list[str]) -> Answer:
        if not argv[0].startswith("@"):
            return _text(self.run(argv))
        verb: Callable[..., Answer | None] = getattr(self, "do_" + argv[0][1:])
        try:
            return verb(*argv[1:]) or (0, "", "")
        except OSError as failed:
            return 1, "", errno.errorcode[failed.errno or 0] + "\n"

    def path(self, name: str) -> Path:
        return self.world.host / name.lstrip("/")

    def do_write(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)

    def do_fill(self, name: str, mebibytes: str) -> None:
        self.path(name).write_bytes(b"x" * (int(mebibytes) << 20))

    def do_cat(self, name: str) -> Answer:
        return 0, self.path(name).read_text(), ""

    def do_ls(self, name: str) -> Answer:
        return 0, "".join(f"{entry.name}\n" for entry in sorted(self.path(name).iterdir())), ""

    def do_mkdir(self, name: str) -> None:
        self.path(name).mkdir(parents=True)

    def do_rm(self, name: str) -> None:
        self.path(name).unlink()

    def do_open(self, name: str) -> None:
        with self.path(name).open("rb") as held:
            self.processes[name] = subprocess.Popen(["sleep", "600"], stdin=held)

    def do_close(self, name: str) -> None:
        self.processes[name].kill()
        self.processes.pop(name).wait()

    def do_cd(self, name: str) -> None:
        if "cd" in self.processes:
            self.do_close("cd")
        if name != "/":
            self.processes["cd"] = subprocess.Popen(["sleep", "600"], cwd=self.path(name))

    def do_mounts(self) -> Answer:
        ours = sorted(f"{name}\t{path}\n" for name, path in lab_zfs.mounts(self.world) if "rpool/t" in name)
        return 0, "".join(ours), ""

    def do_mount(self, dataset: str, directory: str) -> Answer:
        return _text(self.run(["mount", "-F", "zfs", dataset, directory]))

    def do_umount(self, directory: str) -> Answer:
        return _text(self.run(["umount", directory]))

    def do_to(self, name: str, *argv: str) -> Answer:
        status, self.files[name], stderr = self.run(list(argv))
        return status, "", stderr

    def do_from(self, name: str, *argv: str) -> Answer:
        if name not in self.files:
            return 1, "", "ENOENT\n"
        return _text(self.run(list(argv), stdin=self.files[name]))

    def do_as(self, user: str, *argv: str) -> Answer:
        assert user == "nobody"
        return _text(self.run(list(argv), allowed=False))

    def do_pool(self, name: str) -> Answer:
        disk = self.path(f"/lab/{len(name)}.img")
        disk.parent.mkdir(exist_ok=True)
        with disk.open("wb") as image:
            image.truncate(128 << 20)
        return _text(self.run(["zpool", "create", name, f"/lab/{len(name)}.img"]))

    def do_tick(self) -> None:
        self.world.advance(1)

    def do_sync(self) -> None:
        pass


def _text(answer: tuple[int, bytes, str]) -> Answer:
    return answer[0], answer[1].decode("utf-8", "surrogateescape"), answer[2]


# -- comparing ---------------------------------------------------------------------------------------------


def _same(recorded: str, given: str, normalised: list[str]) -> bool:
    """Equal, where the recording has no place-holder."""
    if "usage" in normalised:
        given = re.sub(r"usage:.*", "usage: <USAGE>\n", given, flags=re.DOTALL)
    if "order" in normalised:
        recorded, given = _ordered(recorded), _ordered(given)
    if not set(normalised) & {"size", "time", "id"}:
        return recorded == given
    pattern = re.sub(r"\\?[ ]+", " +", re.escape(re.sub(r" +", " ", recorded)))
    for holder, stands_for in (("<SIZE>", r"\S+"), ("<TIME>", r"[^\t\n]+"), ("<ID>", r"\d+")):
        pattern = pattern.replace(holder, f" *{stands_for}")
    return re.fullmatch(pattern, given) is not None


def _ordered(text: str) -> str:
    return "\n".join(sorted(",".join(sorted(line.split(","))) for line in text.splitlines()))


def _difference(at: int, step: dict[str, Any], answer: Answer, portable: bool) -> str:
    status, stdout, stderr = answer
    where = f"step {at}: {step['argv']}"
    if not portable:
        agree = (status == 0) == (step["exit"] == 0)
        return "" if agree else f"{where}: exit {status}, recorded {step['exit']}\n{stderr}"
    normalised = step.get("normalised", [])
    if status != step["exit"]:
        return f"{where}: exit {status}, recorded {step['exit']}\n{stdout}{stderr}"
    for stream, given in (("stdout", stdout), ("stderr", stderr)):
        if not _same(step[stream], given, normalised):
            return f"{where}: {stream}\n--- recorded\n{step[stream]}\n--- lab\n{given}"
    return ""


def _differences(stage: Stage, record: dict[str, Any]) -> str:
    unportable = record.get("not_portable") or {}
    for at, step in enumerate(record["steps"]):
        different = _difference(at, step, stage.step(step["argv"]), str(at) not in unportable)
        if different:
            return different
    return ""


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: str(record["id"]))
def test_a_recording_is_answered_as_it_was(stage: Stage, record: dict[str, Any]) -> None:
    different = _differences(stage, record)
    if record["id"] in DIFFERS:
        assert different, "no longer differs: take it off vectors/zfs-differs.txt"
    else:
        assert not different, different


def test_at_least_95_of_100_portable_recordings_agree() -> None:
    portable = [record["id"] for record in RECORDS if record["portable"]]
    agreeing = [name for name in portable if name not in DIFFERS]
    assert len(agreeing) >= 0.95 * len(portable)


def test_only_recordings_there_are_listed_as_differing() -> None:
    assert set(DIFFERS) <= {record["id"] for record in RECORDS}
