"""What the host remembers of runs outside of the store, so that it can say which a loss has hit."""

from __future__ import annotations

from elfbook.store.marks import Mark, Marks, RunMark, ranges, runs_hit
from elfbook.store.mycelium import Mycelium
from elfbook.words import count, listing

REMEMBERED = 1000
"""The newest runs."""
LOOKED_AT = 50
"""Unsettled runs whose newest record is looked up, the newest of them."""
NAMED = 20


async def runs_now(mycelium: Mycelium, before: Marks, now: dict[str, Mark]) -> Marks:
    """The marks with the runs as they are now; only what has changed since then is read."""
    names = mycelium.names
    if names.runs not in now or names.jobs not in now:
        return before
    runs, read_to = dict(before.runs), before.read_to
    if now[names.runs].last < read_to:
        runs, read_to = {}, 0  # it is another stream, or has gone backwards
    if now[names.runs].last > read_to:
        async for entry in mycelium.read(names.runs, names.every_run, names.every_settled, start=read_to + 1):
            read_to = max(read_to, entry.seq)
            with mycelium.setting_aside(entry):
                if entry.subject.split(".")[2] == "run":
                    runs[mycelium.manifest_of(entry).run] = RunMark(manifest=entry.seq)
                elif (note := mycelium.settled_of(entry)).run in runs:
                    mark = runs[note.run]
                    runs[note.run] = RunMark(mark.manifest, mark.last, settled=bool(note.counts))
    grown = names.jobs not in before.streams or before.streams[names.jobs].last != now[names.jobs].last
    fresh = [run for run, mark in runs.items() if mark != before.runs.get(run)]
    open_runs = [run for run, mark in runs.items() if not mark.settled]
    for run in {*open_runs[-LOOKED_AT:], *fresh[-LOOKED_AT:]} if grown or fresh else ():
        newest = await mycelium.link.last(names.jobs, names.jobs_of(run))
        if newest is not None:
            mark = runs[run]
            runs[run] = RunMark(mark.manifest, newest.seq, settled=mark.settled)
    return Marks(
        before.streams,
        before.epoch,
        dict(list(runs.items())[-REMEMBERED:]),
        max(read_to, now[names.runs].last),
    )


async def who_was_hit(mycelium: Mycelium, before: Marks, now: dict[str, Mark]) -> list[str]:
    """Sentences that name runs and jobs of which something is gone, as far as it can be known."""
    names = mycelium.names
    lines = []
    for stream, manifests in ((names.runs, True), (names.jobs, False)):
        known, found = before.streams.get(stream), now.get(stream)
        whole = known is None or (found is not None and found.created == known.created)
        end = found.last if whole and found is not None else 0
        what = "runs" if manifests else "the newest records of runs"
        if known is not None and (not whole or end < known.last):
            hit = runs_hit(before.runs, end, manifests=manifests)
            lines += [f"among what is gone are {what}: {listing(hit, most=NAMED)}"] if hit else []
    if names.jobs in now:
        lines += jobs_hit(mycelium, await mycelium.missing_records())
    return lines


async def in_doubt(mycelium: Mycelium, before: Marks, now: dict[str, Mark]) -> list[str]:
    """Unsettled runs of which a record may be gone that none of the others tells of."""
    names = mycelium.names
    known, found = before.streams.get(names.jobs), now.get(names.jobs)
    if known is None or found is None or known.created != found.created:
        return []
    told = {each.seq for each in await mycelium.missing_records()}
    gone = [seq for seq in await mycelium.streams.holes(names.jobs) if seq not in told]
    first = min([*gone, *([found.last + 1] if found.last < known.last else [])], default=None)
    if first is None:
        return []
    return [run for run, mark in before.runs.items() if not mark.settled and mark.last >= first]


def jobs_hit(mycelium: Mycelium, missing: list) -> list[str]:
    """A sentence for each job whose chain of records is broken; many are only counted."""
    found: dict[str, list[int]] = {}
    for each in missing:
        found.setdefault(each.subject, []).append(each.seq)
    lines = []
    for subject, seqs in list(found.items())[:NAMED]:
        try:
            run, job = mycelium.names.job_of(subject)
        except ValueError:
            lines.append(f"{subject} has lost its record {ranges(seqs)}")
        else:
            lines.append(f"job {job} of {run} has lost its record {ranges(seqs)}")
    more = len(found) - NAMED
    return [*lines, f"{count(more)} more jobs have lost records"] if more > 0 else lines
