"""Lines of the result files."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from batchwire_server.core.records import Usage
from batchwire_server.core.results import (
    LINE_ERRORS,
    NoReplyKind,
    Reply,
    UnrunReason,
    error_line,
    read_usage,
    response_line,
    wrap_as_error,
)
from hypothesis import given
from hypothesis import strategies as st

LINE = b"batch_req_00ff0000001"
INT64 = (1 << 63) - 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"x":1e400}',
        b'{"x":0.10,"y":-0.0}',
        b'{"x":' + b"9" * 3000 + b"}",
        b'{"x":1,"x":2}',
        b'{"x":"\\u00fc\\/\\ud83d\\ude00"}',
        '{"x":"ü 😀"}'.encode(),
        b'{ "x" :\t[ ] }',
        b"[]",
        b"null",
        b'"text"',
    ],
)
def test_a_reply_is_copied_byte_for_byte(body: bytes) -> None:
    text = response_line(LINE, b'"a"', Reply(200, body, "req_1"))
    assert (
        text
        == b'{"id":"%b","custom_id":"a","response":{"status_code":200,"request_id":"req_1","body":%b},"error":null}\n'
        % (
            LINE,
            body,
        )
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_a_reply_on_many_lines_becomes_one_line_of_equal_value(value: object) -> None:
    printed = json.dumps(value, indent=2, ensure_ascii=False).replace("\n", "\r\n").encode(errors="surrogatepass")
    text = response_line(LINE, b'"a"', Reply(200, printed))
    assert text.count(b"\n") == 1
    assert b"\r" not in text
    assert json.loads(text)["response"]["body"] == value


def test_a_reply_without_request_id_gets_one() -> None:
    said = json.loads(response_line(LINE, b'"a"', Reply(200, b"{}")))
    assert said["response"]["request_id"] == "req_00ff0000001"


def test_an_odd_request_id_is_escaped() -> None:
    said = json.loads(response_line(LINE, b'"a"', Reply(200, b"{}", 'x"\\\n')))
    assert said["response"]["request_id"] == 'x"\\\n'


@pytest.mark.parametrize("why", [*get_args(UnrunReason), *NoReplyKind])
def test_each_reason_without_a_reply_has_its_code_and_message(why: UnrunReason | NoReplyKind) -> None:
    text = error_line(LINE, b'"\\u00fc"', why)
    assert b'"custom_id":"\\u00fc"' in text
    said = json.loads(text)
    assert said["response"] is None
    code, message = LINE_ERRORS[why]
    assert said["error"] == {"code": code, "message": message}
    assert message


def test_a_reply_that_is_not_json_is_quoted_in_an_error() -> None:
    page = b"<html>\xff" + b"x" * 10_000
    said = json.loads(wrap_as_error(Reply(502, page)))
    assert said["error"]["type"] == "server_error"
    assert len(said["error"]["message"]) == 4096
    assert json.loads(wrap_as_error(Reply(404, b"")))["error"] == {
        "message": "",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


class TestUsage:
    def test_chat_completions_report_prompt_and_completion_tokens(self) -> None:
        body = {
            "usage": {
                "prompt_tokens": 5,
                "completion_tokens": 7,
                "total_tokens": 12,
                "prompt_tokens_details": {"cached_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 3},
            }
        }
        assert read_usage(json.dumps(body).encode()) == Usage(5, 2, 7, 3, 12)

    def test_responses_report_input_and_output_tokens(self) -> None:
        body = {
            "usage": {
                "input_tokens": 5,
                "output_tokens": 7,
                "input_tokens_details": {"cached_tokens": 2},
                "output_tokens_details": {"reasoning_tokens": 3},
            }
        }
        assert read_usage(json.dumps(body).encode()) == Usage(5, 2, 7, 3, 12)

    def test_embeddings_report_no_output_tokens(self) -> None:
        assert read_usage(b'{"usage":{"prompt_tokens":5,"total_tokens":5}}') == Usage(input_tokens=5, total_tokens=5)

    @pytest.mark.parametrize(
        "body", [b"{}", b"[]", b'{"usage":null}', b'{"usage":"x"}', b'{"usage":{"prompt_tokens":"x"}}']
    )
    def test_a_reply_without_usage_counts_as_zero(self, body: bytes) -> None:
        assert read_usage(body) == Usage()

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"{",
            b'{"a":"x\ny"}',
            b'{"a":"\xff"}',
            b"\xef\xbb\xbf{}",
            b"{} {}",
            b"[1,",
            b"12 monkeys",
            b"true blah",
            b'"text" and more',
            b'{"usage":5,',
            b'{"usage":{"prompt_tokens":"x"} oops',
        ],
    )
    def test_usage_of_a_reply_that_is_not_json_is_none(self, body: bytes) -> None:
        assert read_usage(body) is None

    def test_half_a_surrogate_pair_is_valid_json(self) -> None:
        assert read_usage(b'{"x":"\\ud83d","usage":{"prompt_tokens":2}}') == Usage(input_tokens=2, total_tokens=2)

    def test_an_extremely_nested_reply_does_not_crash(self) -> None:
        read_usage(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")

    @pytest.mark.parametrize("count", [b"9" * 30, b"-5", b"9223372036854775808", b"9223372036854775807"])
    def test_usage_always_fits_the_store(self, count: bytes) -> None:
        usage = read_usage(b'{"usage":{"prompt_tokens":%b,"completion_tokens":%b}}' % (count, count))
        assert usage is not None
        assert 0 <= usage.input_tokens <= INT64
        assert 0 <= usage.output_tokens <= INT64
        assert 0 <= usage.total_tokens <= INT64
