"""sysding, OpenIndiana's first-boot configuration (docs/illumos.md: First boot)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.byhand import Hand, make, passes
from zonemgr.lab import place, smf

MULTI, SERVER = "svc:/milestone/multi-user:default", "svc:/milestone/multi-user-server:default"
SYSDING = "svc:/system/sysding:system"


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return make(tmp_path)


def configured(hand: Hand, conf: str) -> Path:
    root = hand.installed("z")
    (root / "etc/sysding.conf").write_text(conf)
    return root


def test_sysding_without_a_file_only_finishes(hand: Hand) -> None:
    root = hand.installed("z")
    (root / "etc/.UNCONFIGURED").touch()
    assert "root::" in (root / "etc/shadow").read_text()
    hand.boots("z")
    passes(hand, until=SERVER)
    assert "root:NP:" in (root / "etc/shadow").read_text()
    assert not (root / "etc/.UNCONFIGURED").exists()
    (root / "etc/sysding.conf").write_text("setup_user_account late 200 10 Late /export/home/late /bin/sh\n")
    hand.halts("z")
    hand.boots("z")
    passes(hand, until=SERVER)
    assert "late" not in (root / "etc/passwd").read_text()  # it never looks again


def test_sysding_does_what_its_file_says(hand: Hand) -> None:
    root = configured(
        hand,
        "# accounts\n"
        "setup_user_account dev 200 10 'A developer' /export/home/dev /usr/bin/bash\n"
        "setup_user_password dev '$6$abc$def/ghi'\n"
        "setup_user_password root '$5$xyz$123'\n"
        "setup_interface PRIMARY v4 10.0.0.5/24\n"
        "setup_route default 10.0.0.1\n"
        'setup_ns_dns example.org "example.org other.org" "10.0.0.2 10.0.0.3"\n'
        "/usr/sbin/usermod -P'Primary Administrator' dev\n"
        "usermod -d /x nosuch\nsetup_aggregate a0 active L4 e0 e1\nsetup_zpool tank c1t0d0\n",
    )
    hand.world.db.execute(
        "insert into links (name, class, over, mac, zone) values ('v0', 'vnic', 'net0', '2:8:20:1:2:3', 'z')"
    )
    hand.boots("z")
    passes(hand, until=SERVER)
    assert "dev:x:200:10:A developer:/export/home/dev:/usr/bin/bash\n" in (root / "etc/passwd").read_text()
    shadow = (root / "etc/shadow").read_text()
    assert "dev:$6$abc$def/ghi:::::::\n" in shadow
    assert "root:$5$xyz$123:" in shadow
    assert "_aobjname=v0/v4;_ipv4addr=10.0.0.5/24;" in (root / "etc/ipadm/ipadm.conf").read_text()
    assert (root / "etc/resolv.conf").read_text().splitlines()[1:3] == [
        "search example.org other.org",
        "nameserver 10.0.0.2",
    ]
    assert "hosts:      files dns" in (root / "etc/nsswitch.conf").read_text()
    assert (root / "etc/inet/static_routes-DefaultFixed").read_text() == "default 10.0.0.1\n"
    assert "dev::::type=normal;profiles=Primary Administrator\n" in (root / "etc/user_attr").read_text()
    log = (root / "var/log/sysding.log").read_text()
    # What fails is in the log, and the service goes on.
    assert "UX: usermod: ERROR: nosuch does not exist." in log
    assert "invalid LACP mode active" in log
    assert "cannot create 'tank': permission denied" in log
    assert hand.state("z", SYSDING) == "online"
    assert (root / "etc/sysding.conf").stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize(
    "line",
    [
        "for i in 1 2; do echo $i; done",
        "setup_vlan v0 7 net0",
        "setup_ipmp ipmp0 net0 net1 10.0.0.5",
        "setup_zfs rpool/given/home",
        "setup_nfs4domain example.org",
        "svcadm disable network/ssh",
        "useradd -e 1/1/30 late",
        "setup_user_acount dev 200 10 Dev /home/dev /bin/sh",
    ],
)
def test_what_the_lab_cannot_do_fails_the_service(hand: Hand, line: str) -> None:
    """Passing over it would say that a zone was set up which was not."""
    root = configured(
        hand, f"setup_user_account dev 200 10 Dev /home/dev /bin/sh\n{line}\nsetup_timezone Europe/Berlin\n"
    )
    hand.boots("z")
    passes(hand, until=SERVER)
    assert hand.state("z", SYSDING) == "maintenance"
    for name in ("var/log/sysding.log", "var/svc/log/system-sysding:system.log"):
        assert f"lab: not emulated: {line}" in (root / name).read_text()
    assert "dev:x:200" in (root / "etc/passwd").read_text()  # what came before it was done
    assert "Berlin" not in (root / "etc/default/init").read_text()
    assert "method failed" in hand("svcs -z z -xv").stdout.lower() or "sysding" in hand("svcs -z z -x").stdout
    # Mended and cleared, it runs again.
    (root / "etc/sysding.conf").write_text("setup_user_account ada 201 10 Ada /home/ada /bin/sh\n")
    hand.out(f"svcadm -z z clear {SYSDING}")
    passes(hand, until=SYSDING)
    assert "ada:x:201" in (root / "etc/passwd").read_text()


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [("NP", "$6$a$b", "$6$a$b"), ("$6$a.b$c", "$6$n$n", "$6$a.b$c"), ("NP", "$6$a,b", "NP")],
)
def test_sysding_sets_passwords_with_an_editor(hand: Hand, old: str, new: str, result: str) -> None:
    root = configured(hand, f"setup_user_password dev '{new}'\n")
    with (root / "etc/shadow").open("a") as shadow:
        shadow.write(f"dev:{old}:::::::\n")
    hand.boots("z")
    passes(hand, until=SERVER)
    assert f"dev:{result}:::::::\n" in (root / "etc/shadow").read_text()


def test_an_address_on_a_temporary_vnic_fails_quietly(hand: Hand) -> None:
    root = configured(hand, "setup_interface v0 dhcp dhcp\n")
    hand.world.db.execute(
        "insert into links (name, class, over, zone, temporary) values ('v0', 'vnic', 'net0', 'z', 1)"
    )
    hand.boots("z")
    passes(hand, until=SERVER)
    assert "v0" not in (root / "etc/ipadm/ipadm.conf").read_text()
    assert "Persistent operation on temporary object" in (root / "var/log/sysding.log").read_text()


def test_a_time_zone_asks_for_a_reboot(hand: Hand) -> None:
    root = configured(hand, "setup_timezone Europe/Berlin\n")
    hand.boots("z")
    hand.world.advance(1)
    assert smf.settle_zone(hand.world, "z")
    assert "TZ=Europe/Berlin\n" in (root / "etc/default/init").read_text()
    where = place.of_zone(hand.world, "z")
    assert where is not None
    assert [smf.state(where, each) for each in (SYSDING, MULTI)] == ["offline", "offline"]
    hand.halts("z")
    hand.boots("z")
    hand.world.advance(1)
    assert not smf.settle_zone(hand.world, "z")
    assert hand.state("z", SERVER) == "online"


def test_an_unknown_time_zone_becomes_utc(hand: Hand) -> None:
    root = configured(hand, "setup_timezone Nowhere/Land\n")
    hand.boots("z")
    hand.world.advance(1)
    assert smf.settle_zone(hand.world, "z")
    assert "TZ=UTC\n" in (root / "etc/default/init").read_text()
    assert "log_error: not found" in (root / "var/log/sysding.log").read_text()


def test_omnios_has_no_sysding(tmp_path: Path) -> None:
    hand = make(tmp_path, "omnios")
    root = configured(hand, "setup_user_account dev 200 10 Dev /home/dev /bin/sh\n")
    hand.boots("z")
    passes(hand, until=SERVER)
    assert "dev" not in (root / "etc/passwd").read_text().split(":")
    assert hand("svcs -z z sysding:system").exit_code == 1


def test_sysding_runs_at_its_next_start_not_when_its_property_changes(hand: Hand) -> None:
    root = configured(hand, "setup_timezone Europe/Berlin\n")
    smf.set_property(root, SYSDING, "config/finished", "true", type="boolean")
    hand.boots("z")
    passes(hand, until=SERVER)
    smf.set_property(root, SYSDING, "config/finished", "false")
    hand.out(f"svcadm -z z refresh {SYSDING}")
    hand.world.advance(1)
    assert not smf.settle_zone(hand.world, "z")
    assert "Berlin" not in (root / "etc/default/init").read_text()
    hand.halts("z")
    hand.boots("z")
    hand.world.advance(1)
    assert smf.settle_zone(hand.world, "z")
    assert "TZ=Europe/Berlin\n" in (root / "etc/default/init").read_text()


@pytest.mark.parametrize(
    ("conf", "waited"),
    [
        ("setup_interface v0 v4 dhcp\nsetup_interface v1 v4 dhcp\n", 240),  # no -w, one after the other
        ("/usr/sbin/ipadm create-addr -T dhcp -w 10 v0/v4\nipadm create-addr -T dhcp -w 5 v1/v4\n", 15),
        (
            "ipadm create-if v0\nipadm create-addr -T dhcp -w 0 v0/v4\nipadm create-addr -T dhcp -w 0 v1/v4\n",
            0,
        ),
    ],
)
def test_sysding_waits_for_dhcp_servers_and_the_boot_for_sysding(
    hand: Hand, conf: str, waited: float
) -> None:
    from zonemgr.lab.smf import repository
    from zonemgr.lab.smf.states import PACE, Machine

    root = configured(hand, conf)
    hand.world.db.execute(
        "insert into links (name, class, over, mac, zone) values ('v0', 'vnic', 'net0', '2:8:20:1:2:3', 'z'),"
        " ('v1', 'vnic', 'net0', '2:8:20:1:2:4', 'z')"
    )
    hand.boots("z")

    def seconds() -> float:
        where = place.of_zone(hand.world, "z")
        assert where is not None
        return (Machine(where, repository.at(where)).online_at(MULTI) - where.booted) / PACE[where.latency]

    usual = seconds()
    hand.world.put("dhcp", "none")
    assert seconds() == pytest.approx(usual + waited)
    passes(hand, until=SERVER)
    kept = (root / "etc/ipadm/ipadm.conf").read_text()
    assert kept.count("_dhcp=") == 2
    where = place.of_zone(hand.world, "z")
    assert where is not None
    from zonemgr.lab import ipconf

    assert [row[:4] for row in ipconf.shown(where, where.links)][1:3] == [
        ("v0/v4", "dhcp", "ok", "?"),
        ("v1/v4", "dhcp", "ok", "?"),
    ]


def test_sysding_runs_ipadm_for_static_addresses(hand: Hand) -> None:
    root = configured(
        hand,
        "ipadm create-addr -T static -a 10.0.0.5/24 v0/v4\nipadm create-addr -T addrconf v0/v6\n"
        "ipadm create-addr -T static -a local=2001:db8::5/64 v0/v6a\nipadm create-if nosuch0\n"
        "ipadm set-ifprop -p mtu=1400 v0\n",
    )
    hand.world.db.execute("insert into links (name, class, over, zone) values ('v0', 'vnic', 'net0', 'z')")
    hand.boots("z")
    passes(hand, until=SERVER)
    kept = (root / "etc/ipadm/ipadm.conf").read_text()
    assert "_ipv4addr=10.0.0.5/24" in kept
    assert "_ipv6addr=2001:db8::5/64" in kept
    log = (root / "var/log/sysding.log").read_text()
    assert "lab: not emulated: ipadm set-ifprop" in log
    assert "ipadm: Could not create nosuch0 : Could not open DLPI link" in log
