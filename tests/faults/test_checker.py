"""The checker finds what it is there for: each kind of wrong that it knows is made by hand once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PRELUDE = """\
import sys
sys.path.insert(0, sys.argv[1])
import ground
from checker import *
from checker import ends_or_can_run, folded, never_two_at_once, parents_first, trails_agree
from trails import Mark
from elfbook.facts import Cancelled, Claimed, Released, Stored, Succeeded
from elfbook.model import ElfUse, Graph, JobSpec

graph = Graph(elves=(ElfUse("Trail", "0"),), jobs=(JobSpec(0, "task_step", b""), JobSpec(0, "task_step", b"", parents=(0,))), result=b"")


def facts(*events, first=1):
    return [Stored(job, seq, float(seq), event) for seq, (job, event) in enumerate(events, first)]


def mark(what, word, token, at=0.0):
    return Mark(what, str(word), token, at, 1)


claimed, done = Claimed("n", 1, "w"), Succeeded("n", 1)
well = facts((0, claimed), (0, done), (1, claimed), (1, done))
trail = [mark(what, job, token) for job, token in ((0, "a"), (1, "b")) for what in ("begin", "end")]
results = {0: {"token": "a", "of": []}, 1: {"token": "b", "of": ["a"]}}
"""
CASES = {
    "a run as it should be": (
        "state, counted, wrong = folded(graph, 'r', well)\n"
        "wrong += ends_or_can_run(state, whole=True) + parents_first(counted, state)\n"
        "wrong += trails_agree(trail, counted, state, results) + never_two_at_once(trail, {0: ['a'], 1: ['b']})",
        "",
    ),
    "a job that has not ended": ("wrong = ends_or_can_run(folded(graph, 'r', well[:3])[0], whole=True)", "(i)"),
    "a record after the end": (
        "wrong = folded(graph, 'r', [*well, *facts((0, Cancelled('n')), first=9)])[2]", "(ii)",
    ),
    "a claim before its parent's success": (
        "state, counted, _ = folded(graph, 'r', facts((1, claimed), (0, claimed)))\nwrong = parents_first(counted, state)",
        "(iv)",
    ),
    "a result made of something else": (
        "state, counted, _ = folded(graph, 'r', well)\nresults[1]['of'] = ['z']\n"
        "wrong = trails_agree(trail, counted, state, results)", "(iv)",
    ),
    "a job that was given back after it had begun": (
        "given_back = Released('n', 1, 'w', begun=True)\n"
        "twice = facts((0, claimed), (0, given_back), (0, claimed), (0, done), (1, claimed), (1, done))\n"
        "state, counted, _ = folded(graph, 'r', twice)\n"
        "wrong = trails_agree([mark('begin', 0, 'c'), *trail], counted, state, results)", "",
    ),
    "a job that had not begun when it was given back": (
        "given_back = Released('n', 1, 'w')\n"
        "twice = facts((0, claimed), (0, given_back), (0, claimed), (0, done), (1, claimed), (1, done))\n"
        "state, counted, _ = folded(graph, 'r', twice)\n"
        "wrong = trails_agree([mark('begin', 0, 'c'), *trail], counted, state, results)", "(v)",
    ),
    "an attempt that nobody claimed": (
        "state, counted, _ = folded(graph, 'r', well)\n"
        "wrong = trails_agree([*trail, mark('begin', 0, 'c')], counted, state, results)", "(v)",
    ),
    "a result of an attempt that did not end": (
        "state, counted, _ = folded(graph, 'r', well)\nwrong = trails_agree(trail[:3], counted, state, results)", "(v)",
    ),
    "two attempts at once that both counted": (
        "marks = [mark('begin', 0, 'a', 1.0), mark('end', 0, 'a', 3.0), mark('begin', 0, 'c', 2.0), mark('end', 0, 'c', 4.0)]\n"
        "wrong = never_two_at_once(marks, {0: ['a', 'c']})", "(v)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_finds(case: str) -> None:
    code, point = CASES[case]
    program = f"{PRELUDE}\n{code}\nprint(wrong[0] if wrong else '')"
    told = subprocess.run(
        [sys.executable, "-c", program, str(HERE)], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith(point) if point else told.stdout == "\n", told.stdout
