"""IP interfaces and addresses (docs/illumos.md: Links and addresses)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.byhand import Hand, in_zone, make


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    hand = make(tmp_path)
    hand.out("dladm create-vnic -l net0 -m 2:8:20:a:b:c v0")
    return hand


def addresses(hand: Hand) -> list[str]:
    return hand.out("ipadm show-addr -p -o addrobj,type,state,addr").split()


LO = ["lo0/v4:static:ok:127.0.0.1/8", "lo0/v6:static:ok:\\:\\:1/128"]


def died(hand: Hand, line: str, *, user: str = "root") -> str:
    """The real one's newline goes to stdout, its text to stderr."""
    ended = hand(line, user=user)
    assert (ended.exit_code, ended.stdout) == (1, "\n"), ended
    return ended.stderr


def test_a_static_address_plumbs_its_interface_and_is_kept(hand: Hand) -> None:
    hand.out("ipadm create-addr -T static -a 10.0.0.5/24 v0/v4")
    assert addresses(hand) == [LO[0], "v0/v4:static:ok:10.0.0.5/24", LO[1]]
    assert hand.out("ipadm show-if -p -o ifname,class,state").split() == ["lo0:VIRTUAL:ok", "v0:IP:ok"]
    kept = (hand.world.host / "etc/ipadm/ipadm.conf").read_text()
    assert kept == "_ifname=v0;_families=2,26;\n_ifname=v0;_aobjname=v0/v4;_ipv4addr=10.0.0.5/24;up=yes;\n"


def test_emptying_the_file_unconfigures(hand: Hand) -> None:
    hand.out("ipadm create-addr -T static -a local=10.0.0.5/24 v0/v4")
    (hand.world.host / "etc/ipadm/ipadm.conf").write_text("")
    assert addresses(hand) == LO


def test_dhcp_gets_an_address_from_the_mac(hand: Hand) -> None:
    hand.out("ipadm create-addr -T dhcp v0/dhcp")
    assert addresses(hand)[1] == "v0/dhcp:dhcp:ok:10.200.11.16/16"


@pytest.mark.parametrize(("words", "waited"), [("-w 1", 1), ("-w 0", 0), ("", 120)])
def test_dhcp_without_a_server_goes_on_in_the_background(hand: Hand, words: str, waited: float) -> None:
    from zonemgr.lab.smf.states import PACE

    hand.world.put("dhcp", "none")
    before = hand.world.now()
    ended = hand(f"ipadm create-addr -T dhcp {words} v0/dhcp")
    assert ended.exit_code == 0
    # With -w 0 nobody has waited, so there is nothing to warn of.
    assert ended.stderr == ("ipadm: warning: Communication with dhcpagent timed out\n" if waited else "")
    assert (hand.world.now() - before) // PACE[hand.world.latency] in (waited, waited + 1)
    assert addresses(hand)[1] == "v0/dhcp:dhcp:ok:?"
    hand.world.put("dhcp", "yes")  # somebody answers at last
    assert addresses(hand)[1].startswith("v0/dhcp:dhcp:ok:10.200.")


def test_nobody_answers_on_an_etherstub_unless_the_lab_is_told_so(hand: Hand) -> None:
    for line in ("create-etherstub stub0", "create-vnic -l stub0 v1", "create-vnic -l stub0 v2"):
        hand.out(f"dladm {line}")
    for name in ("v0", "v1", "v2"):
        hand.out(f"ipadm create-addr -T dhcp -w 0 {name}/v4")
    assert [line.rpartition(":")[2][:7] for line in addresses(hand)[1:-1]] == ["10.200.", "?", "?"]
    hand.world.put("dhcp.stub0", "yes")
    hand.world.put("dhcp.v2", "none")
    hand.world.put("dhcp.net0", "none")
    assert [line.rpartition(":")[2][:7] for line in addresses(hand)[1:-1]] == ["?", "10.200.", "?"]


def test_a_reboot_forgets_what_was_temporary(hand: Hand) -> None:
    from zonemgr.lab.inprocess import reboot

    hand.out("ipadm create-addr -t -T static -a 10.0.0.5 v0/a")
    assert addresses(hand)[1] == "v0/a:static:ok:10.0.0.5/8"  # the mask of its class
    reboot(hand.world)
    assert addresses(hand) == LO
    assert hand.out("ipadm show-if -p -o ifname").split() == ["lo0"]


@pytest.mark.parametrize(
    ("before", "line", "text"),
    [
        ([], "ipadm create-if nosuch0", "Could not create nosuch0 : Could not open DLPI link"),
        (["ipadm create-if v0"], "ipadm create-if v0", "Could not create v0 : Interface already exists"),
        ([], "ipadm create-if build", "Could not create build : Invalid argument provided"),
        ([], "ipadm delete-if v0", "Could not delete v0: Interface does not exist"),
        ([], "ipadm delete-addr v0/v4", "could not delete address: Object not found"),
        ([], "ipadm show-addr v0/v4", "Address object not found"),
        ([], "ipadm show-addr v0", "Invalid address object name provided"),
        ([], "ipadm show-addr -p", "-p requires -o"),
        (
            [],
            "ipadm create-addr -T static -a 10.0.0.300 v0/v4",
            "Error in setting local address: Invalid address",
        ),
        ([], "ipadm create-addr -T bogus v0/v4", "Invalid address type bogus"),
        ([], "ipadm create-addr -T dhcp -w soon v0/v4", "Invalid argument"),
        (
            [],
            "ipadm create-addr -T static -a fd00::5/64 v0/v6",
            "Could not create address: Can't assign requested address",
        ),
        (
            ["ipadm create-addr -T dhcp v0/x"],
            "ipadm create-addr -T dhcp v0/x",
            "Could not create address: Address object already exists",
        ),
    ],
)
def test_refusals_change_nothing(hand: Hand, before: list[str], line: str, text: str) -> None:
    for command in before:
        hand.out(command)
    was = hand.inside.everything()
    assert died(hand, line) == f"ipadm: {text}"
    assert hand.inside.everything() == was


def test_nothing_lasting_goes_on_top_of_a_temporary_link(hand: Hand) -> None:
    hand.out("dladm create-vnic -t -l net0 t0")
    assert (
        died(hand, "ipadm create-if t0")
        == "ipadm: Could not create t0 : Persistent operation on temporary object"
    )
    assert died(hand, "ipadm create-addr -T dhcp t0/x").endswith("Persistent operation on temporary object")
    hand.out("ipadm create-addr -t -T dhcp t0/x")
    assert hand.out("ipadm show-if -p -o ifname,persistent t0") == "t0:---\n"


def test_ipv6_needs_addrconf_first(hand: Hand) -> None:
    hand.out("ipadm create-addr -T addrconf v0/v6")
    hand.out("ipadm create-addr -T static -a fd00::5 v0/six")
    assert addresses(hand)[2] == "v0/six:static:ok:fd00\\:\\:5/64"


def test_a_link_that_a_zone_has_cannot_be_plumbed(hand: Hand) -> None:
    hand.world.db.execute("update links set zone = 'z' where name = 'v0'")
    assert died(hand, "ipadm create-if v0") == "ipadm: Could not create v0 : Interface already in use"


def test_without_the_authorisation_nothing_is_made(hand: Hand) -> None:
    assert (
        died(hand, "ipadm create-if v0", user="jim")
        == "ipadm: Could not create v0 : Insufficient user authorizations"
    )
    # Network Link Security is for dladm only; ipadm is a matter of Network Management.
    assert died(hand, "pfexec ipadm create-if v0", user="builder").endswith(
        "Insufficient user authorizations"
    )
    assert addresses(hand) == LO


def test_deleting_an_interface_takes_its_addresses(hand: Hand) -> None:
    hand.out("ipadm create-addr -T static -a 10.0.0.5/24 v0/v4")
    hand.out("ipadm delete-if v0")
    assert addresses(hand) == LO
    hand.out("dladm delete-vnic v0")


def zone(root: Path, **facts: object) -> None:
    (root / ".lab").mkdir()
    (root / ".lab/zone.json").write_text(json.dumps({"zone": "z", "links": [], **facts}))


def test_in_a_zone_an_address_from_the_global_zone_stands_fast(tmp_path: Path) -> None:
    zone(tmp_path, links=[{"name": "v0", "props": json.dumps({"_given": ["10.0.0.9/24"]})}])
    assert (
        "v0/_a:from-gz:ok:10.0.0.9/24"
        in in_zone(tmp_path, "ipadm show-addr -p -o addrobj,type,state,addr").stdout
    )
    given = "Operation not permitted on from-gz interface"
    for line, text in {
        "ipadm create-addr -T static -a 10.0.0.8 v0/x": f"Could not create address: {given}",
        "ipadm create-addr -T dhcp v0/x": "Could not create address: Can't assign requested address",
        "ipadm delete-addr v0/_a": f"could not delete address: {given}",
    }.items():
        ended = in_zone(tmp_path, line)
        assert (ended.exit_code, ended.stderr) == (1, f"ipadm: {text}")


def test_a_zone_borrows_its_link_with_the_flags_it_was_made_with(tmp_path: Path) -> None:
    zone(tmp_path, links=[{"name": "v0", "temporary": 1}, {"name": "v1"}])
    refused = in_zone(tmp_path, "ipadm create-addr -T dhcp v0/dhcp")
    assert refused.stderr == "ipadm: Could not create address: Persistent operation on temporary object"
    assert in_zone(tmp_path, "ipadm create-addr -t -T dhcp v0/dhcp").exit_code == 0
    assert in_zone(tmp_path, "ipadm create-addr -T dhcp v1/dhcp").exit_code == 0
    assert (tmp_path / "etc/ipadm/ipadm.conf").read_text().count("v1/dhcp") == 1


def test_a_planted_symlink_does_not_lead_out_of_the_root(tmp_path: Path) -> None:
    from zonemgr.lab.world import LabError

    root, outside = tmp_path / "root", tmp_path / "outside"
    for directory in (root / "etc", outside):
        directory.mkdir(parents=True)
    (root / "etc/ipadm").symlink_to(outside)
    zone(root, links=[{"name": "v0"}])
    with pytest.raises(LabError, match="symbolic link"):
        in_zone(root, "ipadm create-if v0")
    assert list(outside.iterdir()) == []


def test_a_zone_that_shares_the_host_s_stack_has_no_links(tmp_path: Path) -> None:
    zone(tmp_path, ip_type="shared", links=[{"name": "net0", "class": "phys"}])
    shown = in_zone(tmp_path, "dladm show-link")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr == "dladm: could not open /dev/dld: object not found\n"
    made = in_zone(tmp_path, "ipadm create-addr -T static -a 10.0.0.8/24 net0/v4")
    assert (made.exit_code, made.stderr) == (1, "ipadm: Could not create address: Could not open DLPI link")
