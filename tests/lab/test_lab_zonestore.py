"""Stories about /etc/zones as the lab keeps it: states, uuids, documents, damage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from zonemgr.lab import world as worlds
from zonemgr.lab import zonestore
from zonemgr.lab.world import World
from zonemgr.lab.zonecfg.document import BadDocument, parse, serialise
from zonemgr.lab.zonestore import Attr, Fs, IndexEntry, Net, StoreError

DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE zone PUBLIC "-//Sun Microsystems Inc//DTD Zones//EN" "file:///usr/share/lib/xml/dtd/zonecfg.dtd.1">
<!-- made by hand -->
<zone name="z" zonepath="/zones/z" autoboot="true" limitpriv='default,dtrace_user'
  bootargs="-v &quot;x&quot;&#9;&#xe9;">
  <filesystem special="/export/src" directory="/src" type="lofs">
    <fsoption name="ro"/><fsoption name="nodevices"/>
  </filesystem>
  <network physical="vnic0"/>
  <network address="10.0.0.5/24" physical="net0" defrouter="10.0.0.1"/>
  <device match="/dev/zvol/*"/>
  <rctl name="zone.cpu-shares"><rctl-value priv="privileged" limit="5" action="none"/></rctl>
  <attr name="k" type="string" value="a &lt; b &amp; c"/>
  <dataset name="rpool/data"/>
</zone>
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    opened = worlds.create(tmp_path / "lab", flavour="openindiana")
    yield opened
    opened.close()


@pytest.fixture
def zone(world: World) -> World:
    """A world with the zone `z`, its document made by hand."""
    zonestore.add_entry(world, "z", "/zones/z")
    world.path("/etc/zones/z.xml").write_text(DOCUMENT)
    return world


def lines(world: World) -> list[str]:
    return world.path("/etc/zones/index").read_text().splitlines()


# -- the index ---------------------------------------------------------------------------------------------


def test_a_fresh_host_has_the_global_zone_and_templates(world: World) -> None:
    assert lines(world)[-1] == "global:installed:/"
    assert zonestore.index(world) == []
    assert {"SUNWblank", "SUNWdefault", "OInlipkg"} <= {
        path.stem for path in world.path("/etc/zones").glob("*.xml")
    }
    assert zonestore.load(world, "OInlipkg").brand == "nlipkg"


def test_the_uuid_comes_with_the_first_state_above_configured_and_goes_with_it(zone: World) -> None:
    assert zonestore.entry(zone, "z") == IndexEntry("z", "configured", "/zones/z", "")
    uuids = []
    for state in ("incomplete", "installed", "incomplete", "configured"):
        zonestore.set_state(zone, "z", state)
        entry = zonestore.entry(zone, "z")
        assert entry is not None
        assert entry.state == state
        uuids.append(entry.uuid)
    assert uuids[0] == uuids[1] != uuids[2] != ""
    assert uuids[3] == ""
    assert all(zonestore.is_uuid(uuid) for uuid in uuids[:3])


def test_comments_and_other_lines_are_kept(zone: World) -> None:
    index = zone.path("/etc/zones/index")
    index.write_text("# mine\nbroken line\n" + index.read_text() + "y:nostate:/zones/y:\n")
    before = lines(zone)
    zonestore.set_state(zone, "z", "installed")
    after = lines(zone)
    assert [line for line in after if not line.startswith("z:")] == [
        line for line in before if not line.startswith("z:")
    ]
    assert [entry.name for entry in zonestore.index(zone)] == ["z"]


def test_a_zonepath_with_a_colon_is_quoted(world: World) -> None:
    zonestore.add_entry(world, "z", "/zones/a:b")
    assert lines(world)[-1] == 'z:configured:"/zones/a:b":'
    assert zonestore.entry(world, "z") == IndexEntry("z", "configured", "/zones/a:b", "")


def test_there_is_one_line_a_zone(zone: World) -> None:
    with pytest.raises(StoreError, match="Problem updating index file"):
        zonestore.add_entry(zone, "z", "/zones/z")
    with pytest.raises(StoreError, match="Problem updating index file"):
        zonestore.set_state(zone, "nosuch", "installed")
    zonestore.remove_entry(zone, "z")
    zonestore.remove_entry(zone, "z")
    assert zonestore.index(zone) == []


def test_states_of_the_kernel_do_not_go_into_the_index(zone: World) -> None:
    with pytest.raises(ValueError, match="running"):
        zonestore.set_state(zone, "z", "running")


def test_the_kernel_knows_better_than_the_index(zone: World) -> None:
    zonestore.set_state(zone, "z", "installed")
    assert zonestore.state(zone, "z") == "installed"
    zone.db.execute("insert into kernel_zones (name, state, root) values ('z', 'mounted', '/zones/z/lu')")
    assert zonestore.state(zone, "z") == "mounted"
    assert zonestore.state(zone, "nosuch") is None


def test_moving_a_zone_writes_document_and_line(zone: World) -> None:
    zonestore.set_zonepath(zone, "z", "/zones/é")
    found = zonestore.entry(zone, "z")
    assert found is not None
    assert (found.zonepath, zonestore.load(zone, "z").zonepath) == ("/zones/é", "/zones/é")


# -- documents ---------------------------------------------------------------------------------------------


def test_a_document_is_read_as_others_need_it(zone: World) -> None:
    config = zonestore.load(zone, "z")
    assert (config.name, config.zonepath, config.autoboot) == ("z", "/zones/z", True)
    assert (config.brand, config.ip_type) == ("ipkg", "shared")  # neither is in the document
    assert (config.limitpriv, config.bootargs) == ("default,dtrace_user", '-v "x"\té')
    assert config.fs == [Fs("/src", "/export/src", "lofs", "", ("ro", "nodevices"))]
    assert config.net == [Net("vnic0"), Net("net0", "10.0.0.5/24", "", "10.0.0.1")]
    assert config.attr == [Attr("k", "string", "a < b & c")]
    assert (config.dataset, config.devices) == (["rpool/data"], ["/dev/zvol/*"])


def test_a_document_is_written_as_it_was_read(zone: World) -> None:
    written = serialise(zonestore.read_document(zone, "z"))
    again = parse(written, omnios=False)
    assert again.root == zonestore.read_document(zone, "z").root
    assert b'bootargs="-v &quot;x&quot;&#9;&#xE9;"' in written


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (("<zone name", "<zane name"), "Invalid document"),
        (("</zone>", ""), "Invalid document"),
        (('autoboot="true"', 'autoboot="yes"'), "Invalid document"),
        (('autoboot="true"', ""), "Invalid document"),
        (('<device match="/dev/zvol/*"/>', "<device/>"), "Invalid document"),
        (('<device match="/dev/zvol/*"/>', "<gadget/>"), "Invalid document"),
        (('<device match="/dev/zvol/*"/>', "loose text"), "Invalid document"),
        (('type="string"', 'type="word"'), "Invalid document"),
        (("a &lt; b", "a < b"), "Invalid document"),
        (("a &lt; b", "a &nosuch; b"), "Invalid document"),
        (("a &lt; b", "a &#1; b"), "Invalid document"),
        (("a &lt; b", "a \x01 b"), "Invalid document"),
        (("<!DOCTYPE", "<!DOCTYPES"), "Invalid document"),
        (("zonecfg.dtd.1", "other.dtd"), "Invalid document"),
        (('name="z" ', 'name="z" name="z" '), "Invalid document"),
    ],
)
def test_a_damaged_document_is_refused(zone: World, damage: tuple[str, str], text: str) -> None:
    old, new = damage
    assert old in DOCUMENT
    zone.path("/etc/zones/z.xml").write_text(DOCUMENT.replace(old, new))
    with pytest.raises(StoreError, match=text):
        zonestore.load(zone, "z")


def test_a_missing_document_is_a_missing_zone(zone: World) -> None:
    zone.path("/etc/zones/z.xml").unlink()
    with pytest.raises(StoreError, match="No such zone configured"):
        zonestore.load(zone, "z")


def test_bytes_that_are_no_utf_8_make_no_document() -> None:
    with pytest.raises(BadDocument):
        parse(DOCUMENT.replace("a &lt;", "é").encode("latin-1"), omnios=False)


def test_omnios_documents_may_have_what_others_may_not(tmp_path: Path) -> None:
    omnios = worlds.create(tmp_path / "omnios", flavour="omnios")
    more = DOCUMENT.replace(
        '<network physical="vnic0"/>', '<network physical="vnic0" vlan-id="3" mac-addr="2:8:20"/>'
    )
    for world in (omnios, worlds.create(tmp_path / "oi")):
        world.path("/etc/zones/z.xml").write_text(more)
    assert zonestore.load(omnios, "z").net[0] == Net("vnic0", mac_addr="2:8:20", vlan_id="3")
    with pytest.raises(StoreError, match="Invalid document"):
        zonestore.load(world, "z")
    omnios.close()
    world.close()


# -- many zones --------------------------------------------------------------------------------------------


def test_summaries_say_what_the_documents_say(zone: World) -> None:
    make = {
        "plain": '<zone name="plain" zonepath="/p" autoboot="false" brand="nlipkg" ip-type="exclusive"/>',
        "late": '<zone name="late" zonepath="/p" autoboot="false" brand="ipkg" pool="p" ip-type="exclusive">\n</zone>',
        "single": "<zone name='single' zonepath='/p' autoboot='false' brand='nlipkg'/>",
        "empty": '<zone name="empty" zonepath="/p" autoboot="false" brand=""/>',
        "broken": '<zone name="broken" zonepath="/p" autoboot="false" brand="ipkg">',
        "control": '<zone name="control" zonepath="/p" autoboot="false" brand="ipkg" pool="\x02"/>',
    }
    head = DOCUMENT.partition("<!-- made")[0]
    for name, text in make.items():
        zonestore.add_entry(zone, name, "/p")
        zone.path(f"/etc/zones/{name}.xml").write_text(f"{head}{text}\n")
    zonestore.add_entry(zone, "absent", "/p")
    found = zonestore.summaries(zone)
    for name in ("z", "plain", "late", "single", "empty"):
        config = zonestore.load(zone, name)
        assert found.pop(name) == (config.brand, config.ip_type)
    assert found == {}


def test_everything_compares_worlds_but_for_the_uuids(zone: World) -> None:
    configured = zonestore.everything(zone)
    zonestore.set_state(zone, "z", "incomplete")
    incomplete = zonestore.everything(zone)
    zonestore.set_state(zone, "z", "configured")
    assert zonestore.everything(zone) == configured != incomplete
    zonestore.set_state(zone, "z", "incomplete")
    assert zonestore.everything(zone) == incomplete
    zone.path("/etc/zones/z.xml").write_text(DOCUMENT.replace("rpool/data", "rpool/other"))
    assert zonestore.everything(zone) != incomplete
    zone.path("/etc/zones/z.xml").write_text("")
    assert "cannot be read: Invalid document" in str(zonestore.everything(zone))
