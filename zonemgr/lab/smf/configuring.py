"""svccfg(8), as far as tools that prepare zones use it: properties of a running system or of a repository."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from zonemgr.lab import options
from zonemgr.lab.call import Call
from zonemgr.lab.place import Place, here
from zonemgr.lab.smf import IP_MANAGEMENT, reach, repository
from zonemgr.lab.smf.repository import Repository
from zonemgr.lab.smf.services import SYSDING, known, match

TYPES = (
    "astring", "boolean", "count", "fmri", "host", "hostname", "integer", "net_address", "net_address_v4",
    "net_address_v6", "opaque", "time", "uri", "ustring",
)  # fmt: skip
NOT_EMULATED = (
    "add", "addnotify", "addprop", "addpropvalue", "apply", "archive", "delcust", "delete", "delhash",
    "delnotify", "delpropvalue", "describe", "editprop", "export", "extract", "hashfile", "import",
    "inventory", "listcust", "listnotify", "listsnap", "loadsnap", "restore", "revert", "selectsnap", "set",
    "setenv",
    "setnotify", "switch", "unset", "unsetenv", "validate",
)  # fmt: skip
# Property groups that manifests bring along.
GROUPS = {SYSDING: ("config",), IP_MANAGEMENT: ("ipmgmtd",)}
MANIFEST = {(SYSDING, "config/finished"): ["boolean", "false"]}


class Refused(Exception):
    """A semantic error: svccfg ends with it unless it is used interactively, which is not emulated."""


@dataclass
class Session:
    """A selection in one repository."""

    call: Call
    where: Place
    found: Repository
    fmri: str = ""
    changed: bool = False

    def services(self) -> list[str]:
        return list(known(zone=self.where.zone is not None, flavour=self.where.flavour))

    def selected(self) -> str:
        if not self.fmri:
            raise Refused("An entity is not selected.")
        return self.fmri

    def groups(self) -> set[str]:
        own = {name.split("/")[0] for name in self.found.of(self.selected()).properties}
        return own | set(GROUPS.get(self.fmri, ())) | {"general"}


def svccfg(call: Call) -> int:
    try:
        found, words = options.parse(call.argv[1:], "vf:s:")
    except options.BadOption:
        return call.fail(
            "Usage:\tsvccfg [-v] [-s FMRI] [-f file]\n\tsvccfg [-v] [-s FMRI] <command> [args]", 2
        )
    given = dict(found)
    try:
        lines = [shlex.join(words)] if words else _lines(call, given.get("f", "-"))
        with _session(call) as session:
            return _commands(session, lines, given.get("s", ""))
    except Refused as refused:
        return call.fail(f"svccfg: {refused}")


def _commands(session: Session, lines: Sequence[str], pattern: str) -> int:
    """Carry out lines up to the first error; what came before it stands."""
    try:
        if pattern:
            _select(session, pattern)
        for line in lines:
            if not _command(session, _words(line)):
                break
    except Refused as refused:
        text = str(refused)
        return session.call.fail(text if text.startswith("lab: ") else f"svccfg: {text}")
    return 0


def _lines(call: Call, name: str) -> list[str]:
    if name == "-":
        return call.stdin.read().decode("utf-8", "surrogateescape").splitlines()
    try:
        return call.path(name).read_text().splitlines()
    except OSError as trouble:
        raise Refused(f"Could not open {name}: {trouble.strerror}.") from None


@contextmanager
def _session(call: Call) -> Iterator[Session]:
    """The live repository, or the file SVCCFG_REPOSITORY names."""
    file = call.env.get("SVCCFG_REPOSITORY")
    if not file:
        with reach.changing(here(call)) as machine:
            yield Session(call, here(call), machine.repository)
        return
    root = _root_of(call.path(file))
    found = repository.load(root)
    if found is None:
        raise Refused(f"Could not connect to repository server: {file} is not a repository.")
    where = here(call)
    session = Session(call, Place(root, "", where.flavour, where.latency, 0.0, "", where.now), found)
    yield session
    if session.changed:
        repository.save(root, found)


def _root_of(path: Path) -> Path:
    if not path.as_posix().endswith(repository.FILE):
        raise Refused("lab: SVCCFG_REPOSITORY outside etc/svc/repository.db is not emulated")
    return path.parents[2]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        raise Refused("Syntax error.") from None


def _command(session: Session, words: list[str]) -> bool:
    """Carry out one line; False when it ends the session."""
    if not words:
        return True
    name, arguments = words[0], words[1:]
    commands = {"select": _select_words, "setprop": _setprop, "delprop": _delprop, "addpg": _addpg,
                "delpg": _delpg, "listprop": _listprop, "listpg": _listpg, "list": _list}  # fmt: skip
    if name in ("end", "exit", "quit"):
        return False
    if name in ("refresh", "unselect"):
        session.fmri = session.selected() if name == "refresh" else ""
    elif name in commands:
        commands[name](session, arguments)
    elif name in NOT_EMULATED:
        raise Refused(f"lab: svccfg {name} is not emulated")
    else:
        raise Refused(f'Unknown command "{name}".')
    return True


def _select_words(session: Session, words: list[str]) -> None:
    if len(words) != 1:
        raise Refused("Syntax error.")
    _select(session, words[0])


def _select(session: Session, pattern: str) -> None:
    matches = match(pattern, session.services())
    if not matches:
        raise Refused(f"Pattern '{pattern}' doesn't match any instances or services")
    if len(matches) > 1:
        raise Refused(
            f"Partial FMRI '{pattern}' matches multiple instances:\n" + "\n".join(f"    {m}" for m in matches)
        )
    session.fmri = matches[0]


def _may_change(session: Session) -> None:
    if not session.call.privileged:
        raise Refused("Permission denied.")
    session.changed = True


def _setprop(session: Session, words: list[str]) -> None:
    """`pg/name = [type:] value`, with or without blanks."""
    name, sign, rest = " ".join(shlex.quote(word) for word in words).replace("'", "").partition("=")
    name, fmri = name.strip(), session.selected()
    if not sign or not rest.strip():
        raise Refused("Syntax error.")
    group, slash, _ = name.partition("/")
    if not slash:
        raise Refused("Property names must contain a `/'.")
    if group not in session.groups():
        raise Refused(f'No such property group "{group}".')
    old = session.found.of(fmri).properties.get(name) or MANIFEST.get((fmri, name))
    kind, value = _typed(rest.strip(), old[0] if old else "")
    _may_change(session)
    if name == "general/enabled":
        session.found.of(fmri).enabled = value == "true"
    else:
        session.found.of(fmri).properties[name] = [kind, value]


def _typed(text: str, known_type: str) -> tuple[str, str]:
    kind, colon, value = text.partition(":")
    if colon and kind.strip() in TYPES:
        kind, value = kind.strip(), value.strip()
    elif colon and kind.strip().isidentifier() and not known_type:
        raise Refused(f'Unknown type "{kind.strip()}".')
    elif not known_type:
        raise Refused("Type required for new properties.")
    else:
        kind, value = known_type, text
    if kind == "boolean" and value not in ("true", "false", "0", "1"):
        raise Refused(f'Invalid "boolean" value "{value}".')
    if kind in ("count", "integer") and not value.lstrip("-").isdigit():
        raise Refused(f'Invalid "{kind}" value "{value}".')
    return kind, value.strip('"')


def _delprop(session: Session, words: list[str]) -> None:
    properties = session.found.of(session.selected()).properties
    if len(words) != 1 or "/" not in words[0]:
        raise Refused("Syntax error.")
    if words[0] not in properties:
        raise Refused(f"No such property {words[0]}.")
    _may_change(session)
    del properties[words[0]]


def _addpg(session: Session, words: list[str]) -> None:
    if len(words) < 2:
        raise Refused("Syntax error.")
    if words[0] in session.groups():
        raise Refused(f'Property group "{words[0]}" already exists.')
    _may_change(session)
    session.found.of(session.fmri).properties[f"{words[0]}/"] = [words[1]]


def _delpg(session: Session, words: list[str]) -> None:
    properties = session.found.of(session.selected()).properties
    gone = [name for name in properties if name.split("/")[0] in words]
    if len(words) != 1 or not gone:
        raise Refused(f'No such property group "{" ".join(words)}".')
    _may_change(session)
    for name in gone:
        del properties[name]


def _all_properties(session: Session) -> dict[str, list[str]]:
    fmri = session.selected()
    found = {name: value for (owner, name), value in MANIFEST.items() if owner == fmri}
    found |= {
        name: value for name, value in session.found.of(fmri).properties.items() if not name.endswith("/")
    }
    service = known(zone=session.where.zone is not None, flavour=session.where.flavour)[fmri]
    kept = session.found.of(fmri).enabled
    return {"general/enabled": ["boolean", str(service.enabled if kept is None else kept).lower()], **found}


def _listprop(session: Session, words: list[str]) -> None:
    import fnmatch

    pattern = words[0] if words else "*"
    for name, (kind, *values) in sorted(_all_properties(session).items()):
        if fnmatch.fnmatchcase(name, pattern) or name.split("/")[0] == pattern:
            session.call.out(f"{name:<28} {kind:<12} {' '.join(values)}\n")


def _listpg(session: Session, words: list[str]) -> None:
    for group in sorted(session.groups()):
        if not words or group == words[0]:
            session.call.out(f"{group:<24} {'framework' if group == 'general' else 'application'}\n")


def _list(session: Session, words: list[str]) -> None:
    names = sorted({fmri.removeprefix("svc:/").rpartition(":")[0] for fmri in session.services()})
    for name in names:
        if not words or words[0].strip("*") in name:
            session.call.out(name + "\n")
