"""Roots from an archive or a directory: the install hook's `-a` and `-d`, and the same of the attach hook.

Done as the scripts do it (pkg5 src/brand/ipkg: image_install, p2v; illumos-gate lib/brand/shared: common.ksh): a
zone that fails anywhere is uninstalled again. The scripts offer ZFS streams too, but none of them names the dataset
to receive into, so that these always fail.
"""

from __future__ import annotations

import io
import os
import re
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from zonemgr.lab import zonestore
from zonemgr.lab.brands import archives, unconfigure
from zonemgr.lab.brands.archives import Unreadable
from zonemgr.lab.brands.hook import NOT_COMPLETE, Hook, HookExit
from zonemgr.lab.brands.options import Parsed
from zonemgr.lab.zfs.store import copy

UNKNOWN = (
    "Error: Unknown archive format. Must be a flash archive, a cpio archive (can also be gzipped or bzipped), "
    "a pax XUSTAR archive, or a level 0 ufsdump archive."
)
ABORTED = "Installation aborted."
FAILED = "        Result: *** Installation FAILED ***"
KEPT = ("fd", "/proc", "swap", "ctfs", "objfs", "sharefs")  # what of vfstab is of use in a zone


class Image:
    """One run: what is said goes to the screen and to a log below /var/tmp."""

    def __init__(self, h: Hook) -> None:
        self.h = h
        self.root = f"{h.zonepath}/root"
        self.place = h.call.world.path(self.root)

    def log(self, text: str) -> None:
        self.h.out(f"{text}\n")
        self.h.remark(text)

    def fatal(self, text: str) -> HookExit:
        self.h.error(text)
        return HookExit(NOT_COMPLETE)


def install(h: Hook, given: Parsed) -> None:
    """`-a FILE` or `-d DIRECTORY`, after the datasets were made; raises HookExit when it fails."""
    job = Image(h)
    try:
        if not (given.has("p") or given.has("u")):
            raise h.misused("you must specify -u (sys-unconfig) or -p (preserve identity).")
        name = open_log(h, "install_log")
        job.log(f"    Log File: {name}")
        lay_down(job, "archive" if given.has("a") else "directory", given.get("a") or given.get("d"))
        job.log("Postprocessing: This may take a while...")
        _postprocess(job, unconfigured=given.has("u"))
        _keep_log(job, name)
    except HookExit:
        take_back(h)
        raise HookExit(NOT_COMPLETE) from None


def take_back(h: Hook) -> None:
    from zonemgr.lab.brands import uninstall

    uninstall.uninstall(h.call, ["uninstall", h.zone, h.zonepath, "-F"])


def open_log(h: Hook, what: str) -> str:
    handle, name = tempfile.mkstemp(prefix=f"{h.zone}.{what}.", dir=h.call.world.path("/var/tmp"))
    os.close(handle)
    h.log = [name]
    return f"/var/tmp/{os.path.basename(name)}"


def _keep_log(job: Image, name: str) -> None:
    """The log ends up in the zone, under a name that nobody can guess."""
    kept = f"var/log/{job.h.zone}.install{os.getpid()}.log"
    source = job.h.call.world.path(name)
    (job.place / kept).write_bytes(source.read_bytes())
    source.unlink()
    job.h.log = None
    job.h.out("\n        Done: Installation completed in 1 seconds.\n")
    job.h.out(f"    Log File: {job.root}/{kept}\n")


# -- laying down -----------------------------------------------------------------------------------------------


def lay_down(job: Image, how: str, source: str) -> None:
    """Put an archive's or a directory's content into the root (install_image); raises HookExit."""
    h = job.h
    if zonestore.load(h.call.world, h.zone).fs:
        raise job.fatal("lab: an image for a zone with file systems of its own is not emulated")
    if how == "directory":
        data, kind = b"", _directory(job, source)
    else:
        data, kind = _archive(job, how, source)
    if any(job.place.iterdir()):
        raise job.fatal(
            f"Zonepath root {job.root} exists and contains data; remove or move aside prior to install."
        )
    job.log(_installing(h))
    try:
        if kind == "directory":
            _copy(h.call.path(source), job.place)
        else:
            _unpack(job, kind, data)
    except Unreadable as trouble:
        if str(trouble).startswith("lab: "):
            h.call.err(f"{trouble}\n")
        job.log(str(trouble))
        raise job.fatal("Unpacking the archive failed") from None
    h.call.world.path(h.zonepath).chmod(0o700)
    sanity_check(job, job.place, job.root)


def _installing(h: Hook) -> str:
    width = "                " if h.name.endswith("attach") else "  "
    return f"{width}Installing: This may take several minutes..."


def _directory(job: Image, source: str) -> str:
    if not source.startswith("/"):
        raise job.fatal(f"Pathname specified to -a '{source}' must be absolute.")
    place = job.h.call.world.path(source)
    for wrong, text in (
        (not place.exists(), f"{source}: error: file or directory not found."),
        (not place.is_dir(), "Error: must be a directory"),
    ):
        if wrong:
            job.log(text)
            raise job.fatal(ABORTED)
    sanity_check(job, place, source)
    return "directory"


def _archive(job: Image, how: str, source: str) -> tuple[bytes, str]:
    """The content and its kind. `how`: archive, a file; or stdin, then the caller says of what kind it is."""
    if how == "stdin":
        data, named = job.h.call.stdin.read(), source
        kind = {"flash": "flar", "xustar": "pax"}.get(named, named)
    else:
        path = job.h.call.path(source)
        data = path.read_bytes() if path.is_file() else b""
        kind = archives.kind(data[:512])
    if kind not in ("tar", "pax", "cpio", "gzip", "bzip2", "flar", "zfs", "ufsdump"):
        job.log(UNKNOWN)
        raise job.fatal(ABORTED)
    if kind == "zfs":
        raise job.fatal("")  # $DATASET is set by nobody, nor is the message for that
    if kind == "ufsdump":
        raise job.fatal("lab: ufsrestore is not emulated")
    return data, kind


def _unpack(job: Image, kind: str, data: bytes) -> None:
    if kind == "flar":
        archives.unpack(list(archives.entries(archives.flash(data))), job.place, filtered=True)
        return
    plain = archives.uncompressed(data, kind)
    found = list(archives.entries(plain))
    if kind == "tar":  # unpacked as it is, wherever it was made
        if any(entry.name.startswith("/") for entry in found):
            raise Unreadable(
                "lab: tar would unpack absolute names over the global zone; that is not emulated"
            )
        archives.unpack(found, job.place, filtered=False)
        return
    archives.unpack(_based(job, found), job.place, filtered=True)


def _based(job: Image, found: list[archives.Entry]) -> list[archives.Entry]:
    """The entries with names below the zone's root, from wherever the archive was made."""
    base, name = archives.base([entry.name for entry in found]), os.path.basename(job.h.zonepath)
    if base == "*zoneroot*":
        return found
    if base not in ("*zonepath*", name):
        raise Unreadable(
            f"Error: the archive top-level directory ({base}) does not match the zonepath ({name})."
        )
    above = "root" if base == "*zonepath*" else f"{name}/root"
    pattern = re.compile(rf"^(\./)?{re.escape(above)}(/|$)")
    return [
        replace(entry, name=pattern.sub("", entry.name) or ".", same_as=pattern.sub("", entry.same_as))
        for entry in found
        if pattern.match(entry.name)
    ]


def _copy(source: Path, target: Path) -> None:
    """install_dir: no names that begin with a dot, nor like /dev, /devices, /proc or /tmp; no devices, no pipes."""
    for entry in sorted(source.iterdir()):
        if entry.name.startswith((".", "dev", "proc", "tmp")):
            continue
        place = target / entry.name
        if entry.is_symlink():
            place.symlink_to(os.readlink(entry))
        elif entry.is_dir():
            copy(entry, place, frozenset())
        elif entry.is_file():
            place.write_bytes(entry.read_bytes())
            place.chmod(stat.S_IMODE(entry.stat().st_mode))
    for path in target.rglob("*"):
        if not (path.is_symlink() or path.is_dir() or path.is_file()):
            path.unlink()


def sanity_check(job: Image, place: Path, shown: str) -> None:
    missing = [name for name in ("etc", "etc/svc", "var", "var/svc") if not (place / name).exists()]
    for name in missing:
        job.log(f"Missing {name} at {shown}")
    if missing:
        job.log("Is this a sparse zone image?  The image must be whole-root.")
    elif not os.access(place / "usr/bin/pkg", os.X_OK):
        missing = ["usr/bin/pkg"]
        job.log(f"Missing usr/bin/pkg at {shown}")
    if missing:
        job.log("  Sanity Check: FAILED (see log for details).")
        raise job.fatal(FAILED)
    if (place / "var/sadm/system/admin/INST_RELEASE").is_file():
        raise job.fatal(FAILED)


# -- making a zone of it (p2v) ---------------------------------------------------------------------------------


def _postprocess(job: Image, *, unconfigured: bool) -> None:
    try:
        for name in ("etc", "etc/dfs", "etc/zones", "var", "var/log", "var/pkg"):
            if (job.place / name).is_symlink() or not (job.place / name).is_dir():
                raise job.fatal(f"Invalid '{name}' directory within the zone")
        _mount_points(job)
        _warn_of_zones(job)
        _fix_files(job)
        job.log("Updating the image to run within a zone")
        _change_variant(job)
        _attach(job)
        if unconfigured:
            _unconfigure(job)
    except HookExit:
        job.log("        Result: Postprocessing failed.")
        job.log("")
        job.log(FAILED)
        raise


def _mount_points(job: Image) -> None:
    for name, mode in (("tmp", 0o1777), ("var/run", 0o1755), ("proc", 0o755), ("dev", 0o755)):
        path = job.place / name
        if not path.is_file() and not path.is_dir():
            path.mkdir(parents=True)
            path.chmod(mode)
    mnttab = job.place / "etc/mnttab"
    if not mnttab.is_file():
        mnttab.touch()
        mnttab.chmod(0o444)


def _warn_of_zones(job: Image) -> None:
    index = job.place / "etc/zones/index"
    if index.is_symlink() or not index.is_file():
        job.h.error("Invalid '/etc/zones/index' file within the zone")
        return
    rows = [
        line.split(":") for line in index.read_text().splitlines() if not line.startswith(("#", "global:"))
    ]
    there = [row for row in rows if len(row) > 2 and row[1] == "installed"]
    if there:
        names = "".join(f"{row[0]} " for row in there)
        job.log(f"The following zones in this image will be unusable: {names}")
        job.log("These zonepaths could be removed from this image:")
        for row in there:
            job.log(f"    {row[2]}")


def _fix_files(job: Image) -> None:
    _comment_out(job, "etc/dfs/dfstab", lambda words: False)
    _comment_out(
        job, "etc/vfstab", lambda words: words[0] in KEPT or (len(words) > 3 and words[3] in ("nfs", "lofs"))
    )
    config = zonestore.load(job.h.call.world, job.h.zone)
    if config.ip_type == "shared":
        return
    old = [path for pattern in ("hostname.*", "dhcp.*") for path in (job.place / "etc").glob(pattern)]
    links = [net.physical for net in config.net]
    if len(old) == 1 and len(links) == 1:
        old[0].rename(old[0].with_name(f"{old[0].name.partition('.')[0]}.{links[0]}"))


def _comment_out(job: Image, name: str, stays: Callable[[list[str]], bool]) -> None:
    path = job.place / name
    if path.is_symlink() or not path.is_file():
        job.h.error(f"Invalid '/{name}' file within the zone")
        return
    text = path.read_text(errors="surrogateescape")
    lines = [
        line if not line.split() or line.startswith("#") or stays(line.split()) else f"# {line}"
        for line in text.splitlines()
    ]
    changed = "".join(f"{line}\n" for line in lines)
    if changed == text:
        return
    before = path.with_name(f"{path.name}.pre_p2v")
    if not before.exists():
        before.write_text(text, errors="surrogateescape")
    date = time.strftime("%A, %B %e, %Y at %I:%M:%S %p UTC", time.gmtime(job.h.call.world.now()))
    path.write_text(f"{changed}# Modified by p2v {date}\n", errors="surrogateescape")


def _change_variant(job: Image) -> None:
    from zonemgr.lab import place
    from zonemgr.lab.pkg import shelves
    from zonemgr.lab.pkg.image import load

    job.log("Changing the pkg variant to nonglobal...")
    world = job.h.call.world
    image = load(place.at_root(world, None, job.place), shelves.of(world))
    if image is None:
        job.h.err(f"pkg: No image rooted at '{job.root}'\n")
        raise job.fatal("Changing the pkg variant to nonglobal failed")
    image.zone = True
    image.save()


def _attach(job: Image) -> None:
    """`zoneadm attach -U`, which brings the packages to the global zone's versions."""
    from zonemgr.lab.brands import attach

    job.log("Updating the zone software to match the global zone...")
    out = io.BytesIO()
    quiet = replace(job.h.call, stdout=out, stderr=out)
    status = attach.attach(quiet, ["attach", job.h.zone, job.h.zonepath, "-u"])
    job.h.err(out.getvalue().decode("utf-8", "replace"))
    if status:
        raise job.fatal("Updating the Zone software failed")
    job.log("Zone software update complete")


def _unconfigure(job: Image) -> None:
    h = job.h
    if not h.ok("zoneadm", "-z", h.zone, "mount", "-f"):
        raise job.fatal("Zone mount failed")
    failed = not unconfigure.system_unconfigure(h.call, h.zone, h.zonepath)
    if failed:
        h.error("Zone unconfiguration failed")
    if not h.ok("zoneadm", "-z", h.zone, "unmount"):
        raise job.fatal("Zone unmount failed")
    if failed:
        raise job.fatal("Postprocessing failed.")
