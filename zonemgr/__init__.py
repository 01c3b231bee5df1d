"""Disposable build zones for illumos."""

__version__ = "0.1.0"
