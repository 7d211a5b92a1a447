"""One kernel: started as a process of our own, spoken to with jupyter_client, ended with everything below it.

A cell is over when both its reply and the kernel's `idle` for it have come; outputs that the kernel sends last are
therefore never lost. Sockets are files, so that neither a port nor a network is needed.
"""
from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from typing import Optional

from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.connect import write_connection_file
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from . import processes
from .outputs import Outputs

_PATIENCE = 5.0  # seconds without a message, after which a lost `idle` is asked for
_PARTING = 0.5  # seconds in which a dead kernel's last messages still arrive
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
        self._said: deque = deque(maxlen=64)
        self._messages: asyncio.Queue = asyncio.Queue()
        self._tasks: list = []
        self._parents: dict = {}  # message id of an earlier cell -> its outputs
        self.process: Optional[subprocess.Popen] = None
        self.client: Optional[AsyncKernelClient] = None

    @property
    def last_words(self) -> str:
        """The end of what the kernel's process itself wrote, such as the trace of a crash."""
        return b"".join(self._said).decode("utf-8", "replace")[-4000:]

    async def start(self, limit: float):
        """Starts the process and waits until it answers; TimeoutError if it does not within the limit."""
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
        threading.Thread(target=self._listen, args=(read,), daemon=True).start()
        self.client = AsyncKernelClient()
        self.client.load_connection_file(path)
        self.client.start_channels(stdin=False, hb=False)
        self._tasks = [asyncio.ensure_future(task) for task in (
            self._receive("iopub", self.client.iopub_channel), self._receive("shell", self.client.shell_channel),
            self._watch(),
        )]
        await self._until_ready(time.monotonic() + limit)

    def _listen(self, read: int):
        with os.fdopen(read, "rb", buffering=0) as pipe:
            while True:
                block = pipe.read(4096)
                if not block:
                    return
                self._said.append(block)

    async def _receive(self, channel: str, socket):
        while True:
            try:
                message = await socket.get_msg(timeout=None)
            except asyncio.CancelledError:
                raise
            except Exception:  # a message that is none: a notebook can write what it likes into the socket
                await asyncio.sleep(0.01)
                continue
            self._messages.put_nowait((channel, message))

    async def _watch(self):
        while self.process.poll() is None:
            await asyncio.sleep(0.05)
        await asyncio.sleep(_PARTING)
        self._messages.put_nowait(("died", self.process.returncode))

    async def _next(self, end: float):
        """The next message; TimeoutError at the end, KernelDied when nothing more can come."""
        left = end - time.monotonic()
        if left <= 0 and self._messages.empty():
            raise asyncio.TimeoutError
        channel, message = await asyncio.wait_for(self._messages.get(), max(left, 0.01))
        if channel == "died":
            raise KernelDied(message)
        header = message.get("header") or {}
        parent = (message.get("parent_header") or {}).get("msg_id")
        content = message.get("content") or {}
        return channel, header.get("msg_type"), parent, content if isinstance(content, dict) else {}

    async def _until_ready(self, end: float):
        # The first messages of a publisher are lost on a subscriber that joins late: ask until both channels answer.
        asked, answered, heard = set(), False, False
        while not (answered and heard):
            asked.add(self.client.kernel_info())
            again = min(end, time.monotonic() + 1.0)
            try:
                while not (answered and heard):
                    channel, kind, parent, content = await self._next(again)
                    if channel == "iopub":
                        heard = heard or parent in asked
                    elif kind == "kernel_info_reply" and parent in asked:
                        answered = True
                        info = content.get("language_info")
                        self.language = info if isinstance(info, dict) else {}
            except asyncio.TimeoutError:
                if time.monotonic() >= end:
                    raise

    async def execute(self, source: str, outputs: Outputs, end: float, may_raise: bool) -> CellRun:
        """Executes one cell until a moment of the monotonic clock.

        Raises KernelDied. A cell that is not over by then is interrupted, so that it says where it was, and is
        `timed_out`; the kernel is not to be used any more.
        """
        run, begun = CellRun(), time.monotonic()
        wanted = self.client.execute(source, allow_stdin=False, stop_on_error=not may_raise)
        self._parents[wanted] = outputs
        reply, idle, probe, late = None, False, None, False
        try:
            while not (reply and idle):
                wait = end if reply is None else min(end, time.monotonic() + _PATIENCE)
                try:
                    channel, kind, parent, content = await self._next(wait)
                except asyncio.TimeoutError:
                    if time.monotonic() >= end:
                        if late:
                            break
                        late, end = True, time.monotonic() + _INTERRUPT
                        run.status = "timed_out"
                        self._interrupt()
                    elif probe is None:
                        probe = self.client.kernel_info()
                    continue
                if channel == "shell":
                    if parent == wanted and kind == "execute_reply":
                        reply = content
                        run.count = content.get("execution_count", run.count)
                elif kind == "status":
                    # The kernel publishes in order: an idle for a later question means that the cell's own was lost.
                    idle = idle or (content.get("execution_state") == "idle" and parent in (wanted, probe))
                elif kind == "execute_input" and parent == wanted:
                    run.count = content.get("execution_count")
                elif parent in self._parents:
                    self._parents[parent].take(kind, content)
        finally:
            run.seconds = time.monotonic() - begun
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

    async def end(self):
        """Ends the kernel and everything below this process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.client is not None:
            self.client.stop_channels()
        if self.process is not None:
            if self.process.poll() is None:
                try:
                    os.killpg(self.process.pid, signal.SIGKILL)
                except OSError:
                    pass
            self.process.wait()
