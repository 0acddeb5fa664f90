"""The code of docs/lightcone.md runs as it stands."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "lightcone.md"


def test_the_page() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {}
    exec(compile(block, str(PAGE), "exec"), names)
    found, cone = names["found"], names["cone"]
    expected = cone.volume * (16 / 64.0) ** 3
    assert found.count == len(names["ra"]) > 0
    assert abs(found.count / expected - 1.0) < 0.5  # a small box: its own density
