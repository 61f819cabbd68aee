"""Splitting bytes into lines, and checking lines."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from batchwire_server.core.lines import (
    MAX_CUSTOM_ID,
    CheckedLine,
    LineSplitter,
    RawLine,
    check_line,
    json_type,
    looks_like_request,
    read_call,
    read_model,
)
from batchwire_server.core.records import InputError, LineRules
from hypothesis import example, given
from hypothesis import strategies as st

BOM = b"\xef\xbb\xbf"
URL = "/v1/completions"
ANY_SIZE = 1 << 24


def split(data: bytes, cuts: list[int] | None = None, *, max_bytes: int = ANY_SIZE) -> list[RawLine]:
    splitter = LineSplitter(max_bytes)
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts or []}), len(data)]
    lines = [line for start, end in pairwise(edges) for line in splitter.feed(data[start:end])]
    return [*lines, *splitter.finish()]


def request(
    custom_id: str = '"a"', method: str = '"POST"', url: str = f'"{URL}"', body: str = '{"model":"m"}'
) -> bytes:
    return f'{{"custom_id":{custom_id},"method":{method},"url":{url},"body":{body}}}'.encode()


def check(text: bytes) -> CheckedLine | list[InputError]:
    return check_line(RawLine(7, 0, len(text), text), URL, ANY_SIZE)


def errors_of(text: bytes) -> list[tuple[str, str | None]]:
    checked = check(text)
    assert isinstance(checked, list), "the line was found valid"
    assert checked, "the line is neither taken nor told to be wrong"
    assert {error.line for error in checked} == {7}
    return [(error.code, error.param) for error in checked]


pieces = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b" ", b"\t", b"{}", b'{"a":1}', BOM, b"\xff", "ü".encode(), b"x" * 30, b"\x0b", b"\x00"]
)
inputs = st.lists(pieces, max_size=24).map(b"".join)
cuttings = st.lists(st.integers(0, 1 << 16), max_size=8)


class TestSplitting:
    @given(inputs, cuttings, st.sampled_from([0, 1, 5, 29, 30, 31, ANY_SIZE]))
    @example(BOM + b"{}\r\n\r\n{}", [1, 2, 4, 6], 5)
    @example(b"x" * 31 + b"\n{}", [30, 31, 32], 30)
    def test_lines_do_not_depend_on_block_boundaries(self, data: bytes, cuts: list[int], max_bytes: int) -> None:
        assert split(data, cuts, max_bytes=max_bytes) == split(data, max_bytes=max_bytes)

    @given(inputs)
    def test_lines_equal_a_plain_split_at_line_feeds(self, data: bytes) -> None:
        plain = enumerate(data.removeprefix(BOM).split(b"\n"), 1)
        assert [(line.number, line.text) for line in split(data)] == [
            (number, text) for number, text in plain if text.strip(b" \t\r")
        ]

    @given(inputs, cuttings)
    def test_offset_and_size_include_the_end_of_the_line(self, data: bytes, cuts: list[int]) -> None:
        for line in split(data, cuts):
            covered = data[line.offset : line.offset + line.size]
            assert covered.removeprefix(BOM if not line.offset else b"").removesuffix(b"\n") == line.text
            assert covered.endswith(b"\n") or line.offset + line.size == len(data)

    @given(inputs, st.integers(0, 8))
    def test_a_splitter_that_starts_within_the_file_yields_the_same_lines(self, data: bytes, which: int) -> None:
        lines = split(data)
        for start in lines[which : which + 1]:
            splitter = LineSplitter(ANY_SIZE, first_line=start.number, offset=start.offset)
            rest = [*splitter.feed(data[start.offset :]), *splitter.finish()]
            assert rest == lines[which:]

    def test_a_byte_order_mark_is_dropped_once_and_only_at_the_start(self) -> None:
        assert [line.text for line in split(BOM + BOM + b"{}\n" + BOM + b"{}")] == [BOM + b"{}", BOM + b"{}"]

    def test_an_empty_stream_has_no_lines(self) -> None:
        assert split(b"") == []
        assert split(BOM) == []
        assert split(b" \r\n\t\n\n") == []

    def test_a_line_that_is_too_long_is_yielded_without_its_text(self) -> None:
        lines = split(b"{}\n" + b"x" * 11 + b"\n{}", [5, 9], max_bytes=10)
        assert [(line.number, line.text is None, line.size) for line in lines] == [
            (1, False, 3),
            (2, True, 12),
            (3, False, 2),
        ]

    def test_a_line_of_exactly_the_limit_is_kept(self) -> None:
        assert [line.text for line in split(b"x" * 10 + b"\n", max_bytes=10)] == [b"x" * 10]

    def test_a_line_without_end_takes_no_more_memory_than_the_limit(self) -> None:
        splitter = LineSplitter(1000)
        for _ in range(100):
            assert list(splitter.feed(b"x" * 400)) == []
            assert sum(map(len, splitter._parts)) <= 1000


class TestErrors:
    @pytest.mark.parametrize("depth", [250, 980, 100_000])
    def test_deep_nesting_is_detected(self, depth: int) -> None:
        body = b'{"model":"m","x":' + b"[" * depth + b"]" * depth + b"}"
        text = b'{"custom_id":"a","method":"POST","url":"/v1/completions","body":' + body + b"}"
        (error,) = check_line(RawLine(1, 0, len(text), text), "/v1/completions", 1 << 20)  # type: ignore[misc]  # a list
        assert error.code == "invalid_json_line"

    def test_brackets_within_strings_do_not_nest(self) -> None:
        body = b'{"model":"m","x":"' + b'[{\\"' * 500 + b'"}'
        text = b'{"custom_id":"a","method":"POST","url":"/v1/completions","body":' + body + b"}"
        assert not isinstance(check_line(RawLine(1, 0, len(text), text), "/v1/completions", 1 << 20), list)

    def test_a_valid_line_has_no_errors(self) -> None:
        checked = check(request())
        assert isinstance(checked, CheckedLine)
        assert (checked.custom_id, checked.body.model) == ("a", "m")

    @pytest.mark.parametrize(
        "text",
        [
            b"{",
            b"[]",
            b"5",
            b'"text"',
            b"null",
            b"{} {}",
            request(body='{"model":"m","x":NaN}'),
            request(body='{"model":"m","x":01}'),
            request(body='{"model":"m","x":"\x01"}'),
            request(body='{"model":"m","x":"\\q"}'),
            request(body='{"model":"m","x":"?"}').replace(b"?", b"\xff"),
            request(custom_id='"\\ud800"'),
            BOM + request(),
        ],
    )
    def test_a_line_that_is_not_a_json_object_in_utf8_is_invalid(self, text: bytes) -> None:
        assert check(text) == [InputError("invalid_json_line", "This line is not parseable as valid JSON.", line=7)]

    def test_each_missing_field_is_named(self) -> None:
        assert check(b"{}") == [
            InputError("missing_required_parameter", f"Missing required parameter: '{name}'.", name, 7)
            for name in ("custom_id", "method", "url", "body")
        ]

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            (request(custom_id="null"), ("missing_required_parameter", "custom_id")),
            (request(custom_id='""'), ("missing_required_parameter", "custom_id")),
            (request(custom_id="5"), ("invalid_type", "custom_id")),
            (request(custom_id=f'"{"x" * (MAX_CUSTOM_ID + 1)}"'), ("string_above_max_length", "custom_id")),
            (request(method='"GET"'), ("invalid_value", "method")),
            (request(method='"post"'), ("invalid_value", "method")),
            (request(url='"/chat/completions"'), ("invalid_url", "url")),
            (request(url='"/v1/embeddings"'), ("invalid_url", "url")),
            (request(url="5"), ("invalid_url", "url")),
            (request(body="null"), ("missing_required_parameter", "body")),
            (request(body="[]"), ("invalid_type", "body")),
            (request(body="{}"), ("invalid_request", "body.model")),
            (request(body='{"model":""}'), ("invalid_request", "body.model")),
            (request(body='{"model":5}'), ("invalid_type", "body.model")),
            (request(body='{"model":"a\\u0000b"}'), ("invalid_value", "body.model")),
            (request(body='{"model":"m","stream":true}'), ("streaming_unsupported", "body.stream")),
            (request(body='{"model":"m","stream":"yes"}'), ("invalid_type", "body.stream")),
        ],
    )
    def test_each_error_has_its_code_and_param(self, text: bytes, error: tuple[str, str]) -> None:
        assert errors_of(text) == [error]

    def test_a_url_may_omit_its_version_only_if_the_rules_allow_it(self) -> None:
        text = request(url='"/completions"')
        line = RawLine(1, 0, len(text), text)
        assert isinstance(check_line(line, "/v1/completions", 1 << 20), list)
        short = LineRules(unversioned_target=True)
        assert isinstance(check_line(line, "/v1/completions", 1 << 20, short), CheckedLine)
        assert isinstance(check_line(line, "/v1/embeddings", 1 << 20, short), list)

    def test_chat_completions_require_messages(self) -> None:
        text = request(body='{"model":"m"}').replace(b"/v1/completions", b"/v1/chat/completions")
        error = InputError("invalid_request", "Messages parameter is required.", "body.messages", 1)
        assert check_line(RawLine(1, 0, len(text), text), "/v1/chat/completions", 1 << 20) == [error]
        whole = text.replace(b'"m"', b'"m","messages":[]')
        assert isinstance(check_line(RawLine(1, 0, len(whole), whole), "/v1/chat/completions", 1 << 20), CheckedLine)

    def test_all_errors_of_a_line_are_returned(self) -> None:
        found = errors_of(request(custom_id="1", method='"GET"', url='"/"', body='{"stream":true}'))
        assert [param for _, param in found] == ["custom_id", "method", "url", "body.model", "body.stream"]

    def test_the_messages_are_openais(self) -> None:
        checked = check(request(url='"/"', body='{"stream":true}'))
        assert isinstance(checked, list)
        assert [error.message for error in checked] == [
            "The URL provided for this request does not match the batch endpoint.",
            "Model parameter is required.",
            "Chat Completions: Streaming is not supported in the Batch API.",
        ]

    def test_a_stream_of_false_or_null_is_valid(self) -> None:
        assert isinstance(check(request(body='{"model":"m","stream":false}')), CheckedLine)
        assert isinstance(check(request(body='{"model":"m","stream":null}')), CheckedLine)

    def test_a_custom_id_may_have_512_characters_of_any_width(self) -> None:
        assert isinstance(check(request(custom_id=f'"{"ü" * MAX_CUSTOM_ID}"')), CheckedLine)

    def test_a_line_that_is_too_long_is_an_error(self) -> None:
        assert check_line(RawLine(3, 0, 99, None), URL, 50) == [
            InputError("invalid_request", "This line is larger than the 50 byte maximum.", line=3)
        ]

    @pytest.mark.parametrize(
        "text",
        [
            request(custom_id='1,"custom_id":"a"'),
            request(body='5,"body":{"model":"m"}'),
            request(body='{"model":5,"model":"m"}'),
            request(body='{"model":"m","stream":"x","stream":false}'),
            request(url=f'5,"url":"{URL}"'),
        ],
    )
    def test_a_line_with_a_duplicate_key_is_valid_or_has_an_error(self, text: bytes) -> None:
        checked = check(text)
        assert isinstance(checked, CheckedLine) or checked, "neither valid nor an error"

    def test_a_number_too_large_for_a_float_hides_no_other_error(self) -> None:
        assert errors_of(request(body='{"x":1e400}')) == [("invalid_request", "body.model")]

    def test_extreme_nesting_is_an_error_and_not_a_crash(self) -> None:
        deep = "[" * 100_000 + "]" * 100_000
        assert [code for code, _ in errors_of(request(body=f'{{"model":"m","x":{deep}}}'))] == ["invalid_json_line"]

    @pytest.mark.parametrize("field", ["method", "custom_id", "url", "model"])
    def test_a_huge_value_does_not_become_a_huge_message(self, field: str) -> None:
        huge = f'"{"x" * 100_000}"'
        text = {
            "method": request(method=huge),
            "custom_id": request(custom_id=huge),
            "url": request(url=huge),
            "model": request(body=f'{{"model":{huge},"stream":true}}'),
        }[field]
        checked = check(text)
        assert isinstance(checked, list)
        assert all(len(error.message) < 2000 for error in checked)

    @given(
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))
    )
    def test_any_value_in_any_field_is_valid_or_an_error(self, value: object) -> None:
        told = msgspec.json.encode(value).decode()
        for text in (
            request(custom_id=told),
            request(method=told),
            request(url=told),
            request(body=told),
            request(body=f'{{"model":{told}}}'),
            request(body=f'{{"model":"m","stream":{told}}}'),
        ):
            checked = check(text)
            assert isinstance(checked, CheckedLine) or checked

    def test_json_types_are_named_as_openai_names_them(self) -> None:
        values = ["", True, 1, 1.5, [], {}, None]
        assert [json_type(value) for value in values] == [
            "a string",
            "a boolean",
            "an integer",
            "a decimal",
            "an array",
            "an object",
            "null",
        ]


BODIES = [
    b'{"model":"m","x":1e400}',
    b'{"model":"m","x":0.10,"y":-0.0,"z":1E+2}',
    b'{"model":"m","x":' + b"9" * 3000 + b"}",
    b'{"model":"m","model":"m","x":1,"x":2}',
    b'{"model":"m","x":"\\u00fc\\/\\ud83d\\ude00"}',
    '{"model":"m","x":"ü 😀 \u2028"}'.encode(),
    b'{ "model" : "m" ,\t"x" : [ ] }',
    b'{"model":"m",\r "x":"\\r\\n"}',
]


class TestCalls:
    @pytest.mark.parametrize("body", BODIES)
    def test_a_body_keeps_its_bytes(self, body: bytes) -> None:
        text = b'{"custom_id": "a" ,"body" : ' + body + b' ,"method":"POST","url":"' + URL.encode() + b'"}'
        assert isinstance(check(text), CheckedLine)
        assert bytes(read_call(text).body) == body

    @pytest.mark.parametrize("custom_id", [b'"a"', b'"\\u00fc\\"\\\\"', '"ü"'.encode(), b'"\\ud83d\\ude00"'])
    def test_a_custom_id_keeps_its_bytes(self, custom_id: bytes) -> None:
        assert bytes(read_call(request(custom_id="?").replace(b"?", custom_id)).custom_id) == custom_id

    def test_validation_and_call_use_the_same_one_of_duplicate_keys(self) -> None:
        text = request(custom_id='"a","custom_id":"b"', body='{"model":"m"},"body":{"model":"n"}')
        checked = check(text)
        assert isinstance(checked, CheckedLine)
        call = read_call(text)
        assert (checked.custom_id, checked.body.model) == ("b", "n")
        assert (bytes(call.custom_id), bytes(call.body)) == (b'"b"', b'{"model":"n"}')
        assert read_model(text) == "n"


class TestLooksLikeRequest:
    @pytest.mark.parametrize("line", [b"{}", BOM + b"{}", b'{"a":[1]}', b' {"a":1} \r'])
    def test_a_json_object_looks_like_a_request(self, line: bytes) -> None:
        assert looks_like_request(line)

    @pytest.mark.parametrize("line", [b"", b"[]", b"1", b"%PDF", b"{", b'{"a":}', BOM, b'{"\xff":1}'])
    def test_anything_else_does_not_look_like_a_request(self, line: bytes) -> None:
        assert not looks_like_request(line)

    @pytest.mark.parametrize("body", BODIES)
    def test_every_valid_line_looks_like_a_request(self, body: bytes) -> None:
        assert looks_like_request(request(body="?").replace(b"?", body, 1))

    def test_extreme_nesting_does_not_crash(self) -> None:
        looks_like_request(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
