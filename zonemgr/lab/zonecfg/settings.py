"""`set` and `clear`, in the global scope and inside a resource."""

from __future__ import annotations

from collections.abc import Callable

from zonemgr.lab import zonestore
from zonemgr.lab.zonecfg import errors, values, words
from zonemgr.lab.zonecfg.entries import ip_type_of
from zonemgr.lab.zonecfg.parser import Command
from zonemgr.lab.zonecfg.reports import NOT_GLOBAL
from zonemgr.lab.zonecfg.scopes import CONTROL_TOO_LOW, add_property
from zonemgr.lab.zonecfg.session import Session
from zonemgr.lab.zonestore import StoreError

LISTS = (("fs", "options"), ("rctl", "value"))
POSITIVE_SIZE = "A positive number with a required scale suffix (K, M, G or T) was expected here."
SIZE = "A non-negative number with a required scale suffix (K, M, G or T) was expected\nhere."
MB = 1 << 20


# -- set -------------------------------------------------------------------------------------------------


def set_command(session: Session, command: Command) -> None:
    if session.refuses_change("set"):
        return
    session.complains_of_options = False  # from here on, for all commands
    name = command.properties[0]
    found, _ = session.options(command.arguments, "F")
    bad = [option for option in found if option.bad]
    for option in bad:
        session.longer_usage("set") if option.letter == "?" else session.short_usage("set")
    if bad or not _may_stand_here(session, name):
        return
    if found:
        _refuse_force(session, name)
        return
    value = command.values[0]
    if not session.in_global_scope and (session.scope, name) in LISTS:
        _set_list(session, command)
    elif not isinstance(value, str):
        session.complain("A simple value was expected here.", flag=True)
    elif name == "zonename" and session.in_global_scope and _renamed_before_create(session, value):
        return
    elif session.initialize():
        setter = _set_global if session.in_global_scope else _SETTERS.get(session.scope, _set_unknown)
        setter(session, name, value)


def _may_stand_here(session: Session, name: str) -> bool:
    if not session.in_global_scope:
        return True
    if session.global_zone and name in NOT_GLOBAL:
        session.complain(f"{name} is not a valid property for the global zone.", flag=True)
        return False
    if name not in session.language.globals:
        session.complain("Cannot set a resource-specific property from the global scope.", flag=True)
        return False
    return True


def _refuse_force(session: Session, name: str) -> None:
    if not session.in_global_scope or name != "zonepath":
        session.complain("Only zonepath setting can be forced.", flag=True)
    else:
        session.complain("Zonepath is changeable only in an alternate root.", flag=True)


def _renamed_before_create(session: Session, name: str) -> bool:
    """A zone that does not exist yet may be given another name: then that is what `create` makes."""
    if session.got_handle or session.state_at_least("configured"):
        return False
    if values.zone_name(name):
        session.zone = name
    else:
        session.failed(name, errors.BOGUS_ZONE_NAME)
        session.err(words.syntax(verbose=False))
    return True


def _set_list(session: Session, command: Command) -> None:
    """Start the list anew; `[]` leaves it empty."""
    if not session.initialize():
        return
    value = command.values[0]
    options = session.scope == "fs"
    if (options and not isinstance(value, (str, list))) or (not options and isinstance(value, str)):
        kinds = "simple or list" if options else "complex or list"
        session.complain(f"A {kinds} value was expected here.", flag=True)
        return
    if options:
        session.entry.options.clear()
    else:
        session.entry.limits.clear()
    if value != []:
        add_property(session, command)


# -- set in the global scope -----------------------------------------------------------------------------


def _set_global(session: Session, name: str, value: str) -> None:
    if name in session.language.zone_aliases:
        _set_alias(session, name, value)
        return
    setters: dict[str, Callable[[Session, str], bool]] = {
        "zonename": _set_zonename, "zonepath": _set_zonepath, "brand": _set_brand, "autoboot": _set_autoboot,
        "pool": _set_pool, "ip-type": _set_ip_type, "hostid": _set_hostid, "fs-allowed": _set_fs_allowed,
    }  # fmt: skip
    if name in setters:
        session.need_to_commit |= setters[name](session, value)
    else:  # bootargs, limitpriv, scheduling-class: any text will do
        session.handle.config.set(name, value)
        session.need_to_commit = True


def _set_zonename(session: Session, value: str) -> bool:
    try:
        session.handle.rename(value)
    except StoreError as failure:
        session.failed(value, failure)
        session.err(words.syntax(verbose=False))
        return False
    session.zone = value
    return True


def _refused_once_installed(session: Session, name: str) -> bool:
    installed = session.state_at_least("installed")
    if installed:
        session.complain(f"Zone {session.zone} already installed; set {name} not allowed.")  # not flagged
    return installed


def _set_zonepath(session: Session, value: str) -> bool:
    if _refused_once_installed(session, "zonepath"):
        return False
    if not value.startswith("/"):
        session.complain(f"{value} is not an absolute path.", flag=True)
        return False
    path = "/" + "/".join(part for part in value.split("/") if part)
    if path == "/":
        session.complain("/ is not allowed as a zonepath.", flag=True)
        return False
    session.handle.config.set("zonepath", path)
    return True


def _set_brand(session: Session, value: str) -> bool:
    if _refused_once_installed(session, "brand"):
        return False
    session.handle.config.set("brand", value)
    return True


def _one_of(session: Session, name: str, value: str, *allowed: str) -> bool:
    if value not in allowed:
        session.complain(f"{name} value must be '{allowed[0]}' or '{allowed[1]}'.", flag=True)
    return value in allowed


def _set_autoboot(session: Session, value: str) -> bool:
    if not _one_of(session, "autoboot", value, "true", "false"):
        return False
    session.handle.config.set("autoboot", value)
    return True


def _set_pool(session: Session, value: str) -> bool:
    if value.startswith("SUNW"):
        session.complain("pool names starting with SUNW are reserved.", flag=True)
        return False
    if session.entries.dedicated_cpu():
        session.complain(
            "The dedicated-cpu resource already exists.  A persistent pool is incompatible\n"
            "with the dedicated-cpu resource.",
            flag=True,
        )
        return False
    session.handle.config.set("pool", value)
    return True


def _set_ip_type(session: Session, value: str) -> bool:
    if not _one_of(session, "ip-type", value, "shared", "exclusive"):
        return False
    if value == "exclusive" and not _brand_is_known(session):
        session.saw_error = True
        return False
    # shared is the default and not written, which keeps the document readable for older systems
    session.handle.config.set("ip-type", None if value == "shared" else value)
    return True


def _brand_is_known(session: Session) -> bool:
    """All brands there are here may be exclusive-IP."""
    try:
        brand = session.handle.brand()
    except StoreError:
        session.complain(f"{session.zone}: could not get zone brand\n")
        return False
    known = brand in zonestore.brands(session.world)
    if not known:
        session.complain(f"{session.zone}: unknown brand.\n")
    return known


def _set_hostid(session: Session, value: str) -> bool:
    match values.hostid(value):
        case None:
            session.handle.config.set("hostid", value)
            return True
        case "too big":
            session.complain(f"hostid string is too large: {value}", flag=True)
        case _:
            session.failed("hostid", errors.INVALID_PROPERTY)
    return False


def _set_fs_allowed(session: Session, value: str) -> bool:
    if not values.fs_allowed(value):
        session.failed(session.zone, errors.INVALID_PROPERTY)
        return False
    session.handle.config.set("fs-allowed", value)
    return True


def _set_alias(session: Session, name: str, value: str) -> None:
    alias = session.language.aliases[name]
    if session.global_zone and name != "cpu-shares":
        session.complain(CONTROL_TOO_LOW)
    if name == "max-shm-memory":
        size = values.to_bytes(value)
        if size is None:
            session.complain(SIZE, flag=True)
            return
        value = str(size)
    try:
        session.entries.alias(alias)
    except StoreError as failure:
        session.failed(name, failure)
        return
    limit = values.plain_unsigned(value)
    if limit is None or limit < alias.least:
        session.complain(f"{name} property is out of range.", flag=True)
        return
    session.entries.set_alias(alias, limit)
    session.need_to_commit = True


# -- set inside a resource -------------------------------------------------------------------------------


def _store(session: Session, name: str, value: str) -> None:
    session.entry.properties[name] = session.entries.kind(session.scope).cut(name, value)


def _set_plain(session: Session, name: str, value: str) -> None:
    """device, attr, dataset, admin, security-flags: nothing is checked before `end`."""
    if name in session.entries.kind(session.scope).attributes:
        _store(session, name, value)
    else:
        session.no_such_property(name, "set")


def _set_fs(session: Session, name: str, value: str) -> None:
    if name == "type" and not values.fs_type(value):
        session.complain(f'"{value}" is not a valid type.', flag=True)
    else:
        _set_plain(session, name, value)


def _set_rctl(session: Session, name: str, value: str) -> None:
    if name == "name" and not values.rctl_name(value):
        session.complain(f"'{value}' is not a valid zone rctl name.")  # not flagged
    else:
        _set_plain(session, name, value)


def _set_net(session: Session, name: str, value: str) -> None:
    if name in ("address", "allowed-address", "defrouter"):
        good = check_address(session, value, is_router=name == "defrouter")
    elif name == "physical":
        good = check_physical(session, value)
    else:
        _set_plain(session, name, value)
        return
    session.saw_error |= not good
    if good:
        _store(session, name, value)


def check_address(session: Session, address: str, *, is_router: bool) -> bool:
    """Syntax only: any word passes as a host name."""
    host, slash, prefix = address.partition("/")
    length = values.atoi(prefix)
    if is_router and slash:
        session.complain(
            f"Warning: prefix length in {address} is not required and will be ignored. "
            "The default host-prefix length will be used"
        )
    if values.is_ipv6(host):
        if not is_router and not slash:
            session.complain(f"{address}: IPv6 addresses require /prefix-length suffix.")
            return False
        if not is_router and not 0 <= length <= 128:
            session.complain(f"{address}: IPv6 address prefix lengths must be 0 - 128.")
            return False
        return True
    if slash and not is_router and not 0 <= length <= 32:
        session.complain(f"{address}: IPv4 address prefix lengths must be 0 - 32.")
        return False
    return values.is_ipv4(host) or _check_host(session, host[:255])


def _check_host(session: Session, host: str) -> bool:
    if host[:1] in values.ALPHANUMERIC and host and values.ALPHANUMERIC.issuperset(host.translate(_HOST)):
        return True
    session.complain(f"{host}: bogus host name or network address syntax", flag=True)
    session.err(words.net_address())
    return False


_HOST = {ord("-"): None, ord("."): None}


def check_physical(session: Session, name: str) -> bool:
    """An interface name as the zone's ip-type of this moment wants it."""
    try:
        ip_type = ip_type_of(session.handle.config)
    except StoreError:
        session.complain("zone configuration has an invalid or nonexistent ip-type property")
        return False
    if ip_type == "shared":
        fault = values.shared_interface(name)
    elif values.link_name(name):
        fault = None
    elif ":" in name:
        fault = "physical interface name required; logical interface name not allowed"
    else:
        fault = "invalid physical interface name"
    if fault:
        session.complain(f"{name}: {fault}")
    return fault is None


def _set_dedicated(session: Session, name: str, value: str) -> None:
    match name:
        case "ncpus":
            low, dash, high = value.partition("-")
            _set_cpus(session, low, high if dash else low)
        case "importance" if values.plain_unsigned(value) is None:
            session.complain("importance property is out of range.", flag=True)
        case "importance":
            session.entry.properties["importance"] = value[:255]
        case _:
            session.no_such_property(name, "set")


def _set_cpus(session: Session, low: str, high: str) -> None:
    least, most = values.plain_unsigned(low), values.plain_unsigned(high)
    if least is None or most is None or not 1 <= least <= most:
        session.complain("ncpus property is out of range.", flag=True)
    else:
        session.entry.properties.update(low=low[:255], high=high[:255])


def _set_capped(session: Session, name: str, value: str) -> None:
    """The cap is an rctl, set at once: `cancel` does not take it back."""
    if name != "ncpus":
        session.no_such_property(name, "set")
        return
    cap = values.cpu_cap(value, omnios=session.world.omnios)
    if cap is None:
        session.complain("ncpus property is out of range.", flag=True)
        return
    _set_inner_alias(session, "cpu-cap", cap)


def _set_inner_alias(session: Session, name: str, value: int) -> None:
    try:
        session.entries.set_alias(session.language.aliases[name], value)
    except StoreError as failure:
        session.failed(session.zone, failure)
    else:
        session.need_to_commit = True


def _set_memory(session: Session, name: str, value: str) -> None:
    if name not in ("physical", "swap", "locked"):
        session.no_such_property(name, "set")
        return
    alias = session.language.aliases.get(name)
    if alias is not None:
        try:
            session.entries.alias(alias)
        except StoreError as failure:
            session.failed(name, failure)
            return
    size = values.to_bytes(value)
    least = _least_memory(session, name)
    if size is None:
        session.complain(POSITIVE_SIZE if least else SIZE, flag=True)
    elif size < least:
        session.complain(f"{name} value is too small.  It must be at least {values.units(least)}.", flag=True)
    elif alias is None:
        session.entry.properties[name] = str(size)
    else:
        _set_inner_alias(session, name, size)


def _least_memory(session: Session, name: str) -> int:
    if name == "swap":
        return 100 * MB if session.global_zone else 50 * MB
    return MB if name == "physical" and not session.world.omnios else 0


def _set_unknown(session: Session, name: str, value: str) -> None:
    session.failed(session.scope or "unknown", errors.NO_RESOURCE_TYPE)
    session.long_usage("set", "resources")


_SETTERS: dict[str, Callable[[Session, str, str], None]] = {
    "fs": _set_fs,
    "net": _set_net,
    "device": _set_plain,
    "rctl": _set_rctl,
    "attr": _set_plain,
    "dataset": _set_plain,
    "dedicated-cpu": _set_dedicated,
    "capped-cpu": _set_capped,
    "capped-memory": _set_memory,
    "admin": _set_plain,
    "security-flags": _set_plain,
}


# -- clear -----------------------------------------------------------------------------------------------

_CLEARABLE: dict[str, tuple[str, ...]] = {
    "fs": ("raw",),
    "dedicated-cpu": ("importance",),
    "security-flags": ("default", "lower", "upper"),
}
_OMNIOS_NET = ("allowed-address", "defrouter", "global-nic", "mac-addr", "vlan-id")


def clear(session: Session, command: Command) -> None:
    if session.refuses_change("clear"):
        return
    name = command.properties[0]
    if session.in_global_scope and session.global_zone and name in NOT_GLOBAL:
        session.complain(f"{name} is not a valid property for the global zone.", flag=True)
    elif session.initialize():
        (_clear_global if session.in_global_scope else _clear_in_scope)(session, name)


def _clear_global(session: Session, name: str) -> None:
    if name in ("zonename", "zonepath", "brand"):
        session.failed(name, errors.CLEAR_DISALLOW)
    elif name in session.language.zone_aliases:
        _clear_alias(session, name)
    elif name not in session.language.globals:
        session.no_such_property(name, "clear")
    else:
        session.handle.config.set(name, "false" if name == "autoboot" else None)
        session.need_to_commit = True


def _clear_alias(session: Session, name: str) -> None:
    try:
        if session.entries.alias(session.language.aliases[name]) is None:
            raise StoreError(errors.NO_ENTRY)
        session.entries.clear_alias(session.language.aliases[name])
    except StoreError as failure:
        session.complain(f"clear {name}: {failure}", flag=True)
    else:
        session.need_to_commit = True


def _clear_in_scope(session: Session, name: str) -> None:
    clearable = _CLEARABLE.get(session.scope, ())
    if session.scope == "net" and session.world.omnios:
        clearable = _OMNIOS_NET
    if session.scope == "capped-memory" and name in ("physical", "swap", "locked"):
        _clear_memory(session, name)
    elif name in clearable:
        session.entry.properties[name] = ""
        session.need_to_commit = True
    else:
        session.failed(name, errors.CLEAR_DISALLOW)


def _clear_memory(session: Session, name: str) -> None:
    if name in session.language.aliases:
        _clear_alias(session, name)
    else:
        session.entry.properties[name] = ""
        session.need_to_commit = True
