"""Tier `notebooks`: executes the planned notebooks in the run's environment."""
from docent import contract


def main() -> int:
    plan = contract.read_plan()
    if not plan.notebooks:
        print("no notebooks were selected")
        return contract.SKIPPED
    contract.use_environment()
    from docent.engine import Engine

    return Engine(plan, plan.notebooks).run()


if __name__ == "__main__":
    raise SystemExit(main())
