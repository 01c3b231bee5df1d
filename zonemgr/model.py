"""The nouns: frozen, checked once when made. Names are those that illumos allows.

See docs/illumos.md: zonecfg, Links and addresses, ZFS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType, Self

from zonemgr import limits
from zonemgr.errors import UsageError

RunId = NewType("RunId", str)


class _Name(str):
    """A string that is checked when made; behaves as a plain string afterwards."""

    what = "name"
    hint = ""
    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        fault = cls.fault(text)
        if fault:
            shown = text if len(text) <= 60 else f"{text[:59]}…"
            raise UsageError(f"{shown!r} is not a {cls.what}: {fault}", hint=cls.hint or None)
        return super().__new__(cls, text)

    @classmethod
    def fault(cls, text: str) -> str | None:
        raise NotImplementedError


class ZoneName(_Name):
    """A zone name as zonecfg takes it (docs/illumos.md: zonecfg), and not one that is reserved."""

    what = "zone name"
    hint = "letters, digits, '.', '_' and '-', starting with a letter or digit, at most 63 characters"
    __slots__ = ()

    @classmethod
    def fault(cls, text: str) -> str | None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
            return "it has characters that zonecfg refuses" if text else "it is empty"
        if fault := limits.ZONE_NAME.fault(text):
            return f"it has {fault}"
        if text == "global" or text.startswith("SUNW"):
            return "it is reserved"
        return None


class SnapshotName(_Name):
    """The part behind `@`."""

    what = "snapshot name"
    hint = "letters, digits and '-', '_', '.', ':'"
    __slots__ = ()

    @classmethod
    def fault(cls, text: str) -> str | None:
        if not re.fullmatch(r"[A-Za-z0-9_.:-]+", text):
            return "it has characters that ZFS or scripts cannot take" if text else "it is empty"
        if text.startswith("-"):
            return "a script would take it for an option"
        if len(text) > 200:
            return f"it has {len(text)} characters"
        return None


class Dataset(_Name):
    """The full name of a file system or volume, pool first; at most 200 characters, snapshots still fit."""

    what = "dataset name"
    hint = "POOL/NAME[/NAME...] of letters, digits and '-', '_', '.', ':'"
    __slots__ = ()

    @classmethod
    def fault(cls, text: str) -> str | None:
        if not text:
            return "it is empty"
        if len(text) > 200:
            return f"it has {len(text)} characters"
        for part in text.split("/"):
            if not re.fullmatch(r"[A-Za-z0-9_.:-]+", part) or part in (".", ".."):
                return "it has an empty or forbidden component"
        if not re.match(r"[A-Za-z]", text):
            return "a pool name starts with a letter"
        return None

    @property
    def pool(self) -> str:
        return self.split("/", 1)[0]

    @property
    def last(self) -> str:
        return self.rsplit("/", 1)[-1]

    @property
    def parent(self) -> Dataset | None:
        return Dataset(self.rsplit("/", 1)[0]) if "/" in self else None

    def child(self, name: str) -> Dataset:
        return Dataset(f"{self}/{name}")

    def at(self, name: str) -> Snapshot:
        return Snapshot(self, SnapshotName(name))


@dataclass(frozen=True, order=True)
class Snapshot:
    dataset: Dataset
    name: SnapshotName

    def __post_init__(self) -> None:
        limits.ZFS_NAME.check(str(self), "name of the snapshot")

    def __str__(self) -> str:
        return f"{self.dataset}@{self.name}"

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        dataset, _, name = text.partition("@")
        return cls(Dataset(dataset), SnapshotName(name))


class LinkName(_Name):
    """A data link: at most 31 letters, digits, '_', '.'; ends in a number, no leading 0.

    See docs/illumos.md: Links and addresses.
    """

    what = "link name"
    hint = "a letter, then letters, digits, '_', '.', at most 31, with a number at the end: build0, vnic12"
    __slots__ = ()

    @classmethod
    def fault(cls, text: str) -> str | None:
        if fault := limits.LINK_NAME.fault(text):
            return f"it has {fault}"
        if not re.fullmatch(r"[A-Za-z_.][A-Za-z0-9_.]*", text):
            return "it has a character that dladm refuses" if text else "it is empty"
        if not re.fullmatch(r".*?[A-Za-z_.](0|[1-9][0-9]*)", text):
            return "it does not end in a number without leading zeros"
        return None


class UserName(_Name):
    what = "user or group name"
    hint = "letters, digits, '.', '_' and '-', starting with a letter or '_', at most 32"
    __slots__ = ()

    @classmethod
    def fault(cls, text: str) -> str | None:
        if fault := limits.USER_NAME.fault(text):
            return f"it has {fault}"
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9._-]*", text):
            return "it has characters that passwd(5) does not allow" if text else "it is empty"
        return None


# -- what the host answers -----------------------------------------------------------------------------------


class ZoneState(StrEnum):
    """The states as `zoneadm list` prints them (docs/illumos.md: Zone states)."""

    CONFIGURED = "configured"
    INCOMPLETE = "incomplete"
    INSTALLED = "installed"
    READY = "ready"
    RUNNING = "running"
    SHUTTING_DOWN = "shutting_down"
    DOWN = "down"
    MOUNTED = "mounted"
    UNKNOWN = "???"  # zoneadm could not look the zone up: it was vanishing at that moment

    @property
    def active(self) -> bool:
        """Known to the kernel, so it holds its root, links and datasets."""
        return self in (self.READY, self.RUNNING, self.SHUTTING_DOWN, self.DOWN, self.MOUNTED)


@dataclass(frozen=True)
class ZoneRow:
    """One record of `zoneadm list -p`. `name` is plain text: foreign zones may be called anything."""

    id: int | None  # only active zones have one
    name: str
    state: ZoneState
    path: str
    uuid: str  # empty while configured
    brand: str
    exclusive_ip: bool
    debug_id: str = ""  # OmniOS

    @property
    def is_global(self) -> bool:
        return self.name == "global"


@dataclass(frozen=True)
class Fs:
    """A zone's `fs` resource."""

    dir: str
    special: str
    type: str = "lofs"
    raw: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Net:
    """A zone's `net` resource; the last three and `properties` exist on OmniOS only."""

    physical: str = ""
    address: str = ""
    allowed_address: str = ""
    defrouter: str = ""
    global_nic: str = ""
    mac_addr: str = ""
    vlan_id: str = ""
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Attr:
    name: str
    value: str
    type: str = "string"


@dataclass(frozen=True)
class Rctl:
    """A resource control; `values` are (privilege, limit, action). Aliases and caps are shown as these too."""

    name: str
    values: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class OtherResource:
    """device, dedicated-cpu, capped-memory, admin, security-flags: the properties as they stand there."""

    kind: str
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ZoneSettings:
    """A zone's configuration as `zonecfg export` tells it. `more`: the other global properties that are
    set.
    """

    zonepath: str = ""
    brand: str = ""
    autoboot: bool = False
    ip_type: str = "shared"
    more: tuple[tuple[str, str], ...] = ()
    fs: tuple[Fs, ...] = ()
    net: tuple[Net, ...] = ()
    attr: tuple[Attr, ...] = ()
    dataset: tuple[str, ...] = ()
    rctl: tuple[Rctl, ...] = ()
    other: tuple[OtherResource, ...] = ()

    def attribute(self, name: str) -> str | None:
        """The value of one attr, or None."""
        return next((attr.value for attr in self.attr if attr.name == name), None)


@dataclass(frozen=True)
class CommandEnd:
    """How a command inside a zone ended.

    `status` is what a shell would say, 128+N for a command killed by signal N; None when the command never
    said, so nothing can be known of it (verdict `environment`); `trouble` then says what is known instead.
    """

    status: int | None
    signal: int | None = None
    trouble: str = ""


@dataclass(frozen=True)
class DatasetRow:
    """One dataset or snapshot with the properties that were asked for; an unset one is absent from
    `values`.
    """

    name: str
    values: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")


@dataclass(frozen=True)
class LinkRow:
    """One data link (docs/illumos.md: Links and addresses): class phys, aggr, vlan, vnic, etherstub, bridge, …"""

    name: str
    kind: str
    over: str  # empty for one that lies on nothing


@dataclass(frozen=True)
class VnicRow:
    name: str
    over: str
    mac: str
    vlan: int = 0  # 0: none


@dataclass(frozen=True)
class LeftOver:
    """Something that could not be removed now; the job goes on, and gc or the operator removes it later."""

    what: str
    why: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.what} is left: {self.why}"


@dataclass(frozen=True)
class Identity:
    name: str
    uid: int

    @property
    def is_root(self) -> bool:
        return self.uid == 0


@dataclass(frozen=True)
class BootEnvironment:
    name: str
    uuid: str
    booted: bool  # now
    next: bool  # after a reboot


@dataclass(frozen=True)
class Publisher:
    """A package publisher with the origins that are in use, in order of rank."""

    name: str
    origins: tuple[str, ...] = ()
    sticky: bool = True


@dataclass(frozen=True)
class PackageRow:
    """One installed package; `publisher` is empty for the top-ranked one."""

    name: str
    version: str
    publisher: str = ""
    flags: str = ""


@dataclass(frozen=True)
class Account:
    """A user of the host (docs/illumos.md: Accounts). `password` is the shadow field, empty unless it was asked for."""

    name: str
    uid: int
    gid: int
    gecos: str
    home: str
    shell: str
    password: str = field(default="", repr=False)
    groups: tuple[str, ...] = ()  # names, the primary one first
    attributes: tuple[tuple[str, str], ...] = ()  # of user_attr: auths, profiles, roles, type, …

    @property
    def is_role(self) -> bool:
        return ("type", "role") in self.attributes


@dataclass(frozen=True)
class Group:
    name: str
    gid: int
    members: tuple[str, ...] = ()
