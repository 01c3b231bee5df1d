"""Changing a zone that exists."""

from __future__ import annotations
