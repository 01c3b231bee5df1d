"""Which program of the machine is sh and ksh in a lab: ksh93, as on illumos, or else bash.

ksh93u+m called `sh` is in its POSIX mode, which illumos' has not: it would keep file descriptors above 2 open for other
programs, and not expand braces. So sh is a script that takes it out of that.
"""

from __future__ import annotations

import os
from pathlib import Path

NAMES = ("sh", "ksh", "ksh93")
PATHS = {f"{folder}/{name}" for folder in ("/bin", "/sbin", "/usr/bin", "/usr/sbin") for name in NAMES}
KSH93 = "/usr/bin/ksh93"  # of the machine
KSH, BASH = f"/.lab{KSH93}", "/.lab/usr/bin/bash"  # in a lab
WARNING = (
    "this machine has no ksh93, which is /bin/sh on illumos: in the lab that is bash in its POSIX mode"
    " (Debian: apt-get install ksh93u+m)"
)


def warning() -> str:
    """What is not as on illumos; empty when all is."""
    return "" if Path(KSH93).exists() else WARNING


def text(name: str) -> str:
    """The program of this name, for a lab on this machine."""
    program, *words = [KSH, "+o", "posix"] if not warning() else [BASH, "--posix"]
    return f'#!{program}\nexec -a {name} {" ".join([program, *words])} "$@"\n'


def command(path: str) -> tuple[str, list[str]]:
    """In a lab: what to execute for the program at a path, and the words that come before its own.

    Executed by its path it would be the script above, and not learn that it is to be a login shell.
    """
    if path in PATHS:
        for program, words in ((KSH, ["+o", "posix"]), (BASH, ["--posix"])):
            if os.access(program, os.X_OK):
                return program, words
    return path, []
