"""What zonemgr costs, as ratios measured within one run, so that figures of different machines compare.

`make bench` runs it all. A subject is a module with `measure(runs) -> list[Result]`, named in __main__.py.
"""
