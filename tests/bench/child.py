"""The process that measures one system, seen from the one that gathers the figures."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIMIT_S = 300.0
GRACE_S = 60.0
"""How long a system may take to end what it started."""


def python_of(name: str, peers: Path | None) -> str:
    """The interpreter of a peer's own environment where there is one, else this one."""
    own = peers / name / "bin" / "python" if peers else None
    return str(own) if own is not None and own.exists() else sys.executable


class Child:
    """One system under measurement; `lines` gives what it tells."""

    def __init__(self, name: str, measures: list[str], *, quick: bool, peers: Path | None) -> None:
        python = python_of(name, peers)
        command = [python, str(HERE / "run.py"), *(["--quick"] if quick else []), "--take", name, *measures]
        path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
        programs = os.pathsep.join([str(Path(python).parent), os.environ["PATH"]])
        environ = os.environ | {"BENCH_STARTED": str(time.time()), "PYTHONPATH": path, "PATH": programs}
        self.trouble = ""
        """Why it told no more; empty when it told everything."""
        self.current = ""
        """The measure that it is at."""
        self._process = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._told: queue.Queue[dict | None] = queue.Queue()
        self._errors: list[str] = []
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._listen, self._note)]
        for thread in self._threads:
            thread.start()

    def lines(self, limits_s: Mapping[str, float]) -> Iterator[dict]:
        """What it tells, until it ends or is silent for longer than its present measure may be."""
        while True:
            limit_s = limits_s.get(self.current, LIMIT_S)
            try:
                line = self._told.get(timeout=limit_s)
            except queue.Empty:
                self.trouble = f"not done after {limit_s:.0f} s"
                self._end()
                return
            if line is None:
                code = self._process.wait()
                if code:
                    self.trouble = (self._errors or [f"ended with code {code}"])[-1]
                return
            self.current = line.get("begun", self.current)
            yield line

    def _listen(self) -> None:
        for line in self._process.stdout:
            if line.startswith("{"):
                self._told.put(json.loads(line))
        self._told.put(None)

    def _note(self) -> None:
        for line in self._process.stderr:
            if line.strip():
                self._errors = [*self._errors[-20:], line.strip()]
            if os.environ.get("BENCH_TRACE"):
                sys.stderr.write(line)

    def _end(self) -> None:
        """Interrupted first, so that it ends what it has started."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
