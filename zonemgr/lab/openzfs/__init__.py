"""The machine's own OpenZFS in the place of the lab's emulated zfs: `zonemgr lab create --zfs system`.

`machine` runs the real program and translates names; `kept` has the properties that stay with the lab (mountpoint,
canmount, zoned, sharing), as user properties; `mounts` and `job` do the mounting, which is always the lab's own work;
`reading`, `changing`, `mountcmd` and `pools` are the commands; `lifecycle` begins and ends such a lab.
docs/lab-zfs.md says what differs from illumos.
"""

from __future__ import annotations

import importlib

from zonemgr.lab.call import Call
from zonemgr.lab.zfs.text import Refused, Usage

READING = {"list": "list_", "get": "get", "holds": "holds"}
MOUNTING = {"mount": "mount", "unmount": "unmount"}


def zfs(call: Call, name: str, args: list[str]) -> int | None:
    """Run one command of zfs; None where there is no such one here."""
    from zonemgr.lab.openzfs.job import Job

    if name in READING:
        command = getattr(importlib.import_module(f"{__name__}.reading"), READING[name])
    elif name in MOUNTING:
        command = getattr(importlib.import_module(f"{__name__}.mountcmd"), MOUNTING[name])
    else:
        from zonemgr.lab.openzfs import changing

        command = changing.COMMANDS.get(name)
    if command is None:
        return None
    job = Job(call)
    try:
        return int(command(job, args))
    except Refused as reason:
        return job.report(reason)
    except Usage as wrong:
        from zonemgr.lab.zfs import usage

        call.err((wrong.text + "\n" if wrong.text else "") + usage.text(name))
        return 2
