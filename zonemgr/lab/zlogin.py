"""zlogin: run a command in a zone, or go in. Rules and texts: docs/illumos.md: zlogin and rights."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from zonemgr.lab import accounts, cell, contracts, options, processes, su, zonefs, zonepower, zonestore
from zonemgr.lab.call import Call, TimeLimit
from zonemgr.lab.pump import Pump, readable

USAGE = "usage: zlogin [ -dnQCES ] [ -e cmdchar ] [-l user] zonename [command [args ...] ]\n"
LETTERS = "dnECR:Se:l:Q"
PATH = "/usr/sbin:/usr/bin"
SHELL = "/sbin/sh"


class Refusal(Exception):
    """zlogin's own no: a text after `zlogin: ` (none: usage only) and an exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.text, self.status = text, status


@dataclass(frozen=True)
class Order:
    """A parsed command line."""

    zone: str
    words: tuple[str, ...]
    user: str = "root"
    user_given: bool = False
    failsafe: bool = False
    console: bool = False
    no_stdin: bool = False
    quiet: bool = False
    disconnect: bool = False
    escape: bytes = b"~"


def zlogin(call: Call) -> int:
    try:
        order = parse(call.argv[1:])
        interactive = not order.words and call.terminal and not order.console
        state = _check(call, order, interactive)
        if state == "running" and not call.world.omnios:
            _self_reboot(call, order.zone)
        if order.console:
            return _console(call, order)
        if state not in ("running", "mounted"):
            raise Refusal(f"login allowed only to running zones ({order.zone} is '{state}').")
    except Refusal as no:
        if no.text:
            call.err(no.text + "\n" if no.text.startswith("lab: ") else f"zlogin: {no.text}\n")
        if no.status == 2:
            call.err(USAGE)
        return no.status
    if state == "running":
        zonefs.settle(call.world, order.zone)
        zonefs.write_mnttab(call.world, order.zone)
    with cell.of(call.world, order.zone) as place:
        return _interactive(call, order, place) if interactive else _command(call, order, place)


# -- the command line --------------------------------------------------------------------------------------


def parse(words: Sequence[str]) -> Order:
    """Read the options; raises Refusal in the order zlogin finds fault."""
    try:
        found, rest = options.parse(words, LETTERS)
    except options.BadOption as bad:
        said = "option requires an argument" if bad.missing else "illegal option"
        raise Refusal(f"{said} -- {bad.letter}", 2) from None
    given = dict(found)
    escape = b"" if "E" in given else _escape(given.get("e", "~"))
    if "R" in given:
        raise Refusal("lab: zlogin -R is not emulated")
    _check_options(given, rest)
    return Order(
        rest[0],
        tuple(rest[1:]),
        given.get("l", "root"),
        "l" in given,
        failsafe="S" in given,
        console="C" in given,
        no_stdin="n" in given,
        quiet="Q" in given,
        disconnect="d" in given,
        escape=escape,
    )


def _check_options(given: dict[str, str], rest: Sequence[str]) -> None:
    if "C" in given:
        for letter in "lnS":
            if letter in given:
                raise Refusal(f"-{letter} may not be specified for console login", 2)
    if "S" in given and "l" in given:
        raise Refusal("-l may not be specified for failsafe login", 2)
    if "d" in given and "C" not in given:
        raise Refusal("-d may only be specified with console login", 2)
    if not rest:
        raise Refusal("", 2)
    if len(rest) == 1 and "n" in given:
        raise Refusal("-n may not be specified for interactive login", 2)
    if len(rest) > 1 and "C" in given:
        raise Refusal("Commands may not be specified for console login.", 2)


def _escape(text: str) -> bytes:
    """The escape character: itself, or a backslash and its octal number."""
    if not text.startswith("\\"):
        return text[:1].encode("utf-8", "surrogateescape")[:1]
    digits = text[1:]
    if digits[:1] in ("", "\\"):
        return b"\\"
    if digits[0] not in "01234567":
        raise Refusal(f"Unrecognized escape character option {text}", 2)
    octal = digits[: len(digits) - len(digits.lstrip("01234567"))]
    if int(octal, 8) > 255:
        raise Refusal(f"Octal escape character '{digits}' too large", 2)
    return bytes([int(octal, 8)])


def joined(words: Sequence[str], *, omnios: bool) -> str:
    """The one string a shell in the zone will read again: never quoted as it should be.

    See docs/illumos.md: zlogin and rights.
    """
    if not omnios:
        return "".join(word + " " for word in words)
    if len(words) == 1:
        return words[0]
    return " ".join(f"'{word}'" if " " in word or "\t" in word else word for word in words)


# -- may it? -----------------------------------------------------------------------------------------------


def _check(call: Call, order: Order, interactive: bool) -> str:
    """Every check up to the state of the zone, which is returned."""
    if order.zone == "global":
        raise Refusal("'zlogin' not applicable to the global zone")
    state = zonestore.state(call.world, order.zone)
    if state is None:
        raise Refusal(f"zone '{order.zone}' unknown")
    if state in ("configured", "incomplete"):
        raise Refusal(f"cannot login to a zone which is '{state}'")
    if not call.privileged:
        raise Refusal("You lack sufficient privilege to run this command (all privs required)")
    if not authorized(call, f"solaris.zone.manage/{order.zone}"):
        _check_login_only(call, order, interactive)
    return state


def _check_login_only(call: Call, order: Order, interactive: bool) -> None:
    if order.console:
        raise Refusal(f"{call.user} is not authorized for console access to  {order.zone} zone.")
    if order.failsafe or not interactive:
        raise Refusal(
            f"{call.user} is not authorized for  failsafe or non-interactive login to  {order.zone} zone."
        )
    if not authorized(call, f"solaris.zone.login/{order.zone}"):
        raise Refusal(f"{call.user} is not authorized  to login to {order.zone} zone.")
    raise Refusal("lab: a login that asks for a password is not emulated")


def _self_reboot(call: Call, zone: str) -> None:
    """sysding may have rebooted the zone by now: then this is a login to the zone after that."""
    from zonemgr.lab import smf

    if smf.settle_zone(call.world, zone):
        from zonemgr.lab.zoneadm import daemon

        daemon.reboot_if_asked(call.world, zone)


def authorized(call: Call, wanted: str) -> bool:
    """Has the real user (pfexec changes only the privileges) this authorisation?"""
    if call.user == "root":
        return True
    has = call.run("auths", call.user).stdout.replace("\n", ",").split(",")
    plain = wanted.partition("/")[0]
    parts = plain.split(".")
    wild = {".".join(parts[:count]) + ".*" for count in range(1, len(parts))}
    return any(each.strip() in {wanted, plain, "*", *wild} for each in has)


# -- doing it ----------------------------------------------------------------------------------------------


def body(call: Call, order: Order) -> Callable[[], int]:
    """What the process in the zone does: prepare an environment there, then become the program."""
    env = {"PATH": PATH, **({"TERM": call.env["TERM"]} if "TERM" in call.env else {})}
    line = joined(order.words, omnios=call.world.omnios)
    if order.failsafe:
        words = [SHELL, "-c", line] if order.words else [SHELL]
        return lambda: _failsafe(words, {**env, "HOME": "/", "SHELL": SHELL})
    if not order.words:
        return lambda: su.log_in(order.user, env)
    return lambda: _by_su(order.user, line, env)


def _failsafe(words: list[str], env: dict[str, str]) -> int:
    su.run_program(SHELL, words, env)
    return 1


def _by_su(user: str, line: str, env: dict[str, str]) -> int:
    account = accounts.by_name(user)
    if account is None:
        env = {**env, "HOME": "/", "SHELL": SHELL}
    else:
        try:
            os.chdir(account.home)
        except OSError as trouble:
            su.tell(f"zlogin: Could not chdir to home directory {account.home}: {trouble.strerror}")
        mail, shell = f"/var/mail/{account.name}", account.shell or SHELL
        env = {**env, "LOGNAME": account.name, "HOME": account.home, "MAIL": mail, "SHELL": shell}
    return su.switch(user, login=user != "root", words=["-c", line], env=env)


def _command(call: Call, order: Order, place: cell.Place) -> int:
    """Run it on three pipes: its exit status, and 0 when a signal ended it, as zlogin has it."""
    pump = Pump(None if order.no_stdin else call.stdin, call.stdout, call.stderr)
    child = cell.spawn(place, contracts.of_its_own(body(call, order)), pump.descriptors)
    ended = os.pidfd_open(child)
    pump.started()
    try:
        deadline = None if call.limit is None else time.monotonic() + call.limit
        with _interrupts_passed_on(child):
            if not (pump.run(ended, deadline) and readable([ended], deadline)):
                raise TimeLimit(call.argv, call.limit or 0.0)
        return os.WEXITSTATUS(os.waitpid(child, 0)[1])  # 0 for a signal: zlogin looks at no other byte either
    except BaseException:
        processes.abandoned.add(child)  # killing zlogin leaves it running
        raise
    finally:
        pump.close()
        os.close(ended)
        if not Path("/.lab").is_dir():
            # In one process with its caller the lab leaves nothing half done: a zone that is about to go
            # down by its own doing is down when this returns.
            zonepower.wait(call.world, order.zone)


def _console(call: Call, order: Order) -> int:
    """Ends with the input, by the escape, with -d when the zone is halted, or by a signal."""
    from zonemgr.lab import console

    if not order.quiet:
        call.out(f"[Connected to zone '{order.zone}' console]\n")
    console.session(call, order.zone, order.escape, disconnect=order.disconnect)
    if not order.quiet:
        call.err(f"\n[Connection to zone '{order.zone}' console closed]\n")
    return 0


@contextmanager
def _interrupts_passed_on(child: int) -> Iterator[None]:
    """SIGINT is the one signal zlogin passes on: to the process group in the zone."""

    def pass_on(_number: int, _frame: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGINT)

    try:
        before = signal.signal(signal.SIGINT, pass_on)
    except ValueError:  # not in the main thread: then signals are the caller's business
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _interactive(call: Call, order: Order, place: cell.Place) -> int:
    from zonemgr.lab import terminal

    names: list[str] = []

    def connected(name: str) -> None:
        names.append(name)
        if not order.quiet:
            call.out(f"[Connected to zone '{order.zone}' {name}]\n")

    terminal.session(place, body(call, order), name=connected, escape=order.escape)
    if not order.quiet:
        call.err(f"\n[Connection to zone '{order.zone}' {names[0]} closed]\n")
    return 0
