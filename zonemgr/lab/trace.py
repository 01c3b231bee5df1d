"""What zoneadm, zoneadmd and the kernel do in a lab, step by step, for who wants to see their order.

While the fact `trace` is set (`zonemgr lab run --fault fact:trace=on ...`), each step is a line of LAB/trace:

    hook NAME ARGUMENTS...       a script of the brand is run
    vplat create boot|update     the virtual platform is made: for a boot, or on a scratch root (`mount`)
    vplat bringup                ... furnished: file systems, devices, links
    vplat teardown [rebooting] [unmount]
    kernel init=FILE             what the zone's first process will be
    kernel bootargs=TEXT         ... and its arguments
    kernel zone_boot ZONE
    inzone COMMAND               a command zoneadmd runs in the zone
"""

from __future__ import annotations

import json

from zonemgr.lab.world import World

FACT = "trace"


def step(world: World, *words: str) -> None:
    """Write one step down, if anybody wants to know."""
    if world.get(FACT):
        with open(world.dir / "trace", "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(json.dumps(words) + "\n")


def steps(world: World) -> list[list[str]]:
    """The steps written down so far."""
    path = world.dir / "trace"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
