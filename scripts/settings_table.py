"""Write the README's table of settings anew from the declarations: `python scripts/settings_table.py`."""

from __future__ import annotations

import re
from pathlib import Path

from zonemgr import config

README = Path(__file__).parent.parent / "README.md"


def rows() -> list[str]:
    found = ["| setting | default | what it is |", "|---|---|---|"]
    for key, value, _ in config.show(config.Config()):
        text = (
            str(value).lower()
            if isinstance(value, bool)
            else " ".join(value)
            if isinstance(value, tuple)
            else value
        )
        found.append(f"| `{key}` | {f'`{text}`' if text != '' else 'empty'} | {config.SETTINGS[key].why} |")
    return found


def table(readme: str) -> str:
    body = "\n".join(["<!-- settings -->", *rows(), "<!-- /settings -->"])
    return re.sub(r"<!-- settings -->.*<!-- /settings -->", lambda _: body, readme, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(table(README.read_text()))
