"""install, clone and uninstall: what zoneadm does round the brands' hooks."""

from __future__ import annotations

from zonemgr.lab import zonestore
from zonemgr.lab.brands.common import mounts
from zonemgr.lab.brands.hook import NOT_COMPLETE, USAGE
from zonemgr.lab.zoneadm import cloning, locks, sanity, verify, zonepaths
from zonemgr.lab.zoneadm.request import ERROR, OK, Request, Stop, shell_words
from zonemgr.lab.zonestore import StoreError, ZoneConfig


def install(request: Request) -> int:
    brand = request.its_brand()
    given, help_wanted = request.own_options(f"x:{brand.installopts}")
    path = request.zonepath
    argv = ["pkgcreatezone", "-z", request.zone, "-R", path, *brand.install_args]
    if help_wanted:
        request.hook(brand.install, [*argv, "-h"])
        return OK
    sanity.check(request, inactive=True)
    verify.details(request)
    words = shell_words(_without_x(request.args))
    with locks.operation(request):
        request.set_state("incomplete")
        if "nodataset" not in given.all("x"):
            zonepaths.create(request, path)
        return _installed(request, request.hook(brand.install, [*argv, *words]), path)


def _without_x(args: list[str]) -> list[str]:
    """The hook does not get -x, which zoneadm keeps for itself."""
    kept, skip = [], False
    for word in args:
        if skip or word == "-x":
            skip = word == "-x"
            continue
        kept.append(word)
    return kept


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
    given, help_wanted = request.own_options("m:s:")
    if len(given.rest) != 1:
        raise request.misused()
    if help_wanted:
        return OK
    source = given.rest[0]
    sanity.check(request, inactive=True)
    verify.details(request)
    source_path = _check_source(request, source)
    path, brand = request.zonepath, request.its_brand()
    argv = ["clone", "-z", request.zone, "-R", path, *shell_words(request.args)]
    with locks.operation(request):
        request.set_state("incomplete")
        if brand.clone:
            status = request.hook(brand.clone, argv)
            if status == USAGE:
                request.call.err(request_usage(request))
        else:
            status = cloning.built_in(request, given, source_path, path)
        if status == OK:
            request.set_state("installed")
    return OK if status == OK else ERROR


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
        if device in theirs.devices:
            request.plain(f"WARNING: device '{device}' is configured in both zones.")
    for dataset in ours.dataset:
        if dataset in theirs.dataset:
            request.plain(
                f"zoneadm: zone '{source}': WARNING: dataset '{dataset}' is configured in both zones."
            )


# -- uninstall ---------------------------------------------------------------------------------------------


def uninstall(request: Request) -> int:
    given, help_wanted = request.own_options("F")
    brand, path = request.its_brand(), request.zonepath
    argv = ["uninstall", request.zone, path, *request.args]
    if help_wanted:
        request.hook(brand.uninstall, ["uninstall", request.zone, path, "-h"])
        return OK
    sanity.check(request, inactive=True)
    verify.configuration(request)
    verify.run_brand_verify(request)
    if not given.has("F") and not _confirmed(request):
        return OK
    words = shell_words(argv[3:])
    with locks.operation(request):
        _nothing_mounted(request, f"{path}/root")
        request.set_state("incomplete")
        status = request.hook(brand.uninstall, [*argv[:3], *words])
        if status == USAGE:
            request.call.err(request_usage(request))
        if status != OK:
            return ERROR
        request.set_state("configured")
    return OK


def _confirmed(request: Request) -> bool:
    call = request.call
    if not call.terminal:
        raise request.stop("Input not from terminal and -F not specified: uninstall not done.")
    while True:
        call.out(f"Are you sure you want to uninstall zone {request.zone} (y/[n])? ")
        line = call.stdin.readline().decode("utf-8", "replace")
        if not line.strip() or line[:1].lower() == "n":
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
