"""The lab's zpool: list, get, set, status, create on files, destroy. There is one pool from the start, rpool."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zonemgr.lab.call import Call
from zonemgr.lab.world import World
from zonemgr.lab.zfs import add_pool, mounting, names
from zonemgr.lab.zfs.catalogue import Catalogue
from zonemgr.lab.zfs.job import Job
from zonemgr.lab.zfs.space import Space
from zonemgr.lab.zfs.store import changing, reconcile
from zonemgr.lab.zfs.text import Refused, Usage, flags, nice, options
from zonemgr.lab.zfs.zones import view

_SMALLEST = 64 * 1024 * 1024

# name -> header, default ("" for computed), may it be set and to what
_ONOFF = ("on", "off")


class _Prop(NamedTuple):
    name: str
    column: str
    default: str | None  # None: computed
    choices: tuple[str, ...] = ()
    right: bool = True


_PROPS: dict[str, _Prop] = {
    prop.name: prop
    for prop in (
        _Prop("size", "SIZE", None),
        _Prop("capacity", "CAP", None),
        _Prop("altroot", "ALTROOT", "-", right=False),
        _Prop("health", "HEALTH", None, right=False),
        _Prop("guid", "GUID", None),
        _Prop("version", "VERSION", "-"),
        _Prop("bootfs", "BOOTFS", "-", right=False),
        _Prop("delegation", "DELEGATION", "on", _ONOFF),
        _Prop("autoreplace", "REPLACE", "off", _ONOFF),
        _Prop("cachefile", "CACHEFILE", "-", right=False),
        _Prop("failmode", "FAILMODE", "wait", ("wait", "continue", "panic")),
        _Prop("listsnapshots", "LISTSNAPS", "off", _ONOFF),
        _Prop("autoexpand", "EXPAND", "off", _ONOFF),
        _Prop("dedupditto", "DEDUPDITTO", "0"),
        _Prop("dedupratio", "DEDUP", None),
        _Prop("free", "FREE", None),
        _Prop("allocated", "ALLOC", None),
        _Prop("readonly", "RDONLY", None),
        _Prop("comment", "COMMENT", "-", right=False),
        _Prop("expandsize", "EXPANDSZ", None),
        _Prop("freeing", "FREEING", None),
        _Prop("fragmentation", "FRAG", None),
        _Prop("leaked", "LEAKED", None),
        _Prop("bootsize", "BOOTSIZE", "-"),
        _Prop("checkpoint", "CKPOINT", None),
        _Prop("multihost", "MULTIHOST", "off", _ONOFF),
        _Prop("ashift", "ASHIFT", "0"),
        _Prop("autotrim", "AUTOTRIM", "off", _ONOFF),
        _Prop("name", "NAME", None, right=False),
    )
}
_DEFAULT = "name,size,allocated,free,checkpoint,expandsize,fragmentation,capacity,dedupratio,health,altroot"
_SYNTAX = {
    "list": "list [-Hp] [-o property[,...]] [pool] ...",
    "get": 'get [-Hp] [-o "all" | field[,...]] <"all" | property[,...]> <pool> ...',
    "set": "set <property=value> <pool>",
    "status": "status [-x] [pool] ...",
    "create": "create <pool> <file> ...",
    "destroy": "destroy [-f] <pool>",
}


def zpool(call: Call) -> int:
    if len(call.argv) < 2:
        return _usage(call, "missing command", None)
    name = call.argv[1]
    if call.zone is not None and name not in ("list", "get", "status"):
        return call.fail(f"lab: zpool {name} in a zone is not emulated")
    command = _COMMANDS.get(name)
    if command is None:
        return call.fail(f"lab: zpool {name} is not emulated")
    reconcile(call.world)
    try:
        return command(call, call.argv[2:])
    except Usage as wrong:
        return _usage(call, wrong.text, name)
    except Refused as reason:
        return call.fail(reason.text, reason.status)


def _usage(call: Call, problem: str, name: str | None) -> int:
    lines = [problem] if problem else []
    lines += ["usage:" if name else "usage: zpool command args ..."]
    lines += [f"\t{text}" for each, text in _SYNTAX.items() if name in (None, each)]
    call.err("\n".join(lines) + "\n")
    return 2


# -- which pools and properties ------------------------------------------------------------------------------


def _pools(call: Call, wanted: list[str]) -> tuple[list[str], int]:
    there, status, found = _known(call), 0, []
    for name in wanted or there:
        try:
            names.check_pool(name)
            if name not in there:
                raise names.BadName("no such pool")
            found.append(name)
        except names.BadName as reason:
            status = call.fail(f"cannot open '{name}': {reason}")
    return sorted(set(found)), status


def _known(call: Call) -> list[str]:
    if call.world.pool:
        from zonemgr.lab.openzfs import pools

        return pools.names(call)
    return Catalogue(call.world, view(call)).pools()


def _reader(world: World, pool: str, *, literal: bool) -> Callable[[str], tuple[str, str]]:
    """Value and source of a pool's properties, by name."""
    if world.pool:
        from zonemgr.lab.openzfs import pools

        return pools.reader(world, pool, literal=literal)
    values = _Values(world, pool, literal=literal)
    return lambda name: values.get(_PROPS[name])


def _columns(text: str) -> list[_Prop]:
    if text == "all":
        return [prop for prop in _PROPS.values() if prop.name != "name"]
    by_column = {prop.column.lower(): prop for prop in _PROPS.values()}
    found = []
    for word in text.removesuffix(",").split(","):
        prop = _PROPS.get(word) or by_column.get(word)
        if word.startswith("feature@"):
            raise Refused("lab: pool features are not emulated")
        if prop is None:
            why = f"invalid property '{word}'" if word else "empty property name"
            raise Usage(f"bad property list: {why if text else 'no properties specified'}")
        found.append(prop)
    return found


class _Values:
    """The properties of one pool, exact or for reading."""

    def __init__(self, world: World, pool: str, *, literal: bool) -> None:
        self.cat, self.pool, self.literal = Catalogue(world), pool, literal
        self.size = Space(self.cat).pool_size(pool)
        rows = world.db.execute("select name, value from zfs_pool_props where pool = ?", (pool,))
        self.own = {str(name): str(value) for name, value in rows}

    def allocated(self) -> int:
        root = self.cat.get(self.pool)
        assert root is not None
        return min(Space(self.cat).used(root), self.size)

    def get(self, prop: _Prop) -> tuple[str, str]:
        """Value and source."""
        if prop.default is not None:
            own = self.own.get(prop.name)
            return (prop.default, "default") if own is None else (own, "local")
        return self._computed(prop.name), "-"

    def _computed(self, name: str) -> str:
        if name in ("size", "free", "allocated", "capacity"):
            return self._space(name)
        if name == "guid":
            row = self.cat.db.execute("select guid from zfs_pools where name = ?", (self.pool,)).fetchone()
            return str(row[0])
        if name in ("freeing", "leaked"):
            return "0"
        fixed = {"name": self.pool, "health": "ONLINE", "dedupratio": "1.00" if self.literal else "1.00x"}
        fixed |= {"readonly": "off", "fragmentation": "0" if self.literal else "0%"}
        return fixed.get(name, "-")

    def _space(self, name: str) -> str:
        used = self.allocated()
        if name == "capacity":
            return f"{used * 100 // self.size}" + ("" if self.literal else "%")
        number = {"size": self.size, "free": self.size - used, "allocated": used}[name]
        return str(number) if self.literal else nice(number)


# -- the commands --------------------------------------------------------------------------------------------


def _list(call: Call, args: list[str]) -> int:
    found, operands = options(args, "Ho:pvT:")
    given = flags(found)
    if given & {"v", "T"}:
        raise Refused("lab: zpool list -v and -T are not emulated")
    if operands and operands[-1].isdigit():
        raise Refused("lab: zpool list with an interval is not emulated")
    wanted = _columns(dict(found).get("o", _DEFAULT))
    pools, status = _pools(call, operands)
    rows = []
    for pool in pools:
        values = _reader(call.world, pool, literal="p" in given)
        rows.append([values(prop.name)[0] for prop in wanted])
    if "H" in given:
        call.out("".join("\t".join(row) + "\n" for row in rows))
    elif rows:
        _table(call, [prop.column for prop in wanted], rows, [prop.right for prop in wanted])
    elif not status and not operands:
        call.out("no pools available\n")
    return 0 if rows else status  # one that is there makes up for one that is not


def _table(call: Call, header: list[str], rows: list[list[str]], rights: list[bool]) -> None:
    widths = [
        max(5 if right else 0, *(len(row[at]) for row in (header, *rows))) for at, right in enumerate(rights)
    ]
    for row in (header, *rows):
        cells = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, rights, strict=True)
        ]
        call.out("  ".join(cells if rights[-1] else [*cells[:-1], row[-1]]) + "\n")


def _get(call: Call, args: list[str]) -> int:
    found, operands = options(args, "Hpo:", missing="missing argument for '{}' option")
    given, fields = flags(found), dict(found).get("o", "name,property,value,source")
    if not operands:
        raise Usage("missing property argument")
    chosen = ["name", "property", "value", "source"] if fields == "all" else fields.split(",")
    for word in chosen:
        if word not in ("name", "property", "value", "source"):
            raise Usage(f"invalid column name '{word}'")
    wanted = _columns(operands[0])
    pools, status = _pools(call, operands[1:])
    rows: list[dict[str, str]] = []
    for pool in pools:
        values = _reader(call.world, pool, literal="p" in given)
        for prop in wanted:
            value, source = values(prop.name)
            rows.append({"name": pool, "property": prop.name, "value": value, "source": source})
    _print_get(call, rows, chosen, wanted, scripted="H" in given)
    return status


def _print_get(
    call: Call, rows: list[dict[str, str]], chosen: list[str], wanted: list[_Prop], *, scripted: bool
) -> None:
    if scripted:
        call.out("".join("\t".join(row[name] for name in chosen) + "\n" for row in rows))
        return
    if not rows:
        return
    header = {name: name.upper() for name in ("name", "property", "value", "source")}
    widths = {name: max(len(row[name]) for row in (header, *rows)) for name in header}
    least = [max(len(prop.column), 5, *map(len, prop.choices)) for prop in wanted]
    if any(prop.name == "health" for prop in wanted):
        least.append(len("DEGRADED"))
    widths["value"] = max(widths["value"], *least)
    for row in (header, *rows):
        call.out(
            "  ".join([*(row[name].ljust(widths[name]) for name in chosen[:-1]), row[chosen[-1]]]) + "\n"
        )


def _set(call: Call, args: list[str]) -> int:
    if args and args[0].startswith("-"):
        raise Usage(f"invalid option '{args[0][1:2]}'")
    if len(args) < 2:
        raise Usage("missing pool name" if args else "missing property=value argument")
    if len(args) > 2:
        raise Usage("too many pool names")
    word, equals, value = args[0].partition("=")
    if not equals:
        raise Usage("missing value in property=value argument")
    pools, status = _pools(call, [args[1]])
    if status:
        return status
    _set_one(call, pools[0], word, value)
    return 0


def _set_one(call: Call, pool: str, word: str, value: str) -> None:
    doing = f"cannot set property for '{pool}'"
    prop = next((each for each in _PROPS.values() if word in (each.name, each.column.lower())), None)
    if prop is None:
        raise Refused(f"{doing}: invalid property '{word}'")
    if prop.default is None:
        raise Refused(f"{doing}: '{word}' is readonly")
    if prop.choices and value not in prop.choices:
        raise Refused(f"{doing}: '{prop.name}' must be one of '{' | '.join(prop.choices)}'")
    if prop.name not in ("listsnapshots", "comment", "autoexpand", "autoreplace", "delegation", "failmode"):
        raise Refused(f"lab: zpool set {prop.name} is not emulated")
    if not call.privileged:
        raise Refused(f"{doing}: permission denied")
    if call.world.pool:
        raise Refused("lab: zpool set is not supported with --zfs system: the pool is the machine's")
    with call.world.transaction():
        row = (pool, prop.name, value or "-")
        call.world.db.execute("insert or replace into zfs_pool_props values (?, ?, ?)", row)


def _status(call: Call, args: list[str]) -> int:
    found, operands = options(args, "xvDT:")
    given = flags(found)
    if given & {"v", "D", "T"}:
        raise Refused("lab: zpool status with other options than -x is not emulated")
    pools, status = _pools(call, operands)
    if "x" in given:
        for line in (
            [f"pool '{pool}' is healthy" for pool in pools] if operands else ["all pools are healthy"]
        ):
            call.out(line + "\n")
        return status
    if not pools and not status:
        call.out("no pools available\n")
    call.out("\n".join(_pool_status(call.world, pool) for pool in pools))
    return status


def _pool_status(world: World, pool: str) -> str:
    vdevs = _vdevs(world, pool)
    width = max(len("NAME"), len(pool), *(len(vdev) + 2 for vdev in vdevs))
    lines = [f"  pool: {pool}", " state: ONLINE", "  scan: none requested", "config:", ""]
    lines.append(f"\t{'NAME'.ljust(width)}  STATE     READ WRITE CKSUM")
    lines += [
        f"\t{name.ljust(width)}  ONLINE       0     0     0" for name in [pool, *(f"  {v}" for v in vdevs)]
    ]
    return "\n".join([*lines, "", "errors: No known data errors"]) + "\n"


def _vdevs(world: World, pool: str) -> list[str]:
    if world.pool:
        from zonemgr.lab.openzfs import pools

        return [pools.vdevs(world)]
    row = world.db.execute("select vdevs from zfs_pools where name = ?", (pool,)).fetchone()
    return str(row[0]).split(" ")


def _create(call: Call, args: list[str]) -> int:
    found, operands = options(args, "")
    assert not found
    if not operands:
        raise Usage("missing pool name argument")
    if len(operands) < 2:
        raise Usage("missing vdev specification")
    pool, vdevs = operands[0], operands[1:]
    _check_new_name(pool)
    size = sum(_vdev_size(call, vdev) for vdev in vdevs)
    if pool in _known(call):
        raise Refused(f"cannot create '{pool}': pool already exists")
    if not call.privileged:
        raise Refused(f"cannot create '{pool}': permission denied")
    if call.world.pool:
        from zonemgr.lab.openzfs import lifecycle

        lifecycle.add_pool(call.world, pool)
    else:
        add_pool(call.world, pool, size=size, vdevs=" ".join(vdevs))
    return 0


def _check_new_name(pool: str) -> None:
    try:
        names.check_pool(pool, making=True)
    except names.BadName as reason:
        hint = "use 'zfs create' to create a dataset" if "/" in pool else "pool name may have been omitted"
        raise Refused(f"cannot create '{pool}': {reason}\n{hint}") from None


def _vdev_size(call: Call, vdev: str) -> int:
    if not vdev.startswith("/"):
        raise Refused(
            f"cannot open '{vdev}': no such device in /dev/dsk\nmust be a full path or shorthand device name"
        )
    path = call.path(vdev)
    if not path.exists():
        raise Refused(f"cannot open '{vdev}': No such file or directory")
    if not path.is_file():
        raise Refused(f"cannot use '{vdev}': must be a block device or regular file")
    if path.stat().st_size < _SMALLEST:
        raise Refused("cannot create pool: one or more devices is less than the minimum size (64M)")
    return path.stat().st_size


def _destroy(call: Call, args: list[str]) -> int:
    found, operands = options(args, "f")
    if not operands:
        raise Usage("missing pool argument")
    if len(operands) > 1:
        raise Usage("too many arguments")
    pools, status = _pools(call, operands)
    if status:
        return status
    if pools[0] == "rpool":
        raise Refused("lab: destroying the root pool is not emulated")
    if call.world.pool:
        from zonemgr.lab.openzfs import pools as machines

        return machines.destroy(call, pools[0], force="f" in flags(found))
    with changing(call.world) as store:
        return _destroy_pool(Job(call, store), pools[0], force="f" in flags(found))


def _destroy_pool(job: Job, pool: str, *, force: bool) -> int:
    if not job.allowed:
        return job.call.fail(f"cannot destroy '{pool}': permission denied")
    datasets = job.cat.under(pool)
    mounted = [each for ds in datasets if (each := job.cat.mount(ds)) is not None]
    for each in sorted(mounted, key=lambda one: one.path, reverse=True):
        if not mounting.unmount(job, job.cat.by_id(each.ds), force=force):
            return job.call.fail(f"could not destroy '{pool}': could not unmount datasets")
    for ds in datasets:
        job.cat.delete(ds)
        for path in (job.store.fs(ds.id), job.store.snap(ds.id)):
            job.store.purge(path)
    for table, column in (("zfs_pools", "name"), ("zfs_pool_props", "pool")):
        job.world.db.execute(f"delete from {table} where {column} = ?", (pool,))
    return 0


_COMMANDS: dict[str, Callable[[Call, list[str]], int]] = {
    "list": _list,
    "get": _get,
    "set": _set,
    "status": _status,
    "create": _create,
    "destroy": _destroy,
}
