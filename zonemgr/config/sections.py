"""Every setting, with its default and the reason for it. A new one is a new field here, then `make conf`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from zonemgr.model import Dataset

Fault = Callable[[str], str | None]  # what is wrong with this text; None when nothing is
T = TypeVar("T", str, bool, int, tuple[str, ...])

COMPRESSIONS = ("on", "off", "lzjb", "lz4", "zle", "gzip", *(f"gzip-{n}" for n in range(1, 10)))
DEDUPS = ("on", "off", "verify", "sha256", "sha256,verify")
DISCARDS = ("off", "always", "onsuccess", "onfail")


def _setting(
    default: T, why: str, *, least: int = 0, choices: Sequence[str] = (), fault: Fault | None = None
) -> T:
    found: T = field(
        default=default, metadata={"why": why, "least": least, "choices": choices, "fault": fault}
    )
    return found


def _no_path(text: str) -> str | None:
    plain = text.startswith("/") and not text.startswith("//") and posixpath.normpath(text) == text
    return None if plain else "it is not a plain absolute path"


def _no_word(text: str) -> str | None:
    return None if re.fullmatch(r"[A-Za-z0-9._-]*", text) else "it has characters that zonecfg refuses"


def _no_words(text: str) -> str | None:
    import shlex

    try:
        shlex.split(text)
    except ValueError as unclosed:
        return str(unclosed).lower()
    return None


@dataclass(frozen=True)
class Giz:
    """Golden images."""

    dataset: str = _setting("rpool/zones/giz", "The dataset that holds all of them.", fault=Dataset.fault)
    mountpoint: str = _setting("/zones/giz", "Where it is mounted; zone paths are below.", fault=_no_path)
    compression: str = _setting("gzip-9", "Written once, read often: small is best.", choices=COMPRESSIONS)
    brand: str = _setting(
        "", "Empty: one that is not linked: nlipkg on OpenIndiana, ipkg on OmniOS.", fault=_no_word
    )
    template: str = _setting("", "For zonecfg's create -t. Empty: the one of the brand.", fault=_no_word)
    packages: tuple[str, ...] = _setting((), "Installed in every new image, beside those asked for.")


@dataclass(frozen=True)
class Diz:
    """Disposable zones."""

    dataset: str = _setting("rpool/zones/diz", "The dataset that holds all of them.", fault=Dataset.fault)
    mountpoint: str = _setting("/zones/diz", "Where it is mounted; zone paths are below.", fault=_no_path)
    compression: str = _setting("zle", "Short-lived: only zeroes are worth squeezing.", choices=COMPRESSIONS)
    keep_datasets: bool = _setting(False, "Do delegated datasets made for a zone stay when it is destroyed?")


@dataclass(frozen=True)
class Zfs:
    """Properties of both datasets, set when zonemgr makes them and inherited by the zones below."""

    atime: str = _setting("off", "Reading must not write.", choices=("on", "off"))
    dedup: str = _setting("off", "It eats memory, and clones share their blocks anyway.", choices=DEDUPS)
    auto_snapshot: bool = _setting(False, "com.sun:auto-snapshot: snapshots of others block an uninstall.")


@dataclass(frozen=True)
class Host:
    """How the host's commands are run. Limits are seconds; a command that runs into its limit is ended."""

    elevate: str = _setting("auto", 'auto: pfexec unless root; "": nothing; or words: sudo.', fault=_no_words)
    path: str = _setting("/usr/sbin:/usr/bin:/sbin:/bin", "PATH of the commands; not that of the caller.")
    ask_limit: int = _setting(60, "A question, such as zfs list.", least=1)
    change_limit: int = _setting(600, "A change for which no other limit is named below.", least=1)
    install_limit: int = _setting(7200, "zoneadm install, pkg install: thousands of downloads.", least=1)
    clone_limit: int = _setting(900, "zoneadm clone, with its clean-up of the new root.", least=1)
    boot_limit: int = _setting(600, "From zoneadm boot until multi-user services are up.", least=1)
    single_user_limit: int = _setting(300, "From a boot with -s until its services are up.", least=1)
    halt_limit: int = _setting(120, "zoneadm halt; longer: something holds the root or a link.", least=1)
    shutdown_limit: int = _setting(120, "zoneadm shutdown; after that the zone is halted.", least=1)
    outlast_limit: int = _setting(
        3600, "To wait for a command that may not be ended, before anything is undone."
    )


@dataclass(frozen=True)
class Exec:
    """Commands in zones: exec-diz and exec."""

    discard: str = _setting("always", "What exec-diz does with its zone afterwards.", choices=DISCARDS)
    user: str = _setting("root", "Who runs the command inside the zone.")
    timeout: int = _setting(0, "Seconds a command may take; 0: as long as it likes.")


@dataclass(frozen=True)
class Upgrade:
    """The upgrade of golden images: upgrade-giz, which cron calls at night."""

    keep: int = _setting(3, "Upgrade snapshots kept of each image, beside those in use.")
    parallel: int = _setting(1, "Images upgraded at once.", least=1)
    canary: str = _setting("true", "What must succeed in a clone before an upgrade is served.")
    canary_limit: int = _setting(1800, "Seconds the canary may take; 0: as long as it likes.")


@dataclass(frozen=True)
class State:
    """What zonemgr itself keeps on the host."""

    directory: str = _setting("/var/lib/zonemgr", "Locks, journals and run records.", fault=_no_path)
    keep_runs: int = _setting(200, "Records kept; older ones are removed. 0: all are kept.")
    zone_wait: int = _setting(0, "Seconds to wait for a zone that another run has; 0: refuse at once.")
    image_wait: int = _setting(1800, "Seconds to wait for a golden image that another run has.")


@dataclass(frozen=True)
class Config:
    """Every setting; `Config()` has the built-in ones. `set_by` names the layer of those that a layer set.

    `warnings`: what of the files was left out, for the operator.
    """

    giz: Giz = field(default_factory=Giz)
    diz: Diz = field(default_factory=Diz)
    zfs: Zfs = field(default_factory=Zfs)
    host: Host = field(default_factory=Host)
    exec: Exec = field(default_factory=Exec)
    upgrade: Upgrade = field(default_factory=Upgrade)
    state: State = field(default_factory=State)
    set_by: Mapping[str, str] = field(default_factory=dict, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)


SECTIONS: Mapping[str, type] = {
    "giz": Giz,
    "diz": Diz,
    "zfs": Zfs,
    "host": Host,
    "exec": Exec,
    "upgrade": Upgrade,
    "state": State,
}
