"""Validation of a whole input."""

from __future__ import annotations

from itertools import pairwise

import pytest
from batchwire_server.core.catalog import Route, Served
from batchwire_server.core.limits import Limits
from batchwire_server.core.records import InputError, Model
from batchwire_server.core.validation import MAX_ERRORS, InputCheck, cannot_find_file
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scripted_upstream import ScriptedUpstream

URL = "/v1/completions"
SERVED = Served(models={name: Model(name, 0, "u") for name in ("m", "n")})


def line(custom_id: str, model: str = "m", more: str = "") -> bytes:
    body = f'{{"model":"{model}"{more}}}'
    return f'{{"custom_id":"{custom_id}","method":"POST","url":"{URL}","body":{body}}}\n'.encode()


def checked(
    data: bytes,
    *,
    served: Served = SERVED,
    mixed_models: bool = True,
    limits: Limits | None = None,
    cuts: list[int] | None = None,
) -> InputCheck:
    check = InputCheck(URL, len(data), served, limits or Limits(), mixed_models=mixed_models)
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts or []}), len(data)]
    for start, end in pairwise(edges):
        if not check.feed(data[start:end]):
            break
    check.finish()
    return check


def codes(check: InputCheck) -> list[tuple[str, int | None]]:
    return [(error.code, error.line) for error in check.errors]


def lines_in_shards(check: InputCheck) -> int:
    return sum(shard.lines for _, shard in check.shards.shards)


def test_a_valid_input_has_no_errors_and_all_lines_in_shards() -> None:
    check = checked(b"\xef\xbb\xbf" + line("a") + b"\r\n" + line("b") + line("c").rstrip())
    assert check.errors == []
    assert lines_in_shards(check) == 3
    assert list(check.models) == ["m"]


@given(
    st.lists(
        st.sampled_from([line("a"), line("b"), line("c", "n"), b"{\n", b"\n", b"x" * 200 + b"\n", b"{}"]), max_size=12
    ),
    st.lists(st.integers(0, 9999), max_size=6),
)
def test_the_result_does_not_depend_on_block_boundaries(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    limits = Limits(max_line_bytes=150)
    cut, whole = checked(data, cuts=cuts, limits=limits), checked(data, limits=limits)
    assert cut.errors == whole.errors
    assert cut.shards.shards == whole.shards.shards


@pytest.mark.parametrize("data", [b"", b"\n \r\n", b"\xef\xbb\xbf"])
def test_an_input_without_a_request_is_an_empty_file(data: bytes) -> None:
    message = "The input file is empty. Please ensure that the batch contains at least one request."
    assert checked(data).errors == [InputError("empty_file", message)]


def test_each_error_has_the_number_of_its_line() -> None:
    check = checked(b"\n{\n" + line("a") + b"\r\n[]\n" + line("b") + b"oops")
    assert codes(check) == [("invalid_json_line", 2), ("invalid_json_line", 5), ("invalid_json_line", 7)]


def test_a_repeated_custom_id_is_an_error() -> None:
    check = checked(line("a") + line("b") + line("a") + line("a"))
    assert codes(check) == [("duplicate_custom_id", 3), ("duplicate_custom_id", 4)]
    assert check.errors[0].message == (
        "The custom_id 'a' for this request is a duplicate of another request. "
        "The custom_id parameter must be unique for each request in a batch."
    )
    assert check.errors[0].param == "custom_id"


def test_escapes_do_not_hide_a_repeated_custom_id() -> None:
    assert codes(checked(line("ü") + line("\\u00fc"))) == [("duplicate_custom_id", 2)]


def test_several_models_are_valid_if_mixing_is_allowed() -> None:
    check = checked(line("a", "m") + line("b", "n"))
    assert check.errors == []
    assert list(check.models) == ["m", "n"]


def test_a_second_model_is_an_error_if_mixing_is_not_allowed() -> None:
    check = checked(line("a", "m") + line("b", "n") + line("c", "m") + line("d", "n"), mixed_models=False)
    assert codes(check) == [("mismatched_model", 2), ("mismatched_model", 4)]
    assert check.errors[0].message == (
        "The model 'n' for this request does not match the rest of the batch. "
        "Each batch must contain requests for a single model."
    )


def test_an_unknown_model_is_an_error_of_each_of_its_lines() -> None:
    check = checked(line("a", "x") + line("b", "m") + line("c", "x"))
    assert codes(check) == [("model_not_found", 1), ("model_not_found", 3)]
    assert check.errors[0].message == "The provided model 'x' is not supported by the Batch API."
    assert check.errors[0].param == "body.model"


def test_a_model_that_a_silent_upstream_may_serve_is_undecided() -> None:
    check = checked(line("a", "x") + line("b", "m"), served=Served(models=SERVED.models, silent=["mute"]))
    assert check.errors == []
    assert check.undecided == {"x"}


async def test_every_model_is_valid_if_an_upstream_serves_all() -> None:
    check = checked(line("a", "x"), served=Served(any_model=[Route(ScriptedUpstream())]))
    assert check.errors == []
    assert not check.undecided


def test_the_largest_number_of_lines_is_valid() -> None:
    data = b"".join(line(str(number)) for number in range(10))
    assert checked(data, limits=Limits(max_lines=10)).errors == []


def test_too_many_lines_are_the_only_error() -> None:
    data = b"".join(line(str(number)) for number in range(11))
    assert codes(checked(data, limits=Limits(max_lines=10))) == [("too_many_tasks", None)]


@given(st.integers(1, 2000))
def test_too_many_lines_are_the_only_error_even_if_reading_stops_within_a_line(cut: int) -> None:
    data = b"".join(line(str(number)) for number in range(20))
    assert codes(checked(data, limits=Limits(max_lines=10), cuts=[cut])) == [("too_many_tasks", None)]


def test_reading_stops_soon_after_there_are_too_many_lines() -> None:
    check = InputCheck(URL, 1000, SERVED, Limits(max_lines=2), mixed_models=True)
    assert check.feed(line("a") + line("b"))
    assert not check.feed(line("c"))


def test_too_few_lines_are_an_error() -> None:
    assert codes(checked(line("a") + line("b"), limits=Limits(min_lines=3))) == [("too_few_tasks", None)]
    assert checked(line("a") + line("b"), limits=Limits(min_lines=2)).errors == []


@pytest.mark.parametrize(
    ("value", "inputs"),
    [
        ('"text"', 1),
        ('["a","b","c"]', 3),
        ("[1,2,3]", 1),  # the tokens of one input
        ("[[1,2],[3]]", 2),
        ("[ ]", 0),
        ("5", 1),
    ],
)
def test_embedding_inputs_are_counted_over_all_lines(value: str, inputs: int) -> None:
    def fits(most: int) -> bool:
        data = b"".join(
            f'{{"custom_id":"{n}","method":"POST","url":"/v1/embeddings","body":{{"model":"m","input":{value}}}}}\n'.encode()
            for n in range(2)
        )
        check = InputCheck("/v1/embeddings", len(data), SERVED, Limits(max_embedding_inputs=most), mixed_models=True)
        check.feed(data)
        check.finish()
        assert [error.code for error in check.errors] in ([], ["too_many_tasks"])
        return not check.errors

    assert fits(2 * inputs)
    assert not inputs or not fits(2 * inputs - 1)


def test_the_first_hundred_errors_are_kept_and_the_rest_counted() -> None:
    errors = checked(b"{\n" * 250).errors
    assert len(errors) == MAX_ERRORS + 1
    assert [error.line for error in errors[:-1]] == list(range(1, MAX_ERRORS + 1))
    assert errors[-1].code == "more_errors"
    assert "150" in errors[-1].message
    assert "250" in errors[-1].message


def test_a_hundred_errors_are_kept_without_a_count() -> None:
    assert len(checked(b"{\n" * MAX_ERRORS).errors) == MAX_ERRORS


def test_all_errors_of_an_input_fit_into_one_grpc_message() -> None:
    data = b"".join(line(str(number), f"{number}" + "x" * 100_000) for number in range(60))
    assert sum(len(error.message) for error in checked(data).errors) < 4 * 1024 * 1024


def test_every_line_is_in_a_shard_or_has_an_error() -> None:
    twice = line("b").replace(b'"custom_id":"b"', b'"custom_id":1,"custom_id":"b"')
    check = checked(line("a") + twice)
    assert check.errors or lines_in_shards(check) == 2


def test_a_missing_input_file_has_openais_error() -> None:
    assert cannot_find_file("file-1", "acme") == InputError(
        "invalid_request", "Cannot find file file-1, or organization acme does not have access to it.", "file_id"
    )
