"""The records."""

from __future__ import annotations

from batchwire_server.core.records import Usage, total_usage
from hypothesis import given
from hypothesis import strategies as st

usages = st.builds(Usage, *[st.integers(0, 1000)] * 5)


@given(st.lists(usages))
def test_usages_add_up_field_by_field(all_used: list[Usage]) -> None:
    assert total_usage(all_used) == Usage(
        sum(usage.input_tokens for usage in all_used),
        sum(usage.cached_tokens for usage in all_used),
        sum(usage.output_tokens for usage in all_used),
        sum(usage.reasoning_tokens for usage in all_used),
        sum(usage.total_tokens for usage in all_used),
    )
