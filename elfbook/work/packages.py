"""Which packages a worker's kernel has, as far as somebody has asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from elfbook.work.bench import Bench


@dataclass(eq=False)
class Packages:
    """What one worker knows of its kernel's environment."""

    bench: Bench
    tell: Callable[[], Awaitable[None]]
    """Called when something more is known: whoever hears the worker's beats is to know it too."""
    known: dict[str, bool] = field(default_factory=dict)
    """Packages that it was asked for, and whether its kernel has them."""
    _looked_for: set[str] = field(default_factory=set)
    """Packages about which the kernel has not answered yet."""

    def ask(self, modules: set[str]) -> None:
        """Have the kernel say whether it has these."""
        unknown = modules - self.known.keys() - self._looked_for
        if unknown:
            self._looked_for |= unknown
            self.bench.own(self._look_for(unknown))

    async def _look_for(self, modules: set[str]) -> None:
        await self.bench.up.wait()
        found = await self.bench.kernel.find(modules)
        self._looked_for -= modules
        if not found.keys() <= self.known.keys():
            self.known.update(found)
            await self.tell()
