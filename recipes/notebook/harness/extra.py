"""Tier `extra`, opt-in: executes the notebooks that are marked as extra, in the same environment and the same way."""
from docent import contract


def main() -> int:
    plan = contract.read_plan()
    if not plan.extra_notebooks:
        print("no notebook is marked as extra")
        return contract.SKIPPED
    contract.use_environment()
    from docent.engine import Engine

    return Engine(plan, plan.extra_notebooks).run()


if __name__ == "__main__":
    raise SystemExit(main())
