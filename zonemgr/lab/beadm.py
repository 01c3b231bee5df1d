"""beadm: boot environments, of the global zone and, asked inside, of a zone. Neither shows the other's."""

from __future__ import annotations

import time
from collections.abc import Sequence

from zonemgr.lab import options
from zonemgr.lab.call import Call

BE_UUID = "org.opensolaris.libbe:uuid"
USAGE = "usage:\n\tbeadm subcommand cmd_options\n\n\tsubcommands:\n\n\tbeadm list [-H] [beName]\n"
NOT_EMULATED = ("activate", "create", "destroy", "mount", "unmount", "umount", "rename", "rollback")
HEAD = ("BE", "Active", "Mountpoint", "Space", "Policy", "Created")


def beadm(call: Call) -> int:
    words = call.argv[1:] or ["list"]
    if words[0] in NOT_EMULATED:
        return call.fail(f"lab: beadm {words[0]} is not emulated")
    if words[0] != "list":
        return call.fail(f"Invalid command: {words[0]}\n{USAGE}")
    try:
        found, names = options.parse(words[1:], "adk:svHK:")
    except options.BadOption:
        return call.fail(USAGE.rstrip("\n"))
    given = dict(found)
    if given.keys() & {"a", "d", "s", "k", "K"}:
        return call.fail("lab: beadm list with -a, -d, -s, -k, -K is not emulated")
    return _list(call, names if len(names) == 1 else [], parsable="H" in given)


def _list(call: Call, names: Sequence[str], *, parsable: bool) -> int:
    rows = _in_zone(call) if call.zone is not None else _global(call)
    rows = [row for row in rows if not names or row[0] == names[0]]
    if not rows:
        check = "Please check that the name of the BE provided is correct."
        wrong = f"{names[0]} does not exist or appear to be a valid BE.\n{check}" if names else ""
        return call.fail(wrong or "No boot environments found on this system.")
    if parsable:
        call.out("".join(";".join(row) + "\n" for row in rows))
        return 0
    table = [HEAD, *(_human(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEAD))]
    for row in table:
        call.out(" ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "\n")
    return 0


def _in_zone(call: Call) -> list[tuple[str, ...]]:
    from zonemgr.lab import libbe

    zone = libbe.of(call)
    return libbe.rows(zone) if zone is not None else []


def _global(call: Call) -> list[tuple[str, ...]]:
    """name;uuid;active;mountpoint;space;policy;creation of each dataset right below rpool/ROOT."""
    columns = f"name,{BE_UUID},mounted,mountpoint,used,creation"
    listed = call.run("zfs", "list", "-Hp", "-d", "1", "-o", columns, "rpool/ROOT")
    booted = call.run("zpool", "get", "-H", "-o", "value", "bootfs", "rpool").stdout.strip()
    rows: list[tuple[str, ...]] = []
    for line in listed.stdout.splitlines():
        name, uuid, mounted, mountpoint, used, creation = line.split("\t")
        if name == "rpool/ROOT":
            continue
        active = ("N" if mounted == "yes" and mountpoint == "/" else "") + ("R" if name == booted else "")
        shown = mountpoint if mounted == "yes" else ""
        rows.append((name.rpartition("/")[2], uuid.strip("-"), active, shown, used, "static", creation))
    return rows


def _human(row: tuple[str, ...]) -> tuple[str, ...]:
    name, _, active, mountpoint, used, policy, creation = row
    size, unit = float(used), 0
    while size >= 1024:
        size, unit = size / 1024, unit + 1
    space = f"{size:.2f}".rstrip("0").rstrip(".") + ["", "K", "M", "G", "T"][unit]
    created = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(creation)))
    return name, active or "-", mountpoint or "-", space, policy, created
