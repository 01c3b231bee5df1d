"""How a zone's links get their addresses: by DHCP if somebody answers, and nobody is waited for in vain."""

from __future__ import annotations

import pytest

from tests.conftest import GOLDEN
from tests.support import Lab
from zonemgr.errors import UsageError
from zonemgr.workflows import addresses, disposable, execute, furnish, life, modify, parts
from zonemgr.workflows.disposable import DisposableRequest
from zonemgr.workflows.furnish import AutoVnic, Wishes

ZONE = "build-1"


def make(lab: Lab, **words: str) -> disposable.Disposable:
    return disposable.create(lab.site(), DisposableRequest(**{"origin": GOLDEN, "zone": ZONE, **words}))


def shown(lab: Lab) -> dict[str, list[str]]:
    """What the zone's own ipadm shows: `type:address` by link."""
    words = "ipadm show-addr -p -o addrobj,type,addr > /root/seen"
    assert execute.in_zone(lab.site(), ZONE, execute.Command(words, discard="off")).exit_code == 0
    found: dict[str, list[str]] = {}
    for line in lab.in_zone(ZONE, "/root/seen").read_text().splitlines():
        name, rest = line.split(":", 1)
        found.setdefault(name.partition("/")[0], []).append(rest.replace("\\:", ":"))
    return found


def attr(lab: Lab) -> str:
    return lab.run("zonecfg", "-z", ZONE, "info", "attr", "name=zonemgr.autovnic")


def boot_again(lab: Lab) -> None:
    life.halt(lab.site(), ZONE)
    life.start(lab.site(), ZONE)


# -- the form ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fixed", "by_dhcp", "found"),
    [
        ("net0", ("net0", "", ""), True, ()),
        ("net0|12", ("net0", "12", ""), True, ()),
        ("net0||2:8:20:1:2:4", ("net0", "", "2:8:20:1:2:4"), True, ()),
        ("net0|dhcp=no", ("net0", "", ""), False, ()),
        ("net0|dhcp=yes", ("net0", "", ""), True, ()),
        ("net0|address=192.0.2.5/24", ("net0", "", ""), False, ("192.0.2.5/24",)),
        (
            "net0|12|2:8:20:1:2:4|address=192.0.2.5/24",
            ("net0", "12", "2:8:20:1:2:4"),
            False,
            ("192.0.2.5/24",),
        ),
        ("net0|dhcp=yes|address=2001:DB8:0::5/64", ("net0", "", ""), True, ("2001:db8::5/64",)),
        (
            "net0|address=192.0.2.5/24|address=2001:db8::5/64",
            ("net0", "", ""),
            False,
            ("192.0.2.5/24", "2001:db8::5/64"),
        ),
        ("net0|address=192.0.2.0/31", ("net0", "", ""), False, ("192.0.2.0/31",)),
    ],
)
def test_the_form_is_understood_recorded_and_recalled(
    text: str, fixed: tuple[str, str, str], by_dhcp: bool, found: tuple[str, ...]
) -> None:
    vnic = AutoVnic.parse(text, "zm1_0")
    assert (vnic.over, vnic.vlan, vnic.mac) == fixed
    assert (vnic.addressing.by_dhcp, vnic.addressing.addresses) == (by_dhcp, found)
    assert AutoVnic.recall(str(vnic)) == vnic
    link = addresses.recall(vnic.inside)
    assert (link.name, link.dhcp) == ("zm1_0", by_dhcp)
    assert tuple(filter(None, (link.four, link.six))) == found


@pytest.mark.parametrize(
    "text", ["zm1_0|net0", "zm1_0|net0|12", "zm1_0|net0||2:8:20:1:2:4", "zm1_0|net0|12|2:8:20:1:2:4"]
)
def test_what_older_zones_have_recorded_means_dhcp(text: str) -> None:
    vnic = AutoVnic.recall(text)
    assert str(vnic) == text
    assert vnic.addressing.by_dhcp


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("net0|dhcp=maybe", "'dhcp=maybe' in"),
        ("net0|dhcp=no|dhcp=no", "'dhcp=no' in"),
        ("net0|router=192.0.2.1", "'router=192.0.2.1' in"),
        ("net0|address=192.0.2.5", "with the length of its prefix"),
        ("net0|address=192.0.2.5/255.255.255.0", "with the length of its prefix"),
        ("net0|address=192.0.2.300/24", "with the length of its prefix"),
        ("net0|address=fe80::1%net0/64", "with the length of its prefix"),
        ("net0|address=", "with the length of its prefix"),
        ("net0|address=192.0.2.0/24", "no address that a zone could have"),
        ("net0|address=192.0.2.255/24", "no address that a zone could have"),
        ("net0|address=127.0.0.1/8", "no address that a zone could have"),
        ("net0|address=ff02::1/64", "no address that a zone could have"),
        ("net0|address=192.0.2.5/24|address=192.0.2.6/24", "two addresses of one kind"),
        ("net0|dhcp=yes|address=192.0.2.5/24", "DHCP and an IPv4 address"),
        ("net0|1|2:8:20:1:2:4|more", "more parts than there are"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        furnish.parse(Wishes(over=text), tag="1")


def test_an_address_goes_to_one_link_and_all_that_is_said_fits_into_an_attr() -> None:
    with pytest.raises(UsageError, match=r"the address 192\.0\.2\.5 is named twice"):
        furnish.parse(Wishes(over="net0|address=192.0.2.5/24 net0|address=192.0.2.5/25"), tag="1")
    one = "net0|address=2001:db8:1111:2222:3333:4444:5555:{}/64"
    with pytest.raises(UsageError, match="cannot record 5 VNICs"):
        furnish.parse(Wishes(over=" ".join(one.format(n) for n in range(1, 6))), tag="1")
    assert len(furnish.parse(Wishes(over=" ".join(one.format(n) for n in (1, 2, 3, 4))), tag="1").links) == 4


# -- on the host -----------------------------------------------------------------------------------------------------


def test_static_addresses_are_there_at_once_and_after_each_reboot(each_lab: Lab) -> None:
    each_lab.run("dladm", "create-etherstub", "stub0")
    before = each_lab.world.now()
    zone = make(each_lab, over="stub0|address=192.168.77.5/24|address=2001:db8::5/64")
    assert each_lab.world.now() - before < addresses.PATIENCE
    assert each_lab.report.warnings == []
    [vnic] = zone.furniture.auto_vnics
    for _ in range(2):
        found = shown(each_lab)[vnic.name]
        assert "static:192.168.77.5/24" in found and "static:2001:db8::5/64" in found
        assert not any(one.startswith("dhcp") for one in found)
        boot_again(each_lab)
    assert str(vnic) in attr(each_lab)
    each_lab.run("zoneadm", "-z", ZONE, "halt")
    each_lab.run("dladm", "delete-vnic", vnic.name)  # as a reboot of the host would
    assert parts.remake_vnics(each_lab.door(), ZONE) == [vnic.name]
    life.start(each_lab.site(), ZONE)
    assert "static:192.168.77.5/24" in shown(each_lab)[vnic.name]


def test_links_that_nobody_answers_on_are_waited_for_side_by_side_and_named(each_lab: Lab) -> None:
    """One that is made for the zone, two that it is handed; a fourth gets an address."""
    each_lab.run("dladm", "create-vnic", "-t", "-l", "net0", "mine0")
    each_lab.run("dladm", "create-vnic", "-l", "net0", "mine1")
    each_lab.run("dladm", "create-vnic", "-l", "net0", "mine2")
    make(each_lab, zone="usual")
    usual = each_lab.world.now()
    make(each_lab, zone="usual-2")
    usual = each_lab.world.now() - usual
    for name in ("net0", "mine0", "mine1"):
        each_lab.world.put(f"dhcp.{name}", "none")
    each_lab.world.put("dhcp.mine2", "yes")
    before = each_lab.world.now()
    zone = make(each_lab, over="net0", vnics="mine0 mine1 mine2")
    [made] = zone.furniture.auto_vnics
    took = each_lab.world.now() - before - usual
    assert took < addresses.PATIENCE + 8, "three links in the time of one, and two minutes for none"
    told = [line for line in each_lab.report.warnings if "no DHCP server has answered" in line]
    assert [line.split(" on ")[1].split(" in ")[0] for line in told] == ["mine0", "mine1", made.name]
    assert all("dhcp=no" in line for line in told)
    assert {name for name, rows in shown(each_lab).items() if "dhcp:?" in rows} == {
        "mine0",
        "mine1",
        made.name,
    }
    # Nobody goes on waiting at later boots either.
    before = each_lab.world.now()
    boot_again(each_lab)
    assert each_lab.world.now() - before < addresses.PATIENCE


def test_on_an_etherstub_nobody_waits_and_silence_can_be_had(each_lab: Lab) -> None:
    each_lab.run("dladm", "create-etherstub", "stub0")
    before = each_lab.world.now()
    zone = make(each_lab, over="stub0 stub0|dhcp=no")
    assert each_lab.world.now() - before < addresses.PATIENCE
    asking, silent = (vnic.name for vnic in zone.furniture.auto_vnics)
    [told] = each_lab.report.warnings
    assert f"{asking} has no address yet: it lies over an etherstub" in told
    found = shown(each_lab)
    assert found[asking] == ["dhcp:?"]
    assert silent not in found
    names = [path.name for path in each_lab.in_zone(ZONE, "/etc").iterdir()]
    assert [name for name in names if name.endswith(silent)] == []
    assert each_lab.in_zone(ZONE, f"/etc/dhcp.{asking}").read_text() == "wait 0\n"
    each_lab.world.put("dhcp.stub0", "yes")
    boot_again(each_lab)
    assert shown(each_lab)[asking][0].startswith("dhcp:10.200.")


def test_modify_gives_a_link_with_an_address_and_looks_for_one_by_dhcp(lab: Lab) -> None:
    lab.run("dladm", "create-etherstub", "stub0")
    lab.world.put("dhcp", "none")
    make(lab)
    modify.modify(lab.site(), ZONE, Wishes(over="stub0|address=192.168.77.5/24 net0"), restart=True)
    static, silent = (f"{word}" for word in sorted(name for name in shown(lab) if name.startswith("zm")))
    assert shown(lab)[static] == ["static:192.168.77.5/24"]
    assert shown(lab)[silent] == ["dhcp:?"]
    assert any(f"no DHCP server has answered on {silent} " in line for line in lab.report.warnings)
    assert "stub0|address=192.168.77.5/24" in attr(lab).replace("||", "|")
