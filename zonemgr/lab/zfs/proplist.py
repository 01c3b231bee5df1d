"""Lists of property=value as zfs takes them: read, checked as a whole, and made ready to be stored."""

from __future__ import annotations

from collections.abc import Sequence

from zonemgr.lab.zfs import props, space
from zonemgr.lab.zfs.catalogue import Ds
from zonemgr.lab.zfs.job import Job
from zonemgr.lab.zfs.names import FS, SNAP, VOL
from zonemgr.lab.zfs.text import NONE_LIMIT, Refused, nice, not_emulated

LONGEST_USER_VALUE = 8191  # bytes
_BLOCK, _BIG, _OLD_BIG = 512, 1024 * 1024, 128 * 1024
Pairs = dict[str, str]


def add_pair(pairs: Pairs, word: str, *, status: int = 1) -> None:
    name, equals, value = word.partition("=")
    if not equals:
        raise Refused("missing '=' for property=value argument", status)
    if name in pairs:
        raise Refused(f"property '{name}' specified multiple times", status)
    pairs[name] = value


def read(words: Sequence[str], *, status: int = 1) -> Pairs:
    pairs: Pairs = {}
    for word in words:
        add_pair(pairs, word, status=status)
    return pairs


class Checker:
    """Checks a list for one dataset, existing (`ds`) or about to be made; `doing` starts each refusal."""

    def __init__(self, job: Job, types: int, doing: str, *, zoned: bool, ds: Ds | None = None) -> None:
        self.job, self.types, self.doing, self.zoned, self.ds = job, types, doing, zoned, ds

    def refuse(self, reason: str) -> Refused:
        return Refused(f"{self.doing}: {reason}")

    def check(self, pairs: Pairs) -> Pairs:
        """Canonical names and values, in the order given; raises Refused at the first that is wrong."""
        ready: Pairs = {}
        for name, value in pairs.items():
            prop = props.find(name)
            if prop is None and props.is_user(name):
                if len(name) >= 256:
                    raise self.refuse(f"property name '{name}' is too long")
                ready[name] = value
            else:
                found = self._known(prop, name)
                ready[found.name] = self._native(found, name, value)
        self._normalization(ready)
        return ready

    def _known(self, prop: props.Property | None, name: str) -> props.Property:
        if self.types == SNAP:
            raise self.refuse("this property can not be modified for snapshots")
        if prop is None and props.is_accounting(name):
            raise not_emulated("user and group accounting")
        if prop is None and props.is_written(name):
            raise self.refuse(f"'{name}' is readonly")
        if prop is None:
            raise self.refuse(f"invalid property '{name}'")
        if not prop.types & self.types:
            raise self.refuse(f"'{name}' does not apply to datasets of this type")
        if prop.readonly and not (prop.set_once and self.ds is None):
            raise self.refuse(f"'{name}' is readonly")
        return prop

    def _native(self, prop: props.Property, name: str, value: str) -> str:
        try:
            stored = props.parse(prop, value, name, self.types)
        except props.BadValue as reason:
            raise self.refuse(str(reason)) from None
        special = _SPECIAL.get(prop.name)
        if special is not None:
            stored = special(self, name, stored)
        if self.ds is not None and self.types == VOL and self.ds.type == "volume":
            self._volume(prop.name, name, stored)
        return stored

    # -- what single properties ask for ------------------------------------------------------------------------

    def version(self, name: str, stored: str) -> str:
        if self.ds is not None and int(stored) < 5:
            raise self.refuse("Can not downgrade; already at version 5")
        if stored != "5":
            raise not_emulated("file system versions other than 5")
        return stored

    def block_size(self, name: str, stored: str) -> str:
        most = _BIG if props.find(name) is props.TABLE["recordsize"] else _OLD_BIG
        size = int(stored)
        if size < _BLOCK or size > most or size & (size - 1):
            raise self.refuse(f"'{name}' must be power of 2 from 512B to {most >> 10}KB")
        return stored

    def small_blocks(self, name: str, stored: str) -> str:
        self.job.err(f"{name}: property requires a special device in the pool")
        size = int(stored)
        if size and (size < _BLOCK or size > _OLD_BIG or size & (size - 1)):
            raise self.refuse(
                f"invalid '{name}={size}' property: must be zero or a power of 2 from 512B to 128K"
            )
        return stored

    def mls_label(self, name: str, stored: str) -> str:
        if stored.lower() != "none":
            raise self.refuse(f"invalid mlslabel '{stored}'")
        return stored

    def mountpoint(self, name: str, stored: str) -> str:
        if stored in ("none", "legacy"):
            return stored
        if not stored.startswith("/"):
            raise self.refuse(f"'{name}' must be an absolute path, 'none', or 'legacy'")
        if any(len(part.encode("utf-8", "surrogateescape")) >= 256 for part in stored.split("/")):
            raise self.refuse(f"component of '{name}' is too long")
        self._not_zoned(name)
        if not stored.isprintable():
            raise not_emulated("a mountpoint with unprintable characters")
        return stored

    def share(self, name: str, stored: str) -> str:
        self._not_zoned(name)
        if stored != "off":
            raise not_emulated("sharing file systems")
        return stored

    def _not_zoned(self, name: str) -> None:
        """In the global zone for what is not zoned, in a zone for what is."""
        if self.job.cat.view is not None:
            if not self.zoned:
                raise self.refuse(f"'{name}' cannot be set while dataset 'zoned' property is set")
        elif self.zoned:
            raise self.refuse(f"'{name}' cannot be set on dataset in a non-global zone")

    def encryption(self, name: str, stored: str) -> str:
        if stored not in ("off", "none"):
            raise not_emulated("encryption")
        return stored

    def key_location(self, name: str, stored: str) -> str:
        if stored not in ("none", "prompt") and not (stored.startswith("file:///") and len(stored) > 8):
            raise self.refuse("invalid keylocation")
        if stored != "none" and self.ds is not None:
            raise self.refuse("keylocation must be 'none' for unencrypted datasets")
        return self.encryption(name, stored)

    def key_iterations(self, name: str, stored: str) -> str:
        if int(stored) < 100000:
            raise self.refuse("minimum pbkdf2 iterations is 100000")
        raise not_emulated("encryption")

    def _volume(self, prop: str, name: str, stored: str) -> None:
        assert self.ds is not None
        size, block = self.job.cat.number(self.ds, "volsize"), self.job.cat.number(self.ds, "volblocksize")
        if prop in ("reservation", "refreservation") and size < int(stored) != NONE_LIMIT:
            raise self.refuse(f"'{name}' is greater than current volume size")
        if prop == "volsize" and int(stored) % block:
            raise self.refuse(f"'{name}' must be a multiple of volume block size ({nice(block)})")
        if prop == "volsize" and int(stored) == 0:
            raise self.refuse(f"'{name}' cannot be zero")

    def _normalization(self, ready: Pairs) -> None:
        if ready.get("normalization", "none") == "none":
            return
        if ready.get("utf8only") == "off":
            raise self.refuse("'utf8only' must be set 'on' if normalization chosen")
        ready.setdefault("utf8only", "on")


_SPECIAL = {
    "version": Checker.version,
    "volblocksize": Checker.block_size,
    "recordsize": Checker.block_size,
    "special_small_blocks": Checker.small_blocks,
    "mlslabel": Checker.mls_label,
    "mountpoint": Checker.mountpoint,
    "sharenfs": Checker.share,
    "sharesmb": Checker.share,
    "encryption": Checker.encryption,
    "keyformat": Checker.encryption,
    "keylocation": Checker.key_location,
    "pbkdf2iters": Checker.key_iterations,
}


def too_long(pairs: Pairs) -> bool:
    """Is there a user value the kernel refuses (E2BIG)?"""
    return any(
        ":" in name and len(value.encode("utf-8", "surrogateescape")) > LONGEST_USER_VALUE
        for name, value in pairs.items()
    )


def refuse_too_long(pairs: Pairs) -> None:
    """create, clone and snapshot do not know that errno, and die of it (signal 6)."""
    if too_long(pairs):
        raise Refused("internal error: Arg list too long", -6)


def forbidden(job: Job, ds: Ds, prop: str, *, below: bool = False) -> str:
    """Why a zone may not set this property of a dataset (zfs_secpolicy_setprop); "" when it may.

    `below`: of something about to be made below it.
    """
    if job.cat.view is None:
        return ""
    zoned = job.cat.native(ds, "zoned") if ds.bit & FS else None
    if prop == "zoned":
        return "permission denied"
    if prop in ("quota", "filesystem_limit", "snapshot_limit"):
        inherited = below or zoned is None or zoned.source == "inherited"
        if not inherited or (zoned is not None and zoned.text != "on"):
            return "permission denied"
    return job.forbidden(ds.name)


def may_set(job: Job, ds: Ds, pairs: Pairs, doing: str, *, below: bool) -> None:
    for prop in pairs:
        reason = forbidden(job, ds, prop, below=below)
        if reason:
            raise Refused(f"{doing}: {reason}")


def fits(job: Job, ds: Ds, prop: str, value: int) -> str:
    """Would the kernel take this quota or reservation? Returns the reason why not."""
    sizes, cat = space.Space(job.cat), job.cat
    if prop == "quota" and value and value < max(sizes.used(ds), cat.number(ds, "reservation")):
        return "size is less than current used or reserved space"
    if prop == "refquota" and value and value < sizes.refer(ds):
        return "size is less than current used or reserved space"
    if prop in ("reservation", "refreservation"):
        quota = cat.number(ds, "quota") if ds.bit & FS else 0
        more = max(value, sizes.used(ds)) - max(cat.number(ds, prop), sizes.used(ds))
        if (more > 0 and more > sizes.available(ds)) or (quota and value > quota):
            return "size is greater than available space"
    return ""
