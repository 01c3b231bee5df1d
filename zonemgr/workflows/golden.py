"""Making a golden image: containment, zone, packages, first boot, three snapshots; served last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from zonemgr import records
from zonemgr.errors import NotThere, ZonemgrError
from zonemgr.host import smf
from zonemgr.host.door import Host
from zonemgr.model import Dataset, RunId, ZoneName
from zonemgr.workflows import building, common, furnish, naming, privilege, survey
from zonemgr.workflows.job import Site, glimpse, job
from zonemgr.workflows.steps import Step

# The brands that `zoneadm install -e PACKAGE` works for (facts sheet 3.2); other roots are filled afterwards.
SEEDED_BRANDS = ("ipkg", "lipkg", "nlipkg")
# These keep their root in ROOT/zbe, below a zonepath dataset that may be made beforehand.
IPS_BRANDS = (*SEEDED_BRANDS, "sparse", "pkgsrc")


@dataclass(frozen=True)
class GoldenRequest:
    """What `create-giz` was asked for; empty means: by configuration, then by what the host has."""

    zone: str = ""
    brand: str = ""
    template: str = ""
    packages: tuple[str, ...] = ()
    remove_packages: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()  # NAME|URI, the first one seeds the installation
    remove_publishers: tuple[str, ...] = ()  # NAME or NAME|URI
    origin: str = ""  # a golden image to clone instead of an installation
    snapshot: str = ""  # of the origin
    autoname: bool = False  # the canonical name; an image that is there already is the answer
    source: str = ""  # an archive, a stream, or DATASET@SNAP, instead of packages
    wishes: furnish.Wishes = field(default_factory=furnish.Wishes)


@dataclass(frozen=True)
class Golden:
    zone: str
    snapshot: str
    run: str


def create(site: Site, request: GoldenRequest, *, unless_there: bool = False) -> Golden:
    """Make a golden image; raises before anything is changed when the host cannot have it.

    `unless_there`: another run may be making the very same one; it is waited for, and then nothing is left to do.
    """
    run = records.new_run_id()
    look = glimpse(site)
    privilege.require(look, "zone", "zfs", "packages")
    brand, template = brand_for(look, site, request)
    packages = tuple(dict.fromkeys((*site.config.giz.packages, *request.packages)))
    _check_packages(packages)
    name = str(ZoneName(request.zone or naming.golden(brand, (), packages)))
    made = Golden(name, naming.initial("postinstalled", name), run)
    if not unless_there:
        building.name_is_free(look, name)
    patience = site.config.state.image_wait if unless_there else None
    with job(site, [name], run, images=[name], wait=patience) as work:
        look = glimpse(site)
        if unless_there and survey.find(look, name) is not None:
            return made
        steps = plan(look, site, name, brand=brand, template=template, packages=packages, run=run)
        work.do(*steps, look=look)
    return made


def plan(
    host: Host, site: Site, name: str, *, brand: str, template: str, packages: Sequence[str], run: RunId
) -> list[Step]:
    home, zonepath = survey.home_of(site.config, survey.GIZ, name)
    origin = f"template:{template}" if template else f"brand:{brand}"
    limits = site.config.host
    seed = [word for package in packages for word in ("-e", package)] if brand in SEEDED_BRANDS else []
    adding = building.AddPackages(name, home, zonepath, tuple(packages), limits.install_limit)
    later = [adding] if packages and not seed else []
    ready = naming.initial("postinstalled", name)
    building.name_is_free(host, name)
    common.check_free(host, zonepath, home)

    def snapshot(what: str) -> Step:
        return building.TakeSnapshot(name, home, naming.initial(what, name), run)

    return [
        *common.containment(host, site, survey.GIZ, run),
        common.home(site, survey.GIZ, name, run, origin=origin),
        building.ConfigureZone(name, run, common.script(zonepath, survey.GIZ, origin, run,
                                                        brand=brand, template=template)),
        building.InstallZone(name, home, run, tuple(seed), limits.install_limit),
        snapshot("installed"),
        building.BootZone(name, run, smf.SINGLE_USER, limits.boot_limit, single_user=True),
        building.HaltZone(name),
        snapshot("manifest_import_booted"),
        *later,
        snapshot("postinstalled"),
        building.PublishImage(name, home, ready),
    ]  # fmt: skip


def brand_for(host: Host, site: Site, request: GoldenRequest) -> tuple[str, str]:
    """Brand and template: as asked, else as configured, else nlipkg on OpenIndiana and lipkg on OmniOS.

    The predecessor's command lines name a template where a brand is meant (`-b SUNWipkg`); it is taken as one.
    """
    brand, template = request.brand, request.template
    if not (brand or template):
        brand, template = site.config.giz.brand, site.config.giz.template
    if brand.startswith(("SUNW", "OI", "OMNI")) and not template:
        brand, template = "", brand
    if template and not brand:
        brand = template_brand(host, template)
    if not brand:
        brand, template = default_brand(host)
    if brand not in IPS_BRANDS:
        raise ZonemgrError(
            f"golden images of brand {brand} are not supported yet",
            hint=f"use one of: {', '.join(IPS_BRANDS)}",
        )
    return brand, template


def default_brand(host: Host) -> tuple[str, str]:
    """Brand and template of a host that was told neither: non-linked zones on OpenIndiana, else zonecfg's default."""
    for template in ("OInlipkg", "SUNWdefault"):
        brand = _brand_of(host, template)
        if brand:
            return brand, template
    raise NotThere(
        "this host has no zone templates", hint="see: ls /etc/zones/*.xml; or name a brand with -b"
    )


def template_brand(host: Host, template: str) -> str:
    """The brand that a zonecfg template gives; raises NotThere for an unknown template.

    OmniOS puts OMNI before a name that begins in lower case (facts sheet 5.4).
    """
    common.no_breakers(template, "template name")
    brand = _brand_of(host, template) or _brand_of(host, f"OMNI{template}")
    if not brand:
        raise NotThere(f"this host has no zone template {template}", hint="see: ls /etc/zones/*.xml")
    return brand


def _brand_of(host: Host, template: str) -> str:
    """zonecfg reads a template like a zone; nothing for one that is not there."""
    told = host.ask("zonecfg", "-z", template, "info", "brand", ok=(0, 1))
    if told.exit_code and "No such zone configured" not in told.stderr:
        raise told.error()
    return told.stdout.removeprefix("brand: ").strip() if told.stdout.startswith("brand: ") else ""


def _check_packages(packages: Sequence[str]) -> None:
    for package in packages:
        common.no_breakers(package, "package name")
        if package.startswith("-"):
            raise ZonemgrError(
                f"{package!r} is not a package name", hint="-p 'developer/gcc-14 text/gnu-diffutils'"
            )


def served_snapshot(host: Host, image: survey.Managed, wanted: str = "") -> str:
    """Full name of the snapshot to clone from: the one asked for, else the current one of this image."""
    if not image.marks.get("current"):
        raise ZonemgrError(
            f"golden image {image.name} has no current snapshot: it is half-made or being upgraded",
            hint="look for the run that makes it: zonemgr runs; after a crash: zonemgr recover",
        )
    root = survey.root_of(host, image.dataset, image.name)
    return str(Dataset(root.name).at(wanted or image.marks["current"]))
