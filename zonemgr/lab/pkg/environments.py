"""pkg and boot environments: when a change goes into a new one, when a backup is kept (pkg5 api.py, bootenv.py).

Only the image of the running system has boot environments. `-R` on a zone's root changes it where it is, without a
snapshot, whatever the packages say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zonemgr.lab.pkg.plan import NOT_LIVE, PkgError, Plan

if TYPE_CHECKING:
    from zonemgr.lab.libbe import Zone
    from zonemgr.lab.pkg.command import Run
    from zonemgr.lab.pkg.image import Image
    from zonemgr.lab.pkg.progress import Progress

Given = dict[str, list[str]]
COMBINED = "The '{}' and '{}' options may not be combined."


@dataclass(frozen=True)
class Choice:
    """What is to become of the boot environment."""

    new: bool = False
    name: str = ""  # of the new one; empty: an automatic one
    activate: bool = True
    backup: bool = False
    backup_name: str = ""

    def shown(self) -> list[tuple[str, str]]:
        rows = [("Create boot environment:", _yes(self.new))]
        if self.new:
            rows.append(("Activate boot environment:", _yes(self.activate)))
        if self.name:
            rows.append(("Name of boot environment:", self.name))
        return [*rows, ("Create backup boot environment:", _yes(self.backup))]


def _yes(flag: bool) -> str:
    return "Yes" if flag else "No"


def check_options(run: Run, given: Given) -> None:
    """What cannot go together, in pkg's order; raises PkgError with 2."""
    from zonemgr.lab.pkg.command import usage

    new = given.keys() & {"be-name", "require-new-be"}
    backup = given.keys() & {"require-backup-be", "backup-be-name"}
    for wrong, one, other in (
        (new and "deny-new-be" in given, "--require-new-be", "--deny-new-be"),
        (backup and "no-backup-be" in given, "--require-backup-be", "--no-backup-be"),
        (backup and new, "--require-backup-be", "--require-new-be"),
    ):
        if wrong:
            raise usage(run, COMBINED.format(one, other))


def check_names(run: Run, given: Given) -> None:
    """Names given for boot environments, looked at before anything is planned; raises PkgError."""
    from zonemgr.lab import libbe

    for option in ("be-name", "backup-be-name"):
        for name in given.get(option, [])[-1:]:
            zone = _zone(run)
            if not libbe.valid(name):
                raise PkgError(f"\n'{name}' is not a valid boot environment name.")
            if zone is not None and name in zone.names():
                raise PkgError(f"\nThe boot environment '{name}' already exists.")
            if not run.live:
                raise PkgError(
                    "\nNaming a boot environment when operating on a non-live image is\nnot allowed."
                )


def choose(run: Run, plan: Plan, given: Given) -> Choice:
    """What pkg does about boot environments for this plan; raises PkgError with 5 where it may not."""
    if not run.live:
        return Choice()
    needed = plan.needs_boot_environment()
    if "deny-new-be" in given and needed:
        raise PkgError("\nThe proposed operation cannot be performed on a live image.", NOT_LIVE)
    name, backup_name = (given.get(option, [""])[-1] for option in ("be-name", "backup-be-name"))
    new = bool(name) or "require-new-be" in given or (needed and "deny-new-be" not in given)
    wanted = bool(backup_name) or "require-backup-be" in given
    backup = not new and (wanted or (bool(plan.change) and "no-backup-be" not in given))
    return Choice(new, name, "no-be-activate" not in given, backup, backup_name)


def check_emulated(run: Run, choice: Choice) -> None:
    """Zones have boot environments in a lab, as long as somebody outside answers them; the global zone has not."""
    from zonemgr.lab.call import NoWorld

    alone = isinstance(run.call.world, NoWorld)
    if (run.call.zone is None or alone) and (choice.new or choice.backup):
        what = "into a new boot environment of" if choice.new else "with a backup boot environment of"
        raise PkgError(
            f"lab: pkg {run.name} {what} {'a zone nobody answers' if alone else 'the global zone'} is not emulated\n"
            "lab: for a zone, work inside it, or use pkg -R while it is halted"
        )


def carry_out(
    run: Run,
    image: Image,
    plan: Plan,
    choice: Choice,
    asked: Sequence[str],
    progress: Progress,
    *,
    quiet: bool,
) -> None:
    zone = _zone(run) if choice.new or choice.backup else None
    image.save()  # the catalogues may be newer
    if choice.new:
        _into_new(run, zone, image, plan, choice, asked, progress, quiet=quiet)
        return
    if choice.backup and zone is not None:
        _back_up(zone, choice)
    plan.carry_out(image, asked)
    progress.carried_out(plan)


def _zone(run: Run) -> Zone | None:
    from zonemgr.lab import libbe
    from zonemgr.lab.call import NoWorld

    if run.call.zone is None or isinstance(run.call.world, NoWorld):
        return None
    return libbe.of(run.call)


def _into_new(
    run: Run,
    zone: Zone | None,
    image: Image,
    plan: Plan,
    choice: Choice,
    asked: Sequence[str],
    progress: Progress,
    *,
    quiet: bool,
) -> None:
    """Clone, change the clone, have it booted next time; what fails half-way leaves the clone behind, as pkg does."""
    from zonemgr.lab.libbe import BeError

    if zone is None:
        raise PkgError("Unable to clone the current boot environment.")
    try:
        name = zone.copy()
    except BeError:
        raise PkgError("Unable to clone the current boot environment.") from None
    if choice.name:
        name = _renamed(zone, name, choice.name)
    where = _mounted(zone, name)
    _change(run, zone, name, where, plan, asked, image.temporary)
    progress.carried_out(plan)
    if not _activated(run, zone, name, choice):
        return
    zone.unmount(name, where)
    if not quiet:
        run.call.out(_done(zone.name, name, activated=choice.activate))
    progress.ended_new_environment()


def _mounted(zone: Zone, name: str) -> str:
    from zonemgr.lab.libbe import BeError

    try:
        return zone.mount(name)
    except BeError:
        raise PkgError(f"Unable to mount {name} at /tmp") from None


def _renamed(zone: Zone, name: str, new: str) -> str:
    from zonemgr.lab.libbe import BeError

    try:
        zone.rename(name, new)
    except BeError:
        raise PkgError(
            "A problem occurred while attempting to rename the boot environment\n"
            f"currently named {name} to {new}."
        ) from None
    return new


def _change(
    run: Run,
    zone: Zone,
    name: str,
    where: str,
    plan: Plan,
    asked: Sequence[str],
    temporary: Sequence[str],
) -> None:
    from dataclasses import replace

    from zonemgr.lab.pkg.image import load

    clone = load(replace(run.where, root=zone.content(name)), run.shelves)
    if clone is None:
        raise PkgError(f"No image rooted at '{where}'")
    clone.temporary = list(temporary)
    plan.carry_out(clone, asked)


def _activated(run: Run, zone: Zone, name: str, choice: Choice) -> bool:
    """Whether all is well. pkg only mentions it when not, leaves the new one mounted, and ends with 0."""
    from zonemgr.lab.libbe import BeError

    if not choice.activate:
        return True
    try:
        zone.activate(name)
    except BeError:
        run.call.err(f"pkg: unable to activate {name}\n")
        return False
    return True


def _done(old: str, new: str, *, activated: bool) -> str:
    if activated:
        return (
            f"\nA clone of {old} exists and has been updated and activated.\n"
            f"On the next boot the Boot Environment {new} will be\n"
            "mounted on '/'.  Reboot when ready to switch to this updated BE.\n"
            f"\n*** Reboot required ***\nNew BE: {new}\n\n"
        )
    return (
        f"\nA clone of {old} exists and has been updated.  To set the\n"
        "new BE as the active one on next boot, execute the following\n"
        "command as a privileged user and reboot when ready to switch to\n"
        f"the updated BE:\n\nbeadm activate {new}\n\n"
    )


def _back_up(zone: Zone, choice: Choice) -> None:
    from zonemgr.lab.libbe import BeError

    try:
        made = zone.copy()
    except BeError:
        raise PkgError("Unable to clone the current boot environment.") from None
    _renamed(zone, made, choice.backup_name or _backup_name(zone))


def _backup_name(zone: Zone) -> str:
    """zbe-backup-1, or the one after the highest number in use."""
    base = f"{zone.name}-backup"
    taken = {
        int(each[len(base) + 1 :])
        for each in zone.names()
        if each.startswith(f"{base}-") and each[len(base) + 1 :].isdigit()
    }
    return f"{base}-{max(taken) + 1 if taken else 1}"
