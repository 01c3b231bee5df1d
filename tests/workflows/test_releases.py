"""Stories of images and hosts of different releases, on both flavours, and of the brand that new images are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab, same
from zonemgr.host import pkg
from zonemgr.host.pkg import HOST_IMAGE, Image
from zonemgr.workflows import disposable, golden, layers, release, survey, upgrade
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.layers import ImageWish
from zonemgr.workflows.release import Release

# Of SUNWcs: the release after the one the labs are of, and the one before.
NEXT = {"openindiana": "0.5.11-2025.0.0.0", "omnios": "11-151060.0"}
BUILD = {"openindiana": "0.5.11-2024.0.0.7", "omnios": "11-151058.1"}
LAST = {"openindiana": "0.5.11-2023.0.0.0", "omnios": "11-151056.0"}
ROOT = f"/zones/giz/{GOLDEN}/root"


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("pkg://omnios/SUNWcs@11-151058.0:20260504T093000Z", (151058,)),
        ("0.5.11,5.11-2024.0.0.22345:20241011T093000Z", (2024, 0, 0)),
        ("0.5.11-2024.0.0.22345", (2024, 0, 0)),
    ],
)
def test_the_release_is_in_the_branch_of_a_version(version: str, numbers: tuple[int, ...]) -> None:
    assert release.parse(version) == Release(numbers)


def test_what_is_no_version_has_no_release() -> None:
    assert [release.parse(text) for text in ("", "5.2.37", "a plan that could not be read")] == [None] * 3


def test_an_image_does_not_get_newer_than_the_kernel(each_lab: Lab) -> None:
    lab = each_lab
    lab.publish("SUNWcs", NEXT[lab.world.flavour])
    before = lab.run("zfs", "list", "-H", "-t", "all", "-o", "name")
    result = upgrade.upgrade(lab.site(), GOLDEN, upgrade.Terms())
    assert result.outcome == upgrade.FAILED
    assert "newer than the host's kernel" in result.message and "update the host" in result.hint
    assert lab.run("zfs", "list", "-H", "-t", "all", "-o", "name") == before
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="build-1"))  # it serves what it served


def test_another_build_of_the_same_release_is_served(each_lab: Lab) -> None:
    lab = each_lab
    lab.publish("SUNWcs", BUILD[lab.world.flavour])
    result = upgrade.upgrade(lab.site(), GOLDEN, upgrade.Terms())
    assert (result.outcome, result.notes) == (upgrade.UPGRADED, ())


def test_an_image_the_host_has_left_behind_is_told_of(each_lab: Lab) -> None:
    lab = each_lab
    lab.publish("SUNWcs", LAST[lab.world.flavour])
    lab.run("pkg", "-R", ROOT, "refresh")
    lab.run("pkg", "-R", ROOT, "install", f"SUNWcs@{LAST[lab.world.flavour]}")
    host, image = release.of(lab.door(), HOST_IMAGE), release.of(lab.door(), Image(ROOT))
    assert host is not None and image is not None and image < host
    told = release.older(lab.door(), GOLDEN, Image(ROOT))
    assert told.startswith(f"{GOLDEN} is of release {image}, older than the host's {host}")
    names = {one.name for one in pkg.publishers(lab.door(), Image(ROOT))}
    for name in names:
        lab.run("pkg", "-R", ROOT, "set-publisher", "-d", name)
    result = upgrade.upgrade(lab.site(), GOLDEN, upgrade.Terms())
    assert (result.outcome, result.notes) == (upgrade.UNCHANGED, (told,))
    for name in names:
        lab.run("pkg", "-R", ROOT, "set-publisher", "-e", name)
    result = upgrade.upgrade(lab.site(), GOLDEN, upgrade.Terms())
    assert (result.outcome, result.notes) == (upgrade.UPGRADED, ())  # and now it is of the host's
    assert release.older(lab.door(), GOLDEN, Image(ROOT)) == ""


# -- brands ----------------------------------------------------------------------------------------------------------


def test_new_images_are_of_a_brand_that_is_not_linked(each_lab: Lab) -> None:
    """Else each clone would take part in the host's own pkg operations, and a half-made one break them."""
    lab = each_lab
    wanted = "ipkg" if lab.world.omnios else "nlipkg"
    assert survey.managed(lab.door(), GOLDEN).row.brand == wanted
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="build-1"))
    assert "build-1" not in lab.run("pkg", "list-linked", ok=False)


def test_an_image_of_the_former_brand_is_found(prepared: dict[str, Lab], tmp_path: Path) -> None:
    lab = prepared["omnios"].copy(tmp_path / "lab")
    made = golden.create(lab.site(), golden.GoldenRequest(brand="lipkg", packages=("text/gawk",)))
    assert survey.managed(lab.door(), made.zone).row.brand == "lipkg"
    before = lab.everything()
    assert layers.provide(lab.site(), ImageWish(packages="text/gawk")) == made.zone
    same(before, lab.everything())
    config = replace(lab.config, giz=replace(lab.config.giz, brand="ipkg"))
    assert (
        layers.provide(lab.site(config=config), ImageWish(packages="text/gawk")) != made.zone
    )  # it was asked for
    assert (
        layers.provide(lab.site(), ImageWish(packages="text/gawk")) != made.zone
    )  # one of the new brand comes first
    lab.world.close()
