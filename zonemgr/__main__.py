"""`python -m zonemgr` and the console script; everything else waits until it is called."""

from __future__ import annotations

import sys


def main() -> int:
    from zonemgr.cli.app import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
