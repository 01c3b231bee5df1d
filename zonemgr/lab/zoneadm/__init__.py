"""zoneadm: the subcommand that is asked for, on the zone that is named.

    zoneadm.zoneadm(call)        the command
    zoneadm.reconcile(world)     forget zones whose cell has died; every command starts with it
    zoneadm.start_zones(world)   what the host's boot does with its zones

What can be made to go wrong stands in daemon.py, brands/ipkg.py, brands/unconfigure.py and brands/network.py.
"""

from __future__ import annotations

import importlib
import re

from zonemgr.lab import brands, zonestore
from zonemgr.lab.brands.hook import Killed
from zonemgr.lab.brands.options import Parsed, getopt
from zonemgr.lab.call import Call
from zonemgr.lab.world import HOST_BOOT, World
from zonemgr.lab.zoneadm import words
from zonemgr.lab.zoneadm.request import ERROR, USAGE, Request, Stop

# subcommand -> "module:function" below zonemgr.lab.zoneadm
COMMANDS = {
    "list": "listing:list_zones",
    "verify": "verify:verify",
    "install": "install:install",
    "clone": "install:clone",
    "uninstall": "install:uninstall",
    "attach": "moving:attach",
    "detach": "moving:detach",
    "move": "moving:move",
    **{name: f"control:{name}" for name in ("boot", "halt", "ready", "shutdown", "reboot")},
    **{name: f"control:{name}" for name in ("mount", "unmount", "mark", "sysboot", "apply")},
}

UUID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"


def zoneadm(call: Call) -> int:
    if call.privileged:
        reconcile(call.world)
    given = getopt("?u:z:R:", call.argv[1:])
    if given.wrong or given.has("?"):
        return _bad_options(call, given.wrong, given.missing)
    if given.has("R"):
        return _other_root(call, given)
    if not given.rest:
        call.err(words.usage(explicit=False))
        return USAGE
    try:
        return _run(call, given.get("z") if given.has("z") else None, given.get("u"), given.rest)
    except Stop as stop:
        return stop.status
    except Killed:
        return -9


def _bad_options(call: Call, wrong: list[str], missing: list[str]) -> int:
    if wrong:
        trouble = "option requires an argument" if wrong[0] in missing else "illegal option"
        call.err(f"{call.argv[0]}: {trouble} -- {wrong[0]}\n")
    call.out(words.usage(explicit=True))
    return USAGE


def _other_root(call: Call, given: Parsed) -> int:
    letters = [letter for letter, _ in given.options]
    named = "z" in letters[: letters.index("R")]  # options are looked at one after the other
    root, prefix = given.get("R"), _prefix(given.get("z") if named else None)
    if not root.startswith("/"):
        return call.fail(f"{prefix}root path must be absolute.")
    if not call.world.path(root).is_dir():
        return call.fail(f"{prefix}root path must be a directory.")
    return call.fail("lab: zoneadm -R is not emulated")


def _prefix(zone: str | None) -> str:
    return "zoneadm: " if zone is None else f"zoneadm: zone '{zone}': "


def _run(call: Call, named: str | None, uuid: str, rest: list[str]) -> int:
    zone = _target(call, named, uuid)
    request = Request(call, rest[0], rest[1:], zone)
    if zone and zone != "global":
        request.raw_brand = zonestore.load(call.world, zone).brand
        request.brand = brands.find(call.world, request.raw_brand)
    if request.command not in words.SHORT:
        call.err(words.usage(explicit=False))
        return USAGE
    if request.command == "help":
        return _help(request)
    module, function = COMMANDS[request.command].split(":")
    status: int = getattr(importlib.import_module(f"zonemgr.lab.zoneadm.{module}"), function)(request)
    return status


def _target(call: Call, named: str | None, uuid: str) -> str:
    """The zone meant by -z and -u, empty for none; Stop when there is none of that name."""
    zone = named or ""
    if uuid:
        if not re.fullmatch(UUID, uuid):
            call.err(f"{_prefix(named)}illegal UUID value specified\n")
            raise Stop(ERROR)
        found = [entry.name for entry in zonestore.index(call.world) if entry.uuid.lower() == uuid.lower()]
        zone, named = (found[0], found[0]) if found else (zone, named)
    if named is None or zone == "global":
        return zone
    if zone.isdigit():
        row = call.world.db.execute("select name from kernel_zones where id = ?", (int(zone),)).fetchone()
        zone = row["name"] if row else zone
    try:
        zonestore.load(call.world, zone)
    except zonestore.StoreError:
        call.err(f"zoneadm: {zone}: No such zone configured\n")
        raise Stop(ERROR) from None
    return zone


def _help(request: Request) -> int:
    if not request.args:
        request.call.out(words.usage(explicit=True))
        return 0
    given = request.options("", operands=None)
    for name in given.rest:
        if words.SHORT.get(name) is None:
            raise request.misused()
        request.call.err(words.sub_usage(name))
    return 0


# -- between commands --------------------------------------------------------------------------------------


def reconcile(world: World) -> None:
    """Bring the kernel's list up to date with what has happened since the last command.

    A zone whose first process was killed from outside is gone; one whose sysding asked for it has rebooted.
    """
    rows = world.db.execute("select * from kernel_zones where state = 'running'").fetchall()
    for row in rows:
        if row["init_pid"]:
            from zonemgr.lab.processes import alive

            if not alive(row["init_pid"], row["init_start"]):
                forget(world, row["name"])
                continue
        if not world.omnios and world.now() - row["booted"] < SYSDING_WATCH:
            from zonemgr.lab.zoneadm import daemon

            daemon.reboot_if_asked(world, row["name"])


SYSDING_WATCH = 3600.0  # seconds after its boot that a zone is asked whether it wants a reboot


def forget(world: World, zone: str) -> None:
    """The zone is no longer active, without anything having been taken down in good order."""
    from zonemgr.lab import links

    links.release(world, zone)
    world.db.execute("delete from kernel_zones where name = ?", (zone,))


def _host_boot(world: World) -> None:
    """After a power cut no zone is active."""
    for row in world.db.execute("select name from kernel_zones").fetchall():
        forget(world, row["name"])


def start_zones(world: World) -> None:
    """The service system/zones at the host's boot: boot the zones with autoboot, mount the others' roots."""
    for entry in zonestore.index(world):
        if entry.state != "installed":
            continue
        try:
            autoboot = zonestore.load(world, entry.name).autoboot
        except zonestore.StoreError:
            continue
        zoneadm(Call(world, ["zoneadm", "-z", entry.name, "boot" if autoboot else "sysboot"]))


HOST_BOOT.append(_host_boot)
