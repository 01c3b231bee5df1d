"""`info` and `export`: a configuration as zonecfg prints it."""

from __future__ import annotations

import struct

from zonemgr.lab import zonestore
from zonemgr.lab.world import World
from zonemgr.lab.zonecfg import errors, values
from zonemgr.lab.zonecfg.entries import Entries, Entry, ip_type_of
from zonemgr.lab.zonecfg.filters import BadFilter, filters_of
from zonemgr.lab.zonecfg.handle import Handle
from zonemgr.lab.zonecfg.parser import Command
from zonemgr.lab.zonecfg.session import Session
from zonemgr.lab.zonecfg.words import GLOBALS, Alias, Words, words
from zonemgr.lab.zonestore import StoreError

# size of the buffer each property of the zone is read into
ROOMS = {"zonename": 64, "zonepath": 1024, "hostid": 11, "fs-allowed": 1024, "limitpriv": 1 << 30}
ROOM = 256
NOT_GLOBAL = (
    "zonename", "zonepath", "autoboot", "limitpriv", "bootargs", "brand", "scheduling-class", "ip-type",
    "hostid", "fs-allowed",
)  # fmt: skip
NOT_GLOBAL_RESOURCES = ("fs", "net", "device", "attr", "dataset")
_NET_ORDER = ("address", "allowed-address", "physical", "defrouter")
_OMNIOS_NET_ORDER = (
    "address", "allowed-address", "defrouter", "global-nic", "mac-addr", "physical", "vlan-id",
)  # fmt: skip
_SHOWN = {
    "fs": ("dir", "special", "raw", "type"),
    "device": ("match",),
    "rctl": ("name",),
    "attr": ("name", "type", "value"),
    "dataset": ("name",),
    "admin": ("user", "auths"),
    "security-flags": ("default", "lower", "upper"),
}


# -- info ------------------------------------------------------------------------------------------------


def info(session: Session, command: Command) -> None:
    if not session.initialize():
        return
    if not session.in_global_scope:
        session.out(_in_progress(session))
        return
    about = command.resource
    if session.global_zone and about in NOT_GLOBAL:
        session.complain(f"{about} is not a valid property for the global zone.")
    elif session.global_zone and about in NOT_GLOBAL_RESOURCES:
        session.complain(f"{about} is not a valid resource for the global zone.")
    else:
        for part in (about,) if about else _all_parts(session):
            _show(session, command, part)


_RESOURCES = (
    "fs", "net", "device", "dedicated-cpu", "capped-cpu", "capped-memory", "attr", "dataset", "admin", "rctl",
    "security-flags",
)  # fmt: skip


def _all_parts(session: Session) -> list[str]:
    """What a plain `info` shows, in its order."""
    if session.global_zone:
        hidden = (*NOT_GLOBAL_RESOURCES, "admin")
        resources = [name for name in _RESOURCES if name not in hidden]
        return ["zonename", "pool", *session.language.zone_aliases, *resources]
    return [*GLOBALS, *session.language.zone_aliases, *_RESOURCES]


def _show(session: Session, command: Command, part: str) -> None:
    if part in session.language.zone_aliases:
        session.out(_alias_line(session.entries, session.language, part))
    elif part in session.language.globals:
        _show_property(session, part)
    elif part in ("dedicated-cpu", "capped-cpu", "capped-memory", "security-flags"):
        session.out(_single(session.entries, session.language, part))
    else:
        _show_resources(session, command, part)


def _show_property(session: Session, name: str) -> None:
    handle = session.handle
    attribute = "name" if name == "zonename" else name
    try:
        if name == "ip-type":
            value: str | None = ip_type_of(handle.config)
        elif name == "brand":
            value = handle.brand()
        else:
            value = handle.get(attribute, ROOMS.get(name, ROOM))
            _check_format(name, value or "")
    except StoreError as failure:
        if name in ("zonename", "zonepath", "brand"):
            session.out(f"{name} not specified\n")
        else:
            session.failed(session.zone, failure)
        return
    session.out(f"{name}: {value or ''}\n")


def _check_format(name: str, value: str) -> None:
    """A stored host id or fs-allowed that no `set` would have taken cannot be shown."""
    if value and (
        (name == "hostid" and values.hostid(value)) or (name == "fs-allowed" and not values.fs_allowed(value))
    ):
        raise StoreError(errors.INVALID_PROPERTY)


def _show_resources(session: Session, command: Command, resource: str) -> None:
    shown = False
    for entry in session.entries.all(resource):
        if not command.pairs:
            session.out(describe(entry, omnios=session.world.omnios))
            continue
        try:
            wanted = filters_of(session, command)
        except BadFilter:
            continue
        if _is_wanted(session, entry, wanted):
            session.out(describe(entry, omnios=session.world.omnios))
            shown = True
    if command.pairs and not shown:
        session.out(f"No such {resource} resource.\n")


def _is_wanted(session: Session, entry: Entry, wanted: Entry) -> bool:
    for name in session.entries.kind(entry.resource).shown_by:
        same = entry[name] == wanted[name]
        if name == "address":
            same = values.same_address(wanted[name], entry[name])
        if wanted[name] and not same:
            return False
    return True


def _in_progress(session: Session) -> str:
    match session.scope:
        case "capped-cpu":
            return _single(session.entries, session.language, "capped-cpu")
        case "capped-memory":
            return _memory(session.entries, session.language, session.entry["physical"])
        case "dedicated-cpu":
            return _dedicated(session.entry)
        case "":
            return ""
    return describe(session.entry, omnios=session.world.omnios)


def describe(entry: Entry, *, omnios: bool) -> str:
    """One resource as info shows it."""
    order = (
        (_OMNIOS_NET_ORDER if omnios else _NET_ORDER) if entry.resource == "net" else _SHOWN[entry.resource]
    )
    text = f"{entry.resource}:\n" + "".join(_property_line(name, entry[name]) for name in order)
    if entry.resource == "fs":
        options = ",".join(f'"{option}"' if "=" in option else option for option in entry.options)
        text += f"\toptions: [{options}]\n"
    for priv, limit, action in entry.limits:
        text += f"\tvalue: (priv={priv},limit={limit},action={action})\n"
    for name, value in entry.net_properties:
        text += f'\tproperty: (name={name},value="{value}")\n'
    return text


def _property_line(name: str, value: str) -> str:
    if not value:
        return f"\t{name} not specified\n"
    return f'\t{name}: "{value}"\n' if " " in value else f"\t{name}: {value}\n"


def _alias_line(entries: Entries, language: Words, name: str) -> str:
    limit = entries.alias_or_none(language.aliases[name])
    if limit is None:
        return ""
    return f"[{name}: {values.units(limit) if name == 'max-shm-memory' else limit}]\n"


def _single(entries: Entries, language: Words, resource: str) -> str:
    """A resource there can be but one of; nothing when it is not there."""
    if resource == "capped-cpu":
        cap = entries.alias_or_none(language.aliases["cpu-cap"])
        return "" if cap is None else f"capped-cpu:\n\t[ncpus: {_hundredths(cap)}]\n"
    if resource == "dedicated-cpu":
        entry = entries.dedicated_cpu()
        return _dedicated(entry) if entry else ""
    if resource == "security-flags":
        found = entries.all("security-flags")
        return describe(found[0], omnios=entries.omnios) if found else ""
    caps = [entries.alias_or_none(alias) for alias in memory_aliases(language).values()]
    if entries.memory_cap() is None and all(cap is None for cap in caps):
        return ""
    return _memory(entries, language, entries.memory_cap() or "")


def _hundredths(cap: int) -> str:
    # a 32-bit float, as the real one has it: large caps show its rounding
    single = struct.unpack("f", struct.pack("f", struct.unpack("f", struct.pack("f", cap))[0] / 100))[0]
    return f"{single:.2f}"


def _dedicated(entry: Entry) -> str:
    low, high = entry["low"], entry["high"]
    text = f"dedicated-cpu:\n\tncpus: {high if low == high else f'{low}-{high}'}\n"
    return text + (f"\timportance: {entry['importance']}\n" if entry["importance"] else "")


def memory_aliases(language: Words) -> dict[str, Alias]:
    """The caps of capped-memory that are rctls in truth."""
    return {
        name: language.aliases[name] for name in ("physical", "swap", "locked") if name in language.aliases
    }


def _memory(entries: Entries, language: Words, physical: str) -> str:
    text = "capped-memory:\n"
    if physical:
        text += f"\tphysical: {values.units(values.parse_unsigned(physical).value)}\n"
    for name, alias in memory_aliases(language).items():
        cap = entries.alias_or_none(alias)
        if cap is not None:
            text += f"\t[{name}: {values.units(cap)}]\n"
    return text


# -- export ----------------------------------------------------------------------------------------------

_EXPORTED_NET = ("address", "allowed-address", "physical", "defrouter", "mac-addr", "vlan-id", "global-nic")


def export(session: Session) -> str:
    return _export(session.handle, session.zone, session.language)


def export_text(world: World, name: str) -> str:
    """A stored configuration as `zonecfg -z NAME export` prints it; StoreError when it cannot be read."""
    handle = Handle(world)
    handle.open(name)
    return _export(handle, name, words(omnios=world.omnios))


def _export(handle: Handle, zone: str, language: Words) -> str:
    entries = Entries(handle.config, omnios=language.omnios)
    lines = ["create -b", *_exported_globals(handle, zone)]
    for resource in ("fs", "net", "device"):
        lines += [line for entry in entries.all(resource) for line in _exported(entry)]
    cap = None if language.omnios else entries.memory_cap()
    if cap is not None:
        size = values.units(values.parse_unsigned(cap).value)
        lines += ["add capped-memory", f"set physical={size}", "end"]
    for resource in ("rctl", "attr", "dataset"):
        lines += [line for entry in entries.all(resource) for line in _exported(entry)]
    lines += _exported_cpus(entries)
    lines += [line for entry in entries.all("admin") for line in _exported(entry)]
    lines += [line for entry in entries.all("security-flags")[:1] for line in _exported(entry)]
    return "".join(f"{line}\n" for line in lines)


def _exported_globals(handle: Handle, zone: str) -> list[str]:
    """What cannot be read, for instance because it is too long, is left out without a word."""
    lines = []
    for name in GLOBALS[1:]:
        try:
            value = _exported_global(handle, zone, name)
        except StoreError:
            continue
        if value:
            lines.append(f"set {name}={value}")
    return lines


def _exported_global(handle: Handle, zone: str, name: str) -> str | None:
    if name == "brand":
        brand = _saved_brand(handle.world, zone)
        return None if brand == "native" else brand
    if name == "ip-type":
        return ip_type_of(handle.config)
    value = handle.get(name, ROOMS.get(name, ROOM))
    _check_format(name, value or "")
    return value


def _saved_brand(world: World, zone: str) -> str:
    """export looks the brand up in the saved document, not in the one being worked on."""
    if zone == "global":
        return zonestore.default_brand(world)
    saved = Handle(world)
    saved.open(zone)
    brand = saved.brand()
    if len(brand) > 255:
        raise StoreError(errors.TOO_BIG)
    return brand


def _exported(entry: Entry) -> list[str]:
    order = _EXPORTED_NET if entry.resource == "net" else _SHOWN[entry.resource]
    lines = [f"add {entry.resource}", *(f'set {name}="{entry[name]}"' for name in order if entry[name])]
    lines += [
        f'add options "{option}"' if "=" in option else f"add options {option}" for option in entry.options
    ]
    lines += [
        f"add value (priv={priv},limit={limit},action={action})" for priv, limit, action in entry.limits
    ]
    lines += [f'add property (name={name},value="{value}")' for name, value in entry.net_properties]
    return [*lines, "end"]


def _exported_cpus(entries: Entries) -> list[str]:
    entry = entries.dedicated_cpu()
    if entry is None:
        return []
    low, high = entry["low"], entry["high"]
    lines = ["add dedicated-cpu", f"set ncpus={high if low == high else f'{low}-{high}'}"]
    return [*lines, *([f"set importance={entry['importance']}"] if entry["importance"] else []), "end"]
