"""The pytest tests of one part of a repository: pytest runs in a process of its own, in a copy of the checkout, and whatever
becomes of that process, every test that was found has a result afterwards."""
from __future__ import annotations

import configparser
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Optional

from . import contract, processes, scratch, surroundings, text
from .results import Results, exception, result

PYTEST = "DOCENT_PYTEST"  # where the image has pytest, for environments that have none
_SECTIONS = {"pytest.ini": None, ".pytest.ini": None, "tox.ini": "pytest", "setup.cfg": "tool:pytest"}
_TEST_FILE = re.compile(r"(test_.*|.*_test|conftest)\.py")
_USAGE = 4  # pytest's code for what it could not begin with
_ABSENT = 70  # there is no pytest


def has_tests(root: Path) -> bool:
    """Whether pytest may have anything to do here. Cheap, and never wrong in saying no: where a repository configures pytest,
    only pytest knows."""
    for name, section in _SECTIONS.items():
        if (root / name).is_file() and (section is None or _has_section(root / name, section)):
            return True
    if any("[tool.pytest" in _read(root / name) for name in ("pyproject.toml", "pytest.toml", ".pytest.toml")):
        return True
    for _, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        if any(_TEST_FILE.fullmatch(name) for name in names):
            return True
    return False


def _has_section(file: Path, section: str) -> bool:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(_read(file))
    except configparser.Error:
        return True
    return parser.has_section(section)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def note_pytest():
    """Remembers where the image has pytest, before the step goes on under another Python."""
    found = importlib.util.find_spec("pytest")
    program = shutil.which("pytest")
    if found and found.origin:
        os.environ.setdefault(PYTEST, str(Path(found.origin).parents[1]))
    elif program and (Path(program).parents[1] / "pytest").is_dir():
        os.environ.setdefault(PYTEST, str(Path(program).parents[1]))


def roots(plan: contract.Plan) -> list:
    """The repositories that may have tests, each with settings of its own, below `contract.REPO`: several where a spec is curated."""
    if not plan.curation.is_given:
        return ["."]
    return sorted(os.path.relpath(place, contract.REPO) for place in contract.REPO.glob("references/*") if place.is_dir())


class Suite:
    """One part of a repository's tests: `extra` or `default`."""

    def __init__(self, plan: contract.Plan, root: str, part: str, results: Results, end: float):
        self.plan, self.part, self.results, self.end = plan, part, results, end
        self.place = contract.REPO / scratch.FOLDER / "pytest"
        self.copy = self.place / "repo"
        self.folder = self.copy / root  # where pytest runs; the names that it tells begin here
        self.prefix = "" if root == "." else f"{root}/"
        self.stderr = self.place / "stderr"
        # Only these, as pytest calls them here; None: all.
        self.only = None if plan.tests is None else [
            name[len(self.prefix):] for name in plan.tests if name.startswith(self.prefix)]
        self.found: dict = {}  # names of tests, in pytest's order
        self.ended: set = set()
        self._begin()

    def run(self):
        """Runs the part. A test that ends pytest's process is named, and pytest begins again with those after it."""
        processes.adopt_orphans()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            self._copy()
            while self._once():
                pass
            for name in self._open():
                self._note(name, "failed", "not_run", "it was found and not run: pytest ended before it")
            for name in self.only or []:
                if name not in self.ended:
                    self._note(name, "failed", "not_run", f"pytest finds no such {self.part} test")
        except OSError as error:
            full = error.errno == 28
            self._note("pytest", *(("out_of_disk", "out_of_disk") if full else ("errored", "scratch")), f"no copy of the checkout: {error}")
        finally:
            scratch.remove(contract.REPO / scratch.FOLDER)

    def list(self) -> list:
        """The names of the part's tests, without running any."""
        try:
            self._copy()
            code = self._pytest(is_list=True)
            if code is not None:
                self._end(code)
            return [self.prefix + name for name in self.found]
        finally:
            scratch.remove(contract.REPO / scratch.FOLDER)

    def _copy(self):
        scratch.remove(contract.REPO / scratch.FOLDER)
        scratch.Checkout(contract.REPO, self.plan.size("copy_limit", 256 << 20)).copy(self.copy)
        for folder in ("home", "tmp"):
            (self.place / folder).mkdir()

    def _begin(self):
        self.reading = self.begun = self.over = None
        self.is_explained = False  # what pytest's exit code says is said by a result

    def _once(self) -> bool:
        """One process of pytest. True if another one has something to do."""
        self._begin()
        kills, already = processes.oom_kills(), len(self.ended)
        code = self._pytest(is_list=False) if self.end - time.monotonic() > 1 else None
        if code is None:
            for name in dict.fromkeys([*filter(None, [self.begun]), *self._open()]):
                self._note(name, "timed_out", "timed_out", "the tier's time was over")
            if not self.found:
                self._note(self.reading or "pytest", "timed_out", "timed_out", "the tier's time was over while tests were looked for")
            return False
        if code == _ABSENT and self.reading is None and self.over is None:
            why = "the image has no pytest that goes with this environment: build it again, or name pytest in a requirement file"
            self._note("pytest", "errored", "no_pytest", why, stderr=self._said())
            return False
        if self.over is not None or code == _USAGE:
            self._end(code)
            return False
        # Its process is gone, and pytest had not come to its end.
        now = processes.oom_kills()
        is_memory = code == -9 and kills is not None and now is not None and now > kills
        kind = ("out_of_memory", "out_of_memory") if is_memory else ("failed", "crashed")
        name = self.begun or (None if self.found else self.reading) or "pytest"
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        doing = "while it ran" if self.begun else "while this was read" if name == self.reading else "between tests"
        self._note(name, *kind, f"pytest's process ended {how} {doing}", stderr=self._said())
        return bool(self._open()) and len(self.ended) > already

    def _end(self, code: int):
        if code in (0, 5) or (code == 1 and self.is_explained):
            return
        said = self._said()
        if code == _USAGE:
            conftest = re.search(r"while loading conftest '([^']+)'", said)
            name = os.path.relpath(conftest[1], self.folder) if conftest else "pytest"
            lines = [part for part in said.splitlines() if part.strip()]
            self._note(name, "failed", "not_readable", lines[-1] if lines else "pytest could not begin", stderr=said)
        elif code == 1:
            self._note("pytest", "failed", "pytest_failed", "no test failed, and pytest ended with code 1", stderr=said)
        elif not self._open():
            self._note("pytest", "failed", "pytest_failed", f"pytest ended with code {code}", stderr=said)

    def _open(self) -> list:
        return [name for name in self.found if name not in self.ended]

    def _said(self) -> str:
        return text.tail(_read(self.stderr), 4000)

    def _pytest(self, is_list: bool) -> Optional[int]:
        """Runs pytest to its end and takes up what it says meanwhile: its exit code, or None where time was over."""
        report = self.place / "report"
        report.unlink(missing_ok=True)
        job = {"part": self.part, "is_list": is_list, "done": sorted(self.ended), "only": self.only, "report": str(report),
               "pytest": os.environ.get(PYTEST, "")}
        variables = surroundings.make(self.plan, self.place, PYTHONDONTWRITEBYTECODE="1")
        for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", PYTEST):
            variables.pop(name, None)
        with open(self.stderr, "wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("part.py")), json.dumps(job)], cwd=self.folder, env=variables,
                stdin=subprocess.DEVNULL, stderr=stderr, stdout=subprocess.DEVNULL if is_list else None, start_new_session=True)
        seen = 0
        try:
            while True:
                try:
                    code: Optional[int] = process.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    code = None
                seen = self._take(report, seen)
                if code is not None:
                    return code
                if time.monotonic() > self.end:
                    return None
        finally:
            process.kill()
            process.wait()
            processes.kill_below(os.getpid())

    def _take(self, report: Path, seen: int) -> int:
        try:
            with open(report, "rb") as file:
                file.seek(seen)
                new = file.read()
        except OSError:
            return seen
        whole = new[:new.rfind(b"\n") + 1]
        for line in whole.splitlines():
            try:
                self._heed(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue  # a test can write there as well
        return seen + len(whole)

    def _heed(self, said: dict):
        what, name = said["what"], said["name"]
        if what == "reading":
            self.reading = name
        elif what == "unread":
            self._unread(name, said)
        elif what == "collected":
            self.found[name] = None
        elif what == "begun":
            self.begun = name
        elif what == "ended":
            self.begun = None
            self._ended(name, said)
        elif what == "over":
            self.over = said["code"]

    def _unread(self, name: str, said: dict):
        lines = text.last_lines([self._here(said["text"])])
        if said["outcome"] == "skipped":
            return self._note(name or "pytest", "skipped", "skipped", _reason(said["text"])) if said["is_mine"] else None
        self.is_explained = True
        if not said["is_mine"]:
            return print(f"{text.line(name)} cannot be read, and holds no {self.part} test", flush=True)
        errors = [line[1:].strip() for line in lines if line.startswith("E ")]
        self._note(name or "pytest", "failed", "not_importable", errors[-1] if errors else lines[-1] if lines else "it cannot be read",
                   raised=exception("CollectError", errors[-1] if errors else "", lines))

    def _ended(self, name: str, said: dict):
        seconds = float(said["seconds"])
        if said["outcome"] != "failed":
            return self._note(name, said["outcome"], said["outcome"], _reason(said["text"]), seconds=seconds)
        self.is_explained = True
        raised, kind = said["exception"], {"setup": "setup_failed", "teardown": "teardown_failed"}.get(said["when"], "test_failed")
        outcome = "failed"
        if raised == "MemoryError":
            outcome, kind = "out_of_memory", "memory_error"
        first = said["value"].strip().split("\n")[0] or said["text"].strip().split("\n")[-1]
        message = ": ".join(filter(None, [self._here(said["place"]), raised, first]))
        self._note(name, outcome, kind, message, raised=exception(raised or "Failed", self._here(said["value"]),
                   [self._here(said["text"])]), stderr=said["stderr"], seconds=seconds)

    def _here(self, said: str) -> str:
        """Places as the repository's own."""
        return said.replace(f"{self.copy}/", "")

    def _note(self, name: str, outcome: str, kind: str, message: str, raised: Optional[dict] = None, stderr: str = "", seconds: float = 0.0):
        self.ended.add(name)
        name = self.prefix + name
        if outcome != "passed":
            print(f"test {text.line(name)} {outcome}: {text.line(message)}", flush=True)
        self.results.add(result(name, outcome, kind, message, exception=raised, stderr=stderr, seconds=seconds))

    def _on_signal(self, number, _frame):
        processes.kill_below(os.getpid(), limit=3)
        scratch.remove(contract.REPO / scratch.FOLDER)
        os._exit(128 + number)


def _reason(said: str) -> str:
    """Why something was skipped, without pytest's own word for that."""
    parts = re.match(r"\('[^']*', \d+, ['\"](.*)['\"]\)$", said, re.DOTALL)
    return re.sub(r"^Skipped: ", "", parts[1] if parts else said)
