"""What a disposable zone is given: mounts, delegated datasets, VNICs, accounts; from the command line's lists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from zonemgr import limits
from zonemgr.config import Config
from zonemgr.errors import NotThere, UsageError, ZonemgrError
from zonemgr.host import dladm, system
from zonemgr.host.door import Host
from zonemgr.model import Dataset, Fs, LinkName, SnapshotName, UserName
from zonemgr.workflows import addresses, caps, datasets, places, survey
from zonemgr.workflows.addresses import Addressing
from zonemgr.workflows.caps import Caps

AUTOFS_OWN = ("/home/", "/net/")  # indirect maps of every zone's auto_master
_NFS = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):/[A-Za-z0-9._/+@%=,~-]*")
_NFS_OPTIONS = re.compile(r"[a-z][a-z0-9]*(=[A-Za-z0-9._:-]+)?(,[a-z][a-z0-9]*(=[A-Za-z0-9._:-]+)?)*")
LINE_BREAKERS = re.compile(r'["\x00-\x1f\x7f]')


@dataclass(frozen=True)
class Lofs:
    """A directory of the host mounted into the zone."""

    inside: str
    host: str
    read_only: bool = False

    @classmethod
    def parse(cls, text: str, *, force: bool = False) -> Lofs:
        """`LZ[|GZ[|ro]]`; both absolute, the same when only one is given. `force`: see places.own_place."""
        inside, _, rest = text.partition("|")
        outside, bar, option = rest.partition("|")
        if bar and option not in ("ro", "rw"):
            raise UsageError(
                f"{option!r} in {text!r} is no way to mount a directory",
                hint="ro: read only; rw, or nothing: as it is",
            )
        outside = tidy_path(outside or inside, text)
        place = places.own_place(tidy_path(inside, text), text, f"/work|{outside}", force=force)
        return cls(place, outside, option == "ro")

    @property
    def options(self) -> tuple[str, ...]:
        """As zonecfg has them; device nodes in the host's directory are none in the zone."""
        return ("ro", "nodevices") if self.read_only else ("nodevices",)

    @property
    def text(self) -> str:
        return f"{self.inside}|{self.host}"


@dataclass(frozen=True)
class AutoVnic:
    """A VNIC made for one zone: over a link, with VLAN id and MAC address if given, and how it gets its addresses."""

    name: str
    over: str
    vlan: str = ""
    mac: str = ""
    addressing: Addressing = field(default_factory=Addressing)

    def __str__(self) -> str:
        """As the zone's `zonemgr.autovnic` attr has it: `NAME|LINK[|VLAN[|MAC]]` and the parts of its addressing."""
        fixed = "|".join([self.name, self.over, self.vlan, self.mac]).rstrip("|")
        return "|".join([fixed, *self.addressing.parts])

    @property
    def inside(self) -> str:
        """What the zone's set-up is told: `NAME` and the parts of its addressing."""
        return "|".join([self.name, *self.addressing.parts])

    @classmethod
    def parse(cls, text: str, name: str) -> AutoVnic:
        """`LINK[|VLAN[|MAC]]`, as the predecessor wrote it, with `|dhcp=no` or `|address=ADDRESS/LENGTH` behind."""
        fixed, addressing = addresses.taken_from(text)
        over, vlan, mac = [*fixed, "", ""][:3]
        if len(fixed) > 3:
            raise UsageError(
                f"{text!r} has more parts than there are",
                hint="LINK|VLAN|MAC|address=192.0.2.5/24, all but LINK may be left out",
            )
        LinkName(over)
        if vlan and not (re.fullmatch(r"[1-9][0-9]{0,3}", vlan) and int(vlan) <= 4094):
            raise UsageError(f"{vlan!r} in {text!r} is not a VLAN id", hint="a number from 1 to 4094")
        if mac and not re.fullmatch(r"[0-9A-Fa-f]{1,2}(:[0-9A-Fa-f]{1,2}){5}", mac):
            raise UsageError(f"{mac!r} in {text!r} is not a MAC address", hint="six octets: 2:8:20:1:2:3")
        if mac and int(mac.partition(":")[0], 16) & 1:
            raise UsageError(
                f"{mac!r} in {text!r} is a multicast address", hint="the first octet must be even"
            )
        return cls(name, over, vlan, mac, addressing)

    @classmethod
    def recall(cls, text: str) -> AutoVnic:
        """From an entry of the zone's `zonemgr.autovnic` attr."""
        fixed, addressing = addresses.taken_from(text)
        name, over, vlan, mac = [*fixed, "", "", ""][:4]
        return cls(name, over, vlan, mac, addressing)


def recall_vnics(value: str) -> list[AutoVnic]:
    return [AutoVnic.recall(word) for word in value.split()]


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What was asked for, as it stood on the command line: whitespace-separated lists, and sizes and numbers."""

    lofs: str = ""
    autonfs: str = ""
    datasets: str = ""
    clones: str = ""
    vnics: str = ""
    over: str = ""
    users: str = ""
    groups: str = ""
    elevated: str = ""
    quota: str = ""
    cap_memory: str = ""
    cap_swap: str = ""
    cap_cpu: str = ""
    cpu_shares: str = ""
    max_processes: str = ""
    tmpfs_size: str = ""
    force_mount: bool = False  # also over what the zone's system uses


@dataclass(frozen=True)
class AutoNfs:
    """An NFS export that autofs mounts in the zone when it is used."""

    inside: str
    location: str  # host:/path
    options: str = ""  # comma-separated, as mount_nfs takes them

    @classmethod
    def parse(cls, text: str, *, force: bool = False) -> AutoNfs:
        """`LZ|HOST:/PATH[|OPTIONS]`, also `LZ|nfs://HOST[:PORT]/PATH`; only what a map of autofs takes literally."""
        inside, _, rest = text.partition("|")
        location, _, options = rest.partition("|")
        example = "/mnt/src|filer:/export/src"
        tidy = tidy_path(inside, text, f"--mount-autonfs '{example}'")
        inside = places.own_place(tidy, text, example, force=force)
        if not re.fullmatch(r"[A-Za-z0-9._/+@%=:,~-]+", inside):
            raise UsageError(
                f"{inside!r} cannot stand in a map of autofs", hint="letters, digits and . _ + @ % = -"
            )
        if f"{inside}/".startswith(AUTOFS_OWN):
            raise UsageError(
                f"{inside} in {text!r} is below a directory that autofs has already",
                hint="mount it below /mnt",
            )
        url = re.fullmatch(
            r"nfs://(?P<host>[^/:]+|\[[^]]+\])(?::(?P<port>[0-9]{1,5}))?(?P<path>/.*)", location
        )
        if url:
            location = f"{url['host']}:{url['path']}"
            options = ",".join(
                part for part in (options, f"port={url['port']}" if url["port"] else "") if part
            )
        if not _NFS.fullmatch(location):
            raise UsageError(
                f"{location!r} in {text!r} is not HOST:/PATH",
                hint="--mount-autonfs '/mnt/src|filer:/export/src'",
            )
        if options and (not _NFS_OPTIONS.fullmatch(options) or "fstype" in options):
            raise UsageError(
                f"{options!r} in {text!r} are no options of an NFS mount", hint="such as ro,soft,vers=3"
            )
        return cls(inside, location, options)

    def __str__(self) -> str:
        """`LZ|[-OPTIONS ]HOST:/PATH`: key and entry of a direct map."""
        return f"{self.inside}|{f'-{self.options} ' if self.options else ''}{self.location}"


@dataclass(frozen=True)
class DatasetClone:
    """A dataset of the host of which the zone gets a clone of its own."""

    source: str
    snapshot: str = ""  # empty: one is taken
    inside: str = ""  # empty: where the source is mounted on the host
    force: bool = False  # over whatever the zone has there

    @classmethod
    def parse(cls, text: str, *, force: bool = False) -> DatasetClone:
        """`DS[@SNAP][|MOUNTPOINT]`."""
        name, _, inside = text.partition("|")
        source, at, snapshot = name.partition("@")
        Dataset(source)
        if at:
            SnapshotName(snapshot)
        example = "--clone-dataset 'tank/src@today|/work/src'"
        tidy = tidy_path(inside, text, example) if inside else ""
        place = places.own_place(tidy, text, example, force=force) if inside else ""
        return cls(source, snapshot, place, force)


@dataclass(frozen=True)
class ClonedFs:
    """One file system of a clone, as it will be made: `dataset` from `origin`, mounted on `inside`."""

    dataset: str
    origin: str
    inside: str


@dataclass(frozen=True)
class Furniture:
    """All of it, checked for form; `check_on` looks whether the host has what it names."""

    lofs: tuple[Lofs, ...] = ()
    datasets: tuple[str, ...] = ()
    vnics: tuple[str, ...] = ()  # existing ones, handed to the zone
    lasting: tuple[str, ...] = ()  # those of them that persist over a reboot of the host
    auto_vnics: tuple[AutoVnic, ...] = ()  # made for it
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    elevated: tuple[str, ...] = ()
    autonfs: tuple[AutoNfs, ...] = ()
    clones: tuple[DatasetClone, ...] = ()
    caps: Caps = field(default_factory=Caps)
    cloned: tuple[ClonedFs, ...] = ()  # what the clones come to on this host; filled by storage.settle
    made: tuple[str, ...] = ()  # of the datasets, those that are made for the zone; filled by seen_on
    secluded: tuple[str, ...] = ()  # links over an etherstub; filled by seen_on

    @property
    def fs(self) -> tuple[Fs, ...]:
        """The zone's file systems: the host's directories, and its own clones."""
        mounts = [Fs(mount.inside, mount.host, options=mount.options) for mount in self.lofs]
        return (*mounts, *(Fs(one.inside, one.dataset, type="zfs") for one in self.cloned))

    @property
    def home_properties(self) -> dict[str, str]:
        """ZFS properties of the zone's home besides its marks, to be set in the command that makes it."""
        made = {datasets.MADE: " ".join(self.made)} if self.made else {}
        return made | ({"quota": self.caps.quota} if self.caps.quota else {})

    @property
    def mounted(self) -> tuple[str, ...]:
        """Directories of the zone that are there before anything runs in it, and hold what is not the image's."""
        return tuple(fs.dir for fs in self.fs)

    @property
    def hidden(self) -> list[str]:
        """What of the zone's system its mounts hide, one line each."""
        mounts = [*(mount.inside for mount in self.lofs), *(one.inside for one in self.cloned)]
        mounts += [one.inside for one in self.autonfs]
        told = ((inside, places.hidden_by(inside)) for inside in mounts)
        return [f"the mount on {inside} hides {what}" for inside, what in told if what]

    @property
    def links(self) -> tuple[str, ...]:
        return (*self.vnics, *(vnic.name for vnic in self.auto_vnics))

    @property
    def temporary_links(self) -> tuple[str, ...]:
        """Words for the zone's set-up: names, with how they are to get their addresses (see addresses.recall)."""
        handed = (link for link in self.vnics if link not in self.lasting)
        return (*handed, *(vnic.inside for vnic in self.auto_vnics))

    @property
    def by_dhcp(self) -> tuple[str, ...]:
        """The links that are to get an address by DHCP."""
        return (*self.vnics, *(vnic.name for vnic in self.auto_vnics if vnic.addressing.by_dhcp))

    @property
    def lasting_links(self) -> tuple[str, ...]:
        return self.lasting

    def seen_on(self, host: Host) -> Furniture:
        """The same, knowing which handed links persist and which datasets are there; asked only when there are any."""
        found = self
        if self.vnics:
            lasting = dladm.persistent_links(host)
            found = replace(found, lasting=tuple(link for link in self.vnics if link in lasting))
        if self.links:
            found = replace(found, secluded=tuple(self._secluded(host)))
        if self.datasets:
            there = {row.name for row in survey.filesystems(host)}
            found = replace(found, made=tuple(name for name in self.datasets if name not in there))
        return found

    def _secluded(self, host: Host) -> Iterator[str]:
        rows = {link.name: link for link in dladm.links(host)}
        below = {vnic.name: vnic.over for vnic in self.auto_vnics}
        below |= {name: rows[name].over for name in self.vnics if name in rows}
        for name, over in below.items():
            if over in rows and rows[over].kind == "etherstub":
                yield name

    def check_on(self, host: Host, *, homes: Sequence[str], config: Config, own: str = "") -> None:
        """Raise for the first thing the host does not have, or should not give away.

        `homes`: datasets that hold zones, and the home of the new one. `own`: the run that made the zone, if it exists.
        """
        _check_lofs(host, self.lofs, config)
        _check_links(host, self)
        for dataset in self.datasets:
            datasets.check_delegated(host, dataset, homes, own=own)
        for clone in self.clones:
            datasets.check_source(host, clone.source, clone.snapshot, homes)


def parse(wishes: Wishes, *, tag: str) -> Furniture:
    """What the wishes mean; `tag` makes VNIC names unique: [a-z0-9]{1,20}.

    Raises UsageError for what can't be meant, before anything is looked up.
    """
    force = wishes.force_mount
    mounts = tuple(Lofs.parse(word, force=force) for word in wishes.lofs.split())
    exports = tuple(AutoNfs.parse(word, force=force) for word in wishes.autonfs.split())
    clones = tuple(DatasetClone.parse(word, force=force) for word in wishes.clones.split())
    own = [*(each.inside for each in mounts), *(each.inside for each in clones if each.inside)]
    _no_twins("the zone directory", [*own, *(each.inside for each in exports)])
    _no_twins("the dataset", [clone.source for clone in clones])
    _no_automount_in_the_way([each.inside for each in exports], own)
    names = tuple(str(LinkName(word)) for word in wishes.vnics.split())
    _no_twins("the VNIC", list(names))
    _no_twins("the dataset", wishes.datasets.split())
    _not_nested("delegated", wishes.datasets.split())
    _not_nested("cloned", [clone.source for clone in clones])
    made = tuple(AutoVnic.parse(word, f"zm{tag}_{n}") for n, word in enumerate(wishes.over.split()))
    if len(" ".join(map(str, made))) > 255:
        raise UsageError(
            f"the zone's configuration cannot record {len(made)} VNICs with all that is said of them",
            hint="its attr zonemgr.autovnic has 255 bytes; make fewer, or hand it some that exist: --add-vnic",
        )
    _no_twins("the address", [one.partition("/")[0] for vnic in made for one in vnic.addressing.addresses])
    return Furniture(
        mounts,
        tuple(str(Dataset(word)) for word in wishes.datasets.split()),
        names,
        (),
        made,
        tuple(dict.fromkeys(str(UserName(word)) for word in wishes.users.split())),
        tuple(dict.fromkeys(str(UserName(word)) for word in wishes.groups.split())),
        tuple(dict.fromkeys(str(UserName(word)) for word in wishes.elevated.split())),
        exports,
        clones,
        caps.parse(
            quota=wishes.quota, memory=wishes.cap_memory, swap=wishes.cap_swap, cpu=wishes.cap_cpu,
            shares=wishes.cpu_shares, processes=wishes.max_processes, tmpfs=wishes.tmpfs_size,
        ),
    )  # fmt: skip


def tidy_path(path: str, whole: str, example: str = "--mount-lofs '/in/zone|/on/host'") -> str:
    """An absolute path without doubled or trailing slashes; raises UsageError for what zonecfg could not hold."""
    if LINE_BREAKERS.search(path):
        raise UsageError(
            f"{whole!r} has a quote or a control character", hint="zonecfg has no way to escape those"
        )
    if not path.startswith("/"):
        raise UsageError(f"{path!r} in {whole!r} is not an absolute path", hint=f"like this: {example}")
    parts = [part for part in path.split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise UsageError(
            f"{path!r} has a '.' or '..' in it", hint="give the real path; illumos refuses others"
        )
    limits.LOCAL_PATH.check(path)
    return "/" + "/".join(parts)


def _no_twins(what: str, words: list[str]) -> None:
    for word in words:
        if words.count(word) > 1:
            raise UsageError(f"{what} {word} is named twice", hint="leave one of them out")


def _not_nested(what: str, names: Sequence[str]) -> None:
    """What is given brings along what is below it, so both at once cannot be meant."""
    for name in names:
        for other in names:
            if name.startswith(f"{other}/"):
                raise UsageError(
                    f"{name} lies below {other}, which is to be {what} as well", hint="name one of them"
                )


def _no_automount_in_the_way(automounts: Sequence[str], mounts: Sequence[str]) -> None:
    """A direct map's mount point is made by automount: not in the host's directories, nor below another export."""
    for number, inside in enumerate(automounts):
        for other in (*mounts, *automounts[number + 1 :]):
            if f"{inside}/".startswith(f"{other}/") or f"{other}/".startswith(f"{inside}/"):
                raise UsageError(
                    f"{inside} and {other} lie one in the other, and autofs cannot mount so",
                    hint="mount them beside each other",
                )


def _check_lofs(host: Host, mounts: Sequence[Lofs], config: Config) -> None:
    if not mounts:
        return
    mountpoints = (config.giz.mountpoint, config.diz.mountpoint)
    vital = places.vital(host, mountpoints, config.state.directory)
    for mount in mounts:
        if not system.directory_exists(host, mount.host):
            raise NotThere(
                f"the host has no directory {mount.host} to mount on {mount.inside}",
                hint="make it first, or name another one: --mount-lofs '/in/zone|/on/host'",
            )
        if not mount.read_only:
            places.check_source(host, mount.host, mount.text, vital)


def _check_links(host: Host, furniture: Furniture) -> None:
    if not furniture.links:
        return
    links = {link.name: link for link in dladm.links(host)}
    names = ", ".join(sorted(links)) or "none"
    for vnic in furniture.vnics:
        if vnic not in links:
            raise NotThere(f"the host has no link {vnic}", hint=f"its links: {names}; see: dladm show-link")
        if links[vnic].kind != "vnic":
            raise ZonemgrError(
                f"{vnic} is not a VNIC but of class {links[vnic].kind}, and the host would lose it",
                hint=f"make a VNIC over it: --add-vnic-over {vnic}",
            )
    for made in furniture.auto_vnics:
        if made.over not in links:
            raise NotThere(
                f"the host has no link {made.over} to make a VNIC over",
                hint=f"its links: {names}; see: dladm show-link",
            )
        if links[made.over].kind == "vnic":
            raise ZonemgrError(
                f"{made.over} is a VNIC itself, and there are no VNICs over VNICs",
                hint=f"use the link below it: {links[made.over].over}",
            )
        if made.name in links:
            raise ZonemgrError(
                f"there is a link {made.name} already", hint=f"see: dladm show-vnic {made.name}"
            )
