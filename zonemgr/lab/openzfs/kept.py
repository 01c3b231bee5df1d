"""The properties a lab keeps as user properties of the machine's datasets, and what follows from them.

To the machine every dataset of a lab is `mountpoint=legacy`, so that the machine never mounts one by itself, nor over
its own directories; zoned of OpenZFS on Linux needs a user namespace and keeps a dataset from being mounted outside of
it, and sharing would share the machine's directories. What the lab's users set is in these instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from zonemgr.lab.openzfs.machine import Machine

PREFIX = "zonemgr.lab:"
# property: its value where nobody has set it ("" for mountpoint: made of the name)
KEPT = {"mountpoint": "", "canmount": "on", "zoned": "off", "sharenfs": "off", "sharesmb": "off"}
CHOICES = {"canmount": ("on", "off", "noauto"), "zoned": ("on", "off")}
FILE_SYSTEM_ONLY = ("mountpoint", "canmount", "sharenfs", "sharesmb")
INHERITED = "inherited from "


def user_property(name: str) -> str:
    """The name a property is kept under; any other is its own."""
    return PREFIX + name if name in KEPT else name


@dataclass(frozen=True)
class Value:
    text: str
    source: str  # as zfs get prints it

    @property
    def is_own(self) -> bool:
        return self.source in ("local", "received")


class Table:
    """File systems and volumes of a lab with their kept properties, as they were when this was read."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.types: dict[str, str] = {}
        self.origins: dict[str, str] = {}
        self._kept: dict[str, dict[str, Value]] = {}
        wanted = ",".join(["type", "origin", *map(user_property, KEPT)])
        columns = ("-o", "name,property,value,source", "-t", "filesystem,volume")
        for name, prop, value, source in machine.rows(
            "get", "-H", "-p", "-r", *columns, wanted, machine.base
        ):
            if machine.owns(name):
                self._take(machine.lab(name), prop, value, source)

    def _take(self, name: str, prop: str, value: str, source: str) -> None:
        if prop == "type":
            self.types[name] = value
        elif prop == "origin":
            self.origins[name] = "" if value == "-" else self._machine.lab(value)
        elif source not in ("-", "none"):
            self._kept.setdefault(name, {})[prop.removeprefix(PREFIX)] = Value(value, self.source(source))

    def source(self, text: str) -> str:
        """A source as the lab has it: what comes from outside of the lab is as good as a default."""
        holder = text.removeprefix(INHERITED)
        if holder == text:
            return text
        return INHERITED + self._machine.lab(holder) if self._machine.owns(holder) else "default"

    # -- values ------------------------------------------------------------------------------------------------

    def value(self, name: str, prop: str) -> Value | None:
        """None where a dataset of that type has no such property."""
        if prop in FILE_SYSTEM_ONLY and self.types.get(name) != "filesystem":
            return None
        found = self._kept.get(name, {}).get(prop)
        if prop == "mountpoint":
            return self._mountpoint(name, found)
        if found is None or (prop == "canmount" and not found.is_own):  # canmount is never inherited
            return Value(KEPT[prop], "default")
        return found

    def _mountpoint(self, name: str, found: Value | None) -> Value:
        if found is None or found.source == "default":
            return Value(f"/{name}", "default")
        if found.is_own or not found.text.startswith("/"):
            return found
        holder = found.source.removeprefix(INHERITED)
        return Value((found.text.rstrip("/") + name[len(holder) :]) or "/", found.source)

    def text(self, name: str, prop: str) -> str:
        found = self.value(name, prop)
        return "-" if found is None else found.text

    def zoned(self, name: str) -> bool:
        return self.text(name, "zoned") == "on"

    def mountable(self, name: str, *, in_zone: bool) -> bool:
        """Does zfs itself mount this one, from the zone that asks? (libzfs: zfs_is_mountable)"""
        return (
            self.text(name, "mountpoint").startswith("/")
            and self.text(name, "canmount") != "off"
            and self.zoned(name) == in_zone
        )

    # -- the tree ----------------------------------------------------------------------------------------------

    def pools(self) -> list[str]:
        return [name for name in self.types if "/" not in name]

    def below(self, name: str) -> Iterator[str]:
        """What is below a dataset, not itself."""
        return (each for each in self.types if each.startswith(name + "/"))

    def follow(self, name: str) -> list[str]:
        """The file systems below that have their mountpoint from here, by inheritance."""
        mine = self.value(name, "mountpoint")
        holder = name if mine is None or mine.is_own else mine.source.removeprefix(INHERITED)
        return [
            each
            for each in self.below(name)
            if (value := self.value(each, "mountpoint")) is not None
            and (value.source == "default" or value.source in (INHERITED + name, INHERITED + holder))
        ]
