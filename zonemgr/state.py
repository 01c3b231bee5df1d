"""The state directory: where zonemgr keeps its locks, journals and run records."""

from __future__ import annotations

import errno
import os
import shlex
from pathlib import Path

from zonemgr.config import Config
from zonemgr.errors import ZonemgrError


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


def _hint(config: Config, refused: OSError) -> str:
    top, locks, runs = (shlex.quote(f"{config.state.directory}{part}") for part in ("", "/locks", "/runs"))
    if refused.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != 0:
        # g+ws and not 2775: illumos' chmod takes no setgid for directories in numbers. And not -R: what is in
        # the records stays private.
        commands = (
            f"mkdir -p {locks} {runs}",
            f"chgrp -R {_group()} {top}",
            f"chmod g+ws {top} {locks} {runs}",
        )
        return f"as root: {' && '.join(commands)}"
    return f"look at the file system: df -h {top}; or set [state] directory to another place"


def _group() -> str:
    import grp

    try:
        return grp.getgrgid(os.getegid()).gr_name
    except KeyError:
        return str(os.getegid())
