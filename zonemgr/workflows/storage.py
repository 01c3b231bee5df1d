"""Storage a zone is given beside its root: clones of host datasets, quotas."""

from __future__ import annotations
