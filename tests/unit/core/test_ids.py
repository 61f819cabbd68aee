"""Ids."""

from __future__ import annotations

import re

from batchwire_server.core import ids


def test_ids_have_the_shapes_that_clients_know() -> None:
    assert re.fullmatch(r"file-[0-9a-f]{24}", ids.file_id())
    assert re.fullmatch(r"upload_[0-9a-f]{24}", ids.upload_id())
    assert re.fullmatch(r"part_[0-9a-f]{24}", ids.part_id())
    assert re.fullmatch(r"batch_[0-9a-f]{32}", ids.batch_id())


def test_ids_do_not_repeat() -> None:
    for make in (ids.file_id, ids.upload_id, ids.part_id, ids.batch_id):
        assert len({make() for _ in range(1000)}) == 1000


def test_a_line_id_is_stable_and_unique() -> None:
    batch, other = ids.batch_id(), ids.batch_id()
    assert ids.line_id(batch, 5) == ids.line_id(batch, 5)
    made = {ids.line_id(one, line) for one in (batch, other) for line in (*range(1, 300), 10**6, 10**7, 10**8)}
    assert len(made) == 2 * 302
    assert all(re.fullmatch(rb"batch_req_[0-9a-f]{32}[0-9]{7,}", line) for line in made)
