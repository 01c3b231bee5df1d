"""zfs: the words it is given, its tables and its refusals (docs/illumos.md: ZFS)."""

from __future__ import annotations

from typing import Any

import pytest

from zonemgr.errors import CommandError, NotOurs, NotThere, UsageError, ZonemgrError
from zonemgr.host import zfs
from zonemgr.model import Dataset, DatasetRow, RunId, Snapshot

ZONES = Dataset("rpool/zones")
HOME = Dataset("rpool/zones/build-1")
GOLD = Snapshot.parse("rpool/zones/gold/ROOT/zbe@now")
RUN = RunId("20261121T041500-ab12")
MISSING = "cannot open 'rpool/zones/build-1': dataset does not exist\n"


# -- questions ----------------------------------------------------------------------------------------------


def test_many_datasets_in_one_command(illumos: Any) -> None:
    illumos.answers(
        "zfs list -H -p -o name,mountpoint,zonemgr:kind,used -t filesystem -r rpool/zones",
        "rpool/zones\t/zones\t-\t1024\nrpool/zones/build-1\t/zones/a b\tdiz\t24576\n",
    )
    rows = zfs.list_datasets(illumos.host, ZONES, properties=("mountpoint", "zonemgr:kind", "used"), depth=-1)
    assert rows == [
        DatasetRow("rpool/zones", {"mountpoint": "/zones", "used": "1024"}),
        DatasetRow(
            "rpool/zones/build-1", {"mountpoint": "/zones/a b", "zonemgr:kind": "diz", "used": "24576"}
        ),
    ]
    assert rows[0]["zonemgr:kind"] == ""


def test_the_depth_and_types_are_the_callers(illumos: Any) -> None:
    illumos.answers("zfs list -H -p -o name -t filesystem,snapshot -d 1 rpool/zones", "rpool/zones\n")
    assert len(zfs.list_datasets(illumos.host, ZONES, types="filesystem,snapshot", depth=1)) == 1
    illumos.answers("zfs list -H -p -o name -t volume", "")
    assert zfs.list_datasets(illumos.host, types="volume") == []


def test_missing_datasets_are_absent_and_the_others_there(illumos: Any) -> None:
    words = f"zfs list -H -p -o name -t filesystem {ZONES} {HOME}"
    illumos.answers(words, "rpool/zones\n", MISSING, status=1)
    assert [row.name for row in zfs.list_datasets(illumos.host, ZONES, HOME)] == ["rpool/zones"]


def test_any_other_failure_is_not_absence(illumos: Any) -> None:
    words = f"zfs list -H -p -o name -t all {HOME}"
    illumos.answers(words, "", MISSING + "cannot open 'rpool': I/O error\n", status=1)
    with pytest.raises(CommandError, match="I/O error"):
        zfs.exists(illumos.host, HOME)
    illumos.answers(words, "", "", status=1)
    with pytest.raises(CommandError, match="no reason"):
        zfs.exists(illumos.host, HOME)


def test_existence_of_datasets_and_snapshots(illumos: Any) -> None:
    illumos.answers(f"zfs list -H -p -o name -t all {HOME}", "", MISSING, status=1)
    illumos.answers(f"zfs list -H -p -o name -t all {GOLD}", f"{GOLD}\n")
    assert not zfs.exists(illumos.host, HOME)
    assert zfs.exists(illumos.host, GOLD)


def test_a_property_that_breaks_the_table_is_an_error(illumos: Any) -> None:
    illumos.answers("zfs list -H -p -o name,a:b -t filesystem", "rpool\tone\ttwo\n")
    with pytest.raises(ZonemgrError, match="a property of rpool has a tab"):
        zfs.list_datasets(illumos.host, properties=("a:b",))


def test_properties_of_one_dataset(illumos: Any) -> None:
    illumos.answers(
        f"zfs get -H -p -o property,value,source origin,a:b,mounted {HOME}",
        "origin\trpool/gold@now\t-\na:b\t-\t-\nmounted\tyes\t-\n",
    )
    assert zfs.get(illumos.host, HOME, "origin", "a:b", "mounted") == {
        "origin": "rpool/gold@now",
        "mounted": "yes",
    }


def test_a_missing_dataset_is_not_there(illumos: Any) -> None:
    illumos.answers(f"zfs get -H -p -o property,value,source origin {HOME}", "", MISSING, status=1)
    with pytest.raises(NotThere, match="no dataset rpool/zones/build-1"):
        zfs.get(illumos.host, HOME, "origin")


def test_holds_and_clones(illumos: Any) -> None:
    illumos.answers(
        f"zfs holds -H {GOLD}", f"{GOLD}\tzonemgr\tSat Nov 21  4:15 2026\n{GOLD}\tkeep\tSat Nov\n"
    )
    assert zfs.holds(illumos.host, GOLD) == {str(GOLD): {"zonemgr", "keep"}}
    assert zfs.holds(illumos.host) == {}
    illumos.answers(f"zfs list -H -p -o name,clones -t snapshot {GOLD}", f"{GOLD}\trpool/b,rpool/a\n")
    assert zfs.clones(illumos.host, GOLD) == {str(GOLD): ["rpool/a", "rpool/b"]}
    illumos.answers(f"zfs list -H -p -o name,clones -t snapshot {GOLD}", f"{GOLD}\t\n")
    assert zfs.clones(illumos.host, GOLD) == {}


# -- changes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: zfs.create(h, HOME), f"create {HOME}"),
        (lambda h: zfs.create(h, HOME, made_by=RUN, properties={"quota": "1G", "z:o": "a b"}),
         f"create -o zonemgr:run={RUN} -o quota=1G -o 'z:o=a b' {HOME}"),
        (lambda h: zfs.create(h, HOME, parents=True), f"create -p {HOME}"),
        (lambda h: zfs.snapshot(h, HOME.at("s"), made_by=RUN),
         f"snapshot -o zonemgr:run={RUN} {HOME}@s"),
        (lambda h: zfs.snapshot(h, HOME.at("s"), recursive=True), f"snapshot -r {HOME}@s"),
        (lambda h: zfs.clone(h, GOLD, HOME, made_by=RUN), f"clone -o zonemgr:run={RUN} {GOLD} {HOME}"),
        (lambda h: zfs.rollback(h, GOLD), f"rollback {GOLD}"),
        (lambda h: zfs.rollback(h, GOLD, discard_newer=True), f"rollback -r {GOLD}"),
        (lambda h: zfs.hold(h, GOLD), f"hold zonemgr {GOLD}"),
        (lambda h: zfs.hold(h, GOLD, tag="t", recursive=True), f"hold -r t {GOLD}"),
        (lambda h: zfs.release(h, GOLD), f"release zonemgr {GOLD}"),
        (lambda h: zfs.set_properties(h, HOME, {"atime": "off", "z:o": "me"}), f"set atime=off z:o=me {HOME}"),
        (lambda h: zfs.inherit(h, HOME, "z:o"), f"inherit z:o {HOME}"),
        (lambda h: zfs.destroy_named(h, GOLD), f"destroy {GOLD}"),
        (lambda h: zfs.destroy_named(h, GOLD, recursive=True), f"destroy -r {GOLD}"),
    ],
)  # fmt: skip
def test_each_change_is_one_elevated_command(illumos: Any, change: Any, words: str) -> None:
    illumos.answers(f"pfexec zfs {words}")
    change(illumos.host)
    assert illumos.told == [f"pfexec zfs {words}"]


def test_a_dataset_is_never_destroyed_with_all_below_it(illumos: Any) -> None:
    with pytest.raises(NotOurs):
        zfs.destroy_named(illumos.host, HOME, recursive=True)
    assert illumos.told == []


def test_what_bears_the_mark_itself_is_destroyed(illumos: Any) -> None:
    illumos.answers(
        f"zfs get -H -p -s local -o property,value,source zonemgr:run {HOME}", f"zonemgr:run\t{RUN}\tlocal\n"
    )
    illumos.answers(f"pfexec zfs destroy {HOME}")
    zfs.destroy(illumos.host, HOME, made_by=RUN)
    assert illumos.told[-1] == f"pfexec zfs destroy {HOME}"


@pytest.mark.parametrize("mark", ["", "zonemgr:run\tanother\tlocal\n"])
def test_what_is_not_ours_is_left_alone(illumos: Any, mark: str) -> None:
    """An inherited mark is not printed with `-s local`, so the answer is empty."""
    illumos.answers(f"zfs get -H -p -s local -o property,value,source zonemgr:run {HOME}", mark)
    with pytest.raises(NotOurs, match="was not made by run"):
        zfs.destroy(illumos.host, HOME, made_by=RUN)
    assert len(illumos.told) == 1


def test_a_tree_is_rolled_back_dataset_by_dataset(illumos: Any) -> None:
    root = "rpool/zones/build-1/ROOT/zbe"
    illumos.answers(
        f"zfs list -H -p -o name -t snapshot -r {root}",
        f"{root}@before\n{root}@other\n{root}/svc@before\n{root}/x@other\n",
    )
    illumos.answers(f"pfexec zfs rollback {root}@before")
    illumos.answers(f"pfexec zfs rollback {root}/svc@before")
    zfs.rollback_tree(illumos.host, Snapshot.parse(f"{root}@before"))
    assert len(illumos.told) == 3


def test_holding_twice_and_releasing_what_is_free_is_fine(illumos: Any) -> None:
    said = f"cannot hold snapshot '{GOLD}': tag already exists on this dataset\n"
    illumos.answers(f"pfexec zfs hold zonemgr {GOLD}", "", said, status=1)
    zfs.hold(illumos.host, GOLD)
    said = f"cannot release hold from snapshot '{GOLD}': no such tag on this dataset\n"
    illumos.answers(f"pfexec zfs release zonemgr {GOLD}", "", said, status=1)
    zfs.release(illumos.host, GOLD)


@pytest.mark.parametrize("value", ["a\tb", "a\nb", "\x00", "x" * 8192])
def test_a_property_value_that_would_break_tables_is_refused(illumos: Any, value: str) -> None:
    with pytest.raises(UsageError, match="zonemgr:origin"):
        zfs.create(illumos.host, HOME, properties={"zonemgr:origin": value})


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        ("create", f"cannot create '{HOME}': permission denied", "ZFS File System Management"),
        ("create", f"cannot create '{HOME}': parent does not exist", "zfs list"),
        (
            "destroy",
            f"cannot destroy '{GOLD}': snapshot has dependent clones\nuse '-R' to destroy",
            "cloned from",
        ),
        ("destroy", f"cannot destroy snapshot {GOLD}: dataset is busy", "zfs holds"),
        ("destroy", "cannot unmount '/m': Device busy", "fuser"),
        ("rollback", f"cannot rollback to '{GOLD}': more recent snapshots or bookmarks exist", "newer"),
    ],
)
def test_a_refusal_has_the_next_thing_to_try(illumos: Any, words: str, said: str, hint: str) -> None:
    target = HOME if words == "create" else GOLD
    illumos.answers(f"pfexec zfs {words} {target}", "", said + "\n", status=1)
    change = {"create": zfs.create, "destroy": zfs.destroy_named, "rollback": zfs.rollback}[words]
    with pytest.raises(CommandError) as failed:
        change(illumos.host, target)  # type: ignore[operator]
    assert hint in (failed.value.hint or "")


def test_a_snapshot_of_a_missing_file_system_is_not_there(illumos: Any) -> None:
    illumos.answers(f"pfexec zfs snapshot {HOME}@s", "", MISSING + "usage:\n\tsnapshot ...\n", status=2)
    with pytest.raises(NotThere, match="no dataset"):
        zfs.snapshot(illumos.host, HOME.at("s"))
