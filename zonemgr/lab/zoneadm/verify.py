"""What zoneadm verifies of a zone's configuration before it uses it (verify_details of zoneadm.c)."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from zonemgr.lab import zonestore
from zonemgr.lab.zoneadm import fs as filesystems
from zonemgr.lab.zoneadm import zonepaths
from zonemgr.lab.zoneadm.request import ERROR, OK, Request, Stop
from zonemgr.lab.zonestore import Net, StoreError, ZoneConfig

# File systems are looked for at these commands only if they exist: the others make the zonepath.
MAKES_ZONEPATH = ("verify", "install", "clone", "move")

NEW = (
    "WARNING: {path} does not exist, so it could not be verified.\n"
    "When 'zoneadm install' is run, 'install' will try to create\n{path}, "
    "and 'verify' will be tried again,\nbut the 'verify' may fail if:\n"
    "the parent directory of {path} is group- or other-writable\nor\n"
    "{path} overlaps with any other installed zones."
)

MODES = {
    stat.S_IRUSR: "owner readable",
    stat.S_IWUSR: "owner writable",
    stat.S_IXUSR: "owner executable",
    stat.S_IRGRP: "group readable",
    stat.S_IWGRP: "group writable",
    stat.S_IXGRP: "group executable",
    stat.S_IROTH: "world readable",
    stat.S_IWOTH: "world writable",
    stat.S_IXOTH: "world executable",
}


def verify(request: Request) -> int:
    request.options("")
    from zonemgr.lab.zoneadm import sanity

    sanity.check(request)
    details(request)
    return OK


def details(request: Request) -> ZoneConfig:
    """The full verification; Stop when anything is wrong. Warnings do not count."""
    config = configuration(request)
    path = request.zonepath
    if config.zonepath != path:
        request.plain(
            f"The XML repository has zonepath '{config.zonepath}',\nbut the index file has zonepath '{path}'.\n"
            "These must match, so fix the incorrect entry."
        )
        raise Stop
    good = True
    if request.command != "attach" and not zonepath(request, path, request.command):
        request.plain(f"could not verify zonepath {path} because of the above errors.")
        good = False
    _network(request, config)
    good &= filesystems.verify(request, config)
    _warn_of_resources(request, config)
    good &= _brand(request)
    good &= _datasets(request, config)
    if request.command != "mount":  # a scratch zone gets the default set, whatever the configuration says
        good &= _privileges(request, config)
    if not good:
        request.plain(f"zoneadm: zone {request.zone} failed to verify")
        raise Stop
    return config


def configuration(request: Request) -> ZoneConfig:
    try:
        return zonestore.load(request.world, request.zone)
    except StoreError as trouble:
        request.plain(f"zoneadm: {request.command}: {trouble}")
        raise Stop from None


def _brand(request: Request) -> bool:
    return brand_agrees(request, request.zonepath)


def brand_agrees(request: Request, zonepath: str) -> bool:
    """Run the brand's own check, which gets the subcommand and all its arguments; no line fits no brand."""
    brand = request.its_brand()
    if not brand.verify:
        return True
    line = request.line("verify_adm", ["verifyadm", request.zone, zonepath, request.command])
    if not line.add_words(request.args):
        return False
    return request.hook(brand.verify, line, "brand-specific verification") == OK


def run_brand_verify(request: Request) -> None:
    """The brand's check alone, for subcommands that verify nothing else."""
    if not _brand(request):
        raise Stop(ERROR)


# -- zonepath ----------------------------------------------------------------------------------------------


@dataclass
class _Path:
    """A directory of the host under examination, and what is found wrong with it."""

    request: Request
    name: str

    @property
    def place(self) -> Path:
        return self.request.world.path(self.name)

    def complain(self, text: str) -> bool:
        self.request.plain(text)
        return False

    def owned_by_root(self, found: os.stat_result) -> bool:
        if found.st_uid == os.geteuid():  # root, or who plays root in a lab without it
            return True
        return self.complain(f"{self.name} is not owned by root.")

    def mode(self, found: os.stat_result, must: int, must_not: int) -> bool:
        good = True
        for bit, text in MODES.items():
            if bit & must and not found.st_mode & bit:
                good = self.complain(f"{self.name} must be {text}.")
            if bit & must_not and found.st_mode & bit:
                good = self.complain(f"{self.name} must not be {text}.")
        return good


def zonepath(request: Request, path: str, command: str) -> bool:
    """Is this a fit zonepath? Makes it for the commands that do, and sets its mode right except for `verify`."""
    if not path.startswith("/"):
        request.plain(f"{path} is not an absolute path.")
        return False
    here = _Path(request, path)
    real = _resolved(request, path)
    if real is None:
        if command not in MAKES_ZONEPATH:
            return here.complain(f"zoneadm: {path}: No such file or directory")
        if command == "verify":
            request.plain(NEW.format(path=path))
            return True
        if not _make(here):
            return False
        real = _resolved(request, path)
    if real != path:
        return here.complain(f"zoneadm: {path}: Resolved path mismatch")
    found = here.place.stat()
    if not stat.S_ISDIR(found.st_mode):
        return here.complain(f"{path} is not a directory.")
    if path.startswith(IN_MEMORY):
        request.call.out(f"WARNING: {path} is on a temporary file system.\n")
    if not _apart_from_others(request, path):
        return False
    good = _fit(here, found, command)
    good &= _fit_parent(_Path(request, os.path.dirname(path) or "/"))
    if _without_setuid(request, path):
        return here.complain(f"Zonepath {path} is on a nosuid file system.")
    return _fit_root(here, command) and good


IN_MEMORY = ("/tmp/", "/var/run/", "/system/volatile/", "/etc/svc/volatile/")  # tmpfs on illumos


def _without_setuid(request: Request, path: str) -> bool:
    dataset = zonepaths.file_system(request, path)
    return (
        bool(dataset)
        and request.call.run("zfs", "get", "-H", "-o", "value", "setuid", dataset).stdout == "off\n"
    )


def _resolved(request: Request, path: str) -> str | None:
    """The path without symbolic links, as the host sees it; None when it does not exist (resolvepath(2))."""
    real, rest, links = "", path.split("/"), 0
    while rest:
        part, *rest = rest
        if part in ("", "."):
            continue
        step = os.path.dirname(real) if part == ".." else f"{real}/{part}"
        place = request.world.path(step or "/")
        if place.is_symlink() and links < LINKS:
            links += 1
            target = os.readlink(place)
            real, rest = "" if target.startswith("/") else real, [*target.split("/"), *rest]
            continue
        if not os.path.lexists(place) or links == LINKS:
            return None
        real = step
    return real or "/"


LINKS = 20  # a path with more is one that never ends


def _make(here: _Path) -> bool:
    try:
        here.place.mkdir(parents=True, mode=0o755)
    except OSError as trouble:
        return here.complain(f"zoneadm: {here.name}: {trouble.strerror}")
    here.place.chmod(0o700)
    return True


def _apart_from_others(request: Request, path: str) -> bool:
    for entry in zonestore.index(request.world):
        if entry.state != "installed" or entry.name == request.zone:
            continue
        if not request.world.path(entry.zonepath).exists():
            request.call.out(
                f"WARNING: zone {entry.name} is installed, but its zonepath {entry.zonepath} does not exist.\n"
            )
            continue
        one, other = f"{path}/", f"{entry.zonepath}/"
        if one.startswith(other) or other.startswith(one):
            request.plain(
                f"{request.zone} zonepath ({path}) and {entry.name} zonepath ({entry.zonepath}) overlap."
            )
            return False
    return True


def _fit(here: _Path, found: os.stat_result, command: str) -> bool:
    good = here.owned_by_root(found)
    if not good and command != "verify":
        here.complain(f"{here.name}: changing owner to root.")
        os.chown(here.place, os.geteuid(), -1)
        good = True
    good &= here.mode(found, 0o700, 0o077)
    if good or command == "verify":
        return good
    here.complain(f"{here.name}: changing permissions to 0700.")
    here.place.chmod(0o700)
    return True


def _fit_parent(parent: _Path) -> bool:
    found = parent.place.stat()
    return parent.owned_by_root(found) & parent.mode(found, 0o700, 0o022)


def _fit_root(here: _Path, command: str) -> bool:
    """A root that is there already is only right for a zone that is installed, or detached."""
    state = zonestore.state(here.request.world, here.request.zone)
    root = _Path(here.request, f"{here.name}/root")
    if state != "configured" or command == "attach" or not root.place.exists():
        return True
    if (here.place / "SUNWdetached.xml").exists():
        return here.complain(f"Cannot {command} detached zone.\nUse attach or remove {here.name} directory.")
    found = root.place.stat()
    if not stat.S_ISDIR(found.st_mode):
        return here.complain(f"{root.name} is not a directory.")
    if not root.owned_by_root(found):
        return False
    if stat.S_IMODE(found.st_mode) & 0o777 != 0o755:
        return here.complain(f"{root.name} mode is not 0755.")
    return True


# -- network and datasets ----------------------------------------------------------------------------------


def plumbed(request: Request) -> set[str]:
    """Links with an IP interface in the global zone."""
    shown = request.call.run("ipadm", "show-if", "-p", "-o", "ifname")
    return set(shown.stdout.split())


def _network(request: Request, config: ZoneConfig) -> None:
    nets = [net for net in config.net if net.physical != "lo0"]
    if not nets:
        return
    taken = plumbed(request)
    for net in nets:
        reason = _shared(net, taken) if config.ip_type == "shared" else _exclusive(request, net, taken)
        if reason:
            request.plain(f"WARNING: skipping network interface '{net.physical}'{reason}")


def _shared(net: Net, taken: set[str]) -> str:
    missing = net.physical.partition(":")[0] not in taken
    return " which may not be present/plumbed in the global zone." if missing else ""


def _exclusive(request: Request, net: Net, taken: set[str]) -> str:
    from zonemgr.lab import links

    if net.physical in taken:
        return " which is used in the global zone."
    link = links.find(request.world, net.physical, up=True)
    if link is None:
        return "" if net.global_nic else ": object not found"
    if link["zone"] not in ("", request.zone):
        return f" which is used by the non-global zone '{link['zone']}'."
    return ""


def _datasets(request: Request, config: ZoneConfig) -> bool:
    troubles = [trouble for name in config.dataset if (trouble := _dataset(request, name))]
    for trouble in troubles:
        request.plain(trouble)
    return not troubles


def _dataset(request: Request, name: str) -> str:
    run = request.call.run
    asked = run("zfs", "get", "-H", "-o", "value,source", "mountpoint", name)
    if asked.exit_code:
        return f"could not verify zfs dataset {name}: {_why(asked.stderr)}"
    if asked.stdout.rstrip("\n").split("\t")[1].startswith("inherited"):
        return f"could not verify zfs dataset {name}: mountpoint cannot be inherited"
    volumes = run("zfs", "list", "-H", "-o", "name", "-t", "volume", "-r", name).stdout.split()
    if volumes:
        return (
            f"cannot verify zfs dataset {volumes[0]}: volumes cannot be specified as a zone dataset resource"
        )
    return ""


def _why(stderr: str) -> str:
    """libzfs' reason out of the message of zfs: `cannot open 'x': reason`."""
    return stderr.strip().splitlines()[0].rpartition("': ")[2] if stderr.strip() else "dataset does not exist"


# -- resource controls, pools, privileges ------------------------------------------------------------------

RCTLS = (
    "cpu-cap", "cpu-shares", "max-lofi", "max-locked-memory", "max-lwps", "max-msg-ids", "max-processes",
    "max-sem-ids", "max-shm-ids", "max-shm-memory", "max-swap",
)  # fmt: skip


def _warn_of_resources(request: Request, config: ZoneConfig) -> None:
    """What a zone goes without: controls the kernel does not know, and its pool (a lab has no pools facility)."""
    for name in config.rctl:
        if name.removeprefix("zone.") not in RCTLS:
            request.error(f"WARNING: Ignoring unrecognized rctl '{name}'.")
    if config.pool:
        request.error(f"WARNING: pools facility not active; zone will not be bound to pool '{config.pool}'.")


def _privileges(request: Request, config: ZoneConfig) -> bool:
    from zonemgr.lab.zonecfg import privileges

    wrong = privileges.wrong_privilege(config.limitpriv, brand=config.brand, ip_type=config.ip_type)
    if wrong is None:
        return True
    if wrong in privileges.prohibited(config.ip_type):
        request.plain(f'privilege "{wrong}" is not permitted within the zone\'s privilege set')
    elif wrong in privileges.ALL:
        request.plain(f'required privilege "{wrong}" is missing from the zone\'s privilege set')
    else:
        request.plain(f'unknown privilege "{wrong}" specified in the zone\'s privilege set')
    return False
