"""The layers: files, variables and options; later ones win, and the faults of all are reported at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zonemgr.config.sections import SECTIONS, Config
from zonemgr.config.setting import PREFIX, SETTINGS, Value, nearest, unknown
from zonemgr.errors import ConfigError

if TYPE_CHECKING:
    from zonemgr.config.legacy import Legacy

BUILT_IN = "built-in"
OPTIONS = "command line"
SYSTEM_FILE = Path("/etc/zonemgr/zonemgr.toml")
FILE_VARIABLE = "ZONEMGR_CONF"
# The predecessor's, and of scripts that call it: ZONEMGR_DEBUG is a level (cli/app.py), the others say nothing here.
PREDECESSORS = ("ZONEMGR_DEBUG", "ZONEMGR_CFG", "ZONEMGR_CMD", "ZONEMGR_HOME", "ZONEMGR_CONFIG")
# Variables that begin like ours and are no settings: the file above, and what the lab and the tests use.
NO_SETTINGS = (FILE_VARIABLE, "ZONEMGR_LAB", "ZONEMGR_ON_ILLUMOS", *PREDECESSORS)


@dataclass(frozen=True)
class _Raw:
    key: str
    value: object
    source: str
    is_text: bool = False  # from a variable, where a number is text, too


def load(
    files: Sequence[Path] | None = None,
    *,
    explicit: Path | Sequence[Path] | None = None,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, object] | None = None,
) -> Config:
    """Later layers win: `files` that exist, $ZONEMGR_CONF, `explicit` (each --config), variables, `options`.

    `options` maps keys (`diz.dataset`) to values; None stands for an option that was not given.
    """
    environ = os.environ if environ is None else environ
    faults: list[str] = []
    warnings: list[str] = []
    raws: list[_Raw] = []
    for path in default_files(environ) if files is None else files:
        raws += _from_file(path, faults, warnings, needed=False)
    named_ones = (explicit,) if isinstance(explicit, Path) else explicit or ()
    for named in (environ.get(FILE_VARIABLE), *named_ones):
        raws += _from_file(Path(named), faults, warnings, needed=True) if named else ()
    raws += _from_variables(environ, faults)
    raws += [_Raw(key, value, OPTIONS) for key, value in (options or {}).items() if value is not None]
    config = _filled(raws, faults, warnings)
    if faults:
        raise _error(faults)
    return config


def default_files(environ: Mapping[str, str]) -> list[Path]:
    home = environ.get("HOME")
    return [SYSTEM_FILE, *([Path(home, ".config/zonemgr/zonemgr.toml")] if home else [])]


def source(config: Config, key: str) -> str:
    """What gave this setting its value: a file, a variable, the command line, or the built-in default."""
    return config.set_by.get(key, BUILT_IN)


def _filled(raws: Iterable[_Raw], faults: list[str], warnings: Sequence[str]) -> Config:
    values: dict[str, dict[str, Value]] = {section: {} for section in SECTIONS}
    set_by: dict[str, str] = {}
    for raw in raws:
        setting = SETTINGS.get(raw.key)
        if setting is None:
            faults.append(f"{raw.source}: {unknown(raw.key)}")
            continue
        try:
            value = setting.read(str(raw.value)) if raw.is_text else setting.accept(raw.value)
        except ValueError as wrong:
            faults.append(f"{raw.source}: {raw.key}: {wrong}")
            continue
        values[setting.section][setting.name] = value
        set_by[raw.key] = raw.source
    sections: dict[str, Any] = {section: SECTIONS[section](**given) for section, given in values.items()}
    config = Config(**sections, set_by=set_by, warnings=tuple(dict.fromkeys(warnings)))
    faults += _clashes(config)
    return config


def _clashes(config: Config) -> Iterator[str]:
    """Golden images and disposable zones are tuned differently, so they cannot share a home."""
    for name in ("dataset", "mountpoint"):
        if getattr(config.giz, name) == getattr(config.diz, name):
            sources = dict.fromkeys(source(config, f"{kind}.{name}") for kind in ("giz", "diz"))
            yield f"{' and '.join(sources)}: giz.{name} and diz.{name} are the same"


def _from_file(path: Path, faults: list[str], warnings: list[str], *, needed: bool) -> Iterator[_Raw]:
    try:
        tables = _parsed(path, warnings)
    except FileNotFoundError:
        if needed:
            faults.append(f"{path}: there is no such file")
        return
    except OSError as unreadable:
        faults.append(f"{path}: it cannot be read: {unreadable.strerror}")
        return
    except ValueError as broken:  # not TOML, not UTF-8, or not to be trusted
        faults.append(f"{path}: {broken}")
        return
    for name, table in tables.items():
        if isinstance(table, dict) and (table or name in SECTIONS):
            yield from (_Raw(f"{name}.{key}", value, str(path)) for key, value in table.items())
        else:
            yield _Raw(name, table, str(path))


def _parsed(path: Path, warnings: list[str]) -> dict[str, Any]:
    with path.open("rb") as file:
        import tomllib  # here, so that a host without configuration files does not pay for it

        if os.fstat(file.fileno()).st_mode & 0o002:
            raise ValueError("everyone can write it, yet it says what to run as root")
        text = file.read().decode()
    from zonemgr.config import legacy

    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        if not legacy.looks_like_it(text):
            raise
        return _old(legacy.read(text), path, warnings)
    # With all its values in double quotes the predecessor's file is TOML as well, but no key of ours is in capitals.
    if found and all(name.isupper() for name in found):
        return _old(legacy.read(text), path, warnings)
    return found


def _old(found: Legacy, path: Path, warnings: list[str]) -> dict[str, Any]:
    """The predecessor's file, which its callers name with --config. Lines that set nothing for certain are warned of.

    Raises ValueError when it sets something that would be lost: another value would take its place.
    """
    from zonemgr.config import legacy

    lost = [str(left) for left in found.left_out if left.lost]
    if lost:
        raise ValueError(f"of this shell configuration, not everything can be taken over: {'; '.join(lost)}")
    warnings += [f"not taken over, {left.where(str(path))}" for left in found.left_out if left.matters]
    return legacy.tables(found)


def _from_variables(environ: Mapping[str, str], faults: list[str]) -> Iterator[_Raw]:
    known = {setting.variable: setting.key for setting in SETTINGS.values()}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable.startswith(NO_SETTINGS):
            continue
        if variable in known:
            yield _Raw(known[variable], text, variable, is_text=True)
        else:
            closest = nearest(variable.removeprefix(PREFIX).lower().replace("_", ".", 1))
            faults.append(f"{variable}: it sets nothing; the nearest is {SETTINGS[closest].variable}")


def _error(faults: Sequence[str]) -> ConfigError:
    from zonemgr import data

    message = faults[0] if len(faults) == 1 else "\n  ".join([f"{len(faults)} settings are wrong:", *faults])
    return ConfigError(message, hint=f"every setting with its default: {data.conf() / 'zonemgr.toml'}")
