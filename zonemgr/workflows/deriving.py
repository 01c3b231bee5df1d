"""Making a golden image from another: clone, then apply the difference."""

from __future__ import annotations
