"""Rules of elfbook, each with what its code would be without it, and the tests that must notice.

A rule is a compare-and-set, an expected sequence, or an order of two steps. `text` stands exactly once
in `file`; `python -m tests.mutation` puts `instead` in its place and runs `by`.
"""

from __future__ import annotations

from dataclasses import dataclass

FOLD = ("tests/test_fold.py", "tests/test_fold_runs.py")
WRITER = ("tests/test_writer.py",)
SEALS = ("tests/simulation/test_seals.py",)
HISTORIES = 100
"""Most that are told to find one that goes wrong."""


@dataclass(frozen=True)
class Mutation:
    """One rule taken away."""

    rule: str
    file: str
    text: str
    instead: str
    by: tuple[str, ...]
    """Arguments of pytest; or `histories` for simulated ones."""


def m(rule: str, file: str, text: str, instead: str, *by: str) -> Mutation:
    return Mutation(rule, f"elfbook/{file}", text, instead, by)


MUTATIONS = (
    # ------------------------------------------------------------------ compare-and-set
    m(
        "A record names the one that it follows",
        "store/messages.py",
        "    return {EXPECT: str(expect)}\n",
        "    return {}\n",
        *WRITER,
    ),
    m(
        "A claim of many expects the last message of the whole lot, not of its own subject",
        "store/messages.py",
        "return {EXPECT: str(expect.seq), EXPECT_AMONG: expect.subjects}",
        "return {}",
        "tests/simulation/test_races.py",
    ),
    m(
        "A claim of many is refused when anything was stored about the lot after the offer",
        "store/mycelium.py",
        "expect = Among(self.names.lot(run, lot), seq)",
        "expect = None",
        "tests/simulation/test_races.py",
    ),
    m(
        "A claim follows the record that was offered",
        "work/claims.py",
        "self.mycelium.record(dispatch.run, dispatch.job, event, dispatch.seq)",
        "self.mycelium.record(dispatch.run, dispatch.job, event, None)",
        "histories",
    ),
    m(
        "An end follows the claim under which the job ran",
        "work/commits.py",
        "future = record(dispatch.run, dispatch.job, event, held.seq)\n",
        "future = record(dispatch.run, dispatch.job, event, None)\n",
        "tests/simulation/test_races.py",
    ),
    m(
        "An end with what a named elf keeps follows the claim too",
        "work/commits.py",
        "event, held.seq, (name, keep, self.kept_at[name]))",
        "event, None, (name, keep, self.kept_at[name]))",
        "tests/simulation/test_races.py",
    ),
    m(
        "What a named elf keeps is stored with the job's end: both or neither",
        "store/mycelium.py",
        "return self.jobs.write_all((message, (self.names.keep(name), data, before)))",
        "self.jobs.write(self.names.keep(name), data, before)\n        return self.jobs.write(*message)",
        "histories",
    ),
    m(
        "What a named elf keeps is stored over what its state here builds on",
        "work/commits.py",
        "event, held.seq, (name, keep, self.kept_at[name]))",
        "event, held.seq, (name, keep, None))",
        "tests/simulation/test_races.py",
    ),
    m(
        "A job and its slot of a limit are claimed together, each over what was there",
        "store/mycelium.py",
        "(self.names.slot(name, number), encode(taken), seq)",
        "(self.names.slot(name, number), encode(taken), None)",
        "tests/simulation/test_races.py",
    ),
    m(
        "A slot counts as taken until the run of its job has been read",
        "host/uptake.py",
        "return not self._all_taken or ",
        "return ",
        "tests/simulation/test_races.py",
    ),
    m(
        "A retry follows the record that it was decided on",
        "client/client.py",
        "self.mycelium.record(watched.run, job, event, seq) for job, event, seq in events",
        "self.mycelium.record(watched.run, job, event, None) for job, event, seq in events",
        "tests/simulation/test_races.py",
    ),
    m(
        "What a scheduler stores, Lost or Skipped, follows the record that it was decided on",
        "host/scheduler.py",
        "self.mycelium.record(run, job, event, seq).add_done_callback(stored)",
        "self.mycelium.record(run, job, event, None).add_done_callback(stored)",
        "tests/simulation/test_races.py",
    ),
    m(
        "A Lost names the claim that it is about",
        "host/scheduler.py",
        ", why=text, claim=now.held)",
        ", why=text)",
        "tests/simulation/test_races.py",
    ),
    m(
        "A Lost takes nothing from another claim",
        "log/states.py",
        "            return event.claim in (0, now.held)\n",
        "            return True\n",
        "tests/simulation/test_races.py",
    ),
    m(
        "A Skipped takes nothing from a claim of many",
        "log/states.py",
        "        return type(event) is not Skipped or now.held <= now.seq\n",
        "        return True\n",
        "tests/simulation/test_races.py",
    ),
    m(
        "The holder of a named elf is written over the one before",
        "host/placement.py",
        "chosen.encode(), seq)",
        "chosen.encode(), None)",
        "tests/simulation/test_races.py",
    ),
    m(
        "A scheduler that slept makes no offer until it has caught up",
        "host/scheduler.py",
        "self._begun and self.lead.sure and self.lead.leads",
        "self._begun and self.lead.leads",
        "tests/simulation/test_races.py",
    ),
    m(
        "Who gave an elf away hears of it from the record of its holder",
        "host/placement.py",
        "        if seq <= upto:\n",
        "        if upto:\n",
        "tests/simulation/test_races.py",
    ),
    m(
        "A run is stored over the flow's newest run, and so gets its number",
        "store/mycelium.py",
        "encode(manifest), expect)",
        "encode(manifest), None)",
        "tests/system/test_control.py",
    ),
    m(
        "The note of a run's end is stored over the one that it was compared with",
        "store/mycelium.py",
        "await self.runs.write(subject, encode(note), entry.seq if entry else 0)",
        "await self.runs.write(subject, encode(note), None)",
        "tests/simulation/test_races.py",
    ),
    m(
        "A note that knows less does not replace one that knows more",
        "store/mycelium.py",
        "if there is not None and (there.upto, not there.counts) >= knows:",
        "if there is not None and (there.upto, not there.counts) == knows:",
        "histories",
    ),
    m(
        "A claim of a lot is in no batch with a record of that lot: the server would not see one of them",
        "store/writer.py",
        "names & subjects or meets)",
        "names & subjects)",
        *WRITER,
    ),
    m(
        "What is written is sent in order, also when it is not stored as one batch",
        "store/writer.py",
        "posted = [await self._post(write) for write in wanted]",
        "posted = [None for write in wanted]",
        *WRITER,
    ),
    m(
        "A kernel that does not have a named elf makes it from what it has kept",
        "work/worker.py",
        "jobs = [keeping(jobs[0], await self.commits.restored(name))]",
        "pass",
        "tests/simulation/test_races.py",
    ),
    # ------------------------------------------------------------------ seals
    m(
        "A record's seal is checked before anything of it is used",
        "seals.py",
        "if hmac.compare_digest(self._of(body, subject, over), data[-RECORD_SEAL_BYTES:]):",
        "if data:",
        *SEALS,
    ),
    m(
        "A record's seal holds for its subject only",
        "seals.py",
        'made.update(f"{subject}\\n{over}\\n".encode())',
        'made.update(f"{over}\\n".encode())',
        *SEALS,
    ),
    m(
        "A record's seal holds for what it was written over only",
        "seals.py",
        'made.update(f"{subject}\\n{over}\\n".encode())',
        'made.update(f"{subject}\\n".encode())',
        *SEALS,
    ),
    m(
        "A scheduler that folds a record looks whether what it was written over is there",
        "host/uptake.py",
        "            self.look_back(card, entry, facts)\n",
        "",
        *SEALS,
    ),
    m(
        "A message about many jobs that cannot be used ends those that it may have been about",
        "store/mycelium.py",
        "yield from in_doubt(state, stored)",
        "yield from ()",
        *SEALS,
    ),
    # ------------------------------------------------------------------ reading back
    m(
        "A refused write is mine if the store has my bytes",
        "store/writer.py",
        "return found.seq if found is not None and found.data == data else None",
        "return None",
        *WRITER,
    ),
    m(
        "A refused write is not mine if the store has other bytes",
        "store/writer.py",
        "return found.seq if found is not None and found.data == data else None",
        "return found.seq if found is not None else None",
        *WRITER,
    ),
    # ------------------------------------------------------------------ the fold
    m(
        "A record that is read twice counts once",
        "log/fold.py",
        "        if stored.seq <= now.upto:\n            return []\n",
        "",
        *FOLD,
    ),
    m(
        "A lot has moved on with each claim and each own record of its jobs",
        "log/fold.py",
        "state.lots[lot] = max(state.lots[lot], stored.seq)",
        "pass",
        *FOLD,
    ),
    m(
        "A job that was claimed among many must still be waiting",
        "log/states.py",
        "return now.state is WAITING and now.seq == stored.rests_on",
        "return now.seq == stored.rests_on",
        *FOLD,
    ),
    m(
        "A job that was claimed among many has no newer record of its own",
        "log/states.py",
        "return now.state is WAITING and now.seq == stored.rests_on",
        "return now.state is WAITING",
        *FOLD,
    ),
    m(
        "An end told among many counts only while its claim holds the job",
        "log/states.py",
        "return now.state is RUNNING and now.held == stored.rests_on",
        "return now.state is RUNNING",
        *FOLD,
    ),
    m(
        "A job waits for its parents' success",
        "log/fold.py",
        "    if now.unmet or (turn is not None and state.jobs[turn].state not in ENDED):\n",
        "    if turn is not None and state.jobs[turn].state not in ENDED:\n",
        *FOLD,
    ),
    m(
        "A named elf's job waits for its turn",
        "log/fold.py",
        "    if now.unmet or (turn is not None and state.jobs[turn].state not in ENDED):\n",
        "    if now.unmet:\n",
        *FOLD,
    ),
    m(
        "The first end is the job's end",
        "log/states.py",
        "    DONE: {Reopened: WAITING},\n",
        "    DONE: {Reopened: WAITING, Succeeded: DONE, Cancelled: CANCELLED},\n",
        *FOLD,
    ),
    m(
        "Jobs are cancelled before those that they wait for",
        "log/fold.py",
        "for job in range(len(state.jobs) - 1, -1, -1)",
        "for job in range(len(state.jobs))",
        *FOLD,
    ),
    m(
        "Jobs are reopened after those that they wait for",
        "log/fold.py",
        "    return sorted(chosen)\n",
        "    return sorted(chosen, reverse=True)\n",
        *FOLD,
    ),
    m(
        'With on_lost="fail" nothing is repeated that may have had its effect',
        "log/states.py",
        'if policy.on_lost == "fail" and budget in ("lost", "out_of_memory"):',
        "if False:",
        *FOLD,
    ),
    # ------------------------------------------------------------------ the order of a worker's steps
    m(
        "A result's blob is stored before the record that names it",
        "work/commits.py",
        "await (await self.mycelium.blobs()).put(",
        "self.mycelium.blobs(), (lambda *_: None)(",
        "histories",
    ),
    m(
        "A large argument is in the store before anything names it, whoever else has it as a file",
        "store/ground.py",
        "blobs.put(digest, pieces, size), asyncio.to_thread(",
        "asyncio.sleep(0), asyncio.to_thread(",
        "tests/test_shelf.py",
    ),
    m(
        "A file that is being stored has no name yet",
        "store/ground.py",
        "            await blobs.put(digest, pieces, size)\n            await asyncio.to_thread(shelf.put, digest, pieces)\n",
        "            await asyncio.to_thread(shelf.put, digest, pieces)\n            await blobs.put(digest, pieces, size)\n",
        "tests/test_shelf.py",
    ),
    m(
        "A value from the shelf is what its hash says",
        "store/shelf.py",
        "if at == size and sha.hexdigest() == digest:",
        "if at == size:",
        "tests/test_shelf.py",
    ),
    m(
        "A file from the shelf is what its hash says",
        "store/shelf.py",
        "                    if sha.hexdigest() == digest:\n",
        "                    if size:\n",
        "tests/test_shelf.py",
    ),
    m(
        "An offer is accepted after its record",
        "work/claims.py",
        "                mine.append((dispatch, message, future.result()))\n",
        "                mine.append((dispatch, message, future.result()))\n                await taker.accept(message)\n",
        "tests/system/test_accept.py",
    ),
    m(
        "The next job of a named elf begins when the last one's end is stored",
        "work/worker.py",
        "                await over\n",
        "",
        "tests/simulation/test_races.py",
    ),
    m(
        "What an elf keeps is brought along until its kernel has answered",
        "work/worker.py",
        "                jobs = [keeping(jobs[0], await self.commits.restored(name))]\n",
        "                jobs = [keeping(jobs[0], await self.commits.restored(name))]\n"
        "                self.names.add(name)\n",
        "tests/simulation/test_races.py",
    ),
    m(
        "A refused end takes the named elf's state with it",
        "work/commits.py",
        "                self.on_taken_over([held.dispatch.elf.name])\n",
        "                pass\n",
        "histories",
    ),
    m(
        "Only the worker that the holder record names takes a named elf's job",
        "work/claims.py",
        "        if not name or name in self.names:\n            return True\n",
        "        if True:\n            return True\n",
        "tests/simulation/test_races.py",
    ),
    m(
        "A worker that was not heard stops what has moved on",
        "work/fencing.py",
        "            self.fence(held)\n        held.looked_at",
        "            pass\n        held.looked_at",
        "tests/system/test_fencing.py",
    ),
    m(
        "A worker takes what has no say over its claim of many for nothing",
        "work/fencing.py",
        " and (held.lot is None or await self._taken_away(held))",
        "",
        "tests/simulation/test_races.py",
    ),
    m(
        "A job whose claim, or last look, is a while ago is looked at before it begins",
        "work/fencing.py",
        "if time.monotonic() - held.looked_at > LOOK_S]",
        "if False]",
        "tests/simulation/test_races.py",
    ),
    m(
        "A claim is as old as the asking for it, not as the answer",
        "work/worker.py",
        "looked_at=asked)",
        "looked_at=time.monotonic())",
        "tests/simulation/test_races.py",
    ),
    m(
        "Progress counts for the attempt that the log says is under way, and for no other",
        "client/watched.py",
        "            and jobs[job].held == report.claim\n",
        "",
        "tests/system/test_progress.py",
    ),
    m(
        "Progress that is half written, or another job's, is none",
        "work/replies.py",
        " or zlib.crc32(body, zlib.crc32(left[:TOKEN_BYTES])) != checksum",
        "",
        "tests/test_replies.py",
    ),
    m(
        "In doubt nothing is stored about jobs of a lot",
        "work/ends.py",
        "                await self.certain()\n",
        "",
        "tests/test_ends.py",
    ),
    # ------------------------------------------------------------------ the order of others' steps
    m(
        "A follower that misses a message begins again",
        "store/follow.py",
        "        if order != self._next:\n            self._note_return()\n            return\n",
        "",
        "histories",
    ),
    m(
        "A follower begins again when the server has handed over more than has come",
        "store/follow.py",
        " or int(message.headers.get(GIVEN, 0)) >= self._next:",
        ":",
        "tests/test_follow.py",
    ),
    m(
        "A follower goes on behind what it has given",
        "store/follow.py",
        "first = self.seen + 1 if self.seen else self.start",
        "first = self.seen + 2 if self.seen else self.start",
        "histories",
    ),
    m(
        "A cancel returns when the log has been read to the end and nothing is left",
        "client/client.py",
        "            await watched.catch_up()\n            # Only now is it certain",
        "            return len(wanted)\n            # Only now is it certain",
        "histories",
    ),
    m(
        "Code is stored before the run that names it",
        "client/client.py",
        "{digest: await self._store_code(code) for digest, code in drawn.revisions.items()}",
        "{digest: ValueRef(digest, 1) for digest in drawn.revisions}",
        "histories",
    ),
    m(
        "A client hears of a run before the run exists",
        "client/client.py",
        "            await ear.ready()\n            return await self._add(draft, drawn, ear)\n",
        "            return await self._add(draft, drawn, ear)\n",
        "histories",
    ),
    m(
        "A dead worker's jobs are lost, and offered again",
        "host/scheduler.py",
        "                    self._record(card.run, job, event, now.seq)\n        self.beside",
        "                    pass\n        self.beside",
        "histories",
    ),
    m(
        "A run that goes on although a note says that it has ended is taken up",
        "host/leftovers.py",
        "if last is not None and last.seq > note.upto:",
        "if False:",
        "tests/system/test_leftovers.py",
    ),
    m(
        "Offers to workers that are gone are cleared",
        "host/leftovers.py",
        "for worker in sorted(workers - set(self.placement.heard)):",
        "for worker in ():",
        "histories",
    ),
)
