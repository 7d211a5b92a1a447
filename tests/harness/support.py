"""One bench for all tests of the harness: a repository, a plan, a step, its results."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "notebook"
HARNESS = RECIPE / "harness"
sys.path.insert(0, str(HARNESS))


def code(source, *tags, **metadata):
    return {"cell_type": "code", "metadata": {**metadata, **({"tags": list(tags)} if tags else {})}, "source": source,
            "outputs": [], "execution_count": None}


def prose(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def book(*cells, **metadata):
    cells = [code(cell) if isinstance(cell, str) else cell for cell in cells]
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": cells}


def is_required(what):
    return what in os.environ.get("DOCENT_REQUIRE", "").split(",")


class Bench:
    """A repository in a folder of its own, and a step over it."""

    def __init__(self, environment=None):
        self.root = Path(tempfile.mkdtemp(prefix="docent-harness-"))
        for name in ("repo", "in", "out", "env"):
            (self.root / name).mkdir()
        self.repo, self.out = self.root / "repo", self.root / "out"
        self.environment = Path(environment) if environment else self.root / "env"

    def put(self, path, content):
        """Puts a file into the repository: a notebook, text or bytes."""
        place = self.repo / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, (dict, list)):
            content = json.dumps(content)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())

    def plan(self, notebooks=(), settings=None, timeout=120, cpus=2.0, memory=4 << 30, **more):
        document = {"run": 1, "sha": "0" * 40, "tier": "notebooks", "extra": False, "notebooks": list(notebooks),
                    "extra_notebooks": [], "requirements": [], "settings": settings or {},
                    "limits": {"memory_bytes": memory, "cpus": cpus, "timeout_seconds": timeout}, **more}
        (self.root / "in" / "plan.json").write_text(json.dumps(document))

    def variables(self, **more):
        return {**os.environ, "DOCENT_REPO": str(self.repo), "DOCENT_RECIPE": str(RECIPE),
                "DOCENT_IN": str(self.root / "in"), "DOCENT_ENV": str(self.environment), "DOCENT_OUT": str(self.out), **more}

    def start(self, step, *words, **variables):
        python = getattr(sys, "_base_executable", sys.executable)
        return subprocess.Popen([python, str(HARNESS / f"{step}.py"), *words], env=self.variables(**variables), cwd=self.root,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, step, **variables):
        """Runs a step to its end: its exit code and what it printed."""
        return self.run_with(step, **variables)

    def run_with(self, step, *words, **variables):
        """The same, with arguments."""
        process = self.start(step, *words, **variables)
        said = process.communicate(timeout=600)[0].decode("utf-8", "replace")
        return process.returncode, said

    def outputs(self):
        return json.loads((self.out / "outputs.json").read_text("utf-8"))

    def tests(self):
        return {test["name"]: test for test in self.outputs()["tests"]}

    def kept(self, path):
        return json.loads((self.out / "artifacts" / "notebooks" / path).read_text("utf-8"))

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)


def environment():
    """The environment that `run` made; without it, the tests that need kernels cannot be run."""
    place = os.environ.get("DOCENT_TEST_ENV")
    if place and (Path(place) / "venv" / "bin" / "python").exists():
        return place
    raise unittest.SkipTest("not run: DOCENT_TEST_ENV names no environment: start the tests with tests/harness/run")


def printed(document):
    """All stream text of an executed notebook."""
    return "".join(
        "".join(output["text"]) for cell in document["cells"] for output in cell.get("outputs", [])
        if output["output_type"] == "stream"
    )


def processes_with(mark):
    """Processes whose command line has a mark."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes() and int(pid) != os.getpid():
                found.append(int(pid))
        except OSError:
            continue
    return found
