"""The host room: one door, and one file per illumos tool behind it."""
