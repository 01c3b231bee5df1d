"""Addresses that a zone has from its boot on: given by the global zone, or by its own old-style files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.zonehost import ZoneHost
from zonemgr.lab import ipconf, place, power, smf


@pytest.fixture
def host(tmp_path: Path) -> ZoneHost:
    """A halted zone with a lasting VNIC and a temporary one."""
    host = ZoneHost.fresh(tmp_path)
    host.must("dladm", "create-vnic", "-l", "net0", "web0")
    host.must("dladm", "create-vnic", "-t", "-l", "net0", "tmp0")
    host.install(
        "web", "set ip-type=exclusive; add net; set physical=web0; end; add net; set physical=tmp0; end"
    )
    return host


def addresses(host: ZoneHost) -> list[tuple[str, str, str, str]]:
    """Name, type, state and address of all but the loopback, as the zone has them."""
    where = place.of_zone(host.world, "web")
    assert where is not None
    shown = [row[:4] for row in ipconf.shown(where, where.links)]
    return [row for row in shown if not row[0].startswith("lo0")]


def protection(host: ZoneHost) -> str:
    return host.must("dladm", "show-linkprop", "-c", "-o", "value", "-p", "protection,allowed-ips", "web0")


def allow(host: ZoneHost, *given: str) -> None:
    host.must("zonecfg", "-z", "web", "remove net physical=web0")
    for address in given:
        host.must("zonecfg", "-z", "web", f"add net; set physical=web0; set allowed-address={address}; end")


def test_an_allowed_address_is_there_from_the_boot_on_and_the_link_protected(host: ZoneHost) -> None:
    allow(host, "10.0.0.5/16", "10.0.0.6")
    host.must("zoneadm", "-z", "web", "boot")
    assert addresses(host) == [
        ("web0/_a", "from-gz", "ok", "10.0.0.5/16"),
        ("web0/_b", "from-gz", "ok", "10.0.0.6/8"),
    ]
    assert protection(host).split() == ["ip-nospoof", "10.0.0.5,10.0.0.6"]
    host.must("zoneadm", "-z", "web", "halt")
    assert protection(host).split() == []


def test_a_protected_link_is_not_protected_again(host: ZoneHost) -> None:
    allow(host, "10.0.0.5/24")
    host.must("dladm", "set-linkprop", "-p", "protection=ip-nospoof", "web0")
    ended = host.run("zoneadm", "-z", "web", "boot")
    assert (ended.exit_code, ended.stderr.splitlines()) == (
        1,
        [
            "zone 'web': Protection is already set",
            "zone 'web': failed to add address: Invalid argument",
            "zoneadm: zone 'web': call to zoneadmd failed",
        ],
    )
    assert host.state("web") == "installed"
    host.must("dladm", "reset-linkprop", "-p", "protection,allowed-ips", "web0")
    host.must("zoneadm", "-z", "web", "boot")


def test_protection_ends_with_the_power(host: ZoneHost) -> None:
    allow(host, "10.0.0.5/24")
    host.must("zoneadm", "-z", "web", "boot")
    power.reboot(host.world)
    assert protection(host).split() == []


def test_old_style_files_count_at_the_next_boot(host: ZoneHost) -> None:
    host.must("zoneadm", "-z", "web", "boot")
    etc = host.path("/zones/web/root/etc")
    (etc / "hostname.web0").write_text("10.1.2.3/24\n")
    (etc / "hostname.tmp0").touch()
    (etc / "dhcp.tmp0").touch()
    assert addresses(host) == []
    host.must("zoneadm", "-z", "web", "reboot")
    web, temporary = addresses(host)
    assert web == ("web0/_a", "static", "ok", "10.1.2.3/24")
    assert temporary[:3] == ("tmp0/?", "dhcp", "ok")  # ifconfig had it got: ipmgmtd has no name for it
    assert temporary[3].startswith("10.200.")
    (etc / "hostname.web0").unlink()
    assert web in addresses(host)
    host.must("zoneadm", "-z", "web", "reboot")
    assert addresses(host) == [temporary]


def test_ipv6_addresses_come_from_a_file_of_their_own(host: ZoneHost) -> None:
    etc = host.path("/zones/web/root/etc")
    (etc / "hostname6.tmp0").write_text("addif 2001:db8::5/64 up\naddif 2001:db8::6/64\nnonsense here\n")
    host.must("zoneadm", "-z", "web", "boot")
    found = addresses(host)
    assert [row[:3] for row in found] == [
        ("tmp0/?", "addrconf", "ok"),
        ("tmp0/_a", "static", "ok"),
        ("tmp0/_b", "static", "down"),
    ]
    assert [row[3] for row in found[1:]] == ["2001:db8::5/64", "2001:db8::6/64"]


def seconds_to_multi_user(host: ZoneHost) -> float:
    """On the lab's clock, in seconds of an ordinary boot."""
    from zonemgr.lab.smf import repository
    from zonemgr.lab.smf.services import MULTI_USER
    from zonemgr.lab.smf.states import PACE, Machine

    where = place.of_zone(host.world, "web")
    assert where is not None
    return (Machine(where, repository.at(where)).online_at(MULTI_USER) - where.booted) / PACE[where.latency]


@pytest.mark.parametrize(
    ("files", "silent", "waited"),
    [
        ({"tmp0": "", "web0": ""}, "", 0),
        ({"tmp0": "", "web0": ""}, "tmp0", 120),  # the first by name is the primary one
        ({"tmp0": "", "web0": ""}, "web0", 0),
        ({"tmp0": "", "web0": ""}, "tmp0 web0", 120),
        ({"tmp0": "wait 0", "web0": ""}, "tmp0 web0", 0),
        ({"tmp0": "wait 30", "web0": "wait 50"}, "tmp0 web0", 30),
        ({"tmp0": "", "web0": "wait 5 primary"}, "tmp0 web0", 5),
    ],
)
def test_a_boot_waits_for_the_address_of_the_primary_interface_and_goes_on(
    host: ZoneHost, files: dict[str, str], silent: str, waited: float
) -> None:
    host.must("zoneadm", "-z", "web", "boot")
    host.world.advance(60)  # its manifests are imported
    assert not smf.settle_zone(host.world, "web")
    host.must("zoneadm", "-z", "web", "halt")
    usual = seconds_to_multi_user_of(host, {}, "")
    assert seconds_to_multi_user_of(host, files, silent) == pytest.approx(usual + waited, abs=0.5)
    shown = {name: address for name, kind, _, address in addresses(host) if kind == "dhcp"}
    assert set(shown) == {f"{name}/?" for name in files}
    silent_ones = {f"{name}/?" for name in files if name in silent.split()}
    assert {name for name, address in shown.items() if address == "?"} == silent_ones


def seconds_to_multi_user_of(host: ZoneHost, files: dict[str, str], silent: str) -> float:
    for name, text in files.items():
        (host.path("/zones/web/root/etc") / f"hostname.{name}").touch()
        (host.path("/zones/web/root/etc") / f"dhcp.{name}").write_text(text)
    for name in silent.split():
        host.world.put(f"dhcp.{name}", "none")
    host.must("zoneadm", "-z", "web", "boot")
    found = seconds_to_multi_user(host)
    if not files:
        host.must("zoneadm", "-z", "web", "halt")
    return found


@pytest.mark.parametrize(
    ("text", "address", "state"),
    [
        ("10.1.2.3 netmask 255.255.0.0\n", "10.1.2.3/16", "ok"),
        ("inet 10.1.2.3 netmask + up\naddif 10.1.2.4/24\n", "10.1.2.3/8", "ok"),
        ("10.1.2.3/24\n\n10.1.2.4/24 up\n", "10.1.2.3/24", "down"),
        ("buildhost\n", "192.168.7.9/24", "ok"),
    ],
)
def test_a_file_of_one_line_comes_up_by_itself(host: ZoneHost, text: str, address: str, state: str) -> None:
    with host.path("/zones/web/root/etc/inet/hosts").open("a") as hosts:
        hosts.write("192.168.7.9\tbuildhost\n")
    host.path("/zones/web/root/etc/hostname.web0").write_text(text)
    host.must("zoneadm", "-z", "web", "boot")
    assert ("web0/_a", "static", state, address) in addresses(host)


def test_a_file_overrides_what_ipadm_keeps_and_loses_to_the_global_zone(host: ZoneHost) -> None:
    etc = host.path("/zones/web/root/etc")
    kept = "_ifname=web0;_families=2,26;\n_ifname=web0;_aobjname=web0/v4;_ipv4addr=10.3.3.3/24;up=yes;\n"
    (etc / "ipadm/ipadm.conf").write_text(kept)
    (etc / "hostname.web0").write_text("10.1.2.3/24\n")
    host.must("zoneadm", "-z", "web", "boot")
    assert addresses(host) == [("web0/_a", "static", "ok", "10.1.2.3/24")]
    host.must("zoneadm", "-z", "web", "halt")
    allow(host, "10.0.0.5/24")
    host.must("zoneadm", "-z", "web", "boot")
    assert addresses(host) == [
        ("web0/v4", "static", "disabled", "10.3.3.3/24"),
        ("web0/_a", "from-gz", "ok", "10.0.0.5/24"),
    ]
    assert (etc / "ipadm/ipadm.conf").read_text() == kept


def test_a_planted_link_is_no_file_of_the_zone(host: ZoneHost) -> None:
    host.path("/export/secret").write_text("10.1.2.3/24\n")
    host.path("/zones/web/root/etc/hostname.web0").symlink_to(host.path("/export/secret"))
    host.must("zoneadm", "-z", "web", "boot")
    assert addresses(host) == []
