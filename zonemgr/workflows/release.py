"""Which release of its system an image is of, held against the host's: its libc must fit the kernel that runs.

Zones whose brand is not linked do not follow the host (ipkg on OmniOS, nlipkg on OpenIndiana). SUNWcs is in every image
and is built together with the kernel; the branch of its version is 151058.0 on OmniOS (the release, with which
release/name, entire and `uname -v` agree) and 2024.0.0.22345 on OpenIndiana (the release, then the number of commits
in illumos-gate: oi-userland, illumos-gate/Makefile, PKGVERS_BRANCH). The last number is the build; updates within a
release raise it, or only the time of publication, and host and images may differ in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from zonemgr.errors import ZonemgrError
from zonemgr.host import pkg
from zonemgr.host.door import Host
from zonemgr.host.pkgplan import PackageChange

PACKAGE = "SUNWcs"


@dataclass(frozen=True, order=True)
class Release:
    """Numbers of a release as they sort: (151058,) of OmniOS, (2024, 0, 0) of OpenIndiana."""

    numbers: tuple[int, ...]

    def __str__(self) -> str:
        return ".".join(map(str, self.numbers))


def parse(version: str) -> Release | None:
    """Of a package's version, `0.5.11-2024.0.0.22345` or a whole FMRI; None where there is none to be read."""
    found = re.search(r"@?[0-9.]+(?:,[0-9.]+)?-([0-9]+(?:\.[0-9]+)+)(?::|$)", version)
    return Release(tuple(map(int, found[1].split(".")[:-1]))) if found else None


def of(host: Host, image: pkg.Image) -> Release | None:
    """The release of what is installed there; None for an image without SUNWcs."""
    return parse(pkg.version(host, image, PACKAGE))


def refuse_newer(host: Host, name: str, image: pkg.Image) -> None:
    """Raise when an image is of a newer release than the running kernel: nothing of it need work."""
    _refuse(name, of(host, image), of(host, pkg.HOST_IMAGE))


def refuse_plan(host: Host, name: str, changes: Iterable[PackageChange]) -> None:
    """The same for what an update would make of it."""
    wanted = next((parse(change.new) for change in changes if change.name == PACKAGE), None)
    if wanted is not None:
        _refuse(name, wanted, of(host, pkg.HOST_IMAGE))


def _refuse(name: str, its: Release | None, hosts: Release | None) -> None:
    if its and hosts and its > hosts:
        raise ZonemgrError(
            f"{name} would be of release {its}, newer than the host's kernel of release {hosts}",
            hint="update the host and boot it first; or give the image publishers of the host's release (-g)",
        )


def older(host: Host, name: str, image: pkg.Image) -> str:
    """A sentence for the operator when an image is of an older release than the host; else nothing."""
    its, hosts = of(host, image), of(host, pkg.HOST_IMAGE)
    if not (its and hosts and its < hosts):
        return ""
    return (
        f"{name} is of release {its}, older than the host's {hosts}: its publishers may be those of the old release"
        f" (see: pkg -R {image.root} publisher)"
    )
