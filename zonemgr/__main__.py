"""`python -m zonemgr` and the console script; everything else waits until it is called."""

from __future__ import annotations


def main() -> None:
    from zonemgr.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
