"""zfs create, clone, snapshot, bookmark."""

from __future__ import annotations

from zonemgr.lab.zfs import mounting, names, proplist, props, space
from zonemgr.lab.zfs.catalogue import Ds, file_system
from zonemgr.lab.zfs.job import Job
from zonemgr.lab.zfs.names import DATASET, FS, SNAP, VOL
from zonemgr.lab.zfs.proplist import Pairs
from zonemgr.lab.zfs.store import copy
from zonemgr.lab.zfs.text import BadNumber, Refused, Usage, flags, options, parse_number

_QUOTAS = ("quota", "refquota", "reservation", "refreservation")
_BY_PARENT = ("utf8only", "normalization", "casesensitivity")  # fixed at creation, by default as the parent's


def check_parent(job: Job, name: str, *, ancestor: bool = False) -> Ds:
    """The file system a new dataset goes below; `ancestor`: the nearest there is will do."""
    doing = f"cannot create '{name}'"
    parent = names.parent_of(name)
    if parent is None:
        raise Refused(f"{doing}: missing dataset name")
    if job.cat.seen(names.pool_of(name)) is None:
        raise Refused(f"{doing}: no such pool '{names.pool_of(name)}'")
    found = job.cat.seen(parent)
    while found is None and ancestor:
        parent = names.parent_of(parent or "")
        found = job.cat.seen(parent or "")
    if found is None:
        raise Refused(f"{doing}: parent does not exist")
    if job.cat.view is not None and not job.cat.on(found, "zoned"):
        raise Refused(f"{doing}: permission denied")
    if found.type != "filesystem":
        raise Refused(f"{doing}: parent is not a filesystem")
    return found


def _check_depth(name: str) -> None:
    if names.depth(name) >= names.DEEPEST:
        raise Refused(f"cannot create '{name}': maximum name nesting depth exceeded")


def create_ancestors(job: Job, name: str) -> None:
    """Make and mount what is missing above; it stays when the rest fails."""
    _check_depth(name)
    nearest = check_parent(job, name, ancestor=True)
    todo = name[len(nearest.name) + 1 :].split("/")[:-1]
    at = nearest.name
    for part in todo:
        at = f"{at}/{part}"
        made = new_dataset(job, at, FS, {})
        if not mounting.mount(job, made):
            raise Refused(f"cannot create '{name}': failed to mount ancestor '{at}'")


def new_dataset(job: Job, name: str, type_: int, pairs: Pairs) -> Ds:
    """libzfs' create: everything but the mounting."""
    doing = f"cannot create '{name}'"
    job.valid(name, type_, "cannot create", making=True)
    _check_depth(name)
    parent = check_parent(job, name)
    if job.cat.get(name) is not None:
        raise Refused(f"{doing}: dataset already exists")
    ready = proplist.Checker(job, type_, doing, zoned=job.cat.on(parent, "zoned")).check(pairs)
    if type_ == VOL:
        _check_volume(ready, doing)
    proplist.refuse_too_long(ready)
    job.need_privilege(doing, parent.name)
    proplist.may_set(job, parent, ready, doing, below=True)
    _check_space(job, parent, ready, doing)
    ds = _add(job, name, "volume" if type_ == VOL else "filesystem", ready)
    if type_ == FS:
        _from_parent(job, ds, parent)
    return ds


def _check_volume(ready: Pairs, doing: str) -> None:
    size = int(ready.get("volsize", "0"))
    block = int(ready.get("volblocksize", props.TABLE["volblocksize"].default))
    if "volsize" not in ready:
        raise Refused(f"{doing}: missing volume size")
    if size == 0:
        raise Refused(f"{doing}: volume size cannot be zero")
    if size % block:
        raise Refused(f"{doing}: volume size must be a multiple of volume block size")


def _check_space(job: Job, parent: Ds, ready: Pairs, doing: str) -> None:
    asked = {name: int(ready[name]) for name in _QUOTAS if name in ready}
    if not asked:
        return
    left = space.Space(job.cat).available(parent)
    small = any(0 < asked.get(name, 0) < space.EMPTY for name in ("quota", "refquota"))
    greedy = max(asked.get("reservation", 0), asked.get("refreservation", 0))
    if small or greedy > left or 0 < asked.get("quota", 0) < greedy:
        raise Refused(f"{doing}: out of space")


def _add(job: Job, name: str, type_: str, ready: Pairs, origin: Ds | None = None) -> Ds:
    ds = job.cat.add(name, type_, origin=origin)
    for prop, value in ready.items():
        job.cat.set_local(ds, prop, value)
    if type_ == "filesystem" and origin is None:
        job.store.made(job.store.fs(ds.id)).mkdir(mode=0o755)
    return ds


def _from_parent(job: Job, ds: Ds, parent: Ds) -> None:
    for name in _BY_PARENT:
        value = job.cat.native(parent, name).text
        if value != props.TABLE[name].default and name not in job.cat.props(ds):
            job.cat.set_local(ds, name, value)


def auto_mount(job: Job, ds: Ds, failed: str) -> int:
    if ds.type != "filesystem" or job.cat.native(ds, "canmount").text != "on" or mounting.mount(job, ds):
        return 0
    job.err(failed)
    return 1


# -- create ------------------------------------------------------------------------------------------------


def create(job: Job, args: list[str]) -> int:
    pairs: Pairs = {}
    found, operands = options(args, "V:b:so:p", missing="missing size argument")
    for letter, value in found:
        if letter in "Vb":
            what, prop = (
                ("volume size", "volsize") if letter == "V" else ("volume block size", "volblocksize")
            )
            pairs[prop] = _size(what, value)
        elif letter == "o":
            proplist.add_pair(pairs, value)
    given = flags(found)
    type_ = VOL if "V" in given else FS
    if given & {"b", "s"} and type_ != VOL:
        raise Usage("'-s' and '-b' can only be used when creating a volume")
    if not operands:
        raise Usage(f"missing {'volume' if type_ == VOL else 'filesystem'} argument")
    if len(operands) > 1:
        raise Usage("too many arguments")
    return _create(job, operands[0], type_, pairs, parents="p" in given, sparse="s" in given)


def _size(what: str, value: str) -> str:
    try:
        return str(parse_number(value))
    except BadNumber as reason:
        raise Refused(f"bad {what} '{value}': {reason}") from None


def _create(job: Job, name: str, type_: int, pairs: Pairs, *, parents: bool, sparse: bool) -> int:
    if type_ == VOL and not sparse:
        _reserve(job, name, pairs)
    if parents and names.is_name(name, type_):
        if job.exists(name, type_):
            return 0
        create_ancestors(job, name)
    ds = new_dataset(job, name, type_, pairs)
    return auto_mount(job, ds, "filesystem successfully created, but not mounted")


def _reserve(job: Job, name: str, pairs: Pairs) -> None:
    """A volume that is not sparse gets a reservation for all it can ever need."""
    pool = name.partition("/")[0]
    open_pool(job, pool)
    checked = proplist.Checker(job, VOL, f"cannot create '{name}'", zoned=False).check(pairs)
    block = int(checked.get("volblocksize", props.TABLE["volblocksize"].default))
    whole = space.volume_reservation(int(checked["volsize"]), block, int(checked.get("copies", "1")))
    pairs.setdefault("refreservation", str(whole))


def open_pool(job: Job, name: str) -> None:
    try:
        names.check_pool(name)
    except names.BadName as reason:
        raise Refused(f"cannot open '{name}': {reason}") from None
    if name not in job.cat.pools():
        raise Refused(f"cannot open '{name}': no such pool")


# -- clone -------------------------------------------------------------------------------------------------


def clone(job: Job, args: list[str]) -> int:
    found, operands = options(args, "o:p")
    pairs = proplist.read([value for letter, value in found if letter == "o"])
    if not operands:
        raise Usage("missing source dataset argument")
    if len(operands) < 2:
        raise Usage("missing target dataset argument")
    if len(operands) > 2:
        raise Usage("too many arguments")
    source, target = operands
    snapshot = job.open(source, SNAP)
    if "p" in flags(found) and names.is_name(target, FS | VOL):
        if job.exists(target, FS | VOL):
            return 0
        create_ancestors(job, target)
    made = _clone(job, snapshot, target, pairs)
    return auto_mount(job, made, "clone successfully created, but not mounted")


def _clone(job: Job, snapshot: Ds, target: str, pairs: Pairs) -> Ds:
    doing = f"cannot create '{target}'"
    job.valid(target, FS, "cannot create", making=True)
    parent = check_parent(job, target)
    head = file_system(job.cat, snapshot)
    checker = proplist.Checker(job, head.bit, doing, zoned=job.cat.on(parent, "zoned"), ds=snapshot)
    ready = checker.check(pairs)
    proplist.refuse_too_long(ready)
    job.need_privilege(doing, snapshot.name, parent.name)
    proplist.may_set(job, parent, ready, doing, below=True)
    if names.pool_of(target) != names.pool_of(snapshot.name):
        raise Refused(f"{doing}: source and target pools differ")
    if job.cat.get(target) is not None:
        raise Refused(f"{doing}: dataset already exists")
    if names.depth(target) >= names.DEEPEST:
        raise Refused(f"{doing}: dataset name is too long")
    _fix_auto(job, head, ready)
    _check_space(job, parent, ready, doing)
    made = _add(job, target, head.type, ready, snapshot)
    _like_origin(job, made, head, snapshot)
    return made


def _fix_auto(job: Job, volume: Ds, ready: Pairs) -> None:
    if volume.type == "volume" and ready.get("refreservation") == props.TABLE["snapshot_limit"].default:
        ready["refreservation"] = str(full_reservation(job, volume))


def full_reservation(job: Job, volume: Ds, volsize: int | None = None) -> int:
    cat = job.cat
    size = cat.number(volume, "volsize") if volsize is None else volsize
    return space.volume_reservation(size, cat.number(volume, "volblocksize"), cat.number(volume, "copies"))


def _like_origin(job: Job, made: Ds, head: Ds, snapshot: Ds) -> None:
    fixed = ("volsize", "volblocksize") if head.type == "volume" else _BY_PARENT
    for name in fixed:
        if name in job.cat.props(head) and name not in job.cat.props(made):
            job.cat.set_local(made, name, job.cat.native(head, name).text)
    if head.type == "filesystem":
        copy(job.store.snap(snapshot.id), job.store.made(job.store.fs(made.id)), frozenset())


# -- snapshot ----------------------------------------------------------------------------------------------


def snapshot(job: Job, args: list[str]) -> int:
    found, operands = options(args, "ro:")
    pairs = proplist.read([value for letter, value in found if letter == "o"])
    if not operands:
        raise Usage("missing snapshot argument")
    recursive = "r" in flags(found)
    wanted = _wanted_snapshots(job, operands, recursive)
    try:
        _take(job, wanted, pairs)
    except Refused as reason:
        if reason.status < 0:
            raise
        job.report(reason)
        if recursive or len(operands) > 1:
            job.err("no snapshots were created")
        return 1
    return 0


def _wanted_snapshots(job: Job, operands: list[str], recursive: bool) -> list[str]:
    """The names to make, each once, in the order they were found."""
    wanted: dict[str, None] = {}
    for operand in operands:
        head, at, short = operand.partition("@")
        if not at:
            raise Usage
        try:
            ds = job.open(head, FS | VOL)
        except Refused as reason:
            raise Usage(reason.text) from None
        for each in job.cat.tree(ds) if recursive else (ds,):
            wanted[f"{each.name}@{short}"] = None
    return list(wanted)


def _take(job: Job, wanted: list[str], pairs: Pairs) -> None:
    """All or none; nothing is begun before everything is known to go."""
    for name in wanted:
        job.valid(name, SNAP, "cannot create snapshot", making=True)
    ready = proplist.Checker(job, SNAP, "cannot create snapshots ", zoned=False).check(pairs)
    proplist.refuse_too_long(ready)
    job.need_privilege("cannot create snapshots ", *(names.file_system_of(name) for name in wanted))
    heads = [names.file_system_of(name) for name in wanted]
    if len(set(heads)) < len(heads) or len({names.pool_of(head) for head in heads}) > 1:
        raise Refused("cannot create snapshots : multiple snapshots of same fs not allowed")
    taken = [name for name in wanted if job.cat.get(name) is not None]
    if taken:
        raise Refused("\n".join(f"cannot create snapshot '{name}': dataset already exists" for name in taken))
    for name in wanted:
        take_snapshot(job, name, ready)


def take_snapshot(job: Job, name: str, ready: Pairs) -> Ds:
    head = job.cat.get(names.file_system_of(name))
    assert head is not None
    snap = job.cat.add(name, "snapshot", refer=space.EMPTY)
    for prop, value in ready.items():
        job.cat.set_local(snap, prop, value)
    if head.type == "filesystem":
        source, holes = mounting.content(job.cat, job.store, head)
        snap.refer += copy(source, job.store.made(job.store.snap(snap.id)), holes)
        job.cat.update(snap)
    return snap


# -- bookmark ----------------------------------------------------------------------------------------------


def bookmark(job: Job, args: list[str]) -> int:
    _, operands = options(args, "")
    if not operands:
        raise Usage("missing snapshot argument")
    if len(operands) < 2:
        raise Usage("missing bookmark argument")
    source, mark = operands[:2]
    if "#" not in mark:
        raise Usage(f"invalid bookmark name '{mark}' -- must contain a '#'")
    if source.startswith("@"):
        source = mark.partition("#")[0] + source
    try:
        snap = job.open(source, SNAP)
    except Refused as reason:
        raise Usage(reason.text) from None
    _bookmark(job, snap, mark)
    return 0


def _bookmark(job: Job, snap: Ds, mark: str) -> None:
    doing = f"cannot create bookmark '{mark}'"
    head, _, short = mark.partition("#")
    if not names.is_name(head, FS | VOL) or not names.component_ok(short):
        raise Refused(f"{doing}: invalid argument")
    job.need_privilege(doing, snap.name)
    if names.pool_of(head) != names.pool_of(snap.name):
        raise Refused(f"{doing}: bookmark is in a different pool")
    if not job.exists(head, DATASET):
        raise Refused(f"{doing}: dataset does not exist")
    if head != names.file_system_of(snap.name):
        raise Refused(f"{doing}: invalid argument")
    if job.cat.get(mark) is not None:
        raise Refused(f"{doing}: bookmark exists")
    job.cat.add(mark, "bookmark", like=snap, refer=snap.refer)
