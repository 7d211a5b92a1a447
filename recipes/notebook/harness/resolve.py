"""Tier `resolve`: which versions fit together, for all selected notebooks and all requirement files at once.

It writes the lock and nothing else. With `environment` one of two tiers with a network (package indexes), in which code
of packages may run before the notebooks do: that of source distributions being built. Nothing of the repository is executed.
"""
from docent import contract, gate, locks, mamba, text
from docent.conflict import Search
from docent.requirements import Requirements
from docent.results import Results, to_json, write
from docent.uv import Ended, Uv

_ARTIFACTS = contract.OUT / "artifacts"


def resolution(plan: contract.Plan, wanted: Requirements, lock: locks.Lock, python: str) -> dict:
    """What was asked for and what came of it."""
    selections = dict(plan.curation.requirements)
    files: dict = {name: [] for name in selections or plan.requirements}
    for line in [*wanted.lines, *wanted.overrides]:
        files.setdefault(line.file, []).append(line.line)
    return {
        "python": python,
        "lock_digest": lock.digest,
        "packages": lock.packages,
        "files": [{"path": name, "selections": selections.get(name, []), "lines": sorted(lines)} for name, lines in files.items()],
    }


def of_channels(plan: contract.Plan, uv: Uv) -> list:
    """What the spec takes from conda channels. From then on it is resolved for the Python among it."""
    if not gate.wants_mamba(plan):
        return []
    channels = ", ".join(text.line(name, 80) for name in plan.curation.mamba_channels)
    print(f"solving {len(plan.curation.mamba_packages)} lines of conda packages with micromamba, from {channels}", flush=True)
    made = mamba.Mamba(plan, uv).solve()
    uv.python = made / "bin" / "python"
    return mamba.packages_of(made)


def resolved(plan: contract.Plan, uv: Uv, wanted: Requirements, python: str, channels: list):
    """The lock as it comes out now."""
    files = len(plan.curation.requirements if plan.curation.is_given else plan.requirements)
    before = locks.before(plan)
    sticky = f", keeping to {len(locks.pins(before))} versions of the lock before" if before else ""
    print(f"resolving {files} requirement files, {len(wanted.lines)} lines, for Python {python}{sticky}", flush=True)
    try:
        return locks.lock(uv, wanted, python, before, channels)
    except Ended as ended:
        if ended.kind != "unsolvable":
            raise
        print("no solution: looking for the lines that clash", flush=True)
        conflict = Search(uv, wanted, python).run(ended.said)
        write(_ARTIFACTS / "conflict.json", to_json(conflict.document(ended.said), indent=1))
        raise Ended(ended.outcome, ended.kind, conflict.message, ended.said) from None


def resolve(plan: contract.Plan, results: Results) -> str:
    uv = Uv(plan)
    wanted = Requirements.of_plan(plan)
    python = gate.python_of(plan)
    if locks.GIVEN.exists():
        print("taking the lock of the run that is repeated", flush=True)
        lock, annotated = locks.given()
        python = mamba.python_of(lock.of_channels) or python
    else:
        channels = of_channels(plan, uv)
        python = mamba.python_of(channels) or python
        lock, annotated = resolved(plan, uv, wanted, python, channels)
    locks.keep(lock, _ARTIFACTS / "requirements.lock")
    write(_ARTIFACTS / "pip_compiler_output.txt", annotated.encode())
    write(_ARTIFACTS / "resolution.json", to_json(resolution(plan, wanted, lock, python), indent=1))
    locks.keep(lock, contract.LOCK)
    results.environment = {"lock_digest": lock.digest, "python": python, "packages": lock.packages}
    print(f"locked, sha256 {lock.digest}", flush=True)
    return f"{len(lock.packages)} packages locked"


def main() -> int:
    plan = contract.read_plan()
    contract.LOCK.unlink(missing_ok=True)  # of an earlier attempt
    results = Results(plan.tier)
    return gate.run(results, plan, lambda: resolve(plan, results))


if __name__ == "__main__":
    raise SystemExit(main())
