"""Runs pytest, as a process of its own, with a plugin that keeps to one part of a repository's tests and says of each how it
ended. pytest collects and judges; what is extra is decided here and nowhere else.

A test is extra if it stands below a folder `extra`, or has the marker `extra`. All others are the default part.
"""
import json
import os
import re
import sys
from pathlib import Path

# Beside this file are modules whose names the repository may use as well.
del sys.path[0]
JOB = json.loads(sys.argv[1])
try:
    import pytest
except ImportError:
    # Behind the environment's own modules: what its lock says is what is tested.
    sys.path.append(JOB["pytest"])
    try:
        import pytest
    except ImportError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(70)

FOLDER = MARKER = "extra"
# What a repository's own settings may ask for and would hide tests, end the run early, or spread it over processes.
_NEUTRAL = {
    "maxfail": 0, "stepwise": False, "lf": False, "failedfirst": False, "usepdb": False, "trace": False, "looponfail": False,
    "numprocesses": None, "distload": False, "dist": "no", "tx": [], "cov_fail_under": None,
    "continue_on_collection_errors": True, "collectonly": JOB["is_list"],
}
# What keeps extra tests out of the usual run of a repository.
_NEUTRAL_FOR_EXTRA = {"markexpr": "", "keyword": "", "deselect": None}


class Part:
    """The plugin."""

    def __init__(self, root: Path, is_extra: bool, done: set, report: str):
        self.root, self.is_extra, self.done = root, is_extra, done
        self.only = JOB["only"]
        self.pid = os.getpid()
        self.file = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.reports: dict = {}

    def say(self, what: str, name: str, **more):
        """Goes to the file at once, so that it outlives this process. A fork of it has nothing to say."""
        if os.getpid() == self.pid:
            os.write(self.file, json.dumps({"what": what, "name": name, **more}).encode() + b"\n")

    def is_below_extra(self, path) -> bool:
        folders = os.path.relpath(path, self.root).split(os.sep)[:-1]
        return FOLDER in folders

    def is_mine(self, item) -> bool:
        if str(item.path).endswith(".ipynb"):
            return False  # docent runs notebooks itself
        if self.only is not None and item.nodeid not in self.only:
            return False
        is_extra = self.is_below_extra(item.path) or item.get_closest_marker(MARKER) is not None
        return is_extra == self.is_extra

    @pytest.hookimpl(hookwrapper=True)
    def pytest_cmdline_main(self, config):
        neutral = {**_NEUTRAL, **(_NEUTRAL_FOR_EXTRA if self.is_extra else {})}
        for options in (config.option, getattr(config, "known_args_namespace", None)):
            for name, value in neutral.items():
                if hasattr(options, name):
                    setattr(options, name, value)
            if self.is_extra and getattr(options, "ignore_glob", None):
                options.ignore_glob = [glob for glob in options.ignore_glob if FOLDER not in str(glob)]
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config):
        config.addinivalue_line("markers", f"{MARKER}: heavy, runs only with --extra-tests")
        beside = self.root / FOLDER
        # `testpaths` names where the usual tests are; a folder `extra` beside them belongs to them.
        is_by_testpaths = str(getattr(config, "args_source", "")).endswith("TESTPATHS")
        if self.is_extra and is_by_testpaths and beside.is_dir():
            covered = [(self.root / arg).resolve() for arg in config.args]
            if not any(path == beside or path in beside.parents for path in covered):
                config.args.append(str(beside))

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path):
        if collection_path.name == FOLDER and collection_path.is_dir():
            return not self.is_extra  # not even imported in the default part, and not hidden from the other
        return None

    def pytest_collectstart(self, collector):
        self.say("reading", collector.nodeid)

    def pytest_collectreport(self, report):
        if report.outcome != "passed":
            is_mine = self.may_be_mine(report.nodeid)
            self.say("unread", report.nodeid, outcome=report.outcome, is_mine=is_mine, text=str(report.longrepr)[-8000:])

    def may_be_mine(self, nodeid: str) -> bool:
        """What cannot be read may hold tests of this part, unless neither it nor a conftest above it names the marker."""
        path = self.root / nodeid.split("::")[0]
        if self.only is not None and not any(name.split("::")[0] == nodeid.split("::")[0] for name in self.only):
            return False
        if not self.is_extra or self.is_below_extra(path):
            return True
        above = [folder / "conftest.py" for folder in path.parents if folder == self.root or self.root in folder.parents]
        return any(_names_marker(file) for file in [path, path / "conftest.py", *above])

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, config, items):
        yield  # a conftest may add the marker
        mine, others = [], []
        for item in items:
            (mine if self.is_mine(item) else others).append(item)
        if others:
            config.hook.pytest_deselected(items=others)
        for item in mine:
            self.say("collected", item.nodeid)
        items[:] = [item for item in mine if item.nodeid not in self.done]

    def pytest_runtest_logstart(self, nodeid, location):
        self.reports[nodeid] = []
        self.say("begun", nodeid)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        made = yield
        report = made.get_result()
        if report.failed and call.excinfo is not None:
            report.docent_raised = call.excinfo.typename, _text(call.excinfo.value)

    def pytest_runtest_logreport(self, report):
        self.reports.setdefault(report.nodeid, []).append(report)

    def pytest_runtest_logfinish(self, nodeid, location):
        self.say("ended", nodeid, **_ending(self.reports.pop(nodeid, [])))


def _names_marker(file: Path) -> bool:
    try:
        return re.search(rb"\bextra\b", file.read_bytes()) is not None
    except OSError:
        return False


def _ending(reports: list) -> dict:
    """What the reports of one test come to: one failure of any phase is the test's."""
    seconds = sum(report.duration for report in reports)
    failed = next((report for report in reports if report.failed), None)
    if failed:
        name, value = getattr(failed, "docent_raised", ("", ""))
        crash = getattr(failed.longrepr, "reprcrash", None)
        place = f"{crash.path}:{crash.lineno}" if crash else ""
        return {"outcome": "failed", "when": failed.when, "seconds": seconds, "exception": name, "value": value, "place": place,
                "text": str(failed.longrepr)[-8000:], "stderr": failed.capstderr[-4000:]}
    skipped = next((report for report in reports if report.skipped), None)
    if skipped:
        expected = getattr(skipped, "wasxfail", None)
        longrepr = skipped.longrepr
        why = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr or "")
        return {"outcome": "skipped", "seconds": seconds, "text": why if expected is None else f"failed as expected: {expected}"}
    # A test of which no phase is known did not pass.
    outcome = "passed" if any(report.when == "call" and report.passed for report in reports) else "failed"
    return {"outcome": outcome, "when": "call", "seconds": seconds, "exception": "", "value": "", "place": "",
            "text": "" if outcome == "passed" else "it left no result", "stderr": ""}


def _text(value) -> str:
    try:
        return str(value)[:4000]
    except Exception:
        return "(cannot be shown)"


def main() -> int:
    if getattr(pytest, "version_tuple", (0,))[0] < 8:
        print(f"pytest {pytest.__version__} is too old: extra tests need pytest 8 or later", file=sys.stderr, flush=True)
        return 4
    root = Path.cwd()
    part = Part(root, JOB["part"] == "extra", set(JOB["done"]), JOB["report"])
    code = int(pytest.main([f"--rootdir={root}"], plugins=[part]))
    part.say("over", "", code=code)
    return code


if __name__ == "__main__":
    ended = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended)  # threads that a test left behind keep nobody waiting
