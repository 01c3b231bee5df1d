"""The language of zonecfg scripts and exports: checking what is sent, understanding what comes back.

See docs/illumos.md: zonecfg. `Script` takes the part of the language that can be checked: create, set, clear, add
… end, select … end, remove. Values are in double quotes, which is always safe outside `( )`; use `quote`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from zonemgr import limits
from zonemgr.errors import UsageError
from zonemgr.host.contract import lines_of
from zonemgr.model import Attr, Fs, Net, OtherResource, Rctl, ZoneSettings

RESOURCES = (
    "fs",
    "net",
    "device",
    "rctl",
    "attr",
    "dataset",
    "dedicated-cpu",
    "capped-cpu",
    "capped-memory",
    "admin",
    "security-flags",
)
# Longest values in bytes; zonecfg cuts or loses what is longer without a word. Others: limits.RESOURCE_VALUE.
LONGEST = {
    "zonepath": limits.ZONEPATH.longest,
    "dir": limits.FS_PATH.longest,
    "special": limits.FS_PATH.longest,
    "raw": limits.FS_PATH.longest,
    "type": limits.FS_TYPE.longest,
    "allowed-address": limits.ALLOWED_ADDRESS.longest,
    "physical": limits.PHYSICAL.longest,
    "limitpriv": limits.ZONECFG_WORD.longest,
    "value": limits.ATTR_VALUE.longest,
}
# Global properties that are other names of resource controls (5.6), with the action each has.
ALIASES = {
    "max-lwps": "zone.max-lwps",
    "max-processes": "zone.max-processes",
    "max-shm-memory": "zone.max-shm-memory",
    "max-shm-ids": "zone.max-shm-ids",
    "max-msg-ids": "zone.max-msg-ids",
    "max-sem-ids": "zone.max-sem-ids",
    "cpu-shares": "zone.cpu-shares",
    "zfs-io-priority": "zone.zfs-io-priority",
}
_UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def quote(value: str, *, what: str = "value") -> str:
    """The value in double quotes. Raises UsageError for what zonecfg cannot hold: quotes, control bytes,
    length.
    """
    fault = unfit(value, LONGEST.get(what, limits.RESOURCE_VALUE.longest))
    if fault:
        raise UsageError(f"the {what} {value!r} cannot be in a zone's configuration: it has {fault}")
    return f'"{value}"'


def unfit(value: str, longest: int = limits.RESOURCE_VALUE.longest) -> str | None:
    """Why zonecfg cannot hold this value, or None."""
    if '"' in value:
        return "a double quote, and zonecfg knows no way to write one"
    if re.search(r"[\x00-\x1f\x7f]", value):
        return "a control character, which would make the zone unreadable"
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError:
        return "bytes that are not UTF-8"
    return f"{size} bytes, and {longest} are allowed" if size > longest else None


def script_for(settings: ZoneSettings, *, create: str = "create -b") -> list[str]:
    """The lines that make a new zone with these settings, ip-type before the nets as zonecfg wants it."""
    lines = [create, _set("zonepath", settings.zonepath), _set("brand", settings.brand)]
    lines += [f"set autoboot={str(settings.autoboot).lower()}", _set("ip-type", settings.ip_type)]
    lines += [_set(name, value) for name, value in settings.more]
    for kind, pairs in resources_of(settings):
        lines.append(f"add {kind}")
        lines += [property_line(name, value) for name, value in pairs]
        lines.append("end")
    return lines


def resources_of(settings: ZoneSettings) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for fs in settings.fs:
        limits.FS_OPTIONS.check(",".join(fs.options), f"list of options of fs {fs.dir}")
        pairs = [("dir", fs.dir), ("special", fs.special), ("raw", fs.raw), ("type", fs.type)]
        yield "fs", [pair for pair in pairs if pair[1]] + [("+options", option) for option in fs.options]
    for net in settings.net:
        pairs = [(_dashed(name), str(getattr(net, name))) for name in _NET]
        extra = [("+property", f'(name={name},value="{value}")') for name, value in net.properties]
        yield "net", [pair for pair in pairs if pair[1]] + extra
    for rctl in settings.rctl:
        values = [("+value", f"(priv={p},limit={limit},action={action})") for p, limit, action in rctl.values]
        yield "rctl", [("name", rctl.name), *values]
    for attr in settings.attr:
        yield "attr", [("name", attr.name), ("type", attr.type), ("value", attr.value)]
    for dataset in settings.dataset:
        yield "dataset", [("name", dataset)]
    for other in settings.other:
        yield other.kind, list(other.properties)


def _set(name: str, value: str) -> str:
    return f"set {name}={quote(value, what=name)}"


def property_line(name: str, value: str) -> str:
    if not name.startswith("+"):
        return _set(name, value)
    written = value if value.startswith("(") else quote(value, what=name[1:])
    return f"add {name[1:]} {written}"


# -- one line ------------------------------------------------------------------------------------------------

_VALUE = r'(?P<value>"[^"]*"|\((?:[^()"]|"[^"]*")*\)|\[[^\[\]]*\]|[^\s";=\[\]()]+)'
_LINE = {
    "create": re.compile(r"create(?P<options>(?: -F| -b| -t [A-Za-z0-9][A-Za-z0-9_.-]*)*)"),
    "set": re.compile(rf"set (?P<name>[a-z-]+) ?= ?{_VALUE}"),
    "clear": re.compile(r"clear (?P<name>[a-z-]+)"),
    "add": re.compile(rf"add (?P<name>[a-z-]+)(?: {_VALUE})?"),
    "end": re.compile(r"end"),
    "select": re.compile(r"select (?P<name>[a-z-]+) (?P<filters>.+)"),
    "remove": re.compile(r"remove(?P<force> -F)? (?P<name>[a-z-]+)(?: (?P<filters>.+))?"),
}


def bare(value: str) -> str:
    """A value without the quotes around it."""
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value


def entries(value: str) -> tuple[str, ...]:
    """The entries of `[a,b]`, or the one value that is no list."""
    if not value.startswith("["):
        return (bare(value),)
    found = re.findall(r'\([^()]*\)|"[^"]*"|[^,"()]+', value[1:-1])
    return tuple(bare(entry.strip()) for entry in found if entry.strip())


def complex_value(value: str) -> dict[str, str]:
    """The names and values of `(priv=privileged,limit=10,action=deny)`."""
    pairs = re.findall(r'([a-z-]+) *= *("[^"]*"|[^,()"]*)', value)
    return {name: bare(text.strip()) for name, text in pairs}


# -- what comes back -----------------------------------------------------------------------------------------


@dataclass
class _Block:
    """One resource while its lines are read: properties in order, list properties with a `+`."""

    kind: str
    pairs: list[tuple[str, str]] = field(default_factory=list)

    def one(self, name: str) -> str:
        return next((value for key, value in reversed(self.pairs) if key == name), "")

    def many(self, name: str) -> tuple[str, ...]:
        return tuple(value for key, value in self.pairs if key == f"+{name}")

    def assign(self, name: str, value: str) -> None:
        if value.startswith("[") or (name == "options"):
            self.pairs = [pair for pair in self.pairs if pair[0] != f"+{name}"]
            self.pairs += [(f"+{name}", entry) for entry in entries(value)]
        else:
            self.pairs = [pair for pair in self.pairs if pair[0] != name]
            self.pairs.append((name, bare(value)))


def parse_export(text: str) -> ZoneSettings:
    """Settings from the output of `zonecfg export`, where global values are bare to the end of the line."""
    world: dict[str, str] = {}
    blocks: list[_Block] = []
    current: _Block | None = None
    for line in lines_of(text):
        word, _, rest = line.partition(" ")
        name, _, value = rest.partition("=") if word == "set" else rest.partition(" ")
        if word == "add" and current is None:
            current = _Block(rest)
        elif word == "add" and current is not None:
            current.pairs.append((f"+{name}", bare(value)))
        elif word == "end" and current is not None:
            blocks.append(current)
            current = None
        elif word == "set" and current is not None:
            current.pairs.append((name, bare(value)))
        elif word == "set":
            world[name] = value
    return settings_of(world, blocks)


_NET = ("address", "allowed_address", "defrouter", "global_nic", "mac_addr", "physical", "vlan_id")


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def settings_of(world: dict[str, str], blocks: Sequence[_Block]) -> ZoneSettings:
    known = ("zonepath", "brand", "autoboot", "ip-type")
    by_kind = {kind: [block for block in blocks if block.kind == kind] for kind in RESOURCES}
    return ZoneSettings(
        zonepath=_path(world.get("zonepath", "")),
        brand=world.get("brand", ""),
        autoboot=world.get("autoboot", "false") == "true",
        ip_type=world.get("ip-type", "shared"),
        more=tuple((name, value) for name, value in world.items() if name not in known and value),
        fs=tuple(map(_fs, by_kind["fs"])),
        net=tuple(map(_net, by_kind["net"])),
        attr=tuple(Attr(b.one("name"), b.one("value"), b.one("type")) for b in by_kind["attr"]),
        dataset=tuple(block.one("name") for block in by_kind["dataset"]),
        rctl=tuple(map(_rctl, by_kind["rctl"])),
        other=tuple(OtherResource(b.kind, tuple(b.pairs)) for b in blocks if b.kind in _OTHER),
    )


_OTHER = ("device", "dedicated-cpu", "capped-cpu", "capped-memory", "admin", "security-flags")


def _path(text: str) -> str:
    """zonecfg removes double and final slashes."""
    return re.sub(r"/+", "/", text).rstrip("/") or text


def _fs(block: _Block) -> Fs:
    return Fs(
        block.one("dir"), block.one("special"), block.one("type"), block.one("raw"), block.many("options")
    )


def _net(block: _Block) -> Net:
    plain = {name: block.one(_dashed(name)) for name in _NET}
    pairs = tuple(
        (found.get("name", ""), found.get("value", ""))
        for found in map(complex_value, block.many("property"))
    )
    return Net(**plain, properties=pairs)


def _rctl(block: _Block) -> Rctl:
    values = []
    for found in map(complex_value, block.many("value")):
        values.append((found.get("priv", ""), found.get("limit", ""), found.get("action", "")))
    return Rctl(block.one("name"), tuple(values))


# -- what is sent --------------------------------------------------------------------------------------------


class Script:
    """A checked zonecfg script, and what a zone must look like after it."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        self._forget()

    def _forget(self) -> None:
        self._globals: dict[str, str | None] = {}  # None: cleared
        self._wanted: list[_Block] = []
        self._selected: list[tuple[_Block, dict[str, str]]] = []
        self._removed: list[tuple[str, dict[str, str]]] = []
        self._open: _Block | None = None
        self._filters: dict[str, str] | None = None

    @classmethod
    def parse(cls, lines: Sequence[str]) -> Script:
        """Raises UsageError naming the line that zonecfg would misread or that is not understood here."""
        script = cls(lines)
        for line in script._lines:
            script._take(line)
        if script._open is not None:
            raise UsageError(f"a zonecfg script stops inside {script._open.kind}: there is no 'end'")
        return script

    @property
    def text(self) -> str:
        """The file for `zonecfg -f`. Its last line ends with a newline, else zonecfg would drop it (5.1)."""
        return "".join(f"{line}\n" for line in [*self._lines, "verify", "commit"])

    def _take(self, line: str) -> None:
        fault = unfit(re.sub('"', "", line), 4096)
        if fault:
            raise UsageError(f"a line cannot go to zonecfg: it has {fault}: {line!r}")
        word = line.split(" ", 1)[0]
        found = _LINE[word].fullmatch(line) if word in _LINE else None
        if not found:
            raise UsageError(
                f"a line cannot go to zonecfg, which would misread it: {line!r}",
                hint="values with blanks or special characters stand in double quotes",
            )
        parts = {name: text or "" for name, text in found.groupdict().items()}
        self._measure(parts, line)
        getattr(self, f"_{word}")(**parts)

    def _measure(self, parts: dict[str, str], line: str) -> None:
        name = parts.get("name", "")
        for value in entries(parts.get("value", "")):
            fault = (
                unfit(value, LONGEST.get(name, limits.RESOURCE_VALUE.longest))
                if not value.startswith("(")
                else None
            )
            if fault:
                raise UsageError(f"the {name} {value!r} cannot be in a zone's configuration: it has {fault}")
        attr_name = self._open is not None and self._open.kind == "attr" and name == "name"
        if attr_name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", bare(parts["value"])):
            raise UsageError(
                f"{bare(parts['value'])!r} is not a name for an attr",
                hint="letters, digits, '.' and '-', no underscore",
            )

    def _create(self, options: str) -> None:
        self._forget()  # what came before does not count any more

    def _set(self, name: str, value: str) -> None:
        if self._open is not None:
            self._open.assign(name, value)
        elif name == "zonename":
            raise UsageError(
                "a zone is not renamed here", hint="clone it under the new name, remove the old one"
            )
        else:
            self._globals[name] = bare(value)

    def _clear(self, name: str) -> None:
        if self._open is not None:
            self._open.assign(name, "")
        else:
            self._globals[name] = None

    def _add(self, name: str, value: str) -> None:
        if self._open is not None:
            self._open.pairs += [(f"+{name}", entry) for entry in entries(value)]
        elif name in RESOURCES and not value:
            self._open = _Block(name)
        else:
            raise UsageError(f"zonecfg has no resource {name!r}", hint=f"it has: {', '.join(RESOURCES)}")

    def _select(self, name: str, filters: str) -> None:
        self._open, self._filters = _Block(name), _filters(filters)

    def _remove(self, force: str, name: str, filters: str) -> None:
        if self._open is not None:
            raise UsageError("a zonecfg script with 'remove' inside a resource is not understood here")
        if force and filters:
            raise UsageError("zonecfg takes 'remove -F' without a filter only")
        found = _filters(filters)
        self._removed.append((name, found))
        self._wanted = [b for b in self._wanted if b.kind != name or not _matches(b, found)]

    def _end(self) -> None:
        if self._open is None:
            raise UsageError("a zonecfg script has an 'end' outside a resource")
        if self._filters is None:
            self._wanted.append(self._open)
        else:
            self._selected.append((self._open, self._filters))
        self._open = self._filters = None

    # -- afterwards ----------------------------------------------------------------------------------------

    def missing_from(self, found: ZoneSettings) -> list[str]:
        """What the zone does not have although the script wanted it, or still has; a line for each."""
        blocks = [_Block(kind, pairs) for kind, pairs in resources_of(found)]
        faults = [
            fault for name, value in self._globals.items() if (fault := _global_fault(found, name, value))
        ]
        for block in self._wanted:
            if not any(_has(other, block) for other in blocks) and not _as_rctl(block, found):
                faults.append(f"{block.kind} {_shown(block)} is missing")
        for change, filters in self._selected:
            wanted = {**filters, **dict(change.pairs)}
            if not any(_has(other, _Block(change.kind, list(wanted.items()))) for other in blocks):
                faults.append(f"{change.kind} {_shown(change)} is missing")
        for kind, filters in self._removed:
            kept = [b for b in blocks if b.kind == kind and _matches(b, filters)]
            if any(not any(_has(block, wanted) for wanted in self._wanted) for block in kept):
                faults.append(f"{kind} {filters or ''} is still there")
        return faults


def _filters(text: str) -> dict[str, str]:
    found = re.findall(r'([a-z-]+) ?= ?("[^"]*"|[^\s";=\[\]()]+)', text)
    if len(found) > 3:
        raise UsageError("zonecfg takes at most three filters")
    return {name: bare(value) for name, value in found}


def _matches(block: _Block, filters: dict[str, str]) -> bool:
    return all(_same(name, block.one(name), value) for name, value in filters.items())


def _shown(block: _Block) -> str:
    return ",".join(f"{name.lstrip('+')}={value}" for name, value in block.pairs)


def _has(found: _Block, wanted: _Block) -> bool:
    """Is each wanted property there? Lists must have the same entries, in whatever order."""
    if found.kind != wanted.kind:
        return False
    for name, value in wanted.pairs:
        if name.startswith("+"):
            mine = sorted(_canonical(v) for k, v in wanted.pairs if k == name)
            if mine != sorted(_canonical(v) for k, v in found.pairs if k == name):
                return False
        elif not _same(name, found.one(name), value):
            return False
    return True


def _canonical(value: str) -> str:
    return str(sorted(complex_value(value).items())) if value.startswith("(") else value


def _same(name: str, found: str, wanted: str) -> bool:
    if found == wanted:
        return True
    if name in ("physical", "swap", "locked") and (a := size(found)) and (b := size(wanted)):
        return abs(a - b) <= 0.06 * max(a, b)  # export rounds to one decimal of its unit
    if name == "mac-addr":
        return [part.lstrip("0") for part in found.lower().split(":")] == [
            part.lstrip("0") for part in wanted.lower().split(":")
        ]
    if name == "zonepath":
        return _path(found) == _path(wanted)
    return False


def size(text: str) -> int | None:
    """Bytes of `1.5G`; None when it is no size."""
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)([BKMGT]?)B?", text.strip().upper())
    return None if not found else int(float(found[1]) * _UNITS[found[2]])


def _global_fault(found: ZoneSettings, name: str, value: str | None) -> str | None:
    if name in ALIASES:
        return _alias_fault(found, ALIASES[name], value)
    has = {
        "zonepath": found.zonepath,
        "brand": found.brand,
        "autoboot": str(found.autoboot).lower(),
        "ip-type": found.ip_type,
        **dict(found.more),
    }.get(name, "")
    if _same(name, has, value or "") or (value is None and name == "autoboot"):
        return None
    return f"{name} is {has!r} instead of {value or ''!r}"


def _alias_fault(found: ZoneSettings, rctl: str, value: str | None) -> str | None:
    limits = [limit for control in found.rctl if control.name == rctl for _, limit, _ in control.values]
    if value is None:
        return f"{rctl} is still there" if limits else None
    wanted = size(value)
    return None if str(wanted) in limits else f"{rctl} is {limits or 'absent'} instead of {value}"


def _as_rctl(block: _Block, found: ZoneSettings) -> bool:
    """capped-cpu, and parts of capped-memory, come back as resource controls (5.5)."""
    limits = {c.name: [limit for _, limit, _ in c.values] for c in found.rctl}
    if block.kind == "capped-cpu":
        if not re.fullmatch(r"[0-9]*\.?[0-9]+", block.one("ncpus")):
            return False
        hundredths = int(float(block.one("ncpus")) * 100 + 0.001)  # by build, zonecfg is one off
        near = {str(hundredths + off) for off in (-1, 0, 1)}
        return bool(near.intersection(limits.get("zone.cpu-cap", [])))
    if block.kind != "capped-memory":
        return False
    names = {
        "swap": "zone.max-swap",
        "locked": "zone.max-locked-memory",
        "physical": "zone.max-physical-memory",
    }
    exported = next((o for o in found.other if o.kind == "capped-memory"), OtherResource("capped-memory"))
    return all(
        any(_same(name, limit, value) for limit in limits.get(names.get(name, ""), []))
        or _same(name, dict(exported.properties).get(name, ""), value)
        for name, value in block.pairs
    )
