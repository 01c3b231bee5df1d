"""SMF: waiting for a zone's services without waiting for ever (docs/illumos.md: SMF)."""

from __future__ import annotations

from typing import Any

import pytest

from zonemgr.errors import CommandError, ZonemgrError
from zonemgr.host import smf
from zonemgr.model import ZoneName

Z = ZoneName("build-1")
ASK = f"svcs -z build-1 -H -o state {smf.MULTI_USER}"


@pytest.fixture(autouse=True)
def as_root(illumos: Any) -> None:
    """Root's questions: svcs -z needs its privilege."""
    illumos.host.elevate = ()


UNBOUND = "svcs: Could not bind to repository server for zone build-1: repository server unavailable\n"
NOT_YET = f"svcs: Pattern '{smf.MULTI_USER}' doesn't match any instances\n"


@pytest.mark.parametrize(
    ("out", "err", "status", "state"),
    [
        ("online\n", "", 0, "online"),
        ("offline*\n", "", 0, "offline*"),
        ("", UNBOUND, 1, None),
        ("", NOT_YET, 1, None),
    ],
)
def test_the_state_of_a_service(illumos: Any, out: str, err: str, status: int, state: str | None) -> None:
    illumos.answers(ASK, out, err, status)
    assert smf.state(illumos.host, Z, smf.MULTI_USER) == state


def test_another_failure_is_an_error(illumos: Any) -> None:
    illumos.answers(ASK, "", "svcs: out of memory\n", 1)
    with pytest.raises(CommandError, match="out of memory"):
        smf.state(illumos.host, Z, smf.MULTI_USER)


def test_waiting_until_online_asks_less_and_less_often(illumos: Any) -> None:
    illumos.answers(ASK, "", UNBOUND, 1, times=2)
    illumos.answers(ASK, "", NOT_YET, 1)
    illumos.answers(ASK, "offline\n", times=10)
    illumos.answers(ASK, "online*\n")
    illumos.answers(ASK, "online\n")
    took = smf.wait_for(illumos.host, Z, smf.MULTI_USER, limit=60)
    assert illumos.waited[:3] == pytest.approx([0.05, 0.075, 0.1125])
    assert illumos.waited[-1] == 1.0
    assert took == pytest.approx(sum(illumos.waited), abs=2)


def test_maintenance_is_not_waited_for(illumos: Any) -> None:
    illumos.answers(ASK, "maintenance\n")
    illumos.answers("svcs -z build-1 -xv", "svc:/x (y)\n State: maintenance since now\n")
    with pytest.raises(ZonemgrError, match=r"multi-user.* needs maintenance") as failed:
        smf.wait_for(illumos.host, Z, smf.MULTI_USER, limit=60)
    assert "State: maintenance" in failed.value.__notes__[0]
    assert illumos.waited == []


def test_the_limit_says_what_svcs_knows(illumos: Any) -> None:
    illumos.answers(ASK, "offline\n", times=99)
    illumos.answers("svcs -z build-1 -xv", "svc:/network/dns (DNS)\n State: offline\n")
    with pytest.raises(ZonemgrError, match="is offline after 5 seconds") as failed:
        smf.wait_for(illumos.host, Z, smf.MULTI_USER, limit=5)
    assert failed.value.__notes__
    assert 5 <= sum(illumos.waited) < 7


def test_a_zone_that_reboots_itself_is_waited_for(illumos: Any) -> None:
    """sysding sets a time zone: the zone goes down for a moment and comes back with a new number."""
    illumos.answers(ASK, "", UNBOUND, 1, times=14)
    illumos.answers("zoneadm -z build-1 list -p", "-:build-1:installed:/z/build-1:u:ipkg:excl\n", times=99)
    illumos.answers(ASK, "online\n")
    smf.wait_for(illumos.host, Z, smf.MULTI_USER, limit=60)
    assert any("zoneadm" in line for line in illumos.told)


@pytest.mark.parametrize("state", ["installed", "configured"])
def test_a_zone_that_went_down_is_not_waited_for(illumos: Any, state: str) -> None:
    illumos.answers(ASK, "", UNBOUND, 1, times=99)
    illumos.answers("zoneadm -z build-1 list -p", f"-:build-1:{state}:/z/build-1::ipkg:excl\n", times=99)
    with pytest.raises(ZonemgrError, match=f"went down while it booted; it is {state}"):
        smf.wait_for(illumos.host, Z, smf.MULTI_USER, limit=600)
    assert sum(illumos.waited) < 15


def test_a_dry_run_does_not_wait(illumos: Any) -> None:
    assert smf.wait_for(illumos.dry, Z, smf.MULTI_USER, limit=60) == 0
    assert illumos.told == []


def test_an_explanation_of_nothing_is_empty(illumos: Any) -> None:
    illumos.answers("svcs -z build-1 -xv", "")
    assert smf.explain(illumos.host, Z) == ""
