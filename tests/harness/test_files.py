"""What is decided without a kernel: requirement lines, notebook files, scratch copies, excerpts, JUnit."""
import os
import stat
import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

from support import Bench, book, code, prose

from docent import contract, notebook, results, scratch, text
from docent.outputs import Budget, Outputs
from docent.requirements import Refused, Requirements


class RequirementLines(unittest.TestCase):
    def setUp(self):
        self.bench = Bench()
        self.addCleanup(self.bench.remove)

    def read(self, content, **others):
        self.bench.put("r.txt", content)
        for name, other in others.items():
            self.bench.put(f"{name}.txt", other)
        return Requirements(self.bench.repo, ["r.txt"])

    def test_lines_that_are_followed(self):
        lines = self.read(
            "\ufeffnumpy>=1.26  # comment\r\n# all comment\n\nastropy[all]==6.* ; python_version >= '3.9'\nJdaviz\n"
            "scipy (>=1.0)\nspec \\\n  ==1.0\n--pre\nwith-hash==1 --hash=sha256:00\n-r more.txt\n-c limits.txt\n",
            more="six\n-r r.txt\n", limits="urllib3<3\n").lines
        self.assertEqual([(line.file, line.number, line.name, line.is_constraint) for line in lines], [
            ("r.txt", 1, "numpy", False), ("r.txt", 4, "astropy", False), ("r.txt", 5, "jdaviz", False),
            ("r.txt", 6, "scipy", False), ("r.txt", 7, "spec", False), ("r.txt", 10, "with-hash", False),
            ("more.txt", 1, "six", False), ("limits.txt", 1, "urllib3", True)])

    def test_lines_that_are_refused_with_file_and_line(self):
        refused = [
            "-e .", "-e git+https://example.org/a", "--editable=.", "--index-url https://example.org", "-i https://example.org",
            "--index-url=https://example.org", "--extra-index-url https://example.org", "--find-links /tmp", "-f .",
            "--trusted-host example.org", "--no-index", "git+https://example.org/a.git", "a @ https://example.org/a.whl",
            "a@file:///etc", "./a", "../a", "/etc", "a/b", "a.whl/../b", "https://example.org/a.whl", "file:a", "a ${TOKEN}",
            "${X}", "-r ../outside.txt", "-r /etc/passwd", "-r https://example.org/r.txt", "-c https://example.org/c.txt",
            "-r missing.txt", "-r", "numpy --global-option=x", "nümpy", "numpy -e .", "--config-settings x=y", "-", "--",
            "numpy>=1 --index-url=https://example.org", "C:\\a", "@", "[a]", "-rnone.txt",
        ]
        for line in refused:
            with self.subTest(line), self.assertRaises(Refused) as caught:
                self.read(f"six\n{line}\n")
            self.assertTrue(str(caught.exception).startswith("r.txt:2: "), str(caught.exception))

    def test_a_link_that_leaves_the_repository(self):
        os.symlink("/etc/passwd", self.bench.repo / "link.txt")
        with self.assertRaises(Refused):
            Requirements(self.bench.repo, ["link.txt"])

    def test_lines_that_look_like_a_module(self):
        wanted = self.read("PyYAML>=5\nopencv_python\npython-dateutil\n")
        self.assertEqual(wanted.like({"yaml", "pyyaml"}).number, 1)
        self.assertEqual(wanted.like({"cv2", "opencv-python"}).number, 2)
        self.assertEqual(wanted.like({"dateutil"}).number, 3)
        self.assertIsNone(wanted.like({"numpy"}))


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def read(self, document):
        path = self.folder / "n.ipynb"
        path.write_bytes(document if isinstance(document, bytes) else results.to_json(document))
        return notebook.read(path)

    def test_odd_files_are_refused_with_a_reason(self):
        odd = [b"", b"\x00", b"null", b"1", b'"x"', b"[]", b"{}", b"[" * 100000, b'{"nbformat": 4}', b'{"nbformat": "4"}',
               b'{"nbformat": true, "cells": []}', b'{"nbformat": 4, "cells": {}}', b'{"nbformat": 4, "cells": [1]}',
               b'{"nbformat": 4, "cells": [{}]}', b'{"nbformat": 5, "cells": []}', b'{"nbformat": 1}', b"\xff\xfe{\x00}\x00",
               b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": [1]}]}', b"1" * 5000]
        for content in odd:
            with self.subTest(content[:40]), self.assertRaises(notebook.InvalidNotebook) as caught:
                self.read(content)
            self.assertNotIn("\n", str(caught.exception))

    def test_odd_metadata_is_tolerated(self):
        for metadata in ({"kernelspec": 1}, {"tags": "x"}, {"docent": []}, {"language_info": []}, {"kernelspec": {"name": 5}}):
            document = book(code("x"), **metadata)
            document["cells"][0]["metadata"] = None
            self.read(document)
        no_metadata = book("x")
        del no_metadata["metadata"]
        self.assertIsNone(self.read(no_metadata).kernel)

    def test_headings(self):
        cells = ["# One", "text", "Two\n===", "```\n# code\n```", "## Three ##\n~~~\n# code", "#hashtag", "####### seven"]
        document = self.read(book(*(prose(cell) for cell in cells), "x"))
        headings = [document.heading(index) for index in range(1, 8)]
        self.assertEqual(headings, ["One", "One", "Two", "Two", "Three", "Three", "Three"])
        self.assertIsNone(document.heading(0))

    def test_excerpts_are_short(self):
        many = "\n".join(f"line {number} " + "x" * 500 for number in range(1, 101))
        self.assertEqual(len(notebook.excerpt(many, None).splitlines()), 20)
        around = notebook.excerpt(many, 50).splitlines()
        self.assertEqual(len(around), 7)
        self.assertTrue(around[3].startswith("> 50 | line 50"))
        self.assertTrue(all(len(line) < 220 for line in around))
        self.assertEqual(notebook.excerpt("x", 99), "  1 | x")
        self.assertEqual(notebook.excerpt("", 1), "")


class Scratch(unittest.TestCase):
    def test_small_files_are_copied_and_large_ones_cannot_be_written_through(self):
        bench = Bench()
        self.addCleanup(bench.remove)
        bench.put("a/small.txt", "small")
        bench.put("a/large.bin", b"x" * 10000)
        bench.put(".git/config", "no")
        bench.put(".hidden/kept", "yes")
        os.symlink("small.txt", bench.repo / "a" / "link")
        os.symlink("a", bench.repo / "folder")
        os.mkfifo(bench.repo / "pipe")
        (bench.repo / "hollow").mkdir()
        place = bench.repo / scratch.FOLDER / "0" / "repo"
        scratch.Checkout(bench.repo, 1000).copy(place)
        names = sorted(str(path.relative_to(place)) for path in place.rglob("*"))
        self.assertEqual(names, [".hidden", ".hidden/kept", "a", "a/large.bin", "a/link", "a/small.txt", "folder", "hollow"])
        (place / "a" / "small.txt").write_text("changed")
        self.assertEqual((bench.repo / "a" / "small.txt").read_text(), "small")
        large = place / "a" / "large.bin"
        shared = large.stat().st_ino == (bench.repo / "a" / "large.bin").stat().st_ino
        self.assertTrue(not shared or not stat.S_IMODE(large.stat().st_mode) & 0o222)
        large.unlink()
        large.write_text("replaced")
        self.assertEqual((bench.repo / "a" / "large.bin").stat().st_size, 10000)
        (place / "a").chmod(0)
        scratch.remove(place)
        self.assertFalse(place.exists())


class Words(unittest.TestCase):
    def test_strangers_text(self):
        self.assertEqual(text.plain("\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x07link\x1b]8;;\x07\x07"), "red link\ufffd")
        self.assertEqual(text.line("a\nb\tc  d" + "x" * 1000)[:7], "a b c d")
        self.assertEqual(len(text.line("x" * 1000)), 300)
        self.assertEqual(len(text.last_lines(["a\nb"] * 100)), 15)

    def test_results_of_hostile_text_are_valid(self):
        bad = "\x00\x1b[2J\ud800]]>&<\u202e"
        test = results.result(bad, "failed", "cell_error", bad, exception=results.exception(bad, bad, [bad]), stderr=bad)
        suite = xml.fromstring(results.junit("t", [test]))
        self.assertEqual(suite.get("failures"), "1")
        results.to_json({"tests": [test], "nan": float("nan")}).decode("utf-8")

    def test_settings(self):
        plan = contract.Plan({"settings": {"a": "1h30m", "b": 90, "c": "500ms", "d": "16MiB", "e": "2kB", "f": 5}})
        self.assertEqual([plan.seconds(name, 0) for name in "abc"], [5400, 90, 0.5])
        self.assertEqual([plan.size(name, 0) for name in "def"], [16 << 20, 2000, 5])
        for value in ("ten", "10", "10 parsecs", ""):
            with self.assertRaises(SystemExit):
                contract.Plan({"settings": {"a": value}}).seconds("a", 0)


class OutputBudget(unittest.TestCase):
    def test_cleared_output_is_paid_back(self):
        budget = Budget(1000)
        outputs = Outputs(budget, {})
        for number in range(100):
            outputs.take("clear_output", {"wait": True})
            outputs.take("stream", {"name": "stdout", "text": f"{number} " + "x" * 500})
        self.assertEqual(len(outputs.document()), 1)
        self.assertTrue(outputs.document()[0]["text"].startswith("99 "))

    def test_odd_messages_are_tolerated(self):
        outputs = Outputs(Budget(1000), {})
        for kind in ("stream", "display_data", "execute_result", "update_display_data", "error", "clear_output", "comm_msg", None):
            for content in ({}, {"data": 1, "metadata": [], "transient": 3}, {"text": None, "traceback": None}):
                outputs.take(kind, content)


if __name__ == "__main__":
    unittest.main()
