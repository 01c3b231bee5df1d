"""The subcommands that zoneadmd carries out, and `mark`."""

from __future__ import annotations

from zonemgr.lab.brands.options import getopt
from zonemgr.lab.zoneadm import daemon, locks, sanity, verify, words
from zonemgr.lab.zoneadm.request import BRAND_ERROR, ERROR, OK, USAGE, Request

LONGEST = 255  # of the boot arguments together


def _serve(request: Request, command: str, *, args: str = "", force: bool = False, say: bool = False) -> int:
    with locks.daemon(request):
        done = daemon.serve(request, command, args=args, force=force)
    if not done and say:
        request.error("call to zoneadmd failed")
    return OK if done else ERROR


def _joined(request: Request, words: list[str], *, single: bool = False) -> str:
    """The arguments in one string, with blanks between; none after the -s of `boot -s` (boot_func of zoneadm.c)."""
    text = ("-s" if single else "") + " ".join(words)
    if len(text) > LONGEST:
        raise request.stop("Boot argument list too long")
    return text


def ready(request: Request) -> int:
    request.options("")
    sanity.check(request)
    verify.details(request)
    return _serve(request, "ready", say=True)


def boot(request: Request) -> int:
    given = request.options("fs", operands=None)
    force = given.has("f")
    args = _joined(request, given.rest, single=given.has("s"))
    sanity.check(request, force=force)
    verify.details(request)
    return _serve(request, "boot", args=args, force=force, say=True)


def halt(request: Request) -> int:
    request.options("")
    sanity.check(request)
    verify.configuration(request)
    verify.run_brand_verify(request)
    return _serve(request, "halt")


def shutdown(request: Request) -> int:
    given = request.options("r", operands=None)
    args = _joined(request, given.rest)
    sanity.check(request, running=True)
    status = _serve(request, "shutdown")
    if status != OK or not given.has("r"):
        return status
    sanity.check(request, command="boot")
    return _serve(request, "boot", args=args)


def reboot(request: Request) -> int:
    given = request.options("", operands=None)
    args = _joined(request, given.rest)
    sanity.check(request, running=True)
    verify.details(request)
    return _serve(request, "reboot", args=args)


def mount(request: Request) -> int:
    given = getopt("f", request.args)
    if given.wrong and given.options[0][0] == "?":  # only the first option is looked at
        request.say_illegal(given, given.wrong[0])
        return USAGE
    force = request.args == ["-f"]
    if request.args and not force and request.args != ["--"]:
        return USAGE
    sanity.check(request, force=force)
    verify.details(request)
    return _serve(request, "mount", force=force, say=True)


def unmount(request: Request) -> int:
    if request.args:
        return USAGE
    sanity.check(request)
    return _serve(request, "unmount", say=True)


def sysboot(request: Request) -> int:
    """What the service system/zones runs at the host's boot for zones that it does not boot."""
    sanity.check(request, inactive=True)
    brand = request.its_brand()
    if not brand.sysboot:
        return OK
    line = request.line("sysboot", ["prestate", request.zone, request.zonepath, *brand.sysboot])
    status = request.hook(brand.prestate, line, "brand sysboot operation")
    return OK if status == OK else BRAND_ERROR


def apply(request: Request) -> int:
    """Resource controls for the global zone, at the host's boot; asked for any other zone it shows how it is used."""
    if request.zone == "global" and request.call.privileged:
        if not request.world.path("/etc/zones/global.xml").exists():
            return OK  # there is nothing to apply
        return request.call.fail("lab: zoneadm apply of a configuration of the global zone is not emulated")
    request.call.err(words.usage(explicit=False))
    return ERROR if request.zone == "global" else USAGE


def mark(request: Request) -> int:
    given = getopt("F", request.args)
    force, states = given.has("F"), given.rest
    if given.wrong or len(states) != 1 or states[0] not in ("configured", "incomplete", "installed"):
        return USAGE
    if states[0] != "incomplete" and not force:
        return USAGE
    sanity.check(request, inactive=True)
    verify.configuration(request)
    verify.run_brand_verify(request)
    with locks.operation(request):
        request.set_state(states[0])
    return OK
