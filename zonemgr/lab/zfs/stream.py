"""zfs send and receive. The streams are the lab's own: they carry whole file trees, and only a lab reads them.

LABZFS1                                     the magic line
{"package": ..., "top": ..., "fs": {...}}   one JSON line: what kind of stream, properties if sent
{"name": ..., "guid": ..., "bytes": N}      per snapshot one JSON line, then N bytes of tar
"""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from zonemgr.lab.zfs import names, props
from zonemgr.lab.zfs.catalogue import Ds, file_system
from zonemgr.lab.zfs.job import Job
from zonemgr.lab.zfs.names import DATASET, FS, MARK, SNAP, VOL
from zonemgr.lab.zfs.store import Store
from zonemgr.lab.zfs.text import Refused, Usage, flags, nice, not_emulated, options

MAGIC = b"LABZFS1\n"
Json = dict[str, Any]
_IN_MEMORY = 32 << 20
_RECEIVE = "o:x:dehnuvFsA"
_ITEM = {"name", "type", "guid", "from", "clone", "props", "size", "fixed", "bytes"}
_LONG = {
    **{"--replicate": "-R", "--props": "-p", "--parsable": "-P", "--dedup": "-D", "--verbose": "-v"},
    **{"--dryrun": "-n", "--large-block": "-L", "--embed": "-e", "--resume": "-t", "--compressed": "-c"},
    **{"--raw": "-w", "--backup": "-b", "--holds": "-h"},
}

# -- send --------------------------------------------------------------------------------------------------


def send(job: Job, args: list[str]) -> int:
    words = [_LONG.get(word, word) for word in args]
    found, operands = options(words, "i:I:RDpvnPLeht:cwb", missing="missing argument for '{}' option")
    given = flags(found)
    for letter in sorted(given & set("twbh")):
        raise not_emulated(f"zfs send -{letter}")
    sources = [value for letter, value in found if letter in "iI"]
    if len(sources) > 1:
        raise Usage
    if not operands:
        raise Usage("missing snapshot argument")
    if len(operands) > 1:
        raise Usage("too many arguments")
    target, source = operands[0], sources[0] if sources else None
    if "@" not in target or (source is not None and "#" in source):
        return _send_one(job, target, source, given)
    return _send(job, target, source, given)


def _send_one(job: Job, target: str, source: str | None, given: set[str]) -> int:
    """A file system as it is, or from a bookmark: no package, no properties."""
    if given & set("RIpDnvP"):
        raise Refused("Error: Unsupported flag with filesystem or bookmark.")
    snap = job.open(target, DATASET)
    doing = f"warning: cannot send '{snap.name}'"
    if snap.type != "snapshot":
        if job.cat.mount(snap) is not None:
            raise Refused(f"{doing}: target is busy; if a filesystem, it must not be mounted")
        raise not_emulated("sending a file system without a snapshot")
    if source is not None and source[:1] in "#@":
        source = names.file_system_of(target) + source
    base = None if source is None else job.cat.get(source)
    if source is not None and base is None:
        raise Refused(f"{doing}: incremental source ({source}) does not exist")
    job.need_privilege(doing)
    _write(job, [_item(job, snap, _earlier(job, base, snap, doing))], {"package": False, "top": _head(snap)})
    return 0


def _earlier(job: Job, base: Ds | None, snap: Ds, doing: str) -> Ds | None:
    if base is None:
        return None
    origin = job.cat.origin(file_system(job.cat, snap))
    same = _head(base) == _head(snap) and base.txg < snap.txg
    if not same and (origin is None or origin is not base):
        raise Refused(f"{doing}: not an earlier snapshot from the same fs")
    return base


def _head(ds: Ds) -> str:
    return names.file_system_of(ds.name)


def _send(job: Job, target: str, source: str | None, given: set[str]) -> int:
    head, _, short = target.partition("@")
    top = (
        file_system(job.cat, job.open(target, SNAP))
        if job.cat.get(head) is None
        else job.open(head, FS | VOL)
    )
    if "R" in given and source is not None:
        raise not_emulated("zfs send -R with an incremental source")
    base = _base(job, top, source)
    snap = job.open(target, SNAP)
    job.need_privilege(f"warning: cannot send '{target}'")
    heads = list(job.cat.tree(top)) if "R" in given else [top]
    items: list[Json] = []
    for ds in heads:
        last = job.cat.get(f"{ds.name}@{short}")
        if last is not None:
            items += _items(job, ds, last, base, everything=bool(given & {"R", "I"}))
    package = bool(given & set("RpI"))
    header: Json = {"package": package, "top": top.name}
    if given & {"R", "p"}:
        header["fs"] = {ds.name: _sent_props(job, ds) for ds in heads}
    _earlier(job, base, snap, f"warning: cannot send '{target}'")
    _tell(job, items, given)
    if "n" not in given:
        _write(job, items, header)
    return 0


def _base(job: Job, top: Ds, source: str | None) -> Ds | None:
    if source is None:
        return None
    origin = job.cat.origin(top)
    if origin is not None and origin.name == source:
        return origin
    head, at, short = source.rpartition("@")
    if at and head and head != top.name:
        raise Usage("incremental source must be in same filesystem")
    if not short:
        raise Refused(f"cannot send '{top.name}': zero-length incremental source")
    if "/" in short:
        raise Usage("invalid incremental source")
    return job.open(f"{top.name}@{short}", SNAP)


def _items(job: Job, ds: Ds, last: Ds, base: Ds | None, *, everything: bool) -> list[Json]:
    """The snapshots to send of one dataset: the last, or with -R and -I all up to it after the base."""
    after = -1 if base is None or _head(base) != ds.name else base.txg
    chosen = (
        [snap for snap in job.cat.snapshots(ds) if after < snap.txg <= last.txg] if everything else [last]
    )
    found, before = [], base
    for snap in chosen:
        found.append(_item(job, snap, before))
        before = snap
    return found


def _item(job: Job, snap: Ds, base: Ds | None) -> Json:
    head = file_system(job.cat, snap)
    item: Json = {
        "name": snap.name,
        "type": head.type,
        "id": snap.id,
        "guid": snap.guid,
        "created": snap.created,
    }
    item["from"] = None if base is None else base.guid
    item["clone"] = base is not None and _head(base) != head.name
    item["props"] = dict(_own(job, snap))
    item["size"] = snap.refer
    item["fixed"] = {
        name: value
        for name, value in _own(job, head)
        if name in ("volsize", "volblocksize", "utf8only", "normalization", "casesensitivity")
    }
    return item


def _own(job: Job, ds: Ds) -> Iterator[tuple[str, str]]:
    """The values a dataset has itself: set, or received and not hidden."""
    for name, prop in sorted(job.cat.props(ds).items()):
        if prop.local is not None:
            yield name, prop.local
        elif prop.received is not None and not prop.hidden:
            yield name, prop.received


def _sent_props(job: Job, ds: Ds) -> dict[str, str]:
    readonly = {name for name, prop in props.TABLE.items() if prop.readonly or name in ("volsize", "version")}
    return {name: value for name, value in _own(job, ds) if name not in readonly}


def _tell(job: Job, items: list[Json], given: set[str]) -> None:
    if not given & {"v", "P"}:
        return
    total = 0
    for item in items:
        total += item["size"]
        kind = "incremental" if item["from"] else "full"
        line = f"{kind}\t{item['name']}\t{item['size']}" if "P" in given else f"{kind} send of {item['name']}"
        job.err(line if "P" in given else f"{line} estimated size is {nice(item['size'])}")
    job.err(f"size\t{total}" if "P" in given else f"total estimated size is {nice(total)}")


def _write(job: Job, items: list[Json], header: Json) -> None:
    out, store = job.call.stdout, Store(job.world)
    out.write(MAGIC + json.dumps(header).encode() + b"\n")
    for item in items:
        source = store.snap(item.pop("id"))
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(job.world.store)) as packed:
            if item["type"] == "filesystem":
                with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    tar.add(source, arcname=".")
            item["bytes"] = packed.tell()
            packed.seek(0)
            out.write(json.dumps(item).encode() + b"\n")
            while block := packed.read(1 << 20):
                out.write(block)


# -- receive -----------------------------------------------------------------------------------------------


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
    whole = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - lives as long as the command
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
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(job.world.store)) as tree:
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
    if not line:
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
