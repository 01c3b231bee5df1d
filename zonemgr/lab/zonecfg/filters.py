"""The `name=value` filters of select, remove and info."""

from __future__ import annotations

from zonemgr.lab.zonecfg import errors
from zonemgr.lab.zonecfg.entries import Entry
from zonemgr.lab.zonecfg.parser import Command
from zonemgr.lab.zonecfg.session import Session


class BadFilter(Exception):
    """A filter that cannot be; it was complained about."""


def filters_of(session: Session, command: Command) -> Entry:
    kind = session.entries.kind(command.resource)
    wanted = Entry(command.resource)
    for name, value in zip(command.properties, command.values, strict=True):
        if not isinstance(value, str):
            session.complain("A simple value was expected here.", flag=True)
            raise BadFilter
        if name not in kind.filters:
            session.failed(name, errors.NO_PROPERTY_TYPE)
            raise BadFilter
        wanted.properties[name] = kind.cut(name, value)
    return wanted
