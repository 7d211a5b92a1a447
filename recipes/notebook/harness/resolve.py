"""Tier `resolve`: one locked environment for all selected notebooks, from all requirement files together.

The only tier with a network (package indexes), and the only one in which code of packages may run before the
notebooks do: that of source distributions being built. Nothing of the repository is executed.
"""
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time

from docent import contract, text
from docent.requirements import Refused, Requirements
from docent.results import Results, result, write, to_json

NAME = "environment"
NEEDED = ["ipykernel>=6.20", "jupyter-client>=7.4"]  # what the harness itself needs
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
    """The resolver, kept from everything that a repository or a home might tell it."""

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

    def __call__(self, *arguments) -> subprocess.CompletedProcess:
        left = self.end - time.monotonic()
        try:
            done = subprocess.run(["uv", *map(str, arguments)], cwd=self.cache, env=self.variables, timeout=max(left, 1),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except FileNotFoundError:
            raise Ended("errored", "machinery", "the image has no `uv`") from None
        except subprocess.TimeoutExpired:
            raise Ended("timed_out", "timed_out", f"`uv {arguments[0]} {arguments[1]}` reached the tier's time limit") from None
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
    if _INDEX_SILENT.search(said):
        raise Ended("errored", "index_unreachable", f"{doing}: the package index did not answer", said)
    if "No solution found" in said:
        lines = wanted.mentioned(said)
        clash = "; ".join(line.place for line in lines[:8]) or "the lines that docent adds (ipykernel)"
        raise Ended("failed", "unsolvable", f"no versions fit together: {clash}", said)
    if re.search(r"Failed to build|Build backend|Failed to prepare", said):
        name = re.search(r"Failed to (?:build|prepare) `?([A-Za-z0-9._-]+)", said)
        lines = [line for line in wanted.lines if name and line.name == name[1].split("==")[0].lower()]
        where = f" ({lines[0].place})" if lines else ""
        raise Ended("failed", "build_failed", f"{name[1] if name else 'a package'}{where} cannot be built from source", said)
    if re.search(r"Couldn't parse|Failed to parse|invalid", said, re.IGNORECASE):
        lines = [line for line in wanted.lines if line.line in said]
        where = max(lines, key=lambda line: len(line.line)).place if lines else text.line(said, 160)
        raise Ended("failed", "requirement_refused", f"not a requirement: {where}", said)
    if "hash" in said.lower():
        raise Ended("errored", "hash_mismatch", f"{doing}: a file is not the one that was locked", said)
    raise Ended("errored", "machinery", f"{doing}: uv ended with code {done.returncode}", said)


def lock(uv: Uv, wanted: Requirements):
    """Writes the lock file and answers with its path and digest."""
    asked, limits = uv.cache / "asked.in", uv.cache / "constraints.in"
    asked.write_text("\n".join([*NEEDED, *(line.line for line in wanted.lines if not line.is_constraint)]) + "\n", "utf-8")
    limits.write_text("\n".join(line.line for line in wanted.lines if line.is_constraint) + "\n", "utf-8")
    path = contract.OUT / "artifacts" / "requirements.lock"
    previews = ["--prerelease", "allow"] if wanted.allows_previews else []
    done = uv("pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate", "--python", sys.executable,
              *previews, "--constraint", limits, "--output-file", uv.cache / "lock", asked)
    check(done, wanted, "resolving")
    head = f"# Python {platform.python_version()} {sys.platform} {platform.machine()}\n"
    content = head.encode() + (uv.cache / "lock").read_bytes()
    write(path, content)
    return path, hashlib.sha256(content).hexdigest()


def install(uv: Uv, path, wanted: Requirements) -> dict:
    """Makes the environment from the lock and answers with what is in it."""
    shutil.rmtree(contract.VENV, ignore_errors=True)
    check(uv("venv", "--quiet", "--python", sys.executable, contract.VENV), wanted, "making the environment")
    python = contract.VENV / "bin" / "python"
    done = uv("pip", "install", "--quiet", "--python", python, "--require-hashes", "--no-deps", "--compile-bytecode",
              "-r", path)
    check(done, wanted, "installing")
    done = uv("pip", "list", "--quiet", "--format", "json", "--python", python)
    check(done, wanted, "listing")
    return {package["name"]: package["version"] for package in json.loads(done.stdout)}


def main() -> int:
    plan = contract.read_plan()
    results = Results(plan.tier)
    begun = time.monotonic()
    try:
        uv = Uv(plan)
        try:
            wanted = Requirements(contract.REPO, plan.requirements)
        except Refused as refused:
            raise Ended("failed", "requirement_refused", str(refused)) from None
        files = f"{len(plan.requirements)} requirement files" if plan.requirements else "no requirement file"
        print(f"resolving {files}, {len(wanted.lines)} lines", flush=True)
        path, digest = lock(uv, wanted)
        print(f"locked, sha256 {digest}", flush=True)
        packages = install(uv, path, wanted)
        results.environment = {"lock_digest": digest, "python": platform.python_version(), "packages": packages}
        write(contract.ENVIRONMENT, to_json(results.environment))
        message = f"{len(packages)} packages installed"
        results.add(result(NAME, "passed", "passed", message, seconds=time.monotonic() - begun))
        print(message, flush=True)
    except Ended as ended:
        shutil.rmtree(contract.VENV, ignore_errors=True)
        print(f"{ended.outcome}: {ended.message}\n{ended.said}", flush=True)
        results.add(result(NAME, ended.outcome, ended.kind, ended.message, stderr=ended.said,
                           seconds=time.monotonic() - begun))
    except OSError as error:
        full = error.errno == 28
        kind = ("out_of_disk", "out_of_disk") if full else ("errored", "machinery")
        results.add(result(NAME, *kind, f"the environment cannot be made: {error}", seconds=time.monotonic() - begun))
    finally:
        shutil.rmtree(contract.ENV / ".cache", ignore_errors=True)
    return results.exit_code()


if __name__ == "__main__":
    raise SystemExit(main())
