"""One run as a scheduler follows it, and its jobs as offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from elfbook.facts import Succeeded
from elfbook.log.fold import Action, Offer, RunState, next_action, policy_of
from elfbook.model import Dispatch, ElfUse, JobSpec, LotJob, LotOffer, Manifest, Policy, ValueRef

Inputs = tuple[tuple[int, ValueRef], ...]


class Kind(NamedTuple):
    """Jobs of one run that run the same code on the same instance: what a lot's offer can hold."""

    run: str
    elf: int
    task: str
    revision: str

    @property
    def code(self) -> tuple[str, str]:
        """What decides how long such jobs take."""
        return self.revision, self.task


@dataclass(eq=False)
class Card:
    """One run as the scheduler follows it."""

    manifest: Manifest
    state: RunState
    facts: int = 0
    """How many have been folded."""
    upto: int = 0
    """Sequence of the last of them."""
    noted: bool = False
    """True once its end has been noted for listings."""

    @property
    def run(self) -> str:
        return self.manifest.run

    def spec(self, job: int) -> JobSpec:
        return self.state.graph.jobs[job]

    def use(self, job: int) -> ElfUse:
        """The elf instance that a job is for, with the code it is to run now."""
        use = self.state.graph.elves[self.spec(job).elf]
        revision = self.state.jobs[job].revision
        # What mended code needs was not read from it: it is offered to anybody.
        return msgspec.structs.replace(use, revision=revision, needs=()) if revision else use

    def kind(self, job: int) -> Kind:
        spec = self.spec(job)
        revision = self.state.jobs[job].revision or self.state.graph.elves[spec.elf].revision
        return Kind(self.run, spec.elf, spec.task, revision)

    def alike(self, actions: list[Action], now: float) -> tuple[dict[Kind, list[Offer]], list[Action]]:
        """The offers among the actions that need not wait, by kind, and the other actions."""
        specs, jobs = self.state.graph.jobs, self.state.jobs
        found: dict[tuple[int, str, str], list[Offer]] = {}
        others: list[Action] = []
        for action in actions:
            if type(action) is Offer and action.not_before <= now:
                spec = specs[action.job]
                found.setdefault((spec.elf, spec.task, jobs[action.job].revision), []).append(action)
            else:
                others.append(action)
        kinds: dict[Kind, list[Offer]] = {}
        for offers in found.values():
            kinds.setdefault(self.kind(offers[0].job), []).extend(offers)
        return kinds, others

    def code(self, job: int, use: ElfUse) -> ValueRef:
        return self.state.jobs[job].code or self.manifest.revisions[use.revision]

    def policy(self, job: int) -> Policy:
        """How the job is tried."""
        return policy_of(self.state.graph, job)

    def is_due(self, job: int, mark: int | None = None) -> Offer | None:
        """The job's offer if it is due, and still in the state that `mark` names if that is given."""
        if mark is not None and self.state.jobs[job].mark != mark:
            return None
        action = next_action(self.state, job)
        return action if isinstance(action, Offer) else None

    def inputs(self, job: int) -> Inputs:
        """The values of a job's parents, as their records name them."""
        return tuple((parent, self._value(parent)) for parent in self.spec(job).parents)

    def _value(self, job: int) -> ValueRef:
        event = self.state.jobs[job].event
        assert isinstance(event, Succeeded), "a job is due only once its parents' success is in the log"
        return event.value

    def dispatch(
        self,
        action: Offer,
        inputs: Inputs,
        bundle: ValueRef | None = None,
        slot: tuple[str, int, int] | None = None,
    ) -> Dispatch:
        """The offer of one job; `bundle` in place of inputs that are too large to travel in it."""
        spec, use = self.spec(action.job), self.use(action.job)
        return Dispatch(
            run=self.run,
            job=action.job,
            seq=action.seq,
            attempt=action.attempt,
            label=f"{spec.task}[{spec.number}]",
            elf=use,
            code=self.code(action.job, use),
            task=spec.task,
            arguments=spec.arguments,
            inputs=() if bundle else inputs,
            bundle=bundle,
            blobs=spec.blobs,
            timeout_s=self.policy(action.job).timeout_s,
            slot=slot,
            mark=self.state.jobs[action.job].mark,
        )

    def lot_offer(self, lot: int, actions: list[tuple[Offer, Inputs]]) -> LotOffer:
        """The offer of several jobs of one lot and kind."""
        first = actions[0][0].job
        use = self.use(first)
        return LotOffer(
            run=self.run,
            lot=lot,
            seq=self.state.lots[lot],
            elf=use,
            code=self.code(first, use),
            task=self.spec(first).task,
            jobs=tuple(
                LotJob(
                    action.job,
                    action.seq,
                    action.attempt,
                    self.spec(action.job).number,
                    self.spec(action.job).arguments,
                    inputs,
                )
                for action, inputs in actions
            ),
            timeout_s=self.policy(first).timeout_s,
        )
