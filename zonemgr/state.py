"""The state directory: where zonemgr keeps its locks, journals and run records."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from pathlib import Path

from zonemgr.config import Config
from zonemgr.errors import NotThere, ZonemgrError


def folder(config: Config, name: str) -> Path:
    """A folder in the state directory; made when missing, and then as open to others as that directory is."""
    state = Path(config.state.directory)
    wanted = state / name
    try:
        if not wanted.is_dir():
            state.mkdir(parents=True, exist_ok=True)
            wanted.mkdir(exist_ok=True)
            wanted.chmod(state.stat().st_mode & 0o7777)
        if not os.access(wanted, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as refused:
        raise not_usable(config, wanted, refused) from refused
    return wanted


def not_usable(config: Config, path: Path, refused: OSError) -> ZonemgrError:
    return ZonemgrError(f"{path} cannot be used: {refused.strerror}", hint=_hint(config, refused))


FOLDERS = ("", "/locks", "/runs")
SHARED = stat.S_ISGID | stat.S_IRWXG  # what g+ws gives: new files belong to the directory's group
STAFF = "staff"


def fault(config: Config, group: str) -> str:
    """What keeps the members of this group (empty: nobody in particular) from sharing the state directory, or ""."""
    number = _number(group) if group else -1
    for path in _folders(config):
        if not path.is_dir():
            return f"{path} is missing"
        told = path.stat()
        if group and told.st_gid != number:
            return f"{path} is not of group {group}"
        if group and told.st_mode & SHARED != SHARED:
            return f"{path} has not the mode g+rwxs"
    return ""


def make(config: Config, group: str) -> None:
    """Make the state directory and give it to a group: a new one to staff if none is named. Raises OSError."""
    new = not Path(config.state.directory).is_dir()
    shared = group or (STAFF if new else "")
    for path in _folders(config):
        path.mkdir(parents=True, exist_ok=True)
        if shared:
            os.chown(path, -1, _number(shared))
            path.chmod(stat.S_IMODE(path.stat().st_mode) | SHARED)


def group(config: Config) -> str:
    """The group of the state directory; of one that does not exist yet the one it would get."""
    try:
        return _name(Path(config.state.directory).stat().st_gid)
    except OSError:
        return STAFF


def commands(config: Config, group: str) -> str:
    """What root would type to make it.

    g+ws and not 2775: illumos' chmod takes no setgid for directories in numbers, and its install gives them to bin. And
    not -R: what is in the records stays private.
    """
    names = [shlex.quote(f"{config.state.directory}{part}") for part in FOLDERS]
    return (
        f"mkdir -p {' '.join(names[1:])} && chgrp {group} {' '.join(names)} && chmod g+ws {' '.join(names)}"
    )


def _folders(config: Config) -> list[Path]:
    return [Path(f"{config.state.directory}{part}") for part in FOLDERS]


def _number(group: str) -> int:
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise NotThere(f"there is no group {group} on this host", hint="see: getent group") from None


def _hint(config: Config, refused: OSError) -> str:
    top, locks, runs = (shlex.quote(f"{config.state.directory}{part}") for part in FOLDERS)
    if refused.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != 0:
        lines = (
            f"mkdir -p {locks} {runs}",
            f"chgrp -R {_name(os.getegid())} {top}",
            f"chmod g+ws {top} {locks} {runs}",
        )
        return f"as root: {' && '.join(lines)}"
    return f"look at the file system: df -h {top}; or set [state] directory to another place"


def _name(number: int) -> str:
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
