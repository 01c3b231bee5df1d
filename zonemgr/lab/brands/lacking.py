"""Hooks that the lab has not got: they say so and fail, leaving everything as it is."""

from __future__ import annotations

from zonemgr.lab.brands.hook import NOT_COMPLETE
from zonemgr.lab.call import Call


def install(call: Call, argv: list[str]) -> int:
    return call.fail("lab: installing a zone of this brand is not emulated", NOT_COMPLETE)


def attach(call: Call, argv: list[str]) -> int:
    return call.fail("lab: attaching a zone of this brand is not emulated", NOT_COMPLETE)


def detach(call: Call, argv: list[str]) -> int:
    return call.fail("lab: detaching a zone of this brand is not emulated", NOT_COMPLETE)
