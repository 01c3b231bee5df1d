"""Making a golden image: containment, zone, packages, first boot, three snapshots; served last."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from zonemgr import limits, records
from zonemgr.errors import NotThere, UsageError, ZonemgrError
from zonemgr.host import smf
from zonemgr.host.door import Host
from zonemgr.model import Dataset, RunId, ZoneName
from zonemgr.workflows import building, common, furnish, imageset, naming, packages, privilege, survey
from zonemgr.workflows.job import Site, glimpse, job
from zonemgr.workflows.steps import Step

# The brands that `zoneadm install -e PACKAGE` works for (docs/illumos.md: Brand scripts); other roots are filled
# afterwards.
UNLINKED_TEMPLATES = ("OInlipkg", "SUNWipkg", "SUNWdefault")
SEEDED_BRANDS = ("ipkg", "lipkg", "nlipkg")
# These keep their root in ROOT/zbe, below a zonepath dataset that may be made beforehand.
IPS_BRANDS = (*SEEDED_BRANDS, "sparse", "pkgsrc")
PLAIN = re.compile(r"[A-Za-z0-9/@:.,_+=%-]+")  # what a shell leaves as it is


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
    run: str  # that made it, now or before


@dataclass(frozen=True)
class Recipe:
    """What a new image is made from: how it is installed, and what is changed in it afterwards."""

    zone: str
    brand: str
    template: str
    contents: imageset.ImageSet
    seed: tuple[str, ...]  # options of `zoneadm install`
    change: packages.Change
    furniture: furnish.Furniture
    run: RunId


def create(site: Site, request: GoldenRequest, *, unless_there: bool = False) -> Golden:
    """Make a golden image; raises before anything is changed when the host cannot have it.

    Without a name the image is known by what it holds: one that is there is the answer, else it is made from the
    nearest one, or from nothing. `unless_there`: another run may be making the very same one; it is waited for, and
    then nothing is left to do.
    """
    if request.autoname and request.zone:
        raise UsageError("-z and -Z exclude each other", hint="leave one of them out")
    if request.source:
        from zonemgr.workflows import archives

        return archives.create(site, request)
    if not request.zone:
        return _by_contents(site, request)
    if request.origin:
        from zonemgr.workflows import deriving

        return deriving.create(site, request)
    if request.snapshot:
        raise UsageError(f"a snapshot {request.snapshot} of which image?", hint="name the image with -c")
    return _from_nothing(site, request, unless_there)


def _by_contents(site: Site, request: GoldenRequest) -> Golden:
    from zonemgr.workflows import layers  # it makes images by what is here

    lists = (request.packages, request.remove_packages, request.publishers, request.remove_publishers)
    wish = layers.ImageWish(request.brand, request.template, *(" ".join(words) for words in lists))
    name = layers.provide(site, wish, request.origin, request.snapshot, wishes=request.wishes)
    look = glimpse(site)
    if survey.find(look, name) is None:  # a dry run
        return Golden(name, naming.initial("postinstalled", name), "")
    image = survey.managed(look, ZoneName(name), survey.GIZ)
    return Golden(name, image.marks.get("current", ""), image.run)


def _from_nothing(site: Site, request: GoldenRequest, unless_there: bool) -> Golden:
    run = records.new_run_id()
    look = glimpse(site)
    name = str(ZoneName(request.zone))
    made = Golden(name, naming.initial("postinstalled", name), run)
    recipe = prepare(look, site, request, run)
    if not unless_there:
        building.name_is_free(look, name)
    patience = site.config.state.image_wait if unless_there else None
    with job(site, [name], run, images=[name], wait=patience) as work:
        look = glimpse(site)
        if unless_there and survey.find(look, name) is not None:
            return made
        work.do(*plan(look, site, recipe), look=look)
    return made


def prepare(look: Host, site: Site, request: GoldenRequest, run: RunId) -> Recipe:
    """Everything that can be refused without changing the host."""
    from zonemgr.workflows import layers  # it makes images by what is here

    name = str(ZoneName(request.zone))
    change = packages.parse(
        (*site.config.giz.packages, *request.packages), request.remove_packages, request.publishers,
        request.remove_publishers,
    )  # fmt: skip
    brand, template = brand_for(look, site, request)
    own = imageset.own(look) if change.add_publishers or change.remove_publishers else ()
    contents = imageset.of(
        brand, base=site.config.giz.packages, packages=request.packages, remove_packages=request.remove_packages,
        publishers=change.add_publishers, remove_publishers=change.remove_publishers,
        extras=layers.extras(request.wishes), own=own,
    )  # fmt: skip
    things = furniture(look, site, request.wishes, name, run)
    privilege.require(look, "zone", "zfs", "packages", *(["network"] if things.links else []))
    change = _needed(change, contents)
    linked = bool(change.add_publishers or change.remove_publishers) and packages.linked(look, brand)
    packages.check_linked(look, name, brand, change)
    if linked and change.add_publishers:
        site.report.note(
            f"zones of brand {brand} are linked: the host's publishers stay first, others come below"
        )
    _, zonepath = survey.home_of(site.config, survey.GIZ, name)
    seed, rest = seeded(brand, change, linked=linked, zone=name, zonepath=zonepath)
    return Recipe(name, brand, template, contents, seed, rest, things, run)


def _needed(change: packages.Change, contents: imageset.ImageSet) -> packages.Change:
    """What is both asked for and removed again need not be installed first, and the other way round.

    Publishers that are named come in place of the host's own: then there is nothing to remove.
    """
    return packages.Change(
        tuple(word for word in change.add if imageset.package(word) in contents.packages),
        tuple(word for word in change.remove if imageset.stem(imageset.package(word)) in contents.without),
        change.add_publishers,
        () if change.add_publishers else change.remove_publishers,
    )


def seeded(
    brand: str, change: packages.Change, *, linked: bool, zone: str, zonepath: str
) -> tuple[tuple[str, ...], packages.Change]:
    """Options for `zoneadm install`, and what is left to do on the new root.

    `-P` takes one publisher, and then no other is in the image; a linked zone needs the host's, so its own are added
    below them. `-e` adds packages to the first installation: not when further publishers, or removals, come before
    them. zoneadm puts its words into a shell command unquoted (docs/illumos.md: Cloning), so those a shell would
    take apart
    are left for later, too; and so are those that its command line of 1024 bytes has no room for.
    """
    if brand not in SEEDED_BRANDS:
        return (), change
    first: tuple[str, ...] = () if linked else change.add_publishers[:1]
    for word in first:
        if not PLAIN.fullmatch(word.replace("|", "=")):
            raise UsageError(
                f"the brand's installation cannot take the publisher {word}",
                hint="name another one first, to seed the image; the others are added afterwards",
            )
    options = [option for word in first for option in ("-P", word.replace("|", "=", 1))]
    room = limits.room_for_packages(zone, zonepath, tuple(options))
    if room < 0:
        raise UsageError(
            f"the address of publisher {packages.halves(first[0])[0]} is too long for zoneadm install, whose command "
            f"line would have {limits.INSTALL_LINE.longest - room} bytes, and {limits.INSTALL_LINE.longest} are allowed"
        )
    rest = replace(change, add_publishers=change.add_publishers[len(first) :])
    if not (rest.add_publishers or rest.remove_publishers or rest.remove):
        plain = _fitting([word for word in rest.add if PLAIN.fullmatch(word)], room)
        options += [option for word in plain for option in ("-e", word)]
        rest = replace(rest, add=tuple(word for word in rest.add if word not in plain))
    return tuple(options), rest


def _fitting(words: Sequence[str], room: int) -> tuple[str, ...]:
    """The first of these packages, as many as the command line has room for."""
    sizes = itertools.accumulate(map(limits.package_size, words))
    return tuple(word for word, size in zip(words, sizes, strict=True) if size <= room)


def plan(host: Host, site: Site, recipe: Recipe) -> list[Step]:
    name, run, things = recipe.zone, recipe.run, recipe.furniture
    home, zonepath = survey.home_of(site.config, survey.GIZ, name)
    origin = f"template:{recipe.template}" if recipe.template else f"brand:{recipe.brand}"
    seconds = site.config.host
    ready = naming.initial("postinstalled", name)
    building.name_is_free(host, name)
    common.check_free(host, zonepath, home)
    configuration = common.configuration(
        zonepath, survey.GIZ, origin, run, brand=recipe.brand, template=recipe.template, furniture=things
    )

    def snapshot(what: str) -> Step:
        return building.TakeSnapshot(name, home, naming.initial(what, name), run)

    return [
        *common.containment(host, site, survey.GIZ, run),
        common.home(site, survey.GIZ, name, run, origin=origin, marks=marks(recipe.contents, things)),
        *before_configuration(host, things, run),
        building.ConfigureZone(name, run, configuration.first),
        building.InstallZone(name, home, run, recipe.seed, seconds.install_limit),
        *_proved(recipe, home, zonepath, seconds.install_limit),
        snapshot("installed"),
        *packages.on_root(name, home, zonepath, recipe.change, seconds.install_limit),
        # Booted with everything in it: this imports the SMF manifests of what was added, too.
        building.BootZone(name, run, smf.SINGLE_USER, seconds.boot_limit, single_user=True),
        building.HaltZone(name),
        *set_up(site, name, run, things),
        *configuration.add(name),
        snapshot("manifest_import_booted"),
        snapshot("postinstalled"),
        building.PublishImage(name, home, ready),
    ]


def _proved(recipe: Recipe, home: str, zonepath: str, limit: float) -> list[Step]:
    """Nothing for an image whose installation was given no packages."""
    options, words = recipe.seed[::2], recipe.seed[1::2]
    asked = tuple(word for option, word in zip(options, words, strict=True) if option == "-e")
    return [packages.ProvePackages(recipe.zone, home, zonepath, asked, limit)] if asked else []


def marks(contents: imageset.ImageSet, things: furnish.Furniture) -> dict[str, str]:
    plain = things == furnish.Furniture()
    return imageset.marks(contents) | ({} if plain else things.home_properties)


# -- furnished images: what a disposable zone can have, an image can have for itself --------------------------


def furniture(look: Host, site: Site, wishes: furnish.Wishes, name: str, run: RunId) -> furnish.Furniture:
    """Its clones inherit what is in the root (accounts, automounts), not the mounts, datasets and VNICs."""
    if wishes == furnish.Wishes():
        return furnish.Furniture()
    from zonemgr.workflows import setup, storage

    things = furnish.parse(wishes, tag=naming.tail(run))
    homes = [survey.containment(site.config, kind)[0] for kind in (survey.GIZ, survey.DIZ)]
    own = survey.home_of(site.config, survey.GIZ, name)[0]
    things.check_on(look, homes=[*homes, own], config=site.config)
    setup.accounts_there(look, things.users, things.groups, things.elevated)
    return storage.settle(look, site, things.seen_on(look), name, run)


def before_configuration(host: Host, things: furnish.Furniture, run: RunId) -> list[Step]:
    if things == furnish.Furniture():
        return []
    from zonemgr.workflows import storage

    return storage.before_configuration(host, things, run)


def set_up(site: Site, name: str, run: RunId, things: furnish.Furniture) -> list[Step]:
    """For an image that is halted and whose manifests have been imported: its services are known by then."""
    if things == furnish.Furniture():
        return []
    from zonemgr.workflows import disposable

    return [disposable.set_up(site, name, run, things, reset=False)]


def brand_for(host: Host, site: Site, request: GoldenRequest) -> tuple[str, str]:
    """Brand and template: as asked, else as configured, else nlipkg on OpenIndiana and ipkg on OmniOS.

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
    """Brand and template of a host that was told neither: zones that are not linked, else zonecfg's default.

    Each zone of a linked brand (lipkg on OmniOS, ipkg on OpenIndiana) is a child of the host's own package image, so
    that every clone takes part in the host's pkg operations, and a half-made one breaks them.
    """
    for template in UNLINKED_TEMPLATES:
        brand = brand_of(host, template)
        if brand:
            return brand, template
    raise NotThere(
        "this host has no zone templates", hint="see: ls /etc/zones/*.xml; or name a brand with -b"
    )


def former_brand(host: Host, site: Site, brand: str, template: str) -> str:
    """The brand that images of this host were given before one that is not linked was the default, or nothing.

    Only for who has named no brand: neither in the request nor in the settings.
    """
    if brand or template or site.config.giz.brand or site.config.giz.template or brand_of(host, "OInlipkg"):
        return ""
    return brand_of(host, "SUNWdefault")


def template_brand(host: Host, template: str) -> str:
    """The brand that a zonecfg template gives; raises NotThere for an unknown template.

    OmniOS puts OMNI before a name that begins in lower case (docs/illumos.md: zonecfg).
    """
    common.no_breakers(template, "template name")
    brand = brand_of(host, template) or brand_of(host, f"OMNI{template}")
    if not brand:
        raise NotThere(f"this host has no zone template {template}", hint="see: ls /etc/zones/*.xml")
    return brand


def brand_of(host: Host, template: str) -> str:
    """zonecfg reads a template like a zone; nothing for one that is not there."""
    told = host.ask("zonecfg", "-z", template, "info", "brand", ok=(0, 1))
    if told.exit_code and "No such zone configured" not in told.stderr:
        raise told.error()
    return told.stdout.removeprefix("brand: ").strip() if told.stdout.startswith("brand: ") else ""


def served_snapshot(host: Host, image: survey.Managed, wanted: str = "") -> str:
    """Full name of the snapshot to clone from: the one asked for, else the current one of this image."""
    if not image.marks.get("current"):
        raise ZonemgrError(
            f"golden image {image.name} has no current snapshot: it is half-made or being upgraded",
            hint="look for the run that makes it: zonemgr runs; after a crash: zonemgr recover",
        )
    root = survey.root_of(host, image.dataset, image.name)
    return str(Dataset(root.name).at(wanted or image.marks["current"]))
