"""Tier `extra`, opt-in: the notebooks that are marked as extra, and the extra part of the repository's pytest tests, in the
environment that the other tiers used. With a word (`extra` or `default`) it lists that part of the tests and runs nothing."""
import sys
import time

from docent import contract


def main() -> int:
    from docent import suite

    plan = contract.read_plan()
    suite.note_pytest()
    wanted = plan.tests is None or plan.tests
    roots = [root for root in suite.roots(plan) if wanted and suite.has_tests(contract.REPO / root)]
    if not plan.extra_notebooks and not roots:
        print("no notebook is marked as extra, and there is no test for pytest")
        return contract.SKIPPED
    contract.use_environment()
    from docent.engine import Engine
    from docent.results import Results

    end = time.monotonic() + plan.timeout_seconds - min(10.0, plan.timeout_seconds / 10)
    results = Results(plan.tier, plan.extra_notebooks, contract.environment())
    if len(sys.argv) > 1:
        for root in roots:
            print("\n".join(suite.Suite(plan, root, sys.argv[1], results, end).list()))
        return contract.FAILED if results.exit_code() == contract.FAILED else contract.PASSED
    ended = Engine(plan, plan.extra_notebooks, results).run() if plan.extra_notebooks else contract.PASSED
    for root in roots:
        suite.Suite(plan, root, "extra", results, end).run()
    return contract.FAILED if ended == contract.FAILED else results.exit_code()


if __name__ == "__main__":
    raise SystemExit(main())
