"""The tiers in the real image, as a container hardens it: what only a control group can show."""
import json
import os
import shutil
import subprocess
import unittest

from support import RECIPE, Bench, book, is_required

IMAGE = os.environ.get("DOCENT_NOTEBOOK_IMAGE", "docent/notebook:2")
HOG = "x = []\nwhile True:\n    x.append(bytearray(50_000_000))"
NETWORK = "import socket\nsocket.create_connection(('192.0.2.1', 80), 5)"
BUILDS = ("resolve", "environment")


def absent():
    if not shutil.which("docker"):
        return "there is no docker"
    done = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True)
    return None if done.returncode == 0 else f"there is no image {IMAGE}: `docent recipe build notebook` makes it"


class Container(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        why = absent()
        if why and is_required("image"):
            raise AssertionError(why)
        if why:
            raise unittest.SkipTest(f"not run: {why}")

    def setUp(self):
        self.bench = Bench()
        self.addCleanup(self.bench.remove)

    def tier(self, name, memory="1g", **variables):
        root = self.bench.root
        shutil.rmtree(self.bench.out)
        self.bench.out.mkdir()
        for path in [root, *root.rglob("*")]:
            if not path.is_symlink() and root / "env" / "venv" not in path.parents:
                os.chown(path, 65534, 65534)
        bundle = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
        index = ["--network", "bridge", "-v", f"{bundle}:/run/ca.crt:ro", "-e", "SSL_CERT_FILE=/run/ca.crt"]
        for variable in os.environ:
            if variable.lower().endswith("_proxy") or (variable.startswith(("PIP_", "UV_")) and "INDEX" in variable):
                index += ["-e", variable]
        done = subprocess.run(
            ["docker", "run", "--rm", "--init", "--label", "docent-harness-test", "--read-only", "--user", "65534:65534",
             "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "512", "--memory", memory,
             "--memory-swap", memory, "--tmpfs", "/tmp:size=256m,mode=1777", "-e", "HOME=/tmp", "-e", f"DOCENT_TIER={name}",
             *(index if name in BUILDS else ["--network", "none"]),
             "-v", f"{self.bench.repo}:/repo", "-v", f"{root}/in:/in:ro", "-v", f"{RECIPE}:/recipe:ro",
             "-v", f"{root}/env:/env" + ("" if name in BUILDS else ":ro"), "-v", f"{self.bench.out}:/out",
             IMAGE, "python3", f"/recipe/harness/{name}.py"],
            capture_output=True, timeout=900)
        return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")

    def test_the_tiers_one_after_the_other(self):
        books = {
            "pass.ipynb": book("import six\nprint(six.__version__)"),
            "fail.ipynb": book("x = 1", "1/0"),
            "memory.ipynb": book("print('before')", HOG),
            "child.ipynb": book(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {HOG!r}], check=True)"),
            "sigkill.ipynb": book("import os\nos.kill(os.getpid(), 9)"),
            "network.ipynb": book(NETWORK),
            "writes.ipynb": book("open('/env/x', 'w')"),
        }
        for path, content in books.items():
            self.bench.put(path, content)
        self.bench.put("requirements.txt", "six==1.16.0\n")
        everything = {"requirements": ["requirements.txt"], "memory": 1 << 30, "timeout": 600}
        for name in BUILDS:
            self.bench.plan(list(books), tier=name, **everything)
            code, said = self.tier(name)
            self.assertEqual(code, 0, said)
        for name in ("imports", "notebooks"):
            self.bench.plan(list(books), tier=name, **everything)
            code, said = self.tier(name)
            self.assertEqual(code, 0 if name == "imports" else 1, said)
        tests = self.bench.tests()
        classes = {name: test["class"] for name, test in tests.items()}
        self.assertEqual(classes, {
            "pass.ipynb": "passed", "fail.ipynb": "cell_error", "memory.ipynb": "out_of_memory", "child.ipynb": "out_of_memory",
            "sigkill.ipynb": "kernel_died", "network.ipynb": "data_or_network", "writes.ipynb": "cell_error"}, json.dumps(tests))
        self.assertEqual(tests["memory.ipynb"]["message"], "the kernel was killed for memory in cell 1")
        self.assertGreater(tests["memory.ipynb"]["peak_memory_bytes"], 500 << 20)
        self.assertEqual(tests["network.ipynb"]["exception"]["value"], "[Errno 101] Network is unreachable")
        self.assertEqual(tests["writes.ipynb"]["exception"]["value"], "[Errno 30] Read-only file system: '/env/x'")
        self.assertEqual(self.bench.outputs()["environment"]["packages"]["six"], "1.16.0")
        self.assertFalse((self.bench.repo / ".docent-scratch").exists())


if __name__ == "__main__":
    unittest.main()
