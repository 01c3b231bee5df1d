"""Link properties: dladm show-linkprop, set-linkprop, reset-linkprop (docs/illumos.md: Links and addresses)."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zonemgr.lab import links, ofmt
from zonemgr.lab.dladm import DENIED, Died, NotEmulated, Run, Usage
from zonemgr.lab.ofmt import Field
from zonemgr.lab.place import Link
from zonemgr.lab.world import World

FIELDS = [
    Field("LINK", 13), Field("PROPERTY", 16), Field("PERM", 5), Field("VALUE", 15), Field("DEFAULT", 15),
    Field("POSSIBLE", 20),
]  # fmt: skip
LONG = {"temporary": "t", "root-dir": "R", "prop": "p", "parsable": "c", "persistent": "P", "output": "o"}
PROTECTIONS = "mac-nospoof,restricted,ip-nospoof,dhcp-nospoof"


def _one_of(*words: str) -> Callable[[list[str]], bool]:
    return lambda values: len(values) == 1 and values[0] in words


def _number(lowest: int, highest: int) -> Callable[[list[str]], bool]:
    return lambda values: len(values) == 1 and values[0].isdigit() and lowest <= int(values[0]) <= highest


def _addresses(values: list[str]) -> bool:
    try:
        return all(ipaddress.ip_interface(value) for value in values)
    except ValueError:
        return False


def _bandwidth(values: list[str]) -> bool:
    return len(values) == 1 and values[0].rstrip("KMG%").replace(".", "", 1).isdigit()


@dataclass(frozen=True)
class Property:
    name: str
    default: str = ""
    possible: str = ""
    good: Callable[[list[str]], bool] | None = (
        None  # None: read-only, or (with a default) nothing to set here
    )
    classes: str = "phys vnic etherstub"


PROPERTIES = (
    Property("speed", "1000", "", None, "phys"),
    Property("autopush"),
    Property("zone"),
    Property("duplex", "full", "half,full", None, "phys"),
    Property("state", "up", "up,down"),
    Property("mtu", "1500", "", _number(576, 9000)),
    Property("flowctrl", "bi", "no,tx,rx,bi", _one_of("no", "tx", "rx", "bi"), "phys"),
    Property("maxbw", "", "", _bandwidth),
    Property("cpus", "", "", lambda values: all(value.isdigit() for value in values)),
    Property("cpus-effective"),
    Property("pool", "", "", lambda values: len(values) == 1),
    Property("pool-effective"),
    Property("priority", "high", "low,medium,high", _one_of("low", "medium", "high")),
    Property("tagmode", "vlanonly", "normal,vlanonly", _one_of("normal", "vlanonly")),
    Property("forward", "1", "1,0", _one_of("0", "1"), "phys etherstub"),
    Property("default_tag", "1", "", _number(0, 4094), "phys etherstub"),
    Property("learn_limit", "1000", "", _number(0, 2**31), "phys etherstub"),
    Property("learn_decay", "200", "", _number(0, 2**31), "phys etherstub"),
    Property("stp", "1", "1,0", _one_of("0", "1"), "phys etherstub"),
    Property(
        "protection", "", PROTECTIONS, lambda values: all(value in PROTECTIONS.split(",") for value in values)
    ),
    Property("promisc-filtered", "on", "off,on", _one_of("off", "on"), "vnic"),
    Property("allowed-ips", "", "", _addresses),
    Property("allowed-dhcp-cids", "", "", lambda values: True),
)
READ_ONLY = ("speed", "duplex", "state", "cpus-effective", "pool-effective")
BY_NAME = {each.name: each for each in PROPERTIES}


def parse(text: str, *, values: bool) -> dict[str, list[str]]:
    """`a=1,2,b=3` as {a: [1, 2], b: [3]}; raises ValueError for a value without a name."""
    found: dict[str, list[str]] = {}
    last = ""
    for word in [part for part in text.split(",") if part]:
        name, sign, value = word.partition("=")
        if sign or not values:
            last = name
            found.setdefault(last, [])
        if not last:
            raise ValueError(text)
        if values and (value or not sign):
            found[last].append(value if sign else word)
    return found


def set_one(world: World, link: str, name: str, values: list[str]) -> str:
    """Set one property (no values: back to the default); returns a dladm status text, empty for success."""
    known = BY_NAME.get(name)
    row = links.find(world, link)
    if known is None or row is None or row["class"] not in known.classes:
        return "object not found" if known is None else "operation not supported"
    if known.name in READ_ONLY:
        return "read-only property"
    if known.good is None:
        raise NotEmulated(f"dladm set-linkprop -p {name}")
    if values and not known.good(values):
        return "invalid value"
    props = {key: value for key, value in json.loads(row["props"]).items() if key != name}
    if values:
        props[name] = ",".join(values)
    mtu = int(props.get("mtu", "1500" if row["class"] != "etherstub" else "9000"))
    world.db.execute(
        "update links set props = ?, mtu = ? where name = ?", (json.dumps(props, sort_keys=True), mtu, link)
    )
    return ""


# -- set-linkprop, reset-linkprop ----------------------------------------------------------------------


def change(run: Run, words: Sequence[str]) -> int:
    found, rest = run.options(words, "p:R:t", LONG)
    reset = run.name == "reset-linkprop"
    if len(rest) != 1:
        raise Usage
    try:
        wanted = parse(",".join(value for letter, value in found if letter == "p"), values=not reset)
    except ValueError:
        raise Died("invalid link properties specified") from None
    if not wanted and not reset:
        raise Died("link property must be specified")
    if "R" in dict(found):
        raise NotEmulated("dladm -R")
    if rest[0] not in [link.name for link in run.links()]:
        raise Died(f"link {rest[0]} is not valid: object not found")
    run.changes()
    if reset and not wanted:
        wanted = {each.name: [] for each in PROPERTIES if each.good is not None}
        wanted = {name: [] for name in wanted if _fits(run, rest[0], name)}
    return max([_change_one(run, rest[0], name, values, reset) for name, values in wanted.items()], default=0)


def _fits(run: Run, link: str, name: str) -> bool:
    row = links.find(run.call.world, link)
    return row is not None and row["class"] in BY_NAME[name].classes


def _change_one(run: Run, link: str, name: str, values: list[str], reset: bool) -> int:
    verb = "reset" if reset else "set"
    if not reset and not values:
        run.warn(f"no value specified for '{name}'")
        return 1
    trouble = DENIED if not run.call.privileged else set_one(run.call.world, link, name, values)
    if not trouble:
        return 0
    possible = BY_NAME[name].possible if name in BY_NAME else ""
    if trouble == "object not found":
        run.warn(f"invalid link property '{name}'")
    elif trouble == "invalid value" and possible:
        run.warn(f"link property '{name}' must be one of: {possible}")
    elif trouble == "invalid value":
        run.warn(f"invalid link property '{values[0]}'")
    else:
        run.warn(f"cannot {verb} link property '{name}' on '{link}': {trouble}")
    return 1


# -- show-linkprop -------------------------------------------------------------------------------------


def show(run: Run, words: Sequence[str]) -> int:
    found, rest = run.options(words, "p:cPo:", LONG)
    given = dict(found)
    if "P" in given:
        raise NotEmulated("dladm show-linkprop -P")
    if len(rest) > 1:
        raise Usage
    shown = [link for link in run.links() if not rest or link.name == rest[0]]
    if rest and not shown:
        raise Died(f"link {rest[0]} is not valid: object not found")
    wanted = list(parse(",".join(value for letter, value in found if letter == "p"), values=False))
    status = _complain(run, shown, wanted)
    try:
        table, warning = ofmt.choose(given.get("o"), FIELDS, parsable="c" in given, wrap=True)
    except ofmt.BadFields as bad:
        raise Died(str(bad)) from None
    if warning:
        run.warn(warning)
    table.show(run.call, [_row(run, link, each) for link in shown for each in _chosen(link, wanted)])
    return status


def _complain(run: Run, shown: Sequence[Link], wanted: Sequence[str]) -> int:
    unknown = [name for name in wanted if name not in BY_NAME]
    for link in shown:
        for name in unknown:
            run.warn(f"cannot get link property '{name}' for {link.name}: object not found")
    return 1 if unknown and shown else 0


def _chosen(link: Link, wanted: Sequence[str]) -> list[Property]:
    if wanted:
        return [BY_NAME[name] for name in wanted if name in BY_NAME]
    return [each for each in PROPERTIES if link.klass in each.classes.split()]


def _row(run: Run, link: Link, known: Property) -> ofmt.Row:
    default = "9000" if known.name == "mtu" and link.klass == "etherstub" else known.default
    return {
        "LINK": link.name,
        "PROPERTY": known.name,
        "PERM": "r-" if known.name in READ_ONLY else "rw",
        "VALUE": _value(run, link, known, default),
        "DEFAULT": default,
        "POSSIBLE": known.possible or (default if known.name == "mtu" else ""),
    }


def _value(run: Run, link: Link, known: Property, default: str) -> str:
    if known.name == "zone":
        return link.zone
    if run.call.zone is not None:
        return default
    row = links.find(run.call.world, link.name)
    props: dict[str, str] = json.loads(row["props"]) if row is not None else {}
    return props.get(known.name, default)
