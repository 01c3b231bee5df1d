"""ipadm(8): interfaces and addresses, in the global zone or in an exclusive-IP zone.

See docs/illumos.md: Links and addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zonemgr.lab import ipconf, ofmt, options
from zonemgr.lab.call import Call
from zonemgr.lab.ipconf import Address, Trouble
from zonemgr.lab.ofmt import Field
from zonemgr.lab.place import Link, here, link_of

ADDRESS_FIELDS = [
    Field("ADDROBJ", 18), Field("TYPE", 9), Field("STATE", 13), Field("CURRENT", 8), Field("PERSISTENT", 11),
    Field("ADDR", 46),
]  # fmt: skip
INTERFACE_FIELDS = [
    Field("IFNAME", 11), Field("CLASS", 10), Field("STATE", 9), Field("CURRENT", 13), Field("PERSISTENT", 11)
]  # fmt: skip
USAGES = {
    "create-if": "\tcreate-if\t[-t] <interface>",
    "delete-if": "\tdelete-if\t<interface>\n",
    "show-if": "\tshow-if\t\t[[-p] -o <field>,...] [<interface>]\n",
    "create-addr": "\tcreate-addr\t[-t] -T static|dhcp|addrconf ... <addrobj>",
    "delete-addr": "\tdelete-addr\t[-r] <addrobj>",
    "show-addr": "\tshow-addr\t[[-p] -o <field>,...] [<addrobj>]",
}
ALIASES = {"create-ip": "create-if", "delete-ip": "delete-if"}
NOT_EMULATED = (
    "create-ipmp", "delete-ipmp", "add-ipmp", "remove-ipmp", "disable-if", "enable-if", "set-ifprop",
    "reset-ifprop", "show-ifprop", "refresh-addr", "down-addr", "up-addr", "disable-addr", "enable-addr",
    "set-addrprop", "reset-addrprop", "show-addrprop", "set-prop", "reset-prop", "show-prop",
)  # fmt: skip
LONG = {"temporary": "t", "parsable": "p", "output": "o"}
ADDRESS_LONG = {
    "address": "a", "down": "d", "interface-id": "i", "primary": "1", "prop": "p", "reqhost": "h",
    "temporary": "t", "type": "T", "wait": "w",
}  # fmt: skip


class Died(Exception):
    """ipadm ends with this text."""


class Run:
    """One ipadm at one place."""

    def __init__(self, call: Call) -> None:
        self.call, self.where = call, here(call)
        self.use = ""

    def links(self) -> list[Link]:
        """The links one can plumb here, as the data-link manager knows them."""
        if self.call.zone is not None:
            return list(self.where.links)
        from zonemgr.lab import links

        return [
            link_of(links.told(self.call.world, row)) for row in links.every(self.call.world) if row["up"]
        ]

    def options(
        self, words: Sequence[str], letters: str, long: dict[str, str]
    ) -> tuple[list[tuple[str, str]], list[str]]:
        wanted = {name: letter for name, letter in long.items() if letter in letters}
        try:
            return options.parse(words, letters, wanted)
        except options.BadOption as bad:
            how = (
                f"option '-{bad.letter}' requires a value"
                if bad.missing
                else f"unrecognized option '-{bad.letter}'"
            )
            raise Died(f"{how}\nusage: {self.use}") from None

    def usage(self) -> Died:
        return Died(f"Usage: {self.use}")

    def may_change(self) -> None:
        from zonemgr.lab import rights

        if not self.call.privileged and not rights.authorised(self.call, "solaris.network.interface.config"):
            raise Trouble("Insufficient user authorizations")


def ipadm(call: Call) -> int:
    words = call.argv[1:]
    if not words or words[0] == "help":
        return call.fail("usage:  ipadm <subcommand> <args> ...\n" + "\n".join(USAGES.values()))
    name = ALIASES.get(words[0], words[0])
    commands: dict[str, Callable[[Run, Sequence[str]], None]] = {
        "create-if": create_if, "delete-if": delete_if, "show-if": show_if,
        "create-addr": create_addr, "delete-addr": delete_addr, "show-addr": show_addr,
    }  # fmt: skip
    if name in NOT_EMULATED:
        return call.fail(f"lab: ipadm {name} is not emulated")
    if name not in commands:
        usage = "usage:  ipadm <subcommand> <args> ...\n" + "\n".join(USAGES.values())
        return call.fail(f"ipadm: unknown subcommand '{words[0]}'\n{usage}")
    return _run(call, name, commands[name], words[1:])


def _run(call: Call, name: str, command: Callable[[Run, Sequence[str]], None], words: Sequence[str]) -> int:
    run = Run(call)
    run.use = USAGES[name]
    try:
        command(run, words)
    except Died as died:
        # The real one writes its message to stderr and the newline after it to stdout.
        call.err(f"ipadm: {died}")
        call.out("\n")
        return 1
    return 0


# -- interfaces ----------------------------------------------------------------------------------------


def create_if(run: Run, words: Sequence[str]) -> None:
    found, rest = run.options(words, "t", LONG)
    if len(rest) != 1:
        raise Died(f"usage: {run.use}")
    try:
        run.may_change()
        _not_in_a_zone(run, rest[0])
        ipconf.create_interface(run.where, rest[0], run.links(), temporary=bool(found))
    except Trouble as trouble:
        raise Died(f"Could not create {rest[0]} : {trouble}") from None


def _not_in_a_zone(run: Run, name: str) -> None:
    if run.call.zone is None:
        from zonemgr.lab import links

        row = links.find(run.call.world, name)
        if row is not None and row["zone"]:
            raise Trouble("Interface already in use")


def delete_if(run: Run, words: Sequence[str]) -> None:
    if len(words) != 1:
        raise run.usage()
    try:
        run.may_change()
        ipconf.delete_interface(run.where, words[0])
    except Trouble as trouble:
        raise Died(f"Could not delete {words[0]}: {trouble}") from None


def show_if(run: Run, words: Sequence[str]) -> None:
    found, rest = run.options(words, "po:", LONG)
    given = dict(found)
    if len(rest) > 1:
        raise run.usage()
    table = _table(run, given, INTERFACE_FIELDS, None)
    rows = [
        _interface(run, name, kept)
        for name, kept in [("lo0", None), *ipconf.load(run.where).interfaces.items()]
    ]
    rows = [row for row in rows if not rest or row["IFNAME"] == rest[0]]
    if not rows:
        raise Died("Could not get interface(s): Interface does not exist")
    table.show(run.call, rows)


def _interface(run: Run, name: str, temporary: bool | None) -> dict[str, str]:
    row = {"IFNAME": name, "CLASS": "IP", "STATE": "ok", "CURRENT": "bm--------46", "PERSISTENT": "-46"}
    if temporary is None:
        return {**row, "CLASS": "VIRTUAL", "CURRENT": "-m-v------46", "PERSISTENT": "---"}
    if name not in [link.name for link in run.links()]:
        row |= {"STATE": "disabled", "CURRENT": "-" * 12}
    return {**row, "PERSISTENT": "---"} if temporary else row


# -- addresses -----------------------------------------------------------------------------------------


def create_addr(run: Run, words: Sequence[str]) -> None:
    found, rest = run.options(words, "1T:a:dh:i:p:w:t", ADDRESS_LONG)
    given = dict(found)
    if "T" not in given or len(rest) != 1:
        raise Died(f"Invalid arguments\nusage: {run.use}")
    if not rest[0].partition("/")[2]:
        raise Died(f"invalid address object name: {rest[0]}\nusage: {run.use}")
    _check_address(run, found)
    address = Address(rest[0], given["T"], _static(run, found), "d" not in given, "t" in given)
    try:
        run.may_change()
        _not_in_a_zone(run, address.interface)
        ipconf.create_address(run.where, address, run.links())
    except Trouble as trouble:
        raise Died(f"Could not create address: {trouble}") from None
    if address.type == "dhcp":
        _await_lease(run, address, given.get("w", str(ipconf.DHCP_WAIT)))


def _await_lease(run: Run, address: Address, wait: str) -> None:
    """Wait for dhcpagent, which goes on when the time is over: then it is a warning, and no failure (exit 0).

    With `-w 0` nobody waits, so there is no warning either (gate, ipadm_addr.c: i_ipadm_op_dhcp).
    """
    if any(link.dhcp for link in run.links() if link.name == address.interface) or wait == "0":
        return
    from zonemgr.lab.smf import states, waiting

    if wait == "forever":
        waiting.for_ever(run.call)
    waiting.wait(run.call, int(wait) * states.PACE[run.where.latency])
    run.call.err("ipadm: warning: Communication with dhcpagent timed out\n")


def _check_address(run: Run, found: Sequence[tuple[str, str]]) -> None:
    letters, kind = {letter for letter, _ in found}, dict(found)["T"]
    wrong = {"static": set("ipwh1"), "dhcp": set("adip"), "addrconf": set("adwh1")}
    if kind not in wrong:
        raise Died(f"Invalid address type {kind}")
    if letters & wrong[kind] or (kind == "static" and "a" not in letters):
        raise Died(f"Invalid arguments for type {kind}\nusage: {run.use}")
    wait = dict(found).get("w", "0")
    if wait != "forever" and not wait.isdigit():
        raise Died("Invalid argument")


def _static(run: Run, found: Sequence[tuple[str, str]]) -> str:
    """The address of `-a [local=]ADDR[/LEN]`."""
    text = dict(found).get("a", "")
    if not text:
        return ""
    parts = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if "remote" in parts:
        raise Died("Could not create address: Invalid argument provided")
    if len([value for letter, value in found if letter == "a"]) > 1:
        raise Died("Multiple local addresses provided")
    try:
        return ipconf.parse_address(parts.get("local", text))
    except Trouble as trouble:
        raise Died(f"Error in setting local address: {trouble}") from None


def delete_addr(run: Run, words: Sequence[str]) -> None:
    _, rest = run.options(words, "r", {"release": "r"})
    if len(rest) != 1:
        raise run.usage()
    try:
        run.may_change()
        ipconf.delete_address(run.where, rest[0])
    except Trouble as trouble:
        raise Died(f"could not delete address: {trouble}") from None


def show_addr(run: Run, words: Sequence[str]) -> None:
    found, rest = run.options(words, "po:", LONG)
    given = dict(found)
    if "p" in given and "o" not in given:
        raise Died("-p requires -o")
    if len(rest) > 1:
        raise run.usage()
    if rest and "/" not in rest[0]:
        raise Died("Invalid address object name provided")
    table = _table(run, given, ADDRESS_FIELDS, "addrobj,type,state,addr")
    rows = [_address(*each) for each in ipconf.shown(run.where, run.links())]
    table.show(run.call, _picked(rows, rest[0] if rest else ""))


def _picked(rows: list[dict[str, str]], name: str) -> list[dict[str, str]]:
    """The address named, or with `LINK/` all of a link."""
    if not name:
        return rows
    found = [
        row for row in rows if row["ADDROBJ"] == name or (name[-1] == "/" and row["ADDROBJ"].startswith(name))
    ]
    if not found:
        raise Died(
            "Address object not found"
            if name[-1] != "/"
            else "Could not get address: Interface does not exist"
        )
    return found


def _address(name: str, kind: str, state: str, address: str, kept: Address | None) -> dict[str, str]:
    up = "U----" if state == "ok" else "-----"
    lasting = (
        "---" if kept is None or kept.temporary or kept.type == "from-gz" else "U--" if kept.up else "---"
    )
    return {
        "ADDROBJ": name,
        "TYPE": kind,
        "STATE": state,
        "CURRENT": up,
        "PERSISTENT": lasting,
        "ADDR": address,
    }


def _table(run: Run, given: dict[str, str], fields: Sequence[Field], default: str | None) -> ofmt.Table:
    try:
        table, warning = ofmt.choose(given.get("o", default), fields, parsable="p" in given)
    except ofmt.BadFields as bad:
        raise Died(str(bad)) from None
    if warning:
        run.call.err(f"ipadm: warning: {warning}\n")
    return table
