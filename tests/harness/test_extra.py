"""The tier `extra`: which pytest tests are extra, and what becomes of them. pytest itself, asked without docent, is the judge
of what there is."""
import os
import shutil
import subprocess
import sys
import unittest

from support import Bench, book, environment

MARKED = "import pytest\n\n@pytest.mark.extra\ndef test_marked(): pass\n\ndef test_plain(): pass\n"
PLAIN = "def test_one(): pass\n\ndef test_two(): pass\n"

# Layouts of test trees: files, and the folders whose tests are extra whatever their markers.
LAYOUTS = {
    "flat, in one folder": ({"test_a.py": PLAIN, "extra/test_b.py": PLAIN}, ["extra"]),
    "extra below tests": ({"tests/test_a.py": PLAIN, "tests/extra/test_b.py": PLAIN, "tests/extra/deep/er/test_c.py": PLAIN}, ["tests/extra"]),
    "extra in several packages": ({
        "a/tests/test_a.py": PLAIN, "a/tests/extra/test_heavy_a.py": PLAIN, "b/tests/test_b.py": PLAIN, "b/tests/extra/test_heavy_b.py": PLAIN,
    }, ["a/tests/extra", "b/tests/extra"]),
    "a marker on functions": ({"tests/test_a.py": MARKED}, []),
    "a marker on a module": ({"tests/test_a.py": "import pytest\npytestmark = pytest.mark.extra\n\n" + PLAIN, "tests/test_b.py": PLAIN}, []),
    "a marker on a class and on a method": ({"tests/test_a.py": (
        "import pytest\n\n@pytest.mark.extra\nclass TestAll:\n    def test_a(self): pass\n    def test_b(self): pass\n\n"
        "class TestSome:\n    @pytest.mark.extra\n    def test_a(self): pass\n    def test_b(self): pass\n")}, []),
    "a marker on parameters": ({"tests/test_a.py": (
        "import pytest\n\n@pytest.mark.parametrize('size', [1, 10, pytest.param(1000, marks=pytest.mark.extra), 'a::b [c]'])\n"
        "def test_size(size): pass\n")}, []),
    "a marker that a conftest adds": ({
        "tests/conftest.py": ("import pytest\n\ndef pytest_collection_modifyitems(items):\n    for item in items:\n"
                              "        if 'heavy' in item.name:\n            item.add_marker(pytest.mark.extra)\n"),
        "tests/test_a.py": "def test_heavy(): pass\n\ndef test_light(): pass\n",
    }, []),
    "a folder and a marker at once": ({"tests/extra/test_a.py": MARKED, "tests/test_b.py": MARKED}, ["tests/extra"]),
    "a src layout with its own settings": ({
        "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['src']\ntestpaths = ['tests']\naddopts = '--strict-markers -ra'\n",
        "src/pack/__init__.py": "", "tests/test_a.py": "import pack\n\n" + MARKED, "tests/extra/test_b.py": "import pack\n\n" + PLAIN,
    }, ["tests/extra"]),
    "one name in several folders": ({
        "pytest.ini": "[pytest]\naddopts = --import-mode=importlib\n",
        "tests/test_same.py": PLAIN, "tests/extra/test_same.py": PLAIN, "tests/b/test_same.py": MARKED,
    }, ["tests/extra"]),
    "one name in several packages": ({
        "tests/__init__.py": "", "tests/test_same.py": PLAIN, "tests/extra/__init__.py": "", "tests/extra/test_same.py": PLAIN,
    }, ["tests/extra"]),
    "unittest": ({
        "tests/test_a.py": ("import unittest\nimport pytest\n\n@pytest.mark.extra\nclass Heavy(unittest.TestCase):\n    def test_a(self): pass\n\n"
                            "class Light(unittest.TestCase):\n    def test_a(self): pass\n"),
    }, []),
    "names of its own": ({
        "tox.ini": "[pytest]\npython_files = check_*.py\npython_functions = check_*\n",
        "checks/check_a.py": "def check_a(): pass\n", "checks/extra/check_b.py": "def check_b(): pass\n", "checks/test_no.py": PLAIN,
    }, ["checks/extra"]),
    "doctests": ({
        "setup.cfg": "[tool:pytest]\naddopts = --doctest-modules\n",
        "pack/a.py": 'def f():\n    """\n    >>> 1\n    1\n    """\n', "pack/extra/b.py": 'def f():\n    """\n    >>> 1\n    1\n    """\n',
    }, ["pack/extra"]),
    "a folder that is only called nearly so": ({"tests/extras/test_a.py": PLAIN, "extra_test.py": PLAIN, "tests/extra.d/test_b.py": PLAIN}, []),
    "no test at all": ({"conftest.py": "", "README.md": "extra"}, []),
}

# Settings that keep extra tests out of a repository's usual run; asked for, they are there.
HIDING = {
    "a marker expression": "-m 'not extra'",
    "an ignored folder": "--ignore=tests/extra --ignore-glob='*/extra/*'",
    "a keyword": "-k 'not heavy'",
    "a deselection": "--deselect=tests/extra/test_heavy.py",
    "the end at the first failure": "-x --maxfail=1 --stepwise",
    "no more than a list": "--collect-only -q",
}


def pytest_lists(bench, *arguments):
    """What pytest alone collects."""
    program = ["-c", "import sys; sys.path.append(sys.argv.pop(1)); import pytest; sys.exit(pytest.main())", os.environ["DOCENT_PYTEST"]]
    python = os.path.join(environment(), "venv", "bin", "python")
    done = subprocess.run([python, *program, "--collect-only", "-q", "-p", "no:cacheprovider", "--rootdir=.", "-o", "markers=extra", *arguments],
                          cwd=bench.repo, capture_output=True, text=True)
    assert done.returncode in (0, 5), done.stdout + done.stderr
    return {line for line in done.stdout.splitlines() if "::" in line}


class Collecting(unittest.TestCase):
    def setUp(self):
        environment()

    def lists(self, bench, part):
        bench.plan(tier="extra", extra=True)
        code, said = bench.run_with("extra", part)
        self.assertEqual(code, 0, said)
        names = [line for line in said.splitlines() if "::" in line]
        self.assertEqual(len(names), len(set(names)), "one stands there twice")
        return set(names)

    def test_docent_finds_what_pytest_finds_and_no_test_stands_in_both_parts(self):
        self.assertGreaterEqual(len(LAYOUTS), 12)
        for name, (files, folders) in LAYOUTS.items():
            with self.subTest(name):
                bench = Bench(environment())
                self.addCleanup(bench.remove)
                for path, content in files.items():
                    bench.put(path, content)
                everything = pytest_lists(bench)
                expected = pytest_lists(bench, "-m", "extra").union(*(pytest_lists(bench, folder) for folder in folders))
                extra, default = self.lists(bench, "extra"), self.lists(bench, "default")
                self.assertEqual(extra, expected)
                self.assertEqual(default, everything - expected)
                self.assertFalse(extra & default)

    def test_settings_that_hide_extra_tests_do_not_hide_them_when_asked_for(self):
        for name, options in HIDING.items():
            with self.subTest(name):
                bench = Bench(environment())
                self.addCleanup(bench.remove)
                bench.put("pytest.ini", f"[pytest]\naddopts = {options}\nnorecursedirs = extra .*\n")
                bench.put("tests/conftest.py", "collect_ignore = ['extra']\n")
                bench.put("tests/extra/test_heavy.py", "def test_a(): assert 0\n\ndef test_b(): pass\n")
                bench.put("tests/test_light.py", MARKED)
                self.assertEqual(self.lists(bench, "extra"), {
                    "tests/extra/test_heavy.py::test_a", "tests/extra/test_heavy.py::test_b", "tests/test_light.py::test_marked"})
                code, said = bench.run("extra")
                outcomes = {test["name"]: test["outcome"] for test in bench.outputs()["tests"]}
                self.assertEqual((code, outcomes), (1, {
                    "tests/extra/test_heavy.py::test_a": "failed", "tests/extra/test_heavy.py::test_b": "passed",
                    "tests/test_light.py::test_marked": "passed"}), said)

    def test_a_folder_beside_those_that_testpaths_names(self):
        bench = Bench(environment())
        self.addCleanup(bench.remove)
        bench.put("pytest.ini", "[pytest]\ntestpaths = tests\n")
        bench.put("tests/test_light.py", PLAIN)
        bench.put("extra/test_heavy.py", PLAIN)
        self.assertEqual(self.lists(bench, "extra"), {"extra/test_heavy.py::test_one", "extra/test_heavy.py::test_two"})
        self.assertEqual(self.lists(bench, "default"), pytest_lists(bench))


class Running(unittest.TestCase):
    def setUp(self):
        environment()
        self.bench = Bench(environment())
        self.addCleanup(self.bench.remove)

    def extra(self, files, notebooks=(), timeout=120, curation=None, **variables):
        for path, content in files.items():
            self.bench.put(path, content)
        self.bench.plan(tier="extra", extra=True, extra_notebooks=list(notebooks), timeout=timeout, curation=curation)
        code, said = self.bench.run("extra", **variables)
        self.assertEqual(sorted(os.listdir(self.bench.repo)), sorted({path.split("/")[0] for path in files}), "something is left")
        return code, self.bench.tests(), said

    def outcomes(self, tests):
        return {name: (test["outcome"], test["class"]) for name, test in tests.items()}

    def test_each_test_has_a_result_that_says_where(self):
        code, tests, said = self.extra({"extra/test_a.py": (
            "import sys\nimport pytest\n\ndef test_good(tmp_path): (tmp_path / 'x').write_text('x')\n\n"
            "def test_bad():\n    band = 'R'\n    print('told', file=sys.stderr)\n    assert band == 'V', 'no such band'\n\n"
            "def test_left_out(): pytest.skip('needs a telescope')\n\n"
            "@pytest.mark.xfail(reason='known')\ndef test_known(): assert 0\n\n"
            "@pytest.fixture\ndef broken(): raise OSError('no disk')\n\ndef test_setup(broken): pass\n\n"
            "@pytest.fixture\ndef closing():\n    yield\n    raise OSError('not closed')\n\ndef test_teardown(closing): pass\n\n"
            "def test_memory(): raise MemoryError\n")})
        self.assertEqual(code, 1, said)
        at = "extra/test_a.py::test_"
        self.assertEqual(self.outcomes(tests), {
            f"{at}good": ("passed", "passed"), f"{at}bad": ("failed", "test_failed"), f"{at}left_out": ("skipped", "skipped"),
            f"{at}known": ("skipped", "skipped"), f"{at}setup": ("failed", "setup_failed"),
            f"{at}teardown": ("failed", "teardown_failed"), f"{at}memory": ("out_of_memory", "memory_error")})
        bad = tests[f"{at}bad"]
        self.assertEqual(bad["message"], "extra/test_a.py:9: AssertionError: no such band")
        self.assertTrue(any("> " in line and "assert band == 'V'" in line for line in bad["exception"]["traceback"]), bad)
        self.assertIn("told", bad["stderr"])
        self.assertEqual(tests[f"{at}left_out"]["message"], "needs a telescope")
        self.assertEqual(tests[f"{at}known"]["message"], "failed as expected: known")
        junit = (self.bench.out / "junit.xml").read_text()
        self.assertIn('tests="7" failures="4" errors="0" skipped="2"', junit)

    def test_notebooks_and_tests_in_one_tier(self):
        code, tests, said = self.extra({
            "extra/heavy.ipynb": book("print(1)"), "extra/test_a.py": "def test_a(): pass\n", "conftest.py": "",
        }, ["extra/heavy.ipynb"])
        self.assertEqual(code, 0, said)
        self.assertEqual(set(tests), {"extra/heavy.ipynb", "extra/test_a.py::test_a"})

    def test_each_repository_of_a_spec_has_its_own_tests_and_settings(self):
        code, tests, said = self.extra({
            "references/one/pytest.ini": "[pytest]\npython_files = check_*.py\npython_functions = check_*\n",
            "references/one/extra/check_a.py": "def check_a(): pass\n",
            "references/two/conftest.py": "import pytest\n\n@pytest.fixture\ndef band(): return 'R'\n",
            "references/two/tests/test_a.py": (
                "import pytest\n\n@pytest.mark.extra\ndef test_band(band):\n    assert band == 'V'\n\ndef test_light(): pass\n"),
            "references/three/extra/test_a.py": "import not_there\n",
        }, curation={"python_version": "3"})
        self.assertEqual((code, self.outcomes(tests)), (1, {
            "references/one/extra/check_a.py::check_a": ("passed", "passed"),
            "references/three/extra/test_a.py": ("failed", "not_importable"),
            "references/two/tests/test_a.py::test_band": ("failed", "test_failed")}), said)
        self.assertIn("references/two/tests/test_a.py:5: AssertionError", tests["references/two/tests/test_a.py::test_band"]["message"])

    def test_only_the_tests_that_were_asked_for(self):
        self.bench.put("extra/test_a.py", PLAIN)
        self.bench.put("extra/test_b.py", "import not_there\n")
        for wanted, expected, ends_with in [
            (["extra/test_a.py::test_two"], {"extra/test_a.py::test_two": ("passed", "passed")}, 0),
            (["extra/test_a.py::test_gone"], {"extra/test_a.py::test_gone": ("failed", "not_run")}, 1),
            ([], None, 77),
        ]:
            with self.subTest(wanted):
                shutil.rmtree(self.bench.out)
                self.bench.out.mkdir()
                self.bench.plan(tier="extra", extra=True, tests=wanted)
                code, said = self.bench.run("extra")
                self.assertEqual(code, ends_with, said)
                if expected is not None:
                    self.assertEqual(self.outcomes(self.bench.tests()), expected, said)

    def test_a_test_that_ends_the_process_is_named_and_harms_no_other(self):
        for how, words in (("os._exit(0)", "with code 0"), ("os.kill(os.getpid(), 9)", "SIGKILL"), ("os.kill(os.getpid(), 11)", "SIGSEGV")):
            with self.subTest(how):
                code, tests, said = self.extra({"extra/test_a.py": (
                    f"import os\n\ndef test_a(): pass\n\ndef test_b(): {how}\n\ndef test_c(): pass\n")})
                self.assertEqual(code, 1, said)
                self.assertEqual([outcome for outcome, _ in self.outcomes(tests).values()], ["passed", "failed", "passed"])
                crashed = tests["extra/test_a.py::test_b"]
                self.assertEqual(crashed["class"], "crashed")
                self.assertIn(words, crashed["message"])

    def test_what_cannot_be_read_is_a_failed_test_and_never_fewer_tests(self):
        code, tests, said = self.extra({
            "extra/test_good.py": PLAIN, "extra/test_import.py": "import not_there\n\ndef test_a(): pass\n",
            "extra/test_syntax.py": "def test_a(:\n", "extra/sub/conftest.py": "import not_there\n", "extra/sub/test_c.py": PLAIN,
            "tests/test_marked.py": "import not_there\nimport pytest\n\n@pytest.mark.extra\ndef test_a(): pass\n",
            "tests/test_usual.py": "import not_there\n",
        })
        self.assertEqual(code, 1, said)
        failed = {name for name, test in tests.items() if test["outcome"] == "failed"}
        self.assertEqual({name.split("::")[0] for name in failed} - {"extra/sub/test_c.py", "extra/sub"},
                         {"extra/test_import.py", "extra/test_syntax.py", "tests/test_marked.py"}, said)
        self.assertTrue(failed & {"extra/sub/test_c.py", "extra/sub", "extra/sub/conftest.py"}, failed)
        self.assertIn("No module named 'not_there'", tests["extra/test_import.py"]["message"])
        self.assertEqual(tests["extra/test_import.py"]["class"], "not_importable")
        self.assertEqual(tests["extra/test_good.py::test_one"]["outcome"], "passed")

    def test_a_conftest_or_settings_that_cannot_be_used(self):
        code, tests, said = self.extra({"conftest.py": "import not_there\n", "extra/test_a.py": PLAIN})
        self.assertEqual((code, self.outcomes(tests)), (1, {"conftest.py": ("failed", "not_readable")}), said)
        self.bench.put("conftest.py", "")
        code, tests, said = self.extra({"conftest.py": "", "pytest.ini": "[pytest]\naddopts = --no-such-option\n", "extra/test_a.py": PLAIN})
        self.assertEqual((code, self.outcomes(tests)), (1, {"pytest": ("failed", "not_readable")}), said)
        self.assertIn("--no-such-option", tests["pytest"]["stderr"])

    def test_a_file_that_ends_the_process_when_it_is_read(self):
        code, tests, said = self.extra({"extra/test_a.py": "import os\nos._exit(0)\n", "extra/test_b.py": PLAIN})
        self.assertEqual((code, self.outcomes(tests)), (1, {"extra/test_a.py": ("failed", "crashed")}), said)

    def test_an_early_end_leaves_no_test_without_a_result(self):
        code, tests, said = self.extra({"extra/test_a.py": (
            "import pytest\n\ndef test_a(): pass\n\ndef test_b(): pytest.exit('enough', returncode=0)\n\ndef test_c(): pass\n")})
        self.assertEqual(code, 1, said)
        self.assertEqual(self.outcomes(tests)["extra/test_a.py::test_c"], ("failed", "not_run"))
        self.assertEqual(len(tests), 3)

    def test_nothing_extra_is_a_skip_and_the_other_part_is_not_read(self):
        self.bench.put("notes.md", "x")
        self.bench.plan(tier="extra", extra=True)
        self.assertEqual(self.bench.run("extra")[0], 77)
        code, tests, said = self.extra({"notes.md": "x", "tests/test_a.py": "import not_there\n"})
        self.assertEqual((code, tests), (77, {}), said)
        self.bench.put("tests/extra/test_b.py", "import pathlib\npathlib.Path('/nonexistent/read').touch()\n")
        self.bench.plan(tier="extra")
        code, said = self.bench.run_with("extra", "default")
        self.assertEqual(code, 1, "tests/test_a.py cannot be read")
        self.assertEqual(set(self.bench.tests()), {"tests/test_a.py"}, said)

    def test_time_that_is_over_names_what_ran_and_what_did_not(self):
        code, tests, said = self.extra({"extra/test_a.py": (
            "import time\n\ndef test_a(): pass\n\ndef test_b(): time.sleep(1000)\n\ndef test_c(): pass\n")}, timeout=12)
        self.assertEqual(code, 1, said)
        self.assertEqual([outcome for outcome, _ in self.outcomes(tests).values()], ["passed", "timed_out", "timed_out"])

    def test_the_environments_own_pytest_comes_first(self):
        variables = {"PYTHONPATH": os.environ["DOCENT_PYTEST"], "DOCENT_PYTEST": "/nonexistent"}
        self.assertEqual(self.extra({"extra/test_a.py": PLAIN}, **variables)[0], 0)
        code, tests, said = self.extra({"extra/test_a.py": PLAIN}, DOCENT_PYTEST="/nonexistent")
        self.assertEqual((code, tests["pytest"]["outcome"], tests["pytest"]["class"]), (70, "errored", "no_pytest"), said)

    def test_tests_see_a_copy_and_the_runs_environment(self):
        code, _, said = self.extra({"data.txt": "x", "extra/test_a.py": (
            "import os, sys\nfrom pathlib import Path\n\ndef test_a():\n    Path('data.txt').write_text('y')\n"
            f"    assert sys.prefix == {environment() + '/venv'!r}\n    assert os.environ['HOME'] != '/root'\n"
            "    assert 'DOCENT_PYTEST' not in os.environ\n    import ipykernel\n")})
        self.assertEqual(code, 0, said)
        self.assertEqual((self.bench.repo / "data.txt").read_text(), "x")


if __name__ == "__main__":
    unittest.main()
