"""A Jupyter server with elfbook's extension as it is shipped, and scripts that submit flows to its mycelium."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from jupyter_server.auth import Authorizer

import elfbook.server
from elfbook.store.place import Place

WAIT_S = 30
TOKEN = "a-token-of-the-test"
CONFIG = Path(elfbook.server.__file__).parent / "config"
FLOW = '''
import os, time
import elfbook

class Gate(elfbook.Elf):
    """Lets through what waits."""

    def task_pass(self, path: str, word="x"):
        """Returns the word once the file is there."""
        print("at", word)
        while not os.path.exists(path):
            time.sleep(0.01)
        return word

    def task_fail(self, path):
        """Fails until the file is there."""
        if not os.path.exists(path):
            raise ValueError("there is no file")
        return "mended"

with elfbook.flow({flow!r}) as run:
    {body}
'''


class Reader(Authorizer):
    """Lets a user look at everything and run nothing."""

    def is_authorized(self, handler: object, user: object, action: str, resource: str) -> bool:
        return action != "execute"


class Server:
    """A Jupyter server as a process of the test's, with elfbook's extension as it is shipped."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/some/where"
        self.folder, self.environ = folder, environ
        self.process: subprocess.Popen | None = None

    def start(self, *more: str) -> None:
        words = {"port": self.port, "token": TOKEN, "ip": "127.0.0.1", "base_url": "/some/where/",
                 "root_dir": str(self.folder), "port_retries": 0, "open_browser": False, "allow_root": True}
        flags = [f"--ServerApp.{name}={value}" for name, value in words.items() if name != "token"]
        command = [sys.executable, "-m", "jupyter_server", *flags, *more, f"--IdentityProvider.token={TOKEN}"]
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(command, env=self.environ, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + WAIT_S
        while not self.answers():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def answers(self) -> bool:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{self.url}/api", timeout=2):
            return True
        return False

    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(WAIT_S)
            self.process = None


def environ_of(folder: Path, place: Place) -> dict[str, str]:
    found = os.environ | {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    return found | {"HOME": str(folder), "ELFBOOK_STATE_DIR": str(place.state_dir), "JUPYTER_CONFIG_PATH": str(CONFIG),
                    "IPYTHONDIR": str(folder / "ipython"), "ELFBOOK_URL": ""}


def submit(folder: Path, state: Place, flow: str, body: str) -> None:
    """A script submits the flow and ends: nobody but the mycelium knows of the run then."""
    path = folder / f"{flow}.py"
    path.write_text(FLOW.format(flow=flow, body=body))
    told = subprocess.run([sys.executable, str(path)], env=environ_of(folder, state), capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 0, told.stderr
