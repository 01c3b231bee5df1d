"""What pkg prints while it works, on standard output, to a file or pipe too (pkg5 client/progress.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zonemgr.lab.pkg.actions import Action
    from zonemgr.lab.pkg.command import Run
    from zonemgr.lab.pkg.plan import Plan

BEFORE = ("Package planning", "Merging actions", "Checking for conflicting actions")
AFTER = ("Consolidating action changes", "Evaluating mediators")
FINAL = (
    "Updating package state database", "Updating package cache", "Updating image state",
    "Creating fast lookup database", "Reading search index", "Updating search index", "Updating package cache",
)  # fmt: skip


class Progress:
    """One command's; silent with -q and --parsable. Every phase took no time in a lab."""

    def __init__(self, run: Run, *, quiet: bool, verbose: bool, indexing: bool = True) -> None:
        self.run, self.quiet, self.indexing = run, quiet, indexing
        self.took = " (0.000s)" if verbose else ""

    def _line(self, head: str, text: str) -> None:
        if not self.quiet:
            self.run.call.out(f"{head:>8}: {text}\n")

    def refreshed(self, publishers: Sequence[str]) -> None:
        for name in publishers:
            self._line("Startup", f"Refreshing catalog '{name}' ... Done")

    def cached(self) -> None:
        self._line("Startup", "Caching catalogs ... Done")

    def checking(self) -> None:
        name = "pkg(7)" if self.run.where.omnios else "pkg(5)"
        self._line("Startup", f"Checking that {name} is up to date ... Done")

    def refused(self, *, setting_up: bool) -> None:
        """The solver's refusal cuts a line short."""
        if not setting_up:
            self._line("Planning", f"Solver setup ... Done{self.took}")
        what = "Solver setup ..." if setting_up else "Running solver ..."
        if not self.quiet:
            self.run.call.out(f"Planning: {what}\n")

    def solved(self) -> None:
        for text in ("Solver setup", "Running solver"):
            self._line("Planning", f"{text} ... Done{self.took}")

    def manifests(self, fetched: int) -> None:
        self._line("Planning", f"Finding local manifests ... Done{self.took}")
        if fetched:
            width = len(str(fetched))
            self._line("Planning", f"Fetching manifests: {0:>{width}}/{fetched}  0% complete")
            self._line("Planning", f"Fetching manifests: {fetched}/{fetched}  100% complete")

    def finding(self) -> None:
        self._line("Planning", f"Finding local manifests ... Done{self.took}")

    def verified(self, *, faulty: bool) -> None:
        self._line("Planning", f"Verifying Packages ... Done{self.took}")
        if faulty:
            self._line("Planning", f"Fixing Packages ... Done{self.took}")
            self._line("Planning", "Planning completed in 0.00 seconds")
            self.merged(BEFORE[1:])
        self.planned()

    def merged(self, texts: Sequence[str] = BEFORE) -> None:
        for text in texts:
            self._line("Planning", f"{text} ... Done{self.took}")

    def planned(self) -> None:
        self.merged(AFTER)
        self._line("Planning", "Planning completed in 0.00 seconds")

    def carried_out(self, plan: Plan) -> None:
        self._downloads(plan)
        self._actions(plan)
        for text in FINAL:
            if self.indexing or "search index" not in text:
                self._final(text)

    def ended_new_environment(self) -> None:
        self._final(FINAL[1])

    def _final(self, text: str) -> None:
        if self.run.where.omnios:
            self._line("Finalize", f"{text} ... Done{self.took}")
        elif not self.quiet:
            self.run.call.out(" Done\n")

    def _downloads(self, plan: Plan) -> None:
        old = {each.payload for before, _ in plan.change for each in plan.manifests.get(before, ())}
        new = [
            each
            for package in [*plan.add, *plan.new]
            for each in plan.manifests.get(package, ())
            if each.kind in ("file", "license") and each.payload and each.payload not in old
        ]
        if new:
            size = sum(int(each.get("pkg.csize", "0")) for each in new)
            self._line("Download", f"{0:>{len(str(len(new)))}}/{len(new)} items  0.0/0.0MB  0% complete ")
            self._line("Download", f"Completed {size:.2f} B in 0.00 seconds (0B/s)")

    def _actions(self, plan: Plan) -> None:
        removed, installed, updated = counts(plan)
        total, done = removed + installed + updated, 0
        width = len(str(total))
        for count, what in (
            (removed, "Removing old actions"),
            (installed, "Installing new actions"),
            (updated, "Updating modified actions"),
        ):
            if count:
                self._line("Actions", f"{done + 1:>{width}}/{total} actions ({what})")
                done += count
        if total:
            self._line("Actions", f"Completed {total} actions in 0.00 seconds.")


def counts(plan: Plan) -> tuple[int, int, int]:
    """How many actions are removed, installed and changed."""
    removed = sum(len(plan.manifests.get(each, ())) for each in plan.remove)
    installed = sum(len(plan.manifests.get(each, ())) for each in plan.add)
    updated = 0
    for before, after in plan.change:
        old = {_key(each): str(each) for each in plan.manifests.get(before, ())}
        new = {_key(each): str(each) for each in plan.manifests.get(after, ())}
        removed += len(old.keys() - new.keys())
        installed += len(new.keys() - old.keys())
        updated += sum(old[each] != new[each] for each in old.keys() & new.keys())
    return removed, installed, updated


def _key(action: Action) -> tuple[str, str]:
    from zonemgr.lab.pkg.actions import KEYS

    return action.kind, action.get(KEYS.get(action.kind, ""))
