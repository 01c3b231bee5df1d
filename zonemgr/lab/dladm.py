"""dladm(8): data links. Making and deleting them; dlshow shows them, dlprops has their properties."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from zonemgr.lab import links, options
from zonemgr.lab.call import Call
from zonemgr.lab.place import Link, Place, here, link_of, told

USAGES = {
    "show-link": "    show-link        [-pP] [-o <field>,..] [-s [-i <interval>]] [<link>]\n",
    "show-phys": "    show-phys        [-m | -H | -P] [[-p] [-o <field>[,...]] [<link>]\n",
    "set-linkprop": "    set-linkprop     [-t] -p <prop>=<value>[,...] <name>",
    "reset-linkprop": "    reset-linkprop   [-t] [-p <prop>,...] <name>",
    "show-linkprop": "    show-linkprop    [-cP] [-o <field>,...] [-p <prop>,...] <name>\n",
    "create-vnic": "    create-vnic      [-t] -l <link> [-m <value> | auto | ...] [-v <vid> [-f]]"
    " [-p <prop>=<value>,...] <vnic-link>",
    "delete-vnic": "    delete-vnic      [-t] <vnic-link>",
    "show-vnic": "    show-vnic        [-pP] [-l <link>] [-s [-i <interval>]] [<link>]\n",
    "create-etherstub": "    create-etherstub [-t] <link>",
    "delete-etherstub": "    delete-etherstub [-t] <link>",
    "show-etherstub": "    show-etherstub   [<link>]\n",
}
NOT_EMULATED = (
    "rename-link", "create-aggr", "delete-aggr", "add-aggr", "remove-aggr", "modify-aggr", "show-aggr",
    "up-aggr", "scan-wifi", "connect-wifi", "disconnect-wifi", "show-wifi", "show-ether", "create-secobj",
    "delete-secobj", "show-secobj", "create-vlan", "delete-vlan", "show-vlan", "up-vlan", "create-iptun",
    "delete-iptun", "modify-iptun", "show-iptun", "up-iptun", "down-iptun", "delete-phys", "init-phys",
    "show-linkmap", "up-vnic", "create-part", "delete-part", "show-part", "up-part", "show-ib",
    "create-simnet", "delete-simnet", "show-simnet", "modify-simnet", "up-simnet", "create-bridge",
    "delete-bridge", "modify-bridge", "add-bridge", "remove-bridge", "show-bridge", "show-usage",
    "create-overlay", "delete-overlay", "modify-overlay", "show-overlay",
)  # fmt: skip
CREATE_LONG = {
    "temporary": "t", "root-dir": "R", "link": "l", "mac-address": "m", "slot": "n", "bw-limit": "b",
    "prop": "p", "mac-prefix": "r", "vrid": "V", "address-family": "A", "vlan": "v",
}  # fmt: skip
DEFAULT_TAG = 1
DENIED = "permission denied"


class Died(Exception):
    """dladm ends with this text."""


class Usage(Exception):
    """dladm prints what it can do, and ends with 1."""


class Run:
    """One dladm, in the global zone or in a zone."""

    def __init__(self, call: Call, name: str) -> None:
        self.call, self.name = call, name
        self.where: Place = here(call)
        if call.zone is not None and told(call).get("ip_type") == "shared":
            raise Died("could not open /dev/dld: object not found")

    def links(self) -> list[Link]:
        """The links that are there: in a zone those the zone was given."""
        if self.call.zone is not None:
            return list(self.where.links)
        return [link_of(dict(row)) for row in links.every(self.call.world) if row["up"]]

    def options(
        self, words: Sequence[str], letters: str, long: dict[str, str] | None = None
    ) -> tuple[list[tuple[str, str]], list[str]]:
        wanted = {name: letter for name, letter in (long or {}).items() if letter in letters}
        try:
            return options.parse(words, letters, wanted)
        except options.BadOption as bad:
            how = (
                f"option '-{bad.letter}' requires a value"
                if bad.missing
                else f"unrecognized option '-{bad.letter}'"
            )
            raise Died(f"{how}\nusage: {USAGES[self.name]}") from None

    def warn(self, text: str) -> None:
        self.call.err(f"dladm: warning: {text}\n")

    def changes(self) -> None:
        """Called before a change: what a zone may change of its links is not emulated."""
        if self.call.zone is not None:
            raise NotEmulated(f"dladm {self.name} in a zone")


class NotEmulated(Exception):
    pass


def dladm(call: Call) -> int:
    words = call.argv[1:] or ["show-link"]
    if words[0] in NOT_EMULATED:
        return call.fail(f"lab: dladm {words[0]} is not emulated")
    commands = _commands()
    if words[0] not in commands:
        complaint = "" if words[0] == "help" else f"dladm: unknown subcommand '{words[0]}'\n"
        return call.fail(complaint + _usage())
    try:
        return commands[words[0]](Run(call, words[0]), words[1:]) or 0
    except Died as died:
        return call.fail(f"dladm: {died}")
    except Usage:
        return call.fail(_usage())
    except NotEmulated as what:
        return call.fail(f"lab: {what} is not emulated")


def _usage() -> str:
    return "usage:  dladm <subcommand> <args> ...\n" + "\n".join(USAGES.values())


def _commands() -> dict[str, Callable[[Run, Sequence[str]], int | None]]:
    from zonemgr.lab import dlprops, dlshow

    return {
        "show-link": dlshow.show_link,
        "show-phys": dlshow.show_phys,
        "show-vnic": dlshow.show_vnic,
        "show-etherstub": dlshow.show_vnic,
        "show-linkprop": dlprops.show,
        "set-linkprop": dlprops.change,
        "reset-linkprop": dlprops.change,
        "create-vnic": create_vnic,
        "delete-vnic": delete,
        "create-etherstub": create_etherstub,
        "delete-etherstub": delete,
    }


# -- making --------------------------------------------------------------------------------------------


def create_vnic(run: Run, words: Sequence[str]) -> None:
    found, rest = run.options(words, "tfR:l:m:n:p:r:v:V:A:H", CREATE_LONG)
    given = dict(found)
    over, vid = _over(given), _vlan(found)
    kind = _mac_kind(found)
    _combinations(given, kind, vid)
    if "l" not in given or len(rest) != 1:
        raise Usage
    _check_name(rest[0])
    run.changes()
    if "R" in given:
        raise NotEmulated("dladm -R")
    lower = links.find(run.call.world, over)
    if lower is None:
        raise Died(f"invalid link name '{over}'")
    properties = _properties(found)
    failed = f"vnic creation over {over} failed"
    _may_be_below(lower, temporary="t" in given, failed=failed)
    _claim(run, rest[0], failed)
    if vid == DEFAULT_TAG and lower["class"] == "phys":
        raise Died(f"VLAN over '{over}' may not use default_tag ID (see dladm(8))")
    mac, mactype = _mac(run, given, kind, over, vid, failed)
    _insert(run, rest[0], "vnic", over, mac, mactype, vid, temporary="t" in given)
    _apply(run, rest[0], properties, failed)


def _over(given: dict[str, str]) -> str:
    if len(given.get("l", "")) > links.LONGEST:
        raise Died("link name too long")
    return given.get("l", "")


def _vlan(found: Sequence[tuple[str, str]]) -> int:
    values = [value for letter, value in found if letter == "v"]
    for value in values[:1]:
        if not value.isdigit() or not 1 <= int(value) <= 4094:
            raise Died(f"invalid VLAN identifier '{value}'")
    if len(values) > 1:
        raise Died("the option -v cannot be specified more than once")
    return int(values[0]) if values else 0


def _mac_kind(found: Sequence[tuple[str, str]]) -> str:
    values = [value for letter, value in found if letter == "m"]
    if not values:
        return "auto"
    if len(values) > 1:
        raise Died("cannot specify -m option twice")
    if values[0] == "fixed":
        raise Died("'fixed' is not a valid MAC address")
    for kind in ("random", "factory", "auto", "vrrp"):
        if values[0].startswith(kind):
            return kind
    _octets(values[0])
    return "fixed"


def _octets(text: str) -> list[int]:
    """A MAC address or prefix: numbers in hex between colons."""
    parts = text.split(":")
    try:
        octets = [int(part, 16) for part in parts]
    except ValueError:
        raise Died("invalid MAC address") from None
    if any(not 1 <= len(part) <= 2 for part in parts):
        raise Died("invalid MAC address")
    return octets


def _combinations(given: dict[str, str], kind: str, vid: int) -> None:
    if "n" in given and not given["n"].lstrip("-").isdigit():
        raise Died("invalid slot number")
    if "V" in given and (not given["V"].isdigit() or not 1 <= int(given["V"]) <= 255):
        raise Died(f"invalid VRRP identifier '{given['V']}'")
    if "A" in given and given["A"] not in ("inet", "inet6"):
        raise Died(f"invalid address family '{given['A']}'")
    if "f" in given and not vid:
        raise Died("-f option can only be used with -v")
    if "r" in given and (_octets(given["r"]), kind)[1] not in ("random", "fixed"):
        raise Usage
    if ("V" in given and "A" in given) != (kind == "vrrp") or (kind != "vrrp" and given.keys() & {"V", "A"}):
        raise Usage
    if "n" in given and kind != "factory":
        raise Usage


def _check_name(name: str) -> None:
    if len(name) > links.LONGEST:
        raise Died(f"link name too long '{name}'")
    if not links.valid_name(name):
        raise Died(f"invalid link name '{name}'")


def _properties(found: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    from zonemgr.lab import dlprops

    text = ",".join(value for letter, value in found if letter == "p")
    try:
        return dlprops.parse(text, values=True)
    except ValueError:
        raise Died("invalid vnic property") from None


def _may_be_below(lower: sqlite3.Row, *, temporary: bool, failed: str) -> None:
    if lower["temporary"] and not temporary:
        raise Died(f"{failed}: can't create persistent object on top of temporary object")
    if lower["class"] == "vnic":
        raise Died(f"{failed}: invalid argument")


def _claim(run: Run, name: str, failed: str) -> None:
    if not run.call.privileged:
        raise Died(f"{failed}: {DENIED}")
    if links.find(run.call.world, name) is not None:
        raise Died(f"{failed}: object already exists")


def _mac(run: Run, given: dict[str, str], kind: str, over: str, vid: int, failed: str) -> tuple[str, str]:
    if kind == "factory":
        raise Died(f"{failed}: factory MAC address slots not supported")
    if kind == "vrrp":
        inet = given["A"] == "inet"
        return links.mac_text(
            [0, 0, 0x5E, 0, 1 if inet else 2, int(given["V"])]
        ), f"vrrp, {given['V']}/{given['A']}"
    if kind in ("auto", "random"):
        prefix = _octets(given["r"]) if "r" in given else list(links.PREFIX)
        if len(prefix) > 5:
            raise Died(f"{failed}: Invalid MAC address prefix length")
        return links.invent_mac(run.call.world, prefix), "random"
    octets = _octets(given["m"])
    if len(octets) != 6:
        raise Died(f"{failed}: invalid MAC address length")
    _check_mac(run, octets, over, vid, failed)
    return links.mac_text(octets), "fixed"


def _check_mac(run: Run, octets: list[int], over: str, vid: int, failed: str) -> None:
    text = links.mac_text(octets)
    if octets[0] & 1 or not any(octets):
        raise Died(f"{failed}: invalid MAC address value")
    lower = links.find(run.call.world, over)
    if lower is not None and lower["mac"] == text:
        raise Died(f"{failed}: MAC address reserved for use by underlying data-link")
    if any(row["mac"] == text and row["vid"] == vid for row in links.over(run.call.world, over)):
        raise Died(f"{failed}: MAC address is already in use")


def _insert(
    run: Run, name: str, klass: str, over: str, mac: str, mactype: str, vid: int, *, temporary: bool
) -> None:
    mtu = 1500 if klass == "vnic" else 9000
    run.call.world.db.execute(
        "insert into links (name, class, over, mac, mactype, vid, mtu, temporary)"
        " values (?, ?, ?, ?, ?, ?, ?, ?)",
        (name, klass, over, mac, mactype, vid, mtu, int(temporary)),
    )


def _apply(run: Run, name: str, properties: dict[str, list[str]], failed: str) -> None:
    """Set the properties given at creation; a bad one takes the link back."""
    from zonemgr.lab import dlprops

    for prop, values in properties.items():
        trouble = dlprops.set_one(run.call.world, name, prop, values)
        if trouble:
            run.call.world.db.execute("delete from links where name = ?", (name,))
            raise Died(f"{failed}: {trouble}")


def create_etherstub(run: Run, words: Sequence[str]) -> None:
    found, rest = run.options(words, "tR:", CREATE_LONG)
    if len(rest) != 1:
        raise Usage
    _check_name(rest[0])
    run.changes()
    if "R" in dict(found):
        raise NotEmulated("dladm -R")
    _claim(run, rest[0], "etherstub creation failed")
    mac = links.invent_mac(run.call.world, list(links.PREFIX))
    _insert(run, rest[0], "etherstub", "", mac, "", 0, temporary="t" in dict(found))


# -- deleting ------------------------------------------------------------------------------------------


def delete(run: Run, words: Sequence[str]) -> None:
    found, rest = run.options(words, "R:t", {"root-dir": "R", "temporary": "t"})
    given = dict(found)
    if len(rest) != 1:
        raise Usage
    if "R" in given:
        raise NotEmulated("dladm -R")
    if run.call.zone is not None and rest[0] not in [link.name for link in run.links()]:
        raise Died(f"invalid link name '{rest[0]}'")
    run.changes()
    _delete(run, rest[0], temporary="t" in given)


def _delete(run: Run, name: str, *, temporary: bool) -> None:
    row = links.find(run.call.world, name)
    if row is None:
        raise Died(f"invalid link name '{name}'")
    etherstub = run.name == "delete-etherstub"
    if row["class"] in ("vnic", "etherstub") and (row["class"] == "etherstub") != etherstub:
        raise Died(f"'{name}' is not {'an etherstub' if etherstub else 'a vnic'}")
    trouble = _why_not(run, row, temporary)
    if trouble:
        raise Died(f"vnic deletion failed: {trouble}")
    if temporary and not row["temporary"]:
        run.call.world.db.execute("update links set up = 0 where id = ?", (row["id"],))
    else:
        run.call.world.db.execute("delete from links where id = ?", (row["id"],))


def _why_not(run: Run, link: sqlite3.Row, temporary: bool) -> str:
    from zonemgr.lab import ipconf

    if link["class"] not in ("vnic", "etherstub"):
        return "invalid argument"
    if not run.call.privileged:
        return DENIED
    if temporary and not link["up"]:
        return "object not found"
    if (
        link["zone"]
        or links.over(run.call.world, link["name"])
        or link["name"] in ipconf.load(run.where).interfaces
    ):
        return "link busy"
    return "link busy" if _still_busy(run) else ""


def _still_busy(run: Run) -> bool:
    """`fault.vnic-busy` of the world: so many more deletions find the link still held by something."""
    left = int(run.call.world.get("fault.vnic-busy", "0") or 0)
    if left:
        run.call.world.put("fault.vnic-busy", str(left - 1))
    return left > 0
