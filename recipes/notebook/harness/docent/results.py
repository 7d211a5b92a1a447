"""Results, written as they come: a step that is killed leaves those that it had finished."""
from __future__ import annotations

import json
import os
import threading
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Optional

from . import contract, text

FAULTS = {"failed", "timed_out", "out_of_memory", "out_of_disk"}


def result(name: str, outcome: str, kind: str, message: str = "", *, cell: Optional[dict] = None,
           exception: Optional[dict] = None, stderr: str = "", seconds: float = 0.0,
           cell_seconds: Optional[float] = None, peak_memory_bytes: Optional[int] = None, wrote=(),
           wrote_more: int = 0) -> dict:
    """One test's result, everything in it capped."""
    return {
        "name": name,
        "outcome": outcome,
        "class": kind,
        "message": text.line(message),
        "cell": cell,
        "exception": exception,
        "stderr": text.tail(stderr, 4000),
        "seconds": round(seconds, 3),
        "cell_seconds": None if cell_seconds is None else round(cell_seconds, 3),
        "peak_memory_bytes": peak_memory_bytes,
        "wrote": list(wrote),
        "wrote_more": wrote_more,
    }


def exception(name, value, traceback) -> dict:
    """An exception, cut to what a report shows."""
    return {
        "name": text.line(name, 200),
        "value": text.cut(text.plain(value), 2000),
        "traceback": text.last_lines(traceback or []),
    }


class Results:
    """The results of one step, in `outputs.json` and `junit.xml`."""

    def __init__(self, tier: str, order: Optional[list] = None, environment: Optional[dict] = None):
        self.tier = tier
        self.order = {name: place for place, name in enumerate(order or [])}
        self.environment = environment or {}
        self.tests: dict = {}
        self._said: dict = {}  # each test's part of the two files, made once: a tier may have thousands
        self._lock = threading.Lock()
        (contract.OUT / "artifacts").mkdir(parents=True, exist_ok=True)
        self._write()

    def add(self, test: dict):
        """Adds or replaces a test's result."""
        self.add_all([test])

    def add_all(self, tests: list):
        """Adds or replaces several at once."""
        with self._lock:
            for test in tests:
                # What cannot be written must not keep the others from being written.
                self._said[test["name"]] = to_json(test), xml.tostring(_case(self.tier, test), encoding="utf-8")
                self.tests[test["name"]] = test
            self._write()

    def exit_code(self) -> int:
        """How the step ends: one fault of the author's outweighs what the machinery did."""
        outcomes = {test["outcome"] for test in self.tests.values()}
        if outcomes & FAULTS:
            return contract.FAILED
        if outcomes - {"passed", "skipped"}:
            return contract.ERRORED
        return contract.PASSED if "passed" in outcomes else contract.SKIPPED

    def _write(self):
        tests = sorted(self.tests.values(), key=lambda test: self.order.get(test["name"], len(self.order)))
        said = [self._said[test["name"]] for test in tests]
        write(contract.OUT / "outputs.json", b'{"tests": [' + b", ".join(part for part, _ in said) + b'], "environment": '
              + to_json(self.environment) + b"}")
        write(contract.OUT / "junit.xml", _suite(self.tier, tests, [case for _, case in said]))


def to_json(document, indent: Optional[int] = None) -> bytes:
    """JSON that every reader takes: valid UTF-8, no NaN."""
    try:
        content = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError:
        content = json.dumps(_without_nan(document), ensure_ascii=False, allow_nan=False, indent=indent)
    return content.encode("utf-8", "replace")


def _without_nan(value):
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def write(path: Path, content: bytes):
    """Writes a file so that a reader sees the old one or the new one, never half of one."""
    half = path.with_name(f".{path.name}.half")
    half.write_bytes(content)
    os.replace(half, path)


def junit(tier: str, tests: list) -> bytes:
    """The same as JUnit XML."""
    return _suite(tier, tests, [xml.tostring(_case(tier, test), encoding="utf-8") for test in tests])


def _suite(tier: str, tests: list, cases: list) -> bytes:
    outcomes = [test["outcome"] for test in tests]
    suite = xml.Element("testsuite", {
        "name": tier,
        "tests": str(len(tests)),
        "failures": str(sum(outcome in FAULTS for outcome in outcomes)),
        "errors": str(outcomes.count("errored")),
        "skipped": str(outcomes.count("skipped")),
        "time": f"{sum(test['seconds'] for test in tests):.3f}",
    })
    suite.text = "\n"  # so that there is an end tag to put the cases before
    whole = xml.tostring(suite, encoding="utf-8", xml_declaration=True)
    end = whole.rindex(b"</testsuite>")
    return whole[:end] + b"\n".join(cases) + whole[end:]


def _case(tier: str, test: dict) -> xml.Element:
    case = xml.Element("testcase", {
        "classname": tier, "name": text.plain(test["name"]), "time": f"{test['seconds']:.3f}",
    })
    outcome = test["outcome"]
    if outcome != "passed":
        tag = "skipped" if outcome == "skipped" else "failure" if outcome in FAULTS else "error"
        part = xml.SubElement(case, tag, {"type": test["class"], "message": test["message"]})
        details = test["exception"]["traceback"] if test["exception"] else []
        part.text = "\n".join(details) or None
    if test["stderr"]:
        xml.SubElement(case, "system-err").text = test["stderr"]
    return case
