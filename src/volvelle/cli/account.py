"""The book of a run in its output folder: who it is, and where its time went."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..learning import write_atomically
from .errors import ConfigurationError


class Accountable(Protocol):
    """A configuration: what is computed, from which file, to where."""

    @property
    def source(self) -> Path: ...

    @property
    def hash(self) -> str: ...

    @property
    def output(self) -> Path: ...


@dataclass
class Account:
    """Identity of the run and the seconds of its stages, kept across interruptions."""

    folder: Path
    run: str
    configuration_hash: str
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def open(cls, configuration: Accountable) -> Account:
        """The account of the output folder, begun if there is none.

        Raises ConfigurationError when the folder belongs to another configuration.
        """
        path = configuration.output / "run.json"
        if path.exists():
            content = json.loads(path.read_text())
            if content["configuration"] != configuration.hash:
                raise ConfigurationError(
                    f"{configuration.source}: output: {configuration.output} holds the run of "
                    "another configuration; choose another output folder, or delete that one"
                )
            return cls(
                configuration.output, content["run"], content["configuration"], content["seconds"]
            )
        account = cls(configuration.output, uuid.uuid4().hex, configuration.hash)
        account.save()
        return account

    def save(self) -> None:
        """Write the account."""
        content: dict[str, Any] = {
            "run": self.run,
            "configuration": self.configuration_hash,
            "seconds": self.seconds,
        }
        write_atomically(self.folder / "run.json", json.dumps(content, indent=1).encode())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside to a stage; that of a stage within it goes to the inner one."""
        started = time.monotonic()
        inner_before = sum(self.seconds.values())
        try:
            yield
        finally:
            inner = sum(self.seconds.values()) - inner_before
            own = time.monotonic() - started - inner
            self.seconds[name] = self.seconds.get(name, 0.0) + own
            self.save()
