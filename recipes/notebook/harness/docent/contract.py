"""The contract of a step: where things are, what docent decided, and how a step says how it ended.

The paths come from the environment where it names them, so that the same files run with and without a container.
"""
from __future__ import annotations

import json
import math
import os
import re
import sys
from pathlib import Path

from .curation import Curation

PASSED = 0
FAILED = 1
ERRORED = 70
SKIPPED = 77

REPO = Path(os.environ.get("DOCENT_REPO", "/repo"))
RECIPE = Path(os.environ.get("DOCENT_RECIPE", "/recipe"))
IN = Path(os.environ.get("DOCENT_IN", "/in"))
ENV = Path(os.environ.get("DOCENT_ENV", "/env"))
OUT = Path(os.environ.get("DOCENT_OUT", "/out"))

VENV = ENV / "venv"
ENVIRONMENT = ENV / "environment.json"  # of which environment this is; written last, so that one without is half made
LOCK = ENV / "requirements.lock"

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?b|b)?", re.IGNORECASE)


class Plan:
    """What docent decided, with defaults for all that it did not say."""

    def __init__(self, document: dict):
        self.tier = str(document.get("tier") or os.environ.get("DOCENT_TIER") or "tier")
        self.notebooks = _paths(document, "notebooks")
        self.extra_notebooks = _paths(document, "extra_notebooks")
        tests = document.get("tests")
        self.tests = None if tests is None else [str(name) for name in tests]  # besides notebooks; None: all
        self.requirements = _paths(document, "requirements")
        self.root = REPO
        try:
            self.curation = Curation(document.get("curation"))
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            stop(f"plan.json: curation cannot be read: {error!r}")
        self.order = [str(name) for name in document.get("order") or []]
        self.settings = document.get("settings") or {}
        limits = document.get("limits") or {}
        self.memory_bytes = int(limits.get("memory_bytes") or 0)
        self.timeout_seconds = float(limits.get("timeout_seconds") or 3600)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.cpus = max(1, min(cores, math.ceil(float(limits.get("cpus") or cores))))

    def ordered(self, names) -> list:
        """Names in the order in which docent wants them run, those that it did not name after them."""
        place = {name: number for number, name in reversed(list(enumerate(self.order)))}
        return sorted(names, key=lambda name: place.get(name, len(place) + len(self.order)))

    def seconds(self, name: str, default: float) -> float:
        """A duration: a number of seconds, or text such as `10m`."""
        value = self.settings.get(name, default)
        if isinstance(value, (int, float)):
            return float(value)
        parts = _DURATION.findall(str(value))
        if not parts or _DURATION.sub("", str(value)).strip():
            stop(f"the setting {name} = {value!r} is no duration: write 90, \"90s\" or \"10m\"")
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)

    def size(self, name: str, default: int) -> int:
        """A size: a number of bytes, or text such as `16MiB`."""
        value = self.settings.get(name, default)
        if isinstance(value, (int, float)):
            return int(value)
        match = _SIZE.fullmatch(str(value).strip())
        if not match:
            stop(f"the setting {name} = {value!r} is no size: write 1048576 or \"16MiB\"")
        unit = (match[2] or "b").lower()
        base = 1024 if "i" in unit else 1000
        return int(float(match[1]) * base ** "bkmgt".index(unit[0]))


def _paths(document: dict, name: str) -> list:
    paths = [str(path) for path in document.get(name) or []]
    for path in paths:
        if os.path.isabs(path) or ".." in path.split("/"):
            stop(f"plan.json: {name} has {path!r}, which is not inside the repository")
    return paths


def read_plan() -> Plan:
    """The plan; a step without one cannot go on."""
    try:
        return Plan(json.loads((IN / "plan.json").read_text("utf-8")))
    except (OSError, ValueError) as error:
        stop(f"plan.json cannot be read: {error}")


def stop(why: str):
    """Ends the step: the machinery let it down."""
    print(f"errored: {why}", file=sys.stderr, flush=True)
    raise SystemExit(ERRORED)


def use_environment():
    """Goes on under the Python of the run's environment, where jupyter_client and IPython are."""
    python = VENV / "bin" / "python"
    if os.path.abspath(sys.prefix) == os.path.abspath(VENV):
        return
    if not os.access(python, os.X_OK):
        stop(f"the run's environment has no {python}: the tier `environment` makes it")
    os.execv(python, [str(python), *sys.argv])


def told() -> dict:
    """Variables that packages of the run's environment set for whoever uses it."""
    variables = environment().get("variables")
    variables = variables if isinstance(variables, dict) else {}
    return {str(name): str(value) for name, value in variables.items()}


def environment() -> dict:
    """What the tier `environment` noted about the environment, for every later report."""
    try:
        return json.loads(ENVIRONMENT.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
