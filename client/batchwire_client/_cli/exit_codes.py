"""The exit codes, their meanings, and which error ends with which code."""

from __future__ import annotations

from batchwire import v1

from batchwire_client import errors

OK = 0
LINES_FAILED = 1
USAGE = 2
REFUSED = 3
UNREACHABLE = 4
INTERRUPTED = 130

MEANINGS = {
    OK: "success",
    LINES_FAILED: "the batch has failed lines, or it failed, expired or was cancelled",
    USAGE: "wrong usage, or a local file that cannot be read or written",
    REFUSED: "the server refused the call",
    UNREACHABLE: "the server could not be reached, or did not answer in time",
    INTERRUPTED: "interrupted; a batch that was created continues",
}

_CODES: dict[type[errors.BatchwireError], int] = {
    errors.RequestError: REFUSED,
    errors.ServerUnavailable: UNREACHABLE,
    errors.DeadlineExceeded: UNREACHABLE,
    errors.CorruptDownload: UNREACHABLE,
}


class CliError(Exception):
    """Ends the command with one line on stderr and an exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def cli_error_of(error: errors.BatchwireError) -> CliError:
    """Return the message and the exit code for an error of the client."""
    match error:
        case errors.RequestError(reason=str(reason)) if reason:
            message = f"{error} ({reason})"
        case errors.ServerUnavailable():
            message = f"server unavailable: {error}; check --target, and that the server is running"
        case _:
            message = str(error)
    code = next(code for kind, code in _CODES.items() if isinstance(error, kind))
    return CliError(message, code)


def exit_code_of(batch: v1.Batch) -> int:
    """Return the exit code for a batch that has ended."""
    succeeded = batch.status == v1.BATCH_STATUS_COMPLETED and not batch.request_counts.failed
    return OK if succeeded else LINES_FAILED
