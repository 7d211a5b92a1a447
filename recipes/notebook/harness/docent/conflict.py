"""Which lines clash: the smallest set of requirement lines that still has no solution, found by leaving lines out."""
from __future__ import annotations

import shutil
import time

from . import locks
from .requirements import Requirements
from .uv import Ended, Uv

_MOST_TRIES = 80
_MOST_SECONDS = 120.0


class Conflict:
    """The culprits; `is_minimal` if without any of them there would be a solution."""

    def __init__(self, lines: list, overrides: list, needed: bool, is_minimal: bool):
        self.lines, self.overrides, self.needed, self.is_minimal = lines, overrides, needed, is_minimal

    @property
    def message(self) -> str:
        places = [line.place for line in [*self.lines, *self.overrides]]
        if self.needed:
            places.append(f"what docent adds: {', '.join(locks.NEEDED)}")
        if len(places) == 1 and self.is_minimal:
            return f"no version fits: {places[0]}"
        among = "" if self.is_minimal else "among these, "
        rest = f"; and {len(places) - 8} more" if len(places) > 8 else ""
        return f"{among}no versions fit together: {'; '.join(places[:8])}{rest}"

    def document(self, said: str) -> dict:
        """As kept in `artifacts/conflict.json`."""
        def one(line):
            return {"source": line.file, "line": line.number, "text": line.line, "place": line.where,
                    "selections": line.selections, "is_constraint": line.is_constraint}

        return {"lines": [one(line) for line in self.lines], "overrides": [one(line) for line in self.overrides],
                "needed_by_docent": locks.NEEDED if self.needed else [], "is_minimal": self.is_minimal, "said": said[-4000:]}


class _Enough(Exception):
    """No tries or no time left."""


class Search:
    """Asks the resolver again and again, with fewer lines."""

    def __init__(self, uv: Uv, wanted: Requirements, python: str):
        self.uv, self.wanted, self.python = uv, wanted, python
        self.tries, self.end = 0, min(time.monotonic() + _MOST_SECONDS, uv.end)

    def clashes(self, lines, overrides, needed: bool = True) -> bool:
        if self.tries >= _MOST_TRIES or time.monotonic() > self.end:
            raise _Enough
        self.tries += 1
        folder = self.uv.cache / "tried"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        question = locks.Question(folder, lines, overrides, needed)
        if not question.asked:
            return False
        try:
            done = locks.compile_(self.uv, question, self.wanted, self.python, "--no-annotate", "--output-file",
                                  self.uv.cache / "tried.lock")
        except Ended:
            raise _Enough from None
        if done.returncode and "No solution found" not in done.stderr:
            raise _Enough
        return bool(done.returncode)

    def run(self, said: str) -> Conflict:
        """The culprits behind a resolver's failure."""
        suspects = self.wanted.mentioned(said)
        overrides, needed = self.wanted.overrides, False
        try:
            # What the message mentions is mostly enough; where not, all lines are suspects.
            if len(suspects) == len(self.wanted.lines) or not (suspects and self.clashes(suspects, overrides)):
                suspects = list(self.wanted.lines)
            files: dict = {}
            for line in suspects:
                files.setdefault(line.file, []).append(line)
            files = self._least(list(files.values()), lambda some: [line for group in some for line in group])
            suspects = [line for group in files for line in group]
            suspects = self._least(suspects, list)
            needed = not self.clashes(suspects, overrides, needed=False)
            guilty = [one for one in overrides
                      if not self.clashes(suspects, [other for other in overrides if other is not one])]
            return Conflict(suspects, guilty, needed, True)
        except _Enough:
            return Conflict(suspects, [one for one in overrides if one.name in {line.name for line in suspects}], needed, False)

    def _least(self, parts: list, flat) -> list:
        """The parts without any of which the clash is gone: halves first, so that many innocent ones leave at once."""
        overrides = self.wanted.overrides

        def search(fixed: list, may_be_enough: bool, open_: list) -> list:
            if may_be_enough and self.clashes(flat(fixed), overrides):
                return []
            if len(open_) <= 1:
                return open_
            half = len(open_) // 2
            left, right = open_[:half], open_[half:]
            of_right = search(fixed + left, True, right)
            return search(fixed + of_right, bool(of_right), left) + of_right

        return search([], bool(parts), parts)
