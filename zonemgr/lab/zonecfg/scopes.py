"""The commands that enter and leave a resource scope, and those that add to and take from lists: add,
select, end,
cancel, remove.
"""

from __future__ import annotations

from zonemgr.lab.zonecfg import errors, values
from zonemgr.lab.zonecfg.commands import takes_no_more
from zonemgr.lab.zonecfg.entries import Entry
from zonemgr.lab.zonecfg.filters import BadFilter, filters_of
from zonemgr.lab.zonecfg.parser import Command, Complex, Value
from zonemgr.lab.zonecfg.reports import NOT_GLOBAL_RESOURCES, memory_aliases
from zonemgr.lab.zonecfg.session import Session
from zonemgr.lab.zonestore import StoreError

CONTROL_TOO_LOW = (
    "WARNING: Setting a global zone resource control too low could deny\nservice to even the root user; "
    "this could render the system impossible\nto administer.  Please use caution."
)
_CAP_TOO_LOW = CONTROL_TOO_LOW.replace("resource control", "memory cap")


def wrong_scope(session: Session, command: str) -> None:
    where = "resource" if session.in_global_scope else "global"
    session.complain(f"The {command} command only makes sense in the {where} scope.", flag=True)


# -- add -------------------------------------------------------------------------------------------------


def add(session: Session, command: Command) -> None:
    if takes_no_more(session, command) is None or session.refuses_change("add") or not session.initialize():
        return
    if not session.in_global_scope:
        add_property(session, command)
    elif session.global_zone and command.resource in NOT_GLOBAL_RESOURCES:
        session.complain(f"Cannot add a {command.resource} resource to the global zone.", flag=True)
    else:
        session.scope = command.resource
        if _may_add(session, command.resource):
            session.in_global_scope, session.ends_with = False, "add"
            session.entry = Entry(command.resource)


def _may_add(session: Session, resource: str) -> bool:
    """May this scope be entered? Refusals are not flagged: the exit status stays 0."""
    match resource:
        case "":
            session.long_usage("add")
            return False
        case "dedicated-cpu":
            return _may_add_dedicated(session)
        case "capped-cpu":
            return _may_add_capped(session)
        case "capped-memory":
            return _may_add_memory(session)
        case "rctl" if session.global_zone:
            session.complain(CONTROL_TOO_LOW)
        case "security-flags" if session.entries.all("security-flags"):
            session.complain("The security-flags resource already exists.")  # and yet the scope is entered
    return True


def _exists(session: Session, resource: str) -> bool:
    session.complain(f"The {resource} resource already exists.")
    return False


def _may_add_dedicated(session: Session) -> bool:
    if session.entries.dedicated_cpu():
        return _exists(session, "dedicated-cpu")
    try:
        capped = session.entries.alias(session.language.aliases["cpu-cap"]) is not None
    except StoreError:
        capped = True
    if capped:
        return _exists(session, "capped-cpu")
    try:
        pool = session.handle.get("pool", 256)
    except StoreError:
        return True
    if pool:
        session.complain(
            "The pool property is already set.  A persistent pool is incompatible with\n"
            "the dedicated-cpu resource."
        )
    return not pool


def _may_add_capped(session: Session) -> bool:
    if session.entries.dedicated_cpu():
        return _exists(session, "dedicated-cpu")
    try:
        cap = session.entries.alias(session.language.aliases["cpu-cap"])
    except StoreError as failure:
        session.failed("capped-cpu", failure, flag=False)
        return False
    return cap is None or _exists(session, "capped-cpu")


def _may_add_memory(session: Session) -> bool:
    caps = [session.entries.alias_or_none(alias) for alias in memory_aliases(session.language).values()]
    own = None if session.world.omnios else session.entries.memory_cap()
    if own is not None or any(cap is not None for cap in caps):
        session.complain("The capped-memory resource or a related resource control already exists.")
        return False
    if session.global_zone:
        session.complain(_CAP_TOO_LOW)
    return True


def add_property(session: Session, command: Command) -> None:
    """`add NAME VALUE` in a resource scope; `set NAME=VALUE` of a list comes here too."""
    if not session.scope or not command.properties or command.pairs != 1:
        session.long_usage("add")
        return
    name, value = command.properties[0], command.values[0]
    adds = {("fs", "options"): _add_options, ("rctl", "value"): _add_limits}
    if session.world.omnios:
        adds["net", "property"] = _add_net_properties
    if (session.scope, name) in adds:
        adds[session.scope, name](session, value)
    elif session.scope in {scope for scope, _ in adds}:
        session.no_such_property(name, "add")
    else:
        session.failed(session.scope, errors.NO_RESOURCE_TYPE)
        session.long_usage("add", "resources")


def _add_options(session: Session, value: Value) -> None:
    if isinstance(value, Complex):
        session.complain("A simple or list value was expected here.", flag=True)
        return
    for option in [value] if isinstance(value, str) else value:
        if not isinstance(option, str):
            return
        session.entry.options.append(option[:1023])


def _complexes(session: Session, value: Value) -> list[Complex]:
    """A complex value or a list of such; what else is in the list counts as one that says nothing."""
    if isinstance(value, str):
        session.complain("A complex or list value was expected here.", flag=True)
        return []
    found = [value] if isinstance(value, Complex) else value
    return [each if isinstance(each, Complex) else Complex(()) for each in found]


def _read_complex(session: Session, value: Complex, names: tuple[str, ...]) -> list[str] | None:
    """The parts of a complex value in the order of names; None when it is no good, which is not always
    flagged.
    """
    found: dict[str, str] = {}
    for name, text in value.pairs:
        if name not in names:
            session.failed("value", errors.NO_PROPERTY_TYPE)
            session.long_usage("add", "properties")
            return None
        if name in found:
            session.complain(f"{name} already specified")
            return None
        found[name] = text[:255]
    missing = [name for name in names if name not in found]
    for name in missing:
        session.complain(f"{name} not specified")
    return None if missing else [found[name] for name in names]


def _add_limits(session: Session, value: Value) -> None:
    for each in _complexes(session, value):
        parts = _read_complex(session, each, ("priv", "limit", "action"))
        if parts is None:
            continue
        if values.rctl_value(*parts):
            session.entry.limits.append((parts[0], parts[1], parts[2]))
        else:
            session.complain("Invalid rctl value specification")


def _add_net_properties(session: Session, value: Value) -> None:
    for each in _complexes(session, value):
        parts = _read_complex(session, each, ("name", "value"))
        if parts is not None:
            session.entry.net_properties.append((parts[0], parts[1]))


# -- select ----------------------------------------------------------------------------------------------


def select(session: Session, command: Command) -> None:
    if session.refuses_change("select"):
        return
    if not session.in_global_scope:
        wrong_scope(session, "select")
        return
    # The scope is entered before it is known whether there is a zone at all.
    session.in_global_scope, session.scope, session.ends_with = False, command.resource, "select"
    session.entry = session.old = Entry(command.resource)
    if not session.initialize():
        return
    try:
        session.old = _selected(session, command)
    except StoreError as failure:
        session.complain(f"select {command.resource}: {failure}", flag=True)
        session.in_global_scope = True
    session.entry = session.old.copy()


def _selected(session: Session, command: Command) -> Entry:
    entries = session.entries
    match command.resource:
        case "dedicated-cpu":
            found = entries.dedicated_cpu()
        case "capped-cpu":
            cap = entries.alias(session.language.aliases["cpu-cap"])
            found = None if cap is None else Entry("capped-cpu")
        case "capped-memory":
            return _selected_memory(session)
        case _:
            return entries.lookup(wanted_entry(session, command))
    if found is None:
        raise StoreError(errors.NO_ENTRY)
    return found


def _selected_memory(session: Session) -> Entry:
    physical = None if session.world.omnios else session.entries.memory_cap()
    caps = [session.entries.alias_or_none(alias) for alias in memory_aliases(session.language).values()]
    if physical is None and all(cap is None for cap in caps):
        raise StoreError(errors.NO_RESOURCE_TYPE)
    return Entry("capped-memory", {"physical": physical or ""})


def wanted_entry(session: Session, command: Command) -> Entry:
    try:
        return filters_of(session, command)
    except BadFilter:
        raise StoreError(errors.INSUFFICIENT_SPEC) from None


def cancel(session: Session, command: Command) -> None:
    if takes_no_more(session, command) is None:
        return
    if session.in_global_scope:
        wrong_scope(session, "cancel")
    session.in_global_scope = True


# -- remove ----------------------------------------------------------------------------------------------


def remove(session: Session, command: Command) -> None:
    if session.refuses_change("remove"):
        return
    if not session.in_global_scope:
        _remove_property(session, command)
    elif session.global_zone and command.resource in NOT_GLOBAL_RESOURCES:
        session.complain(f"{command.resource} is not a valid resource for the global zone.", flag=True)
    elif not command.resource:
        session.long_usage("remove")
    else:
        _remove_resource(session, command)


def _remove_resource(session: Session, command: Command) -> None:
    found, _ = session.options(command.arguments, "?F")
    bad = [option for option in found if option.letter != "F"]
    for _ in bad:
        session.longer_usage("remove")
    if bad or not session.initialize():
        return
    force = bool(found)
    removers = {
        "dedicated-cpu": _remove_dedicated, "capped-cpu": _remove_capped, "capped-memory": _remove_memory,
        "security-flags": _remove_security_flags,
    }  # fmt: skip
    try:
        if command.resource in removers:
            removed = removers[command.resource](session)
        elif command.pairs:
            session.entries.delete(session.entries.lookup(wanted_entry(session, command)))
            removed = True
        else:
            removed = _remove_all(session, command.resource, force=force)
        session.need_to_commit |= removed
    except StoreError as failure:
        session.complain(f"remove {command.resource}: {failure}", flag=True)


def _remove_all(session: Session, resource: str, *, force: bool) -> bool:
    count = len(session.entries.all(resource))
    if count == 0:
        raise StoreError(errors.NO_ENTRY)
    if count > 1 and not force and not _may_remove_all(session, resource):
        return False
    session.entries.delete_all(resource)
    return True


def _may_remove_all(session: Session, resource: str) -> bool:
    if not session.interactive:
        session.complain(
            "There are multiple instances of this resource.  Either qualify the resource to\n"
            "remove a single instance or use the -F option to remove all instances.",
            flag=True,
        )
        return False
    answer = session.ask(f"Are you sure you want to remove ALL '{resource}' resources")
    if answer is None:
        session.complain("Resource incomplete.")
    return bool(answer)


def _remove_dedicated(session: Session) -> bool:
    if session.entries.dedicated_cpu() is None:
        raise StoreError(errors.NO_ENTRY)
    session.entries.delete_dedicated_cpu()
    return True


def _remove_capped(session: Session) -> bool:
    alias = session.language.aliases["cpu-cap"]
    if session.entries.alias_or_none(alias) is None:
        raise StoreError(errors.NO_RESOURCE_TYPE)
    session.entries.clear_alias(alias)
    return True


def _remove_memory(session: Session) -> bool:
    _selected_memory(session)
    session.entries.set_memory_cap(None)
    for alias in memory_aliases(session.language).values():
        if session.entries.alias_or_none(alias) is not None:
            session.entries.clear_alias(alias)
    return True


def _remove_security_flags(session: Session) -> bool:
    try:
        session.entries.delete(session.entries.security_flags())
    except StoreError:
        session.complain(f"remove security-flags: {errors.NO_RESOURCE_TYPE}")  # not flagged
        return False
    return True


def _remove_property(session: Session, command: Command) -> None:
    if not session.scope or not command.properties:
        session.long_usage("remove")
        return
    if command.pairs != 1:
        session.long_usage("add")
        return
    if not session.initialize():
        return
    name, value = command.properties[0], command.values[0]
    removes = {
        ("fs", "options"): _remove_options,
        ("rctl", "value"): _remove_limit,
        ("net", "defrouter"): _no_router,
    }
    if session.world.omnios:
        removes["net", "property"] = _remove_net_property
    if (session.scope, name) in removes:
        removes[session.scope, name](session, value)
    elif session.scope in {scope for scope, _ in removes}:
        session.no_such_property(name, "remove")
    else:
        session.failed(session.scope, errors.NO_RESOURCE_TYPE)
        session.long_usage("remove", "resources")


def _remove_options(session: Session, value: Value) -> None:
    if isinstance(value, Complex):
        session.complain("A simple or list value was expected here.", flag=True)
        return
    for option in [value] if isinstance(value, str) else value:
        if not isinstance(option, str):
            return
        if option in session.entry.options:
            session.entry.options.remove(option)
        else:
            session.failed("options", errors.NO_PROPERTY_ID)


def _no_router(session: Session, _: Value) -> None:
    session.entry.properties["defrouter"] = ""


def _parts_to_remove(session: Session, value: Value, name: str, parts: tuple[str, ...]) -> list[str] | None:
    """What a complex value says of each part; a part not named is empty, of one named twice the last
    counts.
    """
    if not isinstance(value, Complex):
        session.complain("A complex value was expected here.", flag=True)
        return None
    if any(part not in parts for part, _ in value.pairs):
        session.failed(name, errors.NO_PROPERTY_TYPE)
        session.long_usage("add", "properties")
        return None
    said = dict(value.pairs)
    return [said.get(part, "")[:255] for part in parts]


def _remove_limit(session: Session, value: Value) -> None:
    parts = _parts_to_remove(session, value, "value", ("priv", "limit", "action"))
    if parts is None:
        return
    limit = (parts[0], parts[1], parts[2])
    if limit in session.entry.limits:
        session.entry.limits.remove(limit)
    else:
        session.failed("value", errors.NO_PROPERTY_ID)


def _remove_net_property(session: Session, value: Value) -> None:
    parts = _parts_to_remove(session, value, "property", ("name", "value"))
    if parts is None:
        return
    pair = (parts[0], parts[1])
    if pair in session.entry.net_properties:
        session.entry.net_properties.remove(pair)
    else:
        session.failed("property", errors.NO_PROPERTY_ID)
