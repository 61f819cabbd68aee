"""The catalog of upstreams and models."""

from __future__ import annotations

import asyncio

from batchwire_server.core.catalog import Catalog, Route

from tests.support.scripted_upstream import ScriptedUpstream


async def test_an_upstream_without_configured_models_is_asked() -> None:
    upstream = ScriptedUpstream(models=["a", "b"])
    served = await Catalog([Route(upstream)]).read()
    assert sorted(served.models) == ["a", "b"]
    assert [route.upstream for route in served.routes_of("a")] == [upstream]
    assert served.routes_of("c") == []
    assert served.silent == []


async def test_an_upstream_with_configured_models_is_not_asked() -> None:
    upstream = ScriptedUpstream(models=None)
    served = await Catalog([Route(upstream, ("a",))]).read()
    assert sorted(served.models) == ["a"]
    assert served.silent == []
    assert upstream.asked == 0


async def test_a_star_serves_every_model_without_being_asked() -> None:
    upstream = ScriptedUpstream(models=None)
    served = await Catalog([Route(upstream, ("*",))]).read()
    assert [route.upstream for route in served.routes_of("whatever")] == [upstream]
    assert served.models == {}
    assert upstream.asked == 0


async def test_a_star_beside_names_serves_both() -> None:
    upstream = ScriptedUpstream(models=None)
    served = await Catalog([Route(upstream, ("a", "*"))]).read()
    assert sorted(served.models) == ["a"]
    assert served.routes_of("b")


async def test_several_upstreams_share_a_model() -> None:
    first, second = ScriptedUpstream(name="1", models=["a"]), ScriptedUpstream(name="2", models=["a"])
    served = await Catalog([Route(first), Route(second)]).read()
    assert [route.upstream for route in served.routes_of("a")] == [first, second]
    assert served.models["a"].owned_by == "1"


async def test_an_upstream_that_never_answered_is_silent() -> None:
    served = await Catalog([Route(ScriptedUpstream(name="mute", models=None))]).read()
    assert served.silent == ["mute"]


async def test_the_last_answer_of_a_silent_upstream_counts() -> None:
    upstream = ScriptedUpstream(models=["a"])
    catalog = Catalog([Route(upstream)])
    await catalog.read(0)
    upstream.served = None
    served = await catalog.read(-1)
    assert upstream.asked == 2
    assert "a" in served.models
    assert served.silent == []


async def test_a_model_that_is_no_longer_listed_is_no_longer_served() -> None:
    upstream = ScriptedUpstream(models=["a"])
    catalog = Catalog([Route(upstream)])
    await catalog.read()
    upstream.served = ["b"]
    assert sorted((await catalog.read(-1)).models) == ["b"]


async def test_answers_are_cached_and_concurrent_readers_ask_once() -> None:
    upstream = ScriptedUpstream(models=["a"])
    catalog = Catalog([Route(upstream)])
    await asyncio.gather(*(catalog.read() for _ in range(20)))
    assert upstream.asked == 1


async def test_two_upstreams_may_have_the_same_name() -> None:
    first, second = ScriptedUpstream(name="gpu", models=["a"]), ScriptedUpstream(name="gpu", models=["b"])
    served = await Catalog([Route(first), Route(second)]).read()
    assert [route.upstream for route in served.routes_of("a")] == [first]
    assert [route.upstream for route in served.routes_of("b")] == [second]
