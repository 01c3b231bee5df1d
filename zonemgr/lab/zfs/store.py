"""Contents of datasets as real directories: moved, copied, and put back when a command was killed in the middle.

    LAB/store/fs/ID      content of a file system that is not mounted
    LAB/store/snap/ID    content of a snapshot
    LAB/store/under/ID   the directory a mounted file system covers
    LAB/store/roll/...   a rollback's intermediate places
    LAB/store/journal/N.PID   what command N has begun to move

The world's transaction is the lock and the truth. A command holds it from start to end, and before each move
adds a line to its journal. If it dies, SQLite forgets what it wrote, and whoever comes next undoes its moves,
newest first. The number of the last finished command is written in the same transaction: a journal with a
higher number belongs to one that did not finish, the others only have left-overs to remove.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zonemgr.lab.world import World

COUNTER = "zfs.command"  # fact: number of the last finished command that changed something
Line = dict[str, Any]


class Escapes(Exception):
    """A path of the global zone that leads to the machine's own directories."""


def host_path(world: World, path: str) -> Path:
    """Where a path of the global zone really is, symlinks followed as the global zone would follow them.

    The last component is followed too. Never leads out of the lab: what is not its own raises Escapes.
    """
    todo = [part for part in path.split("/") if part not in ("", ".")][::-1]
    done: list[str] = []
    hops = 0
    while todo:
        part = todo.pop()
        if part == "..":
            done = done[:-1]
            continue
        here = world.host.joinpath(*done, part)
        target = _link(here) if hops < 40 else None
        if target is None:
            done.append(part)
            continue
        hops += 1
        if target.startswith("/"):
            done = []
        todo += [piece for piece in target.split("/") if piece not in ("", ".")][::-1]
    if done and not world.owns(done[0]):
        raise Escapes("/" + "/".join(done))
    return world.host.joinpath(*done)


def _link(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def remove(path: Path) -> None:
    """Remove a tree, whatever its permissions; absent is fine."""

    def again(function: Callable[..., Any], name: str, _: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(name), 0o700)
            os.chmod(name, 0o700, follow_symlinks=not os.path.islink(name))
            function(name)

    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        import shutil  # takes longer to import than most commands to run

        shutil.rmtree(path, onerror=again)


def copy(source: Path, target: Path, holes: frozenset[Path]) -> int:
    """Copy a tree with modes, times, owners (as far as allowed) and symlinks; returns its size in bytes.

    `holes` are mount points inside: only their directory is made, 0755 and empty.
    """
    target.mkdir(parents=True, exist_ok=True)
    size = 0
    with os.scandir(source) as entries:
        for entry in entries:
            size += _copy_entry(entry, target / entry.name, holes)
    _copy_look(source, target)
    return size


def _copy_entry(entry: os.DirEntry[str], target: Path, holes: frozenset[Path]) -> int:
    if Path(entry.path) in holes:
        target.mkdir(mode=0o755)
        return 0
    if entry.is_dir(follow_symlinks=False):
        return copy(Path(entry.path), target, holes)
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), target)
    elif entry.is_file(follow_symlinks=False):
        import shutil

        shutil.copyfile(entry.path, target)
    else:
        _copy_node(entry, target)
    _copy_look(Path(entry.path), target)
    return entry.stat(follow_symlinks=False).st_blocks * 512


def _copy_node(entry: os.DirEntry[str], target: Path) -> None:
    """Pipes are made anew, devices where that is allowed; a socket is as dead in a copy as on illumos."""
    about = entry.stat(follow_symlinks=False)
    if stat.S_ISFIFO(about.st_mode):
        os.mkfifo(target)
    else:
        try:
            os.mknod(target, about.st_mode, about.st_rdev)
        except PermissionError:
            target.touch()


def _copy_look(source: Path, target: Path) -> None:
    about = os.lstat(source)
    with contextlib.suppress(PermissionError):
        os.chown(target, about.st_uid, about.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(about.st_mode):
        os.chmod(target, stat.S_IMODE(about.st_mode))
    os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns), follow_symlinks=False)


class Store:
    """The directories of one lab's datasets, as one command changes them; see `changing`."""

    def __init__(self, world: World, journal: Path | None = None) -> None:
        self.world, self.root = world, world.store
        self._journal = journal
        self._number = 0  # this command's
        self._purge: list[Path] = []
        self._rolls = 0

    # -- where things are ----------------------------------------------------------------------------------

    def fs(self, ds: int) -> Path:
        return self.root / "fs" / str(ds)

    def snap(self, ds: int) -> Path:
        return self.root / "snap" / str(ds)

    def under(self, ds: int) -> Path:
        return self.root / "under" / str(ds)

    # -- changes, each one written down first ----------------------------------------------------------------

    def note(self, **line: Any) -> None:
        assert self._journal is not None, "only inside changing()"
        with self._journal.open("a") as journal:
            journal.write(json.dumps(line) + "\n")

    def made(self, path: Path) -> Path:
        """Announce a directory that is about to be made in the store."""
        self.note(do="made", path=str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def purge(self, path: Path) -> None:
        """Remove a tree of the store once the command has finished."""
        self.note(do="purge", path=str(path))
        self._purge.append(path)

    def mkdirs(self, path: Path) -> None:
        """Make a directory and what is missing above it, 0755."""
        missing = []
        while not path.exists():
            missing.append(path)
            path = path.parent
        for each in reversed(missing):
            self.note(do="mkdir", path=str(each))
            each.mkdir(mode=0o755)

    def rmdir(self, path: Path) -> None:
        """Remove a directory if it is empty; say nothing otherwise."""
        try:
            if any(path.iterdir()):
                return
            self.note(do="rmdir", path=str(path), mode=stat.S_IMODE(path.stat().st_mode))
            path.rmdir()
        except OSError:
            return

    def attach(self, ds: int, path: Path) -> None:
        """Mount: put the directory that is there aside, and the content in its place."""
        self.note(do="attach", ds=ds, path=str(path))
        under = self.under(ds)
        under.parent.mkdir(exist_ok=True)
        path.rename(under)
        self.fs(ds).rename(path)

    def detach(self, ds: int, path: Path) -> None:
        """Unmount: the content back into the store, the covered directory back to its place."""
        self.note(do="detach", ds=ds, path=str(path))
        path.rename(self.fs(ds))
        self.under(ds).rename(path)

    def replace(self, ds: int, top: Path, source: Path) -> None:
        """Put a copy of `source` in place of what is in `top`; the directory `top` itself stays."""
        self._rolls += 1
        place = self.root / "roll" / f"{self._number}-{self._rolls}"
        fresh, old, marker = _roll_places(place)
        copy(source, self.made(fresh), frozenset())
        self.made(old).mkdir()
        self.note(do="roll", place=str(place), path=str(top))
        _move_entries(top, old)
        marker.mkdir()  # from here on what is in `top` is new
        _move_entries(fresh, top)
        _copy_look(source, top)
        for left in (old, fresh, marker):
            self.purge(left)

    def finish(self) -> None:
        for path in self._purge:
            remove(path)


def _roll_places(place: Path) -> tuple[Path, Path, Path]:
    """Where the new content waits, where the old goes, and the mark between the two halves."""
    return place.with_suffix(".new"), place.with_suffix(".old"), place.with_suffix(".in")


def _move_entries(source: Path, target: Path) -> None:
    for entry in list(source.iterdir()):
        entry.rename(target / entry.name)


@contextlib.contextmanager
def changing(world: World) -> Iterator[Store]:
    """One command's changes: all of them, or after an exception or a kill none."""
    nested = world._depth > 0
    store = Store(world)
    with world.transaction():
        if not nested:
            _reconcile_locked(world)
        number = int(world.get(COUNTER, "0")) + 1
        journal = world.store / "journal" / f"{number}.{os.getpid()}"
        journal.touch()
        store._journal, store._number = journal, number
        try:
            yield store
        except BaseException:
            _undo(store, journal)
            journal.unlink(missing_ok=True)
            raise
        world.put(COUNTER, str(number))
    if nested:
        return  # not finished before the transaction around it is: left for reconcile
    store.finish()
    journal.unlink(missing_ok=True)


def prepare(world: World) -> None:
    """Make the store's places; part of a lab's first day."""
    for part in ("fs", "snap", "under", "roll", "journal"):
        (world.store / part).mkdir(exist_ok=True)


# -- after a crash -----------------------------------------------------------------------------------------


def _journals(world: World) -> list[tuple[int, int, Path]]:
    found = []
    for name in os.listdir(world.store / "journal"):
        number, _, pid = name.partition(".")
        found.append((int(number), int(pid), world.store / "journal" / name))
    return sorted(found, reverse=True)


def reconcile(world: World) -> None:
    """Undo what killed commands have left half done. Cheap when there is nothing; leaves live commands alone."""
    if world._depth == 0 and any(not _alive(pid) for _, pid, _ in _journals(world)):
        with world.transaction():
            _reconcile_locked(world)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return pid != os.getpid()  # a journal of this very process: one thread's, given up


def _reconcile_locked(world: World) -> None:
    """With the lock held every journal is a dead command's, or one's that has finished."""
    for number, _, path in _journals(world):
        store = Store(world, path)
        if number > int(world.get(COUNTER, "0")):
            _undo(store, path)
        else:
            for line in _lines(path):
                if line["do"] == "purge":
                    remove(Path(line["path"]))
        path.unlink(missing_ok=True)


def _lines(journal: Path) -> list[Line]:
    """The journal's lines; the last may have been cut off, then its move was not begun.

    One that has gone since it was listed belongs to a command that was just finishing.
    """
    try:
        written = journal.read_text()
    except FileNotFoundError:
        return []
    lines = []
    for text in written.splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(text))
    return lines


def _undo(store: Store, journal: Path) -> None:
    """Newest first; each undone line is ticked off, for this too may be killed."""
    lines = _lines(journal)
    ticked = sum(line["do"] == "undone" for line in lines)
    moves = [line for line in lines if line["do"] != "undone"]
    for line in moves[: len(moves) - ticked][::-1]:
        _UNDO[line["do"]](store, line)
        with journal.open("a") as ticks:
            ticks.write('{"do": "undone"}\n')


def _undo_attach(store: Store, line: Line) -> None:
    content, under, path = store.fs(line["ds"]), store.under(line["ds"]), Path(line["path"])
    if not content.exists():
        path.rename(content)
    if under.exists() and not path.exists():
        under.rename(path)


def _undo_detach(store: Store, line: Line) -> None:
    content, under, path = store.fs(line["ds"]), store.under(line["ds"]), Path(line["path"])
    if not content.exists():
        return
    if not under.exists():
        path.rename(under)
    content.rename(path)


def _undo_roll(store: Store, line: Line) -> None:
    top = Path(line["path"])
    fresh, old, marker = _roll_places(Path(line["place"]))
    if marker.exists():
        _move_entries(top, fresh)
        marker.rmdir()
    _move_entries(old, top)


def _undo_made(store: Store, line: Line) -> None:
    remove(Path(line["path"]))


def _undo_mkdir(store: Store, line: Line) -> None:
    with contextlib.suppress(OSError):
        Path(line["path"]).rmdir()


def _undo_rmdir(store: Store, line: Line) -> None:
    with contextlib.suppress(FileExistsError):
        Path(line["path"]).mkdir()
        Path(line["path"]).chmod(line["mode"])


def _nothing(store: Store, line: Line) -> None:
    pass


_UNDO: dict[str, Callable[[Store, Line], None]] = {
    "attach": _undo_attach,
    "detach": _undo_detach,
    "roll": _undo_roll,
    "made": _undo_made,
    "mkdir": _undo_mkdir,
    "rmdir": _undo_rmdir,
    "purge": _nothing,
}
