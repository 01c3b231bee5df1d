"""zlogin with a terminal: one of the zone's own, its bytes passed to and from the caller's terminal."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
import termios
import tty
from collections.abc import Callable
from contextlib import suppress

from zonemgr.lab import cell
from zonemgr.lab.pump import readable

PROMPT_STARTS = (b"\r", b"\n")


def session(
    place: cell.Place, body: Callable[[], int], *, name: Callable[[str], None], escape: bytes
) -> None:
    """Run body in the zone on a new terminal until its end, or until the escape (`~.`) is typed.

    `name` is called with the terminal's short name (pts/1) once it is known; escape b"" means there is none.
    """
    ours, theirs = socket.socketpair()
    child = cell.spawn(place, lambda: _on_terminal(body), (theirs.fileno(),) * 3)
    theirs.close()
    message, (master, *_), _, _ = socket.recv_fds(ours, 64, 1)
    ours.close()
    name(message.decode())
    saved, ended = termios.tcgetattr(0), os.pidfd_open(child)
    before = signal.signal(signal.SIGWINCH, lambda _number, _frame: _resize(master))
    _resize(master)
    try:
        tty.setraw(0)
        _shuttle(master, ended, escape)
    finally:
        signal.signal(signal.SIGWINCH, before)
        termios.tcsetattr(0, termios.TCSADRAIN, saved)
        os.close(ended)
        os.close(master)  # hangs up on whatever is left there
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


def _on_terminal(body: Callable[[], int]) -> int:
    """In the zone: make the terminal there, send its other side out, and go on in a session of its own."""
    channel = socket.socket(fileno=os.dup(0))
    master, slave = os.openpty()
    socket.send_fds(channel, [os.ttyname(slave).removeprefix("/dev/").encode()], [master])
    channel.close()
    os.close(master)
    if os.fork():  # a process group leader, which this is, cannot begin a session
        os.closerange(0, 4096)
        os.wait()
        return 0
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for number in (0, 1, 2):
        os.dup2(slave, number)
    os.closerange(3, 4096)
    return body()


def _resize(master: int) -> None:
    with suppress(OSError):
        fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))


def _shuttle(master: int, ended: int, escape: bytes) -> None:
    """Pass bytes until the first process on the terminal is gone; what it leaves there is not waited for."""
    typed = Typed(escape)
    with suppress(OSError):  # nobody has the zone's side open any more
        while True:
            ready = readable([0, master, ended], None)
            if master in ready:
                data = os.read(master, 8192)
                _write_all(1, data)
            elif ended in ready:
                return
            if 0 in ready:
                data, over = typed.read(os.read(0, 1024))
                _write_all(master, data)
                if over:
                    return


class Typed:
    """What the user types: an escape at the start of a line followed by a dot ends the session."""

    def __init__(self, escape: bytes) -> None:
        self.escape, self.fresh, self.held = escape, True, False

    def read(self, data: bytes) -> tuple[bytes, bool]:
        """What goes to the zone, and whether it is over."""
        if not data:
            return b"", True
        passed = bytearray()
        for each in (data[index : index + 1] for index in range(len(data))):
            if self.held:
                self.held = False
                if each == b".":
                    return bytes(passed), True
                passed += self.escape if each != self.escape else b""
            elif self.fresh and self.escape and each == self.escape:
                self.held = True
                continue
            passed += each
            self.fresh = each in PROMPT_STARTS
        return bytes(passed), False


def _write_all(descriptor: int, data: bytes) -> None:
    sys.stdout.flush()
    while data:
        data = data[os.write(descriptor, data) :]
