"""pkg(1): the Image Packaging System over an image below the root, of the global zone or a zone.

See docs/illumos.md: pkg.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zonemgr.lab.world import FIRST_DAY, World

if TYPE_CHECKING:
    from zonemgr.lab.call import Call
    from zonemgr.lab.pkg.command import Run

NOT_EMULATED = (
    "apply-hot-fix", "autoremove", "search", "fix", "revert", "mediator", "set-mediator", "unset-mediator",
    "variant", "change-variant", "facet", "change-facet", "avoid", "unavoid", "flag", "property",
    "set-property", "add-property-value", "remove-property-value", "unset-property", "history",
    "purge-history", "rebuild-index", "update-format", "image-create", "copy-publishers-from",
    "attach-linked", "audit-linked", "detach-linked", "list-linked", "pubcheck-linked", "sync-linked",
    "property-linked", "set-property-linked", "exact-install", "dehydrate", "rehydrate", "clean",
)  # fmt: skip
USAGE = """Usage:
        pkg [options] command [cmd_options] [operands]

Basic subcommands:
        pkg refresh [-q] [--full] [publisher ...]
        pkg install [-nvq] [-g path_or_uri ...] [--accept] [--no-refresh] ... pkg_fmri_pattern ...
        pkg uninstall [-nvq] [--ignore-missing] ... pkg_fmri_pattern ...
        pkg update [-nvq] [-g path_or_uri ...] [--accept] [--no-refresh] ... [pkg_fmri_pattern ...]
        pkg list [-Haqnuv] [-g path_or_uri ...] [--no-refresh] [pkg_fmri_pattern ...]
        pkg info [-lqr] [pkg_fmri_pattern ...]
        pkg publisher [-HPn] [-F format] [publisher ...]
        pkg set-publisher [-Ped] [-g origin_to_add ...] [-G origin_to_remove ...] ... [-p repo_uri] [publisher]
        pkg unset-publisher publisher ...
        pkg verify [-Hqv] [pkg_fmri_pattern ...]
        pkg contents [-m] [pkg_fmri_pattern ...]
        pkg freeze [-n] [-c reason] [pkg_fmri_pattern] ...
        pkg unfreeze [-n] [pkg_name_pattern] ...
        pkg version
"""
BAD_OPTION, NOTHING = 2, 4
DOOR = Path("/.lab/kernel/door")  # there in a zone that is answered (see `kernel`)


def pkg(call: Call) -> int:
    if call.zone is not None and DOOR.exists() and call.argv[1:2] != ["version"]:
        return _asked(call)
    return answer(call)


def _asked(call: Call) -> int:
    """In a zone: repositories and boot environments are outside of what its processes see."""
    from zonemgr.lab import kernel, place

    image = ("-R", call.env["PKG_IMAGE"]) if call.env.get("PKG_IMAGE") else ()
    status = kernel.ask(call, "pkg", *image, *call.argv[1:])
    done = status == NOTHING and bool(call.env.get("PKG_SUCCESS_ON_NOP")) and place.here(call).omnios
    return 0 if done else status


def answer(call: Call) -> int:
    """pkg of the global zone, of a zone as its kernel's side does it, or of a root without a kernel."""
    from zonemgr.lab import options

    try:
        found, words = options.parse(call.argv[1:], "R:D:?", None)
    except options.BadOption as bad:
        return call.fail(f"pkg: illegal global option -- {bad.letter}\n{USAGE}".rstrip("\n"), BAD_OPTION)
    given = dict(found)
    if "D" in given:
        return call.fail("lab: pkg -D is not emulated")
    if "?" in given or words[:1] == ["help"]:
        call.out(USAGE)
        return 0
    if not words:
        return call.fail(f"pkg: no subcommand specified\n{USAGE}".rstrip("\n"), BAD_OPTION)
    return _command(call, words, given.get("R") or call.env.get("PKG_IMAGE", ""))


def _command(call: Call, words: Sequence[str], root: str) -> int:
    from zonemgr.lab.pkg import changing, command, freezing, publishers, showing

    commands: dict[str, Callable[[Run, Sequence[str]], int]] = {
        "install": changing.install,
        "uninstall": changing.uninstall,
        "update": changing.update,
        "image-update": changing.update,
        "refresh": changing.refresh,
        "freeze": freezing.freeze,
        "unfreeze": freezing.unfreeze,
        "contents": showing.contents,
        "list": showing.list_,
        "info": showing.info,
        "verify": showing.verify,
        "publisher": publishers.show,
        "set-publisher": publishers.set_,
        "unset-publisher": publishers.unset,
    }
    if words[0] == "version":
        call.out("a6dfe3a8\n")
        return 0
    if words[0] in NOT_EMULATED:
        return call.fail(f"lab: pkg {words[0]} is not emulated")
    if words[0] not in commands:
        text = f"pkg: unknown subcommand '{words[0]}'\nFor a full list of subcommands, run: pkg help"
        return call.fail(text, BAD_OPTION)
    return command.run(call, words[0], words[1:], root, commands[words[0]])


# -- for the installation of zones -----------------------------------------------------------------------------


def create_image(
    world: World, root: Path, packages: list[str], publishers: list[tuple[str, str]]
) -> list[str]:
    """Make an image below a root and install packages into it; returns the FMRIs installed.

    Raises PkgError with pkg's text and exit status. Files of packages are not put into the tree.
    """
    from zonemgr.lab import place
    from zonemgr.lab.pkg import plan, shelves
    from zonemgr.lab.pkg.image import Image, Publisher

    image = Image(place.at_root(world, None, root), shelves.of(world))
    for name, uri in publishers:
        known = image.publisher(name)
        if known is None:
            image.publishers.append(Publisher(name, [uri]))
        else:
            known.origins.append(uri)
    _check_publishers(image)
    image.refresh()
    todo, asked = plan.install(image, packages)
    todo.carry_out(image, asked)
    return [package.fmri for package in todo.add]


def _check_publishers(image: object) -> None:
    from zonemgr.lab.pkg import publishers
    from zonemgr.lab.pkg.image import Image

    assert isinstance(image, Image)
    for publisher in image.publishers:
        for uri in publisher.origins:
            publishers.check_origin(image, publisher.name, uri)


def _first_day(world: World) -> None:
    from zonemgr.lab import place
    from zonemgr.lab.pkg import plan, shelves
    from zonemgr.lab.pkg.image import Image, Publisher

    image = Image(replace(place.global_zone(world), root=world.host), shelves.of(world), zone=False)
    image.publishers = [Publisher(each.publisher, [each.origin]) for each in image.shelves.repositories]
    image.refresh()
    names = ["entire", "system/zones/internal", "pkg:/developer/gcc-14", "developer/versioning/git"]
    todo, asked = plan.install(image, names)
    todo.carry_out(image, asked)


FIRST_DAY.append(_first_day)
