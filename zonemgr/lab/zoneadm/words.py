"""zoneadm's subcommands, its usage texts and the names of states."""

from __future__ import annotations

# in the order of the usage text; the last four are private and not in it
SHORT: dict[str, str | None] = {
    "help": "help",
    "boot": "boot [-- boot_arguments]",
    "halt": "halt",
    "ready": "ready",
    "shutdown": "shutdown [-r [-- boot_arguments]]",
    "reboot": "reboot [-- boot_arguments]",
    "list": "list [-cinpv]",
    "verify": "verify",
    "install": "install [brand-specific args]",
    "uninstall": "uninstall [-F] [brand-specific args]",
    "mount": None,
    "unmount": None,
    "clone": "clone [-m method] [-s <ZFS snapshot>] [brand-specific args] zonename",
    "move": "move zonepath",
    "detach": "detach [-n] [brand-specific args]",
    "attach": "attach [-F] [-n <path>] [brand-specific args]",
    "mark": "mark incomplete",
    "apply": None,
    "sysboot": None,
}

# What each one does, in the lab's words: zoneadm's own are longer.
LONG: dict[str, str] = {
    "help": "Print usage message.",
    "boot": "Boot the zone.  See zoneadm(8) for boot arguments.",
    "halt": "Halt the zone without running its shutdown scripts.",
    "ready": "Prepare the zone's platform without starting a process in it.",
    "shutdown": "Shut the zone down in an orderly way; with -r boot it again.",
    "reboot": "Halt the zone and boot it again.",
    "list": "List zones: running ones, with -i also installed, with -c all configured\n"
    "\tones, with -n not the global zone; -v for a table, -p for parsing.",
    "verify": "Check whether the configuration can be used on this machine.",
    "install": "Install the zone.  Arguments are the brand's; see brands(7).",
    "uninstall": "Remove the zone's files.  -F does not ask; other arguments are the brand's.",
    "clone": "Install the zone as a copy of another one.  -m copy forces a copy, -s names\n"
    "\ta snapshot to start from; other arguments are the brand's.",
    "move": "Give the zone another zonepath.",
    "detach": "Take the zone out of this system, its files stay.  -n only prints its\n"
    "\tconfiguration; other arguments are the brand's.",
    "attach": "Take a detached zone into this system.  -F skips all checks, -n only\n"
    "\tvalidates a manifest; other arguments are the brand's.",
    "mark": "Put the zone into the state incomplete.",
}

# zone_state_t
NUMBERS = {
    "configured": 0,
    "incomplete": 1,
    "installed": 2,
    "ready": 3,
    "running": 4,
    "shutting_down": 5,
    "down": 6,
    "mounted": 7,
}


def usage(*, explicit: bool) -> str:
    head = (
        "usage:\tzoneadm help\n"
        "\tzoneadm [-z <zone>] [-u <uuid-match>] list\n"
        "\tzoneadm {-z <zone>|-u <uuid-match>} <subcommand>\n"
        "\nSubcommands:\n\n"
    )
    lines = []
    for name, short in SHORT.items():
        if short is not None:
            lines.append(f"{short}\n\t{LONG[name]}\n\n" if explicit else f"{short}\n")
    return head + "".join(lines) + ("" if explicit else "\n")


def sub_usage(command: str) -> str:
    return f"usage:\t{SHORT[command]}\n\t{LONG[command]}\n"
