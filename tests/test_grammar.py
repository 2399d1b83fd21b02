"""What may be typed: words, flags, what is said of those that do not fit, and the help pages."""

from __future__ import annotations

import pytest

from elfbook.errors import ElfUsageError
from elfbook.notebook import helppages
from elfbook.notebook.grammar import flow_name, parse, seconds, silenced, size_in_bytes, split
from elfbook.notebook.vocabulary import DEFINE, FLOW, VERBS


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("retry party", ["retry", "party"]),
        ("retry party  # after the fix", ["retry", "party"]),
        ("# nothing but words", []),
        ("retry party;", ["retry", "party"]),
        ("retry party ;  # quietly", ["retry", "party"]),
        ('cancel party --why "wrong input, # really"', ["cancel", "party", "--why", "wrong input, # really"]),
        ("cancel party --why 'it''s'", ["cancel", "party", "--why", "its"]),
        ("show party/task_hello[2]", ["show", "party/task_hello[2]"]),
        ("show flow#1", ["show", "flow#1"]),
        (r"up --kernel C:\kernels\x", ["up", "--kernel", r"C:\kernels\x"]),
        ('cancel party --why ""', ["cancel", "party", "--why", ""]),
    ],
)
def test_a_line_is_split_into_words(line: str, words: list[str]) -> None:
    assert split(line) == words


def test_an_open_quotation_mark_is_named() -> None:
    with pytest.raises(ElfUsageError, match="never closed"):
        split('cancel party --why "wrong')


@pytest.mark.parametrize(
    ("line", "quiet"), [("up 2", False), ("up 2;", True), ("up 2 ; # x", True), ("up # ;", False)]
)
def test_a_last_semicolon_silences(line: str, quiet: bool) -> None:
    assert silenced(line) is quiet


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("500ms", 0.5), ("2min", 120), ("1d", 86400)],
)
def test_lengths_of_time(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "s", "-3s", "3 weeks", "0", "nan", "1e3"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(ValueError, match="is not a length of time"):
        seconds(text)


@pytest.mark.parametrize("text", ["party", "crawl-2", "_x", "Ünsinn"])
def test_names_for_flows(text: str) -> None:
    assert flow_name(text) == text


@pytest.mark.parametrize("text", ["2nd", "a b", "a.b", "a/b", "a*", "", "a>"])
def test_no_names_for_flows(text: str) -> None:
    with pytest.raises(ValueError, match="is not a name for a flow"):
        flow_name(text)


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("party", {"name": "party"}),
        ("party --wait", {"name": "party", "wait": True}),
        ("party --wait 5", {"name": "party", "wait": 5.0}),
        ("party --wait=2m", {"name": "party", "wait": 120.0}),
        ("--wait party", {"name": "party", "wait": True}),
        ("party --retries 2 --timeout 90s -q", {"name": "party", "retries": 2, "timeout": 90.0, "q": True}),
        (
            "party --on-lost fail --priority low --limit api:3 --deadline 10m --lost-retries 0",
            {"name": "party", "on_lost": "fail", "priority": "low", "limit": "api:3", "deadline": 600.0}
            | {"lost_retries": 0},
        ),
        ("party --no-wait", {"name": "party", "no_wait": True}),
        ("-o handle party", {"name": "party", "o": "handle"}),
    ],
)
def test_what_was_typed_is_read_by_the_verbs_table(words: str, given: dict) -> None:
    assert parse(words.split(), FLOW).given == given


def test_a_flag_may_come_again_where_the_table_says_so() -> None:
    given = parse("1 --elf calc1 --elf calc2".split(), VERBS["up"]).given
    assert given == {"n": 1, "elf": ["calc1", "calc2"]}


@pytest.mark.parametrize(
    ("verb", "words", "message"),
    [
        ("flow", "party --wiat", "unknown flag `--wiat`; did you mean `--wait`?"),
        ("flow", "party --rettries=2", "unknown flag `--rettries`; did you mean `--retries`?"),
        ("up", "--zzz", "unknown flag `--zzz`; there are `--url`, `--kernel`, `--elf`, `--keep`, `--fast`, `--store-limit`, `-o`, `-q`"),
        ("down", "-x", "unknown flag `-x`; did you mean `-q`?"),
        ("flow", "party --retries", "`--retries` needs a value: --retries N"),
        ("flow", "party --retries two", "`--retries`: 'two' is not a whole number"),
        ("flow", "party --timeout soon", "`--timeout`: 'soon' is not a length of time such as 90s or 10m"),
        ("flow", "party --on-lost keep", "`--on-lost`: 'keep' is none of fail, retry"),
        ("flow", "party --priority hihg", "`--priority`: 'hihg' is none of high, normal, low; did you mean high?"),
        (
            "flow",
            "party --limit api",
            "`--limit`: 'api' is not a limit: it is a name and how many may run at once",
        ),
        ("flow", "party --dry=yes", "`--dry` takes no value"),
        ("flow", "party -o 2x", "`-o`: '2x' is not a name for a variable"),
        ("flow", "", "NAME is missing: %%elf flow NAME [options]"),
        ("flow", "party crasher", "`crasher` is one word too many: %%elf flow NAME [options]"),
        ("retry", "", "X is missing: %elf retry X [options]"),
        ("up", "many", "[N]: 'many' is not a whole number"),
    ],
)
def test_what_does_not_fit_is_said_in_the_users_words(verb: str, words: str, message: str) -> None:
    with pytest.raises(ElfUsageError) as caught:
        parse(words.split(), FLOW if verb == "flow" else VERBS[verb])
    assert str(caught.value) == message
    assert caught.value.hint == f"See  %elf help {verb}"


@pytest.mark.parametrize("topic", ["", "flow", *VERBS])
def test_a_help_page_is_short_and_narrow(topic: str) -> None:
    lines = helppages.page(topic).splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("verb", [FLOW, *VERBS.values()], ids=lambda verb: verb.name)
def test_a_verbs_page_tells_of_all_its_flags(verb: object) -> None:
    page = helppages.page(verb.name)
    assert page.startswith(verb.usage)
    assert all(flag.name in page for flag in verb.flags)


@pytest.mark.parametrize("verb", [FLOW, DEFINE, *VERBS.values()], ids=lambda verb: verb.name or "define")
def test_examples_can_be_typed(verb: object) -> None:
    for example in verb.examples:
        words = split(example)[1:]
        if verb.name:
            assert words.pop(0) == verb.name
        parse(words, verb)


def test_the_overview_names_verbs_that_exist() -> None:
    with pytest.raises(ElfUsageError, match="unknown verb `retri`; did you mean `retry`"):
        helppages.page("retri")
    for line in helppages.OVERVIEW.splitlines():
        if line.startswith("  %elf "):
            words = line.split("  ")[1].removeprefix("%elf").replace("|", " ").split()
            assert {word for word in words if word.isalpha()} <= set(VERBS)


@pytest.mark.parametrize(
    ("text", "number"),
    [("10GB", 10**10), ("500 mb", 5 * 10**8), ("1.5TB", 15 * 10**11), ("7kb", 7000), ("12b", 12)],
)
def test_a_size(text: str, number: int) -> None:
    assert size_in_bytes(text) == number


@pytest.mark.parametrize("text", ["10", "GB", "0GB", "-1GB", "10 gigabytes", "1e3GB", ""])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="such as 500MB or 10GB"):
        size_in_bytes(text)
