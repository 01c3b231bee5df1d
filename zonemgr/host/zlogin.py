"""zlogin: running things inside a zone, and learning how they ended.

See docs/illumos.md: zlogin and rights. Two traps shape this file. zlogin joins its words without quoting and a shell
inside takes
them apart again, so it always gets exactly one word, a complete command. And zlogin exits 0 when its child
was killed by a signal, so what runs inside says itself how it ended, in a marked line that is the last on
stderr; when that line is missing, nothing is known, and that is never success.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from zonemgr.errors import NotThere, UsageError, ZonemgrError
from zonemgr.host import zoneadm
from zonemgr.host.contract import decoded, encoded
from zonemgr.host.door import Completed, Host
from zonemgr.model import CommandEnd, UserName, ZoneName

Chunk = Callable[[bytes], None]

# A byte that text hardly ever has, so that output ending like the start of a marker is never held back for
# long.
_SIGN = b"\x1e"
_ANY = range(-128, 257)  # the marker tells the status, not zlogin's
_TAIL = 2048  # bytes of stderr kept to explain a missing marker


def run_script(
    host: Host,
    zone: ZoneName,
    script: str,
    *,
    secret: bool = False,
    clean: Callable[[str], str] = str,
    limit: float | None = None,
) -> Completed:
    """Run a POSIX shell script as root in a running or mounted zone: no profile, cwd /,
    PATH=/usr/sbin:/usr/bin.

    The script goes through standard input, so it may hold secrets (say so, then it is not logged); `clean`
    takes them out of what it said, should a tool quote its input. Raises CommandError when it exits with
    anything but 0, or when a signal ended it.
    """
    nonce = new_nonce()
    words = ("zlogin", "-S", zone, f"/bin/sh -s; {_report(nonce)}")
    done = host.change(*words, ok=_ANY, stdin=script, secret=secret, limit=limit)
    done = replace(done, stdout=clean(done.stdout), stderr=clean(done.stderr))
    return done if host.dry_run else _believed(done, nonce, zone, (0,))


def ask(
    host: Host, zone: ZoneName, *argv: str, ok: tuple[int, ...] = (0,), limit: float | None = None
) -> Completed:
    """A question to a running zone: one command that changes nothing in there, run as root."""
    nonce = new_nonce()
    words = ("zlogin", "-S", zone, f"{shlex.join(argv)}; {_report(nonce)}")
    return _believed(host.ask(*words, ok=_ANY, limit=limit, elevated=True), nonce, zone, ok)


def change(
    host: Host, zone: ZoneName, *argv: str, ok: tuple[int, ...] = (0,), limit: float | None = None
) -> Completed:
    """A change inside a running zone: one command, run as root; a dry run only reports it."""
    nonce = new_nonce()
    words = ("zlogin", "-S", zone, f"{shlex.join(argv)}; {_report(nonce)}")
    done = host.change(*words, ok=_ANY, limit=limit)
    return done if host.dry_run else _believed(done, nonce, zone, ok)


def run(
    host: Host,
    zone: ZoneName,
    command: str,
    *,
    on_stdout: Chunk,
    on_stderr: Chunk,
    user: UserName | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    limit: float | None = None,
    on_contract: Callable[[int], None] | None = None,
) -> CommandEnd:
    """Run a command line with /bin/sh in a running zone, its output handed over live; how it ended.

    Without `user` as root in failsafe mode (cwd /, a bare environment), else through a login of that user
    (cwd and environment are the user's). `env` and `cwd` apply inside. Standard input is empty. Raises
    CommandTimeout, and then, as after an interrupt, the command goes on inside: end it with `end_contract`
    (`on_contract` is told the number as soon as it runs), or halt the zone.
    """
    nonce = new_nonce()
    line = wrapped(command, nonce, env=env or {}, cwd=cwd)
    words = ["-S", zone, line] if user is None else ["-l", user, zone, login_shell_line(line)]
    sieve = StreamFilter(nonce, on_stderr, on_contract)
    try:
        done = host.stream("zlogin", *words, on_stdout=on_stdout, on_stderr=sieve.feed, limit=limit)
    finally:
        sieve.close()
    return CommandEnd(0) if host.dry_run else _end(sieve, done, cwd)


def end_contract(host: Host, zone: ZoneName, number: int) -> bool:
    """End all processes of a contract in a running zone, TERM first and KILL after a second; False if some stay.

    zlogin gives each of its commands a contract that all its descendants stay in, whatever sessions and process
    groups they make (gate, zlogin.c: init_template; pgrep.c: -c). Only what they had SMF or cron start is not in it.
    """
    done = run_script(host, zone, _END.format(number=number), limit=host.limits.change)
    return "gone" in done.stdout


_END = """\
signal=TERM n=0
while :; do
	status=0
	/usr/bin/pkill -$signal -c {number} || status=$?
	[ $status -eq 0 ] || break
	n=$((n + 1))
	[ $n -lt 5 ] || signal=KILL
	[ $n -lt 25 ] || break
	sleep 0.2 2> /dev/null || sleep 1
done
[ $status -ne 1 ] || echo gone
"""


def login(host: Host, zone: ZoneName, *, user: UserName | None = None) -> int:
    """An interactive login on this terminal; zlogin's status, which is 0 after any session (6.4)."""
    return host.interact("zlogin", *(("-l", user) if user else ()), zone)


def console(host: Host, zone: ZoneName) -> int:
    """The zone's console on this terminal; works while it boots, too."""
    return host.interact("zlogin", "-C", zone)


# -- the command that is sent --------------------------------------------------------------------------------


def new_nonce() -> str:
    return os.urandom(8).hex()


def wrapped(command: str, nonce: str, *, env: Mapping[str, str], cwd: str | None) -> str:
    """One line for a POSIX shell: go to `cwd`, run the command there, say how it ended.

    The wrapping shell catches the signals that a build may send to its own process group; caught signals
    are back to their default in the command, ignored ones would not be.
    """
    _check(command, env, cwd)
    parts = ["trap : HUP INT QUIT TERM", _CONTRACT.format(say=_say(nonce, "ctid", "$c"))]
    if cwd is not None:
        parts.append(f"cd -- {shlex.quote(cwd)} 2>/dev/null || {{ {_say(nonce, 'cwd', '125')}; exit 125; }}")
    pairs = [f"{name}={value}" for name, value in env.items()]
    text = f" {command}" if command.startswith("-") else command  # or sh takes it for options
    parts.append(shlex.join([*(["/usr/bin/env", *pairs] if pairs else []), "/bin/sh", "-c", text]))
    return "; ".join([*parts, _report(nonce)])


def login_shell_line(line: str) -> str:
    """The same line for whatever login shell a user has, csh included.

    csh knows `exec` and single quotes as well, but even there takes `!` for itself and no newline; a line
    with these is sent in octal.
    """
    if not re.search(r"[!\n\r]", line):
        return f"exec /bin/sh -c {shlex.quote(line)}"
    octal = "".join(
        chr(byte) if re.match(rb"[A-Za-z0-9 /._=,:-]", bytes((byte,))) else f"\\0{byte:03o}"
        for byte in line.encode("utf-8", "surrogateescape")
    )
    return f"""exec /bin/sh -c 'eval "$(printf %b "{octal}")"'"""


def _check(command: str, env: Mapping[str, str], cwd: str | None) -> None:
    if not command.strip():
        raise UsageError("there is no command to run", hint="give one, such as: --exec-cmd 'make check'")
    for name in env:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UsageError(f"{name!r} is not a name of an environment variable")
    if cwd is not None and not cwd.startswith("/"):
        raise UsageError(f"the directory {cwd!r} is not absolute", hint="give a path inside the zone: /build")


# Which contract this is; a zone whose ps cannot tell says nothing.
_CONTRACT = "c=$(/usr/bin/ps -o ctid= -p $$ 2>/dev/null); case $c in *[0-9]) {say} ;; esac"


def _say(nonce: str, what: str, value: str) -> str:
    return f"printf '\\036zonemgr:{nonce}:{what}:%d\\n' {value} >&2"


def _report(nonce: str) -> str:
    return f"s=$?; {_say(nonce, 'exit', '$s')}; exit $s"


# -- what comes back -----------------------------------------------------------------------------------------


class StreamFilter:
    """Takes the marked lines of one run out of a byte stream; every other byte goes on unchanged and at once.

    Only bytes that may be the beginning of a marker wait for what follows them. `said` is the last marker:
    what (`exit` or `cwd`) and its number; the contract's goes to `on_contract`. `tail` are the last bytes of the
    others.
    """

    def __init__(self, nonce: str, forward: Chunk, on_contract: Callable[[int], None] | None = None) -> None:
        self._on_contract = on_contract
        self._start = _SIGN + f"zonemgr:{nonce}:".encode()
        self._marker = re.compile(
            re.escape(self._start) + rb"(?:(exit|cwd):([0-9]{1,5})|(ctid):([0-9]{1,10}))\n"
        )
        self._longest = len(self._start) + len(b"exit:0000000000\n")
        self._forward = forward
        self._held = b""
        self.said: tuple[str, int] | None = None
        self.tail = b""

    def feed(self, chunk: bytes) -> None:
        data = self._held + chunk
        self._held = b""
        while data:
            at = self._candidate(data)
            self._pass(data[:at])
            data = data[at:]
            found = self._marker.match(data)
            if found:
                self._heard(found[1], int(found[2] or found[4]))
                data = data[found.end() :]
            elif data and self._complete(data):
                self._pass(data[:1])
                data = data[1:]
            else:
                self._held, data = data, b""

    def _heard(self, what: bytes | None, number: int) -> None:
        if what:
            self.said = (what.decode(), number)
        elif self._on_contract:
            self._on_contract(number)

    def close(self) -> None:
        """The stream has ended: what was held back was no marker."""
        held, self._held = self._held, b""
        self._pass(held)

    def _candidate(self, data: bytes) -> int:
        """Where a marker begins or may begin; the length of data when nowhere."""
        at = data.find(self._start)
        if at >= 0:
            return at
        for size in range(min(len(self._start) - 1, len(data)), 0, -1):
            if data.endswith(self._start[:size]):
                return len(data) - size
        return len(data)

    def _complete(self, data: bytes) -> bool:
        """Enough is there to see that this is no marker."""
        body = data[len(self._start) :]
        return data.startswith(self._start) and (b"\n" in body or len(data) >= self._longest)

    def _pass(self, data: bytes) -> None:
        if data:
            self.tail = (self.tail + data)[-_TAIL:]
            self._forward(data)


def _end(sieve: StreamFilter, done: Completed, cwd: str | None) -> CommandEnd:
    if sieve.said is None:
        words = sieve.tail.decode("utf-8", "replace").strip().splitlines() or ["it gave no reason"]
        return CommandEnd(None, trouble=f"zlogin ended with {done.exit_code}: {words[-1].strip()}")
    what, number = sieve.said
    if what == "cwd":
        return CommandEnd(None, trouble=f"there is no directory {cwd} in the zone")
    return end_of(number)


def end_of(number: int) -> CommandEnd:
    """From a shell's `$?`: the zone's /bin/sh (ksh93) says 256+N for a command that signal N killed, others
    128+N.
    """
    if number > 256:
        return CommandEnd(128 + number - 256, number - 256)
    return CommandEnd(number, number - 128 if 128 < number <= 128 + 64 else None)


def _believed(done: Completed, nonce: str, zone: str, ok: Sequence[int]) -> Completed:
    """The answer without its marker, with the status the marker tells; raises when that is not in ok."""
    rest: list[bytes] = []
    sieve = StreamFilter(nonce, rest.append)
    sieve.feed(encoded(done.stderr))
    sieve.close()
    status = sieve.said[1] if sieve.said else done.exit_code
    clean = replace(done, exit_code=status, stderr=decoded(b"".join(rest)))
    if f"zone '{zone}' unknown" in clean.stderr:
        raise NotThere(f"there is no zone {zone}", hint="see: zonemgr list")
    if status not in ok:
        raise clean.error(hint(clean.stderr, zone))
    if sieve.said is None:
        raise ZonemgrError(
            f"a command in zone {zone} did not say how it ended: {clean.stderr.strip() or 'no reason given'}",
            hint="something killed it; was the zone halted, or out of memory?",
        )
    return clean


def hint(stderr: str, zone: str) -> str | None:
    """The next thing to try when zlogin refused (docs/illumos.md: zlogin and rights)."""
    if "login allowed only to running zones" in stderr:
        return f"zonemgr boot -z {zone}"
    if re.search(r"cannot login to a zone which is '(configured|incomplete)'", stderr):
        return "the zone has no root yet; see: zonemgr list"
    if re.search(r"sufficient privilege|is not authorized", stderr):
        return zoneadm.PRIVILEGE_HINT
    return None
