"""zoneadmd: the life of an active zone - ready, boot, halt, shutdown, reboot, mount, unmount.

What it says is relayed by zoneadm as `zone 'X': text`. Faults that it looks for, as facts of the world:

    fault.halt     = shutting_down | down   halt (and all that halts) stops there, for ever: exit 1
    fault.boot     = TEXT                   starting init fails with this text; the zone is installed again
    fault.ready    = TEXT                   the platform cannot be brought up, with this text
    fault.shutdown = fail | hang            the zone's shutdown command fails, or never gets the zone down
    fault.unmount  = TEXT                   `unmount` fails with this text, the zone stays mounted

`fault.halt.ZONE` and so on are for one zone only.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass

from zonemgr.lab import brands, zonestore
from zonemgr.lab.call import Call, TimeLimit
from zonemgr.lab.world import World
from zonemgr.lab.zoneadm import bootargs, platform
from zonemgr.lab.zoneadm.request import Request, Stop
from zonemgr.lab.zoneadm.words import NUMBERS
from zonemgr.lab.zonestore import ZoneConfig

READY, BOOT, HALT = 0, 1, 4  # commands as the hooks know them
STOP_TIMEOUT = 100  # seconds svc:/system/zones gives a zone to shut down


class Failed(Exception):
    """The request failed; the reason was said."""


@dataclass
class Daemon:
    request: Request

    @property
    def world(self) -> World:
        return self.request.world

    @property
    def zone(self) -> str:
        return self.request.zone

    def say(self, text: str) -> None:
        for line in text.split("\n"):
            self.request.call.err(f"zone '{self.zone}': {line}\n")

    def fail(self, text: str) -> Failed:
        self.say(text)
        return Failed()

    def fault(self, name: str) -> str:
        return self.world.get(f"fault.{name}.{self.zone}") or self.world.get(f"fault.{name}")

    def notice(self, text: str) -> None:
        """A line on the zone's console."""
        from zonemgr.lab import console

        console.notice(self.world, self.zone, text)

    def config(self) -> ZoneConfig:
        return zonestore.load(self.world, self.zone)

    # -- the brand's hooks ---------------------------------------------------------------------------------

    def changing(self, state: str, command: int) -> bool:
        return self._hook(self.request.its_brand().prestate, "prestate", state, command)

    def changed(self, state: str, command: int) -> bool:
        return self._hook(self.request.its_brand().poststate, "poststate", state, command)

    def _hook(self, hook: str, name: str, state: str, command: int) -> bool:
        """Run a state change hook: its stdout is relayed, its stderr is closed."""
        if not hook:
            return True
        argv = [name, self.zone, self.request.zonepath, str(NUMBERS[state]), str(command)]
        said, status = _captured(self.request.call, lambda call: brands.function(hook)(call, argv))
        for line in said.splitlines():
            self.say(line)
            if not self.world.omnios:  # zoneadmd adds a line end to the one that is there
                self.say("")
        return status == 0


class _Kept:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes, /) -> object:
        self.data += data
        return len(data)


def _captured(call: Call, run: Callable[[Call], int]) -> tuple[str, int]:
    from dataclasses import replace

    kept, nowhere = _Kept(), _Kept()
    status = run(replace(call, stdout=kept, stderr=nowhere, env=dict(call.env)))
    return kept.data.decode("utf-8", "surrogateescape"), status


# -- requests ----------------------------------------------------------------------------------------------


def serve(request: Request, command: str, *, args: str = "", force: bool = False) -> bool:
    """One request to zoneadmd; False when it failed. The caller holds the daemon's lock."""
    daemon = Daemon(request)
    state = zonestore.state(request.world, request.zone) or "configured"
    if state == "configured":
        request.plain("cannot manage a zone which is in state 'configured'")
        daemon.say("could not start zoneadmd")
        return False
    if state == "incomplete" and force:
        state = "installed"
    try:
        _answer(daemon, state, command, args)
    except Failed:
        return False
    return True


def _answer(daemon: Daemon, state: str, command: str, args: str) -> None:
    handlers = {"installed": _installed, "ready": _ready_zone, "mounted": _mounted}
    if state in ("running", "shutting_down", "down"):
        _running(daemon, state, command, args)
    elif state in handlers:
        handlers[state](daemon, command, args)
    else:
        raise _invalid(daemon, state, command)


def _invalid(daemon: Daemon, state: str, command: str) -> Failed:
    return daemon.fail(f"{command} operation is invalid for zones in state '{state}'")


def _installed(daemon: Daemon, command: str, args: str) -> None:
    if command == "ready":
        bring_up(daemon, "installed")
        daemon.notice("NOTICE: Zone readied")
    elif command == "boot":
        _from_installed(daemon, args)
    elif command in ("halt", "shutdown"):
        daemon.say("zone is already halted")
    elif command == "mount":
        bring_up(daemon, "installed", scratch=True)
    else:
        raise _invalid(daemon, "installed", command)


def _from_installed(daemon: Daemon, args: str) -> None:
    daemon.notice(_with_arguments("NOTICE: Zone booting up", args))
    try:
        bring_up(daemon, "installed")
        start(daemon, "installed", args)
    except BaseException:
        daemon.notice("NOTICE: Zone boot failed")
        quiet_halt(daemon, "installed")
        raise


def _with_arguments(text: str, args: str) -> str:
    return f"{text} with arguments: {args}" if args else text


def _ready_zone(daemon: Daemon, command: str, args: str) -> None:
    if command == "ready":
        daemon.say("zone is already ready")
    elif command == "boot":
        daemon.notice(_with_arguments("NOTICE: Zone booting up", args))
        try:
            start(daemon, "ready", args)
        except BaseException:
            daemon.notice("NOTICE: Zone boot failed")
            quiet_halt(daemon, "ready")
            raise
    elif command == "halt":
        halt(daemon, "ready")
        daemon.notice("NOTICE: Zone halted")
    else:
        raise _invalid(daemon, "ready", command)


def _mounted(daemon: Daemon, command: str, args: str) -> None:
    if command != "unmount":
        raise _invalid(daemon, "mounted", command)
    text = daemon.fault("unmount")
    if text:
        raise daemon.fail(text)
    halt(daemon, "mounted")


def _running(daemon: Daemon, state: str, command: str, args: str) -> None:
    if command == "boot":
        daemon.say("zone is already booted")
    elif command == "halt":
        halt(daemon, state)
        daemon.notice("NOTICE: Zone halted")
    elif command == "ready":
        halt(daemon, state)
        bring_up(daemon, state)
        daemon.notice("NOTICE: Zone readied")
    elif command == "reboot":
        reboot(daemon, state, args)
    elif command == "shutdown":
        shut_down(daemon, state)
    else:
        raise _invalid(daemon, state, command)


# -- the steps ---------------------------------------------------------------------------------------------


def bring_up(daemon: Daemon, state: str, *, scratch: bool = False) -> None:
    """To `ready`, or to `mounted` on a scratch root."""
    if not daemon.changing(state, READY):
        raise Failed
    try:
        platform.create(daemon, scratch=scratch)
        try:
            platform.furnish(daemon, scratch=scratch)
        except BaseException:
            platform.tear_down(daemon)
            raise
        if not daemon.changed(state, READY):
            raise Failed
    except Failed:
        daemon.changed("ready", HALT)
        raise


def start(daemon: Daemon, state: str, args: str) -> None:
    """From `ready` to `running`."""
    if not daemon.changing(state, BOOT):
        raise Failed
    try:
        words, init = bootargs.filtered(daemon, args)
        _init_is_there(daemon, init)
        text = daemon.fault("boot")
        if text:
            raise daemon.fail(text)
        platform.run_init(daemon, words)
    except Failed:
        daemon.changed("running", HALT)
        raise
    if not daemon.changed(state, BOOT):
        daemon.changed("running", HALT)
        raise Failed


def _init_is_there(daemon: Daemon, init: str) -> None:
    if not daemon.request.its_brand().boots:
        raise daemon.fail(f"lab: booting a {daemon.request.its_brand().name} zone is not emulated")
    shown = f"{daemon.request.zonepath}/root{init}"
    try:
        mode = daemon.world.path(shown).lstat().st_mode
    except OSError as trouble:
        raise daemon.fail(f"could not stat {shown}: {trouble.strerror}") from None
    if stat.S_ISLNK(mode):
        return
    if not mode & stat.S_IXUSR:
        raise daemon.fail(f"{shown} is not executable")


def halt(daemon: Daemon, state: str) -> None:
    if not daemon.changing(state, HALT):
        raise Failed
    try:
        platform.tear_down(daemon)
    except Failed:
        daemon.say("unable to destroy zone")
        raise
    if not daemon.changed(state, HALT):
        raise Failed


def quiet_halt(daemon: Daemon, state: str) -> bool:
    """A halt nobody hears about: after a boot that failed, or when the zone goes down by itself."""
    if zonestore.kernel_state(daemon.world, daemon.zone) is None:
        return True
    call = daemon.request.call
    before, call.stderr = call.stderr, _Kept()
    try:
        halt(daemon, state)
    except Failed:
        return False
    finally:
        call.stderr = before
    return True


def reboot(daemon: Daemon, state: str, args: str) -> None:
    daemon.notice(_with_arguments("NOTICE: Zone rebooting", args))
    halt(daemon, state)
    bring_up(daemon, state)
    try:
        start(daemon, state, args)
    except Failed:
        quiet_halt(daemon, state)
        raise


def shut_down(daemon: Daemon, state: str) -> None:
    """Run the brand's shutdown command in the zone, and wait for the zone to go down by itself."""
    fault = daemon.fault("shutdown")
    if fault == "fail" or state != "running":
        raise daemon.fail("unable to shutdown zone")
    if fault == "hang" or not quiet_halt(daemon, state):
        _wait(daemon.request.call, STOP_TIMEOUT)
        raise daemon.fail("unable to shutdown zone")
    daemon.notice("NOTICE: Zone halted")


def _wait(call: Call, seconds: float) -> None:
    """Let time pass on the lab's clock, as far as the caller's patience goes."""
    if call.limit is not None and seconds >= call.limit:
        call.world.advance(call.limit)
        raise TimeLimit(call.argv, call.limit)
    call.world.advance(seconds)


# -- what goes on without a request ------------------------------------------------------------------------


def unattended(world: World, zone: str) -> Daemon:
    """zoneadmd called by the kernel or at the boot of the host: nobody hears what it says."""
    call = Call(world, ["zoneadm"], stdout=_Kept(), stderr=_Kept())
    config = zonestore.load(world, zone)
    request = Request(call, "boot", [], zone, brands.find(world, config.brand), config.brand)
    return Daemon(request)


def reboot_if_asked(world: World, zone: str) -> bool:
    """Reboot a running zone whose first-boot service (sysding) has asked for that by now."""
    from zonemgr.lab import smf
    from zonemgr.lab.zoneadm import locks

    if not smf.settle_zone(world, zone):
        return False
    daemon = unattended(world, zone)
    with locks.daemon(daemon.request):
        if zonestore.kernel_state(world, zone) != "running":
            return False
        try:
            reboot(daemon, "running", "")
        except (Failed, Stop):
            return False
    return True
