"""Limits of a zone: disk space, memory, swap, CPUs, processes, the size of /tmp; checked, and put for the tools.

What zonecfg and zfs refuse is refused here, before anything is made (docs/illumos.md: zonecfg, ZFS).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from zonemgr.errors import UsageError
from zonemgr.model import OtherResource

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?) ?(?P<unit>[KMGT]?)(?:I?B)?")
MEGABYTE = 1 << 20
MOST = 1 << 60  # a size above is a slip of the keyboard
# The least that the tools take: zonecfg's own limits for memory and swap; below the others no zone boots.
LEAST = {
    "--quota": 64 * MEGABYTE,
    "--cap-memory": 16 * MEGABYTE,
    "--cap-swap": 50 * MEGABYTE,
    "--tmpfs-size": MEGABYTE,
}


@dataclass(frozen=True)
class Caps:
    """Limits, each as zonecfg or zfs takes it; empty: none asked for. `tmpfs` as an option of mount_tmpfs."""

    quota: str = ""
    memory: str = ""
    swap: str = ""
    cpu: str = ""
    shares: str = ""
    processes: str = ""
    tmpfs: str = ""

    @property
    def globals(self) -> tuple[tuple[str, str], ...]:
        """Global properties of zonecfg; both are aliases of resource controls."""
        pairs = (("cpu-shares", self.shares), ("max-processes", self.processes))
        return tuple(pair for pair in pairs if pair[1])

    @property
    def resources(self) -> tuple[OtherResource, ...]:
        """Resources of zonecfg."""
        memory = tuple(
            pair for pair in (("physical", self.memory), ("swap", self.swap)) if pair[1]
        )  # fmt: skip
        found = [OtherResource("capped-memory", memory)] if memory else []
        if self.cpu:
            found.append(OtherResource("capped-cpu", (("ncpus", self.cpu),)))
        return tuple(found)


def parse(
    *, quota: str = "", memory: str = "", swap: str = "", cpu: str = "", shares: str = "", processes: str = "",
    tmpfs: str = "",
) -> Caps:  # fmt: skip
    """Raises UsageError for what the tools would not take, or would cut without a word."""
    size = tmpfs and size_of("--tmpfs-size", tmpfs)
    return Caps(
        quota="" if quota.strip().lower() == "none" else quota and _shown(size_of("--quota", quota)),
        memory=memory and _shown(size_of("--cap-memory", memory)),
        swap=swap and _shown(size_of("--cap-swap", swap)),
        cpu=cpu and _cpus(cpu),
        shares=shares and _number("--cpu-shares", shares, 1, 65535),
        processes=processes and _number("--max-processes", processes, 100, 1 << 31),
        tmpfs=f"{int(size) // MEGABYTE}m" if size else "",
    )


def size_of(option: str, text: str) -> int:
    """Bytes of `1.5G`; units are powers of 1024."""
    found = _SIZE.fullmatch(text.strip().upper())
    if found is None:
        raise UsageError(f"{text!r} is no size for {option}", hint=f"{option} 20G, or 1.5G, or 512M")
    whole, _, rest = found["number"].partition(".")
    unit = _UNITS[found["unit"]]
    size = int(whole) * unit + (int(rest) * unit // 10 ** len(rest) if rest else 0)
    least = LEAST[option]
    if not least <= size < MOST:
        raise UsageError(
            f"{option} {text} is out of range", hint=f"at least {_shown(least)}, and below {_shown(MOST)}"
        )
    return size


def _shown(size: int) -> str:
    """Without a fraction, in the largest unit: what zfs and zonecfg both take as it is meant."""
    for unit in ("T", "G", "M", "K"):
        if size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def _cpus(text: str) -> str:
    """zonecfg cuts to hundredths, and some builds lose one (docs/illumos.md: zonecfg)."""
    found = re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,2})?", text.strip())
    if found is None or float(text) < 0.05:
        raise UsageError(f"{text!r} is no number of CPUs for --cap-cpu", hint="--cap-cpu 2, or 0.5, or 2.25")
    return text.strip()


def _number(option: str, text: str, least: int, most: int) -> str:
    if not re.fullmatch(r"[0-9]{1,10}", text.strip()) or not least <= int(text) <= most:
        raise UsageError(f"{text!r} is no number for {option}", hint=f"from {least} to {most}")
    return str(int(text))
