"""The subcommands that zoneadmd carries out, and `mark`."""

from __future__ import annotations

from zonemgr.lab.zoneadm import daemon, locks, sanity, verify
from zonemgr.lab.zoneadm.request import ERROR, OK, USAGE, Request

LONGEST = 255  # of the boot arguments together


def _serve(request: Request, command: str, *, args: str = "", force: bool = False, say: bool = False) -> int:
    with locks.daemon(request):
        done = daemon.serve(request, command, args=args, force=force)
    if not done and say:
        request.error("call to zoneadmd failed")
    return OK if done else ERROR


def _joined(request: Request, words: list[str]) -> str:
    text = " ".join(words)
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
    args = _joined(request, (["-s"] if given.has("s") else []) + given.rest)
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
    force = request.args == ["-f"]
    if request.args and not force:
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
    if not brand.name.endswith(("ipkg", "sparse", "pkgsrc")):
        return OK
    status = request.hook(brand.prestate, ["prestate", request.zone, request.zonepath, "99", "0"])
    return OK if status == 0 else ERROR


def mark(request: Request) -> int:
    force = request.args[:1] == ["-F"]
    words = request.args[1:] if force else request.args
    if len(words) != 1 or words[0] not in ("configured", "incomplete", "installed"):
        return USAGE
    if words[0] != "incomplete" and not force:
        return USAGE
    sanity.check(request, inactive=True)
    verify.configuration(request)
    verify.run_brand_verify(request)
    with locks.operation(request):
        request.set_state(words[0])
    return OK
