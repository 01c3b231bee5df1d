"""What was made from what."""

from __future__ import annotations
