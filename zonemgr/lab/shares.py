"""Directories of the machine that a lab's global zone shows, each at its own path: nothing else of the machine's files.

They come from `--share DIR[:ro]` of `lab create` (shown whenever the host is up) and of `lab run` and `lab shell` (from
then on until the host goes down), and from a script that `lab run` is to run.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zonemgr.lab.world import MACHINE_MARK, MADE, SYSTEM, LabError

if TYPE_CHECKING:
    from zonemgr.lab.rootfs import Outside

READ_ONLY = ":ro"
# Neither these nor anything below them: they are the host that the lab plays.
NEVER = (*SYSTEM, *MADE, "etc", "zones", "rpool", "system")
# Nor these themselves: the lab has files of its own there.
NOT_ALONE = (
    "/",
    "/root",
    "/tmp",
    "/var",
    "/var/adm",
    "/var/log",
    "/var/run",
    "/var/svc",
    "/var/tmp",
    "/export",
)
# Programs whose first operand that is a file is the script to run.
INTERPRETERS = {"sh", "ksh", "ksh93", "bash", "dash", "zsh", "env", "nohup", "pfexec", "python3", "perl"}


@dataclass(frozen=True)
class Share:
    path: str  # absolute, without symbolic links
    read_only: bool = False

    def __str__(self) -> str:
        return self.path + (READ_ONLY if self.read_only else "")

    def shows(self, path: str, *, read_only: bool) -> bool:
        """Is this path visible by it already, and writable if that is wanted?"""
        return Path(path).is_relative_to(self.path) and (read_only or not self.read_only)


def read(text: str) -> Share:
    """A share as it was written down by str()."""
    return Share(text.removesuffix(READ_ONLY), text.endswith(READ_ONLY))


def parse(text: str, lab: Path) -> Share:
    """What somebody wrote behind --share; raises LabError for what is no directory, or no good one."""
    name = text.removesuffix(READ_ONLY)
    path = os.path.realpath(Path(name).expanduser())
    if not name or not os.path.isdir(path):
        raise LabError(f"cannot share {name!r}: it is not a directory of this machine")
    if path in NOT_ALONE or path.split("/")[1] in NEVER:
        raise LabError(
            f"cannot share {path}: the lab has its own; share a directory below it, or another one"
        )
    if Path(path).is_relative_to(lab.resolve()):
        raise LabError(f"cannot share {path}: it is part of the lab itself")
    return Share(path, text.endswith(READ_ONLY))


# -- scripts -----------------------------------------------------------------------------------------------


def for_script(argv: Sequence[str], cwd: str, host: Path) -> tuple[list[str], list[Share]]:
    """What a command that runs a script of the machine needs to see, read-only, and the command to run then.

    That is the working directory, where the script lies in it, or the script's own; the script alone, where that one is
    a directory that the lab has too, or somebody's whole home.
    """
    words = list(argv)
    number = _script(words, cwd)
    if number is None:
        return words, []
    path = os.path.realpath(os.path.join(cwd, words[number]))
    if owned(host, path):
        return words, []
    folders = [cwd] if Path(path).is_relative_to(cwd) else []
    for folder in (*folders, os.path.dirname(path)):
        if _may_show(folder, host):
            if folder != cwd:
                words[number] = path
            return words, [Share(folder, read_only=True)]
    words[number] = path
    return words, [Share(path, read_only=True)]


def _script(words: Sequence[str], cwd: str) -> int | None:
    """Which word is a script on this machine; None when the command runs none."""
    if "/" in words[0]:
        return 0 if _is_file(words[0], cwd) else None
    if words[0] not in INTERPRETERS:
        return None
    for number, word in enumerate(words[1:], 1):
        if word == "-c":
            return None
        if "/" in word and os.path.basename(word) in INTERPRETERS:
            continue
        if not word.startswith("-") and _is_file(word, cwd):
            return number
    return None


def _is_file(word: str, cwd: str) -> bool:
    path = os.path.realpath(os.path.join(cwd, word))
    return os.path.isfile(path) and path.split("/")[1] not in NEVER


def _may_show(folder: str, host: Path) -> bool:
    home = os.path.realpath(os.path.expanduser("~"))
    return folder not in (home, *NOT_ALONE) and folder.split("/")[1] not in NEVER and not owned(host, folder)


def owned(host: Path, path: str) -> bool:
    """Has the lab something of its own at this path?"""
    try:
        mode = os.lstat(host / path.lstrip("/")).st_mode
    except OSError:
        return False
    return stat.S_IMODE(mode) != MACHINE_MARK


# -- showing -----------------------------------------------------------------------------------------------


def make_point(target: str, *, directory: bool) -> None:
    """A place to mount on; whatever is made for that bears the mark that it is not the lab's own."""
    missing = []
    path = Path(target)
    while not os.path.lexists(path):
        missing.append(path)
        path = path.parent
    for each in reversed(missing):
        if each == Path(target) and not directory:
            each.touch()
        else:
            each.mkdir()
        each.chmod(MACHINE_MARK)


def places(share: Share) -> tuple[str, str]:
    """Where the global zone has it: for the programs there, and for the lab, which reaches its host's files so."""
    return f"/.lab/dir/host{share.path}", share.path


def attach(pid: int, wanted: Iterable[Share]) -> None:
    """Show more in a global zone that is up; `pid` is its first process. Raises LabError."""
    answer, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(answer)
            _attach(pid, list(wanted))
        except OSError as trouble:
            os.write(told, (trouble.strerror or str(trouble)).encode())
        except BaseException as trouble:  # noqa: BLE001 - a forked copy must not run on as its parent
            os.write(told, str(trouble).encode())
        finally:
            os._exit(0)
    os.close(told)
    with open(answer) as said:
        text = said.read()
    os.waitpid(child, 0)
    if text:
        raise LabError(f"cannot show {', '.join(map(str, wanted))} in a lab that is up: {text}")


def _attach(pid: int, wanted: Sequence[Share]) -> None:
    """Copy each mount in a namespace that sees the machine, then move the copies into the one that does not."""
    from zonemgr.lab import namespaces as ns

    if not ns.same(ns.NEWUSER, pid):
        ns.join(pid, ns.NEWUSER)
    theirs = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    ns.unshare(ns.NEWNS)
    ns.mount("", "/", flags=ns.REC | ns.SLAVE)
    copies = [(share, os.path.isdir(share.path), ns.copy_mount(share.path)) for share in wanted for _ in "12"]
    ns.setns(theirs, ns.NEWNS)
    os.chdir("/")
    os.umask(0o022)
    for number, (share, directory, copy) in enumerate(copies):
        target = places(share)[number % 2]
        make_point(target, directory=directory)
        ns.move_mount(copy, target)
        if share.read_only:
            ns.read_only(target)


def bind(outside: Outside, share: Share) -> None:
    """Show what `outside` holds under the share's path."""
    from zonemgr.lab import namespaces as ns

    for target in places(share):
        make_point(target, directory=outside.is_dir(share.path))
        outside.bind(share.path, target)
        if share.read_only:
            ns.read_only(target)
