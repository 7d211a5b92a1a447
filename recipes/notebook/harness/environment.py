"""Tier `environment`: installs what the lock says, and nothing else, with hashes checked and bytecode compiled.

An environment that is complete is left as it is. What makes it complete is a note that is written last.
"""
import json
import platform
import shutil
import sys

from docent import contract, gate, locks, mamba
from docent.requirements import Requirements
from docent.results import Results, to_json, write
from docent.uv import Ended, Uv, check


def identity(lock: locks.Lock) -> dict:
    """All of that must be the same for an environment to be used again."""
    return {"lock_digest": lock.digest, "python": platform.python_version(), "machine": platform.machine(),
            "place": str(contract.VENV)}


def begin(plan: contract.Plan, lock: locks.Lock, uv: Uv, wanted: Requirements) -> dict:
    """Makes an environment with a Python and what conda channels bring, and answers with what packages of these tell whoever uses
    it."""
    if not lock.of_channels:
        check(uv("venv", "--quiet", "--python", sys.executable, contract.VENV), wanted, "making the environment")
        return {}
    channels = mamba.Mamba(plan, uv)
    channels.make(lock.of_channels, contract.VENV)
    return channels.told(contract.VENV)


def install(plan: contract.Plan, lock: locks.Lock) -> tuple:
    """Makes the environment and answers with what is in it, and with its variables."""
    contract.ENVIRONMENT.unlink(missing_ok=True)
    shutil.rmtree(contract.VENV, ignore_errors=True)
    uv, wanted = Uv(plan), Requirements.of_plan(plan)
    variables = begin(plan, lock, uv, wanted)
    python = contract.VENV / "bin" / "python"
    for lines, more in ((lock.hashed, ["--require-hashes"]), (lock.commits, [])):
        if lines:
            path = uv.cache / "to_install"
            path.write_text("\n".join(lines) + "\n", "utf-8")
            done = uv("pip", "install", "--quiet", "--python", python, "--no-deps", "--compile-bytecode", *more, "-r", path)
            check(done, wanted, "installing")
    done = uv("pip", "list", "--quiet", "--format", "json", "--python", python)
    check(done, wanted, "listing")
    listed = {package["name"]: package["version"] for package in json.loads(done.stdout)}
    of_channels, named = mamba.versions(lock.of_channels), mamba.names(plan)
    for name, version in sorted(listed.items()):
        if name in named and of_channels.get(name, version) != version:
            raise Ended("failed", "unsolvable", f"the spec wants {name} of a conda channel, which is {of_channels[name]}, and "
                        f"requirement lines bring {version}: leave it to one of them")
    return {**mamba.versions(lock.of_channels), **listed}, variables


def build(plan: contract.Plan, results: Results) -> str:
    cannot = gate.unverified(plan)
    if cannot:
        raise Ended("errored", cannot[0], cannot[1])
    lock = locks.read(locks.handed())
    if gate.wants_mamba(plan) and not lock.of_channels:
        raise Ended("errored", "machinery", "the lock has no packages of conda channels, which the spec asks for")
    known = contract.environment()
    if known and {**known, **identity(lock)} == known and (contract.VENV / "bin" / "python").exists():
        results.environment = known
        return f"already built: {len(known.get('packages') or {})} packages, {known.get('bytes', 0) >> 20} MiB"
    try:
        packages, variables = install(plan, lock)
    except BaseException:
        shutil.rmtree(contract.VENV, ignore_errors=True)
        raise
    results.environment = {**identity(lock), "packages": packages, "bytes": gate.size(contract.VENV)}
    if variables:
        results.environment["variables"] = variables
    write(contract.ENVIRONMENT, to_json(results.environment))
    return f"{len(packages)} packages installed, {results.environment['bytes'] >> 20} MiB"


def main() -> int:
    plan = contract.read_plan()
    results = Results(plan.tier)
    try:
        return gate.run(results, plan, lambda: build(plan, results))
    finally:
        shutil.rmtree(contract.ENV / ".cache", ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
