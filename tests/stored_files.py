"""Changed files of stored models, signed again as a forger would sign them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from volvelle.learning.storage import sign


def forge(
    folder: Path, change: Callable[[dict[str, Any]], Any], weights: bytes | None = None
) -> None:
    """Change a stored model's content and, if given, its weights, and sign both."""
    path = folder / "model.json"
    content = json.loads(path.read_text())
    (old,) = folder.glob("weights-*.safetensors")
    weights = old.read_bytes() if weights is None else weights
    change(content)
    sign(content, weights)
    old.unlink()
    (folder / content["weights"]).write_bytes(weights)
    path.write_text(json.dumps(content))
