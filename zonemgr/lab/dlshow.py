"""dladm show-link, show-phys, show-vnic, show-etherstub (docs/illumos.md: Links and addresses)."""

from __future__ import annotations

from collections.abc import Sequence

from zonemgr.lab import links, ofmt
from zonemgr.lab.dladm import Died, NotEmulated, Run, Usage
from zonemgr.lab.ofmt import Field, Row, Table
from zonemgr.lab.place import Link, link_of

LINK = [
    Field("LINK", 12), Field("CLASS", 10), Field("MTU", 7), Field("STATE", 9), Field("BRIDGE", 11),
    Field("OVER", 30),
]  # fmt: skip
PHYS = [
    Field("LINK", 13), Field("MEDIA", 21), Field("STATE", 11), Field("SPEED", 9), Field("DUPLEX", 9),
    Field("DEVICE", 13), Field("FLAGS", 7),
]  # fmt: skip
VNIC = [
    Field("LINK", 13), Field("OVER", 13), Field("SPEED", 9), Field("MACADDRESS", 18),
    Field("MACADDRTYPE", 20), Field("VID", 7),
]  # fmt: skip
ZONE = Field("ZONE", 20)  # OmniOS
LONG = {
    "parsable": "p",
    "parseable": "p",
    "statistics": "s",
    "interval": "i",
    "persistent": "P",
    "output": "o",
}


def _table(
    run: Run, text: str | None, fields: Sequence[Field], *, parsable: bool, wrap: bool = False
) -> Table:
    try:
        table, warning = ofmt.choose(text, fields, parsable=parsable, wrap=wrap)
    except ofmt.BadFields as bad:
        raise Died(str(bad)) from None
    if warning:
        run.warn(warning)
    return table


def _statistics(run: Run, given: dict[str, str]) -> None:
    if "i" in given and "s" not in given:
        raise Died("the option -i can be used only with -s")
    if "s" in given:
        raise NotEmulated(f"dladm {run.name} -s")


def _fields(given: dict[str, str], live: str, kept: str) -> str:
    """What -o says, or the default columns; -p insists on -o."""
    if "p" in given and "o" not in given:
        raise Died("-p requires -o")
    if "p" in given and given["o"].lower() == "all":
        raise Died('"-o all" is invalid with -p')
    if "o" in given and given["o"].lower() != "all":
        return given["o"]
    return kept if "P" in given else live


def _all(run: Run, *, persistent: bool) -> list[Link]:
    """The links that are there now, or those the next boot will bring."""
    if not persistent:
        return run.links()
    if run.call.zone is not None:
        return []
    return [link_of(dict(row)) for row in links.every(run.call.world) if not row["temporary"]]


def _one(run: Run, name: str, complaint: str) -> Link:
    if len(name) > links.LONGEST:
        raise Died("link name too long")
    found = {link.name: link for link in [*_all(run, persistent=True), *run.links()]}
    if name not in found:
        raise Died(f"{complaint}: object not found")
    return found[name]


# -- show-link -----------------------------------------------------------------------------------------


def show_link(run: Run, words: Sequence[str]) -> None:
    letters = "pPsi:o:z:" if run.where.omnios else "pPsi:o:"
    found, rest = run.options(words, letters, LONG)
    given = dict(found)
    _statistics(run, given)
    shown = _all(run, persistent="P" in given)
    if len(rest) > 1:
        raise Usage
    if rest:
        link = _one(run, rest[0], f"link {rest[0]} is not valid")
        if link.name not in [each.name for each in shown]:
            why = "a temporary link" if "P" in given else "temporarily removed"
            raise Died(f"link {rest[0]} is {why}: invalid argument")
        shown = [link]
    text = _fields(given, "link,class,mtu,state,bridge,over", "link,class,bridge,over")
    fields = [*LINK, ZONE] if run.where.omnios else LINK
    table = _table(run, text, fields, parsable="p" in given, wrap=True)
    table.show(run.call, [_link_row(link, "P" in given) for link in _of_zone(run, shown, given)])


def _of_zone(run: Run, shown: list[Link], given: dict[str, str]) -> list[Link]:
    if "z" not in given:
        return shown
    wanted = given["z"].split(",")
    return [link for link in shown if (link.zone or "global") in wanted]


def _link_row(link: Link, persistent: bool) -> Row:
    row = {"LINK": link.name, "CLASS": link.klass, "OVER": link.over or ("?" if link.klass == "vnic" else "")}
    if not persistent:
        row |= {"MTU": str(link.mtu), "STATE": "unknown" if link.klass == "etherstub" else "up"}
    return {**row, "ZONE": link.zone}


def show_phys(run: Run, words: Sequence[str]) -> None:
    found, rest = run.options(words, "pPo:mH", LONG)
    given = dict(found)
    for letter in "mH":
        if letter in given:
            raise NotEmulated(f"dladm show-phys -{letter}")
    if len(rest) > 1:
        raise Usage
    shown = (
        [_one(run, rest[0], f"link {rest[0]} is not valid")] if rest else _all(run, persistent="P" in given)
    )
    physical = [link for link in shown if link.klass == "phys"]
    if rest and not physical:
        raise Died(f"failed to show physical link {rest[0]}: invalid argument")
    text = _fields(given, "link,media,state,speed,duplex,device", "link,device,media,flags")
    table = _table(run, text, PHYS, parsable="p" in given)
    table.show(run.call, [_phys_row(link, "P" in given) for link in physical])


def _phys_row(link: Link, persistent: bool) -> Row:
    row = {"LINK": link.name, "MEDIA": "Ethernet", "DEVICE": f"e1000g{link.name[-1]}"}
    live = {"STATE": "up", "SPEED": "1000", "DUPLEX": "full"}
    return {**row, "FLAGS": "-----"} if persistent else {**row, **live}


# -- show-vnic, show-etherstub -------------------------------------------------------------------------


def show_vnic(run: Run, words: Sequence[str]) -> None:
    letters = "pPl:si:o:z:" if run.where.omnios else "pPl:si:o:"
    found, rest = run.options(words, letters, {**LONG, "link": "l"})
    given = dict(found)
    etherstub = run.name == "show-etherstub"
    if "l" in given and etherstub:
        raise Died("option not supported for this command")
    _statistics(run, given)
    if len(rest) > 1:
        raise Usage
    shown = (
        [_one(run, rest[0], f"invalid vnic name '{rest[0]}'")] if rest else _all(run, persistent="P" in given)
    )
    if rest and shown[0].klass not in ("vnic", "etherstub"):
        raise Died(f"failed to show vnic '{rest[0]}': invalid argument")
    if "l" in given:
        _one(run, given["l"], f"invalid link name '{given['l']}'")
        shown = [link for link in shown if link.over == given["l"]]
    default = "link" if etherstub else None
    text = (
        default
        if given.get("o", "all").lower() == "all" and not ("p" in given and "o" in given)
        else given["o"]
    )
    table = _table(run, text, [*VNIC, ZONE] if run.where.omnios else VNIC, parsable="p" in given)
    wanted = [link for link in shown if link.klass == ("etherstub" if etherstub else "vnic")]
    table.show(run.call, [_vnic_row(link) for link in _of_zone(run, wanted, given)])


def _vnic_row(link: Link) -> Row:
    if link.klass == "etherstub":
        return {"LINK": link.name, "ZONE": link.zone}
    speed = "1000" if not link.over.startswith("stub") else "0"
    return {
        "LINK": link.name,
        "OVER": link.over or "?",
        "SPEED": speed,
        "MACADDRESS": link.mac,
        "MACADDRTYPE": link.mactype or "random",
        "VID": str(link.vid),
        "ZONE": link.zone,
    }
