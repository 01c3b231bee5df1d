"""One run of a zfs command on the machine's ZFS: the call, who may do what, mounting, and the change list."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from zonemgr.lab.call import Call
from zonemgr.lab.openzfs import mounts
from zonemgr.lab.openzfs.kept import Table, Value
from zonemgr.lab.openzfs.machine import Machine
from zonemgr.lab.openzfs.mounts import Mounted
from zonemgr.lab.world import World
from zonemgr.lab.zfs import busy, names
from zonemgr.lab.zfs.store import Escapes, host_path
from zonemgr.lab.zfs.text import Refused, not_emulated
from zonemgr.lab.zfs.zones import view


class Job:
    def __init__(self, call: Call) -> None:
        self.call = call
        self.world: World = call.world
        self.machine = Machine(call.world)
        self.view = view(call)
        self._table: Table | None = None

    @property
    def table(self) -> Table:
        """Read when first asked for; again after `changed`."""
        if self._table is None:
            self._table = Table(self.machine)
        return self._table

    def changed(self) -> None:
        self._table = None

    def out(self, line: str) -> None:
        self.call.out(line + "\n")

    def err(self, line: str) -> None:
        self.call.err(line + "\n")

    def report(self, refusal: Refused) -> int:
        self.err(refusal.text)
        return refusal.status

    # -- names and rights --------------------------------------------------------------------------------------

    def valid(self, name: str, doing: str = "cannot open") -> str:
        """The machine's name for a dataset, snapshot or bookmark named in an argument; there or not."""
        try:
            names.check(name, names.DATASET | names.MARK)
        except names.BadName as reason:
            raise Refused(f"{doing} '{name}': {reason}") from None
        return self.machine.real(name)

    def named(self, name: str) -> str:
        """The same of one that must be there: a zone is told so of all that it cannot see."""
        real = self.valid(name)
        if self.view is not None and not self.view.visible(name):
            raise Refused(f"cannot open '{name}': dataset does not exist")
        return real

    def need_privilege(self, doing: str, *wanted: str) -> None:
        """`wanted`: the datasets it is about, which a zone must have been given (zfs_dozonecheck)."""
        if not self.call.privileged or any(self.forbidden(name) for name in wanted):
            raise Refused(f"{doing}: permission denied")

    def forbidden(self, name: str) -> bool:
        if self.view is None:
            return False
        head = names.file_system_of(name)
        while head not in self.table.types and "/" in head:  # about to be made: what is above decides
            head = head.rpartition("/")[0]
        return not (self.view.writable(head) and self.table.zoned(head))

    # -- the machine's zfs -------------------------------------------------------------------------------------

    def run(self, *words: str) -> int:
        """Have the machine's zfs do it, names translated already; what it says is said in the lab's names."""
        done = self.machine.run(*words)
        self.changed()
        self.call.out(self.machine.text(done.stdout))
        self.call.err(self.machine.text(done.stderr))
        return done.exit_code

    # -- paths -------------------------------------------------------------------------------------------------

    def place(self, path: str) -> Path:
        """Where a path of the caller's zone is on this machine; refuses the machine's own directories."""
        if self.view is not None:
            return self.view.resolved(self.world.host, path)
        try:
            return host_path(self.world, path)
        except Escapes as outside:
            raise not_emulated(f"a file system at {outside}") from None

    def real_path(self, path: str) -> str:
        """The global zone's name for a path, symbolic links followed."""
        where = self.place(path)
        return "/" + where.relative_to(self.world.host).as_posix() if where != self.world.host else "/"

    def shown(self, mounted: Mounted) -> str:
        """A mount point as the caller's zone names it."""
        return mounted.path if self.view is None else self.view.within(mounted.path) or mounted.path

    # -- mounting ----------------------------------------------------------------------------------------------

    def mount(self, name: str, options: str = "", *, overlay: bool = False) -> bool:
        """zfs' own mount; True too when there is nothing to mount. A failure is told on stderr."""
        if not self.table.mountable(name, in_zone=self.view is not None):
            return True
        path = os.path.normpath("/" + self.table.text(name, "mountpoint").lstrip("/"))
        try:
            self._mount_at(name, path, options, overlay=overlay)
        except Refused as reason:
            self.report(reason)
            return False
        return True

    def _mount_at(self, name: str, path: str, options: str, *, overlay: bool) -> None:
        where = self.place(path)
        if not self.call.privileged:
            raise Refused(f"cannot mount '{name}': Insufficient privileges")
        try:
            where.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError:
            raise Refused(f"cannot mount '{path}': failed to create mountpoint") from None
        # On illumos zfs never mounts over files unless told to; on Linux it does (overlay=on).
        if not overlay and any(where.iterdir()):
            raise Refused(f"cannot mount '{path}': directory is not empty")
        reason = self.attach(name, path, options)
        if reason:
            text = "mountpoint or dataset is busy" if reason == "Device busy" else reason
            raise Refused(f"cannot mount '{name}': {text}")

    def attach(self, name: str, path: str, options: str) -> str:
        """The system call and what illumos' kernel minds that Linux' does not; errno's text, "" when done."""
        where = self.place(path)
        if not where.exists():
            return "No such file or directory"
        if not where.is_dir():
            return "Not a directory"
        if self.forbidden(name):
            return "Not owner"
        real = self.real_path(path)
        if real == "/" or mounts.at(self.world, real) or mounts.of(self.world, name):
            return "Device busy"
        try:
            mounts.mount(self.machine, name, where, options)
        except OSError as reason:
            return mounts.words(reason)
        return ""

    def unmount(self, name: str, *, force: bool = False) -> bool:
        """True when it is not mounted afterwards; a failure is told on stderr."""
        mounted = mounts.of(self.world, name)
        reason = "" if mounted is None else self.detach(mounted, force=force)
        if mounted is not None and reason:
            self.err(f"cannot unmount '{self.shown(mounted)}': {reason}")
        return not reason

    def detach(self, mounted: Mounted, *, force: bool) -> str:
        """The system call; errno's text, "" when done."""
        if not self.call.privileged:
            return "permission denied"
        if mounted.path == "/" or self._is_root(mounted) or self.keeps_busy(mounted, force=force):
            return "Device busy"
        return mounts.unmount(self.world.host / mounted.path.lstrip("/"), force=force)

    def _is_root(self, mounted: Mounted) -> bool:
        return self.view is not None and self.view.within(mounted.path) in (None, "/")

    def keeps_busy(self, mounted: Mounted, *, force: bool) -> bool:
        """What would be busy on illumos and is not on Linux, where a zone's root is a mount of its own."""
        if force:
            return busy.zone_root(self.world, mounted.path)
        standing = self.call.cwd if self.view is None else self.view.outside(self.call.cwd)
        return (
            f"{os.path.normpath(standing)}/".startswith(mounted.path.rstrip("/") + "/")
            or busy.zone_uses(self.world, mounted.path)
            or bool(mounts.below(self.world, mounted.path))
        )

    def remove_mountpoint(self, mountpoint: Value | None) -> None:
        """Remove the directory a file system was mounted at, if empty and unless it was set on itself."""
        if mountpoint is None or mountpoint.is_own or not mountpoint.text.startswith("/"):
            return
        where = self.place(os.path.normpath(mountpoint.text))
        if not os.path.ismount(where):
            try:
                where.rmdir()
            except OSError:
                return


class ChangeList:
    """What must not be mounted while a property or a name changes, and is mounted again afterwards (libzfs)."""

    def __init__(self, job: Job, datasets: Iterable[str], *, force: bool = False) -> None:
        self.job, self.force = job, force
        table = job.table
        where = {each.dataset: each for each in mounts.mounted(job.world)}
        in_zone = job.view is not None
        self.was = [
            (name, where[name])
            for name in datasets
            # The global zone leaves alone what a zone has.
            if name in where and (in_zone or not table.zoned(name))
        ]
        self.was.sort(key=lambda each: each[1].path, reverse=True)

    def prefix(self) -> bool:
        """Unmount them; if one does not go, mount again what has gone."""
        gone: list[tuple[str, Mounted]] = []
        for name, mounted in self.was:
            if not self.job.unmount(name, force=self.force):
                for each, before in reversed(gone):
                    self.job.attach(each, self.job.shown(before), "")
                return False
            gone.append((name, mounted))
        return True

    def postfix(self, renamed: tuple[str, str] = ("", "")) -> bool:
        """Mount what was mounted, at its place of now; what has become legacy stays unmounted."""
        done = True
        for name, _ in reversed(self.was):
            name = _moved(name, renamed)
            if name in self.job.table.types and mounts.of(self.job.world, name) is None:
                done = self.job.mount(name) and done
        return done


def _moved(name: str, renamed: tuple[str, str]) -> str:
    old, new = renamed
    if old and (name == old or name.startswith(old + "/")):
        return new + name[len(old) :]
    return name
