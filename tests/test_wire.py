"""Bytes on the network and on disk: hostile ones are named as such, seals hold, subjects do not mix."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from elfbook import facts
from elfbook.errors import ElfUsageError, StoreCorrupt, Untrusted
from elfbook.facts import Failed
from elfbook.model import ElfUse, Failure, Graph, JobSpec, Manifest, Origin, ValueRef
from elfbook.wire import (
    SEAL_BYTES,
    VERSION,
    Names,
    check_flow_name,
    decode,
    decode_record,
    decode_sealed,
    digest_of,
    encode,
    encode_sealed,
    seal,
    unseal,
)

KEY = bytes(range(32))
graph = Graph(
    elves=(ElfUse(elf="Hut", revision="c3" * 32),), jobs=(JobSpec(0, "task_load", b"\x00"),), result=b""
)
failed = Failed(nonce="n1", attempt=1, failure=Failure("ValueError", "too hot", notes=("see above",)))
manifest = Manifest(
    flow="crawl",
    number=7,
    key="e5" * 32,
    jobs=1,
    nonce="n1",
    graph=graph,
    origin=Origin(text="é"),
    parts=(ValueRef("a0" * 32, 5_000_000, "ndarray"),),
)


# ---------------------------------------------------------------------- bytes that are none of ours


def hostile() -> list[bytes]:
    whole = encode(failed)
    return [
        b"",
        VERSION,
        b"\x00",
        b"\xff" * 40,
        b"{}",
        VERSION + b"\xc1",
        VERSION + b"\x80",
        b"\x02" + whole[1:],
        whole[:-1],
        whole[: len(whole) // 2],
        whole + b"\x00",
        VERSION + b"\xdd\xff\xff\xff\xff",
        VERSION + b"\x91" * 100_000,
        VERSION + b"\x81\xa1x" + b"\x91" * 100_000,
        VERSION + b"\x82\xa5event\xa4lost\xa5nonce\xa1\xb0",
        encode({"event": "exploded", "nonce": ""}),
        encode({"event": 7}),
        encode([1]),
    ]


@pytest.mark.parametrize("data", hostile(), ids=lambda data: f"{data[:8].hex()}-{len(data)}")
def test_bytes_that_are_no_record_are_named_as_such(data: bytes) -> None:
    for read in (decode_record, lambda data: decode(data, Manifest)):
        with pytest.raises(StoreCorrupt, match="stored"):
            read(data)


@given(st.binary(max_size=200))
@example(b"\x01\x81\xa5event\xa6failed")
def test_any_bytes_are_read_or_refused_and_nothing_else(data: bytes) -> None:
    for given_ in (data, VERSION + data):
        with contextlib.suppress(StoreCorrupt):
            assert isinstance(decode_record(given_), facts.Event)


def test_a_record_with_flipped_bits_is_another_record_or_none() -> None:
    whole = encode(manifest)
    choose = random.Random(7)
    for _ in range(500):
        bent = bytearray(whole)
        bent[choose.randrange(len(bent))] ^= 1 << choose.randrange(8)
        with contextlib.suppress(StoreCorrupt):
            assert isinstance(decode(bytes(bent), Manifest), Manifest)


# ---------------------------------------------------------------------- seals


@given(st.binary(max_size=300), st.binary(min_size=32, max_size=64))
def test_what_is_sealed_comes_back(body: bytes, key: bytes) -> None:
    assert unseal(seal(body, key), key, "it") == body
    assert unseal(memoryview(seal(body, key)), key, "it") == body


def test_a_sealed_value_comes_back() -> None:
    assert decode_sealed(encode_sealed(graph, KEY), Graph, KEY, "a graph") == graph


@given(st.data())
def test_no_changed_byte_passes(data: st.DataObject) -> None:
    sealed = bytearray(encode_sealed(graph, KEY))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Untrusted, match="a graph is not signed"):
        unseal(bytes(sealed), KEY, "a graph")


@pytest.mark.parametrize(
    "sealed",
    [
        b"",
        b"\x00" * SEAL_BYTES,
        b"short",
        encode(graph),
        seal(encode(graph), KEY)[:-1],
        seal(encode(graph), KEY) + b"\x00",
        seal(encode(graph), bytes(32)),
        seal(encode(graph), KEY)[SEAL_BYTES:],
    ],
    ids=["empty", "zeros", "short", "no seal", "cut", "longer", "another key", "stripped"],
)
def test_nothing_is_opened_without_the_right_seal(sealed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object) -> None:
        pytest.fail("it was decoded before its seal was checked")

    monkeypatch.setattr("elfbook.wire.decode", opened)
    with pytest.raises(Untrusted) as caught:
        decode_sealed(sealed, Graph, KEY, "a graph")
    assert "ELFBOOK_KEY_FILE" in caught.value.hint


def test_a_digest_does_not_depend_on_how_the_bytes_are_cut() -> None:
    assert digest_of(b"abc", b"", memoryview(b"def")) == digest_of(b"abcdef")
    assert digest_of() == digest_of(b"")
    assert digest_of(b"abc") != digest_of(b"abd")


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["crawl", "_x", "A-b_9", "a" * 64])
def test_a_name_that_a_flow_can_have(name: str) -> None:
    assert check_flow_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "9x", "-x", "a b", "a.b", "a*", "a>", "ä", "a" * 65, "a\n", "../a", "a/b"]
)
def test_a_name_that_no_flow_can_have(name: str) -> None:
    with pytest.raises(ElfUsageError, match="flow cannot be called"):
        check_flow_name(name)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "*", "a\n", ">"])
def test_a_name_that_no_namespace_can_have(name: str) -> None:
    with pytest.raises(ElfUsageError, match="namespace cannot be called"):
        Names(name)


def test_a_jobs_subject_names_its_run_and_number() -> None:
    assert Names.job_of(Names("lab").job("crawl-2_b.17", 1234)) == ("crawl-2_b.17", 1234)


def test_what_is_said_of_a_run_names_no_job_and_no_lot() -> None:
    names = Names("lab")
    for subject in (names.pause("crawl-2_b.17"), names.ends("crawl-2_b.17"), names.claims("crawl-2_b.17", 3)):
        assert names.job_of(subject) == ("crawl-2_b.17", -1)
        assert names.run_of(subject) == "crawl-2_b.17"
    assert matches(names.jobs_of("crawl.7"), names.pause("crawl.7"))
    assert not matches(names.lot("crawl.7", 0), names.pause("crawl.7"))
    assert names.lot_of(names.pause("crawl.7")) is None


def test_all_offers_of_a_run_and_no_others_lie_under_one_pattern() -> None:
    names = Names("lab")
    pattern = names.offers_of("crawl.7")
    for run, whose in [("crawl.7", True), ("crawl.77", False), ("crawl-7.7", False), ("main.7", False)]:
        offers = [names.offer_to_pool("main", run, 1, "0"), names.offer_to_worker("crawl", run, 1, "5-2")]
        for offer in [*offers, names.lot_offer("main", run, 0, 9)]:
            assert matches(pattern, offer) is whose


def matches(pattern: str, subject: str) -> bool:
    """As NATS matches: `*` one token, `>` one or more at the end."""
    wanted, given_ = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, given_ = wanted[:-1], given_[: len(wanted) - 1] if len(given_) >= len(wanted) else []
    return len(wanted) == len(given_) and all(a in ("*", b) for a, b in zip(wanted, given_, strict=True))


def subjects(names: Names) -> dict[str, list[str]]:
    return {
        names.runs: [names.run("crawl"), names.settled("crawl.7")],
        names.jobs: [names.job("crawl.7", 1), names.keep("animals"), names.holder("animals"), names.pause("crawl.7")],
        names.work: [
            names.offer_to_pool("main", "crawl.7", 1, 0),
            names.offer_to_worker("w1", "crawl.7", 1, 0),
        ],
        names.blobs: [names.chunk("a0" * 32, 0)],
        names.output: [names.output_of("crawl.7", 1)],
    }


def test_every_stored_subject_belongs_to_exactly_its_stream() -> None:
    names = Names("lab")
    patterns = [(stream, each) for stream, every in names.stream_subjects().items() for each in every]
    for stream, every in subjects(names).items():
        for subject in every:
            assert [found for found, pattern in patterns if matches(pattern, subject)] == [stream]


def test_what_is_not_stored_belongs_to_no_stream() -> None:
    names = Names("lab")
    unstored = [
        names.beat("w1"),
        names.gone("w1"),
        names.stop_job("w1"),
        names.census,
        names.client_beat,
        names.host("h"),
    ]
    patterns = [each for every in names.stream_subjects().values() for each in every]
    assert not [subject for subject in unstored for pattern in patterns if matches(pattern, subject)]


@pytest.mark.parametrize(
    ("pattern", "subject", "other"),
    [
        ("every_run", Names().run("crawl"), Names().settled("crawl.7")),
        ("every_settled", Names().settled("crawl.7"), Names().run("crawl")),
        ("every_job", Names().job("crawl.7", 1), Names().keep("animals")),
        ("every_beat", Names().beat("w1"), Names().gone("w1")),
        ("every_gone", Names().gone("w1"), Names().beat("w1")),
    ],
)
def test_a_pattern_covers_its_kind_only(pattern: str, subject: str, other: str) -> None:
    assert matches(getattr(Names(), pattern), subject)
    assert not matches(getattr(Names(), pattern), other)


def test_a_run_is_not_confused_with_one_whose_name_begins_alike() -> None:
    names = Names()
    assert matches(names.jobs_of("crawl.1"), names.job("crawl.1", 5))
    assert not matches(names.jobs_of("crawl.1"), names.job("crawl.11", 5))
    assert not matches(names.outputs_of("crawl.1"), names.output_of("crawl-1.1", 5))
    assert not matches(names.pool_offers("main"), names.offer_to_worker("main", "crawl.1", 5, 0))


def test_two_namespaces_share_no_subject_and_no_stream() -> None:
    ours, theirs = Names("lab"), Names("lab2")
    assert not set(ours.stream_subjects()) & set(theirs.stream_subjects())
    for every in subjects(theirs).values():
        for subject in every:
            assert not [p for found in ours.stream_subjects().values() for p in found if matches(p, subject)]


def test_a_new_state_of_a_job_is_a_new_offer() -> None:
    names = Names()
    assert names.offer_to_pool("main", "crawl.7", 1, 0) != names.offer_to_pool("main", "crawl.7", 1, 9)
