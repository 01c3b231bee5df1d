"""zoneadm, zonecfg and zlogin as they answer inside a non-global zone (docs/illumos.md: Zone states)."""

from __future__ import annotations

from zonemgr.lab import options
from zonemgr.lab.call import Call
from zonemgr.lab.world import LabError

# Subcommands and the manual page one is sent to instead.
INSTEAD = {"halt": "halt(8)", "shutdown": "shutdown(8)", "reboot": "reboot(8)"}
COMMANDS = (
    *("help", "boot", "halt", "ready", "reboot", "shutdown", "list", "verify", "install", "uninstall"),
    *("mount", "unmount", "clone", "move", "detach", "attach", "mark", "apply", "sysboot"),
)
# The only colon escaped in parsable output is one in the path, and that is / here.
TABLE = "{:>4} {:<16} {:<10} {:<30} {:<8} {:<6}\n"


def zoneadm(call: Call) -> int:
    """Only `list` does anything here; the rest says where to go."""
    try:
        given, rest = options.parse(call.argv[1:], "?u:z:R:")
    except options.BadOption:
        return call.fail("usage:\tzoneadm help", 2)
    if not rest or rest[0] not in COMMANDS or rest[0] == "help":
        raise LabError("the usage text of zoneadm in a zone is not emulated")
    name = dict(given).get("z", "")
    if name and name != call.zone:
        return call.fail(f"zoneadm: {name}: No such zone configured")
    if rest[0] == "list":
        return _list(call, rest[1:])
    prefix = f"zoneadm: zone '{name}': " if name else "zoneadm: "
    if rest[0] in INSTEAD:
        return call.fail(f"{prefix}use {INSTEAD[rest[0]]} to {rest[0]} this zone.")
    return call.fail(f"{prefix}must be in the global zone to {rest[0]} a zone.")


def _list(call: Call, words: list[str]) -> int:
    try:
        given, rest = options.parse(words, "?ipvcn")
    except options.BadOption:
        return call.fail("usage:\tlist [-cinpv]", 2)
    letters = {letter for letter, _ in given}
    if rest or "?" in letters:
        return call.fail("usage:\tlist [-cinpv]", 2)
    if {"p", "v"} <= letters:
        return call.fail("zoneadm: list -p and -v are mutually exclusive.")
    me = _told()
    zone, brand = call.zone or "", str(me.get("brand", ""))
    kind = "excl" if me.get("ip_type") == "exclusive" else "shared"
    number = str(me.get("id", 1))
    if "p" in letters:
        # No uuid: that is in the global zone's index, which cannot be seen from here.
        fields = [number, zone, "running", "/", "", brand, kind]
        call.out(":".join([*fields, *([""] if me.get("flavour") == "omnios" else [])]) + "\n")
    elif "v" in letters:
        call.out(TABLE.format("ID", "NAME", "STATUS", "PATH", "BRAND", "IP"))
        call.out(TABLE.format(number, zone, "running", "/", brand, kind))
    else:
        call.out(zone + "\n")
    return 0


def _told() -> dict[str, object]:
    import json

    from zonemgr.lab.program import ZONE

    try:
        told: dict[str, object] = json.loads(ZONE.read_text())
    except OSError:
        return {}
    return told


def zonecfg(call: Call) -> int:
    return call.fail("zonecfg can only be run from the global zone.")


def zlogin(call: Call) -> int:
    """Finds fault with its options first, as in the global zone."""
    from zonemgr.lab import zlogin as real

    try:
        real.parse(call.argv[1:])
    except real.Refusal as no:
        if no.text:
            call.err(f"zlogin: {no.text}\n")
        call.err(real.USAGE if no.status == 2 else "")
        return no.status
    return call.fail("zlogin: 'zlogin' may only be used from the global zone")


def ask(call: Call) -> int:
    """What only the kernel knows: zfs, mount, df."""
    from zonemgr.lab import kernel

    return kernel.ask(call)


def refused(call: Call) -> int:
    """The machine's own of that name is another command."""
    raise LabError("this is not emulated in a zone")
