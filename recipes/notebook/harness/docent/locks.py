"""The lock: every version with the hashes of its files, the same on each machine for the same resolution."""
from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from . import contract, mamba
from .requirements import Requirements, normal
from .uv import Ended, Uv, check

NEEDED = ["ipykernel>=6.20", "jupyter-client>=7.4"]  # what the harness itself needs
NEEDED_BY = "docent"
_LOCKED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*(?:==\s*([^\s;\\]+)|@\s*((?:git\+)?https://\S+))(?:\s*;[^\\]*)?\s*(\\?)")
_HASH = re.compile(r"\s+--hash=sha(?:256|384|512):[0-9a-f]+( \\)?")
_MOST_BYTES = 16 << 20
# uv takes files of these names and kinds for something else than requirements.
_NOT_BY_NAME = (".toml", ".py", ".cfg", ".lock")


class Lock:
    """A lock's text."""

    def __init__(self, content: bytes):
        self.content = content
        self.digest = hashlib.sha256(content).hexdigest()
        self.hashed: list = []
        self.commits: list = []  # sources at a commit: that is their hash
        self.of_channels: list = []  # packages of conda channels
        self.packages: dict = {}
        self._read(content.decode("utf-8"))

    def _read(self, said: str):
        goes_on = False
        for number, line in enumerate(said.splitlines(), 1):
            of_channel = mamba.Package.of(line)
            if of_channel:
                self.of_channels.append(of_channel)
            if not line.strip() or line.startswith("#"):
                continue
            if goes_on:
                match = _HASH.fullmatch(line)
                if not match:
                    raise ValueError(f"line {number} is no hash")
                self.hashed.append(line)
                goes_on = bool(match[1])
                continue
            match = _LOCKED.fullmatch(line)
            if not match:
                raise ValueError(f"line {number} locks no version")
            name, version, address, goes_on = normal(match[1]), match[2], match[3], bool(match[4])
            known = self.packages.get(name)
            said_version = version or address
            # One package at several versions, each for another platform or Python.
            self.packages[name] = f"{known}, {said_version}" if known else said_version
            if address and address.startswith("git+https://") and re.search(r"@[0-9a-f]{40}(#|$)", address):
                self.commits.append(line)
            elif goes_on:
                self.hashed.append(line)
            else:
                raise ValueError(f"line {number} has no hash")
        if goes_on:
            raise ValueError("it ends in the middle")
        self.packages = {**mamba.versions(self.of_channels), **self.packages}


def read(path: Path) -> Lock:
    """Reads a lock; an end of the tier where it is none."""
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ValueError(f"larger than {_MOST_BYTES >> 20} MiB")
        return Lock(content)
    except (OSError, ValueError) as error:
        raise Ended("errored", "machinery", f"the lock cannot be used: {error}") from None


class Question:
    """Requirement lines as files below one folder, under the names that they have in the repository, so that the
    resolver's remarks on who wants what name them."""

    def __init__(self, folder: Path, lines: list, overrides: list, with_needed: bool = True):
        self.folder = folder
        files: dict = {}
        if with_needed:
            files[(NEEDED_BY, False)] = list(NEEDED)
        for line in lines:
            files.setdefault((_as_named(line.file), line.is_constraint), []).append(line.line)
        self.asked, self.limits = [], []
        for (name, is_constraint), said in files.items():
            if is_constraint and (name, False) in files:
                name += ".constraints"
            self._put(name, said)
            (self.limits if is_constraint else self.asked).append(name)
        self.overrides = []
        if overrides:
            self._put("override_pip_versions", [line.line for line in overrides])
            self.overrides = ["--overrides=override_pip_versions"]

    def _put(self, name: str, lines: list):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", "utf-8")

    @property
    def arguments(self) -> list:
        return [*(f"--constraint={name}" for name in self.limits), *self.overrides, "--", *self.asked]


def _as_named(file: str) -> str:
    name = os.path.normpath(file)
    return f"{name}.txt" if name.endswith(_NOT_BY_NAME) or name.startswith("-") else name


def compile_(uv: Uv, question: Question, wanted: Requirements, python: str, *more):
    """Has uv resolve, for every platform."""
    return uv("pip", "compile", "--quiet", "--universal", "--no-header", "--python", uv.python, "--python-version", python,
              *(["--prerelease", "allow"] if wanted.allows_previews else []), *more, *question.arguments, folder=question.folder)


def lock(uv: Uv, wanted: Requirements, python: str, before: str = "", of_channels=()):
    """Resolves; answers with the lock and the resolver's annotated text. What `before` pins stays where it fits."""
    question = Question(uv.cache / "asked", wanted.lines, wanted.overrides)
    made = uv.cache / "lock"
    # uv prefers what it finds in the file that it is to write: an earlier attempt's has no say.
    made.unlink(missing_ok=True)
    if before:
        made.write_text("".join(f"{pin}\n" for pin in pins(before)), "utf-8")
    check(compile_(uv, question, wanted, python, "--generate-hashes", "--annotate", "--output-file", made), wanted, "resolving")
    annotated = made.read_text("utf-8")
    # Remarks name files of the repository and would change the digest of an unchanged environment.
    lines = [line for line in annotated.splitlines() if not line.lstrip().startswith("#")]
    try:
        head = [f"# Python {python}", *(package.line for package in of_channels)]
        return Lock(("\n".join([*head, *lines]) + "\n").encode()), bare(annotated)
    except ValueError as error:
        raise Ended("errored", "machinery", f"the resolver's lock cannot be used: {error}") from None


def bare(locked: str) -> str:
    """A lock without its hashes."""
    return "".join(re.sub(r" \\$", "", line) + "\n" for line in locked.splitlines() if not line.startswith("    --hash="))


def pins(locked: str) -> list:
    """The versions in a lock of whatever form. Nothing else of it: whoever wrote it may have put options into it."""
    lines = [re.sub(r"\s*\\$", "", line) for line in locked.splitlines()]
    found = [(line, _LOCKED.fullmatch(line)) for line in lines]
    return [line for line, match in found if match and match[2]]


def keep(lock_: Lock, path: Path):
    """Writes a lock to where another tier finds it."""
    from .results import write

    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, lock_.content)


GIVEN = contract.IN / "requirements.lock"  # what docent knows already


def handed() -> Path:
    """Where the lock for an environment is: as docent hands it in, else as `resolve` left it."""
    return GIVEN if GIVEN.exists() else contract.LOCK


def given():
    """The lock of the run that is repeated, and the resolver's text on it."""
    lock_ = read(GIVEN)
    return lock_, _said("pip_compiler_output.txt") or bare(lock_.content.decode())


def before(plan: contract.Plan) -> str:
    """The lock that a sticky resolution begins with; none where it is fresh."""
    chosen = plan.settings.get("resolution", "fresh")
    if chosen not in ("fresh", "sticky"):
        contract.stop(f'the setting resolution = {chosen!r} is none: write "fresh" or "sticky"')
    return _said("previous.lock") if chosen == "sticky" else ""


def _said(name: str) -> str:
    try:
        with open(contract.IN / name, "rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
