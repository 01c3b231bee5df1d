"""zlogin's middle: bytes between its caller and a process in the zone, by zlogin's rules (docs/illumos.md: zlogin
and rights).

Three pipes, never a terminal. It is over when the process ends, or when either of its outputs is closed; then
what is still coming is waited for until there is silence. Background processes holding them do not count.
"""

from __future__ import annotations

import fcntl
import io
import os
import select
import struct
import termios
import time
from collections.abc import Iterable
from typing import BinaryIO

from zonemgr.lab.call import Sink

READ_IN, READ_OUT = 1024, 8192
HIGH_WATER = 8192  # stdin is read ahead of the zone's process by this much, wanted or not
SILENCE = 0.1
NOTHING = -1


class Pump:
    """Pipes for one process; `descriptors` are its ends."""

    def __init__(self, stdin: BinaryIO | None, stdout: Sink, stderr: Sink) -> None:
        """stdin None: nothing to read (`zlogin -n`)."""
        self.source, self.fixed = _source(stdin)
        self.to_child, self.from_child = os.pipe(), (os.pipe(), os.pipe())
        self.sinks = {self.from_child[0][0]: stdout, self.from_child[1][0]: stderr}
        self.descriptors = (self.to_child[0], self.from_child[0][1], self.from_child[1][1])
        self._open = True  # the way to the child's stdin

    def started(self) -> None:
        """The process has its ends now. That of its stdin stays open here too, as in zlogin."""
        for descriptor in self.descriptors[1:]:
            os.close(descriptor)

    def run(self, ended: int, deadline: float | None) -> bool:
        """Move bytes until it is over; `ended` is readable when the process is gone. False: out of time."""
        while True:
            ready = self._wait(ended, deadline)
            if not ready and deadline is not None and time.monotonic() >= deadline:
                return False
            if not all(self._forward(each) for each in self.sinks if each in ready):
                break
            if self.source in ready or self.to_child[1] in ready:
                self._feed()
            if ended in ready:
                break
        self._drain()
        return True

    def close(self) -> None:
        self._close_stdin()
        for descriptor in (self.to_child[0], *self.sinks):
            os.close(descriptor)

    def _wait(self, ended: int, deadline: float | None) -> set[int]:
        wanted = [ended, *self.sinks]
        if not self._open:
            return readable(wanted, deadline)
        if (
            not self._room()
        ):  # the process reads slowly, or not at all: nothing tells when there is room again
            soon = time.monotonic() + 0.02
            return readable(wanted, soon if deadline is None else min(soon, deadline))
        if self.source != NOTHING:
            return readable([*wanted, self.source], deadline)
        return readable(wanted, deadline, writable=[self.to_child[1]])

    def _room(self) -> bool:
        waiting = bytearray(4)
        fcntl.ioctl(self.to_child[0], termios.FIONREAD, waiting)
        return int(struct.unpack("i", waiting)[0]) < HIGH_WATER

    def _feed(self) -> None:
        if self.source == NOTHING:
            data, self.fixed = self.fixed[:READ_IN], self.fixed[READ_IN:]
        else:
            try:
                data = os.read(self.source, READ_IN)
            except OSError:
                data = b""
        if data:
            os.write(self.to_child[1], data)
        else:
            self._close_stdin()

    def _close_stdin(self) -> None:
        if self._open:
            os.close(self.to_child[1])
            self._open = False

    def _forward(self, descriptor: int) -> bool:
        """Hand on what has come; False at the end of it."""
        data = os.read(descriptor, READ_OUT)
        if data:
            self.sinks[descriptor].write(data)
        return bool(data)

    def _drain(self) -> None:
        """Until 0.1 s of silence, or until nothing more can come."""
        ends = set(self.sinks)
        while ends:
            ready = readable(ends, time.monotonic() + SILENCE)
            if not ready:
                return
            ends -= {each for each in ready if not self._forward(each)}


def readable(descriptors: Iterable[int], deadline: float | None, *, writable: Iterable[int] = ()) -> set[int]:
    """Wait until one of them has something (or its end) to read, or can be written to; none: out of time."""
    poll = select.poll()
    for each in descriptors:
        poll.register(each, select.POLLIN)
    for each in writable:
        poll.register(each, select.POLLOUT)
    wait = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
    return {descriptor for descriptor, _ in poll.poll(wait)}


def _source(stdin: BinaryIO | None) -> tuple[int, bytes]:
    """Where input comes from: a descriptor, or bytes that are there already."""
    if stdin is None:
        return NOTHING, b""
    try:
        return stdin.fileno(), b""
    except (AttributeError, io.UnsupportedOperation):
        return NOTHING, stdin.read()
