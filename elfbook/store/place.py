"""Where a mycelium's state is: its directory, address and key."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from elfbook.errors import ElfbookError, MyceliumUnreachable
from elfbook.store.address import Address
from elfbook.store.shelf import Spool

SPOOL_FROM = 32 * 1024 * 1024
"""Arguments above this size are copied to disk and not in memory until they are stored."""
KEY_BYTES = 32


@dataclass(frozen=True)
class Place:
    """A state directory, and the URL of a server of one's own instead of the embedded one."""

    state_dir: Path
    url: str | None = None
    namespace: str = "main"

    @classmethod
    def default(cls, environ: Mapping[str, str] = os.environ) -> Place:
        """As the environment says: ELFBOOK_STATE_DIR, ELFBOOK_URL, ELFBOOK_NAMESPACE."""
        given = environ.get("ELFBOOK_STATE_DIR")
        state_dir = Path(given) if given else Path(platformdirs.user_data_dir("elfbook"))
        return cls(
            state_dir.absolute(),
            environ.get("ELFBOOK_URL") or None,
            environ.get("ELFBOOK_NAMESPACE") or "main",
        )

    @classmethod
    def at(cls, url: str | None = None, state_dir: str | os.PathLike | None = None) -> Place:
        """The default place with what is given put in."""
        base = cls.default()
        return cls(
            Path(state_dir).absolute() if state_dir else base.state_dir, url or base.url, base.namespace
        )

    def prepare(self) -> None:
        """Make the directory, for this user only; ElfbookError when it is open to others."""
        self.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = self.state_dir.stat()
        if facts.st_uid != os.getuid():
            raise ElfbookError(
                f"{self.state_dir} belongs to another user", hint="Choose another one with ELFBOOK_STATE_DIR."
            )
        if stat.S_IMODE(facts.st_mode) & 0o077:
            self.state_dir.chmod(0o700)

    @property
    def server_file(self) -> Path:
        return self.state_dir / "server.json"

    @property
    def host_file(self) -> Path:
        return self.state_dir / "host.json"

    @property
    def roll_file(self) -> Path:
        """The last workers and the next one's number; stays when the host ends."""
        return self.state_dir / "workers.json"

    @property
    def mode_file(self) -> Path:
        """How the embedded server is to store, when that is not `durable`."""
        return self.state_dir / "mode.json"

    @property
    def marks_file(self) -> Path:
        return self.state_dir / "marks.json"

    @property
    def losses_file(self) -> Path:
        """What the store has lost; who knows it may remove the file."""
        return self.state_dir / "losses.json"

    @property
    def limit_file(self) -> Path:
        return self.state_dir / "limit.json"

    @property
    def store(self) -> Path:
        """What the embedded server keeps."""
        return self.state_dir / "store"

    @property
    def values(self) -> Path:
        """Large values as files: a folder of each worker on this machine, and the shelf."""
        return self.state_dir / "values"

    @property
    def shelf(self) -> Path:
        """Where processes leave values for each other; no worker has such a name."""
        return self.values / "shelf."

    @property
    def logs(self) -> Path:
        return self.state_dir / "logs"

    @contextlib.contextmanager
    def runtime(self) -> Iterator[Path]:
        """A private folder for sockets, whose names may have 107 characters; gone afterwards.

        Only for the process that holds the place's host lock: folders that earlier ones left
        because they were killed go too. Each folder says in a file whose it is.
        """
        self.remove_runtimes()
        folder = Path(tempfile.mkdtemp(prefix="elf-"))
        (folder / "of").write_text(str(self.state_dir))
        try:
            yield folder
        finally:
            self.remove_runtimes()

    def remove_runtimes(self) -> None:
        """Remove the folders that `runtime` gave, of whichever process."""
        for mark in Path(tempfile.gettempdir()).glob("elf-*/of"):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                if mark.read_text() == str(self.state_dir):
                    shutil.rmtree(mark.parent, ignore_errors=True)

    def key(self) -> bytes:
        """The mycelium's signing key, made at first use; ELFBOOK_KEY_FILE names another file."""
        path = Path(os.environ.get("ELFBOOK_KEY_FILE") or self.state_dir / "key")
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            self.prepare()
            write_private(path, secrets.token_bytes(KEY_BYTES), new=True)
            key = path.read_bytes()
        if len(key) < KEY_BYTES:
            raise ElfbookError(f"{path} is no elfbook key: it has {len(key)} bytes instead of {KEY_BYTES}")
        return key

    def copy(self, pieces: list[bytes | memoryview]) -> bytes | Spool:
        """The pieces as one buffer that nobody changes: beside memory, in a nameless file, when large."""
        if sum(memoryview(piece).nbytes for piece in pieces) < SPOOL_FROM:
            return b"".join(pieces)
        self.prepare()
        return Spool.of(self.state_dir, pieces)

    def address(self) -> Address:
        """Where the server is; MyceliumUnreachable when none was started here."""
        if self.url:
            check_url(self.url)
            return Address(self.url)
        facts = read_json(self.server_file)
        if not facts:
            raise MyceliumUnreachable(
                "no elfbook server was started here yet",
                hint="Start one with  %elf up   (in a shell:  elfbook up)",
            )
        words = (facts["url"], facts["user"], facts["password"], facts["system_password"])
        return Address(*words, disk=str(self.state_dir))

    def locate(self) -> str | None:
        """The server's present URL, for a connection that was lost."""
        if self.url:
            return self.url
        facts = read_json(self.server_file)
        return facts["url"] if facts else None


def check_url(url: str) -> None:
    """ElfbookError for a server on another machine without encryption or credentials."""
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    host = parts.hostname or ""
    if host in {"localhost", "::1"} or host.startswith("127."):
        return
    if parts.scheme not in ("tls", "wss"):
        raise ElfbookError(
            f"{host} is another machine, and {parts.scheme}:// sends everything in the clear",
            hint="Give the server a certificate and use  tls://user:password@host:port",
        )
    if not parts.username:
        raise ElfbookError(
            f"the server at {host} is another machine, and the URL has no credentials",
            hint="Use  tls://user:password@host:port  or  tls://token@host:port",
        )


def write_private(path: Path, data: bytes, *, new: bool = False) -> None:
    """`data` in a file that only this user can read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if new:
            with contextlib.suppress(FileExistsError):  # someone else was first; theirs counts
                os.link(draft, path)
        else:
            os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_json(path: Path) -> dict | None:
    """The object in a file; None when there is no such file."""
    try:
        value = json.loads(path.read_bytes())
        if not isinstance(value, dict):
            raise ValueError(f"it holds a {type(value).__name__}")
    except FileNotFoundError:
        return None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError among them
        raise ElfbookError(f"{path} is damaged: {error}", hint="Remove the file and run  %elf up") from error
    return value


def write_json(path: Path, value: dict) -> None:
    write_private(path, json.dumps(value, indent=1).encode())
