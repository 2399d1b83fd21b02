"""blumycelium's animals, the first example: drawn, stored, reckoned with, reported.

Six named elves of four classes. The orchestration is plain Python: a loop, an `if`, items of
results that are not there yet.
"""

from __future__ import annotations

import random
from statistics import mean
from typing import TypedDict

from elfbook.tracing.elves import Elf

SPECIES = {"mouse": 0.02, "hedgehog": 0.9, "fox": 6.5, "wolf": 42.0, "bear": 180.0}
"""Usual weights in kg."""
ROUNDS = 100
EVERY = 5


class Animal(TypedDict):
    species: str
    weight: float


class Animals(Elf):
    """Meets one animal a round; the same round meets the same one, wherever it runs."""

    def task_draw(self, number: int) -> Animal:
        chance = random.Random(f"{self.name}/{number}")
        species = chance.choice(sorted(SPECIES))
        return {"species": species, "weight": round(SPECIES[species] * chance.uniform(0.7, 1.3), 3)}


class Storage(Elf):
    """Keeps all animals; what it keeps outlives the worker that it lives on."""

    def task_save(self, species: str, weight: float):
        animals = [*self.keep.get("animals", []), (species, weight)]
        self.keep["animals"] = animals
        return len(animals)


class Stats(Elf):
    """Reckons; three instances of it do so side by side."""

    def task_mean(self, weights: list):
        return round(mean(weights), 2)

    def task_lightest(self, weights: list):
        return min(weights)

    def task_heaviest(self, weights: list):
        return max(weights)


class Formatter(Elf):
    """Writes a line about the animals so far."""

    def task_report(self, stored: int, average: float, lightest: float, heaviest: float):
        return f"{stored:>4} animals: {average:7.2f} kg on average, from {lightest:.3f} to {heaviest:.2f} kg"


def orchestrate(rounds: int = ROUNDS) -> list:
    """The reports of every fifth round, as values; to be called inside a flow."""
    animals, storage, formatter = Animals("animals"), Storage("storage"), Formatter("formatter")
    calc1, calc2, calc3 = Stats("calc1"), Stats("calc2"), Stats("calc3")
    weights, reports = [], []
    for number in range(1, rounds + 1):
        met = animals.task_draw(number)
        saved = storage.task_save(met["species"], met["weight"])
        weights.append(met["weight"])
        if number % EVERY == 0:
            average = calc1.task_mean(weights, after=saved)
            lightest = calc2.task_lightest(weights, after=saved)
            heaviest = calc3.task_heaviest(weights, after=saved)
            reports.append(formatter.task_report(saved, average, lightest, heaviest))
    return reports
