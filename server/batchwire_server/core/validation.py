"""Validates a batch's input while it is read, and cuts it into shards."""

from __future__ import annotations

from collections.abc import Iterable

from batchwire_server.core.catalog import Served
from batchwire_server.core.errors import shorten
from batchwire_server.core.limits import EMBEDDINGS, Limits
from batchwire_server.core.lines import STRICT, CheckedLine, LineSplitter, RawLine, check_line, count_inputs
from batchwire_server.core.records import InputError, LineRules
from batchwire_server.core.shards import ShardCutter

MAX_ERRORS = 100


def cannot_find_file(file_id: str, tenant: str) -> InputError:
    """Return the error of a batch whose input file does not exist."""
    message = f"Cannot find file {shorten(file_id)}, or organization {tenant} does not have access to it."
    return InputError("invalid_request", message, "file_id")


class InputCheck:
    """Collects the shards and the errors of an input.

    Attributes:
        models: the models of its lines, in order of appearance.
        undecided: models among these that only an upstream which does not answer may serve.
        unknown_models: whether a line names a model that no upstream is known to serve.
    """

    def __init__(
        self,
        endpoint: str,
        input_bytes: int,
        served: Served,
        limits: Limits,
        *,
        mixed_models: bool,
        rules: LineRules = STRICT,
        replace_model: str | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._served = served
        self._limits = limits
        self._mixed_models = mixed_models and not rules.single_model
        self._rules = rules
        self._replace_model = replace_model
        self._splitter = LineSplitter(limits.max_line_bytes)
        self._cutter = ShardCutter(input_bytes)
        self._seen: set[int] = set()
        self._errors: list[InputError] = []
        self._error_count = 0
        self._lines = 0
        self._inputs = 0
        self.models: dict[str, None] = {}
        self.undecided: set[str] = set()
        self.unknown_models = False

    def feed(self, block: bytes) -> bool:
        """Read the next bytes. Return False once reading on is useless."""
        for line in self._splitter.feed(block):
            self._check(line)
        return self._lines <= self._limits.max_lines

    def finish(self) -> None:
        """End the input: no bytes follow."""
        if self._lines <= self._limits.max_lines:  # beyond that, reading may have stopped within a line
            for line in self._splitter.finish():
                self._check(line)
        self._cutter.close()
        if not self._lines:
            message = "The input file is empty. Please ensure that the batch contains at least one request."
            self._add([InputError("empty_file", message)])
        elif self._lines > self._limits.max_lines:
            message = f"The input file contains more than the {self._limits.max_lines} requests that a batch may have."
            self._add([InputError("too_many_tasks", message)])
        elif self._lines < self._limits.min_lines:
            message = (
                f"The input file contains fewer than the {self._limits.min_lines} requests that a batch must have."
            )
            self._add([InputError("too_few_tasks", message)])
        elif self._inputs > self._limits.max_embedding_inputs:
            message = f"The input file contains more than the {self._limits.max_embedding_inputs} inputs that a batch may have embedded."
            self._add([InputError("too_many_tasks", message)])

    @property
    def shards(self) -> ShardCutter:
        """The shards so far."""
        return self._cutter

    @property
    def errors(self) -> list[InputError]:
        """The first `MAX_ERRORS` errors, and a last one that counts the rest."""
        rest = self._error_count - len(self._errors)
        if not rest:
            return self._errors
        summary = InputError("more_errors", f"{rest} more errors were found, {self._error_count} in all.")
        return [*self._errors, summary]

    def _add(self, errors: Iterable[InputError]) -> None:
        for error in errors:
            self._error_count += 1
            if len(self._errors) < MAX_ERRORS:
                self._errors.append(error)

    def _check(self, line: RawLine) -> None:
        self._lines += 1
        checked = check_line(
            line, self._endpoint, self._limits.max_line_bytes, self._rules, needs_model=not self._replace_model
        )
        if isinstance(checked, list):
            self._add(checked)
            return
        self._check_id(line, checked)
        if self._endpoint == EMBEDDINGS:
            self._inputs += count_inputs(checked.body)
        model = self._replace_model or checked.body.model
        if model not in self.models:
            self._add_model(line, model)
        elif model not in self._served.models and not self._served.any_model:
            self._add_unknown_model(line, model)
        if not self._error_count:
            self._cutter.add(model, line.number, line.offset, line.size)

    def _check_id(self, line: RawLine, checked: CheckedLine) -> None:
        # Hashes take less memory than a million ids. In one file of forty million, two of a million
        # ids share a 64-bit hash.
        digest = hash(checked.custom_id)
        if digest in self._seen:
            message = (
                f"The custom_id '{shorten(checked.custom_id)}' for this request is a duplicate of another request. "
                "The custom_id parameter must be unique for each request in a batch."
            )
            self._add([InputError("duplicate_custom_id", message, "custom_id", line.number)])
        self._seen.add(digest)

    def _add_model(self, line: RawLine, model: str) -> None:
        if self.models and not self._mixed_models:
            message = (
                f"The model '{shorten(model)}' for this request does not match the rest of the batch. "
                "Each batch must contain requests for a single model."
            )
            self._add([InputError("mismatched_model", message, "body.model", line.number)])
            return
        self.models[model] = None
        if model not in self._served.models and not self._served.any_model:
            self._add_unknown_model(line, model)

    def _add_unknown_model(self, line: RawLine, model: str) -> None:
        self.unknown_models = True
        if self._served.silent:
            self.undecided.add(model)
            return
        message = f"The provided model '{shorten(model)}' is not supported by the Batch API."
        self._add([InputError("model_not_found", message, "body.model", line.number)])
