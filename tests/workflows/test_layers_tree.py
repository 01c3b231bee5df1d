"""The lineage: what hangs below what, how large it is, and what does not fit in."""

from __future__ import annotations

import json

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab
from zonemgr.cli import family
from zonemgr.workflows import disposable, golden, lineage, snaps
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.golden import GoldenRequest
from zonemgr.workflows.lineage import Size, Snap, Zone

HOME = f"rpool/zones/giz/{GOLDEN}"
SERVED = f"initial-postinstalled-{GOLDEN}"


pytestmark = pytest.mark.usefixtures("no_processes")


@pytest.fixture
def no_processes(request: pytest.FixtureRequest) -> None:
    """Zones need none here but while zlogin runs."""
    if "lab" in request.fixturenames:
        request.getfixturevalue("lab").world.put("cells", "off")


def family_of(lab: Lab) -> tuple[Zone, Zone]:
    """An image, one derived from it, and a disposable zone from that."""
    golden.create(lab.site(), GoldenRequest(zone="child", origin=GOLDEN, packages=("text/gawk",)))
    disposable.create(lab.site(), DisposableRequest("child", zone="build-1"))
    (root,) = lineage.tree(lab.door()).images
    return root, zones_below(root, SERVED)[0]


def snap(zone: Zone, name: str) -> Snap:
    return next(one for one in zone.snapshots if one.name == name)


def zones_below(zone: Zone, name: str) -> list[Zone]:
    return snap(zone, name).zones


def test_everything_hangs_below_the_snapshot_it_came_from(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    root, child = family_of(lab)
    assert (root.name, root.kind, root.state, root.origin) == (
        GOLDEN,
        "giz",
        "installed",
        "template:OInlipkg",
    )
    assert [one.current for one in root.snapshots] == [False, False, True]
    assert (child.name, child.contents, child.fault) == ("child", "nlipkg text/gawk", "")
    (zone,) = zones_below(child, "initial-postinstalled-child")
    assert (zone.name, zone.kind, zone.state, zone.snapshots) == ("build-1", "diz", "running", [])
    tree = lineage.tree(lab.door())
    assert tree.orphans == ()
    family.show(tree, fancy=False)
    drawn = [(line[:60].rstrip(), line[60:].split()[-1]) for line in _aligned(capsys.readouterr().out)]
    assert drawn[0][1] == "STATE" and drawn[1][0] == GOLDEN
    assert [name for name, last in drawn if last == "current"] == [
        f"`- @{SERVED}",
        "      `- @initial-postinstalled-child",
    ]
    assert drawn[-1] == ("         `- build-1", "running")


def _aligned(text: str) -> list[str]:
    """The lines with the first column sixty wide."""
    wide = text.splitlines()[0].index("USED")
    return [line[:wide].ljust(60) + line[wide:] for line in text.splitlines()]


def test_sizes_are_those_of_zfs_in_bytes(lab: Lab) -> None:
    root, child = family_of(lab)

    def told(dataset: str, *names: str) -> tuple[int, ...]:
        lines = lab.run("zfs", "get", "-Hp", "-o", "value", ",".join(names), dataset).split()
        return tuple(map(int, lines))

    for home, zone in ((HOME, root), ("rpool/zones/giz/child", child)):
        whole, shown, own = told(home, "used"), told(f"{home}/ROOT/zbe", "referenced"), told(
            f"{home}/ROOT/zbe", "usedbydataset"
        )  # fmt: skip
        assert zone.size == Size(*whole, *shown, *own)
    assert 0 < child.size.unique < child.size.referenced
    served = snap(root, SERVED)
    used, shown_ = told(f"{HOME}/ROOT/zbe@{SERVED}", "used", "referenced")
    assert served.size == Size(used, shown_, used)
    assert served.holds == 1
    for machine in json.loads(json.dumps(lineage.tree(lab.door()).as_dict()))["images"]:
        assert machine["referenced"] == root.size.referenced and machine["served"] is True
        assert [one["current"] for one in machine["snapshots"]] == [False, False, True]
        assert machine["snapshots"][2]["zones"][0]["name"] == "child"


def test_four_questions_however_many_zones(lab: Lab) -> None:
    family_of(lab)
    asked = len(lab.commands())
    lineage.tree(lab.door())
    assert len(lab.commands()) - asked <= 4


def test_an_image_that_is_not_served_says_so(lab: Lab) -> None:
    lab.run("zfs", "inherit", "zonemgr:current", HOME)
    (image,) = lineage.tree(lab.door()).images
    assert image.fault.startswith("not served") and not image.served
    lab.run("zfs", "set", "zonemgr:current=nosuch", HOME)
    (image,) = lineage.tree(lab.door()).images
    assert image.fault == "its current snapshot nosuch is gone"


def test_what_lost_its_origin_or_its_zone_is_shown_apart(lab: Lab) -> None:
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="build-1"))
    lab.run("zfs", "promote", "rpool/zones/diz/build-1/ROOT/zbe")
    tree = lineage.tree(lab.door())
    assert [(one.name, one.fault) for one in tree.orphans if one.kind == "diz"] == [
        ("build-1", f"its origin {GOLDEN}@{SERVED} is gone")
    ]
    lab.run("zonecfg", "-z", "lost", "create -b; set zonepath=/zones/giz/lost")
    lab.run("zfs", "create", "-o", "zonemgr:kind=giz", "-o", "zonemgr:run=R1", "rpool/zones/giz/remains")
    (left,) = [one for one in lineage.tree(lab.door()).orphans if one.kind == "remains"]
    assert left.name == "remains" and "zonemgr log R1" in left.fault


def test_somebodys_clone_of_an_image_is_shown(lab: Lab) -> None:
    lab.run("zfs", "clone", f"{HOME}/ROOT/zbe@{SERVED}", "rpool/export/look")
    (image,) = lineage.tree(lab.door()).images
    (clone,) = zones_below(image, SERVED)
    assert (clone.name, clone.kind) == ("rpool/export/look", "clone")


def test_further_snapshots_of_an_image_are_there_too(lab: Lab) -> None:
    snaps.snapshot(lab.site(), GOLDEN, "mine")
    (image,) = lineage.tree(lab.door()).images
    assert [one.name for one in image.snapshots][-1] == "mine" and not image.snapshots[-1].current


def test_a_root_that_an_upgrade_promoted_does_not_hang_below_itself(lab: Lab) -> None:
    """As libbe does it: the new root is a clone that is promoted, and the old one stays as its clone."""
    old, new = f"{HOME}/ROOT/zbe", f"{HOME}/ROOT/zbe-1"
    disposable.create(lab.site(), DisposableRequest(GOLDEN, zone="build-1"))
    lab.run("zfs", "snapshot", f"{old}@2026")
    uuid = lab.run("zfs", "get", "-H", "-o", "value", "org.opensolaris.libbe:parentbe", old).strip()
    lab.run(
        "zfs",
        "clone",
        "-o",
        "canmount=noauto",
        "-o",
        f"org.opensolaris.libbe:parentbe={uuid}",
        f"{old}@2026",
        new,
    )
    lab.run("zfs", "promote", new)
    lab.run("zfs", "set", "org.opensolaris.libbe:active=on", new)
    lab.run("zfs", "set", "org.opensolaris.libbe:active=off", old)
    (image,) = lineage.tree(lab.door()).images
    assert image.root == new and image.fault == "" and snap(image, SERVED).current
    assert [zone.name for zone in zones_below(image, SERVED)] == ["build-1"]


def test_a_host_without_images_has_nothing_to_draw(fresh: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    family.show(lineage.tree(fresh.door()), fancy=True)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0"), (512, "512B"), (1000, "0.98K"), (1536, "1.50K"), (10 * 1024, "10.0K"), (150 << 20, "150M"),
     (int(1.234 * 2**30), "1.23G"), (5 << 70, "5120E")],
)  # fmt: skip
def test_sizes_for_people(size: int, text: str) -> None:
    assert family.human(size) == text
