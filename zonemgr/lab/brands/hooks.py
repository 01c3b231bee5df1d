"""A hook of a brand as zoneadm and zoneadmd run it: traced, overruled by a fault, or carried out.

fault.hook.NAME = STATUS [WORDS]   the script NAME (clone, prestate, pkgcreatezone, ...) does nothing but say WORDS
                                   on stderr and exit with STATUS; `sigN` for STATUS: signal N kills it.
                                   `fault.hook.NAME.ZONE` is for one zone only.
hooks.scripted = on                no script of any brand does its work: see scripted.py
"""

from __future__ import annotations

import re

from zonemgr.lab import brands, trace
from zonemgr.lab.brands import Brand
from zonemgr.lab.call import Call

SCRIPTED = "hooks.scripted"


def command_line(brand: Brand, argv: list[str]) -> str:
    """What zoneadm hands to `/bin/sh -c`: the script is put in the shell's place."""
    return " ".join([f"exec /usr/lib/brand/{brand.home}/{argv[0]}", *argv[1:]])


def run(call: Call, hook: str, argv: list[str], *, zone: str) -> int:
    """The exit status of a hook; negative: killed by that signal."""
    trace.step(call.world, "hook", *argv)
    told = call.world.get(f"fault.hook.{argv[0]}.{zone}") or call.world.get(f"fault.hook.{argv[0]}")
    if told:
        return _as_told(call, told)
    if call.world.get(SCRIPTED):
        hook = "scripted:script"
    return brands.function(hook)(call, argv)


def _as_told(call: Call, told: str) -> int:
    status, _, words = told.partition(" ")
    if words:
        call.err(words + "\n")
    signal = re.fullmatch(r"sig([0-9]+)", status)
    return -int(signal[1]) if signal else int(status)
