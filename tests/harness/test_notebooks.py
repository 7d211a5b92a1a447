"""Notebooks that end in every way there is, executed by real kernels. All of one class run in one go, for speed."""
import os
import signal
import time
import unittest
import xml.etree.ElementTree as xml

from support import Bench, book, code, environment, printed, processes_with, prose

SLEEPER = "98765.4321"
OTHER_SLEEPER = "87654.3219"
NAMES = ["with space.ipynb", "ünï cødé ☕.ipynb", "$(touch hit);'\"&|`id`.ipynb", "-rf.ipynb", "new\nline.ipynb"]

SHARED = """
import os, time
assert not os.path.exists("result.txt"), "another notebook's file"
open("result.txt", "w").write({me!r})
time.sleep(0.5)
assert open("result.txt").read() == {me!r}
assert open("../data/table.csv").read() == "1,2"
open("../data/table.csv", "a").write(",3")
"""

BOOKS = {
    "a/pass.ipynb": book(prose("# Title"), "x = 6", "print(x * 7)\nx"),
    "a/fail.ipynb": book(
        prose("# Survey\ntext"), "x = 1", prose("## Photometry ##\n```\n# no heading\n```\nmore"),
        "one = 1\ntwo = 2\nthree = 3\nfour = 4\nfive = 5\nraise ValueError('no such \x1b[31mband\x1b[0m')\nseven = 7\n"
        "eight = 8\nnine = 9\nten = 10", "never = 1"),
    "a/deep.ipynb": book("def broken(value):\n    return 1 / value", "y = 1\nbroken(0)"),
    "a/endless.ipynb": book("x = 1", "import time\nwhile True:\n    time.sleep(0.01)"),
    "a/deaf.ipynb": book("while True:\n    try:\n        while True:\n            pass\n    except KeyboardInterrupt:\n        pass"),
    "a/raises.ipynb": book(code("1/0", "raises-exception"), "print('went on')"),
    "a/skipcell.ipynb": book("x = 1", code("1/0", "skip-execution"), "print('after')"),
    "a/skipped.ipynb": book("1/0", docent={"skip": "needs a telescope"}),
    "a/skiptag.ipynb": book("1/0", tags=["skip-execution"]),
    "a/exit.ipynb": book("import sys\nsys.exit(3)"),
    "a/osexit.ipynb": book("print('first')", "import os, sys\nprint('last words', flush=True)\nos._exit(5)"),
    "a/sigkill.ipynb": book("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"),
    "a/segfault.ipynb": book("import ctypes\nctypes.string_at(0)"),
    "a/memory.ipynb": book(
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))", "x = bytearray(64 << 30)"),
    "a/empty.ipynb": book(),
    "a/prose.ipynb": book(prose("nothing here"), "   "),
    "a/input.ipynb": book("name = input('who? ')"),
    "a/stdin.ipynb": book("import sys\nassert sys.stdin.read() == ''"),
    "a/flood.ipynb": book("for _ in range(64):\n    print('x' * (1 << 20))", "print('end')"),
    "a/comm.ipynb": book(
        "from comm import create_comm\nc = create_comm(target_name='jupyter.widget', data={'state': {}})\n"
        "c.send({'method': 'update'})\nc.close()",
        "from IPython.display import clear_output, display\nh = display('old', display_id='d')\nh.update('new')\n"
        "print('gone')\nclear_output(wait=True)\nprint('stays')"),
    "a/burst.ipynb": book("from IPython.display import display\nfor i in range(3000):\n    display(i)", "print('end')"),
    "a/endlessly.ipynb": book("while True:\n    print('x' * 1000)"),
    "a/leftover.ipynb": book(
        "import subprocess, threading, time\n"
        f"subprocess.Popen(['sleep', '{SLEEPER}'], start_new_session=True)\n"
        f"subprocess.run(['sh', '-c', 'setsid sleep {SLEEPER} & exit 0'])\n"
        "threading.Thread(target=lambda: time.sleep(1000)).start()"),
    "a/same1.ipynb": book(SHARED.format(me="one")),
    "a/same2.ipynb": book(SHARED.format(me="two")),
    "a/kernel.ipynb": book("1 + 1", kernelspec={"name": "ir", "language": "R", "display_name": "R"}),
    "a/curator.ipynb": book("1 + 1", kernelspec={"name": "roman-cal", "language": "python", "display_name": "Roman"}),
    "a/import.ipynb": book("import module_that_is_not_there"),
    "a/await.ipynb": book("import asyncio\nawait asyncio.sleep(0)\nprint('awaited')"),
    "a/syntax.ipynb": book("x = 1\ny = = 2"),
    "a/magic.ipynb": book("%%time\n!echo from the shell", "%cd ..\nimport os\nassert os.path.exists('data')"),
    "a/quit.ipynb": book("quit()", "print('never')"),
    "a/quitlast.ipynb": book("print('done')", "exit"),
    "a/stderr.ipynb": book("import sys\nprint('warned', file=sys.stderr)", "1/0"),
    "a/surrogate.ipynb": book("raise ValueError('\\ud800 \\x00')"),
    "a/broken.ipynb": '{"cells": [',
    "a/list.ipynb": "[]",
    "a/latin.ipynb": '{"nbformat": 4, "cells": [], "metadata": {"x": "é"}}'.encode("latin-1"),
    "a/bare.ipynb": '{"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [{"cell_type": "code", "source": 5}]}',
    "a/two.ipynb": '{"nbformat": 2, "worksheets": []}',
    "a/three.ipynb": {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": [
        {"cell_type": "heading", "level": 2, "source": "Old", "metadata": {}},
        {"cell_type": "code", "language": "python", "input": ["x = 1\n", "1/0"], "outputs": [], "metadata": {}}]}]},
    **{f"names/{name}": book("print('named')") for name in NAMES},
}


class EveryEnd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bench = Bench(environment())
        cls.addClassCleanup(cls.bench.remove)
        for path, content in BOOKS.items():
            cls.bench.put(path, content)
        cls.bench.put("data/table.csv", "1,2")
        cls.bench.plan(list(BOOKS) + ["a/missing.ipynb"], timeout=900,
                       settings={"cell_timeout": "10s", "output_limit": "1MiB", "start_timeout": 120, "at_once": 3})
        cls.before = cls.tree()
        cls.code, cls.said = cls.bench.run("notebooks")
        cls.results = cls.bench.tests()

    @classmethod
    def tree(cls):
        return {str(path): path.read_bytes() for path in cls.bench.repo.rglob("*") if path.is_file()}

    def check(self, name, outcome, kind, message=None, **cell):
        test = self.results[name]
        self.assertEqual((test["outcome"], test["class"]), (outcome, kind), test)
        if message is not None:
            self.assertEqual(test["message"], message)
        for key, value in cell.items():
            self.assertEqual(test["cell"][key], value, test["cell"])
        return test

    def test_each_notebook_has_one_verdict_and_the_step_failed(self):
        self.assertEqual(self.code, 1, self.said)
        self.assertEqual([test["name"] for test in self.bench.outputs()["tests"]], list(BOOKS) + ["a/missing.ipynb"])
        self.assertFalse([test for test in self.results.values() if test["outcome"] == "errored"])

    def test_junit_says_the_same(self):
        suite = xml.parse(self.bench.out / "junit.xml").getroot()
        self.assertEqual(len(suite), len(self.results))
        bad = [test for test in self.results.values() if test["outcome"] not in ("passed", "skipped")]
        self.assertEqual(int(suite.get("failures")), len(bad))
        self.assertEqual(int(suite.get("skipped")), 2)

    def test_progress_is_said_line_by_line(self):
        total = len(self.results)
        self.assertRegex(self.said, rf"(?m)^notebook \d+/{total} a/pass.ipynb passed \d+\.\d s$")
        self.assertIn(f"notebook {total}/{total} ", self.said)
        self.assertIn("names/new line.ipynb passed", self.said)

    def test_pass(self):
        test = self.check("a/pass.ipynb", "passed", "passed", "")
        self.assertIsNone(test["cell"])
        self.assertGreater(test["peak_memory_bytes"], 10 << 20)
        kept = self.bench.kept("a/pass.ipynb")
        self.assertEqual(printed(kept), "42\n")
        self.assertEqual([cell.get("execution_count") for cell in kept["cells"]], [None, 1, 2])
        self.assertEqual(kept["cells"][2]["outputs"][1]["data"]["text/plain"], "6")

    def test_failing_cell_is_named_exactly(self):
        test = self.check("a/fail.ipynb", "failed", "cell_error", "cell 3 raised ValueError: no such band", index=3, code_index=2,
                          execution_count=2, heading="Photometry", line=6)
        self.assertEqual(test["cell"]["excerpt"], "  3 | three = 3\n  4 | four = 4\n  5 | five = 5\n"
                         "> 6 | raise ValueError('no such \\x1b[31mband\\x1b[0m')\n".replace("\\x1b[31m", "").replace("\\x1b[0m", "")
                         + "  7 | seven = 7\n  8 | eight = 8\n  9 | nine = 9")
        self.assertEqual(test["exception"]["name"], "ValueError")
        self.assertEqual(test["exception"]["value"], "no such band")
        self.assertEqual(test["exception"]["traceback"][-1], "ValueError: no such band")
        self.assertIsNotNone(test["cell_seconds"])
        self.assertEqual(self.bench.kept("a/fail.ipynb")["cells"][4]["execution_count"], None)

    def test_line_is_that_of_the_failing_cell_not_of_the_function(self):
        self.check("a/deep.ipynb", "failed", "cell_error", index=1, line=2)

    def test_old_formats(self):
        self.check("a/three.ipynb", "failed", "cell_error", index=1, heading="Old", line=2)

    def test_endless_cell(self):
        test = self.check("a/endless.ipynb", "timed_out", "timed_out", "cell 1 reached the limit of 10 s for a cell", index=1)
        self.assertIn(test["cell"]["line"], (2, 3))
        self.assertEqual(test["exception"]["name"], "KeyboardInterrupt")

    def test_endless_cell_that_hears_no_interrupt(self):
        test = self.check("a/deaf.ipynb", "timed_out", "timed_out", index=0)
        self.assertLess(test["seconds"], 60)

    def test_endless_output(self):
        self.check("a/endlessly.ipynb", "timed_out", "timed_out", index=0)

    def test_declared_exceptions_and_skips(self):
        self.check("a/raises.ipynb", "passed", "passed")
        self.assertEqual(printed(self.bench.kept("a/raises.ipynb")), "went on\n")
        self.check("a/skipcell.ipynb", "passed", "passed")
        self.assertEqual(self.bench.kept("a/skipcell.ipynb")["cells"][1]["outputs"], [])
        self.check("a/skipped.ipynb", "skipped", "skipped", "needs a telescope")
        self.check("a/skiptag.ipynb", "skipped", "skipped")

    def test_ends_of_the_kernel(self):
        self.check("a/exit.ipynb", "failed", "cell_error", "cell 0 raised SystemExit: 3", index=0)
        self.check("a/osexit.ipynb", "failed", "kernel_died", "the kernel ended itself with exit code 5 in cell 1", index=1)
        self.check("a/sigkill.ipynb", "failed", "kernel_died", "the kernel was killed by SIGKILL in cell 0", index=0)
        test = self.check("a/segfault.ipynb", "failed", "kernel_died", "the kernel was killed by SIGSEGV in cell 0")
        self.assertIn("Segmentation fault", test["stderr"])
        self.check("a/quit.ipynb", "failed", "kernel_died", "cell 0 ended the kernel before the rest of the notebook", index=0)
        self.check("a/quitlast.ipynb", "passed", "passed")
        self.assertEqual(printed(self.bench.kept("a/osexit.ipynb")).splitlines()[0], "first")

    def test_memory_error(self):
        self.check("a/memory.ipynb", "out_of_memory", "memory_error", index=1, line=1)

    def test_no_code(self):
        for name in ("a/empty.ipynb", "a/prose.ipynb"):
            self.check(name, "passed", "passed", "no code to execute")

    def test_nobody_answers_a_question(self):
        test = self.check("a/input.ipynb", "failed", "cell_error", index=0)
        self.assertEqual(test["exception"]["name"], "StdinNotImplementedError")
        self.check("a/stdin.ipynb", "passed", "passed")

    def test_output_is_bounded_and_the_notebook_goes_on(self):
        self.check("a/flood.ipynb", "passed", "passed")
        place = self.bench.out / "artifacts" / "notebooks" / "a" / "flood.ipynb"
        self.assertLess(place.stat().st_size, 2 << 20)
        self.assertIn("further output was dropped", place.read_text())
        self.assertLess((self.bench.out / "outputs.json").stat().st_size, 1 << 20)

    def test_no_message_is_lost_or_waited_for(self):
        self.check("a/burst.ipynb", "passed", "passed")
        kept = self.bench.kept("a/burst.ipynb")
        self.assertEqual(len(kept["cells"][0]["outputs"]), 3000)
        self.assertEqual(printed(kept), "end\n")

    def test_widgets_and_displays(self):
        self.check("a/comm.ipynb", "passed", "passed")
        cells = self.bench.kept("a/comm.ipynb")["cells"]
        self.assertEqual(cells[1]["outputs"], [{"output_type": "stream", "name": "stdout", "text": "stays\n"}])

    def test_nothing_is_left_running_or_lying(self):
        self.check("a/leftover.ipynb", "passed", "passed")
        self.assertEqual(processes_with(SLEEPER), [])
        self.assertEqual(self.tree(), self.before)
        self.assertFalse((self.bench.repo / ".docent-scratch").exists())

    def test_notebooks_of_one_folder_do_not_meet(self):
        self.check("a/same1.ipynb", "passed", "passed")
        self.check("a/same2.ipynb", "passed", "passed")

    def test_kernels(self):
        self.check("a/kernel.ipynb", "failed", "missing_kernel", "the kernel ir is not installed in the environment")
        self.check("a/curator.ipynb", "passed", "passed")

    def test_code_that_only_ipython_reads(self):
        for name in ("a/await.ipynb", "a/magic.ipynb"):
            self.check(name, "passed", "passed")
        self.check("a/syntax.ipynb", "failed", "cell_error", index=0, line=2)
        self.check("a/import.ipynb", "failed", "cell_error", index=0)

    def test_standard_error_is_kept(self):
        self.assertIn("warned", self.check("a/stderr.ipynb", "failed", "cell_error", index=1)["stderr"])

    def test_text_that_is_none(self):
        self.check("a/surrogate.ipynb", "failed", "cell_error", index=0)

    def test_files_that_are_no_notebooks(self):
        said = {
            "a/broken.ipynb": "not JSON: Expecting value at line 1, column 12",
            "a/list.ipynb": "not a notebook: a JSON list where an object should be",
            "a/latin.ipynb": "not UTF-8 at byte 48",
            "a/bare.ipynb": "cell 0 has no text as its `source`",
            "a/two.ipynb": "nbformat 2 is not supported: save it with a newer Jupyter",
            "a/missing.ipynb": "cannot be read: No such file or directory",
        }
        for name, message in said.items():
            self.check(name, "failed", "invalid_notebook", message)

    def test_names_are_only_names(self):
        for name in NAMES:
            self.check(f"names/{name}", "passed", "passed")
            self.assertEqual(printed(self.bench.kept(f"names/{name}")), "named\n")
        self.assertEqual(list(self.bench.root.rglob("hit")), [])


class Steps(unittest.TestCase):
    def setUp(self):
        self.bench = Bench(environment())
        self.addCleanup(self.bench.remove)

    def test_nothing_to_do_is_skipped(self):
        self.bench.plan()
        for step in ("notebooks", "imports", "extra"):
            self.assertEqual(self.bench.run(step)[0], 77)

    def test_only_skipped_notebooks_are_skipped(self):
        self.bench.put("a.ipynb", book("1/0", tags=["skip-execution"]))
        self.bench.plan(["a.ipynb"])
        self.assertEqual(self.bench.run("notebooks")[0], 77)

    def test_extra_notebooks_run_in_their_own_tier(self):
        self.bench.put("a.ipynb", book("print('extra')"))
        self.bench.plan(extra_notebooks=["a.ipynb"], tier="extra")
        code, said = self.bench.run("extra")
        self.assertEqual((code, list(self.bench.tests())), (0, ["a.ipynb"]), said)

    def test_no_environment_is_the_machinerys_fault(self):
        self.bench.environment = self.bench.root / "env"
        self.bench.put("a.ipynb", book("1"))
        self.bench.plan(["a.ipynb"])
        for step in ("notebooks", "imports"):
            self.assertEqual(self.bench.run(step)[0], 70)

    def test_a_plan_that_leaves_the_repository_is_refused(self):
        for path in ("../a.ipynb", "/etc/passwd"):
            self.bench.plan([path])
            self.assertEqual(self.bench.run("notebooks")[0], 70)

    def test_the_time_of_the_tier(self):
        for name in ("a", "b", "c"):
            self.bench.put(f"{name}.ipynb", book("import time\ntime.sleep(300)"))
        self.bench.put("0.ipynb", book("1"))
        self.bench.plan(["0.ipynb", "a.ipynb", "b.ipynb", "c.ipynb"], timeout=20, cpus=1)
        code, said = self.bench.run("notebooks")
        tests = self.bench.tests()
        self.assertEqual(code, 1, said)
        self.assertEqual(tests["0.ipynb"]["outcome"], "passed")
        self.assertEqual(tests["a.ipynb"]["outcome"], "timed_out")
        self.assertIn("the end of the time of the tier", tests["a.ipynb"]["message"])
        self.assertNotIn("c.ipynb", tests)
        self.assertIn("not run: c.ipynb", said)

    def test_the_process_that_drivers_are_forked_from_may_be_killed(self):
        self.bench.put("a.ipynb", book(
            "import os, signal\n"
            "from pathlib import Path\n"
            "engine = int(Path(f'/proc/{os.getppid()}/stat').read_text().rsplit(')')[-1].split()[1])\n"
            "below = Path(f'/proc/{engine}/task').glob('*/children')\n"
            "parent, = {int(pid) for some in below for pid in some.read_text().split()} - {os.getppid()}\n"
            "os.kill(parent, signal.SIGKILL)"))
        self.bench.put("b.ipynb", book("1"))
        self.bench.plan(["a.ipynb", "b.ipynb"], cpus=1)
        code, said = self.bench.run("notebooks")
        self.assertEqual({name: test["outcome"] for name, test in self.bench.tests().items()},
                         {"a.ipynb": "passed", "b.ipynb": "passed"}, said)
        self.assertEqual(code, 0)

    def test_a_mistake_of_the_driver_is_no_verdict_on_a_notebook(self):
        from docent import driver

        verdict = driver.answer({"name": "a.ipynb"})
        self.assertEqual((verdict["outcome"], verdict["class"]), ("errored", "driver"))
        self.assertIn("KeyError", verdict["stderr"])

    def test_cancelled_in_the_middle(self):
        self.bench.put("a.ipynb", book("1"))
        self.bench.put("b.ipynb", book(f"import subprocess\nsubprocess.run(['sleep', '{OTHER_SLEEPER}'])"))
        self.bench.plan(["a.ipynb", "b.ipynb"], cpus=1)
        process = self.bench.start("notebooks")
        self.addCleanup(process.stdout.close)
        end = time.monotonic() + 120
        while not processes_with(OTHER_SLEEPER):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=60), 143)
        self.assertEqual(list(self.bench.tests()), ["a.ipynb"])
        self.assertEqual(processes_with(OTHER_SLEEPER), [])
        self.assertFalse((self.bench.repo / ".docent-scratch").exists())

    def test_killed_in_the_middle_leaves_what_was_finished(self):
        self.bench.put("a.ipynb", book("1"))
        self.bench.put("b.ipynb", book("import time\ntime.sleep(300)"))
        self.bench.plan(["a.ipynb", "b.ipynb"], cpus=1)
        process = self.bench.start("notebooks")
        self.addCleanup(process.stdout.close)
        end = time.monotonic() + 120
        while not (self.bench.out / "outputs.json").exists() or not self.bench.tests():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        self.assertEqual(self.bench.tests()["a.ipynb"]["outcome"], "passed")
        self.assertEqual(len(xml.parse(self.bench.out / "junit.xml").getroot()), 1)


if __name__ == "__main__":
    unittest.main()
