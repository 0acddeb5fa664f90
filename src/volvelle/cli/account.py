"""The book of a run in its output folder: who it is, and where its time went."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
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
    data: dict[str, str] | None = None
    """sha256 of every file that decides the result; None if they were not noted."""
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def open(cls, configuration: Accountable, data: Mapping[str, str] | None = None) -> Account:
        """The account of the output folder, begun if there is none.

        ``data``: sha256 of every file that decides the result. Raises ConfigurationError when the
        folder belongs to another configuration, or to the same with other data.
        """
        path = configuration.output / "run.json"
        if path.exists():
            content = _read(path)
            if content["configuration"] != configuration.hash:
                raise ConfigurationError(
                    f"{configuration.source}: output: {configuration.output} holds the run of "
                    "another configuration; choose another output folder, or delete that one"
                )
            noted = content.get("data")
            check_data(configuration, noted, data)
            return cls(
                configuration.output,
                content["run"],
                content["configuration"],
                noted,
                content["seconds"],
            )
        known = None if data is None else dict(data)
        account = cls(configuration.output, uuid.uuid4().hex, configuration.hash, known)
        account.save()
        return account

    def save(self) -> None:
        """Write the account."""
        content: dict[str, Any] = {
            "run": self.run,
            "configuration": self.configuration_hash,
            "seconds": self.seconds,
        }
        if self.data is not None:
            content["data"] = self.data
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


def _read(path: Path) -> dict[str, Any]:
    """The content of a book; raises ConfigurationError if it is damaged."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not content.keys() >= {
            "configuration",
            "run",
            "seconds",
        }:
            raise ValueError("it lacks configuration, run or seconds")
    except ValueError as error:
        raise ConfigurationError(
            f"{path} is damaged ({error}) and does not say whose run the folder holds; choose "
            "another output folder, or delete that one (its exact solutions are in the ledger)"
        ) from error
    return content


def check_data(
    configuration: Accountable, noted: Mapping[str, str] | None, now: Mapping[str, str] | None
) -> None:
    """Raise ConfigurationError if a run was made of other files than there are ``now``.

    ``noted``: their sha256 when it began; None of either is not compared.
    """
    if noted is None or now is None:
        return
    changed = sorted(name for name in {*noted, *now} if noted.get(name) != now.get(name))
    if changed:
        raise ConfigurationError(
            f"{configuration.source}: output: {configuration.output} holds the run of other data: "
            f"{', '.join(changed)} changed since; choose another output folder, or delete that one"
        )
