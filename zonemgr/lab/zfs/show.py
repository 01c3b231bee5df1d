"""zfs list and get."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from zonemgr.lab.zfs import names, props
from zonemgr.lab.zfs.catalogue import Ds
from zonemgr.lab.zfs.job import Job
from zonemgr.lab.zfs.mounting import place, real_path
from zonemgr.lab.zfs.names import DATASET, FS, MARK, SNAP, VOL
from zonemgr.lab.zfs.text import Refused, Usage, flags, options
from zonemgr.lab.zfs.values import SOURCES, Reader

_SPACE = (
    "name",
    "available",
    "used",
    "usedbysnapshots",
    "usedbydataset",
    "usedbyrefreservation",
    "usedbychildren",
)
_ALL = DATASET | MARK
Column = props.Property | str  # a native property, or the name of another kind


# -- which datasets ----------------------------------------------------------------------------------------


@dataclass
class Choice:
    """Which datasets a command is for, beyond its operands."""

    types: int
    recursive: bool = False
    limit: int | None = None  # levels below an operand
    paths: bool = False  # operands may be paths of the global zone
    by_pool: bool = False  # no types asked for: snapshots appear as the pool's listsnapshots says
    only: frozenset[str] | None = None  # the properties that will be read; None: who knows


def choose(job: Job, operands: list[str], choice: Choice) -> tuple[list[Ds], int]:
    """The datasets, each once, in zfs' order; and 1 if an operand could not be opened."""
    status = 0
    found: dict[int, Ds] = {}
    types = choice.types
    if choice.recursive:
        types |= FS | (VOL if choice.types & (SNAP | MARK) else 0)
    roots: list[Ds] = []
    for operand in operands:
        try:
            roots.append(_operand(job, operand, types, paths=choice.paths))
        except Refused as reason:
            status = job.report(reason)
    if not operands:
        roots = [ds for pool in job.cat.pools() if (ds := job.cat.get(pool)) is not None]
        choice.recursive = True
    for root in roots:
        for ds in _reach(job, root, choice):
            found[ds.id] = ds
    return sorted(found.values(), key=lambda ds: ds.order), status


def _operand(job: Job, operand: str, types: int, *, paths: bool) -> Ds:
    if not paths or not operand.startswith(("/", "./")):
        return job.open(operand, types)
    full = os.path.normpath(os.path.join(job.call.cwd, operand))
    real = place(job, full)
    if not real.exists():
        raise Refused(f"{operand}: No such file or directory")
    mounted = job.cat.mount_holding(real_path(job, full))
    if mounted is None:
        raise Refused(f"'{operand}': not a ZFS filesystem")
    return job.open(job.cat.by_id(mounted.ds).name, FS)


def _reach(job: Job, root: Ds, choice: Choice) -> Iterable[Ds]:
    if not choice.recursive or root.type in ("snapshot", "bookmark"):
        candidates: Iterable[Ds] = (root,)
    else:
        snapshots = bool(choice.types & (SNAP | MARK))
        if choice.by_pool:
            snapshots = _lists_snapshots(job, names.pool_of(root.name))
        candidates = job.cat.under(root.name, snapshots=snapshots, only=choice.only)
    for ds in candidates:
        if job.cat.sees(ds.name) and _wanted(job, root, ds, choice):
            yield ds


def _wanted(job: Job, root: Ds, ds: Ds, choice: Choice) -> bool:
    if ds is not root and choice.limit is not None and _levels(root, ds) > choice.limit:
        return False
    return bool(ds.bit & choice.types)


def _levels(root: Ds, ds: Ds) -> int:
    """How far below: a snapshot of the root is one level down."""
    return names.depth(ds.name) - names.depth(root.name) + (ds.type in ("snapshot", "bookmark"))


def _lists_snapshots(job: Job, pool: str) -> bool:
    row = job.cat.db.execute(
        "select value from zfs_pool_props where pool = ? and name = 'listsnapshots'", (pool,)
    ).fetchone()
    return row is not None and row[0] == "on"


def depth_limit(text: str) -> int:
    try:
        limit = int(text, 0) if text.strip() else 0
    except ValueError:
        raise Usage(f"{text} is not an integer") from None
    if limit < 0:
        raise Usage("Depth can not be negative.")
    return limit


def parse_types(text: str, known: dict[str, int]) -> int:
    types = 0
    for word in text.split(",") if text else ():
        if word not in known:
            raise Usage(f"invalid type '{word}'")
        types = known[word] if word == "all" else types | known[word]
    return types


def columns(text: str) -> list[Column]:
    """The properties of a list; [] for `all`."""
    if text == "all":
        return []
    if not text:
        raise Usage("bad property list: no properties specified")
    found: list[Column] = []
    words = text.split(",")
    if words[-1] == "":
        words.pop()
    for word in words:
        if not word:
            raise Usage("bad property list: empty property name")
        found += [props.TABLE[each] for each in _SPACE] if word == "space" else [_column(word)]
    return found


def _column(word: str) -> Column:
    prop = props.find(word)
    if prop is not None and prop.types & DATASET:
        return prop
    if not (props.is_user(word) or props.is_written(word)):
        if props.is_accounting(word):
            raise Refused("lab: user and group accounting is not emulated")
        raise Usage(f"bad property list: invalid property '{word}'")
    return word


# Properties that are what is stored under their own name, or not stored at all.
_SIMPLE = frozenset(
    {
        *("name", "type", "creation", "origin", "clones", "mounted", "createtxg", "guid", "userrefs"),
        *("defer_destroy", "mountpoint", "canmount", "zoned", "sharenfs", "compression", "readonly"),
    }
)


def _read_by(wanted: list[Column]) -> frozenset[str] | None:
    """The stored properties these columns are made of, as far as that is easy to say."""
    named = {column if isinstance(column, str) else column.name for column in wanted}
    simple = all(props.is_user(name) or name in _SIMPLE for name in named)
    return frozenset(named) if named and simple else None


def every_column(reader: Reader, datasets: list[Ds]) -> list[Column]:
    """What `all` stands for: the native ones, then the user properties of any dataset shown."""
    users: set[str] = set()
    for ds in datasets:
        users |= reader.cat.user_names(ds)
    return [*props.VISIBLE, *sorted(users)]


def _least_width(column: Column) -> int:
    """The width a column has before its values are seen."""
    if isinstance(column, str):
        return len(column)
    width = len(column.column)
    if column.kind == props.NUMBER:
        width = max(width, 5)
    return max([width, *(len(choice) for choice in column.choices)])


def _fixed(column: Column, *, literal: bool) -> bool:
    if isinstance(column, str):
        return False
    return not literal and column.kind != props.STRING and column.name != "creation"


# -- list --------------------------------------------------------------------------------------------------

_LIST_TYPES = {**names.TYPES, "snap": SNAP, "all": _ALL}


def list_(job: Job, args: list[str]) -> int:
    found, operands = options(args, "HS:d:o:prs:t:")
    given, fields = flags(found), "name,used,available,referenced,mountpoint"
    choice = Choice(DATASET, recursive=bool(given & {"r", "d"}), paths=True, by_pool=True)
    order: list[tuple[Column, bool]] = []
    for letter, value in found:
        if letter == "o":
            fields = value
        elif letter == "d":
            choice.limit = depth_limit(value)
        elif letter in "sS":
            order.append((_sort_column(value), letter == "S"))
        elif letter == "t":
            choice.types, choice.by_pool = parse_types(value, _LIST_TYPES), False
    if fields == "space" and "t" not in given:
        choice.types &= ~SNAP  # but listsnapshots still counts
    wanted = columns(fields)
    choice.only = _read_by([*wanted, *(column for column, _ in order)] if wanted else [])
    datasets, status = choose(job, operands, choice)
    reader = Reader(job.cat, literal="p" in given)
    if datasets[8:]:
        job.cat.bulk_mounts()
    if order:
        datasets.sort(key=functools.cmp_to_key(_comparison(job, order)))
    wanted = wanted or [props.TABLE["name"], *every_column(reader, datasets)]
    rows = [[_cell(reader, ds, column) for column in wanted] for ds in datasets]
    _print_list(job, wanted, rows, scripted="H" in given, literal="p" in given)
    if not rows and not status and "H" not in given:
        job.out("no datasets available")
    return status


def _sort_column(text: str) -> Column:
    prop = props.find(text)
    if prop is None and not props.is_user(text):
        raise Usage(f"invalid property '{text}'")
    return prop or text


def _cell(reader: Reader, ds: Ds, column: Column) -> str:
    value = reader.user(ds, column) if isinstance(column, str) else reader.native(ds, column)
    return "-" if value is None else value.text


def _print_list(
    job: Job, wanted: list[Column], rows: list[list[str]], *, scripted: bool, literal: bool
) -> None:
    if scripted:
        if rows:
            job.call.out("".join("\t".join(row) + "\n" for row in rows))
        return
    if not rows:
        return
    widths = []
    for at, column in enumerate(wanted):
        least = _least_width(column)
        widths.append(
            least if _fixed(column, literal=literal) else max([least, *(len(row[at]) for row in rows)])
        )
    headers = [column.upper() if isinstance(column, str) else column.column for column in wanted]
    rights = [props.is_written(column) if isinstance(column, str) else column.right for column in wanted]
    for row in (headers, *rows):
        job.out(_line(row, widths, rights))


def _line(row: list[str], widths: list[int], rights: list[bool]) -> str:
    cells = []
    for at, (text, width, right) in enumerate(zip(row, widths, rights, strict=True)):
        if right:
            cells.append(text.rjust(width))
        else:
            cells.append(text if at == len(row) - 1 else text.ljust(width))
    return "  ".join(cells)


def _comparison(job: Job, order: list[tuple[Column, bool]]) -> Callable[[Ds, Ds], int]:
    """By each column in turn, what has no value last; then zfs' own order."""
    exact = Reader(job.cat, literal=True)
    cache: dict[tuple[int, int], str | int | None] = {}

    def key(ds: Ds, at: int) -> str | int | None:
        if (ds.id, at) not in cache:
            cache[ds.id, at] = _sort_value(exact, ds, order[at][0])
        return cache[ds.id, at]

    def compare(left: Ds, right: Ds) -> int:
        for at, (_, reverse) in enumerate(order):
            one, other = key(left, at), key(right, at)
            if one == other:
                continue
            if one is None or other is None:
                return 1 if one is None else -1
            less = one < other  # type: ignore[operator]  # the same column: both text or both numbers
            return -1 if less != reverse else 1
        return -1 if left.order < right.order else 1

    return compare


def _sort_value(reader: Reader, ds: Ds, column: Column) -> str | int | None:
    value = reader.user(ds, column) if isinstance(column, str) else reader.native(ds, column)
    if value is None:
        return None
    numeric = not isinstance(column, str) and column.kind == props.NUMBER
    return int(float(value.text.rstrip("x")) * 100) if numeric else value.text


# -- get ---------------------------------------------------------------------------------------------------

_GET_TYPES = {**names.TYPES, "all": _ALL}
_FIELDS = ("name", "property", "value", "received", "source")


@dataclass
class _Get:
    fields: list[str] = field(default_factory=lambda: ["name", "property", "value", "source"])
    sources: frozenset[str] = SOURCES
    scripted: bool = False


def get(job: Job, args: list[str]) -> int:
    found, operands = options(args, "d:o:s:rt:Hp", missing="missing argument for '{}' option")
    given, asked = flags(found), _Get()
    choice = Choice(_ALL, recursive=bool(given & {"r", "d"}), paths=True)
    asked.scripted = "H" in given
    for letter, value in found:
        if letter == "d":
            choice.limit = depth_limit(value)
        elif letter == "o":
            asked.fields = _get_fields(value)
        elif letter == "s":
            asked.sources = _get_sources(value)
        elif letter == "t":
            choice.types = parse_types(value, _GET_TYPES)
    if not operands:
        raise Usage("missing property argument")
    wanted = columns(operands[0])
    choice.only = _read_by(wanted)
    datasets, status = choose(job, operands[1:], choice)
    if datasets[8:]:
        job.cat.bulk_mounts()
    _print_get(job, datasets, wanted, asked, Reader(job.cat, literal="p" in given))
    return status


def _get_fields(text: str) -> list[str]:
    fields: list[str] = []
    for word in text.split(",") if text else ():
        if len(fields) == len(_FIELDS):
            raise Usage("too many fields given to -o option")
        if word == "all":
            if fields:
                raise Usage('"all" conflicts with specific fields given to -o option')
            fields = list(_FIELDS)
        elif word in _FIELDS:
            fields.append(word)
        else:
            raise Usage(f"invalid column name '{word}'")
    return fields


def _get_sources(text: str) -> frozenset[str]:
    words = text.split(",") if text else []
    for word in words:
        if word not in SOURCES:
            raise Usage(f"invalid source '{word}'")
    return frozenset(words)


def _print_get(job: Job, datasets: list[Ds], wanted: list[Column], asked: _Get, reader: Reader) -> None:
    everything = not wanted
    wanted = wanted or every_column(reader, datasets)
    rows = []
    for ds in datasets:
        for column in wanted:
            row = _get_row(reader, ds, column, everything=everything)
            if row is not None and row[5] in asked.sources:
                rows.append(dict(zip((*_FIELDS, "_"), row, strict=True)))
    lines = [[row[name] for name in asked.fields] for row in rows]
    if asked.scripted:
        job.call.out("".join("\t".join(line) + "\n" for line in lines))
    elif lines:
        _print_get_table(job, datasets, wanted, asked, rows, reader)


def _get_row(reader: Reader, ds: Ds, column: Column, *, everything: bool) -> tuple[str, ...] | None:
    name = column if isinstance(column, str) else column.name
    value = reader.user(ds, name) if isinstance(column, str) else reader.native(ds, column)
    if value is None and everything:
        return None
    text, source, holder = value if value is not None else ("-", "none", "")
    shown = {"none": "-", "inherited": f"inherited from {holder}"}.get(source, source)
    return ds.name, name, text, reader.received(ds, name) or "-", shown, source


def _print_get_table(
    job: Job,
    datasets: list[Ds],
    wanted: list[Column],
    asked: _Get,
    rows: list[dict[str, str]],
    reader: Reader,
) -> None:
    widths = {"name": 4, "property": 8, "value": 5, "received": 8, "source": 6}
    widths["name"] = max(4, *(len(ds.name) for ds in datasets))
    for column in wanted:
        name = column if isinstance(column, str) else column.name
        widths["property"] = max(widths["property"], len(name))
        widths["value"] = max(widths["value"], _least_width(column))
        if not _fixed(column, literal=reader.literal):
            cells = (len(row["value"]) for row in rows if row["property"] == name)
            widths["value"] = max([widths["value"], *cells])
    widths["received"] = max([8, *(len(row["received"]) for row in rows)])
    header = {name: name.upper() for name in _FIELDS}
    for row in (header, *rows):
        cells_of = [row[name].ljust(widths[name]) for name in asked.fields[:-1]]
        job.out("  ".join([*cells_of, row[asked.fields[-1]] if asked.fields else ""]))
