"""What zoneadm checks before a subcommand does anything, in its order (sanity_check of zoneadm.c)."""

from __future__ import annotations

from zonemgr.lab import zonestore
from zonemgr.lab.zoneadm.request import Request, Stop

NEEDS_INSTALLED = ("detach", "move", "ready", "boot", "mount")


def check(
    request: Request, *, running: bool = False, inactive: bool = False, force: bool = False, command: str = ""
) -> None:
    """Raise Stop when the subcommand is not allowed.

    running: the zone must be active (zoneadmd decides the rest); inactive: it must not be.
    """
    command = command or request.command
    _caller(request, command)
    active = zonestore.kernel_state(request.world, request.zone)
    if running and not force:
        if active is None:
            raise request.stop("not running")
        return
    if inactive and active is not None:
        raise request.stop(f"{command} operation is invalid for {active} zones.")
    state = zonestore.state(request.world, request.zone)
    if state is None:
        request.plain(f"zoneadm: {request.zone}: could not get state: No such zone configured")
        raise Stop
    _state(request, command, state, force)


def _caller(request: Request, command: str) -> None:
    if not request.call.privileged:
        raise request.stop(f"only a privileged user may {command} a zone.")
    if not request.zone:
        raise request.stop("no zone specified")
    if not authorised(request, "manage", request.zone):
        raise request.stop(f"User {request.call.user} is not authorized to {command} this zone.")
    if request.zone == "global":
        raise request.stop(f"{command} operation is invalid for the global zone.")
    if request.zone.startswith("SUNW"):
        raise request.stop(f"{command} operation is invalid for zones starting with SUNW.")


def authorised(request: Request, what: str, zone: str) -> bool:
    if request.call.user == "root":
        return True
    from zonemgr.lab import rights

    return rights.authorised(request.call, f"solaris.zone.{what}/{zone}")


def _state(request: Request, command: str, state: str, force: bool) -> None:
    uninstall_first = "zone is incomplete; uninstall required."
    if command == "uninstall" and state == "configured":
        raise request.stop("is already in state 'configured'.")
    if command in ("attach", "clone", "install"):
        if state == "installed":
            raise request.stop("is already installed.")
        if state == "incomplete" and not (command == "attach" and force):
            raise request.stop(uninstall_first)
    if command == "verify" and state == "incomplete":
        raise request.stop(uninstall_first)
    if command in NEEDS_INSTALLED:
        least = "incomplete" if force and command in ("boot", "mount") else "installed"
        if state == "configured" or (state == "incomplete" and least == "installed"):
            raise request.stop(f"must be {least} before {command}.")
    if command == "unmount" and state != "mounted":
        raise request.stop("must be mounted before unmount.")
    if command == "sysboot" and state != "installed":
        raise request.stop(f"sysboot operation is invalid for {state} zones.")
