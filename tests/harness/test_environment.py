"""The tiers `resolve` and `imports`: what is missing, clashing, refused, out of reach."""
import subprocess
import unittest

from support import Bench, book, code, environment, is_required

UNREACHABLE = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9",
               "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "5"}


def index_answers():
    done = subprocess.run(["uv", "pip", "compile", "--quiet", "--no-deps", "-"], input=b"six\n", capture_output=True)
    return done.returncode == 0


class Resolve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        environment()
        if not index_answers():
            if is_required("index"):
                raise AssertionError("the package index does not answer")
            raise unittest.SkipTest("not run: the package index does not answer")

    def setUp(self):
        self.bench = Bench()
        self.addCleanup(self.bench.remove)

    def resolve(self, files, **variables):
        for path, content in files.items():
            self.bench.put(path, content)
        self.bench.plan(tier="resolve", requirements=list(files), timeout=600)
        code, said = self.bench.run("resolve", **variables)
        return code, self.bench.tests()["environment"], said

    def build(self, **more):
        self.bench.plan(tier="environment", timeout=600, **more)
        code, said = self.bench.run("environment")
        return code, self.bench.tests()["environment"], said

    def test_one_locked_environment_that_runs_notebooks(self):
        self.bench.put("uv.toml", "offline = true")
        self.bench.put("a.ipynb", book("import six, jupyter_client", "import sys; print(sys.prefix)"))
        code, test, said = self.resolve({"requirements.txt": "six==1.16.0\n"})
        self.assertEqual((code, test["outcome"]), (0, "passed"), said)
        locked = self.bench.outputs()["environment"]
        code, test, said = self.build()
        self.assertEqual((code, test["outcome"]), (0, "passed"), said)
        made = self.bench.outputs()["environment"]
        self.assertEqual(made["lock_digest"], locked["lock_digest"])
        self.assertGreater(made["bytes"], 10 << 20)
        self.assertTrue(list(self.bench.environment.glob("venv/lib/*/site-packages/__pycache__/six.*.pyc")))
        self.assertEqual(made["packages"]["six"], "1.16.0")
        self.assertIn("ipykernel", made["packages"])
        self.assertEqual(len(made["lock_digest"]), 64)
        lock = (self.bench.out / "artifacts" / "requirements.lock").read_text()
        self.assertIn("six==1.16.0 \\\n    --hash=sha256:", lock)
        self.assertEqual(sorted(path.name for path in self.bench.environment.iterdir()), ["environment.json", "requirements.lock", "venv"])
        for step in ("imports", "notebooks"):
            self.bench.plan(["a.ipynb"], tier=step)
            code, said = self.bench.run(step)
            self.assertEqual(code, 0, said)
            self.assertEqual(self.bench.outputs()["environment"]["lock_digest"], made["lock_digest"])

    def hand_in(self, **files):
        for name, content in files.items():
            (self.bench.root / "in" / name.replace("_", ".", 1)).write_text(content)

    def test_a_sticky_resolution_keeps_to_the_lock_before(self):
        self.hand_in(previous_lock="-r /etc/passwd\nsix==1.16.0 \\\n    --hash=sha256:00\npackaging==23.0\n    # via x\n")
        self.bench.put("requirements.txt", "six\npackaging>=24\n")
        for resolution, stays in (("sticky", True), ("fresh", False)):
            self.bench.plan(tier="resolve", requirements=["requirements.txt"], timeout=600, settings={"resolution": resolution})
            code, said = self.bench.run("resolve")
            self.assertEqual(code, 0, said)
            packages = self.bench.outputs()["environment"]["packages"]
            self.assertEqual(packages["six"] == "1.16.0", stays, said)
            self.assertGreaterEqual(int(packages["packaging"].split(".")[0]), 24, "what does not fit any more is not kept")
        self.bench.plan(tier="resolve", requirements=["requirements.txt"], settings={"resolution": "stiky"})
        code, said = self.bench.run("resolve")
        self.assertEqual(code, 70)
        self.assertIn('write "fresh" or "sticky"', said)

    def test_a_lock_that_is_handed_in_is_not_made_anew(self):
        code, _, said = self.resolve({"requirements.txt": "six==1.16.0\n"})
        self.assertEqual(code, 0, said)
        lock = (self.bench.out / "artifacts" / "requirements.lock").read_bytes()
        said = (self.bench.out / "artifacts" / "pip_compiler_output.txt").read_bytes()
        (self.bench.root / "in" / "requirements.lock").write_bytes(lock)
        for compiled in (None, said):
            if compiled:
                (self.bench.root / "in" / "pip_compiler_output.txt").write_bytes(compiled)
            code, _, log = self.resolve({"requirements.txt": "six\n"}, **UNREACHABLE)
            self.assertEqual(code, 0, log)
            self.assertEqual((self.bench.out / "artifacts" / "requirements.lock").read_bytes(), lock)
            now = (self.bench.out / "artifacts" / "pip_compiler_output.txt").read_bytes()
            self.assertEqual(now, said) if compiled else self.assertIn(b"six==1.16.0\n", now)
        (self.bench.root / "in" / "requirements.lock").write_bytes(b"six\n")
        code, test, _ = self.resolve({"requirements.txt": "six\n"})
        self.assertEqual((code, test["class"]), (70, "machinery"))

    def test_clashing_lines_are_named(self):
        code, test, _ = self.resolve({"requirements.txt": "# c\nsix==1.16.0\n", "b/requirements.txt": "packaging\nsix>=1.17\n"})
        self.assertEqual((code, test["outcome"], test["class"]), (1, "failed", "unsolvable"))
        self.assertEqual(test["message"], "no versions fit together: requirements.txt:2: six==1.16.0; b/requirements.txt:2: six>=1.17")
        self.assertIn("No solution found", test["stderr"])
        self.assertFalse((self.bench.environment / "venv").exists())

    def test_clash_with_what_docent_needs(self):
        code, test, _ = self.resolve({"requirements.txt": "ipykernel==5.0\n"})
        self.assertEqual((code, test["class"]), (1, "unsolvable"))
        self.assertIn("requirements.txt:1: ipykernel==5.0", test["message"])

    def test_a_line_that_is_no_requirement(self):
        code, test, _ = self.resolve({"requirements.txt": "six\nsix==not_a_version\n"})
        self.assertEqual((code, test["class"]), (1, "requirement_refused"))
        self.assertIn("requirements.txt:2", test["message"])


class Unreachable(unittest.TestCase):
    def setUp(self):
        environment()
        self.bench = Bench()
        self.addCleanup(self.bench.remove)

    def test_an_index_that_does_not_answer_is_the_machinerys_fault(self):
        self.bench.put("requirements.txt", "six\n")
        self.bench.plan(tier="resolve", requirements=["requirements.txt"])
        code, said = self.bench.run("resolve", **UNREACHABLE)
        test = self.bench.tests()["environment"]
        self.assertEqual((code, test["outcome"], test["class"]), (70, "errored", "index_unreachable"), said)

    def test_refused_lines_are_refused_before_the_index_is_asked(self):
        self.bench.put("requirements.txt", "six\n--index-url https://example.org\n")
        self.bench.plan(tier="resolve", requirements=["requirements.txt"])
        code, _ = self.bench.run("resolve", **UNREACHABLE)
        test = self.bench.tests()["environment"]
        self.assertEqual((code, test["outcome"], test["class"]), (1, "failed", "requirement_refused"))
        self.assertTrue(test["message"].startswith("requirements.txt:2: "))

    def test_no_resolver_is_the_machinerys_fault(self):
        self.bench.plan(tier="resolve")
        self.assertEqual(self.bench.run("resolve", PATH="/nonexistent")[0], 70)


class Imports(unittest.TestCase):
    BOOKS = {
        "a/good.ipynb": book("import os, json\nimport helper\nfrom os import path\nfrom xml.dom import minidom",
                             "%matplotlib inline\n!ls", "%%bash\nimport nope"),
        "a/forgiving.ipynb": book("try:\n    import nope\nexcept ImportError:\n    nope = None\nif False:\n    import nope2",
                                  "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import nope3",
                                  "text = '''\nimport nope4\n'''  # import nope5", code("import nope6", "skip-execution"),
                                  code("import nope7", "raises-exception"), "%%bash\nimport nope8", "from . import nope9", "def f(:"),
        "a/missing.ipynb": book("import os", "\n\n%time x = 1\nimport os; import yaml_not_there, other_not_there"),
        "a/hinted.ipynb": book("import docent_hinted"),
        "a/timed.ipynb": book("%%time\nimport timed_not_there", "x"),
        "a/name.ipynb": book("from os import no_such_name"),
        "a/ends.ipynb": book("import os", "import ender", "import json"),
        "a/hangs.ipynb": book("import hanger"),
        "a/local.ipynb": book("import broken_helper"),
        "b/other.ipynb": book("import helper"),
        "b/skipped.ipynb": book("import nope", tags=["skip-execution"]),
        "b/r.ipynb": book("library(x)", kernelspec={"name": "ir", "language": "R"}),
        "b/broken.ipynb": "{",
        "b/none.ipynb": book(),
    }

    @classmethod
    def setUpClass(cls):
        cls.bench = Bench(environment())
        cls.addClassCleanup(cls.bench.remove)
        for path, content in cls.BOOKS.items():
            cls.bench.put(path, content)
        cls.bench.put("a/helper.py", "print('noise')\nvalue = 1\n")
        cls.bench.put("a/ender.py", "import os\nos._exit(4)\n")
        cls.bench.put("a/hanger.py", "import time\ntime.sleep(1000)\n")
        cls.bench.put("a/broken_helper.py", "import deeply_missing\n")
        cls.bench.put("requirements.txt", "six\nDocent.Hinted>=2\n")
        cls.bench.plan(list(cls.BOOKS), tier="imports", requirements=["requirements.txt"], settings={"import_timeout": "4s"})
        cls.code, cls.said = cls.bench.run("imports")
        cls.results = cls.bench.tests()

    def check(self, name, outcome, kind, *parts):
        test = self.results[name]
        self.assertEqual((test["outcome"], test["class"]), (outcome, kind), test)
        for part in parts:
            self.assertIn(part, test["message"])
        return test

    def test_one_verdict_each(self):
        self.assertEqual(self.code, 1, self.said)
        self.assertEqual(set(self.results), set(self.BOOKS))

    def test_modules_that_are_there_or_need_not_be(self):
        for name in ("a/good.ipynb", "a/forgiving.ipynb", "b/none.ipynb"):
            self.check(name, "passed", "passed")

    def test_missing_modules_with_cell_and_line(self):
        test = self.check("a/missing.ipynb", "failed", "import_error", "No module named 'yaml_not_there'", "no requirement looks like it",
                          "also `other_not_there`")
        self.assertEqual((test["cell"]["index"], test["cell"]["code_index"], test["cell"]["line"]), (1, 2, 4))
        self.assertEqual(test["exception"]["name"], "ModuleNotFoundError")
        self.check("a/timed.ipynb", "failed", "import_error", "timed_not_there")
        self.check("a/local.ipynb", "failed", "import_error", "`broken_helper`", "No module named 'deeply_missing'")

    def test_the_requirement_that_looks_like_it(self):
        self.check("a/hinted.ipynb", "failed", "import_error", "requirements.txt:2: Docent.Hinted>=2 looks like it")

    def test_names_that_are_not_in_the_module(self):
        self.check("a/name.ipynb", "failed", "import_error", "cannot import name 'no_such_name'")

    def test_modules_that_end_or_hang_harm_no_other(self):
        self.check("a/ends.ipynb", "failed", "import_error", "`ender`", "ended Python with code 4")
        self.check("a/hangs.ipynb", "failed", "import_error", "`hanger`", "not imported within 4 s")

    def test_modules_of_another_folder_are_not_there(self):
        self.check("b/other.ipynb", "failed", "import_error", "No module named 'helper'")

    def test_notebooks_that_are_not_looked_at(self):
        self.check("b/skipped.ipynb", "skipped", "skipped")
        self.check("b/r.ipynb", "skipped", "skipped", "ir")
        self.check("b/broken.ipynb", "failed", "invalid_notebook")


if __name__ == "__main__":
    unittest.main()
