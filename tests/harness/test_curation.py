"""What a curated spec adds: its lists, overrides, variables and switches; who is to blame when versions clash; when an
environment is built, and when it is not."""
import json
import unittest

from support import Bench, book, code, environment, is_required, printed, prose
from test_environment import index_answers

from docent import locks
from docent.curation import Curation, expanded
from docent.requirements import Refused, Requirements

A, B = "references/repo/a/requirements.txt", "references/repo/b/requirements.txt"


class Indexed(unittest.TestCase):
    """Tests that ask the package index."""

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

    def step(self, tier, curation=None, **plan):
        self.bench.plan(tier=tier, timeout=600, **({"curation": curation} if curation is not None else {}), **plan)
        code, said = self.bench.run(tier)
        return code, self.bench.tests()["environment"], said

    def curate(self, files, **curation):
        for path, content in files.items():
            self.bench.put(path, content)
        requirements = [{"path": path, "selections": [path.split("/")[2]]} for path in files]
        return self.step("resolve", {"requirements": requirements, **curation})

    def artifact(self, name):
        return (self.bench.out / "artifacts" / name).read_text("utf-8")


class Resolving(Indexed):
    def test_what_is_asked_and_what_came_of_it(self):
        self.bench.put("references/repo/a/more.txt", "packaging\n")
        code, test, said = self.curate(
            {A: "six\n-r more.txt\n", B: "idna>=3\n"}, python_version="3.11",
            packages=[{"list": "extra_pip_packages", "line": "toml", "place": "nbw-spec.yaml:40:5"}],
            overrides=[{"line": "six==1.15.0", "place": "nbw-spec.yaml:50:5"}])
        self.assertEqual((code, test["class"]), (0, "passed"), said)
        made = json.loads(self.artifact("resolution.json"))
        self.assertEqual((made["python"], made["packages"]["six"]), ("3.11", "1.15.0"))
        self.assertEqual([(file["path"], file["selections"], file["lines"]) for file in made["files"]], [
            (A, ["a"], ["six"]), (B, ["b"], ["idna>=3"]), ("references/repo/a/more.txt", [], ["packaging"]),
            ("extra_pip_packages", [], ["toml"]), ("override_pip_versions", [], ["six==1.15.0"])])
        said = self.artifact("pip_compiler_output.txt")
        self.assertRegex(said, r"(?m)^toml==\S+\n    # via -r extra_pip_packages$")
        self.assertRegex(said, rf"(?m)^idna==\S+\n    # via -r {B}$")
        self.assertRegex(said, r"(?m)^appnope==\S+ ; sys_platform == 'darwin'\n    # via ipykernel$")
        for name in ("pip_compiler_output.txt", "requirements.lock", "resolution.json"):
            self.assertNotIn(str(self.bench.root), self.artifact(name))
        self.assertNotIn("--hash", said)
        self.assertNotIn("\\", said)
        self.assertFalse((self.bench.environment / "venv").exists())

    def test_two_machines_one_digest(self):
        digests = set()
        for _ in range(2):
            self.bench = Bench()
            self.addCleanup(self.bench.remove)
            self.curate({A: "six==1.16.0\n", B: "idna\n"})
            digests.add(self.bench.outputs()["environment"]["lock_digest"])
        # Who wants a package is no part of the environment.
        self.curate({A: "idna\n", B: "six==1.16.0  # because\n"})
        digests.add(self.bench.outputs()["environment"]["lock_digest"])
        self.assertEqual(len(digests), 1)

    def test_the_lines_that_clash_and_whom_they_serve(self):
        code, test, _ = self.curate({A: "packaging\ntraitlets<5.10\n", B: "ipython\nidna\njupyter-core\ntraitlets>=5.14\n"})
        self.assertEqual((code, test["outcome"], test["class"]), (1, "failed", "unsolvable"))
        self.assertEqual(test["message"], f"no versions fit together: {A}:2: traitlets<5.10 (for a); {B}:4: traitlets>=5.14 (for b)")
        conflict = json.loads(self.artifact("conflict.json"))
        self.assertEqual([(line["source"], line["line"]) for line in conflict["lines"]], [(A, 2), (B, 4)])
        self.assertTrue(conflict["is_minimal"])
        self.assertFalse((self.bench.out / "artifacts" / "requirements.lock").exists())

    def test_a_clash_through_a_third_package(self):
        code, test, _ = self.curate({A: "requests==2.31.0\nsix\n", B: "idna>=3\nurllib3<1.21\n"})
        self.assertEqual(test["message"],
                         f"no versions fit together: {A}:1: requests==2.31.0 (for a); {B}:2: urllib3<1.21 (for b)")

    def test_a_version_that_there_is_not(self):
        _, test, _ = self.curate({A: "six==99.0\nidna\n"})
        self.assertEqual((test["class"], test["message"]), ("unsolvable", f"no version fits: {A}:1: six==99.0 (for a)"))

    def test_lists_and_overrides_are_to_blame_as_well(self):
        _, test, _ = self.curate({A: "idna\nsix>=1.16\n"},
                                 packages=[{"list": "common_pip_packages", "line": "six<1.16", "place": "nbw-spec.yaml:40:5"}])
        self.assertEqual(test["message"],
                         f"no versions fit together: {A}:2: six>=1.16 (for a); nbw-spec.yaml:40:5: six<1.16")
        _, test, _ = self.curate({A: "idna\nsix>=1.16\n"}, overrides=[
            {"line": "idna>=3", "place": "nbw-spec.yaml:49:5"}, {"line": "six==99.0", "place": "nbw-spec.yaml:50:5"}])
        self.assertIn("nbw-spec.yaml:50:5: six==99.0", test["message"])
        self.assertNotIn("idna", test["message"])

    def test_another_python_is_never_said_to_be_proven(self):
        code, test, said = self.curate({A: "six\n"}, python_version="3.13")
        self.assertEqual((code, test["outcome"], test["class"]), (0, "errored", "other_python"), said)
        self.assertRegex(test["message"], r"^not verified: the spec wants Python 3\.13, the image has 3\.\d+\.\d+; verified: \d+ packages")
        self.assertTrue(self.artifact("requirements.lock").startswith("# Python 3.13\n"))
        code, test, _ = self.step("environment", {"python_version": "3.13"})
        self.assertEqual((code, test["outcome"], test["class"]), (0, "errored", "other_python"))
        self.assertFalse((self.bench.environment / "venv").exists())
        # A clash is a clash on any image.
        code, test, _ = self.curate({A: "six==99.0\n"}, python_version="3.13")
        self.assertEqual((code, test["class"]), (1, "unsolvable"))

    def test_the_patch_counts_unless_the_operator_says_otherwise(self):
        self.assertEqual(self.curate({A: "six\n"}, python_version="3.11.99")[1]["class"], "other_python")
        curation = {"requirements": [], "python_version": "3.11.99"}
        self.assertEqual(self.step("resolve", curation, settings={"any_python_patch": True})[1]["class"], "passed")

    def test_parts_without_micromamba_are_named(self):
        code, test, _ = self.curate({A: "six\n"}, mamba={"parts": ["mamba packages: extra_mamba_packages (3 lines)"]})
        self.assertEqual((code, test["outcome"], test["class"]), (0, "errored", "unsupported_parts"))
        self.assertIn("no micromamba, for: mamba packages: extra_mamba_packages (3 lines)", test["message"])


class Building(Indexed):
    def test_built_once_and_again_when_it_is_not_whole_or_another(self):
        self.curate({A: "six==1.16.0\n"})
        code, test, said = self.step("environment", {})
        self.assertEqual((code, test["outcome"]), (0, "passed"), said)
        made = self.bench.outputs()["environment"]
        marker = self.bench.environment / "venv" / "of the first build"
        marker.touch()
        code, test, _ = self.step("environment", {})
        self.assertEqual(code, 0)
        self.assertTrue(test["message"].startswith("already built"), test)
        self.assertTrue(marker.exists())
        self.assertEqual(self.bench.outputs()["environment"], made)
        # What has no note was not finished.
        (self.bench.environment / "environment.json").unlink()
        self.assertTrue(self.step("environment", {})[1]["message"].startswith(f"{len(made['packages'])} packages installed"))
        self.assertFalse(marker.exists())
        # The lock that docent hands in counts before the one that lies about.
        lock = (self.bench.environment / "requirements.lock").read_text()
        (self.bench.root / "in" / "requirements.lock").write_text("# other\n" + lock)
        marker.touch()
        self.step("environment", {})
        self.assertFalse(marker.exists())
        self.assertNotEqual(self.bench.outputs()["environment"]["lock_digest"], made["lock_digest"])

    def test_a_file_that_is_not_the_locked_one(self):
        self.curate({A: "six==1.16.0\n"})
        lock = (self.bench.environment / "requirements.lock").read_text()
        at = lock.index("--hash=sha256:", lock.index("six=="))
        broken = lock[:at] + "--hash=sha256:" + "0" * 64 + "\n"
        (self.bench.root / "in" / "requirements.lock").write_text(broken)
        code, test, _ = self.step("environment", {})
        self.assertEqual((code, test["outcome"], test["class"]), (70, "errored", "hash_mismatch"))
        self.assertFalse((self.bench.environment / "venv").exists())
        self.assertFalse((self.bench.environment / "environment.json").exists())


class Locks(unittest.TestCase):
    def test_only_hashed_versions_are_a_lock(self):
        hashed = "six==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"
        self.assertEqual(locks.Lock(hashed.encode()).packages, {"six": "1.0"})
        commit = "a @ git+https://example.org/a@" + "0" * 40 + "\n"
        self.assertEqual(len(locks.Lock(commit.encode()).commits), 1)
        for bad in ("six==1.0\n", "--index-url https://example.org\n" + hashed, "-e .\n", "-r /etc/passwd\n", "./a\n",
                    "a @ file:///etc/passwd \\\n    --hash=sha256:00\n", hashed.replace("\n    --hash", "\n    --index-url"),
                    "six==1.0 \\\n", "six==1.0 --index-url=https://example.org \\\n    --hash=sha256:00\n",
                    "a @ git+https://example.org/a@main\n"):
            with self.subTest(bad), self.assertRaises(ValueError):
                locks.Lock(bad.encode())

    def test_no_lock_is_the_machinerys_fault(self):
        bench = Bench()
        self.addCleanup(bench.remove)
        bench.plan(tier="environment")
        self.assertEqual(bench.run("environment")[0], 70)


class Sources(unittest.TestCase):
    def setUp(self):
        self.bench = Bench()
        self.addCleanup(self.bench.remove)

    def read(self, content, hosts=()):
        self.bench.put("r.txt", content)
        return Requirements(self.bench.repo, ["r.txt"], hosts)

    def test_direct_addresses_of_hosts_that_the_operator_named(self):
        for line in ("a @ https://example.org/a-1.whl", "a@git+https://example.org/a.git@main", "a[b] @ https://example.org/a.zip ; os_name == 'x'",
                     "a @ https://example.org/a.zip#sha256=00"):
            self.assertEqual([one.name for one in self.read(line, ["Example.org"]).lines], ["a"])
            with self.assertRaises(Refused):
                self.read(line)
        for line in ("a @ http://example.org/a.whl", "a @ https://example.org.evil/a.whl", "a @ https://example.org@evil/a.whl",
                     "a @ https://user:word@example.org/a", "a @ file:///a", "a @ git+ssh://example.org/a", "a @ https://[/a",
                     "https://example.org/a.whl", "a @ https://example.org/a -e ."):
            with self.subTest(line), self.assertRaises(Refused) as caught:
                self.read(f"six\n{line}", ["example.org"])
            self.assertTrue(str(caught.exception).startswith("r.txt:2: "))

    def test_large_binary_looping_and_deep_files(self):
        with open(self.bench.repo / "r.txt", "wb") as file:
            file.truncate(50 << 20)
        with self.assertRaisesRegex(Refused, "r.txt is no file of at most 1 MiB"):
            Requirements(self.bench.repo, ["r.txt"])
        with self.assertRaisesRegex(Refused, "no text file"):
            self.read(b"six\n\x00\x01\xff")
        with self.assertRaisesRegex(Refused, "r.txt:1: "):
            self.read(b"\x7fELF\xff\xfe")
        self.assertEqual(len(self.read("six\n-r r.txt\n-c r.txt\n").lines), 2)
        for number in range(40):
            self.bench.put(f"deep{number}.txt", f"-r deep{number + 1}.txt\n")
        with self.assertRaisesRegex(Refused, "deep19.txt:1: more than"):
            self.read("-r deep0.txt")
        for number in range(12):
            self.bench.put(f"big{number}.txt", "#" * (1 << 20))
        with self.assertRaisesRegex(Refused, "together are larger than"):
            self.read("".join(f"-r big{number}.txt\n" for number in range(12)))
        self.bench.put("many.txt", "six\n" * 20001)
        with self.assertRaisesRegex(Refused, "many.txt:20001: more than"):
            Requirements(self.bench.repo, ["many.txt"])

    def test_a_file_that_two_selections_share(self):
        self.bench.put("r.txt", "six\n")
        lines = Requirements(self.bench.repo, [("r.txt", ["one"]), ("./r.txt", ["two"])]).lines
        self.assertEqual([line.place for line in lines], ["r.txt:1: six (for one, two)"])

    def test_lists_take_no_options(self):
        for line in ("-r r.txt", "--index-url=https://example.org", "./a", "a @ https://example.org/a"):
            with self.subTest(line), self.assertRaises(Refused) as caught:
                self.read("").listed([], "extra_pip_packages", {"line": line, "place": "nbw-spec.yaml:4:5"})
            self.assertTrue(str(caught.exception).startswith("nbw-spec.yaml:4:5: "))


class Variables(unittest.TestCase):
    def test_every_way_to_name_another(self):
        made = expanded({"A": "x", "B": "$A/${A}/{A}", "C": "${NONE:-d}${A:-e}", "D": "$NONE {NONE} ${NONE} {} $", "PATH": "${PATH}:/p",
                         "E": "$F", "F": "$E", "G": None, "H": "$LATER", "LATER": 5}, {"PATH": "/bin"})
        self.assertEqual(made, {"A": "x", "B": "x/x/x", "C": "dx", "D": "$NONE {NONE} ${NONE} {} $", "PATH": "/bin:/p",
                                "E": "$E", "F": "$E", "G": "", "H": "5", "LATER": "5"})

    def test_values_that_double_each_other_end(self):
        made = expanded({f"A{number}": f"$A{number + 1}$A{number + 1}" for number in range(64)} | {"A64": "x"}, {})
        self.assertLess(max(map(len, made.values())), 1 << 18)

    def test_test_variables_come_after(self):
        curation = Curation({"environment_vars": {"A": "x", "B": "b"}, "test_environment_vars": {"A": "$A/y", "C": "$A"}})
        self.assertEqual(curation.variables({}), {"A": "x/y", "B": "b", "C": "x/y"})

    def test_every_spelling_of_off(self):
        for value, is_off in ((False, True), ("False", True), ("no", True), ("0", True), (0, True), (True, False), ("yes", False)):
            curation = Curation({"selections": {"a.ipynb": {"selection": "s", "papermill": value}}})
            self.assertEqual(bool(curation.declined("a.ipynb")), is_off, value)
        self.assertIsNone(Curation({"selections": {"a.ipynb": None}}).declined("a.ipynb"))
        self.assertIsNone(Curation(None).declined("a.ipynb"))


class Notebooks(unittest.TestCase):
    BOOKS = {
        "references/repo/a/off.ipynb": book("open('ran', 'w')\n1/0"),
        "references/repo/a/vars.ipynb": book(
            "import os\nprint(os.environ['A'], os.environ['B'], os.environ['HOME'] != '/x')\nassert os.environ['PATH'].split(':')[0].endswith('venv/bin')",
            "import jupyter_client.kernelspec as k\nprint(k.KernelSpecManager().get_kernel_spec('roman-cal').display_name)"),
        "references/repo/a/named.ipynb": book("print('named')", kernelspec={"name": "roman-cal"}),
        "references/repo/a/wrote.ipynb": book(
            "import os\nos.mkdir('new')\nopen('new/file', 'w')\nopen('table.csv', 'a').write(',2')\nopen('../other', 'w')\n"
            "open('untouched.csv').read()\nopen('/tmp/elsewhere-docent', 'w').close(); os.remove('/tmp/elsewhere-docent')"),
        "references/repo/a/many.ipynb": book("for i in range(60):\n    open(f'{i:03}', 'w')"),
        "references/repo/b/url.ipynb": book("from urllib.request import urlopen\nurlopen('http://127.0.0.1:9/')"),
        "references/repo/b/data.ipynb": book("open('not_there.fits')"),
        "references/repo/b/os.ipynb": book("import socket\nraise OSError(101, 'Network is unreachable')"),
        "references/repo/b/program.ipynb": book("import subprocess\nsubprocess.run(['not-a-program'])"),
        "references/repo/b/value.ipynb": book("raise ValueError('connection')"),
    }

    @classmethod
    def setUpClass(cls):
        cls.bench = Bench(environment())
        cls.addClassCleanup(cls.bench.remove)
        for path, content in cls.BOOKS.items():
            cls.bench.put(path, content)
        for name in ("table", "untouched"):
            cls.bench.put(f"references/repo/a/{name}.csv", "1")
        cls.order = [f"references/repo/{name}.ipynb" for name in ("b/value", "a/many", "b/url")]
        cls.bench.plan(list(cls.BOOKS), timeout=300, order=[*cls.order, "not/planned.ipynb"], settings={"at_once": 1}, curation={
            "kernel_name": "roman-cal", "display_name": "Roman", "environment_vars": {"A": "x", "PATH": "/other:${PATH}"},
            "test_environment_vars": {"B": "${A}/y"},
            "selections": {"references/repo/a/off.ipynb": {"selection": "s1", "papermill": False}}})
        cls.code, cls.said = cls.bench.run("notebooks")
        cls.results = {name.removeprefix("references/repo/").removesuffix(".ipynb"): test for name, test in cls.bench.tests().items()}

    def test_switched_off_is_never_run(self):
        test = self.results["a/off"]
        self.assertEqual((test["outcome"], test["class"], test["message"]), ("skipped", "skipped", "the selection s1 says papermill: false"))
        self.assertFalse((self.bench.out / "artifacts/notebooks/references/repo/a/off.ipynb").exists())

    def test_variables_and_the_kernels_name(self):
        self.assertEqual(self.results["a/vars"]["outcome"], "passed", self.results["a/vars"])
        self.assertEqual(printed(self.bench.kept("references/repo/a/vars.ipynb")), "x x/y True\nRoman\n")
        self.assertEqual(self.results["a/named"]["outcome"], "passed", self.results["a/named"])

    def test_what_a_notebook_wrote(self):
        self.assertEqual((self.results["a/wrote"]["wrote"], self.results["a/wrote"]["wrote_more"]),
                         (["../other", "new/file", "table.csv"], 0))
        self.assertEqual(self.results["a/vars"]["wrote"], [])
        self.assertEqual((len(self.results["a/many"]["wrote"]), self.results["a/many"]["wrote_more"]), (50, 10))
        self.assertEqual((self.bench.repo / "references/repo/a/table.csv").read_text(), "1")

    def test_data_and_network_are_a_class_of_their_own(self):
        classes = {name: self.results[f"b/{name}"]["class"] for name in ("url", "data", "os", "program", "value")}
        self.assertEqual(classes, {"url": "data_or_network", "data": "data_or_network", "os": "data_or_network",
                                   "program": "cell_error", "value": "cell_error"})
        self.assertEqual(self.results["b/url"]["outcome"], "failed")

    def test_the_order(self):
        ran = [line.split()[2] for line in self.said.splitlines() if line.startswith("notebook ")]
        self.assertEqual(ran[1:4], self.order)
        self.assertEqual(ran[4], "references/repo/a/vars.ipynb")
        self.assertEqual([test["name"] for test in self.bench.outputs()["tests"]], list(self.BOOKS))


class Imports(unittest.TestCase):
    def setUp(self):
        self.bench = Bench(environment())
        self.addCleanup(self.bench.remove)

    def names(self):
        return json.loads((self.bench.out / "artifacts" / "nb_to_imports.json").read_text("utf-8"))

    def test_names_in_the_form_of_a_curated_spec(self):
        self.bench.put("a/one.ipynb", book(
            "import json, xml.dom as x; import os.path\nfrom __future__ import annotations\nimport sys, copy, builtins",
            "%matplotlib inline\n!ls\ntry: import email\nexcept ImportError: pass", "'''\nimport nope\n'''", "from . import nope",
            "def f():\n    from html import parser", prose("import nope"), code("import csv", "skip-execution")))
        self.bench.put("a/kept.ipynb", book("import json"))
        self.bench.put("a/broken.ipynb", "{")
        selections = {name: {"selection": "s", "papermill": True} for name in ("a/kept.ipynb", "a/one.ipynb", "a/gone.ipynb", "../x.ipynb")}
        self.bench.plan(["a/one.ipynb", "a/broken.ipynb"], tier="imports", curation={"selections": selections})
        self.bench.run("imports")
        self.assertEqual(self.names(), {"a/kept.ipynb": ["json"], "a/one.ipynb": ["csv", "email", "html", "json", "xml"]})
        self.assertEqual(set(self.bench.tests()), {"a/one.ipynb", "a/broken.ipynb"})

    def test_a_line_of_a_list_that_looks_like_it(self):
        self.bench.put("a.ipynb", book("import docent_hinted"))
        package = {"list": "extra_pip_packages", "line": "docent-hinted>=1", "place": "nbw-spec.yaml:40:5"}
        self.bench.plan(["a.ipynb"], tier="imports", curation={"packages": [package]})
        self.bench.run("imports")
        self.assertIn("(nbw-spec.yaml:40:5: docent-hinted>=1 looks like it)", self.bench.tests()["a.ipynb"]["message"])

    def test_two_thousand_notebooks_one_process(self):
        self.bench.put("a/counted.py", "open('../count', 'a').write('x')\n")
        names = [f"a/{number:04}.ipynb" for number in range(2000)]
        for name in names:
            self.bench.put(name, book("import counted"))
        self.bench.plan(names, tier="imports")
        code, said = self.bench.run("imports")
        self.assertEqual(code, 0, said[-1000:])
        self.assertEqual((self.bench.repo / "count").read_text(), "x")
        self.assertEqual([test["name"] for test in self.bench.outputs()["tests"]], names)

    def test_large_notebooks_do_not_fill_the_memory(self):
        output = {"output_type": "stream", "name": "stdout", "text": "x" * (100 << 20)}
        large = book("import json")
        large["cells"][0]["outputs"] = [output]
        self.bench.put("large.ipynb", large)
        self.bench.put("bomb.ipynb", '{"nbformat": 4, "cells": [], "metadata": {"x": [' + "[]," * (10 << 20) + "[]]}}")
        with open(self.bench.repo / "huge.ipynb", "wb") as file:
            file.truncate(200 << 20)
        self.bench.put("small.ipynb", book("import json"))
        self.bench.plan(["large.ipynb", "bomb.ipynb", "huge.ipynb", "small.ipynb"], tier="imports", memory=1200 << 20)
        code, said = self.bench.run("imports")
        tests = self.bench.tests()
        self.assertEqual({name: test["class"] for name, test in tests.items()}, {
            "large.ipynb": "passed", "small.ipynb": "passed", "bomb.ipynb": "invalid_notebook", "huge.ipynb": "invalid_notebook"}, said)
        self.assertEqual(tests["huge.ipynb"]["message"], "larger than 128 MiB")
        self.assertIn("memory of the tier", tests["bomb.ipynb"]["message"])


if __name__ == "__main__":
    unittest.main()
