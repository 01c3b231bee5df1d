"""`end`: is the resource complete, and is there one like it already? Then it joins the configuration."""

from __future__ import annotations

from zonemgr.lab.zonecfg import values
from zonemgr.lab.zonecfg.admins import unknown_rights, user_exists
from zonemgr.lab.zonecfg.commands import takes_no_more
from zonemgr.lab.zonecfg.entries import Entry
from zonemgr.lab.zonecfg.parser import Command
from zonemgr.lab.zonecfg.reports import memory_aliases
from zonemgr.lab.zonecfg.scopes import wrong_scope
from zonemgr.lab.zonecfg.session import Session
from zonemgr.lab.zonestore import StoreError

# what must be there, in the order in which its absence is told
REQUIRED = {
    "fs": ("dir", "special", "type"),
    "net": ("physical",),
    "device": ("match",),
    "rctl": ("name",),
    "attr": ("name", "type", "value"),
    "dataset": ("name",),
    "admin": ("user", "auths"),
    "security-flags": (),
}
# what makes a resource unique
UNIQUE = {"fs": "dir", "device": "match", "rctl": "name", "attr": "name", "dataset": "name", "admin": "user"}


def end(session: Session, command: Command) -> None:
    if takes_no_more(session, command) is None:
        return
    if session.in_global_scope:
        wrong_scope(session, "end")
        return
    special = {"dedicated-cpu": _end_dedicated, "capped-cpu": _end_capped, "capped-memory": _end_memory}
    try:
        done = special.get(session.scope, _end_listed)(session)
    except StoreError as failure:
        session.failed(session.zone, failure)
        return
    if done:
        session.need_to_commit = session.in_global_scope = True


def _end_listed(session: Session) -> bool:
    """A resource there may be several of."""
    faults = _faults(session, session.entry)
    for fault in faults:
        session.complain(fault, flag=True)
    if session.scope == "security-flags" and not check_flags(session, session.entry):
        session.saw_error = True
        return False
    if faults:
        return False
    if session.ends_with == "select":
        session.entries.modify(session.old, session.entry)
        return True
    if _is_there(session, session.entry):
        return False
    session.entries.add(session.entry)
    return True


def _faults(session: Session, entry: Entry) -> list[str]:
    checks = {"fs": _fs_faults, "attr": _attr_faults, "admin": _admin_faults}
    if entry.resource in checks:
        return checks[entry.resource](session, entry)
    faults = [f"{name} not specified" for name in REQUIRED[entry.resource] if not entry[name]]
    if entry.resource == "rctl" and not entry.limits:
        faults.append("no value specified")
    return faults


def _fs_faults(_: Session, entry: Entry) -> list[str]:
    faults = []
    for name in ("dir", "special", "raw", "type"):
        if not entry[name] and name != "raw":
            faults.append(f"{name} not specified")
        elif name in ("dir", "raw") and entry[name] and not entry[name].startswith("/"):
            faults.append(f"{name} {entry[name]} is not an absolute path.")
    return faults


def _attr_faults(_: Session, entry: Entry) -> list[str]:
    faults = [f"{name} not specified" for name in REQUIRED["attr"] if not entry[name]]
    name = entry["name"]
    if name[:1] not in values.ALPHANUMERIC:
        faults.append(f"Invalid attr name {name}: must start with an alpha-numeric character.")
    elif not values.ALPHANUMERIC.issuperset(name.replace("-", "").replace(".", "")):
        faults.append(
            f"Invalid attr name {name}: can only contain alpha-numeric characters, plus '-' and '.'."
        )
    return faults + _attr_value_faults(entry["type"], entry["value"])


def _attr_value_faults(kind: str, value: str) -> list[str]:
    good = {
        "boolean": value in ("true", "false"),
        "int": values.is_int64(value),
        "string": len(value) < 256,
        "uint": values.is_uint64(value),
    }
    if kind not in good:
        return [f"invalid attr type '{kind}'"]
    return [] if good[kind] else [f"invalid attr value for type={kind}"]


def _admin_faults(session: Session, entry: Entry) -> list[str]:
    faults = []
    if not entry["user"]:
        faults.append("user not specified")
    elif not user_exists(session.world, entry["user"]):
        faults.append(f"user {entry['user']} is not a valid username")
    if not entry["auths"]:
        faults.append("auths not specified")
    return faults + wrong_rights(session, entry["auths"])


def wrong_rights(session: Session, rights: str) -> list[str]:
    return [
        f"zone '{session.zone}': '{word}' is not a valid authorization" for word in unknown_rights(rights)
    ]


def _is_there(session: Session, entry: Entry) -> bool:
    if entry.resource == "security-flags":
        return False
    about = UNIQUE.get(entry.resource)
    wanted = Entry(entry.resource, {about: entry[about]} if about else dict(entry.properties))
    try:
        session.entries.lookup(wanted)
    except StoreError:
        return False
    session.complain(_already(entry, about), flag=True)
    return True


def _already(entry: Entry, about: str | None) -> str:
    if about is None:
        which = "address" if entry["address"] else "allowed-address"
        about_text = f"physical '{entry['physical']}', and {which} '{entry[which]}'"
    else:
        about_text = f"{about} '{entry[about]}'"
    article = "An" if entry.resource == "attr" else "A"
    return f"{article} {entry.resource} resource with the {about_text} already exists."


# -- resources of their own kind -------------------------------------------------------------------------


def _end_dedicated(session: Session) -> bool:
    if not session.entry["low"]:
        session.complain("ncpus not specified", flag=True)
        return False
    if session.ends_with == "select":
        session.entries.delete_dedicated_cpu()
    session.entries.set_dedicated_cpu(session.entry)
    return True


def _end_capped(session: Session) -> bool:
    """The cap itself was set at once, as an rctl."""
    if session.entries.alias_or_none(session.language.aliases["cpu-cap"]) is None:
        session.complain("ncpus not specified", flag=True)
        return False
    return True


def _end_memory(session: Session) -> bool:
    caps = {
        name: session.entries.alias_or_none(alias) for name, alias in memory_aliases(session.language).items()
    }
    own = session.entry["physical"]
    physical = values.parse_unsigned(own).value if own else caps.get("physical")
    if physical is None and all(cap is None for cap in caps.values()):
        session.complain(
            "No property was specified.  One of physical, swap or locked is required.", flag=True
        )
        return False
    locked = caps["locked"]
    if physical is not None and locked is not None and physical < locked:
        session.complain("The locked cap must be less than or equal to the physical cap.", flag=True)
        return False
    if own or (session.ends_with == "select" and not session.world.omnios):
        session.entries.set_memory_cap(own or None)
    return True


def check_flags(session: Session, entry: Entry) -> bool:
    """Are the security flags sets of known flags, each within its bounds? Says what is wrong."""
    good = True
    sets: dict[str, values.Flags] = {}
    for name, default in (("default", 0), ("upper", values.ALL_FLAGS), ("lower", 0)):
        parsed = values.security_flags(entry[name]) if entry[name] else values.Flags(default, True)
        if parsed is None:
            session.complain(f"{name} security flags '{entry[name]}' are invalid")
            good = False
        sets[name] = parsed or values.Flags(0, False)
    for name in ("default", "lower", "upper"):
        if not sets[name].is_set:
            session.complain(f"only assignment of security flags is allowed ({name}: {entry[name]})")
    default, lower, upper = sets["default"].bits, sets["lower"].bits, sets["upper"].bits
    outside = (
        (default & ~upper, "default secflags must be within the upper limit"),
        (lower & ~default, "default secflags must be above the lower limit"),
        (lower & ~upper, "lower secflags must be within the upper limit"),
    )
    for bits, text in outside:
        if bits:
            session.complain(text)
            good = False
    return good
