"""The nightly upgrade of golden images."""

from __future__ import annotations
