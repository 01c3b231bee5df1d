"""Boot arguments: `boot -- ARGS`, or else those of the configuration (facts sheet 1.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zonemgr.lab.brands.options import getopts

if TYPE_CHECKING:
    from zonemgr.lab.zoneadm.daemon import Daemon

LONGEST = 255


def filtered(daemon: Daemon, given: str) -> tuple[str, str]:
    """What init gets, and which init; says which arguments nobody wants."""
    text = given or daemon.config().bootargs
    init = daemon.request.its_brand().init
    if len(text) > LONGEST:
        daemon.say("boot argument string too long")
        return "", init
    words = text.split()
    if words and not words[0].startswith("-"):
        words = words[1:]  # a kernel's file, as other systems name it
    parsed = getopts("fi:m:s", words)
    passed: list[str] = []
    unknown: list[str] = []
    for letter, value in parsed.options:
        if letter in ("m", "s"):
            passed += [f"-{letter}", *([value] if value else [])]
        elif letter == "i":
            init = value
        elif letter == "?":
            passed.append(f"-{value}")
            unknown.append(f" -{value}")
    _warn(daemon, "".join(unknown), parsed.rest)
    return " ".join(passed), init


def _warn(daemon: Daemon, unknown: str, rest: list[str]) -> None:
    """Name the arguments nobody takes; the boot goes on."""
    bad = " ".join([*unknown.split(), *rest])
    if bad:
        daemon.say(f"WARNING: Unused or invalid boot arguments `{bad}'.")
