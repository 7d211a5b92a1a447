"""What only conda channels have, and Pythons other than the image's: made with micromamba where the image has it.

The lock names every package of a channel by its address and checksum, in a line that pip's readers take for a remark. From
such lines the environment is made again without any solving.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple, Optional

from . import contract, text
from .uv import Ended, Uv

_LOCKED = re.compile(r"# conda (?P<platform>[a-z0-9-]+) (?P<url>(?:https?|file)://[^\s#]+)#(?P<md5>[0-9a-f]{32}) sha256=(?P<sha256>[0-9a-f]{64})")
# micromamba solves only with channels that it has read: what it says of solving is its last word.
_UNSOLVABLE = re.compile(r"could not solve for environment specs|nothing provides|does not exist \(perhaps a typo|packages are incompatible",
                         re.IGNORECASE)
_ANOTHER_FILE = re.compile(r"(?:md5|sha256)[^\n]*(?:match|mismatch)|incorrect downloads|has not the checksum", re.IGNORECASE)
_NO_CHANNEL = re.compile(r"status:? \(?404|status code:? 404", re.IGNORECASE)
_NOT_A_LINE = re.compile(r"error parsing matchspec|invalid (?:version|matchspec)", re.IGNORECASE)
_SILENT = re.compile(
    r"download error|could not (?:resolve|connect)|failed to (?:connect|download)|connection (?:refused|reset|timed)|timed? ?out|"
    r"multiple errors occur+ed|(?:ssl|certificate) (?:problem|verif|error)|status:? \(?(?:403|407|429|5\d\d)|curl error|"
    r"network is unreachable|subdir \S+ not loaded",
    re.IGNORECASE,
)
# What a shell has anyway, or what leads to a folder that is docent's to choose.
_NOT_OF_PACKAGES = {"PATH", "PWD", "OLDPWD", "SHLVL", "_", "PS1", "HOME", "TMPDIR", "CONDA_PROMPT_MODIFIER", "MAMBA_ROOT_PREFIX"}


class Package(NamedTuple):
    """A package of a channel, as a lock names it."""

    platform: str
    url: str
    md5: str
    sha256: str

    @classmethod
    def of(cls, line: str) -> Optional["Package"]:
        """The package of a lock's line; none where the line is another remark."""
        if not line.startswith("# conda "):
            return None
        match = _LOCKED.fullmatch(line)
        if not match:
            raise ValueError(f"no package of a channel: {text.line(line, 120)}")
        return cls(**match.groupdict())

    @property
    def line(self) -> str:
        return f"# conda {self.platform} {self.url}#{self.md5} sha256={self.sha256}"


def is_here() -> bool:
    """Whether the image has micromamba."""
    return shutil.which("micromamba") is not None


class Mamba:
    """micromamba, kept from everything that a repository or a home might tell it."""

    def __init__(self, plan: contract.Plan, uv: Uv):
        self.plan, self.uv = plan, uv
        self.root = uv.cache / "mamba"
        self.variables = {**uv.variables, "MAMBA_ROOT_PREFIX": str(self.root), "CONDA_PKGS_DIRS": str(self.root / "pkgs"),
                          "MAMBA_NO_BANNER": "1", "CONDARC": os.devnull}
        # micromamba knows the alias by one of its two names.
        alias = self.variables.get("CONDA_CHANNEL_ALIAS")
        if alias:
            self.variables.setdefault("MAMBA_CHANNEL_ALIAS", alias)

    def solve(self) -> Path:
        """Makes an environment of what the spec asks for and answers with its folder. It is only there to be looked at: it says
        what was chosen, and its Python is the one to resolve for."""
        made = self.root / "solved"
        shutil.rmtree(made, ignore_errors=True)
        self._check(self._create(made, self._asked()), "making the environment of the channels' packages")
        if not (made / "bin" / "python").exists():
            raise Ended("failed", "requirement_refused", "the spec's packages of conda channels bring no Python")
        return made

    def make(self, packages: list, place: Path):
        """Makes the environment that a lock names."""
        here = {package.platform for package in packages} - {"noarch", platform()}
        if here:
            raise Ended("errored", "machinery", f"the lock is for {', '.join(sorted(here))}, this is {platform()}")
        asked = self.root / "explicit.txt"
        asked.parent.mkdir(parents=True, exist_ok=True)
        asked.write_text("@EXPLICIT\n" + "".join(f"{package.url}#{package.md5}\n" for package in packages), "utf-8")
        self._check(self._create(place, asked), "installing the channels' packages")
        made, wanted = {record.get("url"): record for record in _records(place).values()}, {it.url: it for it in packages}
        for url in sorted(map(str, made.keys() | wanted.keys())):
            record, package = made.get(url), wanted.get(url)
            # Some versions of micromamba note no SHA-256 of what they installed by address; what they fetched they compared by MD5.
            is_it = record and package and all(record.get(name) in (None, "", getattr(package, name)) for name in ("sha256", "md5"))
            if not is_it:
                raise Ended("errored", "hash_mismatch", f"installing: {text.line(url, 200)} is not the package that was locked")

    def told(self, place: Path) -> dict:
        """Variables that packages set for whoever uses the environment (where a library's data are, say)."""
        ask = "import json, os; print(json.dumps(dict(os.environ)))"
        done = self.uv.run("micromamba", "run", "--prefix", place, place / "bin" / "python", "-c", ask, variables=self.variables)
        self._check(done, "activating the environment")
        try:
            told = json.loads(done.stdout.strip().splitlines()[-1])
        except (ValueError, IndexError):
            raise Ended("errored", "machinery", "activating the environment: it does not say its variables", done.stdout) from None
        return {name: value for name, value in told.items()
                if value != self.variables.get(name) and name not in _NOT_OF_PACKAGES and not name.startswith("BASH_FUNC")
                # The home of this tier is gone with it.
                and str(self.uv.cache) not in value}

    def _asked(self) -> Path:
        """The file of what is wanted, in JSON, which is YAML as well."""
        curation = self.plan.curation
        lines = [str(item["line"]) for item in curation.mamba_packages]
        if curation.python_version:
            lines.insert(0, f"python={curation.python_version}")
        elif not any(re.match(r"(?:[\w.-]+::)?python(?![\w-])", line.strip()) for line in lines):
            lines.insert(0, "python")
        asked = self.root / "asked.yml"
        asked.parent.mkdir(parents=True, exist_ok=True)
        asked.write_text(json.dumps({"name": "docent", "channels": curation.mamba_channels, "dependencies": lines}), "utf-8")
        return asked

    def _create(self, place: Path, asked: Path):
        return self.uv.run("micromamba", "create", "--yes", "--quiet", "--no-rc", "--prefix", place, "--file", asked,
                           variables=self.variables)

    def _check(self, done, doing: str):
        said = "\n".join(part for part in (text.plain(done.stdout), done.stderr) if part.strip())
        if done.returncode == 0:
            return
        if done.returncode in (-9, 137):
            raise Ended("out_of_memory", "out_of_memory", f"{doing}: micromamba was killed for memory", said)
        if "No space left on device" in said:
            raise Ended("out_of_disk", "out_of_disk", f"{doing}: no space left for the environment", said)
        if _UNSOLVABLE.search(said):
            raise Ended("failed", "unsolvable", self._blame(said), said)
        if _NOT_A_LINE.search(said):
            raise Ended("failed", "requirement_refused", f"not a conda package: {text.line(said.strip().splitlines()[-1], 160)}", said)
        if _ANOTHER_FILE.search(said):
            raise Ended("errored", "hash_mismatch", f"{doing}: a file is not the one that was locked", said)
        if _NO_CHANNEL.search(said):
            channels = ", ".join(text.line(name, 80) for name in self.plan.curation.mamba_channels)
            raise Ended("errored", "index_unreachable", f"{doing}: a channel or package is not there ({channels})", said)
        if _SILENT.search(said):
            raise Ended("errored", "index_unreachable", f"{doing}: a channel did not answer", said)
        raise Ended("errored", "machinery", f"{doing}: micromamba ended with code {done.returncode}", said)

    def _blame(self, said: str) -> str:
        named = []
        for item in self.plan.curation.mamba_packages:
            name = _name(item)
            if name and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", said):
                named.append(f"{text.line(str(item.get('place') or item.get('list')), 80)}: {text.line(str(item['line']), 80)}")
        return "the channels' packages do not fit together" + (f": {'; '.join(named[:10])}" if named else "")


def packages_of(place: Path) -> list:
    """What is in an environment, those first that others need."""
    records = _records(place)
    ordered: dict = {}

    def add(name: str, above: tuple):
        if name in records and name not in ordered and name not in above:
            for needed in records[name].get("depends") or []:
                add(str(needed).split(" ")[0], (*above, name))
            ordered[name] = records[name]

    for name in ["python", *sorted(records)]:
        add(name, ())
    return [_package(record) for record in ordered.values()]


def _records(place: Path) -> dict:
    """What micromamba notes of each package that it has installed, by name."""
    records: dict = {}
    for path in sorted((place / "conda-meta").glob("*.json")):
        try:
            record = json.loads(path.read_text("utf-8"))
            records[str(record["name"])] = record
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Ended("errored", "machinery", f"{path.name} in the environment cannot be read: {error!r}") from None
    return records


def _package(record: dict) -> Package:
    try:
        made = Package(str(record["subdir"]), str(record["url"]), str(record["md5"]), str(record["sha256"]))
        again = Package.of(made.line)
    except (KeyError, ValueError) as error:
        raise Ended("errored", "machinery", f"a package of the environment says too little of itself: {error!r}") from None
    assert again == made
    return made


def versions(packages: list) -> dict:
    """Names and versions, as addresses name them: `name-version-build.conda`."""
    parts = [package.url.rsplit("/", 1)[1].rsplit("-", 2) for package in packages]
    return {name: version for name, version, _ in (part for part in parts if len(part) == 3)}


def _name(item: dict) -> str:
    return re.split(r"[\s<>=!~\[]", str(item["line"]).split("::")[-1].strip(), maxsplit=1)[0]


def names(plan: contract.Plan) -> set:
    """Packages of channels that the spec itself names."""
    return {_name(item).lower() for item in plan.curation.mamba_packages}


def python_of(packages: list) -> str:
    """The Python among them, as resolvers name it; empty where there is none."""
    return ".".join(versions(packages).get("python", "").split(".")[:2])


def platform() -> str:
    """What conda calls this machine."""
    machine = os.uname().machine
    return {"linux": "linux", "darwin": "osx"}.get(sys.platform, sys.platform) + "-" + {"x86_64": "64", "arm64": "arm64"}.get(machine, machine)
