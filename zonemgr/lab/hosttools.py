"""zonename, beadm, pfexec, profiles, auths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from zonemgr.lab import gzfiles, options
from zonemgr.lab.call import Call

REGISTERED = gzfiles  # the first day's files come with this module
BE_UUID = "org.opensolaris.libbe:uuid"
BE_USAGE = "usage:\n\tbeadm subcommand cmd_options\n\n\tsubcommands:\n\n\tbeadm list [-H] [beName]\n"
BE_NOT_EMULATED = ("activate", "create", "destroy", "mount", "unmount", "umount", "rename", "rollback")


def zonename(call: Call) -> int:
    # Unknown options and operands are passed over without a word, as by the real one.
    if "-t" not in call.argv[1:]:
        call.out(f"{call.zone or 'global'}\n")
        return 0
    call.out("shared\n" if call.zone is None else f"{_ip_type(call)}\n")
    return 0


def _ip_type(call: Call) -> str:
    from zonemgr.lab import place

    return str(place.told(call).get("ip_type", "exclusive"))


# -- beadm -----------------------------------------------------------------------------------------------------


def beadm(call: Call) -> int:
    words = call.argv[1:]
    if not words:
        return call.fail(BE_USAGE.rstrip("\n"))
    if words[0] in BE_NOT_EMULATED:
        return call.fail(f"lab: beadm {words[0]} is not emulated")
    if words[0] != "list":
        return call.fail(f"Invalid command: {words[0]}\n{BE_USAGE}")
    try:
        found, names = options.parse(words[1:], "adk:svHK:")
    except options.BadOption:
        return call.fail(BE_USAGE.rstrip("\n"))
    given = dict(found)
    if given.keys() & {"a", "d", "s", "k", "K"}:
        return call.fail("lab: beadm list with -a, -d, -s, -k, -K is not emulated")
    return _list(call, names[:1], parsable="H" in given)


def _list(call: Call, names: Sequence[str], *, parsable: bool) -> int:
    rows = [row for row in _boot_environments(call) if not names or row[0] == names[0]]
    if not rows:
        check = "Please check that the name of the BE provided is correct."
        wrong = f"{names[0]} does not exist or appear to be a valid BE.\n{check}" if names else ""
        return call.fail(wrong or "No boot environments found on this system.")
    if parsable:
        call.out("".join(";".join(row) + "\n" for row in rows))
        return 0
    table = [
        ("BE", "Active", "Mountpoint", "Space", "Policy", "Created"),
        *(_human(call, row) for row in rows),
    ]
    widths = [max(len(row[column]) for row in table) for column in range(6)]
    for row in table:
        call.out(" ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + "\n")
    return 0


def _boot_environments(call: Call) -> list[tuple[str, ...]]:
    """name;uuid;active;mountpoint;space;policy;creation of each dataset right below rpool/ROOT."""
    listed = call.run(
        "zfs",
        "list",
        "-Hp",
        "-d",
        "1",
        "-o",
        f"name,{BE_UUID},mounted,mountpoint,used,creation",
        "rpool/ROOT",
    )
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


def _human(call: Call, row: tuple[str, ...]) -> tuple[str, ...]:
    import time

    name, _, active, mountpoint, used, policy, creation = row
    size, unit = float(used), 0
    while size >= 1024:
        size, unit = size / 1024, unit + 1
    space = f"{size:.2f}".rstrip("0").rstrip(".") + ["", "K", "M", "G", "T"][unit]
    created = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(creation)))
    return name, active or "-", mountpoint or "-", space, policy, created


# -- pfexec ----------------------------------------------------------------------------------------------------


def pfexec(call: Call) -> int:
    try:
        found, words = options.parse(call.argv[1:], "P:")
    except options.BadOption:
        return call.fail("pfexec [-P privset] cmd [arg ..]")
    if not words or len(found) > 1:
        return call.fail("pfexec [-P privset] cmd [arg ..]")
    if found:
        return call.fail("lab: pfexec -P is not emulated")
    inner = replace(call, argv=words, privileged=call.privileged or _raised(call, words[0]))
    return _execute(inner)


def _raised(call: Call, command: str) -> bool:
    """Do the caller's profiles say so, and is the service there that looks them up?"""
    from zonemgr.lab import place, rights, smf
    from zonemgr.lab.smf.services import PFEXEC

    if not rights.of_call(call).raises(call.user, command):
        return False
    return call.zone is not None or smf.state(place.here(call), PFEXEC) in ("online", "degraded")


def _execute(call: Call) -> int:
    from zonemgr.lab import tools

    try:
        tool = tools.find(call.argv[0], in_zone=call.zone is not None)
    except KeyError:
        return _program(call)
    return tool(call)


def _program(call: Call) -> int:
    """Become a program of the machine, with whatever it calls in the lab as this caller.

    So the lab's log never learns how it ended, but a signal reaches the program itself, as on illumos.
    """
    import os
    import shutil

    path = shutil.which(call.argv[0], path=call.env.get("PATH", "/usr/sbin:/usr/bin"))
    if path is None or not hasattr(
        call.stdout, "fileno"
    ):  # no process of its own: a call in a test's process
        return call.fail(f"pfexec: unable to execute {call.argv[0]}: No such file or directory")
    if call.zone is None:
        from zonemgr.lab import callers

        run = callers.find(call.world).run
        callers.register(call.world, callers.Caller(run, call.user, call.privileged))
        call.world.close()
    try:
        os.execve(path, call.argv, call.env)
    except OSError as trouble:
        return call.fail(f"pfexec: unable to execute {call.argv[0]}: {trouble.strerror}")


# -- profiles, auths -------------------------------------------------------------------------------------------


def profiles(call: Call) -> int:
    try:
        found, users = options.parse(call.argv[1:], "l")
    except options.BadOption:
        return call.fail("  usage: profiles [-l] [user1 user2 ...]")
    status = 0
    for number, user in enumerate(users or [call.user]):
        call.out(f"{user}:\n" if users else "")
        status = _profiles(call, user, long=bool(found), named=bool(users))
        call.out("\n" if number < len(users) - 1 else "")
    return status


def _profiles(call: Call, user: str, *, long: bool, named: bool) -> int:
    from zonemgr.lab import rights

    if not _is_user(call, user):
        return call.fail(f"profiles: {user}: No such user")
    book = rights.of_call(call)
    if not long:
        call.out("".join(f"{' ' * 10 if named else ''}{name}\n" for name in book.profiles(user)))
    lines = _long(list(book.executions(user))) if long else []
    call.out("".join(f"{line}\n" for line in lines))
    if (long and not lines) or not book.profiles(user):
        return call.fail(f"profiles: {user}: No profiles")
    return 0


ATTRIBUTES = 37  # the column of what a command is run with


def _long(executions: Sequence[object]) -> list[str]:
    from zonemgr.lab.rights import Execution

    lines, last = [], ""
    for each in executions:
        assert isinstance(each, Execution)
        if each.profile != last:
            lines.append(f"      {each.profile}")
            last = each.profile
        start = f"          {each.command} "
        attributes = [pair for pair in each.attributes.split(";") if pair]
        if len(start) >= ATTRIBUTES and attributes:
            lines.append(start)
            start = ""
        lines += [
            (start if number == 0 else "").ljust(ATTRIBUTES) + pair for number, pair in enumerate(attributes)
        ]
        lines += [] if attributes else [start]
    return lines


def auths(call: Call) -> int:
    users = call.argv[1:]
    statuses = [_auths(call, user, named=len(users) > 1) for user in users or [call.user]]
    return statuses[-1]


def _auths(call: Call, user: str, *, named: bool) -> int:
    from zonemgr.lab import rights

    if not _is_user(call, user):
        return call.fail(f"auths: {user} : No such user\nauths: {user}: No authorizations")
    found = _simplified(rights.of_call(call).authorisations(user))
    if not found:
        return call.fail(f"auths: {user}: No authorizations")
    call.out((f"{user}: " if named else "") + ",".join(found) + "\n")
    return 0


def _simplified(found: Sequence[str]) -> list[str]:
    """Sorted, without what a wildcard before it covers."""
    kept: list[str] = []
    for each in sorted(set(found)):
        if not any(wide.endswith("*") and each.startswith(wide[:-1]) for wide in kept):
            kept.append(each)
    return kept


def _is_user(call: Call, user: str) -> bool:
    from zonemgr.lab import place

    text = place.read(place.here(call).root, "etc/passwd") or ""
    return any(line.startswith(f"{user}:") for line in text.splitlines())
