"""What validation found wrong, as a table."""

from batchwire import v1
from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_refusals(batch: v1.Batch, console: Console) -> None:
    """Prints the errors of a batch, one row each."""
    table = Table("LINE", "CODE", "FIELD", "MESSAGE", title=f"{batch.id} was refused", title_justify="left")
    table.columns[0].justify = "right"
    for error in batch.errors:
        line = str(error.line) if error.HasField("line") else "-"
        table.add_row(*(Text(cell) for cell in (line, error.code, error.param or "-", error.message)))
    console.print(table)
