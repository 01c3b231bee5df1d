"""What every command gets: configuration, the host behind its door, the screen; made when first asked for."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zonemgr.cli.show import STEPS, Screen
from zonemgr.errors import NotThere, UsageError

if TYPE_CHECKING:
    from zonemgr.config import Config
    from zonemgr.host.contract import CommandLine
    from zonemgr.host.door import Door
    from zonemgr.workflows.job import Site


OLD_CONFIG = Path("/etc/zones/zonemgr.conf")  # illumos-zonemgr's
UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass
class Runtime:
    """One call of zonemgr."""

    argv: list[str]
    config_files: tuple[str, ...] = ()
    level: int = STEPS
    dry_run: bool = False
    as_json: bool = False
    outfile: str = ""
    action: str = ""
    exit_code: int = 0
    listeners: list[Callable[[CommandLine], None]] = field(default_factory=list)  # told of every host command

    @cached_property
    def screen(self) -> Screen:
        return Screen(self.level, dry_run=self.dry_run)

    @cached_property
    def config(self) -> Config:
        from zonemgr import config

        found = config.load(explicit=[Path(name) for name in self.config_files], environ=os.environ)
        for text in found.warnings:
            self.screen.warn(text)
        for old in (OLD_CONFIG, Path("~/.zonemgr.conf").expanduser()):
            if not found.set_by and old.exists():
                self.screen.warn(f"{old} is not read any more; see: zonemgr config import-legacy {old}")
        return found

    @cached_property
    def host(self) -> Door:
        from zonemgr.host.contract import Limits
        from zonemgr.host.door import LocalHost

        settings = self.config.host
        return LocalHost(
            path=settings.path or "/usr/sbin:/usr/bin:/sbin:/bin",
            elevate=self._elevation(settings.elevate),
            limits=Limits(
                ask=settings.ask_limit,
                change=settings.change_limit,
                halt=settings.halt_limit,
                outlast=settings.outlast_limit,
            ),
            dry_run=self.dry_run,
            log=self._logged,
            report=self.screen.would,
            warn=self.screen.warn,
        )

    @cached_property
    def site(self) -> Site:
        from zonemgr.workflows.job import Site

        return Site(self.host, self.config, self.screen, ["zonemgr", *self.argv], self.listeners)

    @staticmethod
    def _elevation(setting: str) -> tuple[str, ...]:
        """The words before a change: pfexec unless root, or what the configuration says."""
        from zonemgr.host import system

        # In a lab the caller may play another user than the process has.
        if setting == "auto" and os.environ.get("ZONEMGR_LAB_USER", "root") != "root":
            return ("pfexec",)
        return system.elevation(setting)

    def _logged(self, line: CommandLine) -> None:
        for listener in self.listeners:
            listener(line)
        if not line.dry:
            self.screen.command(str(line))

    def named(self, zone: str) -> str:
        """The zone of an action that needs one, by its name or its UUID."""
        if not zone:
            raise UsageError(f"{self.action} of which zone?", hint=f"zonemgr {self.action} -z NAME")
        return self.by_uuid(zone)

    def by_uuid(self, zone: str) -> str:
        """The name of the zone that has this UUID; anything else is a name itself. A zone may be named like a UUID."""
        if not UUID.fullmatch(zone):
            return zone
        from zonemgr.host import zoneadm

        rows = zoneadm.list_zones(self.host)
        if any(row.name == zone for row in rows):
            return zone
        found = next((row.name for row in rows if row.uuid.lower() == zone.lower()), None)
        if found is None:
            raise NotThere(f"there is no zone with the UUID {zone}", hint="see: zoneadm list -cp")
        return found

    def show(self, value: Any, text: str | None = None) -> None:
        """The result: JSON if asked for, else a text of its own, if it has one."""
        from zonemgr.cli import show

        if self.as_json:
            show.result(value, as_json=True)
        elif text:
            print(text, flush=True)

    def check_outfile(self) -> None:
        """Refuse an -O FILE that cannot be written before anything is done."""
        if self.outfile and not self.dry_run:
            try:
                with Path(self.outfile).open("a"):
                    pass
            except OSError as refused:
                raise UsageError(
                    f"{self.outfile} cannot be written: {refused.strerror}",
                    hint="-O FILE is for the zone's name",
                ) from None

    def generated(self, zone: str) -> None:
        """Tell scripts the zone's name: `-O FILE` gets GENERATED_ZONENAME='…', as the predecessor wrote it."""
        if self.outfile and not self.dry_run:
            with Path(self.outfile).open("a", encoding="utf-8") as file:
                file.write(f"GENERATED_ZONENAME='{zone}'\n")


def to_terminal() -> bool:
    return sys.stdout.isatty()
