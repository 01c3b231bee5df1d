"""The native properties of illumos' zfs, and which values they take."""

from __future__ import annotations

from typing import NamedTuple

from zonemgr.lab.zfs.names import DATASET, FS, MARK, SNAP, VOL
from zonemgr.lab.zfs.text import NONE_LIMIT, BadNumber, parse_number

READONLY, ONETIME, ONETIME_DEFAULT, DEFAULT, INHERIT = (
    "readonly",
    "onetime",
    "onetime_default",
    "default",
    "inherit",
)
NUMBER, STRING, INDEX = "number", "string", "index"


class Property(NamedTuple):
    name: str
    kind: str
    default: str  # as stored: numbers in full, index values by name
    attribute: str
    types: int
    values: str  # what may be given, as messages say it
    column: str
    choices: tuple[str, ...] = ()
    visible: bool = True

    @property
    def readonly(self) -> bool:
        return self.attribute in (READONLY, ONETIME, ONETIME_DEFAULT)

    @property
    def set_once(self) -> bool:
        return self.attribute in (ONETIME, ONETIME_DEFAULT)

    @property
    def inheritable(self) -> bool:
        return self.attribute in (INHERIT, ONETIME)

    @property
    def right(self) -> bool:
        return self.kind != STRING


_FV = FS | VOL
_ONOFF = ("off", "on")
_GZIPS = tuple(f"gzip-{level}" for level in range(1, 10))
_CACHE = ("none", "metadata", "all")
_CRYPT = tuple(f"aes-{bits}-{mode}" for mode in ("ccm", "gcm") for bits in (128, 192, 256))


def _number(name: str, default: int, attribute: str, types: int, values: str, column: str) -> Property:
    return Property(name, NUMBER, str(default), attribute, types, values, column)


def _string(name: str, default: str, attribute: str, types: int, values: str, column: str) -> Property:
    return Property(name, STRING, default, attribute, types, values, column)


def _index(
    name: str,
    default: str,
    attribute: str,
    types: int,
    values: str,
    column: str,
    choices: tuple[str, ...] = _ONOFF,
) -> Property:
    return Property(name, INDEX, default, attribute, types, values, column, choices)


def _size(name: str, types: int, column: str, *, values: str = "<size>") -> Property:
    return _number(name, 0, READONLY, types, values, column)


# In the order `zfs get all` prints them.
_TABLE: tuple[Property, ...] = (
    _string("type", "", READONLY, DATASET | MARK, "filesystem | volume | snapshot | bookmark", "TYPE"),
    _size("creation", DATASET | MARK, "CREATION", values="<date>"),
    _size("used", DATASET, "USED"),
    _size("available", _FV, "AVAIL"),
    _size("referenced", DATASET, "REFER"),
    _size("compressratio", DATASET, "RATIO", values="<1.00x or higher if compressed>"),
    _index("mounted", "off", READONLY, FS, "yes | no", "MOUNTED"),
    _string("origin", "", READONLY, _FV, "<snapshot>", "ORIGIN"),
    _number("quota", 0, DEFAULT, FS, "<size> | none", "QUOTA"),
    _number("reservation", 0, DEFAULT, _FV, "<size> | none", "RESERV"),
    _number("volsize", 0, DEFAULT, VOL, "<size>", "VOLSIZE"),
    _number("volblocksize", 8192, ONETIME, VOL, "512 to 128k, power of 2", "VOLBLOCK"),
    _number("recordsize", 131072, INHERIT, FS, "512 to 1M, power of 2", "RECSIZE"),
    _string("mountpoint", "/", INHERIT, FS, "<path> | legacy | none", "MOUNTPOINT"),
    _string("sharenfs", "off", INHERIT, FS, "on | off | share(8) options", "SHARENFS"),
    _index(
        "checksum",
        "on",
        INHERIT,
        _FV,
        "on | off | fletcher2 | fletcher4 | sha256 | sha512 | skein | edonr",
        "CHECKSUM",
        ("on", "off", "fletcher2", "fletcher4", "sha256", "noparity", "sha512", "skein", "edonr"),
    ),
    _index(
        "compression",
        "off",
        INHERIT,
        _FV,
        "on | off | lzjb | gzip | gzip-[1-9] | zle | lz4",
        "COMPRESS",
        ("on", "off", "lzjb", "gzip", *_GZIPS, "zle", "lz4"),
    ),
    _index("atime", "on", INHERIT, FS, "on | off", "ATIME"),
    _index("devices", "on", INHERIT, FS | SNAP, "on | off", "DEVICES"),
    _index("exec", "on", INHERIT, FS | SNAP, "on | off", "EXEC"),
    _index("setuid", "on", INHERIT, FS | SNAP, "on | off", "SETUID"),
    _index("readonly", "off", INHERIT, _FV, "on | off", "RDONLY"),
    _index("zoned", "off", INHERIT, FS, "on | off", "ZONED"),
    _index("snapdir", "hidden", INHERIT, FS, "hidden | visible", "SNAPDIR", ("hidden", "visible")),
    _index(
        "aclmode",
        "discard",
        INHERIT,
        FS,
        "discard | groupmask | passthrough | restricted",
        "ACLMODE",
        ("discard", "groupmask", "passthrough", "restricted"),
    ),
    _index(
        "aclinherit",
        "restricted",
        INHERIT,
        FS,
        "discard | noallow | restricted | passthrough | passthrough-x",
        "ACLINHERIT",
        ("discard", "noallow", "restricted", "passthrough", "secure", "passthrough-x"),
    ),
    _number("createtxg", 0, READONLY, DATASET | MARK, "<uint64>", "CREATETXG"),
    _index("canmount", "on", DEFAULT, FS, "on | off | noauto", "CANMOUNT", ("off", "on", "noauto")),
    _index("xattr", "on", INHERIT, FS | SNAP, "on | off", "XATTR"),
    _index("copies", "1", INHERIT, _FV, "1 | 2 | 3", "COPIES", ("1", "2", "3")),
    _index(
        "version",
        "5",
        DEFAULT,
        FS | SNAP,
        "1 | 2 | 3 | 4 | 5 | current",
        "VERSION",
        ("1", "2", "3", "4", "5", "current"),
    ),
    _index("utf8only", "off", ONETIME, FS | SNAP, "on | off", "UTF8ONLY"),
    _index(
        "normalization",
        "none",
        ONETIME,
        FS | SNAP,
        "none | formC | formD | formKC | formKD",
        "NORMALIZATION",
        ("none", "formD", "formKC", "formC", "formKD"),
    ),
    _index(
        "casesensitivity",
        "sensitive",
        ONETIME,
        FS | SNAP,
        "sensitive | insensitive | mixed",
        "CASE",
        ("sensitive", "insensitive", "mixed"),
    ),
    _index("vscan", "off", INHERIT, FS, "on | off", "VSCAN"),
    _index("nbmand", "off", INHERIT, FS | SNAP, "on | off", "NBMAND"),
    _string("sharesmb", "off", INHERIT, FS, "on | off | sharemgr(8) options", "SHARESMB"),
    _number("refquota", 0, DEFAULT, FS, "<size> | none", "REFQUOTA"),
    _number("refreservation", 0, DEFAULT, _FV, "<size> | none", "REFRESERV"),
    _number("guid", 0, READONLY, DATASET | MARK, "<uint64>", "GUID"),
    _index("primarycache", "all", INHERIT, DATASET, "all | none | metadata", "PRIMARYCACHE", _CACHE),
    _index("secondarycache", "all", INHERIT, DATASET, "all | none | metadata", "SECONDARYCACHE", _CACHE),
    _size("usedbysnapshots", _FV, "USEDSNAP"),
    _size("usedbydataset", _FV, "USEDDS"),
    _size("usedbychildren", _FV, "USEDCHILD"),
    _size("usedbyrefreservation", _FV, "USEDREFRESERV"),
    _index("defer_destroy", "off", READONLY, SNAP, "yes | no", "DEFER_DESTROY"),
    _number("userrefs", 0, READONLY, SNAP, "<count>", "USERREFS"),
    _index("logbias", "latency", INHERIT, _FV, "latency | throughput", "LOGBIAS", ("latency", "throughput")),
    _index(
        "dedup",
        "off",
        INHERIT,
        _FV,
        "on | off | verify | sha256[,verify], sha512[,verify], skein[,verify], edonr,verify",
        "DEDUP",
        (
            *("on", "off", "verify", "sha256", "sha256,verify", "sha512", "sha512,verify"),
            *("skein", "skein,verify", "edonr,verify"),
        ),
    ),
    _string("mlslabel", "none", INHERIT, DATASET, "<sensitivity label>", "MLSLABEL"),
    _index(
        "sync",
        "standard",
        INHERIT,
        _FV,
        "standard | always | disabled",
        "SYNC",
        ("standard", "always", "disabled"),
    ),
    _index(
        "dnodesize",
        "legacy",
        INHERIT,
        FS,
        "legacy | auto | 1k | 2k | 4k | 8k | 16k",
        "DNSIZE",
        ("legacy", "auto", "1k", "2k", "4k", "8k", "16k"),
    ),
    _size("refcompressratio", DATASET, "REFRATIO", values="<1.00x or higher if compressed>"),
    _size("written", DATASET, "WRITTEN"),
    _string("clones", "", READONLY, SNAP, "<dataset>[,...]", "CLONES"),
    _size("logicalused", _FV, "LUSED"),
    _size("logicalreferenced", DATASET, "LREFER"),
    _number("filesystem_limit", NONE_LIMIT, DEFAULT, FS, "<count> | none", "FSLIMIT"),
    _number("snapshot_limit", NONE_LIMIT, DEFAULT, _FV, "<count> | none", "SSLIMIT"),
    _number("filesystem_count", NONE_LIMIT, READONLY, FS, "<count>", "FSCOUNT"),
    _number("snapshot_count", NONE_LIMIT, READONLY, _FV, "<count>", "SSCOUNT"),
    _index("redundant_metadata", "all", INHERIT, _FV, "all | most", "REDUND_MD", ("all", "most")),
    _string("receive_resume_token", "", READONLY, _FV, "<string token>", "RESUMETOK"),
    _number(
        "special_small_blocks", 0, INHERIT, FS, "zero or 512 to 128K, power of 2", "SPECIAL_SMALL_BLOCKS"
    ),
    _index(
        "encryption",
        "off",
        ONETIME,
        DATASET,
        "on | off | " + " | ".join(_CRYPT),
        "ENCRYPTION",
        ("on", "off", *_CRYPT),
    ),
    _string("keylocation", "none", DEFAULT, _FV, "prompt | <file URI>", "KEYLOCATION"),
    _index(
        "keyformat",
        "none",
        ONETIME_DEFAULT,
        _FV,
        "none | raw | hex | passphrase",
        "KEYFORMAT",
        ("none", "raw", "hex", "passphrase"),
    ),
    _number("pbkdf2iters", 0, ONETIME_DEFAULT, _FV, "<iters>", "PBKDF2ITERS"),
    _string("encryptionroot", "", READONLY, DATASET, "<filesystem | volume>", "ENCROOT"),
    _index(
        "keystatus",
        "none",
        READONLY,
        DATASET,
        "none | unavailable | available",
        "KEYSTATUS",
        ("none", "unavailable", "available"),
    ),
    Property("name", STRING, "", READONLY, DATASET | MARK, "", "NAME", visible=False),
    Property("numclones", NUMBER, "0", READONLY, SNAP, "", "NUMCLONES", visible=False),
    Property("objsetid", NUMBER, "0", READONLY, DATASET, "", "OBJSETID", visible=False),
)
TABLE: dict[str, Property] = {each.name: each for each in _TABLE}
VISIBLE: tuple[Property, ...] = tuple(each for each in _TABLE if each.visible)
_BY_COLUMN: dict[str, Property] = {each.column.lower(): each for each in reversed(_TABLE)}

# Values that are read back under another name.
_SAME = {
    "compression": {"gzip-6": "gzip"},
    "aclinherit": {"secure": "restricted"},
    "version": {"current": "5"},
}
_USER_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.:")
_ACCOUNTING = tuple(
    f"{who}{what}@"
    for who in ("user", "group", "project")
    for what in ("used", "quota", "objused", "objquota")
)


def find(name: str) -> Property | None:
    """A property by name or by its column header in lower case (`compress`, `refer`)."""
    return TABLE.get(name) or _BY_COLUMN.get(name)


def is_user(name: str) -> bool:
    return ":" in name and all(char in _USER_CHARS for char in name)


def is_accounting(name: str) -> bool:
    return name.startswith(_ACCOUNTING)


def is_written(name: str) -> bool:
    return name.startswith("written@")


class BadValue(ValueError):
    """Not a value for this property; the text is libzfs' reason."""


def parse(prop: Property, given: str, asked: str, types: int) -> str:
    """The value as it is stored. `asked` is the name the caller used; `auto` comes back as NONE_LIMIT."""
    if prop.kind == STRING:
        if len(given.encode("utf-8", "surrogateescape")) >= 4096:
            raise BadValue(f"'{asked}' is too long")
        return given
    if prop.kind == INDEX:
        if given not in prop.choices:
            raise BadValue(f"'{prop.name}' must be one of '{prop.values}'")
        return _SAME.get(prop.name, {}).get(given, given)
    return str(_parse_number(prop, given, asked, types))


def _parse_number(prop: Property, given: str, asked: str, types: int) -> int:
    if given == "none":
        return NONE_LIMIT if prop.name in ("filesystem_limit", "snapshot_limit") else 0
    if given == "auto":
        if prop.name != "refreservation":
            raise BadValue(f"'auto' is invalid value for '{asked}'")
        if not types & VOL:
            raise BadValue(f"'{asked}=auto' only allowed on volumes")
        return NONE_LIMIT
    try:
        number = parse_number(given)
    except BadNumber as reason:
        raise BadValue(str(reason)) from None
    if number == 0 and prop.name in ("quota", "refquota"):
        raise BadValue("use 'none' to disable quota/refquota")
    return number
