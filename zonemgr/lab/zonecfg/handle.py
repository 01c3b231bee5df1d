"""A zone's configuration while zonecfg works on it: opened, renamed, saved together with the index,
deleted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from zonemgr.lab import zonestore
from zonemgr.lab.world import World
from zonemgr.lab.zonecfg import errors, values
from zonemgr.lab.zonecfg.document import BadText, Document, serialise
from zonemgr.lab.zonecfg.parser import Abort
from zonemgr.lab.zonestore import StoreError

ORDER = ("configured", "incomplete", "installed", "ready", "running", "shutting_down", "down", "mounted")


def state_of(world: World, name: str) -> str | None:
    """A zone's state as zonecfg sees it; the global zone always runs."""
    return "running" if name == "global" else zonestore.state(world, name)


def at_least(state: str | None, least: str) -> bool:
    return state is not None and ORDER.index(state) >= ORDER.index(least)


@dataclass
class Handle:
    world: World
    document: Document | None = None
    new: bool = False  # made by `create`, not yet saved
    renamed_from: str = ""

    def open(self, name: str) -> None:
        """Read a zone. A document that does not fit the DTD fails too, but stays at hand: the next
        command uses it.
        """
        self.new, self.document = False, None
        self.document = zonestore.open_document(self.world, name)
        if not self.document.is_valid():
            raise StoreError(errors.INVALID_DOCUMENT)

    @property
    def config(self) -> Document:
        if self.document is None:
            raise StoreError(errors.BAD_HANDLE)
        return self.document

    def get(self, name: str, room: int) -> str | None:
        """A property of the zone, read into a buffer of `room` bytes; None when the DTD does not know it."""
        value = self.config.get(name)
        if value is not None and len(value) >= room:
            raise StoreError(errors.TOO_BIG)
        return value

    def brand(self) -> str:
        return self.get("brand", 256) or zonestore.default_brand(self.world)

    # -- names -------------------------------------------------------------------------------------------

    def rename(self, name: str) -> None:
        current = self.get("name", 64) or ""
        if name == current:
            return
        if name.startswith("SUNW") or not values.zone_name(name):
            raise StoreError(errors.BOGUS_ZONE_NAME)
        if name == self.renamed_from:  # back to the name it has on disk
            self.config.set("name", name)
            self.renamed_from = ""
            return
        if state_of(self.world, name) is not None:
            raise StoreError(errors.NAME_IN_USE)
        if not self.new:
            on_disk = self.renamed_from or current
            if at_least(state_of(self.world, on_disk), "ready"):
                raise StoreError(errors.BAD_ZONE_STATE)
            self.renamed_from = on_disk
        self.config.set("name", name)

    # -- saving ------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write document and index, both or neither. Aborts, as the real one, over a document against the
        DTD.
        """
        document, name = self.config, self.get("name", 64) or ""
        if self.new and self.world.omnios:
            document.set("debugid", str(self.world.count("zones.debugid")))
        if not document.is_valid():
            raise Abort("valid != 0")
        try:
            data = serialise(document)
        except BadText:
            raise StoreError(errors.SAVING_FILE) from None
        with self.world.transaction():
            self._write(name, data)
        self.new = False
        if self.renamed_from:
            self.world.path(zonestore.xml_path(self.renamed_from)).unlink(missing_ok=True)
            self.renamed_from = ""

    def _write(self, name: str, data: bytes) -> None:
        target = self.world.path(zonestore.xml_path(name))
        fresh = self.new or bool(self.renamed_from)
        if not fresh and not target.exists():
            raise StoreError(errors.MISC_FS)
        before = None if fresh else target.read_bytes()
        zonestore.write_file(self.world, zonestore.xml_path(name), data)
        try:
            self._update_index(name)
        except StoreError:
            if before is None:
                target.unlink()
            else:
                zonestore.write_file(self.world, zonestore.xml_path(name), before)
            raise StoreError(errors.UPDATING_INDEX) from None

    def _update_index(self, name: str) -> None:
        zonepath = _unicode(self.get("zonepath", 1024) or "")
        world = self.world
        if self.renamed_from:
            zonestore.change_entry(
                world,
                self.renamed_from,
                lambda old: replace(old, name=name, zonepath=zonepath or old.zonepath),
            )
        elif not self.new:
            zonestore.change_entry(world, name, lambda old: replace(old, zonepath=zonepath or old.zonepath))
        elif zonestore.entry(world, name):
            fresh = zonestore.IndexEntry(name, "configured", zonepath, "")
            zonestore.change_entry(world, name, lambda old: replace(fresh, zonepath=zonepath or old.zonepath))
        else:
            zonestore.add_entry(world, name, zonepath)


def _unicode(text: str) -> str:
    return text if text.isascii() else text.encode("latin-1").decode("utf-8", "surrogateescape")


def destroy(world: World, name: str, *, force: bool) -> None:
    """Delete document and index line, whichever is there; data below the zonepath stays."""
    document = world.path(zonestore.xml_path(name))
    state = state_of(world, name)
    if state is None and not document.exists():
        raise StoreError(errors.NO_ZONE)
    # A zone without an index line has no state; the real one then looks at what is left on its stack.
    if at_least(state, "ready") or (not force and at_least(state, "incomplete")):
        raise StoreError(errors.BAD_ZONE_STATE)
    try:
        zonestore.remove_entry(world, name)
    except StoreError:
        if not force:
            raise
    document.unlink(missing_ok=True)
