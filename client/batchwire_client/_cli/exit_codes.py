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
    """Return how an error of the library ends the command."""
    reason = f" ({error.reason})" if isinstance(error, errors.RequestError) and error.reason else ""
    code = next(code for kind, code in _CODES.items() if isinstance(error, kind))
    return CliError(f"{error}{reason}", code)


def exit_code_of(batch: v1.Batch) -> int:
    """Return the exit code for a batch that has ended."""
    well = batch.status == v1.BATCH_STATUS_COMPLETED and not batch.request_counts.failed
    return OK if well else LINES_FAILED
