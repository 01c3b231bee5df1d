"""zfs receive; see `stream` for what is in a stream."""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, cast

from zonemgr.lab.zfs import names
from zonemgr.lab.zfs.catalogue import Ds
from zonemgr.lab.zfs.job import Job
from zonemgr.lab.zfs.names import DATASET, FS, MARK, SNAP, VOL
from zonemgr.lab.zfs.stream import IN_MEMORY, MAGIC, Json
from zonemgr.lab.zfs.text import Refused, Usage, flags, not_emulated, options

_RECEIVE = "o:x:dehnuvFsA"
_ITEM = {"name", "type", "guid", "from", "clone", "props", "size", "fixed", "bytes"}


class _Receive:
    def __init__(self, job: Job, header: Json, target: str, given: set[str]) -> None:
        self.job, self.header, self.target, self.given = job, header, target, given
        self.set: dict[str, str] = {}  # -o
        self.skip: set[str] = set()  # -x
        self.top: str | None = None

    def destination(self, sent: str) -> str:
        """Where a sent snapshot goes: the target, and what -d, -e or the sent tree put below it."""
        top, target = self.header["top"], self.target
        if self.given & {"d", "e"} and "@" in target:
            letter = "e" if "e" in self.given else "d"
            raise Refused(f"cannot receive: invalid argument - snapshot not allowed with -{letter}")
        if "e" in self.given:
            rest = "/" + top.rpartition("/")[2] + sent[len(top) :]
        elif "d" in self.given:
            rest = sent[len(names.pool_of(sent)) :]
        elif "@" in target:
            if self.header["package"]:
                raise Refused("cannot receive: cannot specify snapshot name for multi-snapshot stream")
            rest = ""
        else:
            rest = sent[len(top) :]
        if not names.is_name(target + rest, SNAP):
            raise Refused("cannot receive: invalid name")
        return str(target + rest)

    # -- one snapshot --------------------------------------------------------------------------------------

    def one(self, item: Json, tree: Path) -> None:
        snapshot = self.destination(item["name"])
        name = names.file_system_of(snapshot)
        ds = self.job.cat.get(name)
        new = item["from"] is None or item["clone"]
        doing = f"cannot receive {'new filesystem' if new else 'incremental'} stream"
        if new:
            self._check_new(name, ds, doing)
        elif ds is None:
            raise Refused(f"{doing}: destination '{name}' does not exist")
        elif self._is_there(ds, snapshot, item["guid"]):
            return
        if "v" in self.given:
            word = "would receive" if "n" in self.given else "receiving"
            kind = "full" if item["from"] is None else "incremental"
            self.job.out(f"{word} {kind} stream of {item['name']} into {snapshot}")
        if "n" in self.given:
            return
        self.job.need_privilege(doing)
        if new:
            self._receive_new(item, snapshot, ds, tree, doing)
        else:
            assert ds is not None
            self._receive_incremental(item, snapshot, ds, tree, doing)

    def _is_there(self, ds: Ds, snapshot: str, guid: int) -> bool:
        """The same snapshot once more is passed over; another of that name is in the way."""
        if self.job.cat.get(snapshot) is None:
            return False
        if all(snap.guid != guid for snap in self.job.cat.snapshots(ds)):
            raise Refused(f"cannot restore to {snapshot}: destination already exists")
        if "v" in self.given:
            self.job.out(f"snap {snapshot} already exists; ignoring")
        return True

    def _check_new(self, name: str, ds: Ds | None, doing: str) -> None:
        job = self.job
        if ds is None:
            self._check_parent(name, doing)
            return
        if "F" not in self.given:
            raise Refused(f"{doing}: destination '{name}' exists\nmust specify -F to overwrite it")
        taken = job.cat.snapshots(ds)
        if taken:
            raise Refused(
                f"{doing}: destination has snapshots (eg. {taken[0].name})\nmust destroy them to overwrite it"
            )
        if ds.origin is not None:
            raise Refused(f"{doing}: destination '{name}' is a clone\nmust destroy it to overwrite it")

    def _check_parent(self, name: str, doing: str) -> None:
        from zonemgr.lab.zfs.make import create_ancestors

        parent = names.parent_of(name)
        if parent is None:
            raise Refused(f"{doing}: destination '{name}' does not exist")
        failed = f"{doing}: unable to restore to destination"
        try:
            if "d" in self.given and "n" not in self.given:
                self.job.open(self.target, FS)
                create_ancestors(self.job, name)
            above = self.job.open(parent, DATASET)
        except Refused as reason:
            raise Refused(f"{reason.text}\n{failed}") from None
        if above.type != "filesystem":
            raise Refused(f"{doing}: parent '{parent}' is not a filesystem")

    def _receive_new(self, item: Json, snapshot: str, ds: Ds | None, tree: Path, doing: str) -> None:
        job, name = self.job, names.file_system_of(snapshot)
        origin = self._by_guid(item["from"]) if item["clone"] else None
        if item["clone"] and origin is None:
            raise Refused(f"{doing}: local origin for clone {snapshot} does not exist")
        changes = None
        if ds is not None:
            from zonemgr.lab.zfs.mounting import ChangeList

            changes = ChangeList(job, ds, "name")
            if not changes.prefix():
                raise Refused(f"{doing}: dataset is busy")
        else:
            ds = job.cat.add(name, item["type"], origin=origin)
            if ds.type == "filesystem":
                job.store.made(job.store.fs(ds.id)).mkdir(mode=0o755)
        for prop, value in item["fixed"].items():
            job.cat.set_local(ds, prop, value)
        self._properties(item, ds)
        self._fill(item, ds, snapshot, tree)
        if changes is not None and "u" not in self.given:
            changes.postfix()
        self.top = self.top or name

    def _receive_incremental(self, item: Json, snapshot: str, ds: Ds, tree: Path, doing: str) -> None:
        from zonemgr.lab.zfs.destroying import destroy_snapshots

        job, there = self.job, self.job.cat.snapshots(ds)
        base = next((snap for snap in there if snap.guid == item["from"]), None)
        if base is None:
            raise Refused(f"{doing}: most recent snapshot of {ds.name} does not\nmatch incremental source")
        newer = [snap for snap in there if snap.txg > base.txg]
        if "F" not in self.given and (newer or modified(job, ds, base)):
            raise Refused(f"{doing}: destination {ds.name} has been modified\nsince most recent snapshot")
        if not destroy_snapshots(job, newer, defer=False):
            raise Refused(f"{doing}: dataset is busy")
        self._properties(item, ds)
        self._fill(item, ds, snapshot, tree)

    def _by_guid(self, guid: int) -> Ds | None:
        row = self.job.cat.db.execute(
            "select name from zfs_datasets where guid = ? and type = 'snapshot'", (guid,)
        ).fetchone()
        return None if row is None else self.job.cat.get(str(row[0]))

    def _properties(self, item: Json, ds: Ds) -> None:
        from zonemgr.lab.zfs.catalogue import Prop

        cat, sent = self.job.cat, self.header.get("fs", {}).get(names.file_system_of(item["name"]), {})
        for name, value in sent.items():
            before = cat.props(ds).get(name, Prop(None, None, False))
            hidden = name in self.skip
            cat.put_prop(ds, name, Prop(before.local, value, hidden))
        for name, value in self.set.items():
            if self.top in (None, ds.name):
                cat.set_local(ds, name, value)

    def _fill(self, item: Json, ds: Ds, snapshot: str, tree: Path) -> None:
        """The sent tree becomes the snapshot, and a copy of it the file system."""
        from zonemgr.lab.zfs.catalogue import Prop
        from zonemgr.lab.zfs.destroying import put_back

        job = self.job
        snap = job.cat.add(snapshot, "snapshot", refer=item["size"])
        snap.guid = item["guid"]
        job.cat.update(snap)
        if "fs" in self.header:
            for name, value in item["props"].items():
                job.cat.put_prop(snap, name, Prop(None, value, False))
        if ds.type == "filesystem":
            tree.rename(job.store.made(job.store.snap(snap.id)))
            put_back(job, ds, snap)


def modified(job: Job, ds: Ds, snap: Ds) -> bool:
    from zonemgr.lab.zfs.mounting import content

    if ds.type != "filesystem":
        return False
    top, holes = content(job.cat, job.store, ds)
    return _looks(top, holes) != _looks(job.store.snap(snap.id), frozenset())


def _looks(top: Path, holes: frozenset[Path]) -> dict[str, tuple[int, ...]]:
    seen: dict[str, tuple[int, ...]] = {}
    for here, directories, files in os.walk(top):
        directories[:] = [name for name in directories if Path(here, name) not in holes]
        for name in files + directories:
            about = os.lstat(os.path.join(here, name))
            size = 0 if name in directories else about.st_size
            where = os.path.relpath(os.path.join(here, name), top)
            seen[where] = (about.st_mode, size, 0 if name in directories else about.st_mtime_ns)
    return seen


def unpack(tree: BinaryIO, target: Path) -> None:
    """Never outside of `target`, whatever a stream that was tampered with says."""
    bad = Refused("cannot receive: invalid backup stream")
    target.mkdir()
    inside = os.path.realpath(target)
    try:
        with tarfile.open(fileobj=tree, mode="r") as tar:
            tar.extraction_filter = staticmethod(lambda member, path: member)
            for member in tar:
                parent = os.path.realpath(os.path.join(inside, os.path.dirname(member.name)))
                if os.path.commonpath([inside, parent]) != inside or os.path.basename(member.name) == "..":
                    raise bad
                tar.extract(member, target, numeric_owner=True)
    except tarfile.TarError:
        raise bad from None


def drained(stdin: BinaryIO, args: list[str]) -> BinaryIO:
    """All of a stream, read before the lock is taken: its sender wants the lock too, in `send | receive`."""
    try:
        _, operands = options(args, _RECEIVE)
    except Usage:
        operands = []
    if len(operands) != 1:  # receive will not look at it
        return stdin
    whole = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - lives as long as the command
    while block := stdin.read(1 << 20):
        whole.write(block)
    whole.seek(0)
    return cast(BinaryIO, whole)


def receive(job: Job, args: list[str]) -> int:
    from zonemgr.lab.zfs import proplist

    found, operands = options(args, _RECEIVE, missing="missing argument for '{}' option")
    given = flags(found)
    for letter in sorted(given & {"s", "A"}):
        raise not_emulated(f"zfs receive -{letter}")
    if not operands:
        raise Usage("missing snapshot argument")
    if len(operands) > 1:
        raise Usage("too many arguments")
    target = operands[0]
    header = _header(job.call.stdin)
    run = _Receive(job, header, target, given)
    pairs = proplist.read([value for letter, value in found if letter == "o"])
    run.set = proplist.Checker(job, FS | VOL, f"cannot receive to '{target}'", zoned=False).check(pairs)
    run.skip = {value for letter, value in found if letter == "x"}
    job.valid(target, DATASET & ~MARK, "cannot receive")
    _unfold(job, run)
    if run.top is not None and "u" not in given:
        return _mount(job, run.top)
    return 0


def _unfold(job: Job, run: _Receive) -> None:
    """Each tree is unpacked beside before anything is done with it: a bad one changes nothing."""
    count = 0
    while item := _next(job.call.stdin):
        if not item.keys() >= _ITEM or not isinstance(item["bytes"], int):
            raise Refused("cannot receive: invalid backup stream")
        count += 1
        incoming = job.store.made(job.store.root / "roll" / f"received.{count}")
        job.store.purge(incoming)
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=str(job.world.store)) as tree:
            _copy_bytes(job.call.stdin, tree, item["bytes"])
            tree.seek(0)
            if item["type"] == "filesystem":
                unpack(cast(BinaryIO, tree), incoming)
        run.one(item, incoming)


def _header(stdin: BinaryIO) -> Json:
    if stdin.readline(len(MAGIC) + 1) != MAGIC:
        raise Refused("cannot receive: failed to read from stream")
    header = _next(stdin)
    if header is None or not {"package", "top"} <= header.keys():
        raise Refused("cannot receive: invalid backup stream")
    return header


def _next(stdin: BinaryIO) -> Json | None:
    line = stdin.readline()
    if not line.strip(b"\0"):  # the end; what pads a file that holds a stream is not read any more
        return None
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused("cannot receive: invalid backup stream")
    return found


def _copy_bytes(stdin: BinaryIO, target: Any, count: int) -> None:
    while count:
        block = stdin.read(min(count, 1 << 20))
        if not block:
            raise Refused("cannot receive: failed to read from stream")
        target.write(block)
        count -= len(block)


def _mount(job: Job, top: str) -> int:
    from zonemgr.lab.zfs.mounting import ChangeList

    ds = job.cat.get(top)
    if ds is None or ds.type != "filesystem":
        return 0
    changes = ChangeList(job, ds, "mountpoint")
    for node in changes.nodes:
        node.mounted = True
    return 0 if changes.postfix(remove=False) else 1
