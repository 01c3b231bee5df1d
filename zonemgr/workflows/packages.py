"""Packages and publishers of zones: the steps, and the pkg-… jobs."""

from __future__ import annotations
