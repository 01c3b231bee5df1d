"""The lab: a stand-in illumos host made of files. It is not illumos; it knows what docs/illumos.md and the
recordings say.

Only the standard library is used here, so that an emulated command starts quickly.
"""
