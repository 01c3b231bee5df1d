"""What a failed command said last is told in one line."""

from __future__ import annotations

import pytest

from zonemgr.errors import CommandError


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        ("zfs: first\ncannot open 'a': dataset does not exist\n", "cannot open 'a': dataset does not exist"),
        ("pkg: these did not match:\n\n\tno/such\n\tnor/this\n", "these did not match: no/such nor/this"),
        ("zone 'z': the reason\nzoneadm: zone 'z': call to zoneadmd failed\n", "zone 'z': the reason"),
        ("", "it gave no reason"),
        ("  only indented\n", "only indented"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_last_words(stderr: str, told: str) -> None:
    failed = CommandError(["pkg", "install"], 1, stderr)
    assert str(failed) == f"pkg exited with 1: {told}"
