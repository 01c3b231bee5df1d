"""Mounting and unmounting, alone and of all that a changed property or name concerns (libzfs' change list)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zonemgr.lab.zfs import busy
from zonemgr.lab.zfs.catalogue import Catalogue, Ds, Mount, Value
from zonemgr.lab.zfs.job import Job
from zonemgr.lab.zfs.names import VOL
from zonemgr.lab.zfs.store import Escapes, Store, host_path
from zonemgr.lab.zfs.text import Refused, not_emulated

# -- one file system ---------------------------------------------------------------------------------------


def mountable(cat: Catalogue, ds: Ds) -> bool:
    """Does zfs itself mount this one (from the zone that asks)?"""
    return (
        ds.type == "filesystem"
        and cat.mountpoint(ds).text.startswith("/")
        and cat.native(ds, "canmount").text != "off"
        and (cat.view is not None or not cat.on(ds, "zoned"))
    )


def mount(job: Job, ds: Ds, opts: str = "", *, overlay: bool = False) -> bool:
    """zfs' own mount; True too when there is nothing to mount. A failure is told on stderr."""
    if not mountable(job.cat, ds):
        return True
    path = os.path.normpath("/" + job.cat.mountpoint(ds).text.lstrip("/"))
    try:
        _mount_at(job, ds, path, opts, overlay=overlay)
    except Refused as reason:
        job.report(reason)
        job.mount_failed = True
        return False
    return True


def _mount_at(job: Job, ds: Ds, path: str, opts: str, *, overlay: bool) -> None:
    where = place(job, path)
    if not job.allowed:
        raise Refused(f"cannot mount '{ds.name}': Insufficient privileges")
    if not os.path.lexists(where):
        _make_mountpoint(job, path, where)
    occupied = where.is_dir() and any(where.iterdir())
    if occupied and not overlay:
        raise Refused(f"cannot mount '{path}': directory is not empty")
    reason = attach(job, ds, path, opts)
    if reason == "Device busy":
        reason = "mountpoint or dataset is busy"
    if reason:
        raise Refused(f"cannot mount '{ds.name}': {reason}")


def _make_mountpoint(job: Job, path: str, where: Path) -> None:
    failed = Refused(f"cannot mount '{path}': failed to create mountpoint")
    above = os.path.dirname(path)
    while not os.path.lexists(place(job, above)):
        above = os.path.dirname(above)
    holder = job.cat.mount_holding(real_path(job, above))
    if not place(job, above).is_dir() or (holder is not None and not _takes_files(job.cat, holder)):
        raise failed
    job.store.mkdirs(where)


def _takes_files(cat: Catalogue, mounted: Mount) -> bool:
    """Could a directory be made in it? Not when it is read-only or has used up a quota."""
    ds = cat.by_id(mounted.ds)
    if temporary(cat, ds, "readonly").text == "on":
        return False
    here: Ds | None = ds
    limited = False
    while here is not None:
        limited |= any(cat.number(here, name) > 0 for name in ("quota", "refquota"))
        here = cat.parent(here)
    if not limited:
        return True
    from zonemgr.lab.zfs.space import Space  # measuring takes time: only where there is a limit

    return Space(cat).available(ds) > 0


def place(job: Job, path: str) -> Path:
    """Where a path of the caller's zone is on this machine; refuses the machine's own directories."""
    if job.cat.view is not None:
        return job.cat.view.resolved(job.world.host, path)
    try:
        return host_path(job.world, path)
    except Escapes as outside:
        raise not_emulated(f"a file system at {outside}") from None


def real_path(job: Job, path: str) -> str:
    """The global zone's name for a path, symbolic links followed."""
    where = place(job, path)
    return "/" + where.relative_to(job.world.host).as_posix() if where != job.world.host else "/"


def attach(job: Job, ds: Ds, path: str, opts: str) -> str:
    """The system call: mount a file system over a directory; returns errno's text, "" when done."""
    where = place(job, path)
    if not where.exists():
        return "No such file or directory"
    if not where.is_dir():
        return "Not a directory"
    real = "/" + str(where.relative_to(job.world.host)) if where != job.world.host else "/"
    if job.forbidden(ds.name):
        return "Not owner"
    if job.cat.mount_at(real) is not None or job.cat.mount(ds) is not None or real == "/":
        return "Device busy"
    if job.cat.view is not None:
        _refuse_hidden(job, real)
    if job.cat.mounts_below(real):
        raise not_emulated("mounting over a directory that holds mount points")
    job.store.attach(ds.id, where)
    job.cat.put_mount(ds, real, opts)
    return ""


def _refuse_hidden(job: Job, real: str) -> None:
    """The root itself, or what is below a lofs mount: the files there are not those the zone sees."""
    assert job.cat.view is not None
    path = job.cat.view.within(real) or "/"
    if path == "/":
        raise not_emulated("mounting over the root of a zone")
    for point in busy.lofs_points(job.world, job.cat.view.zone):
        if path == point or f"{path}/".startswith(point.rstrip("/") + "/"):
            raise not_emulated(f"a file system at or below the lofs mount {point}")


def unmount(job: Job, ds: Ds, *, force: bool = False) -> bool:
    """True when it is not mounted afterwards; a failure is told on stderr."""
    mounted = job.cat.mount(ds)
    if mounted is None:
        return True
    reason = detach(job, mounted, force=force)
    if reason:
        job.err(f"cannot unmount '{job.cat.shown(mounted)}': {reason}")
    return not reason


def detach(job: Job, mounted: Mount, *, force: bool) -> str:
    """The system call; returns errno's text, "" when done."""
    if not job.allowed:
        return "permission denied"
    if mounted.pinned or (job.cat.view is not None and job.cat.view.within(mounted.path) in (None, "/")):
        return "Device busy"
    if force:
        _refuse_force(job, mounted)
    elif job.cat.mounts_below(mounted.path) or busy.in_use(job.world, mounted.path, _cwd(job)):
        return "Device busy"
    ds = job.cat.by_id(mounted.ds)
    where = job.world.host / mounted.path.lstrip("/")
    _still_there(job, where)
    job.store.detach(ds.id, where)
    job.cat.drop_mount(ds)
    return ""


def _cwd(job: Job) -> str:
    return job.call.cwd if job.cat.view is None else job.cat.view.outside(job.call.cwd)


def _still_there(job: Job, where: Path) -> None:
    """Root of a zone can remove or replace the directory of a mount point, which illumos refuses it."""
    if os.path.realpath(where) != os.path.join(
        os.path.realpath(job.world.host), where.relative_to(job.world.host)
    ):
        raise not_emulated(f"a mount point whose path was replaced ({where.name})")
    if not where.exists():
        job.store.mkdirs(where)


def _refuse_force(job: Job, mounted: Mount) -> None:
    """illumos lets these go; what is left then (a zone without a root, mounts nobody can reach) the lab has not."""
    if busy.zone_root(job.world, mounted.path):
        raise not_emulated("taking an active zone's root away by force")
    if job.cat.mounts_below(mounted.path):
        raise not_emulated("a forced unmount below other mounts")


def remove_mountpoint(job: Job, mountpoint: Value, can: bool) -> None:
    """Remove the directory a file system was mounted at, unless its mountpoint was set on itself."""
    if can and mountpoint.source in ("default", "inherited"):
        with_host = os.path.normpath("/" + mountpoint.text.lstrip("/"))
        if job.cat.mount_at(real_path(job, with_host)) is None:
            job.store.rmdir(place(job, with_host))


# -- mount options -------------------------------------------------------------------------------------------

# option -> property it overrides while mounted, and to what
_OPTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "ro": (("readonly", "on"),),
    "rw": (("readonly", "off"),),
    "atime": (("atime", "on"),),
    "noatime": (("atime", "off"),),
    "devices": (("devices", "on"),),
    "nodevices": (("devices", "off"),),
    "exec": (("exec", "on"),),
    "noexec": (("exec", "off"),),
    "setuid": (("setuid", "on"),),
    "nosetuid": (("setuid", "off"),),
    "suid": (("setuid", "on"), ("devices", "on")),
    "nosuid": (("setuid", "off"), ("devices", "off")),
    "xattr": (("xattr", "on"),),
    "noxattr": (("xattr", "off"),),
    "nbmand": (("nbmand", "on"),),
    "nonbmand": (("nbmand", "off"),),
}
TEMPORARY = frozenset(name for pairs in _OPTIONS.values() for name, _ in pairs)


def temporary(cat: Catalogue, ds: Ds, name: str) -> Value:
    """A native property as it counts while mounted: a mount option may differ from what is stored."""
    value = cat.native(ds, name)
    mounted = cat.mount(ds)
    if mounted is None or not mounted.opts:
        return value
    for option in mounted.opts.split(","):
        for overridden, text in _OPTIONS.get(option, ()):
            if overridden == name and text != value.text:
                value = Value(text, "temporary")
    return value


# -- change lists --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Node:
    ds: Ds
    mounted: bool
    zoned: bool  # seen from the global zone, which leaves it alone
    mountpoint: Value  # as it was before the change
    mountable: bool  # likewise
    again: bool = True  # is there something to do afterwards?


class ChangeList:
    """The file systems a change of a property, or of a name, concerns; children before parents."""

    def __init__(self, job: Job, ds: Ds, prop: str, *, force: bool = False) -> None:
        self.job, self.force = job, force
        self.mounts = prop in ("name", "zoned", "canmount", "volsize", "mountpoint")
        self.zoned_child = self.was_legacy = False
        self.nodes: list[Node] = []
        if self.mounts:
            self._gather(ds, prop)

    def _gather(self, ds: Ds, prop: str) -> None:
        cat, legacy = self.job.cat, False
        if ds.type == "filesystem":
            legacy = not cat.mountpoint(ds).text.startswith("/")
        below = self._dependents(ds) if prop == "name" else self._children(ds, everything=prop == "zoned")
        self.nodes = [self._node(each) for each in below]
        self.zoned_child = any(node.zoned for node in self.nodes)
        if legacy:
            self.nodes.sort(key=lambda node: node.ds.name, reverse=True)
        self.nodes.append(self._node(ds))
        if not legacy:
            self.nodes.sort(key=lambda node: node.mountpoint.text, reverse=True)
        if legacy and prop in ("name", "zoned", "mountpoint"):
            self.was_legacy = cat.native(ds, "canmount").text != "noauto"

    def _node(self, ds: Ds) -> Node:
        cat = self.job.cat
        if ds.type == "volume":
            return Node(ds, False, False, Value("", "none"), False)
        can, elsewhere = mountable(cat, ds), cat.view is None and cat.on(ds, "zoned")
        return Node(ds, cat.mount(ds) is not None, elsewhere, cat.mountpoint(ds), can)

    def _children(self, ds: Ds, *, everything: bool) -> Iterator[Ds]:
        """Below, as far as they have their mountpoint from here."""
        for child in self.job.cat.children(ds):
            if child.bit & VOL:
                continue
            if everything or self.job.cat.native(child, "mountpoint").source in ("default", "inherited"):
                yield child
                yield from self._children(child, everything=everything)

    def _dependents(self, ds: Ds) -> Iterator[Ds]:
        return (each for each in dependents(self.job.cat, ds) if each.type in ("filesystem", "volume"))

    def prefix(self) -> bool:
        """Unmount them; if one does not go, mount again what has gone."""
        failed = False
        for node in self.nodes:
            if failed:
                node.again = False
            elif (
                not node.zoned
                and node.ds.type == "filesystem"
                and not unmount(self.job, node.ds, force=self.force)
            ):
                failed, node.again = True, False
        if failed:
            self.postfix()
        return not failed

    def renamed(self, new: str) -> None:
        """The rename has happened: directories at the old places go. Clones elsewhere have kept their name."""
        for node in self.nodes:
            if node.ds.name == new or node.ds.name.startswith(new + "/"):
                remove_mountpoint(self.job, node.mountpoint, node.mountable)

    def postfix(self, *, remove: bool = True) -> bool:
        """Mount what was mounted, at its place of now; and what was legacy and no longer is."""
        if not self.nodes:
            return True
        last = self.nodes[-1]
        if remove:
            remove_mountpoint(self.job, last.mountpoint, last.mountable)
        done = True
        for node in reversed(self.nodes):
            if node.zoned or not node.again or node.ds.type == "volume":
                continue
            node.again = False
            if self._wanted(node):
                done = mount(self.job, node.ds) and done
        return done

    def _wanted(self, node: Node) -> bool:
        cat = self.job.cat
        if cat.get(node.ds.name) is not node.ds or cat.mount(node.ds) is not None:
            return False
        return node.mounted or (self.was_legacy and cat.native(node.ds, "canmount").text == "on")


def dependents(cat: Catalogue, ds: Ds, *, loops: bool = True, _above: tuple[int, ...] = ()) -> Iterator[Ds]:
    """All that could not be without this: file systems below, snapshots, their clones; each after its own.

    Looked up as it goes, so a caller may destroy what it is given. `loops`: a clone below its own origin is
    fine; otherwise it is refused.
    """
    if ds.type == "snapshot":
        for clone in cat.alive(cat.clones(ds)):
            yield from _dependent(cat, clone, loops, _above)
    elif ds.type != "bookmark":
        above = (*_above, ds.id)
        for child in cat.alive(cat.children(ds)):
            yield from _dependent(cat, child, loops, above)
        for snapshot in cat.alive(cat.snapshots(ds)):
            yield from _dependent(cat, snapshot, loops, above)


def _dependent(cat: Catalogue, ds: Ds, loops: bool, above: tuple[int, ...]) -> Iterator[Ds]:
    if ds.id in above:
        if not loops:
            raise Refused(f"cannot determine dependent datasets: recursive dependency at '{ds.name}'")
        return
    yield from dependents(cat, ds, loops=loops, _above=above)
    yield ds


# -- contents ------------------------------------------------------------------------------------------------


def content(cat: Catalogue, store: Store, ds: Ds) -> tuple[Path, frozenset[Path]]:
    """Where a file system's files are now, and the mount points among them."""
    mounted = cat.mount(ds)
    if mounted is None:
        return store.fs(ds.id), frozenset()
    host = store.world.host
    holes = frozenset(host / below.path.lstrip("/") for below in cat.mounts_below(mounted.path))
    return host / mounted.path.lstrip("/"), holes
