"""Golden images as files: made from an archive or a stream, exported, imported."""

from __future__ import annotations
