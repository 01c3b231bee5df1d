"""What vanished zones have left behind."""

from __future__ import annotations
