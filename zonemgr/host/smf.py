"""SMF: whether a zone's services are up, and why not.

See docs/illumos.md: SMF. `svcs -z` asks from the global zone; while a zone boots, or reboots itself once (sysding),
it cannot answer, which is no failure yet.
"""

from __future__ import annotations

import re
import shlex

from zonemgr.errors import ZonemgrError
from zonemgr.host import zoneadm
from zonemgr.host.door import Completed, Host
from zonemgr.model import ZoneName, ZoneState

SINGLE_USER = "svc:/milestone/single-user:default"
MULTI_USER = "svc:/milestone/multi-user:default"
MULTI_USER_SERVER = "svc:/milestone/multi-user-server:default"

# What svcs or zlogin say of a zone that is on its way up, or reboots itself.
NO_ANSWER = (
    r"Could not bind to repository|doesn't match any instances|invalid zone|login allowed only to running|"
    r"cannot login to a zone"
)
_SHORTEST, _LONGEST = 0.05, 1.0  # seconds between two looks
# Seconds without an answer after which the zone's state is looked at, and in state installed after which it
# is over: a zone that reboots itself is installed for a moment.
_UNEASY, _OVER = 3.0, 8.0


def state(host: Host, zone: ZoneName, fmri: str) -> str | None:
    """`online`, `offline`, `maintenance`, …, with `*` while it changes; None when nobody can tell (yet)."""
    return _answer(_svcs(host, zone, "-H", "-o", "state", fmri), zone)


def _answer(found: Completed, zone: ZoneName) -> str | None:
    if found.exit_code == 0:
        return found.stdout.strip() or None
    if re.search(NO_ANSWER, found.stderr):
        return None
    raise found.error(zoneadm.hint(found.stderr, zone))


def _svcs(host: Host, zone: ZoneName, *words: str) -> Completed:
    """svcs about a zone. `svcs -z` needs root, as the zone's repository lies below its zonepath (mode
    0700), and no rights profile has it; who works with pfexec asks inside, which Zone Management allows.
    """
    if not host.elevate:
        return host.ask("svcs", "-z", zone, *words, ok=(0, 1))
    return host.ask("zlogin", "-S", zone, shlex.join(("/usr/bin/svcs", *words)), ok=(0, 1), elevated=True)


def wait_for(host: Host, zone: ZoneName, fmri: str, limit: float) -> float:
    """Wait until a service of a booted zone is online; the seconds it took.

    Raises ZonemgrError with what svcs has to say when the service needs maintenance, the zone is down
    again, or `limit` seconds have passed. Time counts as the pauses plus what the questions took, so a
    lab's clock serves.
    """
    passed, nap = 0.0, _SHORTEST
    answered = 0.0  # when there was an answer last
    while not host.dry_run:
        asked = _svcs(host, zone, "-H", "-o", "state", fmri)
        passed += asked.seconds
        now = _answer(asked, zone)
        if now == "online":
            break
        if now == "maintenance":
            raise _trouble(host, zone, fmri, "needs maintenance")
        answered = passed if now else answered
        if passed - answered >= _UNEASY:
            _check_alive(host, zone, passed - answered)
        if passed >= limit:
            raise _trouble(host, zone, fmri, f"is {now or 'not there'} after {limit:g} seconds")
        host.pause(nap)
        passed, nap = passed + nap, min(nap * 1.5, _LONGEST)
    return passed


def _check_alive(host: Host, zone: ZoneName, silence: float) -> None:
    now = zoneadm.state(host, zone)
    if now in (ZoneState.CONFIGURED, ZoneState.INCOMPLETE) or (
        now == ZoneState.INSTALLED and silence >= _OVER
    ):
        raise ZonemgrError(
            f"zone {zone} went down while it booted; it is {now}", hint="see its console: zonemgr console"
        )


def _trouble(host: Host, zone: ZoneName, fmri: str, what: str) -> ZonemgrError:
    failure = ZonemgrError(f"{fmri} in zone {zone} {what}", hint=f"see: svcs -z {zone} -xv")
    explanation = explain(host, zone)
    if explanation:
        failure.add_note(explanation)
    return failure


def explain(host: Host, zone: ZoneName) -> str:
    """What `svcs -xv` says of services that do not run; empty when all is well or nobody can tell."""
    return _svcs(host, zone, "-xv").stdout.strip()
