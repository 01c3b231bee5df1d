"""Process contracts, as far as zlogin, ps and pkill know them.

Whatever zlogin starts in a zone is in a contract of its own, and all that comes of it stays there, also what makes
itself a session of its own (gate, zlogin.c: init_template). The machine has nothing of the kind; a resource limit that
counts for nobody here is handed down in the same way, and the contract's number stands in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

# How the shell finds a process' contract.
_NUMBER = "/.lab/usr/bin/sed -n 's/^Max realtime timeout *\\([0-9][0-9]*\\) .*/\\1/p'"

PS = f"""\
#!/.lab/usr/bin/sh
# ps -o ctid= -p PID, which is asked before everything that runs in a zone, without starting Python
[ "$#:$1:$2:$3" = "4:-o:ctid=:-p" ] && exec {_NUMBER} "/proc/$4/limits"
exec /.lab/tools/lab-ps "$@"
"""

PKILL = f"""\
#!/.lab/usr/bin/sh
# pkill -SIGNAL -c CONTRACT, which ends what runs in a zone, without starting Python
case "$#:$1:$2" in 3:-?*:-c) ;; *) exec /.lab/tools/lab-pkill "$@" ;; esac
status=1
for limits in /proc/[0-9]*/limits; do
	[ "$({_NUMBER} "$limits" 2> /dev/null)" = "$3" ] || continue
	pid=${{limits%/limits}}
	case $(/.lab/usr/bin/cat "$pid/stat" 2> /dev/null) in *") Z "* | "") continue ;; esac
	kill "$1" "${{pid#/proc/}}" 2> /dev/null && status=0
done
exit $status
"""


def of_its_own(body: Callable[[], int]) -> Callable[[], int]:
    """What a forked process does, in a new contract."""

    import resource  # here: in the cell there may be nothing to import it from

    def run() -> int:
        number = int.from_bytes(os.urandom(3)) + 1
        resource.setrlimit(resource.RLIMIT_RTTIME, (number, number))
        return body()

    return run
