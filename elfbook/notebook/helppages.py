"""The pages that `%elf?`, `%elf help VERB` and `%elf VERB --help` show."""

from __future__ import annotations

from elfbook.notebook.grammar import Verb, unknown
from elfbook.notebook.vocabulary import FLOW, VERBS

OVERVIEW = """\
%elf [VERB ...]          act on workers and runs
%%elf [flow NAME] [options]

Define elves (classes with task_* methods), start flows of their calls on
workers, and look after the runs. A run keeps going when you interrupt, restart
the kernel or close the notebook; %elf attach brings it back.

Everyday
  %elf up 4                four workers on this machine
  %%elf                    define elves in this cell
  %%elf flow crawl         start the calls written in this cell
  %elf                     what is going on
  %elf show | logs         look into a run or a job
  %elf retry | cancel      mend or stop a run
  %elf pause | resume      let a run rest, and go on

Options of a flow
  --dry            draw the plan, start nothing
  --wait [SEC]     return when it has settled (scripts, tests)
  --local          run it in this kernel, one job after the other
  --timeout T      e.g. 90s, 10m      --retries N      --limit NAME:N
  -o VAR           keep the handle in VAR (default: the flow's name)

One verb in full: %elf help retry    Everything in Python: help(elfbook)
Tab completes verbs, options, run and job names.
"""


def page(topic: str = "") -> str:
    """The page of one verb, or the overview; ElfUsageError for a verb that there is not."""
    if topic in {"", "elf"}:
        return OVERVIEW
    if topic == "flow":
        return verb_page(FLOW)
    if topic not in VERBS:
        raise unknown("verb", topic, [*VERBS, "flow"], hint="See  %elf help")
    return verb_page(VERBS[topic])


def verb_page(verb: Verb) -> str:
    """Usage, what it does, options, examples, and the same in Python; at most 30 lines."""
    lines = [verb.usage, "", verb.words]
    if verb.more:
        lines += verb.more.splitlines()
    if verb.flags:
        width = max(len(flag.usage) for flag in verb.flags)
        lines += ["", "Options", *(f"  {flag.usage:<{width}}  {flag.words}" for flag in verb.flags)]
    lines += ["", "Examples", *(f"  {example}" for example in verb.examples)]
    if verb.twin:
        lines += ["", f"In Python: {verb.twin}"]
    return "\n".join(lines) + "\n"
