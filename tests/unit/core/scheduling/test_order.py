"""The order of lines: turns of tenants, and delays."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from batchwire_server.core.scheduling.order import DelayHeap, FairQueue
from hypothesis import given
from hypothesis import strategies as st


def drained(queue: FairQueue[int]) -> list[int]:
    """Return all lines of a queue in the order in which it serves them."""
    lines = []
    while (line := queue.pop()) is not None:
        lines.append(line)
    return lines


class TestFairQueue:
    def test_an_empty_queue_returns_none(self) -> None:
        queue: FairQueue[int] = FairQueue()
        assert queue.pop() is None
        assert (queue.size, list(queue.tenants)) == (0, [])

    def test_a_tenants_lines_run_in_the_order_in_which_they_came(self) -> None:
        queue: FairQueue[int] = FairQueue()
        queue.extend("a", [1, 2])
        queue.extend("a", [3])
        assert drained(queue) == [1, 2, 3]

    def test_tenants_take_turns(self) -> None:
        queue: FairQueue[int] = FairQueue()
        queue.extend("a", [1, 2, 3, 4])
        queue.extend("b", [11, 12])
        queue.extend("c", [21])
        assert list(queue.tenants) == ["a", "b", "c"]
        assert drained(queue) == [1, 11, 21, 2, 12, 3, 4]

    def test_a_line_that_is_pushed_to_the_front_is_its_tenants_next(self) -> None:
        queue: FairQueue[int] = FairQueue()
        queue.extend("a", [1, 2])
        queue.extend("b", [11])
        queue.push_front("a", 0)
        assert drained(queue) == [0, 11, 1, 2]

    def test_a_tenant_that_comes_back_queues_behind_the_others(self) -> None:
        queue: FairQueue[int] = FairQueue()
        queue.extend("a", [1])
        queue.extend("b", [11, 12])
        assert queue.pop() == 1
        queue.push_front("a", 1)
        assert drained(queue) == [11, 1, 12]

    def test_extending_with_no_lines_adds_no_tenant(self) -> None:
        queue: FairQueue[int] = FairQueue()
        queue.extend("a", [])
        assert (queue.size, list(queue.tenants)) == (0, [])

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.booleans()), max_size=40))
    def test_every_line_comes_out_once_and_no_tenant_waits_for_more_than_one_turn_of_each_other(
        self, steps: list[tuple[str, int, bool]]
    ) -> None:
        queue: FairQueue[tuple[str, int]] = FairQueue()
        pushed: list[tuple[str, int]] = []
        for number, (tenant, lines, front) in enumerate(steps):
            batch = [(tenant, number * 10 + nth) for nth in range(lines)]
            if front:
                for pushed_line in batch:
                    queue.push_front(tenant, pushed_line)
            else:
                queue.extend(tenant, batch)
            pushed += batch
            assert queue.size == len(pushed)
        popped = []
        while (line := queue.pop()) is not None:
            popped.append(line)
        assert queue.size == 0
        assert sorted(popped) == sorted(pushed)
        left = Counter(tenant for tenant, _ in pushed)
        for (tenant, _), (following, _) in pairwise(popped):
            left[tenant] -= 1
            assert following != tenant or sum(count > 0 for count in left.values()) == 1


class TestDelayHeap:
    def test_nothing_is_due_before_its_time(self) -> None:
        heap: DelayHeap[str] = DelayHeap()
        heap.push("late", 20.0)
        heap.push("early", 10.0)
        assert (len(heap), heap.next_due) == (2, 10.0)
        assert list(heap.pop_due(9.9)) == []
        assert list(heap.pop_due(10.0)) == ["early"]
        assert (len(heap), heap.next_due) == (1, 20.0)

    def test_lines_that_are_due_come_out_by_time_and_then_by_insertion(self) -> None:
        heap: DelayHeap[str] = DelayHeap()
        for line, due in (("c", 2.0), ("a", 1.0), ("b", 1.0)):
            heap.push(line, due)
        assert list(heap.pop_due(3.0)) == ["a", "b", "c"]
        assert (len(heap), heap.next_due) == (0, None)

    def test_lines_need_not_be_comparable(self) -> None:
        heap: DelayHeap[object] = DelayHeap()
        lines = [object(), object()]
        for line in lines:
            heap.push(line, 1.0)
        assert list(heap.pop_due(1.0)) == lines
