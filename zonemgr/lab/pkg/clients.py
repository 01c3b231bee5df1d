"""The pkg that runs: `pkg update` refuses as long as a newer one could be installed first, unless given -f.

pkg5, `ipkg_is_up_to_date` in client/image.py and its callers in client/api.py. It is the image that the command
belongs to which counts, so with -R the running system's, by the catalogues it fetched last (none is fetched for this).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zonemgr.lab import place
from zonemgr.lab.pkg import plan
from zonemgr.lab.pkg.image import Image, load

if TYPE_CHECKING:
    from zonemgr.lab.pkg.command import Run

CLIENT = "package/pkg"
CORE = {
    "SUNWcs",
    "system/core-os",
}  # an image without one of these and pkg is no system: any pkg will do for it


def looked_at(image: Image) -> bool:
    """Is it checked for this image, and not only for the running system's?"""
    return bool(CORE & image.installed.keys()) and CLIENT in image.installed


def outdated(run: Run, image: Image) -> bool:
    if not looked_at(image):
        return False
    client = image if run.live else load(place.here(run.call), run.shelves)
    if client is None or CLIENT not in client.installed:
        return False
    try:
        newer, _ = plan.install(client, [f"pkg:/{CLIENT}"])
    except plan.PkgError:
        return False
    return any(new.name == CLIENT and new.key > old.key for old, new in newer.change)


def warning(run: Run) -> str:
    """It is told on standard output, without the prefix of an error."""
    name = "pkg(7)" if run.where.omnios else "pkg(5)"
    return (
        f"WARNING: {name} appears to be out of date, and should be updated before\n"
        f"running {run.name}.  Please update {name} by executing 'pkg install\n"
        f"pkg:/{CLIENT}' as a privileged user and then retry the {run.name}.\n"
    )
