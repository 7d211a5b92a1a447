"""Packages of conda channels in the tiers `resolve` and `environment`: real packages of a channel in a folder, solved and
installed by rattler, which plays micromamba here."""
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

from support import book
from test_curation import Indexed

HERE = Path(__file__).parent
SUBDIR = "linux-64" if os.uname().machine == "x86_64" else "linux-aarch64"
OWN = sys.version_info
BASE = getattr(sys, "_base_executable", sys.executable)


def package(channel, name, version, files, depends=(), links=None):
    """Puts a package into a channel: its files by their paths, and symbolic links."""
    index = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": list(depends), "subdir": SUBDIR,
             "arch": None, "platform": None, "timestamp": 1_700_000_000_000}
    paths = [{"_path": path, "path_type": "hardlink", "sha256": hashlib.sha256(content.encode()).hexdigest(),
              "size_in_bytes": len(content.encode())} for path, content in files.items()]
    paths += [{"_path": path, "path_type": "softlink"} for path in links or {}]
    place = channel / SUBDIR / f"{name}-{version}-0.tar.bz2"
    place.parent.mkdir(parents=True, exist_ok=True)
    info = {"info/index.json": json.dumps(index), "info/paths.json": json.dumps({"paths": paths, "paths_version": 1})}
    with tarfile.open(place, "w:bz2") as archive:
        for path, content in {**info, **files}.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content.encode()), 0o755
            archive.addfile(entry, io.BytesIO(content.encode()))
        for path, target in (links or {}).items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return place


def python(channel, version):
    """This machine's Python as a package: what makes it one is that it is found in the environment."""
    short = f"{OWN[0]}.{OWN[1]}"
    package(channel, "python", version, {"pyvenv.cfg": f"home = {Path(BASE).resolve().parent}\nversion = {version}\n"},
            links={"bin/python": str(Path(BASE).resolve()), "bin/python3": "python", f"bin/python{short}": "python"})


class Channels(Indexed):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rattler = os.environ.get("DOCENT_RATTLER")
        if not cls.rattler:
            raise unittest.SkipTest("not run: DOCENT_RATTLER names no Python with rattler: start the tests with tests/harness/run")
        cls.channels = Path(tempfile.mkdtemp(prefix="docent-channels-"))
        cls.addClassCleanup(shutil.rmtree, cls.channels, ignore_errors=True)
        forge = cls.channels / "conda-forge"
        for version in (platform.python_version(), f"{OWN[0]}.{OWN[1]}.99"):
            python(forge, version)
        for version in ("1.0", "2.0"):
            package(forge, "libgreet", version, {"share/greet/words": f"hello {version}\n"})
        package(forge, "greet", "1.0", {
            "bin/greet": "#!/bin/sh\ncat \"$GREET_DATA/words\"\n",
            "etc/conda/activate.d/greet.sh": "export GREET_DATA=\"$CONDA_PREFIX/share/greet\"\n",
        }, depends=["libgreet <2"])
        # Its threads may outlive the interpreter, and crash.
        index = "import asyncio, os, rattler.index, sys; asyncio.run(rattler.index.index_fs(sys.argv[1])); os._exit(0)"
        subprocess.run([cls.rattler, "-c", index, str(forge)], check=True)

    def setUp(self):
        super().setUp()
        programs = self.bench.root / "programs"
        programs.mkdir()
        (programs / "micromamba").write_text(f"#!/bin/sh\nexec {self.rattler} {HERE / 'micromamba'} \"$@\"\n")
        (programs / "micromamba").chmod(0o755)
        self.variables = {"PATH": f"{programs}:{os.environ['PATH']}", "CHANNELS": str(self.channels)}

    def step(self, tier, curation=None, **plan):
        self.bench.plan(tier=tier, timeout=600, **({"curation": curation} if curation is not None else {}), **plan)
        code, said = self.bench.run(tier, **self.variables)
        return code, self.bench.tests()["environment"], said

    @staticmethod
    def wanting(*lines, **curation):
        packages = [{"list": "extra_mamba_packages", "line": line, "place": f"nbw-spec.yaml:{number}:5"}
                    for number, line in enumerate(lines, 30)]
        mamba = {"channels": ["conda-forge"], "packages": packages, "parts": ["mamba packages: extra_mamba_packages"]}
        return {"requirements": [], "mamba": mamba, **curation}

    def test_an_environment_of_both_kinds_runs_a_notebook(self):
        curation = self.wanting("greet", python_version=f"{OWN[0]}.{OWN[1]}",
                                packages=[{"list": "extra_pip_packages", "line": "six==1.16.0", "place": "nbw-spec.yaml:40:5"}])
        code, test, said = self.step("resolve", curation)
        self.assertEqual((code, test["outcome"]), (0, "passed"), said)
        lock = self.artifact("requirements.lock")
        locked = [line for line in lock.splitlines() if line.startswith("# conda ")]
        names = [line.split(" ")[3].rsplit("/", 1)[1].rsplit("-", 2)[0] for line in locked]
        self.assertEqual(names, ["python", "libgreet", "greet"], "what others need comes first")
        self.assertIn("six==1.16.0", lock)
        self.assertEqual(self.bench.outputs()["environment"]["packages"]["libgreet"], "1.0")

        code, test, said = self.step("environment", curation)
        self.assertEqual((code, test["outcome"]), (0, "passed"), said)
        made = self.bench.outputs()["environment"]
        self.assertEqual({name: made["packages"][name] for name in ("greet", "six")}, {"greet": "1.0", "six": "1.16.0"})
        self.assertEqual(made["variables"]["GREET_DATA"], str(self.bench.environment / "venv" / "share" / "greet"))
        self.assertTrue(self.step("environment", curation)[1]["message"].startswith("already built"))

        self.bench.put("a.ipynb", book("import subprocess, sys, six",
                                       "print(subprocess.run('greet', capture_output=True, text=True, check=True).stdout, sys.prefix)"))
        self.bench.plan(["a.ipynb"], curation=curation)
        code, said = self.bench.run("notebooks", **self.variables)
        self.assertEqual(code, 0, said)
        (output,) = self.bench.kept("a.ipynb")["cells"][1]["outputs"]
        self.assertEqual("".join(output["text"]), f"hello 1.0\n {self.bench.environment / 'venv'}\n")

    def test_a_python_that_the_image_has_not(self):
        wanted = f"{OWN[0]}.{OWN[1]}.99"
        curation = {"requirements": [], "python_version": wanted}
        code, test, said = self.step("resolve", curation)
        self.assertEqual((code, test["outcome"]), (0, "passed"), said)
        self.assertIn(f"/python-{wanted}-0.tar.bz2#", self.artifact("requirements.lock"))
        self.assertEqual(self.step("environment", curation)[1]["outcome"], "passed")

    def test_an_environment_without_a_version_takes_the_channels_python(self):
        code, test, said = self.step("resolve", self.wanting("libgreet"))
        self.assertEqual((code, test["outcome"]), (0, "passed"), said)
        self.assertTrue(self.artifact("requirements.lock").startswith(f"# Python {OWN[0]}.{OWN[1]}\n"))
        self.assertIn("/libgreet-2.0-0.tar.bz2#", self.artifact("requirements.lock"))

    def test_what_does_not_fit_or_is_not_there_is_named(self):
        code, test, said = self.step("resolve", self.wanting("greet", "libgreet >=2"))
        self.assertEqual((code, test["outcome"], test["class"]), (1, "failed", "unsolvable"), said)
        self.assertIn("nbw-spec.yaml:31:5: libgreet >=2", test["message"])
        code, test, _ = self.step("resolve", self.wanting("nosuch-package"))
        self.assertEqual((code, test["class"]), (1, "unsolvable"))
        self.assertIn("nbw-spec.yaml:30:5: nosuch-package", test["message"])

    def test_a_channel_that_is_not_there_is_nobodys_fault(self):
        self.variables["CHANNELS"] = "/nosuch"
        code, test, said = self.step("resolve", self.wanting("greet"))
        self.assertEqual(test["outcome"], "errored", said)
        self.assertNotEqual(code, 0)

    def test_what_was_locked_is_installed_or_nothing(self):
        curation = self.wanting("greet", python_version=f"{OWN[0]}.{OWN[1]}")
        self.step("resolve", curation)
        place = self.bench.environment / "requirements.lock"
        lock = place.read_text()
        at = lock.index("sha256=", lock.index("/greet-1.0")) + len("sha256=")
        other = lock[:at] + ("0" if lock[at] != "0" else "1") + lock[at + 1:]
        place.write_text(other)
        code, test, said = self.step("environment", curation)
        self.assertEqual((code, test["class"]), (70, "hash_mismatch"), said)
        self.assertFalse((self.bench.environment / "venv").exists())
        place.write_text(lock.replace(f"# conda {SUBDIR} ", "# conda osx-64 "))
        code, test, _ = self.step("environment", curation)
        self.assertEqual((code, test["class"]), (70, "machinery"))
        self.assertIn("the lock is for osx-64", test["message"])
        # A lock without the channels' part is not what this spec asks for.
        place.write_text("".join(line + "\n" for line in lock.splitlines() if not line.startswith("# conda")))
        code, test, _ = self.step("environment", curation)
        self.assertEqual((code, test["outcome"]), (70, "errored"), test)

    def test_without_micromamba_nothing_is_said_to_be_proven(self):
        self.variables["PATH"] = os.environ["PATH"]
        code, test, _ = self.step("resolve", self.wanting("greet"))
        self.assertEqual((code, test["outcome"], test["class"]), (0, "errored", "unsupported_parts"))
        self.assertIn("the image has no micromamba, for: mamba packages: extra_mamba_packages", test["message"])

    def test_an_environment_in_another_file_is_not_read(self):
        code, test, _ = self.step("resolve", {"requirements": [], "unsupported": ["a mamba environment from https://x.example/e.yml"]})
        self.assertEqual((code, test["class"]), (0, "unsupported_parts"))
        self.assertIn("docent does not read them, for: a mamba environment from https://x.example/e.yml", test["message"])


if __name__ == "__main__":
    unittest.main()
