"""Where the files that come with zonemgr are: in the checkout, or beside the code in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from zonemgr.errors import ZonemgrError


def templates() -> Path:
    return _folder("templates")


def conf() -> Path:
    return _folder("conf")


def _folder(name: str) -> Path:
    package = Path(__file__).resolve().parent
    # pyproject.toml tells a checkout from a site-packages that happens to have a folder of that name.
    checkout = package.parent / name if (package.parent / "pyproject.toml").is_file() else None
    for place in (checkout, package / "_data" / name):
        if place is not None and place.is_dir():
            return place
    raise ZonemgrError(
        f"the {name} that belong to zonemgr are not beside {package}",
        hint="install zonemgr again: pip install --force-reinstall zonemgr",
    )
