"""A mycelium's directory: private, where the environment says, with one key for everybody."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from elfbook.errors import ElfbookError, MyceliumUnreachable
from elfbook.store import place as place_module
from elfbook.store.place import KEY_BYTES, Place, check_url, read_json, write_json, write_private


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ELFBOOK_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Files must be private by themselves, not because the tester's umask makes them so."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "deep" / "state")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---------------------------------------------------------------------- where


def test_the_environment_says_where() -> None:
    environ = {"ELFBOOK_STATE_DIR": "/tmp/zoo", "ELFBOOK_URL": "nats://127.0.0.1:4222", "ELFBOOK_NAMESPACE": "lab"}
    assert Place.default(environ) == Place(Path("/tmp/zoo"), "nats://127.0.0.1:4222", "lab")


@pytest.mark.parametrize(
    "environ", [{}, {"ELFBOOK_STATE_DIR": "", "ELFBOOK_URL": "", "ELFBOOK_NAMESPACE": ""}]
)
def test_without_it_the_place_is_the_users_own(environ: dict[str, str]) -> None:
    found = Place.default(environ)
    assert found.state_dir.is_absolute()
    assert found.state_dir.name == "elfbook"
    assert (found.url, found.namespace) == (None, "main")


def test_a_relative_directory_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And stays there when the process goes elsewhere."""
    monkeypatch.chdir(tmp_path)
    found = Place.default({"ELFBOOK_STATE_DIR": "zoo"})
    assert found.state_dir == tmp_path / "zoo"
    assert Place.at(state_dir="zoo").state_dir == tmp_path / "zoo"


def test_what_is_given_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELFBOOK_URL", "nats://127.0.0.1:4222")
    monkeypatch.setenv("ELFBOOK_NAMESPACE", "lab")
    assert Place.at() == Place.default(os.environ)
    given = Place.at("nats://m:4222", tmp_path)
    assert given == Place(tmp_path, "nats://m:4222", "lab")


# ---------------------------------------------------------------------- private


def test_the_directory_is_for_its_user_only(place: Place) -> None:
    place.prepare()
    assert mode(place.state_dir) == 0o700


def test_a_directory_that_was_open_is_closed(place: Place) -> None:
    place.state_dir.mkdir(parents=True, mode=0o755)
    place.prepare()
    assert mode(place.state_dir) == 0o700


def test_a_directory_of_another_user_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.prepare()
    monkeypatch.setattr(place_module.os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(ElfbookError, match="belongs to another user") as caught:
        place.prepare()
    assert "ELFBOOK_STATE_DIR" in caught.value.hint


def test_a_file_is_private_from_its_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "facts.json"
    write_json(path, {"a": 1})

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(place_module.os, "replace", fails)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_left_of_a_file_that_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(place_module.os, "fsync", fails)
    with pytest.raises(OSError, match="No space"):
        write_private(tmp_path / "key", b"x" * KEY_BYTES, new=True)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- the key


def test_the_key_is_made_once_and_private(place: Place) -> None:
    key = place.key()
    assert len(key) == KEY_BYTES
    assert place.key() == key
    assert Place(place.state_dir).key() == key
    assert mode(place.state_dir / "key") == 0o600
    assert mode(place.state_dir) == 0o700


def test_two_places_have_two_keys(tmp_path: Path) -> None:
    assert Place(tmp_path / "a").key() != Place(tmp_path / "b").key()


def test_the_environment_names_another_key_file(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELFBOOK_KEY_FILE", str(tmp_path / "shared.key"))
    (tmp_path / "shared.key").write_bytes(b"k" * KEY_BYTES)
    assert place.key() == b"k" * KEY_BYTES
    assert not (place.state_dir / "key").exists()


@pytest.mark.parametrize("size", [0, 1, KEY_BYTES - 1])
def test_a_short_key_is_refused_and_not_replaced(place: Place, size: int) -> None:
    place.prepare()
    (place.state_dir / "key").write_bytes(b"k" * size)
    with pytest.raises(ElfbookError, match=f"has {size} bytes instead of {KEY_BYTES}"):
        place.key()
    assert (place.state_dir / "key").stat().st_size == size


def test_whoever_makes_the_key_at_the_same_time_gets_the_same_one(place: Place) -> None:
    program = textwrap.dedent("""\
        import sys
        from pathlib import Path
        from elfbook.store.place import Place
        sys.stdin.read()
        print(Place(Path(sys.argv[1])).key().hex())
    """)
    paths = [str(Path(place_module.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(place.state_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        for _ in range(4)
    ]
    for racer in racers:
        racer.stdin.close()
    keys = set()
    for racer in racers:
        with racer.stdout:
            keys.add(racer.stdout.read().strip())
        assert racer.wait(30) == 0
    assert keys == {place.key().hex()}
    assert [path.name for path in place.state_dir.iterdir()] == ["key"]


# ---------------------------------------------------------------------- the address

FACTS = {"url": "nats://127.0.0.1:4222", "user": "elf", "password": "p", "system_password": "s", "name": "n"}


def test_the_address_is_what_the_server_has_noted(place: Place) -> None:
    place.prepare()
    write_json(place.server_file, FACTS)
    address = place.address()
    assert (address.url, address.user, address.password, address.system_password) == (
        "nats://127.0.0.1:4222",
        "elf",
        "p",
        "s",
    )
    assert place.locate() == "nats://127.0.0.1:4222"


def test_without_a_server_it_says_how_to_start_one(place: Place) -> None:
    with pytest.raises(MyceliumUnreachable, match="no elfbook server was started here") as caught:
        place.address()
    assert "%elf up" in caught.value.hint
    assert place.locate() is None
    assert not place.state_dir.exists(), "asking must not make anything"


def test_a_server_of_ones_own_needs_no_file(tmp_path: Path) -> None:
    own = Place(tmp_path / "none", "nats://127.0.0.1:4222")
    assert own.address().url == "nats://127.0.0.1:4222"
    assert own.locate() == "nats://127.0.0.1:4222"


def test_a_damaged_file_is_named(place: Place) -> None:
    place.prepare()
    place.server_file.write_text(json.dumps(FACTS)[:20])
    with pytest.raises(ElfbookError, match=re.escape(f"{place.server_file} is damaged")) as caught:
        place.address()
    assert "%elf up" in caught.value.hint


@pytest.mark.parametrize("content", ["[]", "7", '"text"', "\x00\x01", ""])
def test_a_file_that_holds_no_facts_is_damaged_too(place: Place, content: str) -> None:
    place.prepare()
    place.server_file.write_text(content)
    with pytest.raises(ElfbookError, match="is damaged"):
        place.address()


def test_bytes_that_are_no_text_are_damage_as_well(place: Place) -> None:
    place.prepare()
    place.server_file.write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ElfbookError, match="is damaged"):
        place.address()


@pytest.mark.parametrize(
    "url", ["nats://127.0.0.1:4222", "nats://localhost:4222", "tls://me:secret@far.example:4222", "tls://token@far.example"]
)
def test_a_server_on_this_machine_or_an_encrypted_one_is_fine(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url, says",
    [
        ("nats://me:secret@far.example:4222", "in the clear"),
        ("far.example:4222", "in the clear"),
        ("tls://far.example:4222", "no credentials"),
    ],
)
def test_a_server_elsewhere_without_encryption_or_credentials_is_refused(url: str, says: str) -> None:
    with pytest.raises(ElfbookError, match=says):
        check_url(url)


# ---------------------------------------------------------------------------- copies of large arguments


@pytest.mark.parametrize("limit", [1 << 30, 1], ids=["in memory", "in a file"])
def test_a_copy_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Whatever becomes of the pieces afterwards; and nothing is left in the folder."""
    monkeypatch.setattr(place_module, "SPOOL_FROM", limit)
    place = Place(tmp_path)
    piece = bytearray(b"zoo" * 1000)
    copy = place.copy([b"head", memoryview(piece)])
    piece[:3] = b"ZOO"
    assert bytes(memoryview(copy)) == b"head" + b"zoo" * 1000
    assert isinstance(copy, bytes) is (limit > 1)
    assert not [path for path in tmp_path.iterdir() if path.stat().st_size >= 3000]
