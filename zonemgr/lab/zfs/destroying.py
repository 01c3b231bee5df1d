"""zfs destroy and rollback."""

from __future__ import annotations

from dataclasses import dataclass

from zonemgr.lab.zfs import busy, mounting
from zonemgr.lab.zfs.catalogue import Ds, file_system
from zonemgr.lab.zfs.job import Job
from zonemgr.lab.zfs.mounting import ChangeList, dependents
from zonemgr.lab.zfs.names import DATASET, FS, SNAP, VOL
from zonemgr.lab.zfs.space import Space
from zonemgr.lab.zfs.text import Refused, Usage, flags, nice, not_emulated, options

# -- what the kernel does ------------------------------------------------------------------------------------


def destroy_snapshots(job: Job, snaps: list[Ds], *, defer: bool) -> bool:
    """All or none. With `defer` a held or cloned one stays, marked, until its last user goes."""
    snaps = [snap for snap in snaps if job.cat.get(snap.name) is snap]
    if not snaps:
        return True
    reason = next((why for snap in snaps if (why := job.forbidden(snap.name))), "")
    if reason or not job.allowed:
        job.err(f"cannot destroy snapshots: {reason or 'permission denied'}")
        return False
    wrong = [] if defer else [line for snap in snaps if (line := _in_use(job, snap))]
    for line in wrong:
        job.err(line)
    if wrong:
        return False
    for snap in snaps:
        if job.cat.holds(snap) or job.cat.clones(snap):
            snap.defer = True
            job.cat.update(snap)
        else:
            _drop(job, snap)
    return True


def _in_use(job: Job, snap: Ds) -> str:
    if job.cat.holds(snap):
        return f"cannot destroy snapshot {snap.name}: dataset is busy"
    if job.cat.clones(snap):
        return f"cannot destroy snapshot {snap.name}: snapshot is cloned"
    return ""


def _drop(job: Job, ds: Ds) -> None:
    origin = job.cat.origin(ds)
    job.cat.delete(ds)
    if ds.type == "filesystem":
        job.store.purge(job.store.fs(ds.id))
        job.store.purge(job.store.under(ds.id))
    elif ds.type == "snapshot":
        job.store.purge(job.store.snap(ds.id))
    if origin is not None:
        last_user_gone(job, origin)


def last_user_gone(job: Job, snap: Ds) -> None:
    """A snapshot marked for destruction goes with its last hold or clone."""
    if snap.defer and not job.cat.holds(snap) and not job.cat.clones(snap):
        _drop(job, snap)


def _destroy_dataset(job: Job, ds: Ds) -> bool:
    """A file system or volume that is not mounted any more."""
    doing = f"cannot destroy '{ds.name}'"
    mountpoint = job.cat.mountpoint(ds) if ds.type == "filesystem" else None
    can = mounting.mountable(job.cat, ds)
    reason = job.forbidden(ds.name)
    if reason or not job.allowed:
        job.err(f"{doing}: {reason or 'permission denied'}")
    elif job.cat.children(ds):
        job.err(f"{doing}: dataset already exists")  # what libzfs makes of that errno
    elif job.cat.snapshots(ds) or _given_away(job, ds):
        job.err(f"{doing}: dataset is busy")
    else:
        for mark in job.cat.bookmarks(ds):
            job.cat.delete(mark)
        _drop(job, ds)
        if mountpoint is not None:
            mounting.remove_mountpoint(job, mountpoint, can)
        return True
    return False


def _given_away(job: Job, ds: Ds) -> bool:
    """Has an active zone this dataset? In the zone itself all but the top of what it was given may go."""
    view = job.cat.view
    return busy.delegated(job.world, ds.name) if view is None else ds.name in view.given


# -- destroy -----------------------------------------------------------------------------------------------


@dataclass
class _Destroy:
    """One run of the command: its options, and the snapshots waiting to go together."""

    job: Job
    given: set[str]
    batch: list[Ds]

    def has(self, letter: str) -> bool:
        return letter in self.given

    @property
    def recursive(self) -> bool:
        return bool(self.given & {"r", "R"})

    @property
    def verbose(self) -> bool:
        return bool(self.given & {"v", "p"})

    def tell(self, ds: Ds) -> None:
        if self.verbose:
            word = "destroy\t" if self.has("p") else "would destroy " if self.has("n") else "will destroy "
            self.job.out(word + ds.name)

    def flush(self, *, defer: bool = False) -> bool:
        waiting, self.batch = self.batch, []
        return destroy_snapshots(self.job, waiting, defer=defer)

    def one(self, ds: Ds) -> bool:
        """Snapshots are collected and go together before the next file system does."""
        self.tell(ds)
        if self.has("n") or ("/" not in ds.name and ds.type == "filesystem"):
            return True
        if ds.type == "snapshot":
            self.batch.append(ds)
            return True
        return (
            self.flush()
            and mounting.unmount(self.job, ds, force=self.has("f"))
            and _destroy_dataset(self.job, ds)
        )

    def all_of(self, root: Ds) -> bool:
        """Everything that depends on this; stops at the first that does not go."""
        return all(self.one(ds) for ds in dependents(self.job.cat, root, loops=False))


def destroy(job: Job, args: list[str]) -> int:
    found, operands = options(args, "vpndfrR")
    if not operands:
        raise Usage("missing dataset argument")
    if len(operands) > 1:
        raise Usage("too many arguments")
    run, target = _Destroy(job, flags(found), []), operands[0]
    if "@" in target:
        return _destroy_snapspec(run, target)
    if "#" in target:
        return _destroy_bookmark(run, target)
    return _destroy_tree(run, job.open(target, SNAP if run.has("d") else DATASET))


def _destroy_tree(run: _Destroy, ds: Ds) -> int:
    job = run.job
    if not run.recursive and "/" not in ds.name and ds.type == "filesystem":
        raise Refused(
            f"cannot destroy '{ds.name}': operation does not apply to pools\n"
            f"use 'zfs destroy -r {ds.name}' to destroy all datasets in the pool\n"
            f"use 'zpool destroy {ds.name}' to destroy the pool itself"
        )
    if not run.has("R") and not _check_dependents(job, ds, recursive=run.recursive):
        return 1
    done = run.all_of(ds) and run.one(ds) and run.flush(defer=run.has("d"))
    return 0 if done else 1


def _check_dependents(job: Job, ds: Ds, *, recursive: bool) -> bool:
    """Tell what stands in the way: what is below without -r, what was cloned elsewhere without -R."""
    inside: list[str] = []
    clones: list[str] = []
    for each in dependents(job.cat, ds):
        below = each.name.startswith((ds.name + "/", ds.name + "@"))
        (inside if below else clones).append(each.name)
    if not recursive and ds.type != "snapshot":
        return _in_the_way(job, ds, "has children", "-r", inside)
    return _in_the_way(job, ds, "has dependent clones", "-R", clones)


def _in_the_way(job: Job, ds: Ds, what: str, option: str, listed: list[str]) -> bool:
    if listed:
        job.err(f"cannot destroy '{ds.name}': {ds.type} {what}")
        job.err(f"use '{option}' to destroy the following datasets:")
        for name in listed:
            job.err(name)
    return not listed


def _destroy_bookmark(run: _Destroy, target: str) -> int:
    for letters, what in (("n", "dryrun"), ("d", "defer destroy"), ("rR", "recursive")):
        if run.given & set(letters):
            raise Refused(f"{what} is not supported with bookmark", 255)
    mark = run.job.cat.seen(target)
    if mark is None:
        raise Refused(f"bookmark '{target}' does not exist.")
    run.job.need_privilege("cannot destroy bookmark", mark.name)
    run.job.cat.delete(mark)
    return 0


# -- destroy of snapshots: ds@a,b%c --------------------------------------------------------------------------


def _destroy_snapspec(run: _Destroy, target: str) -> int:
    job = run.job
    head, _, spec = target.partition("@")
    root = job.open(head, FS | VOL)
    wanted, refused = _gather(run, root, spec)
    if refused:
        return 1
    if not wanted:
        raise Refused("could not find any snapshots to destroy; check snapshot names.")
    if run.verbose:
        _tell_reclaim(run, wanted)
    if run.has("n"):
        return 0
    if run.has("R") and not (all(run.all_of(snap) for snap in wanted) and run.flush()):
        return 1
    return 0 if destroy_snapshots(job, wanted, defer=run.has("d")) else 1


def _gather(run: _Destroy, root: Ds, spec: str) -> tuple[list[Ds], bool]:
    """The snapshots meant, and whether clones forbid it."""
    wanted: dict[int, Ds] = {}
    refused = False
    for head in list(run.job.cat.tree(root)) if run.recursive else [root]:
        mine = {snap.id: snap for snap in _matching(run.job, head, spec)}
        if not run.given & {"R", "d"}:
            for snap in mine.values():
                refused |= not _check_dependents(run.job, snap, recursive=run.recursive)
        if run.verbose:
            for snap in sorted(mine.values(), key=lambda each: (each.txg, each.id)):
                run.tell(snap)
        wanted |= mine
    return list(wanted.values()), refused


def _matching(job: Job, head: Ds, spec: str) -> list[Ds]:
    there = job.cat.snapshots(head)
    by_name = {snap.name.partition("@")[2]: at for at, snap in enumerate(there)}
    found: list[Ds] = []
    for part in spec.split(","):
        first, percent, last = part.partition("%")
        if not percent:
            found += [there[by_name[part]]] if part in by_name else []
        elif (first in by_name or not first) and (last in by_name or not last):
            low, high = by_name.get(first, 0), by_name.get(last, len(there) - 1)
            found += there[low : high + 1]
    return found


def _tell_reclaim(run: _Destroy, wanted: list[Ds]) -> None:
    sizes = Space(run.job.cat)
    freed = sum(sizes.unique(snap) for snap in wanted)
    if run.has("p"):
        run.job.out(f"reclaim\t{freed}")
    else:
        run.job.out(f"{'would' if run.has('n') else 'will'} reclaim {nice(freed)}")


# -- rollback ----------------------------------------------------------------------------------------------


def rollback(job: Job, args: list[str]) -> int:
    found, operands = options(args, "rRf")
    given = flags(found)
    if not operands:
        raise Usage("missing dataset argument")
    if len(operands) > 1:
        raise Usage("too many arguments")
    snap = job.open(operands[0], SNAP)
    ds = file_system(job.cat, snap)
    newer = [each for each in job.cat.snapshots(ds) if each.txg > snap.txg]
    marks = [mark for mark in job.cat.bookmarks(ds) if mark.txg > snap.txg]
    if "R" not in given:
        _check_newer(job, snap, newer, marks, recursive="r" in given)
    if not _destroy_newer(job, newer, marks, force="f" in given):
        return 1
    job.need_privilege(f"cannot rollback '{ds.name}'", ds.name)
    if ds.type == "filesystem":
        put_back(job, ds, snap)
    return 0


def _check_newer(job: Job, snap: Ds, newer: list[Ds], marks: list[Ds], *, recursive: bool) -> None:
    if not recursive:
        what, option = "more recent snapshots or bookmarks exist", "-r"
        kind, listed = "snapshots and bookmarks", [each.name for each in (*newer, *marks)]
    else:
        what, option = "clones of previous snapshots exist", "-R"
        kind = "clones and dependents"
        listed = [each.name for snapshot in newer for each in dependents(job.cat, snapshot)]
    if listed:
        head = f"cannot rollback to '{snap.name}': {what}\nuse '{option}' to force deletion of the following {kind}:"
        raise Refused("\n".join([head, *listed]))


def _destroy_newer(job: Job, newer: list[Ds], marks: list[Ds], *, force: bool) -> bool:
    done = True
    for snap in newer:
        for each in dependents(job.cat, snap, loops=False):
            done = _destroy_dependent(job, each, force) and done
        done = _destroy_one(job, snap) and done
    for mark in marks:
        job.need_privilege(f"cannot destroy '{mark.name}'", mark.name)
        job.cat.delete(mark)
    return done


def _destroy_dependent(job: Job, ds: Ds, force: bool) -> bool:
    """A clone, or what is below one: it and what hangs from its mount point is unmounted first."""
    if ds.type == "snapshot":
        return _destroy_one(job, ds)
    changes = ChangeList(job, ds, "name", force=force)
    if not changes.prefix():
        return False
    done = _destroy_dataset(job, ds)
    changes.postfix(remove=False)
    return done


def _destroy_one(job: Job, snap: Ds) -> bool:
    doing = f"cannot destroy '{snap.name}'"
    reason = job.forbidden(snap.name)
    if reason or not job.allowed:
        job.err(f"{doing}: {reason or 'permission denied'}")
    elif job.cat.holds(snap):
        job.err(f"{doing}: dataset is busy")
    elif job.cat.clones(snap):
        job.err(f"{doing}: dataset already exists")
    else:
        _drop(job, snap)
        return True
    return False


def put_back(job: Job, ds: Ds, snap: Ds) -> None:
    """The snapshot's content in place of what is there; mounted or not, what is mounted below stays so."""
    mounted = job.cat.mount(ds)
    if mounted is not None and mounted.pinned:
        raise not_emulated("rollback of the running boot environment")
    below = [] if mounted is None else job.cat.mounts_below(mounted.path)
    host, store = job.world.host, job.store
    for child in reversed(below):
        store.detach(child.ds, host / child.path.lstrip("/"))
    top, _ = mounting.content(job.cat, store, ds)
    store.replace(ds.id, top, store.snap(snap.id))
    for child in below:
        store.mkdirs(host / child.path.lstrip("/"))
        store.attach(child.ds, host / child.path.lstrip("/"))
