"""Finds out which upstream serves which model."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from batchwire_server.core.errors import OutOfReachError, UnknownModelsError
from batchwire_server.core.health import Component
from batchwire_server.core.ports import Upstream
from batchwire_server.core.records import Model

log = logging.getLogger(__name__)

ANY_MODEL = "*"
REACH_AGE_S = 4.0


@dataclass(frozen=True, slots=True)
class Route:
    """An upstream and its settings.

    Attributes:
        upstream: the upstream.
        models: names of the models that it serves. `*` means every name. Empty means that the
            upstream is asked.
        max_concurrency: the most calls in flight per model, over all workers.
        requests_per_minute: the most calls per minute and model, over all workers; 0: no limit.
        tokens_per_minute: the most tokens per minute and model, over all workers; 0: no limit.
    """

    upstream: Upstream
    models: tuple[str, ...] = ()
    max_concurrency: int = 256
    requests_per_minute: int = 0
    tokens_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class Served:
    """The models that the upstreams serve, as far as is known.

    Attributes:
        models: models by name.
        routes: routes by model.
        any_model: routes for every model.
        silent: names of upstreams that have never answered what they serve.
    """

    models: dict[str, Model] = field(default_factory=dict)
    routes: dict[str, list[Route]] = field(default_factory=dict)
    any_model: list[Route] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    def routes_of(self, model: str) -> list[Route]:
        """Return the routes for a model's calls."""
        return [*self.routes.get(model, ()), *self.any_model]


class Catalog:
    """Asks upstreams what they serve, and caches it.

    While an upstream does not answer, its last answer counts.
    """

    def __init__(self, routes: Sequence[Route], max_age: float = 30.0) -> None:
        self._routes = routes
        self._max_age = max_age
        self._told: dict[int, list[Model]] = {}  # by index of the route: names may repeat
        self._served = Served()
        self._mute: set[int] = set()
        self._asked_at = float("-inf")
        self._lock = asyncio.Lock()

    @property
    def last(self) -> Served:
        """The last result of `read`; empty before the first."""
        return self._served

    async def reach(self) -> None:
        """Raise OutOfReachError if an upstream does not answer what it serves.

        Upstreams whose models are configured are not asked.
        """
        await self.read(REACH_AGE_S)
        if self._mute:
            names = ", ".join(sorted(self._routes[place].upstream.name for place in self._mute))
            raise OutOfReachError(Component.UPSTREAMS, f"no answer from {names}")

    async def read(self, max_age: float | None = None) -> Served:
        """Return what the upstreams serve, at most `max_age` seconds old."""
        limit = self._max_age if max_age is None else max_age
        async with self._lock:
            if time.monotonic() - self._asked_at > limit:
                asked = [(place, route) for place, route in enumerate(self._routes) if not route.models]
                await asyncio.gather(*(self._ask(place, route) for place, route in asked))
                self._served = self._assemble()
                self._asked_at = time.monotonic()
        return self._served

    async def _ask(self, place: int, route: Route) -> None:
        try:
            self._told[place] = await route.upstream.models()
            self._mute.discard(place)
        except UnknownModelsError as error:
            self._mute.add(place)
            log.warning("%s", error)

    def _assemble(self) -> Served:
        served = Served()
        for place, route in enumerate(self._routes):
            name = route.upstream.name
            if ANY_MODEL in route.models:
                served.any_model.append(route)
            if not route.models and place not in self._told:
                served.silent.append(name)
            named = [Model(model, 0, name) for model in route.models if model != ANY_MODEL]
            for model in named or self._told.get(place, []):
                served.models.setdefault(model.id, model)
                served.routes.setdefault(model.id, []).append(route)
        return served
