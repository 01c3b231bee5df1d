"""One run of zfs, zpool, mount or umount: the call, the datasets, and where refusals go."""

from __future__ import annotations

from zonemgr.lab.call import Call
from zonemgr.lab.world import World
from zonemgr.lab.zfs import names
from zonemgr.lab.zfs.catalogue import Catalogue, Ds
from zonemgr.lab.zfs.store import Store
from zonemgr.lab.zfs.text import Refused
from zonemgr.lab.zfs.zones import view


class _Sink:
    def __init__(self, said: list[tuple[bool, bytes]], on_stderr: bool) -> None:
        self._said, self._on_stderr = said, on_stderr

    def write(self, data: bytes, /) -> None:
        self._said.append((self._on_stderr, bytes(data)))


class Said:
    """What a command says while it holds the lock, in order, to be passed on when it has let go."""

    def __init__(self) -> None:
        self._said: list[tuple[bool, bytes]] = []
        self.out, self.err = _Sink(self._said, False), _Sink(self._said, True)

    def pass_on(self, call: Call) -> None:
        for on_stderr, data in self._said:
            (call.stderr if on_stderr else call.stdout).write(data)


class Job:
    def __init__(self, call: Call, store: Store | None = None) -> None:
        self.call = call
        self.world: World = call.world
        self.cat = Catalogue(call.world, view(call))
        self._store = store
        self.mount_failed = False  # what libzfs' last error was, as far as somebody asks

    @property
    def store(self) -> Store:
        assert self._store is not None, "this command changes nothing"
        return self._store

    @property
    def allowed(self) -> bool:
        return self.call.privileged

    def out(self, line: str) -> None:
        self.call.out(line + "\n")

    def err(self, line: str) -> None:
        self.call.err(line + "\n")

    def need_privilege(self, doing: str, *names: str) -> None:
        """`names`: the datasets it is about, which a zone must have been given."""
        reason = next((why for name in names if (why := self.forbidden(name))), "")
        if reason or not self.allowed:
            raise Refused(f"{doing}: {reason or 'permission denied'}")

    def forbidden(self, name: str) -> str:
        """Why the caller's zone may not change a dataset (zfs_dozonecheck); "" when it may."""
        seen = self.cat.view
        if seen is None:
            return ""
        ds = self.cat.seen(name)
        if ds is None:
            return "dataset does not exist"
        head = self.cat.get(names.file_system_of(name)) or ds
        zoned = head.type == "volume" or self.cat.on(head, "zoned")
        return "" if zoned and seen.writable(name) else "permission denied"

    # -- opening by name -----------------------------------------------------------------------------------

    def valid(self, name: str, types: int, doing: str, *, making: bool = False) -> None:
        try:
            names.check(name, types, making=making)
        except names.BadName as reason:
            raise Refused(f"{doing} '{name}': {reason}") from None

    def open(self, name: str, types: int) -> Ds:
        """An existing dataset of one of these types; raises Refused with libzfs' words."""
        self.valid(name, types, "cannot open")
        ds = self.cat.seen(name)
        if ds is None:
            above = names.file_system_of(name)
            gone = "#" not in name or self.cat.seen(above) is None
            raise Refused(
                f"cannot open '{name}': " + ("dataset does not exist" if gone else "no such pool or dataset")
            )
        if not types & ds.bit:
            raise Refused(f"cannot open '{name}': operation not applicable to datasets of this type")
        return ds

    def exists(self, name: str, types: int) -> bool:
        ds = self.cat.seen(name) if names.is_name(name, types) else None
        return ds is not None and bool(ds.bit & types)

    def report(self, refusal: Refused) -> int:
        self.err(refusal.text)
        return refusal.status
