"""Makes an AsyncClient block, so that one test suite covers both clients."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Blocking:
    """Wraps an object with async methods: they block, and async iterators become iterators."""

    def __init__(self, wrapped: Any, runner: asyncio.Runner) -> None:
        self._wrapped = wrapped
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        return self._method(found) if inspect.ismethod(found) else Blocking(found, self._runner)

    def _method(self, method: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            result = method(*args, **options)
            if inspect.isawaitable(result):
                return self._runner.run(_awaited(result))
            return self._items(result) if isinstance(result, AsyncIterator) else result

        return call

    def _items(self, items: AsyncIterator[T]) -> Iterator[T]:
        try:
            while True:
                try:
                    yield self._runner.run(_awaited(anext(items)))
                except StopAsyncIteration:
                    return
        finally:
            if inspect.isasyncgen(items):
                self._runner.run(items.aclose())


async def _awaited(result: Awaitable[T]) -> T:
    return await result
