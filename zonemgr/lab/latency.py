"""How long commands take on a real host: the `illumos` latency profile.

Figures are the public ones (docs/illumos.md: First boot) where there are any, else the order of magnitude an
administrator would expect. They show what a progress display or a time limit does; they measure nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

QUICK = 0.03  # what any command costs

# The first of these whose words are found in the command, in this order.
PROFILE: tuple[tuple[tuple[str, ...], float], ...] = (
    (("zoneadm", "install"), 70.0),
    (("zoneadm", "clone"), 8.0),
    (("zoneadm", "attach"), 20.0),
    (("zoneadm", "uninstall"), 3.0),
    (("zoneadm", "shutdown"), 6.0),
    (("zoneadm", "reboot"), 2.5),
    (("zoneadm", "boot"), 0.6),
    (("zoneadm", "ready"), 0.5),
    (("zoneadm", "mount"), 0.5),
    (("zoneadm", "unmount"), 0.5),
    (("zoneadm", "halt"), 2.0),
    (("pkg", "install"), 30.0),
    (("pkg", "update"), 60.0),
    (("pkg", "image-update"), 60.0),
    (("pkg", "refresh"), 5.0),
    (("pkg",), 1.5),
    (("zonecfg",), 0.1),
    (("zlogin",), 0.15),
    (("zfs", "destroy"), 0.5),
    (("zfs", "rollback"), 0.5),
    (("zfs", "snapshot"), 0.2),
    (("zfs", "clone"), 0.3),
    (("zfs", "create"), 0.3),
    (("beadm", "create"), 2.0),
    (("svcadm",), 0.2),
)


def seconds(argv: Sequence[str]) -> float:
    """What this command would take, by its name and subcommand."""
    words = [argv[0].rsplit("/", 1)[-1], *argv[1:]]
    if words[0] == "pfexec":
        words = words[1:] or words
    for wanted, duration in PROFILE:
        if words[0] == wanted[0] and all(word in words[1:] for word in wanted[1:]):
            return duration
    return QUICK
