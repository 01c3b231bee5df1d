"""The lab's zfs: datasets in SQLite, their contents as real directories.

It follows the illumos gate of 2022: the same checks in the same order with the same words. `names`, `props`
and `proplist` know what may be asked for; `catalogue` what there is; `store` where the files are; `mounting`
and `busy` bring the two together; the other modules are the commands.
"""

from __future__ import annotations

import importlib
from dataclasses import replace

from zonemgr.lab.call import Call
from zonemgr.lab.world import FIRST_DAY, World
from zonemgr.lab.zfs import shortage
from zonemgr.lab.zfs.catalogue import Catalogue, new_guid
from zonemgr.lab.zfs.job import Job, Said
from zonemgr.lab.zfs.store import changing, prepare, reconcile
from zonemgr.lab.zfs.text import Refused, Usage

__all__ = ["add_pool", "everything", "mounted_at", "mounts", "reconcile", "zfs"]

_ALIASES = {"umount": "unmount", "recv": "receive", "snap": "snapshot"}
# command -> module, function, does it change anything
_COMMANDS: dict[str, tuple[str, str, bool]] = {
    "create": ("make", "create", True),
    "clone": ("make", "clone", True),
    "snapshot": ("make", "snapshot", True),
    "bookmark": ("make", "bookmark", True),
    "destroy": ("destroying", "destroy", True),
    "rollback": ("destroying", "rollback", True),
    "list": ("show", "list_", False),
    "get": ("show", "get", False),
    "set": ("change", "set_", True),
    "inherit": ("change", "inherit", True),
    "rename": ("change", "rename", True),
    "promote": ("change", "promote", True),
    "hold": ("holding", "hold", True),
    "release": ("holding", "release", True),
    "holds": ("holding", "holds", False),
    "mount": ("mountcmd", "mount", True),
    "unmount": ("mountcmd", "unmount", True),
    "send": ("stream", "send", False),
    "receive": ("receiving", "receive", True),
}
_NOT_EMULATED = (
    *("allow", "unallow", "diff", "upgrade", "userspace", "groupspace", "projectspace", "project", "share"),
    *("unshare", "remap", "program", "load-key", "unload-key", "change-key"),
)


def zfs(call: Call) -> int:
    if len(call.argv) < 2:
        return _usage(call, "missing command", None)
    name, args = call.argv[1], call.argv[2:]
    name = _ALIASES.get(name, name)
    if name == "-?":
        from zonemgr.lab.zfs import usage

        call.out(usage.text(None))
        return 0
    if "=" in name and name not in _COMMANDS:
        name, args = "set", call.argv[1:]
    if call.world.pool:
        from zonemgr.lab import openzfs

        status = openzfs.zfs(call, name, args)
        if status is not None:
            return status
    elif name in _COMMANDS:
        return _run(call, name, args)
    if name in _NOT_EMULATED:
        return call.fail(f"lab: zfs {name} is not emulated")
    return _usage(call, f"unrecognized command '{name}'", None)


def _run(call: Call, name: str, args: list[str]) -> int:
    module, function, changes = _COMMANDS[name]
    command = getattr(importlib.import_module(f"zonemgr.lab.zfs.{module}"), function)
    if not changes:
        reconcile(call.world)
        if name == "send":  # its reader may take its time, and want to write
            return _guarded(Job(call), command, name, args)
        with call.world.snapshot():
            return _guarded(Job(call), command, name, args)
    no = shortage.refusal(call, name, args)
    if no:
        return call.fail(no)
    # Nobody waits for anybody with the lock held: not for a pipe to be read, not for one to be filled.
    said = Said()
    held = replace(call, stdout=said.out, stderr=said.err)
    if name == "receive":
        from zonemgr.lab.zfs.receiving import drained

        held.stdin = drained(call.stdin, args)
    with changing(call.world) as store:
        status = _guarded(Job(held, store), command, name, args)
    said.pass_on(call)
    return status


def _guarded(job: Job, command: object, name: str, args: list[str]) -> int:
    assert callable(command)
    try:
        return int(command(job, args))
    except Refused as reason:
        return job.report(reason)
    except Usage as wrong:
        return _usage(job.call, wrong.text, name)


def _usage(call: Call, problem: str, name: str | None) -> int:
    from zonemgr.lab.zfs import usage

    call.err((problem + "\n" if problem else "") + usage.text(name))
    return 2


# -- for the other tools -------------------------------------------------------------------------------------


def mounts(world: World) -> list[tuple[str, str]]:
    """Dataset and mount point of all that is mounted, in the order of mounting; the boot environment is at /."""
    if world.pool:
        from zonemgr.lab.zfs import mnttab

        return [(each.dataset, each.path) for each in mnttab.entries(world)]
    rows = world.db.execute(
        "select d.name, m.path from zfs_mounts m join zfs_datasets d on d.id = m.ds order by m.seq"
    )
    return [(str(name), str(path)) for name, path in rows]


def mounted_at(world: World, path: str) -> str | None:
    """The dataset mounted exactly here."""
    if world.pool:
        return next((name for name, point in mounts(world) if point == (path.rstrip("/") or "/")), None)
    query = "select d.name from zfs_mounts m join zfs_datasets d on d.id = m.ds where m.path = ?"
    row = world.db.execute(query, (path.rstrip("/") or "/",)).fetchone()
    return None if row is None else str(row[0])


def everything(world: World) -> list[dict[str, object]]:
    """All datasets as they matter to a comparison: no ids, no times, no sizes."""
    if world.pool:
        from zonemgr.lab.openzfs import comparing

        return comparing.everything(world)
    cat = Catalogue(world)
    cat.bulk_mounts()
    return [
        _described(cat, name) for (name,) in world.db.execute("select name from zfs_datasets order by name")
    ]


def _described(cat: Catalogue, name: str) -> dict[str, object]:
    ds = cat.get(name)
    assert ds is not None
    origin, mounted = cat.origin(ds), cat.mount(ds)
    own = cat.props(ds)
    return {
        "name": ds.name,
        "type": ds.type,
        "local": {name: own[name].local for name in sorted(own) if own[name].local is not None},
        "received": {name: own[name].received for name in sorted(own) if own[name].received is not None},
        "origin": None if origin is None else origin.name,
        "holds": [tag for tag, _ in cat.holds(ds)],
        "userrefs": len(cat.holds(ds)),
        "defer_destroy": ds.defer,
        "mounted": None if mounted is None else mounted.path,
    }


# -- the first day -------------------------------------------------------------------------------------------

BE_UUID = "org.opensolaris.libbe:uuid"


def add_pool(world: World, name: str, *, size: int, vdevs: str) -> None:
    """A new pool with its root file system, mounted at /NAME."""
    call = Call(world, ["zpool", "create", name])
    with changing(world) as store:
        job = Job(call, store)
        row = (name, new_guid(), world.now(), size, vdevs)
        world.db.execute("insert into zfs_pools values (?, ?, ?, ?, ?)", row)
        root = job.cat.add(name, "filesystem")
        store.made(store.fs(root.id)).mkdir(mode=0o755)
        from zonemgr.lab.zfs import mounting

        mounting.mount(job, root)


def _first_day(world: World) -> None:
    prepare(world)
    if world.pool:
        from zonemgr.lab.openzfs import lifecycle

        lifecycle.first_day(world)
    else:
        _emulated_day(world)


def _emulated_day(world: World) -> None:
    import uuid

    from zonemgr.lab.zfs.space import POOL_SIZE

    add_pool(world, "rpool", size=POOL_SIZE, vdevs="c1t0d0")
    be = f"rpool/ROOT/{'omnios' if world.omnios else 'openindiana'}"
    for argv in (
        ("create", "-o", "mountpoint=legacy", "rpool/ROOT"),
        ("create", "-o", "canmount=noauto", "-o", "mountpoint=/", "-o", f"{BE_UUID}={uuid.uuid4()}", be),
        ("create", "-V", "2G", "rpool/swap"),
        ("create", "-V", "1G", "rpool/dump"),
        ("create", "-o", "mountpoint=/export", "rpool/export"),
        ("create", "rpool/export/home"),
    ):
        call = Call(world, ["zfs", *argv])
        if zfs(call):
            raise RuntimeError(f"{call.argv} on the first day: {getattr(call.stderr, 'getvalue', str)()!r}")
    world.db.execute("insert or replace into zfs_pool_props values ('rpool', 'bootfs', ?)", (be,))
    with changing(world):
        cat = Catalogue(world)
        root = cat.get(be)
        assert root is not None
        cat.put_mount(root, "/", "", pinned=True)


FIRST_DAY.insert(0, _first_day)
