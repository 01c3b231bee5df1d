"""zfs hold, release, holds."""

from __future__ import annotations

from collections.abc import Iterator

from zonemgr.lab.zfs.catalogue import Ds
from zonemgr.lab.zfs.destroying import last_user_gone
from zonemgr.lab.zfs.job import Job
from zonemgr.lab.zfs.names import FS, SNAP, VOL
from zonemgr.lab.zfs.text import Refused, Usage, flags, options
from zonemgr.lab.zfs.values import date

LONGEST_TAG = 255


def _same_named(job: Job, head: Ds, short: str, recursive: bool) -> Iterator[Ds]:
    for ds in job.cat.tree(head) if recursive else (head,):
        snap = job.cat.get(f"{ds.name}@{short}")
        if snap is not None:
            yield snap


def hold(job: Job, args: list[str]) -> int:
    found, operands = options(args, "rt")
    if len(operands) < 2:
        raise Usage
    if operands[0].startswith("."):
        raise Usage("tag may not start with '.'")
    return _each(job, operands, recursive="r" in flags(found), action=_hold)


def release(job: Job, args: list[str]) -> int:
    found, operands = options(args, "r")
    if len(operands) < 2:
        raise Usage
    return _each(job, operands, recursive="r" in flags(found), action=_release)


def _each(job: Job, operands: list[str], *, recursive: bool, action: object) -> int:
    """Each operand by itself: what cannot be done does not keep the others."""
    assert callable(action)
    status, tag = 0, operands[0]
    for operand in operands[1:]:
        try:
            head, at, short = operand.partition("@")
            if not at:
                raise Refused(f"'{operand}' is not a snapshot")
            action(job, job.open(head, FS | VOL), short, tag, recursive)
        except Refused as reason:
            job.report(reason)
            status = 1
    return status


def _hold(job: Job, head: Ds, short: str, tag: str, recursive: bool) -> None:
    snaps = list(_same_named(job, head, short, recursive))
    if not snaps:
        raise Refused(f"cannot hold snapshot '{head.name}@{short}': dataset does not exist")
    job.need_privilege("cannot hold", head.name)
    wrong = [line for snap in snaps if (line := _cannot_hold(job, snap, tag))]
    if wrong:
        raise Refused("\n".join(wrong))
    for snap in snaps:
        job.cat.db.execute("insert into zfs_holds values (?, ?, ?)", (snap.id, tag, job.world.now()))


def _cannot_hold(job: Job, snap: Ds, tag: str) -> str:
    doing = f"cannot hold snapshot '{snap.name}'"
    if not tag:
        return f"{doing}: operation not applicable to datasets of this type"
    if len(tag.encode("utf-8", "surrogateescape")) > LONGEST_TAG:
        return f"{doing}: tag too long"
    if any(tag == each for each, _ in job.cat.holds(snap)):
        return f"{doing}: tag already exists on this dataset"
    return ""


def _release(job: Job, head: Ds, short: str, tag: str, recursive: bool) -> None:
    doing = f"cannot release hold from snapshot '{head.name}@{short}'"
    snaps = list(_same_named(job, head, short, recursive))
    held = [snap for snap in snaps if any(tag == each for each, _ in job.cat.holds(snap))]
    if not held:
        missing = not snaps or snaps[-1].name.partition("@")[0] != _last(job, head, recursive).name
        raise Refused(f"{doing}: {'dataset does not exist' if missing else 'no such tag on this dataset'}")
    job.need_privilege("cannot release", head.name)
    for snap in held:
        job.cat.db.execute("delete from zfs_holds where ds = ? and tag = ?", (snap.id, tag))
        last_user_gone(job, snap)


def _last(job: Job, head: Ds, recursive: bool) -> Ds:
    """libzfs reports what it met last: the dataset it visited last decides about the reason."""
    return list(job.cat.tree(head))[-1] if recursive else head


def holds(job: Job, args: list[str]) -> int:
    found, operands = options(args, "rH")
    if not operands:
        raise Usage
    recursive, status = "r" in flags(found), 0
    snaps: dict[int, Ds] = {}
    for operand in operands:
        try:
            snaps |= {snap.id: snap for snap in _asked(job, operand, recursive)}
        except Refused as reason:
            job.report(reason)
            status = 1
    _print_holds(job, list(snaps.values()), scripted="H" in flags(found))
    return status


def _asked(job: Job, operand: str, recursive: bool) -> list[Ds]:
    head, at, short = operand.partition("@")
    if not at:
        raise Refused(f"'{operand}' is not a snapshot")
    if not recursive:
        return [job.open(operand, SNAP)]
    return list(_same_named(job, job.open(head, FS | VOL), short, True))


def _print_holds(job: Job, snaps: list[Ds], *, scripted: bool) -> None:
    rows = [(snap.name, tag, date(at)) for snap in snaps for tag, at in job.cat.holds(snap)]
    name_width = max((len(snap.name) for snap in snaps), default=0)
    tag_width = max((len(tag) for _, tag, _ in rows), default=0)
    if not scripted:
        rows.insert(0, ("NAME", "TAG", "TIMESTAMP"))
    for name, tag, when in rows:
        if scripted:
            job.out(f"{name}\t{tag}\t{when}")
        else:
            job.out(f"{name.ljust(name_width)}  {tag.ljust(tag_width)}  {when}")
