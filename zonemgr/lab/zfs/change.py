"""zfs set, inherit, rename, promote."""

from __future__ import annotations

from zonemgr.lab.zfs import make, names, proplist, props
from zonemgr.lab.zfs.catalogue import Ds, Prop, file_system
from zonemgr.lab.zfs.job import Job
from zonemgr.lab.zfs.mounting import ChangeList
from zonemgr.lab.zfs.names import DATASET, FS, SNAP, VOL
from zonemgr.lab.zfs.proplist import Pairs
from zonemgr.lab.zfs.show import Choice, choose
from zonemgr.lab.zfs.text import NONE_LIMIT, Refused, Usage, flags, options

ZONED_CHILD = "child dataset with inherited mountpoint is used in a non-global zone"
_CHECKED = ("quota", "refquota", "reservation", "refreservation")

# -- set ---------------------------------------------------------------------------------------------------


def set_(job: Job, args: list[str]) -> int:
    if args and args[0].startswith("-"):
        raise Usage(f"invalid option '{args[0][1:2]}'")
    if not args:
        raise Usage("missing arguments")
    if len(args) < 2:
        raise Usage("missing dataset name(s)" if "=" in args[0] else "missing property=value argument(s)")
    words = 0
    while words < len(args) and "=" in args[words]:
        words += 1
    if any("=" in word for word in args[words:]):
        raise Usage("invalid argument order")
    if words == len(args):
        raise Usage("missing dataset name(s)")
    pairs = proplist.read(args[:words], status=255)
    datasets, status = choose(job, args[words:], Choice(DATASET))
    for ds in datasets:
        status |= _set_one(job, ds, pairs)
    return status


def _set_one(job: Job, ds: Ds, pairs: Pairs) -> int:
    job.mount_failed = False
    try:
        done = set_list(job, ds, pairs)
    except Refused as reason:
        return job.report(reason)
    if not done and job.mount_failed:
        job.err("property may be set but unable to remount filesystem")
    return 0 if done else 1


def set_list(job: Job, ds: Ds, pairs: Pairs) -> bool:
    """All are checked before any is set; False when something went wrong and has been told."""
    doing = f"cannot set property for '{ds.name}'"
    zoned = ds.type == "filesystem" and job.cat.on(ds, "zoned")
    ready = proplist.Checker(job, ds.bit, doing, zoned=zoned, ds=ds).check(pairs)
    _reservations(job, ds, ready)
    lists: list[ChangeList] = []
    for prop, value in ready.items():
        changes = _change_list(job, ds, prop, value)
        if changes is None:
            continue
        if prop == "mountpoint" and changes.zoned_child:
            raise Refused(f"{doing}: {ZONED_CHILD}")
        if not changes.prefix():
            return False
        lists.append(changes)
    job.need_privilege(doing)
    if not _store(job, ds, ready, doing):
        return False
    mounted = [changes.postfix() for changes in lists]  # every one, even when one before it has failed
    return all(mounted)


def _change_list(job: Job, ds: Ds, prop: str, value: str) -> ChangeList | None:
    """canmount unmounts when it becomes `off`, and does nothing else."""
    if prop == "canmount" and (value != "off" or job.cat.mount(ds) is None):
        return None
    if ds.type not in ("filesystem", "volume") or ":" in prop:
        return None
    return ChangeList(job, ds, prop)


def _reservations(job: Job, ds: Ds, ready: Pairs) -> None:
    """A volume's reservation follows its size; `auto` is what the size asks for."""
    if ds.type != "volume":
        return
    size = int(ready["volsize"]) if "volsize" in ready else None
    auto = ready.get("refreservation") == str(NONE_LIMIT)
    whole = job.cat.number(ds, "refreservation") == make.full_reservation(job, ds)
    if auto or (size is not None and "refreservation" not in ready and whole):
        ready["refreservation"] = str(make.full_reservation(job, ds, size))


def _store(job: Job, ds: Ds, ready: Pairs, doing: str) -> bool:
    """The kernel sets what it can and reports the rest."""
    done = True
    for prop, value in ready.items():
        reason = proplist.forbidden(job, ds, prop)
        if prop in _CHECKED and not reason:
            reason = proplist.fits(job, ds, prop, int(value))
        if proplist.too_long({prop: value}):
            reason = "property value too long"
        if reason:
            job.err(f"{doing}: {reason}")
            done = False
        else:
            job.cat.set_local(ds, prop, value)
    return done


# -- inherit -----------------------------------------------------------------------------------------------


def inherit(job: Job, args: list[str]) -> int:
    found, operands = options(args, "rS")
    if not operands:
        raise Usage("missing property argument")
    if len(operands) < 2:
        raise Usage("missing dataset argument")
    name, received, recursive = operands[0], "S" in flags(found), "r" in flags(found)
    prop = _check_inherit(name, received)
    datasets, status = choose(job, operands[1:], Choice(DATASET, recursive=recursive))
    for ds in datasets:
        if recursive and prop is not None and not prop.types & ds.bit:
            continue
        try:
            status |= _inherit_one(job, ds, name, prop, received)
        except Refused as reason:
            status |= job.report(reason)
    return status


def _check_inherit(name: str, received: bool) -> props.Property | None:
    prop = props.find(name)
    if prop is None:
        if not props.is_user(name):
            raise Usage(f"invalid property '{name}'")
        return None
    if prop.readonly:
        raise Refused(f"{name} property is read-only")
    if not prop.inheritable and not received:
        lines = [f"'{name}' property cannot be inherited"]
        if prop.name in _CHECKED:
            lines.append(f"use 'zfs set {name}=none' to clear")
            lines.append(f"use 'zfs inherit -S {name}' to revert to received value")
        raise Refused("\n".join(lines))
    if received and prop.name in ("volsize", "version"):
        raise Refused(f"'{name}' property cannot be reverted to a received value")
    return prop


def _inherit_one(job: Job, ds: Ds, name: str, prop: props.Property | None, received: bool) -> int:
    doing = f"cannot inherit {name} for '{ds.name}'"
    if prop is None:
        job.need_privilege(doing, ds.name)
        _forget(job, ds, name, received)
        return 0
    if not prop.types & ds.bit:
        raise Refused(f"{doing}: property doesn't apply to datasets of this type")
    if prop.name == "mountpoint" and job.cat.view is None and job.cat.on(ds, "zoned"):
        raise Refused(f"{doing}: dataset is used in a non-global zone")
    changes = ChangeList(job, ds, prop.name) if ds.type == "filesystem" else None
    if changes is not None:
        if prop.name == "mountpoint" and changes.zoned_child:
            raise Refused(f"{doing}: {ZONED_CHILD}")
        if not changes.prefix():
            return 1
    reason = proplist.forbidden(job, ds, prop.name)
    if reason:
        raise Refused(f"{doing}: {reason}")
    job.need_privilege(doing)
    _forget(job, ds, prop.name, received)
    return 0 if changes is None or changes.postfix() else 1


def _forget(job: Job, ds: Ds, name: str, received: bool) -> None:
    """Without -S a received value is hidden, not lost."""
    before = job.cat.props(ds).get(name)
    if before is not None:
        hidden = before.received is not None and not received
        job.cat.put_prop(ds, name, Prop(None, before.received, hidden))


# -- rename ------------------------------------------------------------------------------------------------


def rename(job: Job, args: list[str]) -> int:
    found, operands = options(args, "prf")
    given = flags(found)
    if not operands:
        raise Usage("missing source dataset argument")
    if len(operands) < 2:
        raise Usage("missing target dataset argument")
    if len(operands) > 2:
        raise Usage("too many arguments")
    source, target = operands
    if given >= {"r", "p"}:
        raise Usage("-p and -r options are mutually exclusive")
    if "r" in given and "@" not in source:
        raise Usage("source dataset for recursive rename must be a snapshot")
    ds = job.open(source, FS | VOL if "p" in given else DATASET)
    if "p" in given and names.is_name(target, ds.bit):
        make.create_ancestors(job, target)
    if ds.name == target:
        return 0
    if ds.type == "snapshot":
        return _rename_snapshot(job, ds, target, recursive="r" in given)
    return _rename(job, ds, target, force="f" in given)


def _rename_snapshot(job: Job, snap: Ds, target: str, *, recursive: bool) -> int:
    head = file_system(job.cat, snap).name
    if "@" not in target or target.startswith("@"):
        target = f"{head}@{target.removeprefix('@')}"
    elif target.partition("@")[0] != head:
        raise Refused(f"cannot rename to '{target}': snapshots must be part of same dataset")
    job.valid(target, SNAP, "cannot rename to", making=True)
    job.need_privilege(f"cannot rename '{snap.name}'", snap.name, head)
    old, new = snap.name.partition("@")[2], target.partition("@")[2]
    heads = job.cat.tree(file_system(job.cat, snap)) if recursive else iter([file_system(job.cat, snap)])
    moves = [(f"{ds.name}@{old}", f"{ds.name}@{new}") for ds in heads]
    moves = [(before, after) for before, after in moves if job.cat.get(before) is not None]
    _check_snapshot_moves(job, moves, recursive)
    for before, after in moves:
        job.cat.rename(before, after)
    return 0


def _check_snapshot_moves(job: Job, moves: list[tuple[str, str]], recursive: bool) -> None:
    for before, after in moves:
        if job.cat.get(after) is not None:
            why = "a child dataset already has a snapshot with the new name"
            raise Refused(f"cannot rename '{before}': {why if recursive else 'dataset already exists'}")
        if len(after) >= names.LONGEST:
            raise Refused(f"cannot rename '{before}': dataset name is too long")


def _rename(job: Job, ds: Ds, target: str, *, force: bool) -> int:
    to = f"cannot rename to '{target}'"
    job.valid(target, ds.bit, "cannot rename to", making=True)
    make.check_parent(job, target)
    if names.pool_of(target) != names.pool_of(ds.name):
        raise Refused(f"{to}: datasets must be within same pool")
    if target.startswith(ds.name + "/"):
        raise Refused(f"{to}: New dataset name cannot be a descendant of current dataset name")
    doing = f"cannot rename '{ds.name}'"
    if ds.type == "filesystem" and job.cat.view is None and job.cat.on(ds, "zoned"):
        raise Refused(f"{doing}: dataset is used in a non-global zone")
    changes = ChangeList(job, ds, "name", force=force)
    if changes.zoned_child:
        raise Refused(f"{doing}: {ZONED_CHILD}")
    if not changes.prefix():
        return 1
    reason = _kernel_rename(job, ds, target)
    if reason:
        job.err(f"{doing}: {reason}")
        changes.postfix()
        return 1
    changes.renamed(target)
    return 0 if changes.postfix(remove=False) else 1


def _kernel_rename(job: Job, ds: Ds, target: str) -> str:
    reason = job.forbidden(ds.name) or job.forbidden(names.parent_of(target) or target)
    if reason or not job.allowed:
        return reason or "permission denied"
    if job.cat.get(target) is not None:
        return "dataset already exists"
    old, longer, deeper = ds.name, len(target) - len(ds.name), names.depth(target) - names.depth(ds.name)
    for each in job.cat.under(old):
        if len(each.name) + longer >= names.LONGEST or names.depth(each.name) + deeper >= names.DEEPEST:
            return "dataset name is too long"
    job.cat.rename(old, target)
    return ""


# -- promote -----------------------------------------------------------------------------------------------


def promote(job: Job, args: list[str]) -> int:
    if args and args[0].startswith("-"):
        raise Usage(f"invalid option '{args[0][1:2]}'")
    if not args:
        raise Usage("missing clone filesystem argument")
    if len(args) > 1:
        raise Usage("too many arguments")
    clone = job.open(args[0], FS | VOL)
    doing = f"cannot promote '{clone.name}'"
    origin = job.cat.origin(clone)
    if origin is None:
        raise Refused(f"{doing}: not a cloned filesystem")
    job.need_privilege(doing, clone.name, origin.name)
    _promote(job, clone, origin, doing)
    return 0


def _promote(job: Job, clone: Ds, origin: Ds, doing: str) -> None:
    """The origin and all older snapshots move to the clone, with holds, clones and properties."""
    parent = file_system(job.cat, origin)
    moving = [snap for snap in job.cat.snapshots(parent) if snap.txg <= origin.txg]
    for snap in reversed(moving):
        short = snap.name.partition("@")[2]
        if job.cat.get(f"{clone.name}@{short}") is not None:
            raise Refused(f"{doing}: conflicting snapshot '{short}' from parent '{origin.name}'")
        if len(clone.name) + 1 + len(short) >= names.LONGEST:
            raise Refused(f"{doing}: dataset name is too long")
    if not _room(job, clone, parent, origin.refer):
        raise Refused(f"{doing}: out of space")
    for snap in moving:
        job.cat.rename(snap.name, f"{clone.name}@{snap.name.partition('@')[2]}")
    clone.origin, parent.origin = parent.origin, origin.id
    job.cat.update(clone)
    job.cat.update(parent)


def _room(job: Job, clone: Ds, parent: Ds, moved: int) -> bool:
    """Quotas that count the snapshots now and did not before must have room for them."""
    from zonemgr.lab.zfs.space import Space

    sizes = Space(job.cat)
    here: Ds | None = clone
    while here is not None and not (parent.name + "/").startswith(here.name + "/"):
        quota = job.cat.number(here, "quota") if here.type == "filesystem" else 0
        if quota and sizes.used(here) + moved > quota:
            return False
        here = job.cat.parent(here)
    return True
