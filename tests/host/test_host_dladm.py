"""dladm: links and VNICs (docs/illumos.md: Links and addresses)."""

from __future__ import annotations

from typing import Any

import pytest

from zonemgr.errors import AlreadyThere, CommandError, NotThere, UsageError, ZonemgrError
from zonemgr.host import dladm
from zonemgr.model import LinkName, LinkRow, VnicRow

V = LinkName("build0")


def test_links_with_what_they_lie_on(illumos: Any) -> None:
    illumos.answers(
        "dladm show-link -p -o link,class,over",
        "e1000g0:phys:\nstub0:etherstub:\nbuild0:vnic:e1000g0\naggr1:aggr:e1000g1 e1000g2\n",
    )
    assert dladm.links(illumos.host) == [
        LinkRow("e1000g0", "phys", ""),
        LinkRow("stub0", "etherstub", ""),
        LinkRow("build0", "vnic", "e1000g0"),
        LinkRow("aggr1", "aggr", "e1000g1 e1000g2"),
    ]


def test_colons_inside_a_field_are_escaped(illumos: Any) -> None:
    illumos.answers(
        "dladm show-vnic -p -o link,over,macaddress,vid",
        "build0:e1000g0:2\\:8\\:20\\:a\\:b\\:c:0\nx0:a\\\\:0\\:1:12\nz0:net0:2\\:8\\:20\\:a\\:b\\:d:\n",
    )
    assert dladm.vnics(illumos.host) == [
        VnicRow("build0", "e1000g0", "2:8:20:a:b:c"),
        VnicRow("x0", "a\\", "0:1", 12),
        VnicRow("z0", "net0", "2:8:20:a:b:d"),
    ]


def test_a_line_of_other_fields_is_an_error(illumos: Any) -> None:
    illumos.answers("dladm show-link -p -o link,class,over", "e1000g0:phys\n")
    with pytest.raises(ZonemgrError, match="2 fields instead of 3"):
        dladm.links(illumos.host)


@pytest.mark.parametrize(
    ("out", "err", "status", "there"),
    [
        ("build0\n", "", 0, True),
        ("", "dladm: invalid link name 'build0': object not found\n", 1, False),
        ("", "dladm: invalid link name 'build0'\n", 1, False),
    ],
)
def test_existence(illumos: Any, out: str, err: str, status: int, there: bool) -> None:
    illumos.answers("dladm show-link -p -o link build0", out, err, status)
    assert dladm.exists(illumos.host, V) is there


def test_existence_cannot_be_told_after_another_failure(illumos: Any) -> None:
    illumos.answers("dladm show-link -p -o link build0", "", "dladm: could not open /dev/dld\n", 1)
    with pytest.raises(CommandError):
        dladm.exists(illumos.host, V)


def test_a_temporary_vnic_with_vlan_and_address(illumos: Any) -> None:
    illumos.answers("pfexec dladm create-vnic -t -l net0 build0")
    illumos.answers("pfexec dladm create-vnic -t -l net0 -v 12 -m 2:8:20:a:b:c build0")
    dladm.create_vnic(illumos.host, V, over="net0")
    dladm.create_vnic(illumos.host, V, over="net0", vlan=12, mac="2:8:20:a:b:c")
    assert len(illumos.told) == 2


@pytest.mark.parametrize("how", [{"vlan": 0}, {"vlan": 4095}, {"mac": "random; rm"}, {"mac": "2:8:20"}])
def test_bad_vlans_and_addresses_are_refused_before(illumos: Any, how: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        dladm.create_vnic(illumos.host, V, over="net0", **how)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("dladm: vnic creation over net0 failed: object already exists", AlreadyThere),
        ("dladm: invalid link name 'net0'", NotThere),
        ("dladm: vnic creation over net0 failed: permission denied", CommandError),
        ("dladm: vnic creation over net0 failed: MAC address is already in use", CommandError),
    ],
)
def test_why_a_vnic_was_not_made(illumos: Any, said: str, error: type[ZonemgrError]) -> None:
    illumos.answers("pfexec dladm create-vnic -t -l net0 build0", "", said + "\n", 1)
    with pytest.raises(error) as failed:
        dladm.create_vnic(illumos.host, V, over="net0")
    assert failed.value.hint


def test_a_vnic_is_deleted_at_once(illumos: Any) -> None:
    illumos.answers("pfexec dladm delete-vnic -t build0")
    assert dladm.delete_vnic(illumos.host, V) is None
    assert illumos.waited == []


def test_a_vnic_that_is_gone_already_is_fine(illumos: Any) -> None:
    illumos.answers("pfexec dladm delete-vnic -t build0", "", "dladm: invalid link name 'build0'\n", 1)
    assert dladm.delete_vnic(illumos.host, V) is None


BUSY = "dladm: vnic deletion failed: link busy\n"


def test_a_busy_vnic_is_tried_again_for_a_while(illumos: Any) -> None:
    illumos.answers("pfexec dladm delete-vnic -t build0", "", BUSY, 1, times=2)
    illumos.answers("pfexec dladm delete-vnic -t build0")
    assert dladm.delete_vnic(illumos.host, V) is None
    assert illumos.waited == [0.25, 0.5]


def test_a_vnic_that_stays_busy_is_left_over(illumos: Any) -> None:
    tries = len(dladm.BUSY_PAUSES) + 1
    illumos.answers("pfexec dladm delete-vnic -t build0", "", BUSY, 1, times=tries)
    left = dladm.delete_vnic(illumos.host, V)
    assert left is not None
    assert str(left) == "VNIC build0 is left: it stays busy"
    assert left.hint == "dladm delete-vnic -t build0"
    assert illumos.waited == list(dladm.BUSY_PAUSES)


def test_any_other_refusal_is_an_error(illumos: Any) -> None:
    illumos.answers("pfexec dladm delete-vnic -t build0", "", "dladm: 'build0' is not a vnic\n", 1)
    with pytest.raises(CommandError, match="not a vnic"):
        dladm.delete_vnic(illumos.host, V)
