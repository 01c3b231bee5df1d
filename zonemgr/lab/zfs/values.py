"""What a property of a dataset is when asked for: stored, computed or overridden, exact or for reading."""

from __future__ import annotations

import time
from collections.abc import Callable

from zonemgr.lab.zfs import mounting, props
from zonemgr.lab.zfs.catalogue import Catalogue, Ds, Value, file_system
from zonemgr.lab.zfs.names import SNAP, VOL
from zonemgr.lab.zfs.space import Space
from zonemgr.lab.zfs.text import NONE_LIMIT, nice

_MAYBE_NONE = ("quota", "refquota", "reservation", "refreservation")
_LIMITS = ("filesystem_limit", "snapshot_limit", "filesystem_count", "snapshot_count")
_PLAIN = ("guid", "createtxg")
_AT_CREATION = ("version", "utf8only", "normalization", "casesensitivity")
_FEW = ("local", "default", "received", "inherited", "temporary", "none")
SOURCES = frozenset(_FEW)


def date(when: float) -> str:
    return time.strftime("%a %b %e %k:%M %Y", time.localtime(int(when)))


class Reader:
    """Answers for one command; sizes are measured at most once."""

    def __init__(self, cat: Catalogue, *, literal: bool) -> None:
        self.cat, self.literal = cat, literal
        self.space = Space(cat)

    def native(self, ds: Ds, prop: props.Property) -> Value | None:
        """None: this kind of dataset has no such property, or it has no value."""
        if not prop.types & ds.bit or not self._fits_head(ds, prop):
            return None
        computed = _COMPUTED.get(prop.name)
        if computed is not None:
            text = computed(self, ds)
            return None if text is None else Value(text, "none")
        return self._stored(ds, prop)

    def _fits_head(self, ds: Ds, prop: props.Property) -> bool:
        """A snapshot of a volume has no file system's properties."""
        if ds.type != "snapshot" or prop.types & VOL or prop.types == SNAP:
            return True
        return file_system(self.cat, ds).type == "filesystem"

    def _stored(self, ds: Ds, prop: props.Property) -> Value:
        if prop.name == "mountpoint":
            return self.cat.mountpoint(ds)
        if prop.name in _AT_CREATION:
            head = file_system(self.cat, ds)
            return Value(self.cat.native(head, prop.name).text, "none")
        if prop.name in mounting.TEMPORARY and ds.type == "filesystem":
            value = mounting.temporary(self.cat, ds, prop.name)
        else:
            value = self.cat.native(ds, prop.name)
        if prop.name == "volblocksize":
            value = Value(value.text, "none")
        return value._replace(text=self.shown(prop, value.text))

    def shown(self, prop: props.Property, stored: str) -> str:
        """A stored value as it is printed."""
        if prop.kind != props.NUMBER:
            return stored
        number = int(stored)
        if prop.name in _LIMITS and number == NONE_LIMIT and not self.literal:
            return "none"
        if prop.name in _MAYBE_NONE and number == 0 and not self.literal:
            return "none"
        return stored if self.literal else nice(number)

    def size(self, number: int) -> str:
        return str(number) if self.literal else nice(number)

    def user(self, ds: Ds, name: str) -> Value | None:
        if props.is_written(name):
            return self._written_since(ds, name.partition("@")[2])
        return self.cat.user(ds, name)

    def _written_since(self, ds: Ds, since: str) -> Value | None:
        head = ds.name.partition("@")[0]
        snap = self.cat.get(since if "@" in since else f"{head}@{since}")
        if ds.type == "bookmark" or snap is None or snap.type != "snapshot":
            return None
        return Value(self.size(self.space.written(ds, snap)), "local")

    def received(self, ds: Ds, name: str) -> str | None:
        found = self.cat.props(ds).get(name)
        if found is None or found.received is None:
            return None
        prop = props.TABLE.get(name)
        return found.received if prop is None else self.shown(prop, found.received)

    # -- computed ------------------------------------------------------------------------------------------

    def creation(self, ds: Ds) -> str:
        return str(int(ds.created)) if self.literal else date(ds.created)

    def ratio(self, ds: Ds) -> str:
        return "1.00x"

    def mounted(self, ds: Ds) -> str:
        mounted = self.cat.mount(ds)
        return "yes" if mounted is not None and self.cat.shown(mounted) else "no"

    def origin(self, ds: Ds) -> str | None:
        found = self.cat.origin(ds)
        return None if found is None else found.name

    def clones(self, ds: Ds) -> str | None:
        return ",".join(clone.name for clone in self.cat.clones(ds)) or None

    def userrefs(self, ds: Ds) -> str:
        return str(len(self.cat.holds(ds)))

    def available(self, ds: Ds) -> str:
        return self.size(self.space.available(ds))


_COMPUTED: dict[str, Callable[[Reader, Ds], str | None]] = {
    "type": lambda reader, ds: ds.type,
    "name": lambda reader, ds: ds.name,
    "creation": Reader.creation,
    "used": lambda reader, ds: reader.size(reader.space.used(ds)),
    "available": Reader.available,
    "referenced": lambda reader, ds: reader.size(reader.space.refer(ds)),
    "compressratio": Reader.ratio,
    "refcompressratio": Reader.ratio,
    "mounted": Reader.mounted,
    "origin": Reader.origin,
    "clones": Reader.clones,
    "createtxg": lambda reader, ds: str(ds.txg),
    "guid": lambda reader, ds: str(ds.guid),
    "objsetid": lambda reader, ds: str(ds.id),
    "numclones": lambda reader, ds: str(len(reader.cat.clones(ds))),
    "usedbysnapshots": lambda reader, ds: reader.size(reader.space.by_snapshots(ds)),
    "usedbydataset": lambda reader, ds: reader.size(reader.space.by_dataset(ds)),
    "usedbychildren": lambda reader, ds: reader.size(reader.space.by_children(ds)),
    "usedbyrefreservation": lambda reader, ds: reader.size(reader.space.by_reservation(ds)),
    "defer_destroy": lambda reader, ds: "on" if ds.defer else "off",
    "userrefs": Reader.userrefs,
    "written": lambda reader, ds: reader.size(reader.space.written(ds)),
    "logicalused": lambda reader, ds: reader.size(reader.space.used(ds)),
    "logicalreferenced": lambda reader, ds: reader.size(reader.space.refer(ds)),
    "receive_resume_token": lambda reader, ds: None,
    "encryptionroot": lambda reader, ds: None,
    "keystatus": lambda reader, ds: None,
}
