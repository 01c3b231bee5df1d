"""beadm: boot environments, of the global zone and, asked inside, of a zone. Neither shows the other's.

Options and texts are those of illumos' cmd/beadm/beadm.c; where that ends with libbe's number, cut to a byte, it is 1.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence

from zonemgr.lab import hostbe, options
from zonemgr.lab.call import Call
from zonemgr.lab.hostbe import Be, BeError, Host, Snapshot

USAGE = """\
usage:
	beadm subcommand cmd_options

	subcommands:

	beadm activate beName
	beadm create [-d BE_desc]
		[-o property=value] ... [-p zpool]
		[-e nonActiveBe | beName@snapshot] beName
	beadm create [-d BE_desc]
		[-o property=value] ... [-p zpool] beName@snapshot
	beadm destroy [-Ffs] beName
	beadm destroy [-F] beName@snapshot
	beadm list [[-a] | [-d] [-s]] [-H] [beName]
	beadm mount [-s ro|rw] beName [mountpoint]
	beadm unmount [-f] beName | mountpoint
	beadm umount [-f] beName | mountpoint
	beadm rename origBeName newBeName
	beadm rollback beName snapshot
	beadm rollback beName@snapshot
"""
HEAD = ("BE", "Active", "Mountpoint", "Space", "Policy", "Created")
NO_BE = (
    "{} does not exist or appear to be a valid BE.\nPlease check that the name of the BE provided is correct."
)
NO_SNAPSHOT = (
    "{} does not exist or appear to be a valid snapshot.\n"
    "Please check that the name of the snapshot provided is correct."
)
PRIVILEGES = "You have insufficient privileges to execute this command."


class Wrong(Exception):
    """beadm ends with this text on stderr and status 1; without one it is its usage."""


def beadm(call: Call) -> int:
    words = call.argv[1:]
    commands: dict[str, Callable[[Call, list[str]], None]] = {
        "activate": _activate, "create": _create, "destroy": _destroy, "list": _list, "mount": _mount,
        "unmount": _unmount, "umount": _unmount, "rename": _rename, "rollback": _rollback,
    }  # fmt: skip
    try:
        if not words:
            raise Wrong("")
        if words[0] not in commands:
            raise Wrong(f"Invalid command: {words[0]}\n{USAGE.rstrip()}")
        if call.zone is not None and words[0] != "list":
            raise Wrong(f"lab: beadm {words[0]} in a zone is not emulated")
        commands[words[0]](call, words[1:])
    except Wrong as wrong:
        return call.fail(str(wrong) or USAGE.rstrip())
    return 0


def _options(words: Sequence[str], letters: str) -> tuple[dict[str, str], list[str]]:
    try:
        found, rest = options.parse(words, letters)
    except options.BadOption:
        raise Wrong("") from None
    return dict(found), rest


def _be(call: Call, name: str) -> Be:
    found = Host(call).get(name)
    if found is None:
        raise Wrong(NO_BE.format(name))
    return found


def _may(call: Call, prefix: str) -> None:
    if not call.privileged:
        raise Wrong(f"{prefix}\n{PRIVILEGES}")


# -- list ------------------------------------------------------------------------------------------------------


def _list(call: Call, words: list[str]) -> None:
    given, names = _options(words, "nadsHk:K:")
    if given.keys() & {"k", "K"}:
        raise Wrong("lab: beadm list with -k or -K is not emulated")
    for letter in "ds":
        if "a" in given and letter in given:
            raise Wrong(f"Invalid options: -a and -{letter} are mutually exclusive.\n{USAGE.rstrip()}")
    name = names[0] if len(names) == 1 else ""
    if call.zone is not None:
        if given.keys() & set("ads"):
            raise Wrong("lab: beadm list with -a, -d or -s in a zone is not emulated")
        return _plain(call, _in_zone(call), name, parsable="H" in given)
    found = [be for be in Host(call).every() if name in ("", be.name)]
    if given.keys() & set("ads") and found:
        return _long(call, found, given)
    return _plain(call, [_row(be) for be in found], name, parsable="H" in given)


def _plain(call: Call, rows: list[tuple[str, ...]], name: str, *, parsable: bool) -> None:
    rows = [row for row in rows if name in ("", row[0])]
    if not rows:
        raise Wrong(NO_BE.format(name) if name else "No boot environments found on this system.")
    if parsable:
        call.out("".join(";".join(row) + "\n" for row in rows))
    else:
        _table(call, [HEAD, *(_human(row) for row in rows)])


def _table(call: Call, table: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        call.out(" ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "\n")


def _in_zone(call: Call) -> list[tuple[str, ...]]:
    from zonemgr.lab import libbe

    zone = libbe.of(call)
    return libbe.rows(zone) if zone is not None else []


def _active(be: Be) -> str:
    return ("N" if be.running else "") + ("R" if be.next else "")


def _row(be: Be) -> tuple[str, ...]:
    """name;uuid;active;mountpoint;space;policy;creation; the space is with that of its snapshots."""
    used = be.used + sum(each.used for each in be.snapshots)
    return be.name, be.uuid, _active(be), be.mounted, str(used), be.policy, str(be.created)


def _human(row: tuple[str, ...]) -> tuple[str, ...]:
    name, _, active, mountpoint, used, policy, creation = row
    return name, active or "-", mountpoint or "-", _space(int(used)), policy, _created(int(creation))


def _space(number: int) -> str:
    """beadm's nicenum: as many digits behind the point as fit five characters."""
    size, unit = float(number), 0
    while size >= 1024:
        size, unit = size / 1024, unit + 1
    if unit == 0:
        return str(number)
    texts = (f"{size:.{digits}f}{' KMGTPE'[unit]}" for digits in (2, 1, 0))
    return next((text for text in texts if len(text) <= 5), f"{size:.0f}{' KMGTPE'[unit]}")


def _created(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _long(call: Call, found: Sequence[Be], given: dict[str, str]) -> None:
    """With -d the dataset of each, with -s its snapshots, with -a both."""
    datasets, snapshots = bool(given.keys() & {"a", "d"}), bool(given.keys() & {"a", "s"})
    if "H" in given:
        for be in found:
            row = _row(be)
            if datasets:
                call.out(";".join((be.name, be.dataset, *row[2:4], str(be.used), *row[5:])) + "\n")
            for snapshot in be.snapshots if snapshots else ():
                call.out(_parsable(be, snapshot, wide=datasets))
        return
    head = "BE/Dataset/Snapshot" if datasets and snapshots else "BE/Dataset" if datasets else "BE/Snapshot"
    table = [(head, *(HEAD[1:] if datasets else HEAD[3:]))]
    for be in found:
        blank = ("",) * (len(table[0]) - 1)
        table.append((be.name, *blank))
        if datasets:
            shown = (_active(be) or "-", be.mounted or "-")
            table.append((f"   {be.dataset}", *shown, _space(be.used), be.policy, _created(be.created)))
        for each in be.snapshots if snapshots else ():
            name = f"{be.dataset}@{each.name}" if datasets else f"{be.name}@{each.name}"
            cells = (_space(each.used), be.policy, _created(each.created))
            table.append((f"   {name}", *(("-", "-", *cells) if datasets else cells)))
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        text = " ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        call.out((text if any(row[1:]) else row[0]) + "\n")


def _parsable(be: Be, snapshot: Snapshot, *, wide: bool) -> str:
    name = f"{be.name}@{snapshot.name}"
    between = ("", "") if wide else ()
    return ";".join((be.name, name, *between, str(snapshot.used), be.policy, str(snapshot.created))) + "\n"


# -- changes ---------------------------------------------------------------------------------------------------


def _activate(call: Call, words: list[str]) -> None:
    if len(words) != 1:
        raise Wrong("")
    be = _be(call, words[0])
    _may(call, f"Unable to activate {be.name}.")
    if not be.running:
        raise Wrong("lab: beadm activate is not emulated: a lab's host boots one boot environment only")
    call.out("Activated successfully\n")


def _create(call: Call, words: list[str]) -> None:
    given, names = _options(words, "ad:e:io:p:")
    if "o" in given and "=" not in given["o"]:
        raise Wrong("missing '=' for -o option")
    refused = given.keys() & {"a", "d", "o", "i"} or ({"p"} if given.get("p", "rpool") != "rpool" else set())
    if refused:
        raise Wrong(f"lab: beadm create -{min(refused)} is not emulated")
    if (
        len(names) != 1
        or names[0].endswith("@")
        or ("e" in given and ("@" in names[0] or given["e"].endswith("@")))
    ):
        raise Wrong("")
    name, at, word = names[0].partition("@")
    if at:
        _create_snapshot(call, name, word)
        return
    _may(call, f"Unable to create {name}.")
    host = Host(call)
    source, _, word = given.get("e", "").partition("@")
    origin = _origin(call, source, word, name)
    if host.get(name) is not None:
        raise Wrong(f"BE {name} already exists\n.Please choose a different BE name.")
    try:
        host.copy(origin, word, name)
    except BeError as trouble:
        raise Wrong(f"Unable to create {name}.\n{trouble}") from None
    call.out("Created successfully\n")


def _origin(call: Call, source: str, word: str, name: str) -> Be:
    origin = Host(call).get(source) if source else Host(call).running()
    if origin is None:
        raise Wrong(f"Unable to create {name}.\nNo such BE.")
    if word and word not in [each.name for each in origin.snapshots]:
        raise Wrong(f"Unable to create {name}.\nNo such snapshot.")
    return origin


def _create_snapshot(call: Call, name: str, word: str) -> None:
    _may(call, f"Unable to create snapshot {word}.")
    be = Host(call).get(name)
    if be is None:
        raise Wrong(f"Unable to create snapshot {word}.\nNo such BE.")
    if word in [each.name for each in be.snapshots]:
        raise Wrong(f"BE {name} snapshot {word} already exists.\nPlease choose a different snapshot name.")
    try:
        Host(call).snapshot(be, word)
    except BeError as trouble:
        raise Wrong(f"Unable to create snapshot {word}.\n{trouble}") from None
    call.out("Created successfully\n")


def _destroy(call: Call, words: list[str]) -> None:
    given, names = _options(words, "fFs")
    if len(names) != 1:
        raise Wrong("")
    if "F" not in given and not _confirmed(call, names[0]):
        call.out(f"{names[0]} has not been destroyed.\n")
        return
    name, at, word = names[0].partition("@")
    if at and not word:
        raise Wrong("")
    be = Host(call).get(name)
    if be is None:
        raise Wrong(f"Unable to destroy {name}.\nNo such BE.")
    _may(call, f"Unable to destroy {name}.")
    try:
        _destroy_snapshot(call, be, word) if at else _destroy_be(call, be, given)
    except BeError as trouble:
        raise Wrong(f"Unable to destroy {name}.\n{trouble}") from None
    call.out("Destroyed successfully\n")


def _confirmed(call: Call, name: str) -> bool:
    call.out(f"Are you sure you want to destroy {name}?\nThis action cannot be undone (y/[n]): ")
    answer = call.stdin.readline().decode("utf-8", "replace").strip()
    if answer and answer[:1] not in "yYnN":
        call.err("Invalid response. Please enter 'y' or 'n'.\n")
    return answer[:1] in ("y", "Y")


def _destroy_snapshot(call: Call, be: Be, word: str) -> None:
    if word not in [each.name for each in be.snapshots]:
        raise Wrong(NO_SNAPSHOT.format(word))
    Host(call).must("destroy", "-r", f"{be.dataset}@{word}")


def _destroy_be(call: Call, be: Be, given: dict[str, str]) -> None:
    host = Host(call)
    if be.running:
        raise Wrong(
            f"{be.name} is the currently active BE and cannot be destroyed.\n"
            f"You must boot from another BE in order to destroy {be.name}."
        )
    if be.mounted and "f" not in given:
        raise Wrong(
            f"Unable to destroy {be.name}.\nIt is currently mounted and must be unmounted before it can be destroyed.\n"
            f"Use 'beadm unmount {be.name}' to unmount the BE before destroying\nit or 'beadm destroy -f {be.name}'."
        )
    if be.snapshots and "s" not in given:
        raise Wrong(
            f"Unable to destroy {be.name}: BE has snapshots.\nUse 'beadm destroy -s {be.name}' or"
            " 'zfs -r destroy <dataset>'."
        )
    if be.mounted:
        host.unmount(be, force=True)
    host.destroy(be, snapshots="s" in given)


def _mount(call: Call, words: list[str]) -> None:
    given, names = _options(words, "s:")
    if given.get("s", "ro") not in ("ro", "rw"):
        raise Wrong(f"The -s flag requires an argument [ rw | ro ]\n{USAGE.rstrip()}")
    if given:
        raise Wrong("lab: beadm mount -s is not emulated")
    if not 1 <= len(names) <= 2:
        raise Wrong("")
    if len(names) == 2 and not names[1].startswith("/"):
        raise Wrong(f"Invalid mount point {names[1]}. Mount point must start with a /.")
    be = _be(call, names[0])
    _may(call, f"Unable to mount {be.name}.")
    if be.mounted:
        raise Wrong(f"{be.name} is already mounted.\nPlease unmount the BE before mounting it again.")
    where = names[1] if len(names) == 2 else _temporary(call)
    try:
        Host(call).mount(be, where)
    except BeError as trouble:
        raise Wrong(f"Unable to mount {be.name}.\n{trouble}") from None
    call.out(f"Mounted successfully on: '{where}'\n")


def _temporary(call: Call) -> str:
    folder = call.env.get("TMPDIR", "/tmp")
    made = tempfile.mkdtemp(prefix="tmp.", dir=call.path(folder))
    return f"{folder}/{made.rpartition('/')[2]}"


def _unmount(call: Call, words: list[str]) -> None:
    given, names = _options(words, "f")
    if len(names) != 1:
        raise Wrong("")
    by_point = [be for be in Host(call).every() if be.mounted == names[0]]
    be = by_point[0] if by_point else _be(call, names[0])
    if be.running:
        raise Wrong(
            f"{names[0]} is the currently active BE.\n"
            "It cannot be unmounted unless another BE is the currently active BE."
        )
    _may(call, f"Unable to unmount {be.name}.")
    if not be.mounted:
        raise Wrong(f"Unable to unmount {be.name}.\nThe BE is not mounted.")
    try:
        Host(call).unmount(be, force="f" in given)
    except BeError as trouble:
        raise Wrong(f"Unable to unmount {be.name}.\n{trouble}") from None
    call.out("Unmounted successfully\n")


def _rename(call: Call, words: list[str]) -> None:
    if len(words) != 2:
        raise Wrong("")
    be = _be(call, words[0])
    _may(call, f"Rename of BE {be.name} failed.")
    if be.running:
        raise Wrong("lab: beadm rename of the running boot environment is not emulated")
    done = Host(call).zfs("rename", be.dataset, f"{hostbe.TOP}/{words[1]}")
    if done.exit_code:
        raise Wrong(f"Rename of BE {be.name} failed.\n{done.stderr.strip()}")
    call.out("Renamed successfully\n")


def _rollback(call: Call, words: list[str]) -> None:
    name, _, word = (
        words[0].partition("@") if len(words) == 1 else (words[0], "", words[1]) if words else ("", "", "")
    )
    if not word or len(words) > 2:
        raise Wrong("")
    be = _be(call, name)
    if word not in [each.name for each in be.snapshots]:
        raise Wrong(NO_SNAPSHOT.format(word))
    _may(call, f"Rollback of BE {name} snapshot {word} failed.")
    if be.running:
        raise Wrong("lab: beadm rollback of the running boot environment is not emulated")
    done = Host(call).zfs("rollback", "-r", f"{be.dataset}@{word}")
    if done.exit_code:
        raise Wrong(f"Rollback of BE {name} snapshot {word} failed.\n{done.stderr.strip()}")
    call.out("Rolled back successfully\n")
