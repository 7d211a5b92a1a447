"""One kernel: started as a process of our own, spoken to with jupyter_client, ended with everything below it.

A cell is over when both its reply and the kernel's `idle` for it have come; outputs that the kernel sends last are
therefore never lost. Sockets are files, so that neither a port nor a network is needed.
"""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from typing import Callable, Optional

import zmq
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.connect import write_connection_file
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from . import processes
from .outputs import Outputs

_PATIENCE = 1.0  # seconds after a cell's reply, after which its `idle` is asked for again
_QUESTIONS = 20  # so often; then the kernel, which did reply, is taken to be idle
_BACKLOG = 100_000  # messages that may wait for us; beyond, a kernel drops what it says
_GLANCE = 0.1  # seconds between two looks at the process
_PARTING = 0.5  # seconds in which a dead kernel's last messages still arrive
_LAST_WORDS = 64 << 10  # bytes of what a kernel's process itself wrote that are kept
# A crash says where it was, in the stream that we read: the usual one ends in the process that is crashing.
_SAY_CRASHES = (
    "__import__('faulthandler').enable(getattr(__import__('sys').stderr, '_original_stdstream_copy', 2), all_threads=False)"
)
_INTERRUPT = 3.0  # seconds that an interrupted cell has to say where it was


class MissingKernel(Exception):
    """No such kernel is installed in the environment."""


class KernelDied(Exception):
    """The kernel's process ended; `code` is its exit code, negative for a signal."""

    def __init__(self, code: Optional[int]):
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        if self.code is None:
            return "the kernel ended"
        if self.code < 0:
            try:
                return f"the kernel was killed by {signal.Signals(-self.code).name}"
            except ValueError:
                return f"the kernel was killed by signal {-self.code}"
        return f"the kernel ended itself with exit code {self.code}"


class CellRun:
    """How one cell went."""

    def __init__(self):
        self.status = "ok"  # ok | error | timed_out
        self.count: Optional[int] = None
        self.error: Optional[dict] = None
        self.asked_to_quit = False  # by `quit()` or `exit()`: the kernel ends a moment after its answer
        self.seconds = 0.0


class Kernel:
    """A running kernel."""

    def __init__(self, name: Optional[str], folder: str, variables: dict, sockets: str):
        try:
            self.spec = KernelSpecManager().get_kernel_spec(name or "python3")
        except NoSuchKernel:
            raise MissingKernel(name or "python3") from None
        self.folder = folder
        self.variables = {**variables, **(self.spec.env or {})}
        self.sockets = sockets
        self.language: dict = {}
        self._said = b""
        self._messages: deque = deque()
        self._poller = zmq.Poller()
        self._sockets: dict = {}
        self._dead_since: Optional[float] = None
        self._parents: dict = {}  # message id of an earlier cell -> its outputs
        self.process: Optional[subprocess.Popen] = None
        self.client: Optional[BlockingKernelClient] = None

    @property
    def last_words(self) -> str:
        """The end of what the kernel's process itself wrote, such as the trace of a crash."""
        said = self._said.decode("utf-8", "replace")
        crash = said.rfind("Fatal Python error")
        return said[crash:][:3000] if crash >= 0 else said[-3000:]

    def start(self, limit: float, started: Callable):
        """Starts the process, tells its id and waits until it answers; TimeoutError if it does not within the limit."""
        path = os.path.join(self.sockets, "kernel.json")
        write_connection_file(path, transport="ipc", ip=os.path.join(self.sockets, "k"), key=os.urandom(16).hex().encode())
        names = {"connection_file": path, "prefix": sys.prefix, "resource_dir": self.spec.resource_dir}
        command = [part.format(**names) if "{" in part else part for part in self.spec.argv]
        if command[0] in ("python", "python3"):
            command[0] = sys.executable
        variables = {**self.variables, "JPY_PARENT_PID": str(os.getpid())}  # so that it ends with us
        read, write = os.pipe()
        try:
            self.process = subprocess.Popen(command, cwd=self.folder, env=variables, stdin=subprocess.DEVNULL,
                                            stdout=write, stderr=write, start_new_session=True)
        except OSError as error:
            os.close(read)
            raise MissingKernel(f"{command[0]}: {error.strerror}") from None
        finally:
            os.close(write)
        processes.prefer_for_oom(self.process.pid, 1000)
        started(self.process.pid)
        threading.Thread(target=self._listen, args=(read,), daemon=True).start()
        context = zmq.Context()
        context.rcvhwm = _BACKLOG
        self.client = BlockingKernelClient(context=context)
        self.client.load_connection_file(path)
        self.client.start_channels(stdin=False, hb=False)
        self._sockets = {"iopub": self.client.iopub_channel.socket, "shell": self.client.shell_channel.socket}
        for socket in self._sockets.values():
            self._poller.register(socket, zmq.POLLIN)
        self._until_ready(time.monotonic() + limit)
        if self.spec.language.lower() == "python":
            self.client.execute(_SAY_CRASHES, silent=True, store_history=False)

    def _listen(self, read: int):
        with os.fdopen(read, "rb", buffering=0) as pipe:
            while True:
                block = pipe.read(4096)
                if not block:
                    return
                # By bytes, not by blocks: a crash writes its trace in dozens of pieces of a few bytes.
                self._said = (self._said + block)[-_LAST_WORDS:]

    def _next(self, end: float):
        """The next message; TimeoutError at the end, KernelDied when nothing more can come."""
        # A plain poller on purpose: the asyncio client can sleep on a message that came while it was sending.
        while not self._messages:
            ready = dict(self._poller.poll(max(0, min(_GLANCE, end - time.monotonic())) * 1000))
            for name, socket in self._sockets.items():
                if socket in ready:
                    self._take(name, socket)
            if self._messages:
                break
            if self.process.poll() is not None:
                self._dead_since = self._dead_since or time.monotonic()
                if time.monotonic() - self._dead_since > _PARTING:
                    raise KernelDied(self.process.returncode)
            elif time.monotonic() >= end:
                raise TimeoutError
        if time.monotonic() >= end and not self._dead_since:
            raise TimeoutError  # messages without end are no reason to go on
        channel, message = self._messages.popleft()
        kind = (message.get("header") or {}).get("msg_type")
        parent = (message.get("parent_header") or {}).get("msg_id")
        content = message.get("content") or {}
        return channel, kind, parent, content if isinstance(content, dict) else {}

    def _take(self, name: str, socket):
        try:
            _, message = self.client.session.recv(socket, mode=zmq.NOBLOCK)
        except Exception:  # a message that is none: a notebook can write what it likes into the socket
            return
        if message is not None:
            self._messages.append((name, message))

    def _until_ready(self, end: float):
        # The first messages of a publisher are lost on a subscriber that joins late: ask until both channels answer.
        asked, answered, heard = set(), False, False
        while not (answered and heard):
            asked.add(self.client.kernel_info())
            again = min(end, time.monotonic() + 1.0)
            try:
                while not (answered and heard):
                    channel, kind, parent, content = self._next(again)
                    if channel == "iopub":
                        heard = heard or parent in asked
                    elif kind == "kernel_info_reply" and parent in asked:
                        answered = True
                        info = content.get("language_info")
                        self.language = info if isinstance(info, dict) else {}
            except TimeoutError:
                if time.monotonic() >= end:
                    raise

    def execute(self, source: str, outputs: Outputs, end: float, may_raise: bool) -> CellRun:
        """Executes one cell until a moment of the monotonic clock.

        Raises KernelDied. A cell that is not over by then is interrupted, so that it says where it was, and is
        `timed_out`; the kernel is not to be used any more.
        """
        run, begun = CellRun(), time.monotonic()
        wanted = self.client.execute(source, allow_stdin=False, stop_on_error=not may_raise)
        self._parents[wanted] = outputs
        reply, idle, late = None, False, False
        answers, asked = {wanted}, 0.0
        try:
            while not (reply and idle):
                try:
                    channel, kind, parent, content = self._next(end if reply is None else asked + _PATIENCE)
                except TimeoutError:
                    if reply:
                        if len(answers) > _QUESTIONS:
                            break
                        answers.add(self.client.kernel_info())
                        asked = time.monotonic()
                    elif late:
                        break
                    else:
                        late, end = True, time.monotonic() + _INTERRUPT
                        run.status = "timed_out"
                        self._interrupt()
                    continue
                if channel == "shell":
                    if parent == wanted and kind == "execute_reply":
                        reply, asked = content, time.monotonic()
                        run.count = content.get("execution_count", run.count)
                elif kind == "status":
                    # The kernel publishes in order: an idle for a later question means that the cell's own was lost.
                    idle = idle or (content.get("execution_state") == "idle" and parent in answers)
                elif kind == "execute_input" and parent == wanted:
                    run.count = content.get("execution_count")
                elif parent in self._parents:
                    self._parents[parent].take(kind, content)
        finally:
            run.seconds = time.monotonic() - begun
        payload = (reply or {}).get("payload")
        run.asked_to_quit = any(
            isinstance(part, dict) and part.get("source") == "ask_exit" and not part.get("keepkernel")
            for part in (payload if isinstance(payload, list) else [])
        )
        if reply and reply.get("status") != "ok":
            run.status = "error" if run.status == "ok" else run.status
            reported = {key: reply.get(key) for key in ("ename", "evalue", "traceback")}
            run.error = reported if reported["ename"] else outputs.error
        elif run.status == "timed_out":
            run.error = outputs.error
        return run

    def _interrupt(self):
        if self.spec.interrupt_mode == "message":
            self.client.session.send(self.client.control_channel.socket, "interrupt_request", {})
            return
        try:
            os.killpg(self.process.pid, signal.SIGINT)
        except OSError:
            pass

    def end(self):
        """Ends the kernel and everything below this process."""
        if self.client is not None:
            self.client.stop_channels()
        if self.process is not None:
            if self.process.poll() is None:
                try:
                    os.killpg(self.process.pid, signal.SIGKILL)
                except OSError:
                    pass
            self.process.wait()
