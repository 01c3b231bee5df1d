"""Boot arguments: `boot -- ARGS`, or else those of the configuration (zoneadmd.c, filter_bootargs).

The gate's zoneadmd hands options on, known or not, and drops words; it says so only when there are words. OmniOS' hands
on everything, for brands with an init of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zonemgr.lab.brands.options import Parsed, getopt

if TYPE_CHECKING:
    from zonemgr.lab.zoneadm.daemon import Daemon

LONGEST = 255  # BOOTARGS_MAX, less one for the end mark
KERNEL = "kernel/"  # how a kernel's file begins, which OmniOS drops as the first argument


def filtered(daemon: Daemon, given: str) -> tuple[str, str]:
    """What the zone's kernel is told, blanks and all, and which file is its init."""
    text = given or daemon.config().bootargs
    init = daemon.request.its_brand().init
    if len(text) > LONGEST:
        raise daemon.fail("boot argument string too long")
    words = text.split()
    if words and _is_kernel(words[0], omnios=daemon.world.omnios):
        words = words[1:]
    parsed = getopt("fi:m:s", words)
    init = parsed.get("i", init)
    if daemon.world.omnios:
        return " ".join([*_passed_on(words, parsed), *parsed.rest]), init
    _warn(daemon, parsed)
    return "".join(map(_printed, *zip(*parsed.options, strict=True))) if parsed.options else "", init


def _is_kernel(word: str, *, omnios: bool) -> bool:
    """As `reboot kernel/unix -s` names it elsewhere; the gate takes any first word that is no option for one."""
    return word.startswith(KERNEL) if omnios else not word.startswith("-")


def _printed(letter: str, value: str) -> str:
    if letter in ("m", "s"):
        return f" -{letter} {value} "
    return f" -{value}" if letter == "?" else ""


def _passed_on(words: list[str], parsed: Parsed) -> list[str]:
    """OmniOS: what is known as it was understood, what is not as the whole word it stands in."""
    passed: list[str] = []
    for (letter, value), at in zip(parsed.options, parsed.at, strict=True):
        if letter in ("m", "s"):
            passed += [f"-{letter}", *([value] if value else [])]
        elif letter == "?":
            passed.append(words[at])
    return passed


def _warn(daemon: Daemon, parsed: Parsed) -> None:
    """Name what nobody takes: to the caller only if there are words, on the console in any case."""
    unknown = "".join(f" -{value}" for letter, value in parsed.options if letter == "?")
    bad = " ".join([*([unknown] if unknown else []), *parsed.rest])
    if parsed.rest:
        daemon.say(f"WARNING: Unused or invalid boot arguments `{bad}'.")
    if bad:
        daemon.notice(f"WARNING: Ignoring invalid boot arguments: {bad}")
