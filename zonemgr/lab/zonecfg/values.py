"""Which values zonecfg takes: pure checks and conversions, with C's number parsing and its overflows."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_INTEGER = {
    8: r"[ \t\n\v\f\r]*([+-]?)([0-7]+)",
    10: r"[ \t\n\v\f\r]*([+-]?)([0-9]+)",
    16: r"[ \t\n\v\f\r]*([+-]?)(?:0[xX](?=[0-9A-Fa-f]))?([0-9A-Fa-f]+)",
}


class Number(NamedTuple):
    """What strtoull(3C) makes of a text; `value` is the limit when it does not fit."""

    value: int
    end: int  # where it stopped reading; 0: no number at all
    overflow: bool = False


def parse_unsigned(text: str, base: int = 10) -> Number:
    """strtoull: blanks and a sign first, a minus wraps around; base 0 looks at the prefix."""
    if base == 0:
        digits = text.lstrip(" \t\n\v\f\r").lstrip("+-")
        base = 16 if re.match(r"0[xX][0-9A-Fa-f]", digits) else 8 if digits.startswith("0") else 10
    found = re.match(_INTEGER[base], text)
    if found is None:
        return Number(0, 0)
    value = int(found[2], base)
    if value >= 1 << 64:
        return Number((1 << 64) - 1, found.end(), overflow=True)
    return Number(-value % (1 << 64) if found[1] == "-" else value, found.end())


def plain_unsigned(text: str) -> int | None:
    """A decimal number as the rctl aliases and dedicated-cpu take it: no minus sign; an empty text is 0."""
    number = parse_unsigned(text)
    return None if "-" in text or number.overflow or number.end != len(text) else number.value


def is_int64(text: str) -> bool:
    """Is the whole text a decimal number of 64 bits with sign? (strtoll; an empty text counts as 0)"""
    found = re.match(_INTEGER[10], text)
    if found is None:
        return text == ""
    value = int(f"{found[1]}{found[2]}")
    return found.end() == len(text) and -(1 << 63) <= value < 1 << 63


def is_uint64(text: str) -> bool:
    number = parse_unsigned(text)
    return (
        number.end == len(text)
        and not number.overflow
        and not (is_int64(text) and "-" in text and number.value)
    )


# -- decimals --------------------------------------------------------------------------------------------

_DECIMAL = (
    r"[ \t\n\v\f\r]*(?P<sign>[+-]?)(?:"
    r"0[xX](?P<hex>(?:[0-9A-Fa-f]+\.?[0-9A-Fa-f]*|\.[0-9A-Fa-f]+))(?:[pP](?P<power>[+-]?[0-9]+))?"
    r"|(?P<digits>(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE](?P<exponent>[+-]?[0-9]+))?"
    r"|(?P<infinite>[iI][nN][fF](?:[iI][nN][iI][tT][yY])?)"
    r"|(?P<nan>[nN][aA][nN](?:\([A-Za-z0-9_]*\))?))"
)


class Decimal(NamedTuple):
    """What strtod(3C) makes of a text: the size as an exact ratio, the sign, infinity and nan apart."""

    numerator: int = 0
    denominator: int = 1
    end: int = 0  # where it stopped reading; 0: no number at all
    negative: bool = False
    infinite: bool = False
    nan: bool = False

    @property
    def size(self) -> float:
        return self.numerator / self.denominator


def parse_decimal(text: str) -> Decimal:
    found = re.match(_DECIMAL, text)
    if found is None:
        return Decimal()
    negative, end = found["sign"] == "-", found.end()
    if found["infinite"] or found["nan"]:
        return Decimal(0, 1, end, negative, bool(found["infinite"]), bool(found["nan"]))
    if found["hex"]:
        numerator, denominator = _ratio(found["hex"], found["power"], base=16, shift=2, digit=4)
    else:
        numerator, denominator = _ratio(found["digits"], found["exponent"], base=10, shift=10, digit=1)
    return Decimal(numerator, denominator, end, negative, infinite=numerator >= denominator << 1024)


def _ratio(digits: str, power: str | None, *, base: int, shift: int, digit: int) -> tuple[int, int]:
    """digits times shift to the power; a digit behind the point counts as that many shifts down."""
    whole, _, part = digits.partition(".")
    up = max(-5000, min(5000, int(power or "0"))) - digit * len(part)
    value = int(f"{whole}{part}", base)
    return (value * shift**up, 1) if up >= 0 else (value, shift**-up)


def to_bytes(text: str) -> int | None:
    """A memory size: a decimal with K, M, G, T or nothing behind it; what overflows 64 bits becomes 0."""
    number = parse_decimal(text)
    unit = text[number.end :].lstrip(" \t\n\v\f\r").upper()
    if (number.negative and (number.numerator or number.infinite)) or unit not in ("", "K", "M", "G", "T"):
        return None
    if number.nan:
        return 1 << 63
    size = number.numerator * (1024 ** (1 + "KMGT".index(unit)) if unit else 1) // number.denominator
    return 0 if number.infinite or size >= 1 << 64 else size


def cpu_cap(text: str, *, omnios: bool) -> int | None:
    """capped-cpu's ncpus in hundredths; None when it is out of range.

    GATE multiplies a float and cuts; OmniOS rounds a double. Both as a 32-bit program does it.
    """
    number = parse_decimal(text)
    if number.end == 0 or number.end != len(text) or (number.negative and not number.nan):
        return None
    if number.nan or number.infinite:
        return 0 if omnios else None
    if omnios:
        hundredths = round(number.size * 100)
        if hundredths >= 1 << 63:
            return 0
        return hundredths & 0xFFFFFFFF if hundredths >= 1 else None
    hundredths = int(_single(number.size) * 100)
    return hundredths if 1 <= hundredths < 1 << 31 else None


def _single(value: float) -> float:
    """A value as a float of 32 bits keeps it."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return float(1 << 40)


def units(size: int) -> str:
    """A size as `info` and `export` show it: rounded, one decimal below 10."""
    if size < 1024:
        return str(size)
    unit, before, value = -1, 0, size
    while value >= 1024 and unit < 3:
        unit += 1
        before, value = value, (value + 512) >> 10
    if before % 1024 and before >> 10 < 10:
        return f"{before / 1024:.1f}{'KMGT'[unit]}"
    return f"{value}{'KMGT'[unit]}"


# -- names -----------------------------------------------------------------------------------------------


def zone_name(name: str) -> bool:
    return bool(re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}", name)) and name != "global"


def shared_interface(name: str) -> str | None:
    """What is wrong with a physical interface of a shared-IP zone, or None."""
    head, colon, unit = name.partition(":")
    bad = len(name) > 31 or not head[-1:].isdigit() or not name.isascii()
    if bad or (colon and not re.fullmatch(r"[0-9]+", unit)):
        return "invalid physical interface name"
    return "LUNs not allowed in physical interface names" if colon else None


def link_name(name: str) -> bool:
    """Is this the name of a data link? (dladm's rule)"""
    return len(name) < 32 and bool(
        re.fullmatch(r"(?![0-9])(?:[A-Za-z0-9_.]*[A-Za-z_.])?(?:0|[1-9][0-9]*)", name)
    )


def dataset_name(name: str) -> bool:
    """Is this the name of a file system? (entity_namecheck; the pool's first character is not looked at)"""
    return len(name) < 256 and all(re.fullmatch(r"[A-Za-z0-9_.: %-]+", part) for part in name.split("/"))


def is_ipv4(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(
        re.fullmatch(r"0|[1-9][0-9]{0,2}", part) and int(part) < 256 for part in parts
    )


def is_ipv6(text: str) -> bool:
    if ":" not in text or not re.fullmatch(r"[0-9A-Fa-f:.]+", text):
        return False
    import socket

    try:
        socket.inet_pton(socket.AF_INET6, text)
    except OSError:
        return False
    return True


def atoi(text: str) -> int:
    found = re.match(_INTEGER[10], text)
    value = int(f"{found[1]}{found[2]}") if found else 0
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)


def same_address(one: str, other: str) -> bool:
    """Equal, or equal but for a /prefix that only one of them has."""
    if one == other:
        return True
    if ("/" in one) == ("/" in other):
        return False
    return one.partition("/")[0] == other.partition("/")[0]


# -- properties ------------------------------------------------------------------------------------------


def hostid(text: str) -> str | None:
    """None for a good host id, else `invalid` or `too big`."""
    if not text or re.search(r"[ \t\n\v\f\r]", text):
        return "invalid"
    start = 2 if text[:2] in ("0x", "0X") else 0
    number = parse_unsigned(text[start:], 16)
    end = start + number.end
    if end >= 11:
        return "too big"
    return "invalid" if number.value >= 0xFFFFFFFF or end != len(text) else None


def fs_allowed(text: str) -> bool:
    """A comma list of file system types; the empty text passes."""
    return text == "" or bool(re.fullmatch(r"[A-Za-z0-9-]+(?:,[A-Za-z0-9-]+)*", text))


def fs_type(text: str) -> bool:
    return 0 < len(text) < 256 and "/" not in text and text not in (".", "..")


def rctl_name(text: str) -> bool:
    return bool(re.fullmatch(r"zone\.[A-Za-z-]+", text))


def rctl_value(priv: str, limit: str, action: str) -> bool:
    number = parse_unsigned(limit, 0)
    counted = not limit.startswith("-") and not number.overflow and number.end == len(limit)
    return priv == "privileged" and counted and action in ("none", "deny")


# -- security flags --------------------------------------------------------------------------------------

FLAGS = {"aslr": 1, "forbidnullmap": 2, "noexecstack": 4}
ALL_FLAGS = 7


class Flags(NamedTuple):
    """A parsed set of security flags; `current` in it makes it a change, not a set."""

    bits: int
    is_set: bool


def security_flags(text: str) -> Flags | None:
    add = remove = 0
    current = False
    for word in text.split(","):
        match word.lower():
            case "all":
                add = ALL_FLAGS
            case "none":
                remove = ALL_FLAGS
            case "current":
                current = True
            case flag if (bit := FLAGS.get(flag[1:] if flag[:1] in ("-", "!", "+") else flag)) is not None:
                add, remove = (add, remove | bit) if flag[0] in "-!" else (add | bit, remove)
            case _:
                return None
    return Flags(0, False) if current else Flags(add & ~remove, True)
