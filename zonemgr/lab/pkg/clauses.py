"""Is there a choice of packages that keeps all clauses? A small solver of the DPLL kind.

A clause is a set of numbers, of which one at least must be so: n means that package n is chosen, -n that it is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

Clause = tuple[int, ...]


class Contradiction(Exception):
    pass


class Problem:
    def __init__(self, clauses: Iterable[Sequence[int]] = ()) -> None:
        self.clauses: list[Clause] = []
        self.where: dict[int, list[int]] = defaultdict(list)  # literal -> numbers of the clauses with it
        self.impossible = False
        for clause in clauses:
            self.add(clause)

    def copy(self) -> Problem:
        return Problem(self.clauses)

    def add(self, clause: Sequence[int]) -> None:
        if not clause:
            self.impossible = True
            return
        for literal in clause:
            self.where[literal].append(len(self.clauses))
        self.clauses.append(tuple(clause))

    def solve(self, order: Sequence[int] = ()) -> set[int] | None:
        """What is chosen, as little as possible: only what some clause calls for, in this order of preference."""
        if self.impossible:
            return None
        rank = {number: place for place, number in enumerate(order)}
        return _Search(self, rank).run()


class _Search:
    def __init__(self, problem: Problem, rank: dict[int, int]) -> None:
        self.problem, self.rank = problem, rank
        self.value: dict[int, bool] = {}
        self.trail: list[int] = []

    def run(self) -> set[int] | None:
        decisions: list[tuple[int, int]] = []  # length of the trail before, and what was tried
        try:
            self._assign([clause[0] for clause in self.problem.clauses if len(clause) == 1])
        except Contradiction:
            return None
        while (choice := self._open()) is not None:
            decisions.append((len(self.trail), choice))
            literals = [choice]
            while True:
                try:
                    self._assign(literals)
                    break
                except Contradiction:
                    if not decisions:
                        return None
                    size, tried = decisions.pop()
                    self._back(size)
                    literals = [-tried]
        return {number for number, chosen in self.value.items() if chosen}

    def _open(self) -> int | None:
        """A package that some clause still calls for, the one preferred."""
        for clause in self.problem.clauses:
            if any(self.value.get(abs(each)) is (each > 0) for each in clause):
                continue
            free = [each for each in clause if abs(each) not in self.value]
            if any(each < 0 for each in free):
                continue  # it is kept when nothing is chosen
            return min(free, key=lambda each: self.rank.get(each, each))
        return None

    def _assign(self, literals: Sequence[int]) -> None:
        pending = list(literals)
        while pending:
            literal = pending.pop()
            known = self.value.get(abs(literal))
            if known is not None:
                if known is not (literal > 0):
                    raise Contradiction
                continue
            self.value[abs(literal)] = literal > 0
            self.trail.append(abs(literal))
            for number in self.problem.where.get(-literal, ()):
                pending += self._forced(self.problem.clauses[number])

    def _forced(self, clause: Clause) -> list[int]:
        free = []
        for each in clause:
            value = self.value.get(abs(each))
            if value is None:
                free.append(each)
                if len(free) > 1:
                    return []
            elif value is (each > 0):
                return []
        if not free:
            raise Contradiction
        return free

    def _back(self, size: int) -> None:
        for number in self.trail[size:]:
            del self.value[number]
        del self.trail[size:]
