"""zoneadmd: the life of an active zone - ready, boot, halt, shutdown, reboot, mount, unmount.

What it says is relayed by zoneadm as `zone 'X': text`. Faults that it looks for, as facts of the world:

    fault.halt     = shutting_down | down   halt (and all that halts) stops there, for ever: exit 1
    fault.boot     = TEXT                   starting init fails with this text; the zone is installed again
    fault.ready    = TEXT                   the platform cannot be brought up, with this text
    fault.shutdown = fail | hang            the zone's shutdown command fails, or never gets the zone down
    fault.unmount  = TEXT                   `unmount` fails with this text, the zone stays mounted
    fault.vplat.create, .bringup            making or furnishing the virtual platform fails with this text
    fault.vplat.teardown                    tearing it down fails with this text, and the zone stays `down`

`fault.halt.ZONE` and so on are for one zone only; for faults of the brand's scripts see brands/hooks.py.
The order of steps is that of zoneadmd.c (server, zone_ready, zone_bootup, zone_halt).
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable
from dataclasses import dataclass

from zonemgr.lab import brands, trace, zonestore
from zonemgr.lab.brands import hooks
from zonemgr.lab.call import Call, TimeLimit
from zonemgr.lab.world import World
from zonemgr.lab.zoneadm import bootargs, platform
from zonemgr.lab.zoneadm.request import Request, Stop
from zonemgr.lab.zoneadm.words import NUMBERS
from zonemgr.lab.zonestore import ZoneConfig

READY, BOOT, HALT = 0, 1, 4  # commands as the hooks know them
SHUTDOWN = "shutdown -y -g0 -i5"  # what every brand of the lab has for <shutdown>
STOP_TIMEOUT = 100  # seconds svc:/system/zones gives a zone to shut down


class Failed(Exception):
    """The request failed; the reason was said."""


@dataclass
class Daemon:
    request: Request
    mute: bool = False  # while what is left of a failed start is taken down

    @property
    def world(self) -> World:
        return self.request.world

    @property
    def zone(self) -> str:
        return self.request.zone

    def say(self, text: str) -> None:
        for line in text.split("\n"):
            if not self.mute:
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
        """Run a state change hook, and relay what it says.

        OmniOS' zoneadmd relays both outputs. The gate's only has stdout, and adds a line end to the one that is there.
        """
        if not hook:
            return True
        argv = [name, self.zone, self.request.zonepath, str(NUMBERS[state]), str(command)]
        said, status = _captured(self.request.call, self._runner(hook, argv), both=self.world.omnios)
        for line in said.splitlines():
            self.say(line)
            if not self.world.omnios:
                self.say("")
        if status < 0:
            # The root that zoneadm -R would name comes last, after a blank: there is none.
            line = hooks.command_line(self.request.its_brand(), argv)
            self.say(f"{line}  unexpectedly terminated due to signal {-status}")
        return status == 0

    def _runner(self, hook: str, argv: list[str]) -> Callable[[Call], int]:
        return lambda call: hooks.run(call, hook, argv, zone=self.zone)

    def step(self, *words: str) -> None:
        trace.step(self.world, *words)


class _Kept:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes, /) -> object:
        self.data += data
        return len(data)


def _captured(call: Call, run: Callable[[Call], int], *, both: bool) -> tuple[str, int]:
    from dataclasses import replace

    kept = _Kept()
    status = run(replace(call, stdout=kept, stderr=kept if both else _Kept(), env=dict(call.env)))
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
        _answer(daemon, state, f"force{command}" if force else command, args)
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
    elif command in ("boot", "forceboot"):
        _from_installed(daemon, args)
    elif command in ("halt", "shutdown"):
        daemon.say("zone is already halted")
    elif command in ("mount", "forcemount"):
        bring_up(daemon, "installed", scratch=True)
        daemon.notice("NOTICE: Zone readied")
    elif command == "unmount":
        daemon.say("zone is already unmounted")
    else:
        raise _invalid(daemon, "installed", command)


def _from_installed(daemon: Daemon, args: str) -> None:
    daemon.notice(_with_arguments("NOTICE: Zone booting up", args))
    try:
        bring_up(daemon, "installed")
        start(daemon, "installed", args)
    except BaseException:
        recover(daemon, "installed")
        daemon.notice("NOTICE: Zone boot failed")
        raise


def _with_arguments(text: str, args: str) -> str:
    return f"{text} with arguments: {args}" if args else text


def _ready_zone(daemon: Daemon, command: str, args: str) -> None:
    if command == "ready":
        daemon.say("zone is already ready")
    elif command in ("boot", "forceboot"):
        daemon.notice(_with_arguments("NOTICE: Zone booting up", args))
        try:
            start(daemon, "ready", args)
        except BaseException:
            recover(daemon, "ready", "rebooting")
            daemon.notice("NOTICE: Zone boot failed")
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
    halt(daemon, "mounted", "unmount")
    daemon.notice("NOTICE: Zone halted")


def _running(daemon: Daemon, state: str, command: str, args: str) -> None:
    if command in ("boot", "forceboot"):
        daemon.say("zone is already booted")
    elif command == "halt":
        halt(daemon, state)
        daemon.notice("NOTICE: Zone halted")
    elif command == "ready":
        halt(daemon, state, "rebooting")
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
    """To `ready`, or to `mounted` on a scratch root (zone_ready)."""
    if not daemon.changing(state, READY):
        raise Failed
    try:
        _make_platform(daemon, scratch=scratch)
        if not daemon.changed(state, READY):
            raise Failed  # and the zone stays as it is
    except Failed:
        daemon.changed("ready", HALT)
        raise


def _make_platform(daemon: Daemon, *, scratch: bool) -> None:
    daemon.step("vplat", f"create {'update' if scratch else 'boot'}")
    _scripted_failure(daemon, "vplat.create")
    platform.create(daemon, scratch=scratch)
    try:
        daemon.step("vplat", "bringup")
        _scripted_failure(daemon, "vplat.bringup")
        platform.furnish(daemon, scratch=scratch)
    except BaseException:
        daemon.mute = True
        try:
            _tear_down(daemon, *(["unmount"] if scratch else []))
        finally:
            daemon.mute = False
        raise


def _scripted_failure(daemon: Daemon, name: str) -> None:
    text = daemon.fault(name)
    if text:
        raise daemon.fail(text)


def start(daemon: Daemon, state: str, args: str) -> None:
    """From `ready` to `running` (zone_bootup)."""
    if not daemon.changing(state, BOOT):
        raise Failed
    try:
        words, init = bootargs.filtered(daemon, args)
        _init_is_there(daemon, init)
        daemon.step("kernel", f"init={init}")
        daemon.step("kernel", f"bootargs={words}")
        daemon.step("kernel", f"zone_boot {daemon.zone}")
        _scripted_failure(daemon, "boot")
        platform.run_init(daemon, words)
        if not daemon.changed(state, BOOT):
            raise Failed
    except Failed:
        daemon.changed("running", HALT)
        raise


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


def halt(daemon: Daemon, state: str, *how: str, mute: bool = False) -> None:
    """Down, whatever runs (zone_halt); `how`: rebooting, unmount. `mute`: no word of what cannot be torn down.

    OmniOS' zoneadmd runs no script of the brand at an unmount.
    """
    scripts = not (daemon.world.omnios and "unmount" in how)
    if scripts and not daemon.changing(state, HALT):
        raise Failed
    daemon.mute = mute
    try:
        _tear_down(daemon, *how)
    except Failed:
        daemon.say("unable to destroy zone")
        raise
    finally:
        daemon.mute = False
    if scripts and not daemon.changed(state, HALT):
        raise Failed


def _tear_down(daemon: Daemon, *how: str) -> None:
    daemon.step("vplat", " ".join(["teardown", *how]))
    text = daemon.fault("vplat.teardown")
    if text and zonestore.kernel_state(daemon.world, daemon.zone):
        daemon.world.db.execute("update kernel_zones set state = 'down' where name = ?", (daemon.zone,))
        raise daemon.fail(text)
    platform.tear_down(daemon)


def recover(daemon: Daemon, state: str, *how: str) -> None:
    """Take down what a failed start has left, as far as it will go; the zone need not have reached the kernel."""
    with contextlib.suppress(Failed):
        halt(daemon, state, *how, mute=True)


def quiet_halt(daemon: Daemon, state: str) -> bool:
    """A halt nobody hears about: the zone goes down by itself, and its kernel tells zoneadmd."""
    call = daemon.request.call
    before = call.stdout, call.stderr
    call.stdout, call.stderr = _Kept(), _Kept()
    try:
        halt(daemon, state)
    except Failed:
        return False
    finally:
        call.stdout, call.stderr = before
    return True


def reboot(daemon: Daemon, state: str, args: str) -> None:
    daemon.notice(_with_arguments("NOTICE: Zone rebooting", args))
    try:
        halt(daemon, state, "rebooting")
        bring_up(daemon, state)
        _start_again(daemon, state, args)
    except Failed:
        daemon.notice("NOTICE: Zone boot failed")
        raise


def _start_again(daemon: Daemon, state: str, args: str) -> None:
    try:
        start(daemon, state, args)
    except Failed:
        with contextlib.suppress(Failed):
            halt(daemon, state, "rebooting")
        raise


def shut_down(daemon: Daemon, state: str) -> None:
    """Run the brand's shutdown command in the zone, and wait for the zone to go down by itself."""
    fault = daemon.fault("shutdown")
    if state != "running":  # nobody can enter a zone that is going down
        raise daemon.fail("unable to shutdown zone")
    daemon.step("inzone", *SHUTDOWN.split())
    if fault == "fail":
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
