"""Settings: frozen values filled from layers of TOML, variables and options, each remembering what set it.

`sections` declares them, `setting` says what one takes, `layers` reads them; here they are looked at.
"""

from __future__ import annotations

from zonemgr.config.layers import BUILT_IN, OPTIONS, load, source
from zonemgr.config.sections import (
    DISCARDS,
    SECTIONS,
    Config,
    Diz,
    Exec,
    Giz,
    Host,
    State,
    Upgrade,
    Zfs,
)
from zonemgr.config.setting import SETTINGS, Setting, Value, unknown
from zonemgr.errors import UsageError

__all__ = [
    "BUILT_IN",
    "DISCARDS",
    "OPTIONS",
    "SETTINGS",
    "Config",
    "Diz",
    "Exec",
    "Giz",
    "Host",
    "Setting",
    "State",
    "Upgrade",
    "Value",
    "Zfs",
    "as_toml",
    "get",
    "load",
    "show",
    "source",
]

_PREFACE = """\
# zonemgr's settings, each with its default. Copy what you change to /etc/zonemgr/zonemgr.toml (for the host)
# or ~/.config/zonemgr/zonemgr.toml (for yourself). $ZONEMGR_CONF and --config name further files; later ones
# win. A variable can set one, too: ZONEMGR_DIZ_DATASET is the dataset of [diz]. `zonemgr config show` tells
# what set what.
"""


def get(config: Config, key: str) -> Value:
    if key not in SETTINGS:
        raise UsageError(unknown(key), hint="zonemgr config show lists all settings")
    setting = SETTINGS[key]
    value: Value = getattr(getattr(config, setting.section), setting.name)
    return value


def show(config: Config) -> list[tuple[str, Value, str]]:
    """Key, value and source of every setting, in the order of the sections."""
    return [(key, get(config, key), source(config, key)) for key in SETTINGS]


def as_toml(config: Config, *, reasons: bool = False) -> str:
    """The settings as a file that `load` reads; with `reasons` explained, as conf/zonemgr.toml is."""
    blocks = [_PREFACE] if reasons else []
    for section, its_class in SECTIONS.items():
        heading = [f"# {its_class.__doc__}"] if reasons else []
        lines = [*heading, f"[{section}]"]
        for setting in SETTINGS.values():
            if setting.section == section:
                lines += [f"# {setting.why}"] if reasons else []
                lines.append(_line(setting.name, get(config, setting.key)))
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _line(name: str, value: Value) -> str:
    import tomli_w

    return tomli_w.dumps({name: list(value) if isinstance(value, tuple) else value}).rstrip("\n")
