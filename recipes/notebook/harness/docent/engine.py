"""Runs notebooks, several at once, each in a copy of the checkout and a process of its own."""
from __future__ import annotations

import json
import os
import re
import shutil
import signal
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Optional

from . import contract, processes, scratch, surroundings, text
from .nursery import Nursery
from .results import Results, result

_MARGIN = 10.0  # seconds before the tier's own limit, in which results are written
_WORDS = {"timed_out": "timed out", "out_of_memory": "out of memory", "out_of_disk": "out of disk"}


class Engine:
    """One step's notebooks."""

    def __init__(self, plan: contract.Plan, names: list, results: Optional[Results] = None):
        self.plan = plan
        self.names = list(dict.fromkeys(names))
        self.declined = {name: why for name in self.names if (why := plan.curation.declined(name))}
        self.end = time.monotonic() + plan.timeout_seconds - min(_MARGIN, plan.timeout_seconds / 10)
        self.results = results or Results(plan.tier, self.names, contract.environment())
        self.at_once = min(len(self.names), int(plan.settings.get("at_once") or 0) or plan.cpus)
        self.scratch = contract.REPO / scratch.FOLDER
        self.nursery = Nursery()
        self._lock = threading.Lock()
        self._finished = 0
        self._is_over = False

    def run(self) -> int:
        """Runs all and answers with the step's exit code."""
        processes.adopt_orphans()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        scratch.remove(self.scratch)
        checkout = scratch.Checkout(contract.REPO, self.plan.size("copy_limit", 256 << 20))
        self.scratch.mkdir()
        self._say(f"{len(self.names)} notebooks, {self.at_once} at a time")
        for name, why in self.declined.items():
            self._finish(result(name, "skipped", "skipped", why))
        wanted = [name for name in self.plan.ordered(self.names) if name not in self.declined]
        try:
            self._all(checkout, wanted, self.at_once)
        finally:
            self.nursery.close()
            scratch.remove(self.scratch)
        left = [name for name in self.names if name not in self.results.tests]
        for name in left:
            self._say(f"not run: {text.line(name)}: the tier's time was over")
        code = self.results.exit_code()
        return contract.FAILED if left and code in (contract.PASSED, contract.SKIPPED) else code

    def _all(self, checkout: scratch.Checkout, names: list, at_once: int):
        again: list = []

        def one(place_and_name):
            place, name = place_and_name
            if self._is_over or self.end - time.monotonic() < 1:
                return
            try:
                verdict, maybe_others = self._one(checkout, place, name)
            except Exception:  # one notebook is no reason to leave the others out
                message, said = "the machinery failed at this notebook", traceback.format_exc()
                verdict, maybe_others = result(name, "errored", "driver", message, stderr=said), False
            # Memory is shared by notebooks that run at once: only one that ran alone can be said to need too much.
            if maybe_others and at_once > 1:
                self._say(f"notebook {text.line(name)} ran out of memory beside others: it runs again, alone")
                again.append(name)
                return
            self._finish(verdict)

        with ThreadPoolExecutor(max_workers=at_once) as pool:
            for done in [pool.submit(one, item) for item in enumerate(names)]:
                done.result()
        if again:
            self._all(checkout, sorted(again, key=names.index), 1)

    def _one(self, checkout: scratch.Checkout, number: int, name: str):
        place = self.scratch / str(number)
        sockets = ""
        begun = time.monotonic()
        kills = processes.oom_kills()
        try:
            sockets = tempfile.mkdtemp(prefix="dk")
            checkout.copy(place / "repo")
            for folder in ("home", "tmp"):
                (place / folder).mkdir()
            job = self._job(place, sockets, name)
            before = scratch.Snapshot(place / "repo")
            answer, code = self.nursery.drive(job, place / "driver", job["limit"] + _MARGIN / 2)
            seconds = time.monotonic() - begun
            wrote, more = before.wrote((place / "repo" / name).parent)
        except ChildProcessError as error:
            return result(name, "errored", "driver", str(error)), False
        except OSError as error:
            full = error.errno == 28
            kind = ("out_of_disk", "out_of_disk") if full else ("errored", "scratch")
            return result(name, *kind, f"the copy of the checkout cannot be made: {error}"), False
        finally:
            scratch.remove(place)
            shutil.rmtree(sockets, ignore_errors=True)
        verdict, maybe_others = self._verdict(job, answer, code, kills, seconds)
        return {**verdict, "wrote": wrote, "wrote_more": more}, maybe_others

    @staticmethod
    def _verdict(job: dict, answer: Optional[dict], code: int, kills: Optional[int], seconds: float):
        """The driver's own answer, or what its end without one means; and whether memory of others may be behind it."""
        name = job["name"]
        # A notebook can write into the driver's pipe itself; it does not get to speak of another, or for a driver that it killed.
        if code != 0 or not _is_result(answer) or answer["name"] != name:
            if code == -9 and seconds >= job["limit"]:
                message = f"the notebook reached {job['limit_words']} and did not end"
                return result(name, "timed_out", "timed_out", message, seconds=seconds), False
            if code == -9:
                now = processes.oom_kills()
                if kills is not None and now is not None and now > kills:
                    message = "the process that drove the notebook was killed for memory"
                    return result(name, "out_of_memory", "out_of_memory", message, seconds=seconds), True
                # Nobody else may kill it, and the notebook's own processes would have been killed for memory first.
                message = "the process that drove the notebook was killed, it seems by the notebook"
                return result(name, "failed", "driver_killed", message, seconds=seconds), kills is None
            message = f"the process that drove the notebook ended with code {code}"
            return result(name, "errored", "driver", message, seconds=seconds), False
        sigkill = answer["class"] == "kernel_died" and "SIGKILL" in answer["message"]
        suspect = answer["class"] == "out_of_memory" or (sigkill and processes.oom_kills() is None)
        return answer, suspect

    def _job(self, place: Path, sockets: str, name: str) -> dict:
        plan = self.plan
        own, left = plan.seconds("notebook_timeout", 3600), self.end - time.monotonic()
        folder = (place / "repo" / name).parent
        variables = surroundings.make(plan, place, PYDEVD_DISABLE_FILE_VALIDATION="1", JUPYTER_PATH=str(self._kernels(place)))
        return {
            "name": name,
            "file": str(place / "repo" / name),
            "folder": str(folder),
            "sockets": sockets,
            "artifact": str(contract.OUT / "artifacts" / "notebooks" / name),
            "variables": variables,
            "limit": min(own, left),
            "limit_words": f"its limit of {own:g} s" if own <= left else f"the end of the time of the tier {plan.tier}",
            "cell_timeout": plan.seconds("cell_timeout", 600),
            "start_timeout": plan.seconds("start_timeout", 120),
            "output_limit": plan.size("output_limit", 16 << 20),
            "memory_bytes": plan.memory_bytes,
            "kernel_name": plan.curation.kernel_name,
        }

    def _kernels(self, place: Path) -> Path:
        """Registers the environment's kernel under the spec's name, for notebooks that start others themselves."""
        name, root = self.plan.curation.kernel_name, place / "jupyter"
        if re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name):
            folder = root / "kernels" / name.lower()
            folder.mkdir(parents=True, exist_ok=True)
            argv = [str(contract.VENV / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            spec = {"argv": argv, "display_name": text.line(self.plan.curation.display_name), "language": "python"}
            (folder / "kernel.json").write_text(json.dumps(spec), "utf-8")
        return root

    def _finish(self, verdict: dict):
        if self._is_over:
            return  # its end was ours
        self.results.add(verdict)
        with self._lock:
            self._finished += 1
            words = _WORDS.get(verdict["outcome"], verdict["outcome"])
            count = f"{self._finished}/{len(self.names)}"
            more = f": {verdict['message']}" if verdict["message"] else ""
            self._say(f"notebook {count} {text.line(verdict['name'])} {words} {verdict['seconds']:.1f} s{more}")

    def _on_signal(self, number, _frame):
        self._is_over = self.nursery.is_over = True
        processes.kill_below(os.getpid(), limit=3)
        scratch.remove(self.scratch)
        os._exit(128 + number)

    @staticmethod
    def _say(line: str):
        print(line, flush=True)


def _is_result(answer) -> bool:
    """As `results.result` makes them: what is anything else is not the driver's."""
    like = result("", "", "")
    if not isinstance(answer, dict) or answer.keys() != like.keys():
        return False
    return type(answer["seconds"]) in (int, float) and all(isinstance(answer[key], str) for key, value in like.items() if isinstance(value, str))
