"""Data links as dladm of the 2022 gate has them (docs/illumos.md: Links and addresses)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab.byhand import Hand, in_zone, make
from zonemgr.lab import links, ofmt
from zonemgr.lab.inprocess import reboot


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return make(tmp_path)


def names(hand: Hand) -> list[str]:
    return hand.out("dladm show-link -p -o link").split()


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("b0", True),
        ("b10", True),
        ("vnic12", True),
        ("a_b.c7", True),
        ("x" * 30 + "1", True),
        ("_0", True),
        ("b01", False),
        ("b00", False),
        ("build", False),
        ("b-1", False),
        ("0b1", False),
        ("b 1", False),
        ("é0", False),
    ],
)
def test_link_names(hand: Hand, name: str, good: bool) -> None:
    ended = hand.inside.run(["dladm", "create-vnic", "-l", "net0", name])
    assert ended.stderr == ("" if good else f"dladm: invalid link name '{name}'\n")
    assert ended.exit_code == (0 if good else 1)
    assert (name in names(hand)) == good


USED = "dladm create-vnic -l net0 -m 2:8:20:1:2:3 v0"


@pytest.mark.parametrize(
    ("before", "line", "text"),
    [
        ([USED], "dladm create-vnic -l net0 v0", "vnic creation over net0 failed: object already exists"),
        ([USED], "dladm create-etherstub v0", "etherstub creation failed: object already exists"),
        ([], "dladm create-vnic -l nosuch0 v0", "invalid link name 'nosuch0'"),
        ([], f"dladm create-vnic -l net0 {'x' * 31}0", f"link name too long '{'x' * 31}0'"),
        ([], f"dladm create-vnic -l {'x' * 40} v0", "link name too long"),
        ([], "dladm create-vnic -l net0 -v 0 v0", "invalid VLAN identifier '0'"),
        ([], "dladm create-vnic -l net0 -v 4095 v0", "invalid VLAN identifier '4095'"),
        ([], "dladm create-vnic -l net0 -v ten v0", "invalid VLAN identifier 'ten'"),
        ([], "dladm create-vnic -l net0 -v 5 -v 6 v0", "the option -v cannot be specified more than once"),
        (
            [],
            "dladm create-vnic -l net0 -v 1 v0",
            "VLAN over 'net0' may not use default_tag ID (see dladm(8))",
        ),
        ([], "dladm create-vnic -l net0 -f v0", "-f option can only be used with -v"),
        (
            [USED],
            "dladm create-vnic -l net0 -m 2:8:20:1:2:3 v1",
            "vnic creation over net0 failed: MAC address is already in use",
        ),
        (
            [USED],
            "dladm create-vnic -l net0 -m 02:08:20:01:02:03 v1",
            "vnic creation over net0 failed: MAC address is already in use",
        ),
        (
            [],
            "dladm create-vnic -l net0 -m 8:0:27:5c:1e:7 v1",
            "vnic creation over net0 failed: MAC address reserved for use by underlying data-link",
        ),
        (
            [],
            "dladm create-vnic -l net0 -m 3:8:20:1:2:3 v1",
            "vnic creation over net0 failed: invalid MAC address value",
        ),
        (
            [],
            "dladm create-vnic -l net0 -m 2:8:20 v1",
            "vnic creation over net0 failed: invalid MAC address length",
        ),
        ([], "dladm create-vnic -l net0 -m hello v1", "invalid MAC address"),
        ([], "dladm create-vnic -l net0 -m fixed v1", "'fixed' is not a valid MAC address"),
        (
            [],
            "dladm create-vnic -l net0 -m factory v1",
            "vnic creation over net0 failed: factory MAC address slots not supported",
        ),
        ([USED], "dladm create-vnic -l v0 v1", "vnic creation over v0 failed: invalid argument"),
        (
            ["dladm create-etherstub -t s0"],
            "dladm create-vnic -l s0 v1",
            "vnic creation over s0 failed: can't create persistent object on top of temporary object",
        ),
        ([], "dladm create-vnic -l net0 -p mtu=5 v1", "vnic creation over net0 failed: invalid value"),
        ([], "dladm delete-vnic nosuch0", "invalid link name 'nosuch0'"),
        ([], "dladm delete-vnic net0", "vnic deletion failed: invalid argument"),
        (["dladm create-etherstub s0"], "dladm delete-vnic s0", "'s0' is not a vnic"),
        ([USED], "dladm delete-etherstub v0", "'v0' is not an etherstub"),
        (
            ["dladm create-etherstub s0", "dladm create-vnic -l s0 v1"],
            "dladm delete-etherstub s0",
            "vnic deletion failed: link busy",
        ),
        ([USED, "ipadm create-if v0"], "dladm delete-vnic v0", "vnic deletion failed: link busy"),
        ([], "dladm show-vnic nosuch0", "invalid vnic name 'nosuch0': object not found"),
        ([], "dladm show-vnic -l nosuch0", "invalid link name 'nosuch0': object not found"),
        ([], "dladm show-link nosuch0", "link nosuch0 is not valid: object not found"),
        ([], "dladm show-link -p", "-p requires -o"),
        ([], "dladm show-link -p -o all", '"-o all" is invalid with -p'),
        ([], "dladm show-link -p -o link,speed", "unknown output field: `speed'"),
        ([], "dladm show-vnic -p", "output fields must be specified in parsable mode"),
        ([], "dladm show-linkprop nosuch0", "link nosuch0 is not valid: object not found"),
        ([], "dladm set-linkprop net0", "link property must be specified"),
    ],
)
def test_refusals_change_nothing(hand: Hand, before: list[str], line: str, text: str) -> None:
    for command in before:
        hand.out(command)
    was = hand.inside.everything()
    assert hand.refused(line) == f"dladm: {text}\n"
    assert hand.inside.everything() == was


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("dladm create-vnic v0", ""),
        ("dladm create-vnic -l net0", ""),
        ("dladm delete-vnic", ""),
        ("dladm bogus", "dladm: unknown subcommand 'bogus'\n"),
    ],
)
def test_usage_is_a_failure_with_exit_1(hand: Hand, line: str, complaint: str) -> None:
    assert hand.refused(line).startswith(f"{complaint}usage:  dladm <subcommand> <args> ...\n")


def test_options_are_read_as_getopt_does(hand: Hand) -> None:
    assert hand.refused("dladm create-vnic -x v0").startswith("dladm: unrecognized option '-x'\nusage:")
    assert hand.refused("dladm create-vnic v0 -l").startswith("dladm: option '-l' requires a value\nusage:")
    hand.out("dladm create-vnic v0 --link=net0 --temporary")  # any order, long names
    assert names(hand) == ["net0", "v0"]


@pytest.mark.parametrize(
    "line", ["dladm create-vnic -l net0 v1", "dladm create-etherstub s1", "dladm delete-vnic v0"]
)
def test_changes_need_privilege_and_questions_do_not(hand: Hand, line: str) -> None:
    hand.out("dladm create-vnic -l net0 v0")
    was = names(hand)
    assert hand.refused(line, user="jim").endswith("failed: permission denied\n")
    assert hand.out("dladm show-link -p -o link", user="jim").split() == was == ["net0", "v0"]


def test_what_is_not_emulated_says_so(hand: Hand) -> None:
    for line in (
        "dladm create-aggr -l net0 a0",
        "dladm rename-link net0 net1",
        "dladm show-link -s",
        "dladm create-vnic -R /a -l net0 v0",
    ):
        assert re.fullmatch(r"lab: dladm .* is not emulated\n", hand.refused(line))


def test_machine_output_escapes_only_between_fields(hand: Hand) -> None:
    hand.out("dladm create-vnic -l net0 -m 02:08:20:0a:0b:0c -v 7 v0")
    assert hand.out("dladm show-vnic -p -o link,macaddress,vid") == "v0:2\\:8\\:20\\:a\\:b\\:c:7\n"
    assert hand.out("dladm show-vnic -p -o macaddress v0") == "2:8:20:a:b:c\n"
    assert hand.out("dladm show-link -p -o link,bridge,over net0") == "net0::\n"


def test_tables_for_people(hand: Hand) -> None:
    hand.out("dladm create-vnic -t -l net0 -m 2:8:20:a:b:c build0")
    assert hand.out("dladm show-link") == (
        "LINK        CLASS     MTU    STATE    BRIDGE     OVER\n"
        "net0        phys      1500   up       --         --\n"
        "build0      vnic      1500   up       --         net0\n"
    )
    assert hand.out("dladm show-vnic") == (
        "LINK         OVER         SPEED    MACADDRESS        MACADDRTYPE         VID\n"
        "build0       net0         1000     2:8:20:a:b:c      fixed               0\n"
    )
    assert hand.out("dladm show-phys -p -o link,state") == "net0:up\n"
    assert hand.out("dladm show-etherstub") == ""


def test_omnios_shows_the_zone_of_a_link(tmp_path: Path) -> None:
    hand = make(tmp_path, "omnios")
    hand.out("dladm create-vnic -l net0 v0")
    hand.world.db.execute("update links set zone = 'web' where name = 'v0'")
    assert hand.out("dladm show-vnic -p -o link,zone") == "v0:web\n"
    assert hand.out("dladm show-vnic -p -o link -z global") == ""
    assert "ZONE" in hand.out("dladm show-vnic").splitlines()[0]


def test_an_unknown_column_is_left_out_for_people(hand: Hand) -> None:
    ended = hand("dladm show-link -o link,nosuch")
    assert (ended.exit_code, ended.stdout) == (0, "LINK\nnet0\n")
    assert ended.stderr == "dladm: warning: ignoring unknown output field: `nosuch'\n"


def test_a_host_reboot_takes_temporary_links_and_brings_back_kept_ones(hand: Hand) -> None:
    hand.out("dladm create-vnic -t -l net0 temp0")
    hand.out("dladm create-vnic -l net0 kept0")
    hand.out("dladm delete-vnic -t kept0")
    assert names(hand) == ["net0", "temp0"]
    assert hand.out("dladm show-vnic -P -p -o link").split() == ["kept0"]
    assert hand.refused("dladm create-vnic -l net0 kept0").endswith("object already exists\n")
    reboot(hand.world)
    assert names(hand) == ["net0", "kept0"]


def test_a_link_of_a_zone_stays_busy_until_it_is_given_back(hand: Hand) -> None:
    hand.out("dladm create-vnic -t -l net0 v0")
    hand.world.db.execute("update links set zone = 'build' where name = 'v0'")
    assert hand.refused("dladm delete-vnic -t v0") == "dladm: vnic deletion failed: link busy\n"
    assert hand.refused("dladm delete-vnic v0").endswith("link busy\n")
    links.release(hand.world, "build")
    hand.world.put("fault.vnic-busy", "2")
    assert [hand("dladm delete-vnic -t v0").exit_code for _ in range(3)] == [1, 1, 0]
    assert names(hand) == ["net0"]


def test_macs_are_invented_apart_and_without_leading_zeros(hand: Hand) -> None:
    for number in range(40):
        hand.out(f"dladm create-vnic -t -l net0 v{number}")
    macs = hand.out("dladm show-vnic -p -o macaddress").split()
    assert len(set(macs)) == 40
    assert all(re.fullmatch(r"2:8:20(:(0|[1-9a-f][0-9a-f]?)){3}", mac) for mac in macs)
    hand.out("dladm create-vnic -l net0 -m random -r 2:4:6 r0")
    assert hand.out("dladm show-vnic -p -o macaddress r0").startswith("2:4:6:")


def test_two_vlans_may_share_a_mac(hand: Hand) -> None:
    hand.out("dladm create-vnic -l net0 -m 2:8:20:1:2:3 -v 10 v0")
    hand.out("dladm create-vnic -l net0 -m 2:8:20:1:2:3 -v 11 v1")
    assert hand.out("dladm show-vnic -p -o link,vid").split() == ["v0:10", "v1:11"]


def test_link_properties_are_set_and_reset(hand: Hand) -> None:
    hand.out("dladm create-vnic -l net0 -p maxbw=100M v0")
    hand.out("dladm set-linkprop -p protection=ip-nospoof,dhcp-nospoof,allowed-ips=10.0.0.5/32,mtu=1400 v0")
    rows = hand.out(
        "dladm show-linkprop -c -o property,value -p maxbw,protection,allowed-ips,mtu v0"
    ).splitlines()
    assert rows == ["maxbw:100M", "protection:ip-nospoof,dhcp-nospoof", "allowed-ips:10.0.0.5/32", "mtu:1400"]
    assert hand.out("dladm show-link -p -o mtu v0") == "1400\n"
    hand.out("dladm reset-linkprop -p protection,allowed-ips v0")
    assert hand.out("dladm show-linkprop -c -o value -p protection,allowed-ips,maxbw v0") == "\n\n100M\n"
    hand.out("dladm reset-linkprop v0")
    assert hand.out("dladm show-linkprop -c -o value -p maxbw v0") == "\n"


@pytest.mark.parametrize(
    ("prop", "text"),
    [
        ("nosuch=1", "invalid link property 'nosuch'"),
        (
            "protection=all",
            "link property 'protection' must be one of: mac-nospoof,restricted,ip-nospoof,dhcp-nospoof",
        ),
        ("allowed-ips=x", "invalid link property 'x'"),
        ("mtu=", "no value specified for 'mtu'"),
        ("state=down", "cannot set link property 'state' on 'net0': read-only property"),
        (
            "promisc-filtered=off",
            "cannot set link property 'promisc-filtered' on 'net0': operation not supported",
        ),
    ],
)
def test_bad_properties_are_warned_of_with_exit_1(hand: Hand, prop: str, text: str) -> None:
    was = hand.inside.everything()
    assert hand.refused(f"dladm set-linkprop -p {prop} net0") == f"dladm: warning: {text}\n"
    assert hand.inside.everything() == was


def test_in_a_zone_only_its_own_links_are_seen(tmp_path: Path) -> None:
    (tmp_path / ".lab").mkdir()
    (tmp_path / ".lab/zone.json").write_text(
        '{"zone": "z", "links": [{"name": "v0", "class": "vnic", "over": "net0"}]}'
    )
    assert in_zone(tmp_path, "dladm show-link -p -o link,class").stdout == "v0:vnic\n"
    assert (
        in_zone(tmp_path, "dladm show-link net0").stderr
        == "dladm: link net0 is not valid: object not found\n"
    )
    refused = in_zone(tmp_path, "dladm delete-vnic v0")
    assert (refused.exit_code, refused.stderr) == (1, "lab: dladm delete-vnic in a zone is not emulated\n")


def test_libofmt_saves_the_width_of_what_was_too_long(hand: Hand) -> None:
    table = ofmt.Table([ofmt.Field("A", 4), ofmt.Field("B", 6), ofmt.Field("C", 4)])
    from zonemgr.lab.call import Call

    call = Call(hand.world, ["x"])
    table.show(call, [{"A": "abcdef", "B": "x", "C": "c"}])
    assert call.stdout.getvalue().decode() == "A   B     C\nabcdef x  c\n"  # type: ignore[attr-defined]  # a BytesIO
