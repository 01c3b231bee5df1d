"""Files below the lab's /usr that programs look at to learn what host this is: its brands, and Python's idea of it.

Both are shown over the machine's /usr/lib in the global zone, where the machine has overlay file systems.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from zonemgr.lab import brands
from zonemgr.lab.brands import Brand

HOOKS = ("install", "clone", "uninstall", "attach", "detach", "verify", "prestate", "poststate")
# The zoneadm(8) hook names of config.xml: what is run before and after a change of state is called there like this.
ELEMENTS = {"prestate": "prestatechange", "poststate": "poststatechange", "verify": "verify_adm"}
PYTHONS = ("lib/python3/dist-packages", "lib/python3.*/site-packages")
HOOK = """\
#!/bin/sh
# The lab's zoneadm has what this brand does here built in; called by itself it cannot know a zone.
echo "lab: ${0} is run by zoneadm only" >&2
exit 1
"""


def brand_files(flavour: str) -> Iterator[tuple[str, str, int]]:
    """Path below /usr, text and mode of what a host with these brands has in /usr/lib/brand."""
    for brand in (brands.OMNIOS if flavour == "omnios" else brands.OPENINDIANA).values():
        place = f"lib/brand/{brand.name}"
        yield f"{place}/config.xml", _config(brand), 0o644
        yield f"{place}/platform.xml", _platform(brand), 0o644
        for hook in HOOKS:
            if getattr(brand, hook):
                yield f"{place}/{hook}", HOOK, 0o755


def _config(brand: Brand) -> str:
    head = '<?xml version="1.0"?>\n<!DOCTYPE brand PUBLIC "-//Sun Microsystems Inc//DTD Brands//EN"\n'
    head += '    "file:///usr/share/lib/xml/dtd/brand.dtd.1">\n'
    lines = [f'<brand name="{brand.name}">', "\t<modname></modname>", f"\t<initname>{brand.init}</initname>"]
    lines.append("\t<login_cmd>/usr/bin/login -z %Z -f %u</login_cmd>")
    for hook in HOOKS:
        if getattr(brand, hook):
            element, path = ELEMENTS.get(hook, hook), f"/usr/lib/brand/{brand.name}/{hook}"
            lines.append(f"\t<{element}>{path} %z %R</{element}>")
    if brand.installopts:
        lines.append(f"\t<installopts>{brand.installopts}</installopts>")
    return head + "\n".join([*lines, "</brand>"]) + "\n"


def _platform(brand: Brand) -> str:
    head = (
        '<?xml version="1.0"?>\n<!DOCTYPE platform PUBLIC "-//Sun Microsystems Inc//DTD Zones Platform//EN"\n'
    )
    head += '    "file:///usr/share/lib/xml/dtd/zone_platform.dtd.1">\n'
    mounts = (("/dev", "/dev", "dev"), ("proc", "/proc", "proc"), ("mnttab", "/etc/mnttab", "mntfs"))
    lines = [
        f'\t<mount special="{what}" directory="{point}" type="{kind}" />' for what, point, kind in mounts
    ]
    return (
        head
        + "\n".join([f'<platform name="{brand.name}" allow-exclusive-ip="true">', *lines, "</platform>"])
        + "\n"
    )


def python_files(flavour: str) -> Iterator[tuple[str, str, int]]:
    """For each Python of the machine's /usr a file it reads when it starts, by which os.uname and platform say SunOS.

    sys.platform stays: Python's own library goes by it in what it asks of the kernel, and that is the machine's.
    """
    version = "omnios-r151058" if flavour == "omnios" else "illumos-2024.10"
    text = (
        "import os; os.uname = (lambda asked: lambda: os.uname_result("
        f'("SunOS", asked().nodename, "5.11", "{version}", "i86pc")))(os.uname)\n'
    )
    for pattern in PYTHONS:
        for folder in sorted(Path("/usr").glob(pattern)):
            yield f"{folder.relative_to('/usr')}/lab-uname.pth", text, 0o644
