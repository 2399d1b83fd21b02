"""The workloads of a system that has nothing but calls: each gives its result, and the client feeds it on."""

from __future__ import annotations

import asyncio


class Calls:
    """What `one`, `many`, `chain` and `fan` are there; `_call` is the system's own."""

    loop: asyncio.AbstractEventLoop

    async def _call(self, name: str, *args):
        raise NotImplementedError

    async def _all(self, name: str, rows: list[tuple]) -> list:
        return await asyncio.gather(*[self._call(name, *row) for row in rows])

    def one(self, x):
        return self.loop.run_until_complete(self._call("noop", x))

    def many(self, n: int) -> list:
        return self.loop.run_until_complete(self._all("noop", [(i,) for i in range(n)]))

    def chain(self, n: int) -> int:
        async def links() -> int:
            value = 0
            for _ in range(n):
                value = await self._call("add_one", value)
            return value

        return self.loop.run_until_complete(links())

    def fan(self, n: int) -> int:
        async def there_and_back() -> int:
            root = await self._call("noop", 1)
            return await self._call("total", await self._all("leaf", [(root, i) for i in range(n)]))

        return self.loop.run_until_complete(there_and_back())
