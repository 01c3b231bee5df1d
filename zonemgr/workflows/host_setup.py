"""Preparing a host for zonemgr: its state directory, /etc/zonemgr, the datasets that hold all zones, a user's rights.

Idempotent: what is there is checked, what is missing is made, and what this caller may not make is told with the
command for root. Nothing that was there before is taken away from anybody.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from zonemgr import records, state
from zonemgr.errors import CommandError, ZonemgrError
from zonemgr.host import accounts, system, zfs, zoneadm
from zonemgr.host.door import Host
from zonemgr.model import Account, Dataset, RunId
from zonemgr.workflows import common, survey
from zonemgr.workflows.job import Site, glimpse, job
from zonemgr.workflows.steps import Step

ETC = "/etc/zonemgr"
OK, MADE, TO_MAKE, MISSING = "ok", "made", "to make", "missing"


@dataclass(frozen=True)
class Item:
    """One thing zonemgr wants on a host. `state`: ok, made, to make (dry run), or missing; `why` is for the last."""

    what: str
    name: str
    state: str
    why: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"what": self.what, "name": self.name, "state": self.state, "why": self.why}


@dataclass(frozen=True)
class _Plan:
    """An item, and the steps that make it; without steps it stays as it is."""

    item: Item
    steps: tuple[Step, ...] = ()


def setup(site: Site, *, group: str = "", user: str = "") -> list[Item]:
    """Make what is missing and return all there is to say.

    `group`: who may share the state directory; without it one that exists is left as it is, and a new one is staff's.
    `user`: an account that is to have the rights profiles, and the group. Raises NotThere for an unknown one.
    """
    look = glimpse(site)
    zoneadm.list_zones(look)  # raises in a non-global zone, and where there is no zoneadm
    system.check_distribution(look)
    run = records.new_run_id()
    root = _acts_as_root(look)
    plans = [_etc(look, root), *(_dataset(look, site, kind, run, root) for kind in (survey.GIZ, survey.DIZ))]
    if user:
        account = accounts.read(look).user(user)
        shared = group or state.group(site.config)
        plans += [_profiles(look, account, root), *_membership(account, shared, root)]
    states = _state_directory(site, group)  # first: what follows keeps its journal there
    steps = [step for plan in plans for step in plan.steps]
    if steps:
        with job(site, [], run) as work:
            work.do(*steps, look=look)
    done = TO_MAKE if site.host.dry_run else MADE
    return states + [replace(plan.item, state=done) if plan.steps else plan.item for plan in plans]


def _acts_as_root(look: Host) -> bool:
    """May its changes do anything? Of pfexec that is known only with the profile for everything."""
    if system.identity(look).is_root:
        return True
    if tuple(look.elevate) == ("pfexec",):
        return system.EVERYTHING in system.profiles(look)
    return bool(look.elevate)


# -- the state directory ---------------------------------------------------------------------------------------------


def _state_directory(site: Site, group: str) -> list[Item]:
    """zonemgr's own files, which it handles itself everywhere (see zonemgr.state)."""
    fault = state.fault(site.config, group)
    name = site.config.state.directory
    if not fault:
        return [Item("state directory", name, OK)]
    commands = state.commands(site.config, group or state.group(site.config))
    if site.host.dry_run:
        site.report.note(commands)
        return [Item("state directory", name, TO_MAKE, fault)]
    try:
        state.make(site.config, group)
    except OSError as refused:
        return [Item("state directory", name, MISSING, f"{fault}; {refused.strerror}; as root: {commands}")]
    left = state.fault(site.config, group)
    return [
        Item(
            "state directory", name, MISSING if left else MADE, f"{left}; as root: {commands}" if left else ""
        )
    ]


# -- /etc/zonemgr ----------------------------------------------------------------------------------------------------


def _etc(look: Host, root: bool) -> _Plan:
    if system.directory_exists(look, ETC):
        return _Plan(Item("settings", ETC, OK))
    missing = Item("settings", ETC, MISSING, f"as root: mkdir {ETC}")
    return _Plan(missing, (MakeDirectory(ETC),) if root else ())


@dataclass(frozen=True)
class MakeDirectory(Step):
    """One directory of the host."""

    path: str

    def __str__(self) -> str:
        return f"make the directory {self.path}"

    def do(self, host: Host) -> None:
        system.make_directory(host, self.path)

    def undo(self, host: Host) -> None:
        system.remove_directory(host, self.path)


# -- the datasets of all zones ---------------------------------------------------------------------------------------


def _dataset(look: Host, site: Site, kind: str, run: str, root: bool) -> _Plan:
    name, _ = survey.containment(site.config, kind)
    item = Item(f"{kind} dataset", str(name), OK)
    try:
        steps = common.containment(look, site, kind, RunId(run))
    except CommandError:
        raise  # that says nothing of the dataset
    except ZonemgrError as wrong:
        return _Plan(replace(item, state=MISSING, why=f"{wrong}; {wrong.hint}"))
    if not steps:
        steps, differs = _tuning(look, site, kind, name)
        item = replace(item, why=differs)
    if steps and not (root or _may(look, "zfs")):
        return _Plan(
            replace(item, state=MISSING, why=f"this needs the rights profile {system.PROFILES['zfs'][0]}")
        )
    return _Plan(item, tuple(steps))


def _tuning(look: Host, site: Site, kind: str, dataset: Dataset) -> tuple[list[Step], str]:
    """The step that gives a dataset of ours the settings' values; of somebody else's only the differences."""
    wanted = common.tuning(site.config, kind)
    found = zfs.get(look, dataset, *wanted)
    differs = {name: value for name, value in wanted.items() if found.get(name, "-") != value}
    if not differs:
        return [], ""
    if survey.mark(look, dataset):
        before = zfs.get_local(look, dataset, *differs)
        return [Tune(str(dataset), _words(differs), _words(before))], ""
    return (
        [],
        f"not made by zonemgr, and not as the settings say; zfs set {' '.join(_words(differs))} {dataset}",
    )


def _words(properties: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in properties.items())


@dataclass(frozen=True)
class Tune(Step):
    """Set properties of a dataset; undo puts the local ones of before back, and lets the others be inherited again."""

    dataset: str
    properties: tuple[str, ...]
    before: tuple[str, ...]

    def __str__(self) -> str:
        return f"tune {self.dataset}"

    def do(self, host: Host) -> None:
        zfs.set_properties(host, Dataset(self.dataset), dict(pair.split("=", 1) for pair in self.properties))

    def undo(self, host: Host) -> None:
        before = dict(pair.split("=", 1) for pair in self.before)
        for name in (pair.partition("=")[0] for pair in self.properties):
            if name not in before:
                zfs.inherit(host, Dataset(self.dataset), name)
        if before:
            zfs.set_properties(host, Dataset(self.dataset), before)


def _may(look: Host, tool: str) -> bool:
    return tuple(look.elevate) != ("pfexec",) or not system.missing_profiles(system.profiles(look), [tool])


# -- a user's rights -------------------------------------------------------------------------------------------------


def _profiles(look: Host, account: Account, root: bool) -> _Plan:
    item = Item("rights profiles", account.name, OK)
    lacking = system.lacking(system.profiles(look, account.name)) if account.name != "root" else []
    if not lacking:
        return _Plan(item)
    own = [name for name in dict(account.attributes).get("profiles", "").split(",") if name]
    step = GiveRights(account.name, "-P", ",".join([*own, *lacking]), ",".join(own))
    missing = replace(item, state=MISSING, why=f"lacks {', '.join(lacking)}; as root: {step.line}")
    return _Plan(missing, (step,) if root else ())


def _membership(account: Account, group: str, root: bool) -> list[_Plan]:
    """The account's place in the group that the state directory belongs to."""
    item = Item("group", group, OK, f"user {account.name}")
    if account.name == "root" or not group or group in account.groups:
        return [_Plan(item)] if group else []
    others = account.groups[1:]
    step = GiveRights(account.name, "-G", ",".join([*others, group]), ",".join(others))
    missing = replace(item, state=MISSING, why=f"user {account.name} is not in it; as root: {step.line}")
    return [_Plan(missing, (step,) if root else ())]


@dataclass(frozen=True)
class GiveRights(Step):
    """Give a user a list of profiles (-P) or supplementary groups (-G); usermod replaces the whole list."""

    user: str
    option: str
    names: str
    before: str

    def __str__(self) -> str:
        return f"give user {self.user} {'the groups' if self.option == '-G' else 'the rights profiles'} {self.names}"

    @property
    def line(self) -> str:
        return shlex.join(("usermod", self.option, self.names, self.user))

    def do(self, host: Host) -> None:
        host.change("usermod", self.option, self.names, self.user)

    def prove(self, host: Host) -> None:
        left = self._left(host)
        if left:
            raise ZonemgrError(f"user {self.user} still lacks {', '.join(left)}", hint=f"try: {self.line}")

    def _left(self, host: Host) -> Sequence[str]:
        wanted = self.names.split(",")
        if self.option == "-G":
            have: Sequence[str] = accounts.read(host).user(self.user).groups
        else:
            have = system.profiles(host, self.user)
        return [name for name in wanted if name not in have]

    def undo(self, host: Host) -> None:
        host.change("usermod", self.option, self.before, self.user)
