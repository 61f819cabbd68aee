"""Check the rules of style that ruff has no rule for. With arguments, only files below those paths.

- No word of `FORBIDDEN_WORDS` stands in code, protocol or documentation; tests may quote them.
- Prose (comments, docstrings, Markdown text, proto comments) ends at `PROSE_COLUMNS` columns.
  Tables, code blocks, URLs and targets of links do not count, nor does a comment behind code.
- No Python file of the server or the client has more than `MAX_LINES` lines.
- Every `noqa` and `type: ignore` gives its reason on its line.
- A module's logger is named `log`.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FORBIDDEN_WORDS = (
    "faces?", "whoever", "hunger", "harvest", "leftovers", "sits out", "set aside", "the truth", "the world",
    "word of change", "intake", "misspelt", "in_force", "take_off", "patience", "tally",
)  # fmt: skip
WORDS_CHECKED_IN = (
    "server/", "client/", "proto/", "docs/", "bench/", "examples/", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md",
)  # fmt: skip
NOT_OURS = ("gen/python/batchwire/", "proto/google/", "LICENSE")
"""Generated and vendored files."""
PROSE_COLUMNS = 100
MAX_LINES = 400

Finding = tuple[int, str]
"""A line number and what is wrong with the line."""

_FORBIDDEN = re.compile(rf"\b({'|'.join(FORBIDDEN_WORDS)})\b", re.IGNORECASE)
_SUPPRESSION = re.compile(r"#\s*(?:(?:ruff|flake8):\s*)?noqa(?::[\s,A-Z0-9]+\b)?|#\s*type:\s*ignore(?:\[[\w, -]*\])?")
_LINK_TARGET = re.compile(r"https?://[^\s)>]+|(?<=\])\([^)]*\)")


def main(below: tuple[str, ...]) -> int:
    """Print every finding, or those below some paths. Return 1 if there are any, else 0."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.proto", "*.md"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    count = 0
    for name in sorted(set(names)):
        path = ROOT / name
        if name.startswith(NOT_OURS) or not path.exists() or not name.startswith(below or ""):
            continue
        for line, problem in sorted(findings(name, path.read_text())):
            print(f"{name}:{line}: {problem}")
            count += 1
    print(f"{count} findings" if count else "All style checks passed!")
    return int(count > 0)


def findings(name: str, text: str) -> Iterator[Finding]:
    """Yield what is wrong with a file.

    Args:
        name: path of the file, relative to the repository; decides which checks apply.
        text: content of the file.
    """
    if name.startswith(WORDS_CHECKED_IN):
        yield from forbidden_words(text)
    if name.endswith(".py"):
        if name.startswith(("server/", "client/")):
            yield from too_many_lines(text)
        yield from long_python_prose(text)
        yield from suppressions_without_reason(text)
        yield from misnamed_loggers(text)
    elif name.endswith(".proto"):
        yield from long_proto_comments(text)
    else:
        yield from long_markdown_text(text)


def forbidden_words(text: str) -> Iterator[Finding]:
    """Yield each line with a word of the private vocabulary that the project no longer uses."""
    for number, line in enumerate(text.splitlines(), 1):
        for found in _FORBIDDEN.finditer(line):
            yield number, f"forbidden word: {found[0]}"


def too_many_lines(text: str) -> Iterator[Finding]:
    """Yield a finding if a file is too long to be read at a sitting."""
    if (lines := len(text.splitlines())) > MAX_LINES:
        yield lines, f"file has {lines} lines, more than {MAX_LINES}"


def long_python_prose(text: str) -> Iterator[Finding]:
    """Yield each line of a docstring, or with nothing but a comment, that is too long."""
    lines = text.splitlines()
    prose: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and token.line.lstrip().startswith("#"):
            prose.add(token.start[0])
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            prose.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    yield from _long_lines((number, lines[number - 1]) for number in sorted(prose))


def suppressions_without_reason(text: str) -> Iterator[Finding]:
    """Yield each `noqa` and `type: ignore` whose line does not say why it is needed."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or not _SUPPRESSION.search(token.string):
            continue
        reason = _SUPPRESSION.sub("", token.string)
        if len(re.findall(r"[^\W\d_]+", reason)) < 2:
            yield token.start[0], f"no reason given: {token.string}"


def misnamed_loggers(text: str) -> Iterator[Finding]:
    """Yield each logger of a module that is not named `log`."""
    for node in ast.parse(text).body:
        if not (isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call)):
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if ast.unparse(node.value.func).endswith("getLogger") and ast.unparse(target) != "log":
            yield node.lineno, f"module logger is named {ast.unparse(target)}, not log"


def long_proto_comments(text: str) -> Iterator[Finding]:
    """Yield each line with nothing but a comment that is too long."""
    yield from _long_lines(
        (number, line) for number, line in enumerate(text.splitlines(), 1) if line.lstrip().startswith("//")
    )


def long_markdown_text(text: str) -> Iterator[Finding]:
    """Yield each line that is too long and neither in a table nor in a code block."""
    fenced = False
    prose = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = line.lstrip().startswith(("```", "~~~"))
        if not (fence or fenced or line.startswith("    ") or line.lstrip().startswith("|")):
            prose.append((number, line))
        fenced ^= fence
    yield from _long_lines(prose)


def _long_lines(lines: Iterable[tuple[int, str]]) -> Iterator[Finding]:
    for number, line in lines:
        if (columns := len(_LINK_TARGET.sub("", line))) > PROSE_COLUMNS:
            yield number, f"prose ends at column {columns}, beyond {PROSE_COLUMNS}"


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:])))
