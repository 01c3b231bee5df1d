"""zonename, pfexec, profiles, auths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from zonemgr.lab import gzfiles, options
from zonemgr.lab.call import Call

REGISTERED = gzfiles  # the first day's files come with this module


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
