"""uv, kept from everything that a repository or a home might tell it, and what its failures mean."""
from __future__ import annotations

import os
import re
import subprocess
import sys
import time

from . import contract, text
from .requirements import Requirements

_MARGIN = 15.0
# What uv says when the index did not answer, as opposed to having answered «no».
_INDEX_SILENT = re.compile(
    r"error sending request|dns error|failed to lookup|connection (?:refused|reset|closed)|timed? ?out|"
    r"failed to fetch|could not connect|certificate|network is unreachable|request failed|"
    r"HTTP status (?:server error|client error \((?:401|403|407|429))|\b(?:401 unauthorized|403 forbidden|50[0-9] )|"
    r"network connectivity is disabled|failed to download|lack of valid authentication",
    re.IGNORECASE,
)


class Ended(Exception):
    """The tier ended here, with this outcome."""

    def __init__(self, outcome: str, kind: str, message: str, said: str = ""):
        super().__init__(message)
        self.outcome, self.kind, self.message, self.said = outcome, kind, message, said


class Uv:
    """The resolver, and whatever else of the image makes environments."""

    def __init__(self, plan: contract.Plan):
        self.end = time.monotonic() + plan.timeout_seconds - min(_MARGIN, plan.timeout_seconds / 10)
        self.cache = contract.ENV / ".cache"
        self.cache.mkdir(parents=True, exist_ok=True)
        variables = dict(os.environ)
        # Operators name their index in pip's words as well as in uv's.
        for ours, theirs in (("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("UV_INDEX", "PIP_EXTRA_INDEX_URL")):
            older = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}[ours]
            if variables.get(theirs) and not variables.get(ours) and not variables.get(older):
                variables[ours] = variables[theirs]
        cores = str(plan.cpus)
        variables.update({
            "HOME": str(self.cache), "TMPDIR": str(self.cache), "UV_CACHE_DIR": str(self.cache / "uv"),
            "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1",
            "UV_CONCURRENT_BUILDS": cores, "UV_CONCURRENT_INSTALLS": cores, "UV_CONCURRENT_DOWNLOADS": "8",
            "UV_COMPILE_BYTECODE_TIMEOUT": "300",
        })
        self.variables = variables
        self.python = sys.executable  # the one to resolve for

    def __call__(self, *arguments, folder=None) -> subprocess.CompletedProcess:
        return self.run("uv", *arguments, folder=folder)

    def run(self, program: str, *arguments, folder=None, variables=None) -> subprocess.CompletedProcess:
        """Runs a program of the image within what is left of the tier's time."""
        left = self.end - time.monotonic()
        try:
            done = subprocess.run([program, *map(str, arguments)], cwd=folder or self.cache, env=variables or self.variables,
                                  timeout=max(left, 1), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except FileNotFoundError:
            raise Ended("errored", "machinery", f"the image has no `{program}`") from None
        except subprocess.TimeoutExpired:
            what = " ".join(map(str, (program, *arguments[:2])))
            raise Ended("timed_out", "timed_out", f"`{what}` reached the tier's time limit") from None
        done.stdout = done.stdout.decode("utf-8", "replace")
        done.stderr = text.plain(done.stderr.decode("utf-8", "replace"))
        return done


def check(done: subprocess.CompletedProcess, wanted: Requirements, doing: str):
    """Nothing if uv did what it should; else how the tier ends, whoever's fault it is."""
    said = done.stderr
    if done.returncode == 0:
        return
    if done.returncode in (-9, 137):
        raise Ended("out_of_memory", "out_of_memory", f"{doing}: the resolver was killed for memory", said)
    if "No space left on device" in said or "os error 28" in said:
        raise Ended("out_of_disk", "out_of_disk", f"{doing}: no space left for the environment", said)
    if re.search(r"hash mismatch", said, re.IGNORECASE):
        raise Ended("errored", "hash_mismatch", f"{doing}: a file is not the one that was locked", said)
    if _INDEX_SILENT.search(said):
        raise Ended("errored", "index_unreachable", f"{doing}: the package index did not answer", said)
    if "No solution found" in said:
        raise Ended("failed", "unsolvable", "no versions fit together", said)
    if re.search(r"Failed to build|Build backend|Failed to prepare", said):
        name = re.search(r"Failed to (?:build|prepare) `?([A-Za-z0-9._-]+)", said)
        lines = [line for line in wanted.lines if name and line.name == name[1].split("==")[0].lower()]
        where = f" ({lines[0].place})" if lines else ""
        raise Ended("failed", "build_failed", f"{name[1] if name else 'a package'}{where} cannot be built from source", said)
    if re.search(r"Couldn't parse|Failed to parse|invalid", said, re.IGNORECASE):
        lines = [line for line in wanted.lines if line.line in said]
        where = max(lines, key=lambda line: len(line.line)).place if lines else text.line(said, 160)
        raise Ended("failed", "requirement_refused", f"not a requirement: {where}", said)
    raise Ended("errored", "machinery", f"{doing}: uv ended with code {done.returncode}", said)
