"""Datasets, their properties and mounts, as one command sees them: read from SQLite when asked for, once."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from zonemgr.lab.world import SCHEMA, World
from zonemgr.lab.zfs import props
from zonemgr.lab.zfs.names import TYPES, file_system_of, parent_of, pool_of
from zonemgr.lab.zfs.zones import View

SCHEMA += [
    "create table zfs_datasets (id integer primary key autoincrement, name text not null unique,"
    " type text not null, txg integer not null, created real not null, guid integer not null,"
    " origin integer, defer integer not null default 0, refer integer not null default 0)",
    "create index zfs_clones on zfs_datasets (origin) where origin is not null",
    "create table zfs_props (ds integer not null, name text not null, local text, received text,"
    " hidden integer not null default 0, primary key (ds, name)) without rowid",
    "create table zfs_holds (ds integer not null, tag text not null, at real not null,"
    " primary key (ds, tag)) without rowid",
    # pinned: the global zone's own root, which no rename could mount
    "create table zfs_mounts (seq integer primary key autoincrement, ds integer not null unique,"
    " path text not null unique, opts text not null default '', at real not null,"
    " pinned integer not null default 0)",
    "create table zfs_pools (name text primary key, guid integer not null, created real not null,"
    " size integer not null, vdevs text not null)",
    "create table zfs_pool_props (pool text not null, name text not null, value text not null,"
    " primary key (pool, name)) without rowid",
]
CURSOR = "zfs.txg"  # fact: the last transaction group
_COLUMNS = "id, name, type, txg, created, guid, origin, defer, refer"
_MOUNT = "ds, path, opts, at, pinned"


@dataclass(slots=True)
class Ds:
    """A dataset, snapshot or bookmark."""

    id: int
    name: str
    type: str
    txg: int
    created: float
    guid: int
    origin: int | None
    defer: bool
    refer: int  # bytes; of snapshots and bookmarks only, the others' is measured when asked for

    @property
    def bit(self) -> int:
        return TYPES[self.type]

    @property
    def order(self) -> tuple[bytes, int, int]:
        """Where zfs lists it: by name, a dataset before its snapshots, these by age."""
        head, at, _ = self.name.partition("@")
        return head.encode("utf-8", "surrogateescape"), 1 if at else 0, self.txg if at else 0


class Prop(NamedTuple):
    local: str | None
    received: str | None
    hidden: bool  # `zfs inherit` on a received value: it does not count


class Value(NamedTuple):
    """What a property is and where that comes from; `holder` is the dataset for `inherited`."""

    text: str
    source: str  # default, local, received, inherited, temporary, none
    holder: str = ""


_Found = tuple[str, str, Ds]  # a value, how its holder has it (local or received), the holder


class Mount(NamedTuple):
    ds: int
    path: str
    opts: str
    at: float
    pinned: bool


def inside(column: str) -> str:
    """SQL: names below one name. The characters after / @ # end the ranges, so the index serves."""
    return " or ".join(
        f"({column} >= ?1 || '{low}' and {column} < ?1 || '{high}')" for low, high in ("/0", "@A", "#$")
    )


class Catalogue:
    def __init__(self, world: World, view: View | None = None) -> None:
        self.world, self.db, self.view = world, world.db, view
        self._named: dict[str, Ds | None] = {}
        self._props: dict[int, dict[str, Prop]] = {}
        self._found: dict[str, dict[int, _Found | None]] = {}  # by property, then dataset
        self._parents: dict[int, Ds | None] = {}
        self._mounts: dict[int, Mount] | None = None
        self._txg = 0

    # -- reading -------------------------------------------------------------------------------------------

    def get(self, name: str) -> Ds | None:
        if name not in self._named:
            self._load("name = ?1", (name,))
            self._named.setdefault(name, None)
        return self._named[name]

    def seen(self, name: str) -> Ds | None:
        """The same, as far as the caller's zone may know of it."""
        return self.get(name) if self.sees(name) else None

    def sees(self, name: str) -> bool:
        return self.view is None or self.view.visible(name)

    def by_id(self, ds: int) -> Ds:
        return self._load("id = ?1", (ds,))[0]

    def parent(self, ds: Ds) -> Ds | None:
        if ds.id not in self._parents:
            above = parent_of(ds.name)
            self._parents[ds.id] = None if above is None else self.get(above)
        return self._parents[ds.id]

    def pools(self) -> list[str]:
        names = [str(row[0]) for row in self.db.execute("select name from zfs_pools order by name")]
        return [name for name in names if self.sees(name)]

    def under(
        self, root: str | None, *, snapshots: bool = True, only: Collection[str] | None = None
    ) -> list[Ds]:
        """A dataset and all below it with their properties, in no order; None: everything there is.

        `only`: for a command that reads no other properties than these (and changes nothing).
        """
        given: tuple[object, ...] = () if root is None else (root,)
        where = "1" if root is None else f"(d.name = ?1 or {inside('d.name')})"
        if not snapshots:
            where += " and d.type in ('filesystem', 'volume')"
        found = self._load(where, given)
        for ds in found:
            self._props.setdefault(ds.id, {})
        if only is not None:
            marks = ", ".join(f"?{at}" for at in range(len(given) + 1, len(given) + 1 + len(only)))
            where, given = f"{where} and p.name in ({marks})", (*given, *only)
        self._load_props("zfs_datasets d join zfs_props p on p.ds = d.id", where, given)
        return found

    def children(self, ds: Ds) -> list[Ds]:
        """File systems and volumes right below, by name."""
        return self._below(ds.name, "/")

    def snapshots(self, ds: Ds) -> list[Ds]:
        """By age."""
        return sorted(self._below(ds.name, "@"), key=lambda snap: (snap.txg, snap.id))

    def bookmarks(self, ds: Ds) -> list[Ds]:
        return self._below(ds.name, "#")

    def _below(self, name: str, mark: str) -> list[Ds]:
        low, high = name + mark, name + chr(ord(mark) + 1)
        if mark == "/":  # only one level: what has no further / @ or # in it
            tail = "substr(name, length(?1) + 1)"
            only = f" and instr({tail}, '/') = 0 and instr({tail}, '@') = 0 and instr({tail}, '#') = 0"
        else:
            only = ""
        return self._load(f"name >= ?1 and name < ?2{only} order by name", (low, high))

    def clones(self, snap: Ds) -> list[Ds]:
        return self._load("origin = ?1 order by name", (snap.id,))

    def origin(self, ds: Ds) -> Ds | None:
        return None if ds.origin is None else self.by_id(ds.origin)

    def holds(self, ds: Ds) -> list[tuple[str, float]]:
        rows = self.db.execute("select tag, at from zfs_holds where ds = ? order by tag", (ds.id,))
        return [(str(tag), float(at)) for tag, at in rows]

    def _load(self, where: str, given: tuple[object, ...]) -> list[Ds]:
        found = []
        for row in self.db.execute(f"select {_COLUMNS} from zfs_datasets d where {where}", given):
            ds = self._named.get(row[1])
            if ds is None:
                ds = self._named[row[1]] = _dataset(row)
            found.append(ds)
        return found

    def _load_props(self, source: str, where: str, given: tuple[object, ...]) -> None:
        query = f"select p.ds, p.name, p.local, p.received, p.hidden from {source} where {where}"
        for ds, name, local, received, hidden in self.db.execute(query, given):
            self._props.setdefault(ds, {})[name] = Prop(_unpack(local), _unpack(received), bool(hidden))

    def props(self, ds: Ds) -> dict[str, Prop]:
        """The values this dataset has itself."""
        if ds.id not in self._props:
            self._props[ds.id] = {}
            self._load_props("zfs_props p", "p.ds = ?1", (ds.id,))
        return self._props[ds.id]

    def _stored(self, ds: Ds, name: str, inheritable: bool) -> _Found | None:
        """Value, how its holder has it (local or received), and the holder."""
        known = self._found.setdefault(name, {})
        if ds.id not in known:
            known[ds.id] = self._look(ds, name, inheritable)
        return known[ds.id]

    def _look(self, ds: Ds, name: str, inheritable: bool) -> _Found | None:
        own = (self._props.get(ds.id) or self.props(ds)).get(name)
        if own is not None:
            if own.local is not None:
                return own.local, "local", ds
            if own.received is not None and not own.hidden:
                return own.received, "received", ds
        above = self.parent(ds) if inheritable and ds.type != "bookmark" else None
        return None if above is None else self._stored(above, name, inheritable)

    def user(self, ds: Ds, name: str) -> Value | None:
        """A user property as it counts for a dataset; None if it is not set anywhere."""
        found = self._stored(ds, name, True)
        return None if found is None else _told(ds, found)

    def user_names(self, ds: Ds) -> set[str]:
        names: set[str] = set()
        here: Ds | None = ds if ds.type != "bookmark" else None
        while here is not None:
            names |= {name for name in self.props(here) if ":" in name}
            here = self.parent(here)
        return {name for name in names if self.user(ds, name) is not None}

    def native(self, ds: Ds, name: str) -> Value:
        """A stored native property; `mountpoint` as stored, see `mountpoint`."""
        prop = props.TABLE[name]
        found = self._stored(ds, name, prop.attribute == props.INHERIT)
        return Value(prop.default, "default") if found is None else _told(ds, found)

    def number(self, ds: Ds, name: str) -> int:
        return int(self.native(ds, name).text)

    def on(self, ds: Ds, name: str) -> bool:
        return self.native(ds, name).text == "on"

    def mountpoint(self, ds: Ds) -> Value:
        """Where it belongs: an inherited path gets what the name has more than the holder's."""
        stored = self.native(ds, "mountpoint")
        if not stored.text.startswith("/"):
            return stored
        holder = ds.name if stored.source in ("local", "received") else stored.holder
        rest = ds.name[len(holder) :].lstrip("/")
        base = "" if stored.text == "/" and rest else stored.text
        return stored._replace(text=f"{base}/{rest}" if rest else base)

    # -- mounts --------------------------------------------------------------------------------------------

    def mounts(self) -> list[Mount]:
        """In the order they were made."""
        rows = [_mount(row) for row in self.db.execute(f"select {_MOUNT} from zfs_mounts order by seq")]
        return [each for each in rows if self.view is None or self.view.within(each.path) is not None]

    def shown(self, mounted: Mount) -> str:
        """A mount point as the caller's zone names it."""
        return (self.view.within(mounted.path) or "") if self.view else mounted.path

    def bulk_mounts(self) -> None:
        self._mounts = {mount.ds: mount for mount in self.mounts()}

    def mount(self, ds: Ds) -> Mount | None:
        if self._mounts is not None:
            return self._mounts.get(ds.id)
        return self._one_mount("ds = ?", ds.id)

    def mount_at(self, path: str) -> Mount | None:
        return self._one_mount("path = ?", path)

    def _one_mount(self, where: str, given: object) -> Mount | None:
        row = self.db.execute(f"select {_MOUNT} from zfs_mounts where {where}", (given,)).fetchone()
        return None if row is None else _mount(row)

    def mounts_below(self, path: str) -> list[Mount]:
        """What is mounted strictly below a path, deepest last."""
        low = path.rstrip("/") + "/"
        where = "path >= ? and path < ? and path != '/' order by path"
        rows = self.db.execute(f"select {_MOUNT} from zfs_mounts where {where}", (low, low[:-1] + "0"))
        return [_mount(row) for row in rows]

    def mount_holding(self, path: str) -> Mount | None:
        """The mounted file system a path lies in."""
        while True:
            found = self.mount_at(path or "/")
            if found is not None or path in ("", "/"):
                return found
            path = path.rpartition("/")[0]

    # -- writing: only inside store.changing() -----------------------------------------------------------------

    def txg(self) -> int:
        """This command's transaction group."""
        if not self._txg:
            self._txg = int(self.world.get(CURSOR, "0")) + 1
            self.world.put(CURSOR, str(self._txg))
        return self._txg

    def add(
        self, name: str, type_: str, *, origin: Ds | None = None, refer: int = 0, like: Ds | None = None
    ) -> Ds:
        """A new row; `like`: a bookmark keeps its snapshot's age and identity."""
        txg, created = self.txg(), self.world.now()
        guid = new_guid()
        if like is not None:
            txg, created, guid = like.txg, like.created, like.guid
        origin_id = None if origin is None else origin.id
        row = (name, type_, txg, created, guid, origin_id, refer)
        made = self.db.execute(
            "insert into zfs_datasets (name, type, txg, created, guid, origin, refer) values (?,?,?,?,?,?,?)",
            row,
        )
        ds = Ds(int(made.lastrowid or 0), name, type_, txg, created, guid, origin_id, False, refer)
        self._named[name] = ds
        self._props[ds.id] = {}
        return ds

    def update(self, ds: Ds) -> None:
        self.db.execute(
            "update zfs_datasets set origin = ?, defer = ?, refer = ?, guid = ? where id = ?",
            (ds.origin, ds.defer, ds.refer, ds.guid, ds.id),
        )

    def delete(self, ds: Ds) -> None:
        for table in ("zfs_props", "zfs_holds", "zfs_mounts"):
            self.db.execute(f"delete from {table} where ds = ?", (ds.id,))
        self.db.execute("delete from zfs_datasets where id = ?", (ds.id,))
        self._named[ds.name] = None

    def rename(self, old: str, new: str) -> None:
        """A name and all names below it."""
        self.db.execute(
            "update zfs_datasets set name = ?2 || substr(name, length(?1) + 1)"
            f" where name = ?1 or {inside('name')}",
            (old, new),
        )
        moved = {name: ds for name, ds in self._named.items() if name == old or _is_inside(name, old)}
        for name, ds in moved.items():
            del self._named[name]
            if ds is not None:
                ds.name = new + name[len(old) :]
        self._named = {ds.name: ds for ds in [*self._named.values(), *moved.values()] if ds is not None}
        self._found.clear()
        self._parents.clear()

    def put_prop(self, ds: Ds, name: str, prop: Prop) -> None:
        if prop.local is None and prop.received is None:
            self.db.execute("delete from zfs_props where ds = ? and name = ?", (ds.id, name))
            self.props(ds).pop(name, None)
        else:
            row = (ds.id, name, _pack(prop.local), _pack(prop.received), prop.hidden)
            self.db.execute("insert or replace into zfs_props values (?,?,?,?,?)", row)
            self.props(ds)[name] = prop
        self._found.clear()

    def set_local(self, ds: Ds, name: str, value: str) -> None:
        before = self.props(ds).get(name, Prop(None, None, False))
        self.put_prop(ds, name, before._replace(local=value))

    def put_mount(self, ds: Ds, path: str, opts: str, *, pinned: bool = False) -> None:
        row = (ds.id, path, opts, self.world.now(), pinned)
        self.db.execute("insert into zfs_mounts (ds, path, opts, at, pinned) values (?,?,?,?,?)", row)
        self._mounts = None

    def drop_mount(self, ds: Ds) -> None:
        self.db.execute("delete from zfs_mounts where ds = ?", (ds.id,))
        self._mounts = None

    # -- walking -------------------------------------------------------------------------------------------

    def tree(self, ds: Ds) -> Iterator[Ds]:
        """A dataset, then the file systems and volumes below it, parents first."""
        yield ds
        for child in self.children(ds):
            yield from self.tree(child)

    def alive(self, many: Iterable[Ds]) -> Iterator[Ds]:
        """Those of a list that are still there when their turn comes."""
        for ds in many:
            if self.get(ds.name) is ds:
                yield ds


def new_guid() -> int:
    return int.from_bytes(os.urandom(7), "big")


def _dataset(row: sqlite3.Row) -> Ds:
    ds, name, type_, txg, created, guid, origin, defer, refer = row
    return Ds(ds, name, type_, txg, created, guid, origin, bool(defer), refer)


def _mount(row: sqlite3.Row) -> Mount:
    ds, path, opts, at, pinned = row
    return Mount(ds, path, opts, at, bool(pinned))


def _pack(value: str | None) -> str | bytes | None:
    """Values may hold any byte; SQLite's text may not."""
    if value is None or value.isascii():
        return value
    return value.encode("utf-8", "surrogateescape")


def _unpack(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _is_inside(name: str, root: str) -> bool:
    return name.startswith(root) and name[len(root) : len(root) + 1] in ("/", "@", "#")


def _told(ds: Ds, found: _Found) -> Value:
    text, how, holder = found
    return Value(text, how) if holder is ds else Value(text, "inherited", holder.name)


def file_system(cat: Catalogue, snapshot: Ds) -> Ds:
    found = cat.get(file_system_of(snapshot.name))
    assert found is not None, snapshot.name
    return found


def pool(ds: Ds) -> str:
    return pool_of(ds.name)
