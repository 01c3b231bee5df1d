"""zfs: datasets, snapshots, clones, holds and the marks on them.

See docs/illumos.md: ZFS. Properties are read with -p (exact numbers, creation in seconds since the
epoch). Datasets and snapshots inherit user properties, so a mark counts only when it is read with `-s
local`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from zonemgr import limits
from zonemgr.errors import CommandError, NotOurs, NotThere, UsageError, ZonemgrError
from zonemgr.host.contract import lines_of
from zonemgr.host.door import Completed, Host
from zonemgr.model import Dataset, DatasetRow, RunId, Snapshot

MADE_BY = "zonemgr:run"  # user property set in the same command that makes the dataset
HOLD_TAG = "zonemgr"

Target = Dataset | Snapshot


# -- questions -----------------------------------------------------------------------------------------------


def list_datasets(
    host: Host,
    *targets: Target,
    properties: Sequence[str] = (),
    types: str = "filesystem",
    depth: int | None = None,
) -> list[DatasetRow]:
    """Datasets of these types (`filesystem,volume,snapshot`) with these properties, all in one command.

    Without targets all of the host, else these and `depth` levels below (None: themselves only, -1: all).
    Ordered by name, a dataset's snapshots after it by creation. Targets that are missing are absent. The
    answer cannot tell an unset property from one that is `-`; both are left out.
    """
    below = [] if depth is None else ["-r"] if depth < 0 else ["-d", str(depth)]
    columns = ",".join(("name", *properties))
    words = ["zfs", "list", "-H", "-p", "-o", columns, "-t", types, *below, *map(str, targets)]
    found = _some_may_be_missing(host.ask(*words, ok=(0, 1)))
    return [_row(line, properties) for line in lines_of(found.stdout)]


def _row(line: str, properties: Sequence[str]) -> DatasetRow:
    name, *values = line.split("\t")
    if len(values) != len(properties):
        raise ZonemgrError(
            f"a property of {name} has a tab or a newline in it", hint=f"see: zfs get all {name}"
        )
    return DatasetRow(
        name, {key: value for key, value in zip(properties, values, strict=True) if value != "-"}
    )


def _some_may_be_missing(found: Completed) -> Completed:
    # zfs exits 1 for any run-time failure; only this message means absent, not merely unreadable.
    if found.exit_code and not all("dataset does not exist" in line for line in lines_of(found.stderr)):
        raise found.error(hint(found.stderr))
    if found.exit_code and not found.stderr.strip():
        raise found.error()
    return found


def exists(host: Host, target: Target) -> bool:
    return bool(list_datasets(host, target, types="all"))


def get(host: Host, target: Target, *names: str) -> dict[str, str]:
    """Properties of one dataset; unset ones are absent. Raises NotThere when it does not exist."""
    return _get(host, target, names, ())


def get_local(host: Host, target: Target, *names: str) -> dict[str, str]:
    """Only what was set on this dataset itself, neither inherited nor received: the one way to read a mark."""
    return _get(host, target, names, ("-s", "local"))


def _get(host: Host, target: Target, names: Sequence[str], sources: Sequence[str]) -> dict[str, str]:
    words = ["zfs", "get", "-H", "-p", *sources, "-o", "property,value,source", ",".join(names), str(target)]
    found = _told(lambda: host.ask(*words))
    rows = [line.split("\t") for line in lines_of(found.stdout)]
    return {row[0]: row[1] for row in rows if len(row) == 3 and not (row[1] == "-" and row[2] == "-")}


def marked_below(host: Host, top: Dataset) -> set[str]:
    """Names of the file systems and snapshots at and below `top` that bear a mark of their own."""
    words = (
        "zfs",
        "get",
        "-H",
        "-r",
        "-s",
        "local",
        "-t",
        "filesystem,snapshot",
        "-o",
        "name",
        MADE_BY,
        str(top),
    )
    return set(_told(lambda: host.ask(*words)).stdout.split("\n")) - {""}


def marks(host: Host, *targets: Target) -> dict[str, str]:
    """The runs that made these datasets and snapshots, by full name; one without a mark of its own is absent."""
    if not targets:
        return {}
    words = ("zfs", "get", "-H", "-s", "local", "-o", "name,value", MADE_BY, *map(str, targets))
    rows = [line.partition("\t") for line in lines_of(_told(lambda: host.ask(*words)).stdout)]
    return {name: run for name, _, run in rows}


def local_properties(host: Host, target: Target) -> dict[str, str]:
    """All that was set on this dataset or snapshot itself; raises NotThere when it does not exist."""
    words = ("zfs", "get", "-H", "-p", "-s", "local", "-o", "property,value", "all", str(target))
    rows = [line.partition("\t") for line in lines_of(_told(lambda: host.ask(*words)).stdout)]
    return {name: value for name, _, value in rows}


def local_values(host: Host, *names: str) -> list[tuple[str, str, str]]:
    """Dataset, property and value wherever one of these was set on a file system itself; the whole host at once."""
    words = ("zfs", "get", "-H", "-p", "-s", "local", "-t", "filesystem", "-o", "name,property,value")
    found = _told(lambda: host.ask(*words, ",".join(names)))
    rows = [line.split("\t") for line in lines_of(found.stdout)]
    return [(row[0], row[1], row[2]) for row in rows if len(row) == 3]


def local_below(host: Host, top: Dataset, *names: str) -> dict[str, dict[str, str]]:
    """These properties of all file systems and snapshots at and below `top`, where they are set on these themselves."""
    words = (
        "zfs",
        "get",
        "-H",
        "-r",
        "-s",
        "local",
        "-t",
        "filesystem,snapshot",
        "-o",
        "name,property,value",
    )
    found: dict[str, dict[str, str]] = {}
    for line in lines_of(_told(lambda: host.ask(*words, ",".join(names), str(top))).stdout):
        name, label, value = line.split("\t", 2)
        found.setdefault(name, {})[label] = value
    return found


def marked_snapshots(host: Host) -> list[tuple[str, str]]:
    """Name and run of every snapshot of the host that bears a mark of its own; one command."""
    words = ("zfs", "get", "-H", "-s", "local", "-t", "snapshot", "-o", "name,value", MADE_BY)
    rows = [line.partition("\t") for line in lines_of(_told(lambda: host.ask(*words)).stdout)]
    return [(name, run) for name, _, run in rows]


def holds(host: Host, *snapshots: Snapshot) -> dict[str, set[str]]:
    """The hold tags of these snapshots by their full name; one without holds is absent."""
    if not snapshots:
        return {}
    found = _told(lambda: host.ask("zfs", "holds", "-H", *map(str, snapshots)))
    tags: dict[str, set[str]] = {}
    for line in lines_of(found.stdout):
        name, tag, *_ = line.split("\t")
        tags.setdefault(name, set()).add(tag)
    return tags


def key_is_missing(host: Host, target: Target) -> bool:
    """Is it encrypted, and its key not loaded? False as well where zfs knows no encryption: there it exits 2."""
    found = host.ask("zfs", "get", "-H", "-o", "value", "keystatus", str(target), ok=(0, 1, 2))
    return found.stdout.strip() == "unavailable"


def clones(host: Host, *snapshots: Snapshot) -> dict[str, list[str]]:
    """The datasets cloned from these snapshots, sorted; a snapshot without clones is absent."""
    rows = list_datasets(host, *snapshots, properties=("clones",), types="snapshot")
    return {row.name: sorted(row["clones"].split(",")) for row in rows if row["clones"]}


# -- changes -------------------------------------------------------------------------------------------------


def create(
    host: Host,
    target: Dataset,
    *,
    made_by: RunId | None = None,
    properties: Mapping[str, str] | None = None,
    parents: bool = False,
) -> None:
    """Make a file system with its mark and properties in one command. `parents` get none of these.

    With `parents` an existing target is no error and stays as it is. A dataset that was made but could not be
    mounted is an error, and exists.
    """
    options = ["-p"] if parents else []
    _change(host, "create", *options, *_settings(made_by, properties), str(target))


def snapshot(
    host: Host,
    *targets: Snapshot,
    made_by: RunId | None = None,
    properties: Mapping[str, str] | None = None,
    recursive: bool = False,
) -> None:
    """Take snapshots, all at once or none; `recursive` takes the datasets below as well."""
    options = ["-r"] if recursive else []
    _change(host, "snapshot", *options, *_settings(made_by, properties), *map(str, targets))


def clone(
    host: Host,
    origin: Snapshot,
    target: Dataset,
    *,
    made_by: RunId | None = None,
    properties: Mapping[str, str] | None = None,
) -> None:
    """The clone has none of its origin's local properties; it inherits from its new parent."""
    _change(host, "clone", *_settings(made_by, properties), str(origin), str(target))


def destroy(host: Host, target: Target, *, made_by: RunId) -> None:
    """Destroy one dataset or snapshot that bears this run's mark itself: never a tree, never by another's
    mark.

    Raises NotOurs for a foreign one, NotThere for a missing one. In a dry run the mark is not looked at,
    since what would bear it was not made.
    """
    if not host.dry_run and get_local(host, target, MADE_BY).get(MADE_BY) != made_by:
        raise NotOurs(f"{target} was not made by run {made_by}", hint=f"see: zfs get {MADE_BY} {target}")
    _change(host, "destroy", str(target))


def destroy_named(host: Host, target: Target, *, recursive: bool = False) -> None:
    """Destroy what the operator named, whoever made it; `recursive`, the snapshots of that name below as
    well.

    A dataset with children or clones is refused by zfs itself, because -r and -R are never given for one.
    """
    if recursive and not isinstance(target, Snapshot):
        raise NotOurs(f"{target} is not destroyed with all below it", hint="destroy one dataset at a time")
    _change(host, "destroy", *(["-r"] if recursive else []), str(target))


def rollback(host: Host, target: Snapshot, *, discard_newer: bool = False) -> None:
    """Roll one dataset back. Newer snapshots refuse it unless they may be discarded; their clones always
    do.
    """
    _change(host, "rollback", *(["-r"] if discard_newer else []), str(target))


def rollback_tree(host: Host, target: Snapshot, *, discard_newer: bool = False) -> None:
    """Roll back this dataset and all below that have a snapshot of this name; zfs itself does one only."""
    below = list_datasets(host, target.dataset, types="snapshot", depth=-1)
    for row in below:
        if row.name.partition("@")[2] == target.name:
            rollback(host, Snapshot.parse(row.name), discard_newer=discard_newer)


def hold(host: Host, *snapshots: Snapshot, tag: str = HOLD_TAG, recursive: bool = False) -> None:
    """Keep snapshots from being destroyed, by anyone. One that is held with this tag already is no error."""
    _hold("hold", "tag already exists on this dataset", host, snapshots, tag, recursive)


def release(host: Host, *snapshots: Snapshot, tag: str = HOLD_TAG, recursive: bool = False) -> None:
    """Let go again. One without this tag is no error."""
    _hold("release", "no such tag on this dataset", host, snapshots, tag, recursive)


def _hold(verb: str, done: str, host: Host, snapshots: Sequence[Snapshot], tag: str, recursive: bool) -> None:
    options = ["-r"] if recursive else []
    try:
        _change(host, verb, *options, tag, *map(str, snapshots))
    except CommandError as failed:
        if not all(done in line for line in lines_of(failed.stderr)):
            raise


def mount(host: Host, target: Dataset) -> None:
    _change(host, "mount", str(target))


def promote(host: Host, target: Dataset) -> None:
    """Turn a clone and what it was cloned from around; the snapshot and all older ones move to it."""
    _change(host, "promote", str(target))


def set_properties(host: Host, target: Target, properties: Mapping[str, str]) -> None:
    """All are checked before any is set."""
    _change(host, "set", *_pairs(properties), str(target))


def inherit(host: Host, target: Target, name: str) -> None:
    """Forget a local value; for a user property that is how to remove it."""
    _change(host, "inherit", name, str(target))


def _settings(made_by: RunId | None, properties: Mapping[str, str] | None) -> list[str]:
    pairs = _pairs({**({MADE_BY: made_by} if made_by else {}), **(properties or {})})
    return [word for pair in pairs for word in ("-o", pair)]


def _pairs(properties: Mapping[str, str]) -> Iterable[str]:
    for name, value in properties.items():
        limits.ZFS_PROPERTY_NAME.check(name)
        room = limits.MOUNT_POINT if name == "mountpoint" else limits.ZFS_PROPERTY_VALUE
        room.check(value, f"ZFS property {name}")
        if re.search(r"[\x00-\x1f\x7f]", value):
            raise UsageError(f"the ZFS property {name} cannot be {value!r}", hint="one line")
    return [f"{name}={value}" for name, value in properties.items()]


def _change(host: Host, *words: str) -> Completed:
    return _told(lambda: host.change("zfs", *words))


def _told(run: Callable[[], Completed]) -> Completed:
    try:
        return run()
    except CommandError as failed:
        missing = re.search(r"cannot open '([^']*)': dataset does not exist", failed.stderr)
        if missing:
            raise NotThere(f"there is no dataset {missing[1]}", hint="see: zfs list") from failed
        failed.hint = failed.hint or hint(failed.stderr)
        raise


def hint(stderr: str) -> str | None:
    """The next thing to try for a failure of zfs (docs/illumos.md: ZFS)."""
    for pattern, text in (
        (r"permission denied", "this needs the profile ZFS File System Management; see: profiles"),
        (r"snapshot .*: dataset is busy", "it is held; see: zfs holds SNAPSHOT"),
        (r"dataset is busy|[Dd]evice busy", "something uses it; see: fuser -c MOUNTPOINT"),
        (r"has children", "it holds other datasets or snapshots; see: zfs list -r -t all"),
        (
            r"has dependent clones|snapshot is cloned|clones of previous",
            "zones are cloned from it; see: zonemgr list",
        ),
        (r"more recent snapshots", "newer snapshots stand in the way; see: zonemgr list-snapshots"),
        (r"parent does not exist|no such pool", "see: zfs list"),
        (r"out of space|quota", "see: zfs list -o space"),
    ):
        if re.search(pattern, stderr):
            return text
    return None
