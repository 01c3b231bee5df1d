"""make bench: measure all subjects, print the table, write the JSON."""

from __future__ import annotations

import argparse

from benchmarks import frame, on_lab, startup

SUBJECTS = (startup, on_lab)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("--runs", type=int, default=21, help="pairs per timing (default: %(default)s)")
    chosen = options.parse_args()
    results = [result for subject in SUBJECTS for result in subject.measure(chosen.runs)]
    print(frame.table(results))
    print(f"\nwritten to {frame.written(results)}")


if __name__ == "__main__":
    main()
