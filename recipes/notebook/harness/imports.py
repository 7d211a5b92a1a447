"""Tier `imports`: do the modules that the notebooks import exist in the run's environment?

One process for each folder, because a notebook may import what lies beside it. A module that ends, hangs or crashes
the process is reported, and the rest go on in a new one.
"""
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

from docent import contract

# Where the module is called otherwise than its package.
PACKAGES = {
    "attr": "attrs", "bs4": "beautifulsoup4", "cv2": "opencv-python", "dateutil": "python-dateutil", "fitz": "pymupdf",
    "git": "gitpython", "mpl_toolkits": "matplotlib", "osgeo": "gdal", "PIL": "pillow", "pkg_resources": "setuptools",
    "serial": "pyserial", "skimage": "scikit-image", "sklearn": "scikit-learn", "yaml": "pyyaml", "zmq": "pyzmq",
}


class Probe:
    """One process that imports modules in one folder."""

    def __init__(self, folder: Path, limit: float, end: float, variables: dict):
        self.folder, self.limit, self.end, self.variables = folder, limit, end, variables

    def run(self, wants: list) -> dict:
        """How each module went; those for which there was no time are left out."""
        answers, left = {}, list(wants)
        while left and time.monotonic() < self.end:
            answers.update(self._once(left))
            rest = [want for want in left if want not in answers]
            if len(rest) == len(left):
                break
            left = rest
        return answers

    def _once(self, wants: list) -> dict:
        process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("docent") / "probe.py")], cwd=self.folder,
                                   env=self.variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, start_new_session=True)
        news: queue.Queue = queue.Queue()
        threading.Thread(target=_listen, args=(process.stdout, news), daemon=True).start()
        try:
            process.stdin.write(json.dumps(wants).encode())
            process.stdin.close()
        except OSError:
            pass
        answers, current = {}, None
        while True:
            try:
                said = news.get(timeout=max(0.1, min(self.limit, self.end - time.monotonic())))
            except queue.Empty:
                if current is not None and time.monotonic() < self.end:
                    answers[wants[current]] = {"exception": "TimeoutError", "value": f"not imported within {self.limit:g} s"}
                break
            if said is None:
                if current is not None:
                    code = process.wait()
                    answers[wants[current]] = {"exception": "SystemExit" if code >= 0 else "Crash",
                                               "value": f"the import ended Python with code {code}"}
                break
            if "begun" in said:
                current = said["begun"]
            elif "ended" in said:
                answers[wants[said["ended"]]], current = said, None
        _end(process)
        return answers


def _listen(pipe, news: queue.Queue):
    for line in pipe:
        try:
            news.put(json.loads(line))
        except ValueError:
            continue
    news.put(None)


def _end(process: subprocess.Popen):
    from docent import processes

    process.kill()
    process.wait()
    processes.kill_below(os.getpid())


def judge(name: str, found: list, answers: dict, wanted, seconds: float) -> dict:
    """One notebook's result."""
    from docent import notebook
    from docent.results import exception, result

    bad = [want for want in found if want.is_required and answers.get(want.key, {}).get("exception")]
    if bad:
        want, answer = bad[0], answers[bad[0].key]
        others = ", ".join(dict.fromkeys(f"`{other.module}`" for other in bad[1:]))
        more = f"; also {others}" if others else ""
        message = f"`{want.module}`: {answer['exception']}: {answer['value']}{hint(answer, wanted)}{more}"
        try:
            book = notebook.read(contract.REPO / name)
            cell = book.place(book.cells[want.index], want.line)
        except (notebook.InvalidNotebook, IndexError):
            cell = None
        return result(name, "failed", "import_error", message, cell=cell,
                      exception=exception(answer["exception"], answer["value"], []), seconds=seconds)
    undecided = sum(want.is_required and want.key not in answers for want in found)
    if undecided:
        return result(name, "timed_out", "timed_out", f"the tier's time was over before {undecided} imports", seconds=seconds)
    return result(name, "passed", "passed", f"{len({want.module for want in found})} modules", seconds=seconds)


def hint(answer: dict, wanted) -> str:
    """Whether a requirement line looks as if it should have brought a missing module."""
    missing = answer.get("missing")
    if not missing:
        return ""
    top = missing.split(".")[0]
    package = PACKAGES.get(top, top)
    line = wanted.like({top, package}) if wanted else None
    if line:
        return f" ({line.place} looks like it)"
    return f" (no requirement looks like it; the package may be {package})"


def main() -> int:
    plan = contract.read_plan()
    if not plan.notebooks:
        print("no notebooks were selected")
        return contract.SKIPPED
    contract.use_environment()
    from docent import notebook, processes, text
    from docent.reading import read
    from docent.requirements import Refused, Requirements
    from docent.results import Results, result, to_json, write

    processes.adopt_orphans()
    end = time.monotonic() + plan.timeout_seconds - min(10.0, plan.timeout_seconds / 10)
    results = Results(plan.tier, plan.notebooks, contract.environment())
    try:
        wanted = Requirements.of_plan(plan)
    except Refused:
        wanted = None
    folders, names, bad = {}, {}, []
    # A spec's list of imports has all of its notebooks, those included whose results are taken from an earlier run.
    for name in sorted({*plan.notebooks, *plan.curation.selections}):
        is_planned = name in results.order
        if not is_planned and not _is_inside(name):
            continue
        try:
            found = read(contract.REPO / name, plan.curation.kernel_name, plan.memory_bytes // 2)
        except notebook.InvalidNotebook as error:
            if is_planned:
                bad.append(result(name, "failed", "invalid_notebook", str(error)))
            continue
        names[name] = found.names
        if not is_planned:
            continue
        if found.skip or found.kernel:
            bad.append(result(name, "skipped", "skipped", found.skip or f"its kernel is {found.kernel}, not Python"))
            continue
        folders.setdefault(os.path.dirname(name), []).append((name, found.imports))
    write(contract.OUT / "artifacts" / "nb_to_imports.json", to_json(names, indent=1))
    results.add_all(bad)
    variables = plan.curation.variables({**os.environ, **contract.told(), "PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "agg"})
    for folder, books in folders.items():
        begun = time.monotonic()
        wants = list(dict.fromkeys(want.key for _, found in books for want in found))
        probe = Probe(contract.REPO / folder, plan.seconds("import_timeout", 120), end, variables)
        answers = probe.run(wants) if wants else {}
        verdicts = [judge(name, found, answers, wanted, time.monotonic() - begun) for name, found in books]
        results.add_all(verdicts)
        for verdict in verdicts:
            print(f"imports of {text.line(verdict['name'])} {verdict['outcome']}: {verdict['message']}", flush=True)
    return results.exit_code()


def _is_inside(name: str) -> bool:
    return not os.path.isabs(name) and ".." not in name.split("/")


if __name__ == "__main__":
    raise SystemExit(main())
