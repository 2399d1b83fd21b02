"""What may be typed after `%elf` and `%%elf`: one table for parsing, completion and help."""

from __future__ import annotations

from elfbook.model import PRIORITIES
from elfbook.notebook.grammar import (
    Flag,
    Operand,
    Verb,
    choice,
    flow_name,
    limit,
    seconds,
    size_in_bytes,
    variable,
    whole,
)
from elfbook.notebook.policies import ON_LOST

OUT = Flag("-o", "keep what it returns in VAR", "VAR", variable)
QUIET = Flag("-q", "show nothing; errors still do")
KERNEL = Flag("--kernel", "the kernelspec that the workers run", "NAME", of="kernel")
URL = Flag("--url", "use this NATS server instead of one of elfbook's own", "URL")

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "up",
            "Start workers on this machine, or reach those that are there.",
            (Operand("n", required=False, read=whole),),
            (
                URL,
                KERNEL,
                Flag(
                    "--elf", "only for the elf of this name; may be given again", "NAME", many=True, of="elf"
                ),
                Flag("--keep", "stay when nothing happens; else they end by themselves"),
                Flag("--fast", "acknowledge before flushing; a power cut loses the last"),
                Flag("--store-limit", "how large the store may grow", "SIZE", size_in_bytes),
                OUT,
                QUIET,
            ),
            ("%elf up 4", "%elf up 1 --elf calc1 --elf calc2", "%elf up 2 --kernel py311-gpu"),
            "elfbook.up(4)",
            "N is how many workers there shall be at least, two when it is left out. Workers\n"
            "and the server outlive the kernel and this notebook; %elf down ends them.",
        ),
        Verb(
            "down",
            "End the workers and the server that were started here.",
            (),
            (QUIET,),
            ("%elf down",),
            "elfbook.down()",
            "Runs stay in the store and go on after the next %elf up.",
        ),
        Verb(
            "runs",
            "List the runs, newest first.",
            (),
            (
                Flag("--here", "only those that this notebook started"),
                Flag("--failed", "only those with failures"),
                OUT,
            ),
            ("%elf runs", "%elf runs --failed"),
            "elfbook.notebook.runs()",
        ),
        Verb(
            "show",
            "Show a run, a job or a worker in full.",
            (Operand("x", of="run"),),
            (OUT, QUIET),
            ("%elf show party", "%elf show party/task_hello[2]", "%elf show worker-1"),
            'party, party["task_hello[2]"]',
        ),
        Verb(
            "watch",
            "Follow a run as text in a terminal; in a notebook it is shown.",
            (Operand("x", of="run"),),
            (QUIET,),
            ("%elf watch party",),
            "party",
        ),
        Verb(
            "logs",
            "Show what a job printed and displayed.",
            (Operand("job", of="job"),),
            (QUIET,),
            ("%elf logs task_hello[2]", "%elf logs party/task_hello[2]"),
            'party["task_hello[2]"].logs()',
        ),
        Verb(
            "retry",
            "Run again what failed and what was skipped because of it; the rest is kept.",
            (Operand("x", of="failed"),),
            (
                Flag("--same-code", "with the code it failed with, not the present one"),
                Flag(
                    "--wait",
                    "return when it has settled; after SEC at the latest",
                    "SEC",
                    seconds,
                    optional=True,
                ),
                OUT,
                QUIET,
            ),
            ("%elf retry party", "%elf retry party/task_hello[2]"),
            "party.retry()",
            "Each elf whose jobs run again is taken as it is defined now in this notebook.",
        ),
        Verb(
            "cancel",
            "Stop a run or a job; nothing of it starts after this returns.",
            (Operand("x", of="active"),),
            (
                Flag("--below", "of a job: also all that depends on it"),
                Flag("--above", "of a job: also what nothing else needs"),
                Flag("--why", "a reason, kept in the record", "TEXT"),
                QUIET,
            ),
            (
                "%elf cancel party",
                '%elf cancel party --why "wrong input"',
                "%elf cancel crawl/task_parse[3] --below",
            ),
            'party.cancel(), party["task_hello[2]"].cancel(below=True)',
            "What depends on a cancelled job, and is not cancelled itself, is skipped.",
        ),
        Verb(
            "pause",
            "Let a run rest: what workers have taken goes on, and nothing else of it begins.",
            (Operand("x", of="active"),),
            (Flag("--why", "a reason, kept in the record", "TEXT"), QUIET),
            ("%elf pause party", '%elf pause party --why "the machine is needed"'),
            "party.pause()",
            "It stays so until %elf resume, whatever is restarted. A --deadline goes on.",
        ),
        Verb(
            "resume",
            "Let a paused run go on.",
            (Operand("x", of="active"),),
            (QUIET,),
            ("%elf resume party",),
            "party.resume()",
        ),
        Verb(
            "attach",
            "Show a run here and put its handle back under the flow's name.",
            (Operand("x", required=False, of="run"),),
            (Flag("--all", "all runs that this notebook started"), OUT, QUIET),
            ("%elf attach party", "%elf attach --all"),
            'elfbook.attach("party")',
            "Also after a kernel restart, and from another notebook. Elves whose cells have\n"
            "not been run yet come back as the run has stored them.",
        ),
        Verb(
            "doctor",
            "Check what elfbook needs and say how to mend what is amiss.",
            (),
            (),
            ("%elf doctor",),
            "elfbook.doctor()",
        ),
        Verb(
            "help",
            "Show this page, or one verb in full.",
            (Operand("verb", required=False, of="verb"),),
            (),
            ("%elf help retry",),
        ),
    )
}

DEFINE = Verb(
    "",
    "Run the cell here and register every elf in it: classes with task_* methods.",
    (),
    (QUIET,),
    ("%%elf",),
    start="%%elf",
)

FLOW = Verb(
    "flow",
    "Record the calls in the cell and start them on workers.",
    (Operand("name", read=flow_name),),
    (
        Flag("--dry", "draw the plan, start nothing"),
        Flag("--wait", "return when it has settled; after SEC at the latest", "SEC", seconds, optional=True),
        Flag("--no-wait", "return at once, also where nobody watches"),
        Flag("--local", "run it in this kernel, one job after the other"),
        Flag("--retries", "further attempts of a job that raised", "N", whole),
        Flag("--lost-retries", "… whose worker or kernel died (3)", "N", whole),
        Flag("--memory-retries", "… that ran out of memory (1)", "N", whole),
        Flag("--timeout-retries", "… that ran longer than --timeout (as --retries)", "N", whole),
        Flag(
            "--on-lost",
            "fail: never run again what may have run",
            "|".join(ON_LOST),
            choice(*ON_LOST),
            words_of=ON_LOST,
        ),
        Flag("--timeout", "limit of one attempt, e.g. 90s, 10m", "T", seconds),
        Flag("--deadline", "limit of the whole flow, from now on", "T", seconds),
        Flag("--priority", "high, normal or low", "WORD", choice(*PRIORITIES), words_of=PRIORITIES),
        Flag("--limit", "at most N jobs under this NAME at once", "NAME:N", limit),
        Flag("--on", "pool of the workers that take the jobs", "POOL"),
        Flag("-o", "keep the handle in VAR (default: the flow's name)", "VAR", variable),
        QUIET,
    ),
    (
        "%%elf flow party",
        "%%elf flow crawl --retries 2 --timeout 90s --limit api:3",
        "%%elf flow party --local",
    ),
    'with elfbook.flow("party") as party: ...',
    "The value of the last line is the flow's result; without one it is the list of\n"
    "what no other job takes. While the same flow is running, the cell joins it.",
    start="%%elf",
)
