"""Values of ours against the fixed buffers of illumos: one byte less than fits, what fits, and one byte more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support import Lab, same
from zonemgr import limits
from zonemgr.errors import UsageError
from zonemgr.host import zfs, zoneadm, zonescript
from zonemgr.host.door import CallableHost
from zonemgr.limits import Limit
from zonemgr.model import Attr, Dataset, Fs, LinkName, Net, Rctl, Snapshot, UserName, ZoneName, ZoneSettings
from zonemgr.workflows import disposable, furnish, golden, packages
from zonemgr.workflows.golden import GoldenRequest

DOCUMENT = Path(__file__).parent.parent / "docs" / "limits.md"


def host() -> CallableHost:
    """A host that does whatever it is told."""
    return CallableHost(lambda *_: (0, "", ""), lambda _: None)


def settings(**parts: Any) -> ZoneSettings:
    return ZoneSettings(**{"zonepath": "/zones/z", "brand": "ipkg", "ip_type": "exclusive", **parts})


def configured(**parts: Any) -> None:
    zonescript.Script.parse(zonescript.script_for(settings(**parts)))


def path(size: int) -> str:
    return "/" + "x" * (size - 1)


def options(size: int) -> tuple[str, ...]:
    """Options of a mount that have this many bytes with a comma between."""
    return ("x" * 200, *["y" * 200] * 3, "z" * (size - 4 * 201))


# What makes a value of so many bytes, and hands it where it is built for illumos.
VALUES: dict[str, tuple[Limit, Callable[[int], Any]]] = {
    "boot arguments": (
        limits.BOOT_ARGUMENTS,
        lambda size: zoneadm.boot(host(), ZoneName("z"), "-m", "verbose", "x" * (size - 11)),
    ),
    "zone name": (limits.ZONE_NAME, lambda size: ZoneName("z" * size)),
    "word of zonecfg": (
        limits.ZONECFG_WORD,
        lambda size: zonescript.Script.parse([f'set limitpriv="{"x" * size}"']),
    ),
    "zonepath": (limits.ZONEPATH, lambda size: configured(zonepath=path(size))),
    "dir": (limits.FS_PATH, lambda size: configured(fs=(Fs(path(size), "/b"),))),
    "special": (limits.FS_PATH, lambda size: configured(fs=(Fs("/a", path(size)),))),
    "raw": (limits.FS_PATH, lambda size: configured(fs=(Fs("/a", "/b", "ufs", path(size)),))),
    "type": (limits.FS_TYPE, lambda size: configured(fs=(Fs("/a", "/b", "t" * size),))),
    "options": (limits.FS_OPTIONS, lambda size: configured(fs=(Fs("/a", "/b", options=options(size)),))),
    "attr": (limits.ATTR_VALUE, lambda size: configured(attr=(Attr("a", "x" * size),))),
    "attr's name": (limits.RESOURCE_VALUE, lambda size: configured(attr=(Attr("a" * size, "x"),))),
    "allowed-address": (
        limits.ALLOWED_ADDRESS,
        lambda size: configured(net=(Net("a0", allowed_address="1" * size),)),
    ),
    "physical": (limits.PHYSICAL, lambda size: configured(net=(Net("a" * size),))),
    "dataset": (limits.RESOURCE_VALUE, lambda size: configured(dataset=("p/" + "x" * (size - 2),))),
    "rctl": (limits.RESOURCE_VALUE, lambda size: configured(rctl=(Rctl("r" * size),))),
    "bootargs": (limits.RESOURCE_VALUE, lambda size: configured(more=(("bootargs", "x" * size),))),
    "snapshot": (limits.ZFS_NAME, lambda size: Snapshot.parse("p/" + "x" * 98 + "@" + "s" * (size - 101))),
    "user property": (
        limits.ZFS_PROPERTY_NAME,
        lambda size: zfs.set_properties(host(), Dataset("p/d"), {"a:" + "x" * (size - 2): "v"}),
    ),
    "its value": (
        limits.ZFS_PROPERTY_VALUE,
        lambda size: zfs.set_properties(host(), Dataset("p/d"), {"a:b": "x" * size}),
    ),
    "its value at creation": (
        limits.ZFS_PROPERTY_VALUE,
        lambda size: zfs.create(host(), Dataset("p/d"), properties={"a:b": "x" * size}),
    ),
    "mount point": (
        limits.MOUNT_POINT,
        lambda size: zfs.set_properties(host(), Dataset("p/d"), {"mountpoint": path(size)}),
    ),
    "link": (limits.LINK_NAME, lambda size: LinkName("v" * (size - 1) + "0")),
    "user": (limits.USER_NAME, lambda size: UserName("u" * size)),
    "path in a zone": (
        limits.LOCAL_PATH,
        lambda size: furnish.parse(furnish.Wishes(lofs=f"{path(size)}|/b"), tag="x"),
    ),
    "arguments": (limits.ARGUMENTS, lambda size: host().ask("true", "x" * 500_000, "x" * (size - 500_007))),
    "packages": (limits.INSTALL_LINE, lambda size: seeded_line(size)),
    "zonepath of a new zone": (
        limits.HOOK_LINE,
        lambda size: limits.check_new_zone("z", "p/z", path(size - HOOK)),
    ),
    "dataset of a new zone": (
        limits.ZFS_NAME,
        lambda size: limits.check_new_zone("z", "p/" + "x" * (size - SNAPSHOT - 2), "/z"),
    ),
}
# What the line of a script has beside the zonepath, and the longest snapshot beside the zonepath dataset.
HOOK = len(limits.longest_line("z", ""))
SNAPSHOT = len("/ROOT/zbe-99@before-pkg-uninstall-20260131T235959Z-99")
CUT = ("packages",)  # not refused: what does not fit is done afterwards


@pytest.mark.parametrize("name", VALUES)
def test_a_value_fits_or_is_refused_with_the_number(name: str) -> None:
    limit, build = VALUES[name]
    build(limit.longest - 1)
    build(limit.longest)
    if name in CUT:
        return
    with pytest.raises(UsageError, match=f"{limit.longest + 1} .*{limit.longest}"):
        build(limit.longest + 1)


def test_every_limit_is_tried() -> None:
    assert {id(limit) for limit, _ in VALUES.values()} == {id(limit) for limit in limits.LIMITS}


def test_the_table_for_people_says_the_same() -> None:
    rows = [
        f"| {one.command} | {one.what} | {one.longest} | {one.beyond} | {one.ours} | {one.source} |"
        for one in limits.LIMITS
    ]
    shown = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")][1:]
    assert shown == rows, "write docs/limits.md anew from zonemgr/limits.py"


# -- packages that an installation is seeded with ----------------------------------------------------------------


def seeded_line(size: int) -> tuple[tuple[str, ...], packages.Change]:
    """Two packages, with which the line would have so many bytes as it is counted."""
    room = limits.room_for_packages("z", "/zones/z")
    first = "a" * (
        room - limits.package_size("") - limits.package_size("b" * 30) - (limits.INSTALL_LINE.longest - size)
    )
    change = packages.parse(f"{first} {'b' * 30}")
    return golden.seeded("ipkg", change, linked=False, zone="z", zonepath="/zones/z")


@pytest.mark.parametrize(("more", "seeds"), [(-1, 2), (0, 2), (1, 1)])
def test_what_does_not_fit_is_installed_afterwards(more: int, seeds: int) -> None:
    seed, rest = seeded_line(limits.INSTALL_LINE.longest + more)
    assert seed.count("-e") == seeds
    assert len(rest.add) == 2 - seeds
    # As zoneadm builds it, with the longest path there is for a brand's script.
    script = "exec /usr/lib/brand/nlipkg/pkgcreatezone -z z -R /zones/z"
    glued = "".join(f" {option}{word}" for option, word in zip(seed[::2], seed[1::2], strict=True))
    assert len(script + glued) < 1024


def test_a_publisher_that_does_not_fit_is_refused() -> None:
    change = packages.parse(add_publishers=f"ours|http://x.org/{'a' * 1000}")
    with pytest.raises(UsageError, match=r"1023"):
        golden.seeded("ipkg", change, linked=False, zone="z", zonepath="/zones/z")


def test_an_image_of_many_packages_has_them_all(prepared: dict[str, Lab], tmp_path: Path) -> None:
    lab = prepared["openindiana"].copy(tmp_path / "lab")
    names = [f"library/with-a-long-name/part-{n:03}" for n in range(60)]
    for name in names:
        lab.publish(name)
    golden.create(lab.site(), GoldenRequest(zone="many", packages=tuple(names)))
    there = lab.run("pkg", "-R", "/zones/giz/many/root", "list", "-H")
    assert all(name in there for name in names)
    (line,) = [
        list(words) for words in lab.commands() if list(words[:4]) == ["zoneadm", "-z", "many", "install"]
    ]
    assert 0 < line.count("-e") < len(names)
    assert sum(len(word) + 1 for word in line[line.index("install") :]) < 1024
    lab.world.close()


def test_a_home_that_is_too_long_is_refused_before_anything_is_changed(lab: Lab) -> None:
    before = lab.everything()
    diz = replace(lab.config.diz, dataset="rpool/" + "x" * 100)
    site = lab.site(config=replace(lab.config, diz=diz))
    with pytest.raises(UsageError, match=r"snapshot .* would have \d+ bytes, and 255 are allowed"):
        disposable.create(site, disposable.DisposableRequest("tools", zone="b" * 63))
    same(before, lab.everything())
