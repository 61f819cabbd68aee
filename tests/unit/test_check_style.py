"""The style checker finds what it is there to find, and nothing else."""

from __future__ import annotations

import pytest

from tools import check_style
from tools.check_style import MAX_LINES, PROSE_COLUMNS, findings

LONG = "x" * (PROSE_COLUMNS + 1)


def problems(name: str, text: str) -> list[tuple[int, str]]:
    """Return what is wrong with a file."""
    return list(findings(name, text))


@pytest.mark.parametrize("name", ["server/a.md", "docs/a.md", "README.md", "bench/a.py", "proto/a.proto"])
@pytest.mark.parametrize("word", ["Face", "faces", "sits out", "in_force"])
def test_a_forbidden_word_is_found_in_any_case(name: str, word: str) -> None:
    assert problems(name, f"\n# a {word}.\n") == [(2, f"forbidden word: {word}")]


@pytest.mark.parametrize("text", ["# interface surfaces", "# in_forced"])
def test_a_part_of_a_word_is_not_forbidden(text: str) -> None:
    assert problems("docs/a.md", text) == []


def test_tests_may_quote_a_forbidden_word() -> None:
    assert problems("tests/a.py", "# face") == []


@pytest.mark.parametrize(
    "text",
    [
        f"# {LONG}",
        f"if a:\n    # {LONG}\n    b()",
        f'"""{LONG}"""',
        f'def f():\n    """A.\n\n    {LONG}\n    """',
        f'A = 1\n"""{LONG}"""',
    ],
)
def test_a_long_line_of_a_comment_or_a_docstring_is_found(text: str) -> None:
    ((line, problem),) = problems("server/a.py", text)
    assert LONG in text.splitlines()[line - 1]
    assert problem.startswith("prose ends at column")


@pytest.mark.parametrize("text", [f"a = 1  # {LONG}", f"a = '{LONG}'", f"a = '''\n# {LONG}\n'''", f"# https://{LONG}"])
def test_long_code_and_urls_are_no_prose(text: str) -> None:
    assert problems("server/a.py", text) == []


def test_a_long_comment_of_a_proto_file_is_found() -> None:
    assert [line for line, _ in problems("proto/a.proto", f'option a = "{LONG}";\n  // {LONG}\n')] == [2]


def test_long_text_of_a_document_is_found() -> None:
    assert [line for line, _ in problems("docs/a.md", f"# A\n{LONG}\n- {LONG}\n")] == [2, 3]


@pytest.mark.parametrize(
    "text", [f"| {LONG} |", f"    {LONG}", f"```\n{LONG}\n```", f"[a](b/{LONG})", f"https://{LONG}"]
)
def test_tables_code_blocks_and_link_targets_are_no_text(text: str) -> None:
    assert problems("docs/a.md", text) == []


@pytest.mark.parametrize(("lines", "found"), [(MAX_LINES, 0), (MAX_LINES + 1, 1)])
@pytest.mark.parametrize("name", ["server/a.py", "client/a.py"])
def test_a_file_with_too_many_lines_is_found(name: str, lines: int, found: int) -> None:
    assert len(problems(name, "a = 1\n" * lines)) == found


@pytest.mark.parametrize(
    "comment",
    [
        "# noqa",
        "# noqa: A001",
        "# noqa: A001, B002",
        "# type: ignore",
        "# type: ignore[arg-type]",
        "# ruff: noqa: N802",
    ],
)
def test_a_suppression_without_a_reason_is_found(comment: str) -> None:
    assert [line for line, _ in problems("tests/a.py", f"a = 1  {comment}")] == [1]
    for reason in (f"{comment} - the name on the wire", f"{comment}  # the name on the wire"):
        assert problems("tests/a.py", f"a = 1  {reason}") == []


@pytest.mark.parametrize("name", ["logger", "_LOG", "LOG"])
def test_a_module_logger_of_another_name_is_found(name: str) -> None:
    text = f"{name} = logging.getLogger(__name__)"
    assert problems("server/a.py", text) == [(1, f"module logger is named {name}, not log")]
    assert problems("server/a.py", text.replace(name, "log")) == []


def test_main_prints_findings_and_fails_if_there_are_any(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_style, "findings", lambda name, _: [(3, "is odd")] if name == "README.md" else [])
    assert check_style.main(()) == 1
    assert capsys.readouterr().out == "README.md:3: is odd\n1 findings\n"
    assert check_style.main(("docs/",)) == 0
