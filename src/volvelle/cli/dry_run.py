"""What ``--dry-run`` shows of a file that has passed every check."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table


def checked_table(source: Path, rows: Mapping[str, Any]) -> Table:
    """What is asked for, and what it would cost."""
    table = Table(title=f"{source}: nothing is computed", show_header=False)
    for name, value in rows.items():
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(name.replace("_", " "), escape(text))
    return table
