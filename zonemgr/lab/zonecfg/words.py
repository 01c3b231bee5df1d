"""The words of zonecfg's language per flavour, and what it prints about them."""

from __future__ import annotations

from typing import NamedTuple

COMMANDS = (
    "add", "cancel", "clear", "commit", "create", "delete", "end", "exit", "export", "help", "info", "remove",
    "revert", "select", "set", "verify",
)  # fmt: skip
# in the order in which help lists them
RESOURCES = (
    "fs", "net", "device", "rctl", "attr", "dataset", "dedicated-cpu", "capped-cpu", "capped-memory", "admin",
    "security-flags",
)  # fmt: skip
GLOBALS = (
    "zonename", "zonepath", "brand", "autoboot", "bootargs", "pool", "limitpriv", "scheduling-class",
    "ip-type",
    "hostid", "fs-allowed",
)  # fmt: skip
_RESOURCE_PROPERTIES = (
    "dir", "special", "raw", "type", "options", "address", "allowed-address", "physical", "defrouter", "name",
    "value", "match", "priv", "limit", "action", "ncpus", "importance", "swap", "locked", "user", "auths",
    "default", "lower", "upper",
)  # fmt: skip


class Alias(NamedTuple):
    """A short name for an rctl with one value of a set form."""

    rctl: str
    action: str = "deny"
    least: int = 0


# as `info` lists them
_ALIASES = {
    "max-lwps": Alias("zone.max-lwps", least=100),
    "max-processes": Alias("zone.max-processes", least=100),
    "max-shm-memory": Alias("zone.max-shm-memory"),
    "max-shm-ids": Alias("zone.max-shm-ids"),
    "max-msg-ids": Alias("zone.max-msg-ids"),
    "max-sem-ids": Alias("zone.max-sem-ids"),
    "cpu-shares": Alias("zone.cpu-shares", "none"),
}
# aliases that belong to a resource: not properties of the zone
_INNER_ALIASES = {
    "swap": Alias("zone.max-swap"),
    "locked": Alias("zone.max-locked-memory"),
    "cpu-cap": Alias("zone.cpu-cap"),
}


class Words(NamedTuple):
    """The language of one flavour."""

    omnios: bool
    zone_aliases: dict[str, Alias]
    aliases: dict[str, Alias]  # those, and the ones that belong to a resource
    properties: frozenset[str]
    globals: frozenset[str]  # what `set` takes in the global scope and `info` prints


def words(*, omnios: bool) -> Words:
    zone, inner = dict(_ALIASES), dict(_INNER_ALIASES)
    more: tuple[str, ...] = ()
    if omnios:
        zone["zfs-io-priority"] = Alias("zone.zfs-io-priority", "none")
        inner["physical"] = Alias("zone.max-physical-memory")
        more = ("global-nic", "mac-addr", "vlan-id", "property")
    every = frozenset((*GLOBALS, *zone, *_RESOURCE_PROPERTIES, *more))
    return Words(omnios, zone, {**zone, **inner}, every, frozenset((*GLOBALS, *zone)))


# -- usage -----------------------------------------------------------------------------------------------

SHORT = {
    "add": "add <resource-type>\n\t(global scope)\nadd <property-name> <property-value>\n\t(resource scope)",
    "cancel": "cancel",
    "clear": "clear <property-name>",
    "commit": "commit",
    "create": "create [-F] [ -a <path> | -b | -t <template> ]",
    "delete": "delete [-F]",
    "end": "end",
    "exit": "exit [-F]",
    "export": "export [-f output-file]",
    "help": "help [commands] [syntax] [usage] [<command-name>]",
    "info": "info [<resource-type> [property-name=property-value]*]",
    "remove": "remove [-F] <resource-type> [ <property-name>=<property-value> ]*\n\t(global scope)\n"
    "remove <property-name> <property-value>\n\t(resource scope)",
    "revert": "revert [-F]",
    "select": "select <resource-type> { <property-name>=<property-value> }",
    "set": "set <property-name>=<property-value>",
    "verify": "verify",
}
# `add`, `clear` and `set` also stand in error messages, so they are as recorded; the rest is said in our
# words.
LONG = {
    "add": "Add specified resource to configuration.",
    "cancel": "Leave the resource scope and forget what was entered there.",
    "clear": "Clears property values.",
    "commit": "Write the configuration to disk; done by itself when zonecfg ends.",
    "create": "Start the configuration of a zone: from the default template, from a template\n"
    "\tof that name (-t), blank (-b) or from a detached zone (-a). -F overwrites.",
    "delete": "Remove the zone's configuration; -F does not ask.",
    "end": "Leave the resource scope and keep what was entered there.",
    "exit": "Leave zonecfg; -F does so even inside a resource.",
    "export": "Print the configuration as commands, or write them to a file (-f).",
    "help": "Print this.",
    "info": "Show the configuration, or the part of it that is named.",
    "remove": "Remove specified resource from configuration.  The -F flag can be used\n"
    "\tto force the action.",
    "revert": "Go back to what was last committed; -F does not ask.",
    "select": "Choose a resource, by properties that only it has, to change it; finish with end.",
    "set": "Sets property values.",
    "verify": "Check that the configuration is complete.",
}
NEEDS = {  # what `help COMMAND` adds
    "add": ("resources", "properties"),
    "clear": ("properties",),
    "info": ("resources", "properties"),
    "remove": ("resources", "properties"),
    "select": ("resources", "properties"),
    "set": ("properties",),
}


def subcommands(*, verbose: bool) -> str:
    lines = ["Commands:\n"]
    for name in COMMANDS:
        lines.append(SHORT[name])
        if verbose:
            lines.append(f"\t{LONG[name]}\n")
    return "\n".join(lines) + "\n"


def usage(program: str) -> str:
    return (
        f"usage:\t{program} help\n\t{program} -z <zone>\t\t\t(interactive)\n"
        f"\t{program} -z <zone> <command>\n\t{program} -z <zone> -f <command-file>\n"
    )


def syntax(*, verbose: bool) -> str:
    text = (
        "<zone> := [A-Za-z0-9][A-Za-z0-9_.-]*\n"
        "\t(except the reserved words 'global' and anything starting with 'SUNW')\n"
        "\tName must be less than 64 characters.\n"
    )
    return text + "\n" if verbose else "\n" + text


def resources() -> str:
    return f"<resource type> := {' | '.join(RESOURCES[:5])} |\n\t{' | '.join(RESOURCES[5:])}\n\n"


def properties(*, omnios: bool) -> str:
    network = "address, allowed-address, physical|defrouter"
    if omnios:
        network = "address, allowed-address, defrouter, global-nic, mac-addr, physical, vlan-id, property"
    aliases = words(omnios=omnios).zone_aliases
    table = [
        *(f"(global)\t{name}" for name in (*GLOBALS, *aliases)),
        "fs\t\tdir, special, raw, type, options",
        f"net\t\t{network}",
        "device\t\tmatch",
        "rctl\t\tname, value",
        "attr\t\tname, type, value",
        "dataset\t\tname",
        "dedicated-cpu\tncpus, importance",
        "capped-cpu\tncpus",
        "capped-memory\tphysical, swap, locked",
        "admin\t\tuser, auths",
        "security-flags\t\tdefault, lower, upper",
    ]
    head = "For resource type ... there are property types ...:\n"
    return head + "".join(f"\t{line}\n" for line in table)


def net_address() -> str:
    return (
        "\n<net-addr> :=\t<IPv4-address>[/<IPv4-prefix-length>] |\n"
        "\t\t<IPv6-address>/<IPv6-prefix-length> |\n\t\t<hostname>[/<IPv4-prefix-length>]\n"
        "See inet(3SOCKET) for IPv4 and IPv6 address syntax.\n<IPv4-prefix-length> := [0-32]\n"
        "<IPv6-prefix-length> := [0-128]\n<hostname> := [A-Za-z0-9][A-Za-z0-9-.]*\n"
    )


def more_help() -> str:
    return (
        "More help is available for the following:\n\n\tcommands ('help commands')\n"
        "\tsyntax ('help syntax')\n\tusage ('help usage')\n\n"
        "You may also obtain help on any command by typing 'help <command-name>.'\n"
    )


_SCOPE = {
    "fs": ("set dir=<path>", "set special=<path>", "set raw=<raw-device>", "set type=<file-system type>",
           "add options <file-system options>", "remove options <file-system options>"),
    "net": ("set address=<IP-address>", "set allowed-address=<IP-address>", "set physical=<interface>",
            "set defrouter=<IP-address>"),
    "device": ("set match=<device-path>",),
    "rctl": ("set name=<string>", "add value (priv=<priv-value>,limit=<number>,action=<action-value>)",
             "remove value (priv=<priv-value>,limit=<number>,action=<action-value>)"),
    "attr": ("set name=<name>", "set type=boolean | int | string | uint", "set value=<value>"),
    "dataset": ("set name=<name>",),
    "dedicated-cpu": ("set ncpus=<unsigned integer | range>", "set importance=<unsigned integer>"),
    "capped-cpu": ("set ncpus=<unsigned decimal>",),
    "capped-memory": ("set physical=<qualified unsigned decimal>", "set swap=<qualified unsigned decimal>",
                      "set locked=<qualified unsigned decimal>"),
    "admin": ("set user=<single user or role name>", "set auths=<comma separated list>"),
    "security-flags": ("set default=<security flags>", "set lower=<security flags>",
                       "set upper=<security flags>"),
}  # fmt: skip


def scope(resource: str) -> str:
    """Help inside a resource scope: what can be said there."""
    lines = [*_SCOPE.get(resource, ()), "end", "cancel", "exit"]
    return f"In the scope of '{resource}' there are:\n" + "".join(f"\t{line}\n" for line in lines)
