"""What illumos keeps of zones: /etc/zones/index, /etc/zones/NAME.xml, and the kernel's list of active zones.

zonecfg writes the first two, zoneadm the index' states and the kernel's list; everybody reads through here.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from zonemgr.lab.world import FIRST_DAY, SCHEMA, World

if TYPE_CHECKING:
    from zonemgr.lab.zonecfg.document import Document

# States of active zones as `zoneadm` prints them (zone_state_str of libzonecfg); the index knows the other three only.
ACTIVE = ("ready", "running", "shutting_down", "down", "mounted")
STORED = ("configured", "incomplete", "installed")

SCHEMA.append(
    # boot order = order of id; init_pid/init_start name the cell's first process (0: none, e.g. ready or
    # mounted);
    # booted is world.now() at boot; boot_args the words after `boot --`.
    "create table kernel_zones (id integer primary key, name text unique not null, state text not null,"
    " root text not null, uuid text not null default '', brand text not null default '',"
    " init_pid integer not null default 0, init_start integer not null default 0,"
    " booted real not null default 0, boot_args text not null default '')"
)


class StoreError(Exception):
    """A libzonecfg failure; the text is that of zonecfg_strerror."""


@dataclass(frozen=True)
class IndexEntry:
    name: str
    state: str  # configured, incomplete, installed
    zonepath: str
    uuid: str  # empty while configured


class Fs(NamedTuple):
    dir: str
    special: str
    type: str
    raw: str = ""
    options: tuple[str, ...] = ()


class Net(NamedTuple):
    physical: str
    address: str = ""
    allowed_address: str = ""
    defrouter: str = ""
    global_nic: str = ""  # this and the next two: OmniOS
    mac_addr: str = ""
    vlan_id: str = ""


class Attr(NamedTuple):
    name: str
    type: str
    value: str


@dataclass
class ZoneConfig:
    """One zone's document, as far as other tools need it; zonecfg itself keeps more."""

    name: str
    zonepath: str = ""
    brand: str = ""
    autoboot: bool = False
    bootargs: str = ""
    ip_type: str = "shared"
    limitpriv: str = ""
    pool: str = ""
    fs: list[Fs] = field(default_factory=list)
    net: list[Net] = field(default_factory=list)
    attr: list[Attr] = field(default_factory=list)
    dataset: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    rctl: list[str] = field(default_factory=list)


# -- the index -------------------------------------------------------------------------------------------

INDEX = "/etc/zones/index"
# File names and file contents alike: bytes that are no UTF-8 survive the way in and out.
TEXT = {"encoding": "utf-8", "errors": "surrogateescape"}


def _lines(world: World) -> list[str]:
    try:
        with world.path(INDEX).open(newline="\n", **TEXT) as file:  # type: ignore[call-overload]
            return [str(line) for line in file]
    except FileNotFoundError:
        return []


def _fields(line: str) -> IndexEntry:
    """The first four fields of a line, whatever they say; a field may stand in double quotes."""
    line = line.rstrip("\r\n")
    fields = line.split(":", 4)[:4] if '"' not in line else _quoted_fields(line)
    return IndexEntry(*fields, *[""] * (4 - len(fields)))


def _quoted_fields(rest: str) -> list[str]:
    fields: list[str] = []
    while len(fields) < 4:
        field, separator, rest = rest[1:].partition('"') if rest.startswith('"') else rest.partition(":")
        if separator == '"':
            _, _, rest = rest.partition(":")
        fields.append(field)
    return fields


_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def _entry(line: str) -> IndexEntry | None:
    """One line as getzoneent(3C) understands it; what it does not understand it skips without a word."""
    if not line.endswith("\n") or line.startswith("#"):
        return None
    found = _fields(line)
    if not found.name or len(found.name) > 63 or found.state not in STORED:
        return None
    return found if not found.uuid or is_uuid(found.uuid) else replace(found, uuid="")


def index(world: World) -> list[IndexEntry]:
    """The entries of /etc/zones/index in file order, without global and comments."""
    entries = (_entry(line) for line in _lines(world))
    return [entry for entry in entries if entry and entry.name != "global"]


def entry(world: World, name: str) -> IndexEntry | None:
    """One zone's index entry, or None."""
    prefix = f"{name}:"
    found = (_entry(line) for line in _lines(world) if line.startswith(prefix))
    return next((each for each in found if each), None)


def set_state(world: World, name: str, state: str) -> None:
    """Write a stored state; gives a uuid on leaving `configured`, drops it on return (putzoneent of libzonecfg).

    As on illumos a step down from installed to incomplete gives a new uuid.
    """
    if state not in STORED:
        raise ValueError(f"{state} is never stored in the index")
    change_entry(
        world, name, lambda old: replace(old, state=state, uuid=old.uuid if state == "installed" else "")
    )


def add_entry(world: World, name: str, zonepath: str) -> None:
    """Add a configured zone; raises StoreError when the index cannot be read or has a line of that name."""
    with _rewriting(world) as lines:
        if not zonepath or any(line.startswith(f"{name}:") for line in lines):
            raise StoreError("Problem updating index file")
        lines.append(_line(IndexEntry(name, "configured", zonepath, "")))


def change_entry(world: World, name: str, change: Callable[[IndexEntry], IndexEntry]) -> None:
    """Rewrite one zone's line; StoreError when there is none. The line of global is never touched."""
    if name == "global":
        return
    with _rewriting(world) as lines:
        places = [at for at, line in enumerate(lines) if line.startswith(f"{name}:")]
        if not places or any(not _fields(lines[at]).state for at in places):
            raise StoreError("Problem updating index file")
        for at in places:
            lines[at] = _line(change(_fields(lines[at])))


def remove_entry(world: World, name: str) -> None:
    """Take a zone's line out, whatever it looks like; it is no error when there is none."""
    with _rewriting(world) as lines:
        lines[:] = [line for line in lines if not line.startswith(f"{name}:")]


def _line(entry: IndexEntry) -> str:
    zonepath = f'"{entry.zonepath}"' if ":" in entry.zonepath else entry.zonepath
    uuid = entry.uuid or ("" if entry.state == "configured" else new_uuid())
    return f"{entry.name}:{entry.state}:{zonepath}:{uuid}\n"


@contextlib.contextmanager
def _rewriting(world: World) -> Iterator[list[str]]:
    """The index' lines, written back in one piece; the database's lock keeps other writers out meanwhile."""
    with world.transaction():
        if not world.path(INDEX).exists():
            raise StoreError("Miscellaneous file system error")
        lines = _lines(world)
        before = list(lines)
        yield lines
        if lines != before:
            write_file(world, INDEX, "".join(lines).encode(**TEXT))


def write_file(world: World, host_path: str, content: bytes) -> None:
    """Write a file as libzonecfg does: a temporary one beside it, then rename, so that no half file is
    ever seen.
    """
    target = world.path(host_path)
    temporary = target.with_name(f"zonecfg.{os.urandom(6).hex()}")
    try:
        temporary.write_bytes(content)
        temporary.chmod(0o644)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def new_uuid() -> str:
    raw = bytearray(os.urandom(16))
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


# -- documents -------------------------------------------------------------------------------------------


def xml_path(name: str) -> str:
    return f"/etc/zones/{name}.xml"


def read_document(world: World, name: str) -> Document:
    """The document of a zone or template; StoreError when it is absent, broken or does not fit the DTD."""
    document = open_document(world, name)
    if not document.is_valid():
        raise StoreError("Invalid document")
    return document


def open_document(world: World, name: str) -> Document:
    """As `read_document`, but a document that does not fit the DTD is handed over all the same."""
    from zonemgr.lab.zonecfg.document import BadDocument, parse

    path = world.path(xml_path(name))
    try:
        return parse(path.read_bytes(), omnios=world.omnios)
    except BadDocument:
        raise StoreError("Invalid document") from None
    except OSError:
        raise StoreError("Invalid document" if path.exists() else "No such zone configured") from None


def load(world: World, name: str) -> ZoneConfig:
    """Read /etc/zones/NAME.xml; raises StoreError("No such zone configured") or ("Invalid document")."""
    document = read_document(world, name)

    def root(attribute: str) -> str:
        return _unicode(document.get(attribute) or "")

    def texts(tag: str, *names: str) -> list[list[str]]:
        return [[_unicode(document.text(each, element)) for each in names] for element in document.each(tag)]

    return ZoneConfig(
        name=root("name"),
        zonepath=root("zonepath"),
        brand=root("brand") or default_brand(world),
        autoboot=root("autoboot") == "true",
        bootargs=root("bootargs"),
        ip_type=root("ip-type") or "shared",
        limitpriv=root("limitpriv"),
        pool=root("pool"),
        fs=_filesystems(document),
        net=[Net(*values) for values in texts("network", *_NET)],
        attr=[Attr(*values) for values in texts("attr", "name", "type", "value")],
        dataset=[values[0] for values in texts("dataset", "name")],
        devices=[values[0] for values in texts("device", "match")],
        rctl=[values[0] for values in texts("rctl", "name")],
    )


_NET = ("physical", "address", "allowed-address", "defrouter", "global-nic", "mac-addr", "vlan-id")


def _filesystems(document: Document) -> list[Fs]:
    found = []
    for element in document.each("filesystem"):
        names = ("directory", "special", "type", "raw")
        place, special, kind, raw = (_unicode(document.text(name, element)) for name in names)
        options = tuple(_unicode(option.attributes["name"]) for option in element.children)
        found.append(Fs(place, special, kind, raw, options))
    return found


def _unicode(value: str) -> str:
    return value if value.isascii() else value.encode("latin-1").decode(**TEXT)


def default_brand(world: World) -> str:
    """The brand of a zone whose document names none: that of the template SUNWdefault."""
    return read_document(world, "SUNWdefault").get("brand") or "native"


def summaries(world: World) -> dict[str, tuple[str, str]]:
    """Brand and ip-type of every zone in the index whose document can be read, quickly for a thousand zones.

    Looks at the root element only; a document that does not look as zonecfg writes it is read in full, and
    one that cannot be read is left out.
    """
    directory = os.fspath(world.path("/etc/zones"))
    default = ""
    found: dict[str, tuple[str, str]] = {}
    for each in index(world):
        try:
            brand, ip_type = _summary(f"{directory}/{each.name}.xml") or _full_summary(world, each.name)
        except (OSError, StoreError):
            continue
        if not brand:
            default = brand = default or default_brand(world)
        found[each.name] = (brand, ip_type or "shared")
    return found


_CONTROL = bytes(code for code in range(32) if code not in b"\t\n\r")


def _summary(path: str) -> tuple[str, str] | None:
    """Brand and ip-type from the text of the root's tag; None when the document needs a closer look."""
    descriptor = os.open(path, os.O_RDONLY)  # making the file object of `open` takes longer than reading
    data = os.read(descriptor, 1 << 16)
    os.close(descriptor)
    start = data.find(b"<zone ")
    root = data[start : data.find(b">", start)]
    if (
        start < 0
        or not data.endswith((b"</zone>\n", b"/>\n"))
        or len(data.translate(None, _CONTROL)) != len(data)
    ):
        return None
    brand, ip_type = _attribute(root, b' brand="'), _attribute(root, b' ip-type="')
    return None if brand is None else (brand, ip_type or "")


def _attribute(tag: bytes, name: bytes) -> str | None:
    start = tag.find(name) + len(name)
    end = tag.find(b'"', start)
    value = tag[start:end]
    return (
        value.decode() if start >= len(name) and end >= 0 and value.isascii() and b"&" not in value else None
    )


def _full_summary(world: World, name: str) -> tuple[str, str]:
    document = read_document(world, name)
    return _unicode(document.get("brand") or ""), document.get("ip-type") or ""


def everything(world: World) -> object:
    """Index and configurations as plain data, to compare a world before and after: uuids count by
    presence only.
    """
    from zonemgr.lab.zonecfg.reports import export_text

    zones: dict[str, str] = {}
    for document in sorted(world.path("/etc/zones").glob("*.xml")):
        try:
            zones[document.stem] = _unicode(export_text(world, document.stem))
        except StoreError as broken:
            zones[document.stem] = f"cannot be read: {broken}"
    lines = [[each.name, each.state, each.zonepath, bool(each.uuid)] for each in index(world)]
    return {"index": lines, "zones": zones}


def set_zonepath(world: World, name: str, zonepath: str) -> None:
    """Write a new zonepath into document and index, as `zoneadm move` does at its end."""
    from zonemgr.lab.zonecfg.document import serialise

    with world.transaction():
        document = read_document(world, name)
        document.set("zonepath", zonepath.encode(**TEXT).decode("latin-1"))
        change_entry(world, name, lambda old: replace(old, zonepath=zonepath))
        write_file(world, xml_path(name), serialise(document))


# -- states and brands -----------------------------------------------------------------------------------


def kernel_state(world: World, name: str) -> str | None:
    """State of an active zone, None when the kernel does not know it."""
    row = world.db.execute("select state from kernel_zones where name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def state(world: World, name: str) -> str | None:
    """The state `zoneadm` shows: the kernel's if active, else the index'; None for an unknown zone."""
    active = kernel_state(world, name)
    if active:
        return active
    found = entry(world, name)
    return found.state if found else None


BRANDS = {
    "openindiana": ("ipkg", "nlipkg"),
    "omnios": ("ipkg", "lipkg", "sparse", "pkgsrc", "illumos", "bhyve"),
}


def brands(world: World) -> tuple[str, ...]:
    """The brands installed on this host; the fact `zones.brands` (blank-separated) overrides the
    flavour's set.
    """
    other = world.get("zones.brands")
    return tuple(other.split()) if other else BRANDS[world.flavour]


# -- the first day ---------------------------------------------------------------------------------------

_HEAD = (
    "# Configured zones, one a line: name, stored state, zonepath, uuid.\n"
    "# DO NOT EDIT: zoneadm(8) and zonecfg(8) write this file and drop any change made by hand.\n"
    "#\n"
)
# template -> (its zone name, brand, ip-type); no ip-type means shared (recorded from zonecfg of both)
TEMPLATES: dict[str, dict[str, tuple[str, str, str]]] = {
    "openindiana": {
        "SUNWblank": ("blank", "ipkg", ""),
        "SUNWdefault": ("default", "ipkg", ""),
        "SUNWipkg": ("default", "ipkg", ""),
        "OInlipkg": ("default", "nlipkg", ""),
    },
    "omnios": {
        "SUNWblank": ("blank", "lipkg", "exclusive"),
        "SUNWdefault": ("default", "lipkg", "exclusive"),
        "SUNWipkg": ("default", "ipkg", "exclusive"),
        **{f"OMNI{brand}": ("default", brand, "exclusive") for brand in BRANDS["omnios"] if brand != "ipkg"},
    },
}


def _first_day(world: World) -> None:
    from zonemgr.lab.zonecfg.document import KINDS, Document, Element, serialise

    world.path("/etc/zones").mkdir(parents=True, exist_ok=True)
    write_file(world, INDEX, f"{_HEAD}global:installed:/\n".encode())
    for template, (name, brand, ip_type) in TEMPLATES[world.flavour].items():
        attributes = {"name": name, "zonepath": "", "autoboot": "false", "brand": brand}
        if ip_type:
            attributes["ip-type"] = ip_type
        write_file(world, xml_path(template), serialise(Document(Element("zone", attributes), KINDS)))


FIRST_DAY.append(_first_day)
