"""zfs list, get and holds: the machine's answers with the lab's names and the properties the lab keeps itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zonemgr.lab.openzfs import mounts
from zonemgr.lab.openzfs.job import Job
from zonemgr.lab.openzfs.kept import KEPT, PREFIX, user_property
from zonemgr.lab.zfs import names, props, show
from zonemgr.lab.zfs.text import Refused, Usage, flags, options

_TYPES = {**names.TYPES, "snap": names.SNAP, "all": names.DATASET | names.MARK}
_OURS = {*KEPT, "mounted"}  # columns that are not asked of the machine
# Properties of OpenZFS on Linux that illumos' zfs has not: `get all` leaves them out.
LINUX_ONLY = frozenset(
    {
        *("context", "fscontext", "defcontext", "rootcontext", "relatime", "overlay", "snapdev", "volmode"),
        *("acltype", "redundant_metadata", "snapshots_changed", "longname"),
    }
)
Row = list[str]


# -- which datasets ----------------------------------------------------------------------------------------------


@dataclass
class Scope:
    """The options and operands that say which datasets: as the machine's zfs is to be asked."""

    words: list[str]
    targets: list[str]
    status: int = 0


def scope(job: Job, found: Sequence[tuple[str, str]], operands: Sequence[str]) -> Scope:
    """No operand means every pool of the lab, with all that is below."""
    depth, types, recursive = None, "", False
    for letter, value in found:
        if letter == "d":
            depth, recursive = show.depth_limit(value), True
        elif letter == "t":
            show.parse_types(value, _TYPES)
            types = value
        elif letter == "r":
            recursive = True
    words = ["-t", types] if types else []
    if not operands:
        extra = [] if depth is None else ["-d", str(depth + 1)]
        return Scope([*words, "-r", *extra], [job.machine.base])
    limit = ["-d", str(depth)] if depth is not None else []
    chosen = Scope([*words, *(["-r"] if recursive and depth is None else []), *limit], [])
    for operand in operands:
        try:
            chosen.targets.append(_target(job, operand))
        except Refused as reason:
            chosen.status = job.report(reason)
    return chosen


def _target(job: Job, operand: str) -> str:
    """A name, or a path in the file system that is meant."""
    if not operand.startswith(("/", "./")):
        return job.named(operand)
    full = os.path.normpath(os.path.join(job.call.cwd, operand))
    if not job.place(full).exists():
        raise Refused(f"{operand}: No such file or directory")
    mounted = mounts.holding(job.world, job.real_path(full))
    if mounted is None:
        raise Refused(f"'{operand}': not a ZFS filesystem")
    return job.machine.real(mounted.dataset)


def ask(job: Job, chosen: Scope, *words: str) -> Iterator[Row]:
    """The machine's lines about datasets the caller may see; the first field is a name, given as the lab's."""
    if not chosen.targets:
        return
    done = job.machine.run(*words, *chosen.targets)
    job.call.err(job.machine.text(done.stderr))
    chosen.status = max(chosen.status, done.exit_code)
    for line in done.stdout.splitlines():
        row = line.split("\t")
        if not job.machine.owns(row[0]):  # the dataset that holds the lab's pools
            continue
        row[0] = job.machine.lab(row[0])
        if job.view is None or job.view.visible(row[0]):
            yield row


def ours(job: Job, name: str, prop: str) -> tuple[str, str]:
    """Value and source of a property that the machine is not asked for."""
    if prop == "mounted":
        if job.table.types.get(name) != "filesystem":
            return "-", "-"
        return ("yes" if mounts.of(job.world, name) else "no"), "-"
    found = job.table.value(name, prop)
    return ("-", "-") if found is None else (found.text, found.source)


def value(job: Job, prop: str, text: str) -> str:
    """A value as the lab has it: some are names."""
    if prop in ("name", "origin"):
        return job.machine.lab(text)
    if prop == "clones":
        return ",".join(job.machine.lab(each) for each in text.split(","))
    return text


# -- list --------------------------------------------------------------------------------------------------------


def list_(job: Job, args: list[str]) -> int:
    found, operands = options(args, "HS:d:o:prs:t:")
    given = flags(found)
    wanted = show.columns(dict(found).get("o", "name,used,available,referenced,mountpoint"))
    if not wanted:
        raise Refused("lab: zfs list -o all is not supported with --zfs system")
    columns = [each if isinstance(each, str) else each.name for each in wanted]
    asked = ["name", *("name" if each in _OURS else each for each in columns)]
    order = [word for letter, text in found if letter in "sS" for word in (f"-{letter}", _sorted_by(text))]
    chosen = scope(job, found, operands)
    flag = ["-p"] if "p" in given else []
    rows = []
    for row in ask(job, chosen, "list", "-H", *flag, "-o", ",".join(asked), *order, *chosen.words):
        rows.append([_cell(job, row[0], *each) for each in zip(columns, row[1:], strict=True)])
    if "H" in given:
        job.call.out("".join("\t".join(row) + "\n" for row in rows))
    elif rows:
        _table(job, wanted, rows)
    elif not chosen.status:
        job.out("no datasets available")
    return chosen.status


def _sorted_by(text: str) -> str:
    prop = props.find(text)
    if prop is None and not props.is_user(text):
        raise Usage(f"invalid property '{text}'")
    return user_property(prop.name if prop is not None else text)


def _cell(job: Job, name: str, column: str, text: str) -> str:
    return ours(job, name, column)[0] if column in _OURS else value(job, column, text)


def _table(job: Job, wanted: Sequence[show.Column], rows: list[Row]) -> None:
    headers = [each.upper() if isinstance(each, str) else each.column for each in wanted]
    rights = [not isinstance(each, str) and each.right for each in wanted]
    least = [5 if right else 0 for right in rights]
    widths = [max(low, *(len(row[at]) for row in (headers, *rows))) for at, low in enumerate(least)]
    for row in (headers, *rows):
        cells = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, rights, strict=True)
        ]
        job.out("  ".join(cells if rights[-1] else [*cells[:-1], row[-1]]))


# -- get ---------------------------------------------------------------------------------------------------------

_FIELDS = ("name", "property", "value", "received", "source")
_SOURCES = ("local", "default", "inherited", "received", "temporary", "none")


def get(job: Job, args: list[str]) -> int:
    found, operands = options(args, "d:o:s:rt:Hp", missing="missing argument for '{}' option")
    given = flags(found)
    fields, sources = ["name", "property", "value", "source"], list(_SOURCES)
    for letter, text in found:
        if letter == "o":
            fields = _among(text, _FIELDS, "column name")
        elif letter == "s":
            sources = _among(text, _SOURCES, "source")
    if not operands:
        raise Usage("missing property argument")
    wanted = [each if isinstance(each, str) else each.name for each in show.columns(operands[0])]
    chosen = scope(job, found, operands[1:])
    rows = [
        dict(zip(_FIELDS, row, strict=True))
        for row in _rows(job, chosen, wanted, ["-p"] if "p" in given else [])
        if _kind(row[4]) in sources
    ]
    _print(job, rows, fields, scripted="H" in given)
    return chosen.status


def _among(text: str, known: Sequence[str], what: str) -> list[str]:
    words = text.split(",") if text else []
    if words == ["all"]:
        return list(known)
    for word in words:
        if word not in known:
            raise Usage(f"invalid {what} '{word}'")
    return words


def _kind(source: str) -> str:
    return "none" if source == "-" else source.partition(" ")[0]


def _rows(job: Job, chosen: Scope, wanted: list[str], flag: list[str]) -> Iterator[Row]:
    """Name, property, value, received value, source: of what was asked for, or of all that there is."""
    everything = not wanted
    asked = "all" if everything else ",".join(user_property(each) for each in wanted)
    for row in ask(job, chosen, "get", "-H", *flag, "-o", ",".join(_FIELDS), *chosen.words, asked):
        name, prop, text, received, source = row
        prop = prop.removeprefix(PREFIX) if not everything else prop
        if everything and (prop in LINUX_ONLY or prop.startswith(PREFIX)):
            continue
        source = job.table.source(source)
        if prop in _OURS:
            text, source = ours(job, name, prop)
            if everything and text == "-":
                continue
            received = "-" if everything else received
        yield [name, prop, value(job, prop, text), received, source]


def _print(job: Job, rows: list[dict[str, str]], fields: list[str], *, scripted: bool) -> None:
    if scripted:
        job.call.out("".join("\t".join(row[name] for name in fields) + "\n" for row in rows))
        return
    if not rows:
        return
    header = {name: name.upper() for name in _FIELDS}
    widths = {name: max(len(row[name]) for row in (header, *rows)) for name in _FIELDS}
    for row in (header, *rows):
        job.out("  ".join([*(row[each].ljust(widths[each]) for each in fields[:-1]), row[fields[-1]]]))


# -- holds -------------------------------------------------------------------------------------------------------


def holds(job: Job, args: list[str]) -> int:
    found, operands = options(args, "rH")
    if not operands:
        raise Usage
    given = flags(found)
    chosen = Scope([], [job.named(each) for each in operands])
    recursive = ["-r"] if "r" in given else []
    rows = list(ask(job, chosen, "holds", "-H", *recursive))
    if "H" in given:
        job.call.out("".join("\t".join(row) + "\n" for row in rows))
    elif rows:
        header = ["NAME", "TAG", "TIMESTAMP"]
        widths = [max(len(row[at]) for row in (header, *rows)) for at in range(3)]
        for row in (header, *rows):
            job.out("  ".join([row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2]]))
    return chosen.status
