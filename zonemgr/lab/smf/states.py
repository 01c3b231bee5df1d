"""The state of each service at a given moment: from the boot, the dependencies and the repository."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zonemgr.lab.place import Place
from zonemgr.lab.smf.repository import Kept, Passing, Repository
from zonemgr.lab.smf.services import (
    CONSOLE_LOGIN,
    MANIFEST_IMPORT,
    PHYSICAL,
    SYSDING,
    Service,
    closure,
    known,
)

# What a second of an ordinary boot is in each latency profile, and what a first boot's import adds.
PACE = {"none": 1 / 16, "illumos": 1.0}
IMPORT = {"none": 0.2, "illumos": 16.0}
NEVER = math.inf


@dataclass(frozen=True)
class State:
    name: str
    next: str = ""  # the state a transition leads to, if one is under way
    since: float = 0.0


class Machine:
    """The services of a place at one moment."""

    def __init__(self, where: Place, repository: Repository) -> None:
        self.where, self.repository = where, repository
        self.known = known(zone=where.zone is not None, flavour=where.flavour)
        self.pace = PACE[where.latency]
        self._online: dict[str, float] = {}
        self._subgraph: set[str] | None = None

    # -- what there is ---------------------------------------------------------------------------------

    def imported(self) -> bool:
        return self.repository.imported or self.where.now >= self.online_at(MANIFEST_IMPORT)

    def services(self) -> dict[str, Service]:
        """What the repository has by now: before the import only what the seed had."""
        if self.imported():
            return self.known
        return {fmri: service for fmri, service in self.known.items() if service.seeded}

    def milestone(self) -> str:
        return self.repository.current or self.repository.milestone

    def enabled(self, fmri: str, *, for_good: bool = False) -> bool:
        passing = self.repository.passing.get(fmri, Passing())
        if not for_good and passing.enabled is not None:
            return passing.enabled
        kept = self.repository.kept.get(fmri, Kept()).enabled
        return self.known[fmri].enabled if kept is None else kept

    def in_subgraph(self, fmri: str) -> bool:
        """Does the milestone of this boot let the service run?"""
        if self.milestone() == "all":
            return True
        if self._subgraph is None:
            wanted = [each for each in self.known if self.enabled(each)]
            self._subgraph = closure(self.milestone(), self.known, wanted)
        return fmri in self._subgraph

    # -- when it comes up ------------------------------------------------------------------------------

    def up_for(self, fmri: str) -> bool:
        """Could it run at all, whatever it depends on?"""
        passing = self.repository.passing.get(fmri, Passing())
        return self.enabled(fmri) and self.in_subgraph(fmri) and not passing.maintenance

    def online_at(self, fmri: str) -> float:
        """The moment it is or will be online; NEVER when something stands in the way."""
        if fmri not in self._online:
            self._online[fmri] = NEVER  # a dependency cycle never comes up
            self._online[fmri] = self._start_at(fmri) + self._cost(fmri) if self.up_for(fmri) else NEVER
        return self._online[fmri]

    def _start_at(self, fmri: str) -> float:
        service = self.known[fmri]
        if fmri == CONSOLE_LOGIN and self.repository.sulogin:
            return NEVER
        since = self.repository.passing.get(fmri, Passing()).since
        starts = [max(self.where.booted, since)]
        starts += [self.online_at(each) for each in service.requires if each in self.known]
        optional = [
            self.online_at(each) for each in service.optional if each in self.known and self.up_for(each)
        ]
        starts += [moment for moment in optional if moment != NEVER or self._waits_for_reboot(service)]
        return max(starts)

    def _waits_for_reboot(self, service: Service) -> bool:
        return SYSDING in service.optional and self.repository.reboot

    def _cost(self, fmri: str) -> float:
        if fmri == SYSDING and self.repository.reboot:
            return NEVER
        seconds = self.known[fmri].cost * self.pace
        if fmri == MANIFEST_IMPORT and self.repository.first:
            seconds += IMPORT[self.where.latency]
        return seconds + self._waits_for_dhcp(fmri) * self.pace

    def _waits_for_dhcp(self, fmri: str) -> float:
        """Seconds that the start method waits for DHCP servers that are not there."""
        if fmri == PHYSICAL:
            return self.where.waited
        if fmri == SYSDING and self.repository.property(SYSDING, "config/finished") != "true":
            from zonemgr.lab.smf.sysding import waits

            return waits(self.where)
        return 0.0

    # -- the state -------------------------------------------------------------------------------------

    def state(self, fmri: str) -> State:
        passing = self.repository.passing.get(fmri, Passing())
        begun = max(self.where.booted, passing.since)
        if passing.maintenance:
            return State("maintenance", since=begun)
        if not self.enabled(fmri) or not self.in_subgraph(fmri):
            return State("disabled", since=begun)
        online = self.online_at(fmri)
        if self.where.now >= online:
            return State("degraded" if passing.degraded else "online", since=online)
        if self.where.now >= self._start_at(fmri):
            return State("offline", "online", self._start_at(fmri))
        return State("offline", since=begun)

    def blocked_by(self, fmri: str) -> list[str]:
        """The required services that stand between this one and online."""
        required = [each for each in self.known[fmri].requires if each in self.known]
        return [each for each in required if self.state(each).name not in ("online", "degraded")]

    def hopeless(self, fmri: str) -> bool:
        """Enabled, but something it requires is disabled or in maintenance."""
        for each in self.blocked_by(fmri):
            if self.state(each).name in ("disabled", "maintenance") or self.hopeless(each):
                return True
        return False

    def dependents(self, fmri: str) -> list[str]:
        """Enabled services that require this one and are not running, directly or through others."""
        found: list[str] = []
        pending = [fmri]
        while pending:
            one = pending.pop(0)
            for other, service in self.known.items():
                if one in service.requires and other not in found and self._impaired(other):
                    found.append(other)
                    pending.append(other)
        return found

    def _impaired(self, fmri: str) -> bool:
        return self.enabled(fmri) and self.state(fmri).name not in ("online", "degraded")
