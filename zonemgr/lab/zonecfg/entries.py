"""Resources in a zone's document: found by some of their properties, added, taken out, as libzonecfg does
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from zonemgr.lab.zonecfg import errors, values
from zonemgr.lab.zonecfg.document import Document, Element
from zonemgr.lab.zonecfg.words import Alias
from zonemgr.lab.zonestore import StoreError


class Kind(NamedTuple):
    """How one type of resource is kept: its element, its attributes in writing order, the buffers' sizes."""

    element: str
    attributes: dict[str, str]  # property -> attribute
    room: int = 255  # what is longer is cut without a word
    rooms: Mapping[str, int] = MappingProxyType({})
    optional: tuple[str, ...] = ()  # not written when empty
    identity: tuple[str, ...] = ()  # all must be equal for the entry to be taken out
    filters: tuple[str, ...] = ()  # select and remove look at these, in this order
    shown_by: tuple[str, ...] = ()  # info looks at these

    def cut(self, name: str, value: str) -> str:
        return value[: self.rooms.get(name, self.room)]


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


KINDS: dict[str, Kind] = {
    "fs": Kind(
        "filesystem",
        {"special": "special", "raw": "raw", "dir": "directory", "type": "type"},
        room=1023, rooms={"type": 15}, optional=("raw",), identity=("dir", "special", "raw", "type"),
        filters=("dir", "special", "raw", "type"), shown_by=("dir", "special", "type"),
    ),
    "net": Kind(
        "network", _same("address", "allowed-address", "physical", "defrouter"),
        room=45, rooms={"physical": 31}, optional=("address", "allowed-address", "defrouter"),
        identity=("address", "allowed-address", "physical"),
        filters=("address", "allowed-address", "physical", "defrouter"), shown_by=("physical", "address"),
    ),
    "device": Kind(
        "device", _same("match"), room=1023, identity=("match",), filters=("match",), shown_by=("match",)
    ),
    "rctl": Kind("rctl", _same("name"), identity=("name",), filters=("name",), shown_by=("name",)),
    "attr": Kind(
        "attr", _same("name", "type", "value"), rooms={"value": 2047},
        identity=("name", "type", "value"), filters=("name", "type", "value"),
        shown_by=("name", "type", "value"),
    ),
    "dataset": Kind("dataset", _same("name"), identity=("name",), filters=("name",), shown_by=("name",)),
    "admin": Kind(
        "admin", _same("user", "auths"), rooms={"user": 31, "auths": 4095},
        identity=("user",), filters=("user", "auths"), shown_by=("user",),
    ),
    "security-flags": Kind(
        "security-flags", _same("default", "lower", "upper"), room=1023,
        identity=("default", "lower", "upper"), filters=("default", "lower", "upper"),
    ),
}  # fmt: skip
_OMNIOS_NET = ("mac-addr", "vlan-id", "global-nic")
OMNIOS_NET = Kind(
    "network", _same("address", "allowed-address", "physical", "defrouter", *_OMNIOS_NET),
    room=45, rooms={"physical": 31, "mac-addr": 31, "vlan-id": 31, "global-nic": 31},
    optional=("address", "allowed-address", "defrouter", *_OMNIOS_NET),
    identity=("address", "allowed-address", "physical"),
    filters=("address", "allowed-address", "physical", "defrouter", *_OMNIOS_NET),
    shown_by=("physical", "address", *_OMNIOS_NET),
)  # fmt: skip


def kind_of(resource: str, *, omnios: bool) -> Kind:
    return OMNIOS_NET if omnios and resource == "net" else KINDS[resource]


@dataclass
class Entry:
    """One resource, in the document or being entered."""

    resource: str
    properties: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)  # fs
    limits: list[tuple[str, str, str]] = field(default_factory=list)  # rctl: priv, limit, action
    net_properties: list[tuple[str, str]] = field(default_factory=list)  # OmniOS' net: name, value

    def __getitem__(self, name: str) -> str:
        return self.properties.get(name, "")

    def copy(self) -> Entry:
        return Entry(
            self.resource,
            dict(self.properties),
            list(self.options),
            list(self.limits),
            list(self.net_properties),
        )


class Entries:
    """The resources of one document."""

    def __init__(self, document: Document, *, omnios: bool) -> None:
        self.document, self.omnios = document, omnios

    def kind(self, resource: str) -> Kind:
        return kind_of(resource, omnios=self.omnios)

    def all(self, resource: str) -> list[Entry]:
        return [self._read(resource, element) for element in self.document.each(self.kind(resource).element)]

    def _read(self, resource: str, element: Element) -> Entry:
        kind = self.kind(resource)
        entry = Entry(
            resource,
            {name: kind.cut(name, self.document.text(of, element)) for name, of in kind.attributes.items()},
        )
        text = self.document.text
        if resource == "fs":
            entry.options = [text("name", option) for option in element.children]
        elif resource == "rctl":
            entry.limits = [
                (text("priv", at), text("limit", at), text("action", at)) for at in element.children
            ]
        elif resource == "net":
            entry.net_properties = [(text("name", at), text("value", at)) for at in element.children]
        return entry

    def add(self, entry: Entry) -> None:
        kind = self.kind(entry.resource)
        element = Element(kind.element)
        for name, attribute in kind.attributes.items():
            if entry[name] or name not in kind.optional:
                element.attributes[attribute] = entry[name]
        element.children = [
            *(Element("fsoption", {"name": option}) for option in entry.options),
            *(Element("rctl-value", {"priv": p, "limit": lim, "action": a}) for p, lim, a in entry.limits),
            *(Element("net-attr", {"name": name, "value": value}) for name, value in entry.net_properties),
        ]
        self.document.root.children.append(element)

    def delete(self, entry: Entry) -> None:
        """Take out the first resource that is this one; its lists, and a net's defrouter, do not count."""
        kind = self.kind(entry.resource)
        for element in self.document.each(kind.element):
            if all(
                self.document.get(kind.attributes[name], element) == entry[name] for name in kind.identity
            ):
                self._remove(element)
                return
        raise StoreError(errors.NO_RESOURCE_ID)

    def _remove(self, element: Element) -> None:
        children = self.document.root.children
        del children[next(at for at, child in enumerate(children) if child is element)]

    def delete_all(self, resource: str) -> None:
        tag = self.kind(resource).element
        self.document.root.children = [child for child in self.document.root.children if child.tag != tag]

    def modify(self, old: Entry, new: Entry) -> None:
        self.delete(old)
        self.add(new)

    def lookup(self, wanted: Entry) -> Entry:
        """The one resource that fits; StoreError when there is none, or when there are several."""
        if wanted.resource == "net":
            return self._lookup_net(wanted)
        if wanted.resource == "rctl":
            return self._lookup_rctl(wanted)
        if wanted.resource == "security-flags":
            return self.security_flags()
        looked_at = ("user",) if wanted.resource == "admin" else self.kind(wanted.resource).filters
        filters = [name for name in looked_at if wanted[name]]
        match: Entry | None = None
        for entry in self.all(wanted.resource):
            match = self._weigh(wanted, entry, filters, match)
        if match is None:
            raise StoreError(errors.NO_RESOURCE_ID)
        return match

    @staticmethod
    def _weigh(wanted: Entry, entry: Entry, filters: list[str], match: Entry | None) -> Entry | None:
        """libzonecfg's way: a property that fits makes a match, a later one that does not takes it back.

        So a resource that fits in one property only still spoils the match of another.
        """
        for name in filters:
            if entry[name] == wanted[name]:
                if match is not None and match is not entry:
                    raise StoreError(errors.INSUFFICIENT_SPEC)
                match = entry
            elif match is entry:
                match = None
        return match

    def security_flags(self) -> Entry:
        """The zone's security flags; filters do not count, there is one such resource at most."""
        for entry in self.all("security-flags"):
            return entry
        raise StoreError(errors.NO_ENTRY)

    def _lookup_rctl(self, wanted: Entry) -> Entry:
        if not wanted["name"]:
            raise StoreError(errors.INVALID)
        for entry in self.all("rctl"):
            if entry["name"] == wanted["name"]:
                return entry
        raise StoreError(errors.NO_RESOURCE_ID)

    def _lookup_net(self, wanted: Entry) -> Entry:
        if wanted["address"] and wanted["allowed-address"]:
            raise StoreError(errors.INVALID)
        if not any(wanted[name] for name in self.kind("net").filters):
            raise StoreError(errors.INSUFFICIENT_SPEC)
        ip_type = ip_type_of(self.document)
        found = [entry for entry in self.all("net") if self._net_fits(wanted, entry, ip_type)]
        if len(found) != 1:
            raise StoreError(errors.INSUFFICIENT_SPEC if found else errors.NO_RESOURCE_ID)
        entry = found[0]
        other = "allowed-address" if ip_type == "shared" else "address"
        entry.properties[other] = wanted[other]  # the address of the other ip-type is not read
        return entry

    def _net_fits(self, wanted: Entry, entry: Entry, ip_type: str) -> bool:
        address = "address" if ip_type == "shared" else "allowed-address"
        for name in (address, "defrouter"):
            if wanted[name] and not values.same_address(wanted[name], entry[name]):
                return False
        return all(not wanted[name] or wanted[name] == entry[name] for name in ("physical", *_OMNIOS_NET))

    # -- rctls under a short name ------------------------------------------------------------------------

    def alias(self, alias: Alias) -> int | None:
        """The value under an alias, None when it is not set; StoreError for an rctl no alias can stand
        for.
        """
        entries = [entry for entry in self.all("rctl") if entry["name"] == alias.rctl]
        if not entries:
            return None
        for entry in entries:
            if len(entry.limits) != 1 or (entry.limits[0][0], entry.limits[0][2]) != (
                "privileged",
                alias.action,
            ):
                raise StoreError(errors.ALIAS_DISALLOW)
        if len(entries) > 1:
            raise StoreError(errors.ALIAS_DISALLOW)
        return values.parse_unsigned(entries[0].limits[0][1]).value

    def alias_or_none(self, alias: Alias) -> int | None:
        try:
            return self.alias(alias)
        except StoreError:
            return None

    def set_alias(self, alias: Alias, value: int) -> None:
        self.clear_alias(alias)
        self.add(Entry("rctl", {"name": alias.rctl}, limits=[("privileged", str(value), alias.action)]))

    def clear_alias(self, alias: Alias) -> None:
        """Take out what the alias stands for; StoreError(ALIAS_DISALLOW) as in `alias`, no error when
        absent.
        """
        if self.alias(alias) is not None:
            self.delete(Entry("rctl", {"name": alias.rctl}))

    # -- single resources with elements of their own -----------------------------------------------------

    def dedicated_cpu(self) -> Entry | None:
        pset = next(self.document.each("pset"), None)
        if pset is None:
            return None
        pool = next(self.document.each("tmp_pool"), None)
        return Entry("dedicated-cpu", {
            "low": pset.attributes["ncpu_min"], "high": pset.attributes["ncpu_max"],
            "importance": pool.attributes["importance"] if pool else "",
        })  # fmt: skip

    def set_dedicated_cpu(self, entry: Entry) -> None:
        self.document.root.children.append(
            Element("pset", {"ncpu_min": entry["low"], "ncpu_max": entry["high"]})
        )
        self._drop("tmp_pool")
        if entry["importance"]:
            self.document.root.children.append(Element("tmp_pool", {"importance": entry["importance"]}))

    def delete_dedicated_cpu(self) -> None:
        there = self._drop("pset")
        self._drop("tmp_pool")
        if not there:
            raise StoreError(errors.NO_RESOURCE_ID)

    def _drop(self, tag: str) -> bool:
        element = next(self.document.each(tag), None)
        if element is not None:
            self._remove(element)
        return element is not None

    def memory_cap(self) -> str | None:
        """The physical cap that is kept in an element of its own (not on OmniOS)."""
        element = next(self.document.each("mcap"), None)
        return None if element is None else element.attributes["physcap"]

    def set_memory_cap(self, size: str | None) -> None:
        self._drop("mcap")
        if size is not None:
            self.document.root.children.append(Element("mcap", {"physcap": size}))


def ip_type_of(document: Document) -> str:
    """The zone's ip-type; StoreError when the document says something else than the two there are."""
    text = document.get("ip-type") or "shared"
    if len(text) > 9:
        raise StoreError(errors.TOO_BIG)
    if text not in ("shared", "exclusive"):
        raise StoreError(errors.INVALID)
    return text
