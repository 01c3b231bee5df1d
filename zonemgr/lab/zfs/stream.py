"""zfs send, and what it sends. The streams are the lab's own: they carry whole file trees, and only a lab reads them.

LABZFS1                                     the magic line
{"package": ..., "top": ..., "fs": {...}}   one JSON line: what kind of stream, properties if sent
{"name": ..., "guid": ..., "bytes": N}      per snapshot one JSON line, then N bytes of tar
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Iterator
from typing import Any

from zonemgr.lab.zfs import names, props
from zonemgr.lab.zfs.catalogue import Ds, file_system
from zonemgr.lab.zfs.job import Job
from zonemgr.lab.zfs.names import DATASET, FS, SNAP, VOL
from zonemgr.lab.zfs.store import Store
from zonemgr.lab.zfs.text import Refused, Usage, flags, nice, not_emulated, options

MAGIC = b"LABZFS1\n"
Json = dict[str, Any]
IN_MEMORY = 32 << 20
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
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=str(job.world.store)) as packed:
            if item["type"] == "filesystem":
                with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    tar.add(source, arcname=".")
            item["bytes"] = packed.tell()
            packed.seek(0)
            out.write(json.dumps(item).encode() + b"\n")
            while block := packed.read(1 << 20):
                out.write(block)
