"""install, clone and uninstall: what zoneadm does round the brands' hooks."""

from __future__ import annotations

from fnmatch import fnmatchcase

from zonemgr.lab import zonestore
from zonemgr.lab.brands.common import mounts
from zonemgr.lab.brands.hook import NOT_COMPLETE, USAGE
from zonemgr.lab.brands.options import Parsed
from zonemgr.lab.zoneadm import cloning, locks, sanity, verify, zonepaths
from zonemgr.lab.zoneadm.cmdline import Line
from zonemgr.lab.zoneadm.request import ERROR, OK, Request, Stop
from zonemgr.lab.zonestore import StoreError, ZoneConfig


def install(request: Request) -> int:
    if not request.zone:
        raise request.misused()
    path, brand = request.zonepath, request.its_brand()
    given, help_wanted = request.own_options(f"?x:{brand.installopts}")
    line = _install_line(request, given, path)
    if help_wanted:
        return OK if request.hook(brand.install, line, WHAT) == OK else ERROR
    sanity.check(request, inactive=True)
    verify.details(request)
    with locks.operation(request):
        request.set_state("incomplete")
        zonepaths.create(request, path)
        return _installed(request, request.hook(brand.install, line, WHAT), path)


WHAT = "brand-specific installation"


def _install_line(request: Request, given: Parsed, path: str) -> Line:
    """The script's command line: each option with its value glued on, known or not, then the operands.

    `-x nodataset`, which older ones kept for themselves, is passed on like any other (zoneadm.c of 2022, install_func).
    """
    brand = request.its_brand()
    line = request.line(
        "install", [brand.install_script, "-z", request.zone, "-R", path, *brand.install_args]
    )
    options = [(value or "?", "") if letter == "?" else (letter, value) for letter, value in given.options]
    for letter, value in [*options, *(("", word) for word in given.rest)]:
        if not line.add_option(letter, value):
            raise request.stop("Install command line too long")
    return line


def _installed(request: Request, status: int, path: str) -> int:
    if status == OK:
        request.set_state("installed")
        return OK
    if status == USAGE:
        request.call.err(request_usage(request))
        return ERROR
    if status == NOT_COMPLETE and zonepaths.clean_up(request, path):
        request.set_state("configured")
    return ERROR


def request_usage(request: Request) -> str:
    from zonemgr.lab.zoneadm.words import sub_usage

    return sub_usage(request.command)


# -- clone -------------------------------------------------------------------------------------------------


def clone(request: Request) -> int:
    given, help_wanted = request.own_options("?m:s:")
    if len(given.rest) != 1:
        raise request.misused()
    source = given.rest[0]
    if help_wanted:
        return _clone_help(request)
    sanity.check(request, inactive=True)
    verify.details(request)
    source_path = _check_source(request, source)
    # From here on request.zone can be the source: see _warn_of_datasets.
    path, brand = request.zonepath, request.its_brand()
    with locks.operation(request):
        line = request.line_with("clone", ["clone", "-z", request.zone, "-R", path]) if brand.clone else None
        request.set_state("incomplete")
        if line is not None:
            status = request.hook(brand.clone, line, "brand-specific clone")
            if status == USAGE:
                request.call.err(request_usage(request))
        else:
            status = cloning.built_in(request, given, source_path, path)
        if status == OK:
            request.set_state("installed")
    return OK if status == OK else ERROR


def _clone_help(request: Request) -> int:
    brand = request.its_brand()
    if not brand.clone:
        return OK
    line = request.line_with("clone", ["clone", "-z", request.zone, "-R", request.zonepath])
    return OK if request.hook(brand.clone, line, "brand-specific clone") == OK else ERROR


def _check_source(request: Request, source: str) -> str:
    """Everything that must hold of the zone to clone; its zonepath."""
    if source == "global":
        raise request.stop("clone operation is invalid for the global zone.")
    if source.startswith("SUNW"):
        raise request.stop("clone operation is invalid for zones starting with SUNW.")
    if not sanity.authorised(request, "clonefrom", source):
        raise request.stop("clone operation is invalid because user is not authorized to read source zone.")
    active = zonestore.kernel_state(request.world, source)
    if active:
        raise request.stop(f"clone operation is invalid for {active} zones.")
    entry = zonestore.entry(request.world, source)
    if entry is None:
        request.plain(f"zoneadm: {source}: could not get state: No such zone configured")
        raise Stop
    if entry.state != "installed":
        request.plain(f"zoneadm: zone {source} is {entry.state}; installed is required.")
        raise Stop
    try:
        theirs = zonestore.load(request.world, source)
    except StoreError as trouble:
        request.plain(f"zoneadm: clone: {trouble}")
        raise Stop from None
    ours = verify.configuration(request)
    if theirs.brand != ours.brand:
        request.plain(f"zoneadm: Zones '{source}' and '{request.zone}' have different brand types.")
        raise Stop
    _warn_of_conflicts(request, source, theirs, ours)
    return entry.zonepath


def _warn_of_conflicts(request: Request, source: str, theirs: ZoneConfig, ours: ZoneConfig) -> None:
    for mine in ours.fs:
        other = next((fs for fs in theirs.fs if fs.special == mine.special), None)
        if other is None:
            continue
        if mine.type != "lofs":
            request.plain(
                f"WARNING: {mine.type} file system on '{mine.special}' is configured in both zones."
            )
        elif not mine.options or not other.options or "rw" in (*mine.options, *other.options):
            request.plain(
                f"WARNING: read-write lofs file system on '{mine.special}' is configured in both zones."
            )
    addresses = {net.address.partition("/")[0] for net in theirs.net} - {""}
    for net in ours.net:
        address = net.address.partition("/")[0]
        if address in addresses:
            request.plain(f"WARNING: network address '{address}' is configured in both zones.")
    for device in ours.devices:
        if any(fnmatchcase(device, other) or fnmatchcase(other, device) for other in theirs.devices):
            request.plain(f"WARNING: device '{device}' is configured in both zones.")
    _warn_of_datasets(request, source, theirs, ours)


def _warn_of_datasets(request: Request, source: str, theirs: ZoneConfig, ours: ZoneConfig) -> None:
    """Warn of datasets in both configurations; from then on zoneadm takes the source for the zone to make.

    warn_dataset_match (zoneadm.c) puts the source's name into the variable that holds the target's, for the message,
    and leaves it there: what is cloned is the source onto itself, and the exit status is 0.
    """
    for dataset in ours.dataset:
        if dataset in theirs.dataset:
            request.zone = source
            request.error(f"WARNING: dataset '{dataset}' is configured in both zones.\n")


# -- uninstall ---------------------------------------------------------------------------------------------


def uninstall(request: Request) -> int:
    given, help_wanted = request.own_options("?F")
    if not help_wanted:
        sanity.check(request, inactive=True)
        verify.configuration(request)
        verify.run_brand_verify(request)
        if not given.has("F") and not _confirmed(request):
            return OK
    brand, path = request.its_brand(), request.zonepath
    line = request.line_with("uninstall", ["uninstall", request.zone, path])
    if help_wanted:
        return OK if request.hook(brand.uninstall, line, "brand-specific uninstall") == OK else ERROR
    with locks.operation(request):
        _nothing_mounted(request, f"{path}/root")
        request.set_state("incomplete")
        status = request.hook(brand.uninstall, line, "brand-specific uninstall")
        if status == USAGE:
            request.call.err(request_usage(request))
        if status != OK:
            return ERROR
        request.set_state("configured")
    return OK


END_OF_FILE = "\x04"  # typed at a terminal that nobody stands in for


def _confirmed(request: Request) -> bool:
    call = request.call
    if not call.terminal:
        raise request.stop("Input not from terminal and -F not specified: uninstall not done.")
    while True:
        call.out(f"Are you sure you want to uninstall zone {request.zone} (y/[n])? ")
        line = call.stdin.readline().decode("utf-8", "replace")
        if line in ("", "\n", END_OF_FILE) or line[:1].lower() == "n":
            return False
        if line[:1].lower() == "y":
            return True


def _nothing_mounted(request: Request, root: str) -> None:
    below = [point for _, point in mounts(request.call) if point.startswith(f"{root}/")]
    if below:
        request.error(f"These file systems are mounted on subdirectories of {root}.\n")
        for point in below:
            request.error(f"  {point}\n")
        raise Stop
