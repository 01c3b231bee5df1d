"""pkgcreatezone: the install hook of the ipkg family and of sparse and pkgsrc."""

from __future__ import annotations

from pathlib import Path

from zonemgr.lab import zoneroot
from zonemgr.lab.brands import common, hook, sparse
from zonemgr.lab.brands.common import ACTIVE, PARENT, words
from zonemgr.lab.brands.hook import USAGE, Hook, HookExit
from zonemgr.lab.brands.options import Parsed
from zonemgr.lab.call import Call

IPKG_USAGE = (
    "\n        install [-h]\n"
    "        install [-c certificate_file] [-k key_file] [-P publisher=uri]\n"
    "                [-e extrapkg [...]]\n"
    "        install {-a archive|-d path} {-p|-u} [-s|-v]"
)
SPARSE_USAGE = "\n        install [-h]\n        install [-s|-v]"

# What a zone gets when the global zone has no package `entire`
MINIMAL = (
    "SUNWcs",
    "SUNWcsd",
    "package/pkg",
    "system/network",
    "system/network/routing",
    "system/extended-system-utilities",
    "shell/bash",
    "editor/vim",
)


def ipkg(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, _ipkg, usage=IPKG_USAGE)


def sparse_zone(call: Call, argv: list[str]) -> int:
    return hook.run(call, argv, _sparse, usage=SPARSE_USAGE)


# -- ipkg, lipkg, nlipkg -----------------------------------------------------------------------------------


def _ipkg(h: Hook) -> None:
    given = h.options("a:c:d:e:hk:P:pR:suvz:", h.argv[1:])
    _take_zone(h, given)
    if given.has("a") and "=" in given.get("a") and not h.call.path(given.get("a")).is_file():
        raise h.misused("The -a publisher=uri option is obsolete.")
    _compatible(h, given)
    publisher, uri = _publisher(h, given.get("P"))
    entire = _entire(h)
    if entire:
        h.out("Sanity Check: Looking for 'entire' incorporation.\n")
        _check_entire(h, publisher or _first_publisher(h), entire, uri)
    create_active(h)
    if given.has("a") or given.has("d"):
        from zonemgr.lab.brands import image_install

        image_install.install(h, given)
        return
    root = h.call.world.path(f"{h.zonepath}/root")
    h.out(f"       Image: Preparing at {h.zonepath}/root.\n")
    publishers = [(publisher, uri)] if uri else _publishers(h)
    packages = ([entire] if entire else list(MINIMAL)) + [
        name for each in given.all("e") for name in words(each)
    ]
    if not entire:
        h.out("\n!WARNING! - No entire package found, installing minimal package set.\n\n")
    _install(h, root, packages, publishers)
    _finish(h, root, "platform_none.xml")
    _done(h)


def _take_zone(h: Hook, given: Parsed) -> None:
    if given.has("h"):
        raise h.misused()
    h.zone, h.zonepath = given.get("z"), given.get("R")
    if not h.zone or not h.zonepath:
        h.err("Brand error: No zone path or name\n")
        raise HookExit(USAGE)


def _compatible(h: Hook, given: Parsed) -> None:
    def both(one: str, other: str) -> HookExit:
        return h.misused(f"cannot specify both {one} and {other} options")

    image = given.has("a") or given.has("d")
    for one, other in (("a", "d"), ("s", "v"), ("u", "p")):
        if given.has(one) and given.has(other):
            raise both(f"-{one}", f"-{other}")
    for letter in "Peck" if image else "":
        if given.has(letter):
            raise both("-a|-d", f"-{letter}")
    if not image and (given.has("p") or given.has("u")):
        raise both("default", "-p|-u")


def _publisher(h: Hook, text: str) -> tuple[str, str]:
    """`-P publisher=uri` in its two parts."""
    if not text:
        return "", ""
    name, _, uri = text.partition("=")
    if not name or not uri:
        raise h.misused("Syntax error in publisher information.")
    return name, uri


# -- packages ----------------------------------------------------------------------------------------------


def _entire(h: Hook) -> str:
    """The incorporation the global zone has, with its version; empty when it has none."""
    info = h.run("pkg", "info", "pkg:/entire", quiet=True)
    if info.exit_code:
        return ""
    fmri = next((line for line in info.stdout.splitlines() if "FMRI" in line), "")
    return f"entire@{fmri.partition('@')[2]}"


def _first_publisher(h: Hook) -> str:
    listed = h.run("pkg", "publisher", "-HPn", "-F", "tsv").stdout.splitlines()
    return listed[0].split("\t")[0] if listed else ""


def _publishers(h: Hook) -> list[tuple[str, str]]:
    """Name and origin of the global zone's publishers, which a zone gets copies of."""
    rows = (line.split("\t") for line in h.run("pkg", "publisher", "-HF", "tsv").stdout.splitlines())
    return [(row[0], row[6]) for row in rows if len(row) > 6 and row[4] in ("origin", "")]


def _check_entire(h: Hook, publisher: str, entire: str, uri: str) -> None:
    origin = ["-g", uri] if uri else []
    if h.run("pkg", "list", *origin, "-af", f"pkg://{publisher}/{entire}", quiet=True).exit_code:
        raise h.fatal(
            f"Unable to locate the incorporation '{entire}' in the preferred publisher '{publisher}'.\n"
            "Use -P to supply a publisher which contains this package.\n"
        )


def _install(h: Hook, root: Path, packages: list[str], publishers: list[tuple[str, str]]) -> None:
    from zonemgr.lab import pkg

    zoneroot.create(root, h.call.world)
    deliver(root)
    for name, uri in publishers:
        h.out(f"   Publisher: Using {name} ({uri}).\n")
    h.out("       Cache: Using /var/pkg/publisher.\n")
    h.out("  Installing: Packages (output follows)\n")
    try:
        pkg.create_image(h.call.world, root, packages, publishers)
    except (LookupError, ValueError) as trouble:
        text = str(trouble.args[0] if trouble.args else trouble)
        said = text.lstrip()
        h.err(f"{text[: len(text) - len(said)]}pkg install: {said}\n")
        raise h.fatal("failed to install package\n") from None  # 255: the zone stays incomplete


def deliver(root: Path) -> None:
    """What packages put into a root and nothing in a lab uses, but scripts look for in an archive of one."""
    for name, mode, text in (
        ("etc/dfs/dfstab", 0o644, ""),
        ("usr/bin/pkg", 0o555, "# The lab's own is used.\n"),
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
    (root / "var/svc").mkdir(parents=True, exist_ok=True)


# -- the file system ---------------------------------------------------------------------------------------


def create_active(h: Hook) -> str:
    """Make ROOT and the ZBE, and mount it; the ZBE's name."""
    gzbe = common.current_gzbe(h)
    zonepath = common.zonepath_dataset(h, h.zonepath)
    common.refuse_root_pool(h, zonepath)
    top = words(f"{zonepath}/ROOT")
    there = h.run("zfs", "list", "-H", "-o", "name", *top, quiet=True).exit_code == 0
    if not there and not h.ok("zfs", "create", "-o", "mountpoint=legacy", "-o", "zoned=on", *top):
        raise h.fatal(common.NO_CREATE)
    properties = ("-o", f"{ACTIVE}=on", "-o", f"{PARENT}={gzbe}", "-o", "canmount=noauto")
    name = common.first_free(h, "quiet", "zfs", "create", *properties, f"{zonepath}/ROOT/{{}}")
    if name is None:
        raise h.fatal(common.NO_CREATE)
    zbe = f"{zonepath}/ROOT/{name}"
    h.call.world.path(f"{h.zonepath}/root").mkdir(exist_ok=True)
    if not h.ok("mount", "-F", "zfs", zbe, f"{h.zonepath}/root"):
        raise h.incomplete(common.NO_MOUNT)
    return zbe


def _finish(h: Hook, root: Path, platform: str) -> None:
    """The SMF repository and profiles, and what is copied from the global zone."""
    from zonemgr.lab import smf

    h.out(" Postinstall: Copying SMF seed repository ...")
    (root / "etc/svc/profile/platform.xml").symlink_to(platform)
    smf.seed(root, h.call.world)
    h.out(" done.\n")
    for name in ("login", "su"):
        source = h.call.world.path(f"/etc/default/{name}")
        if source.is_file():
            (root / "etc/default" / name).write_bytes(source.read_bytes())


def _done(h: Hook) -> None:
    seconds = 68 if h.call.world.latency != "none" else 1
    h.out(f"        Done: Installation completed in {seconds} seconds.\n\n")


# -- sparse and pkgsrc -------------------------------------------------------------------------------------


def _sparse(h: Hook) -> None:
    given = h.options("hb:R:svz:", h.argv[1:])
    _take_zone(h, given)
    if given.has("s") and given.has("v"):
        raise h.misused("cannot specify both -s and -v options")
    brand = given.get("b", "sparse")
    zbe = create_active(h)
    for name in sparse.OVERLAYS:
        if not h.ok("zfs", "create", "-o", "canmount=noauto", f"{zbe}/{name}"):
            raise h.fatal(common.NO_CREATE)
    sparse.mount_overlays(h, zbe)
    h.out(f"       Image: Preparing at {h.zonepath}/root.\n")
    entire = _entire(h)
    if not entire:
        raise h.fatal("Unable to locate the incorporation '' in the preferred publisher ''.")
    h.out("Sanity Check: Looking for 'entire' incorporation.\n")
    _check_entire(h, _first_publisher(h), entire, "")
    root = h.call.world.path(f"{h.zonepath}/root")
    _install(h, root, [entire], _publishers(h))
    _finish(h, root, f"platform_{brand}.xml")
    if brand == "pkgsrc":
        h.out("Downloading pkgsrc bootstrap...\nInstalling pkgsrc bootstrap...\n")
        (root / "opt/local").mkdir(parents=True, exist_ok=True)
    _done(h)
