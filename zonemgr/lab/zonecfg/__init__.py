"""The emulated zonecfg: lexer, grammar, commands and messages of illumos' own, over the files in /etc/zones.

Inside this package text is bytes, one character a byte (latin-1): every limit zonecfg has counts bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zonemgr.lab import zonestore as _zonestore  # registers its table and what a fresh lab is given

if TYPE_CHECKING:
    from zonemgr.lab.call import Call

__all__ = ["zonecfg"]
_ = _zonestore


def zonecfg(call: Call) -> int:
    """Run one zonecfg; returns its exit status, -6 when it ends by an abort."""
    from zonemgr.lab.zonecfg.main import main

    return main(call)
