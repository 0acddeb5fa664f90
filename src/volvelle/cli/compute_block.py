"""The block of a configuration file that says where exact solutions and chains are computed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ..compute.cluster import RECONNECT_SECONDS, RETRIES
from .blocks import Block, Count, FilePath, Positive, empty

Words = Annotated[str, Field(min_length=1)]


class InProcess(Block):
    """One model after the other in the program itself, which a crash of the solver takes along."""


class Local(Block):
    """Processes on this machine."""

    workers: Count | None = None
    """Models that are solved at a time; all cores if None."""
    time_limit: Positive | None = None
    """[s] after which a solution is ended and counts as failed; not stored."""


class Certificates(Block):
    """Files of the certificates for an address that begins with tls://."""

    ca: FilePath
    cert: FilePath
    key: FilePath


class Remote(Block):
    """What all clusters have in common."""

    time_limit: Positive | None = None
    retries: Annotated[int, Field(ge=0)] = RETRIES
    """How often a task is run again whose worker died."""


class Dask(Remote):
    """The workers of a Dask scheduler that runs already."""

    address: Words
    reconnect: Positive = RECONNECT_SECONDS
    """[s] during which a lost scheduler is looked for, and workers where there is none."""
    tls: Certificates | None = None

    @model_validator(mode="after")
    def _address(self) -> Dask:
        protocol, found, place = self.address.partition("://")
        if not found or not place or protocol not in ("tcp", "tls"):
            raise PydanticCustomError(
                "address",
                "the address is {given}; expected tcp://host:port, or tls://host:port",
                {"given": self.address},
            )
        if (protocol == "tls") != (self.tls is not None):
            raise PydanticCustomError(
                "tls", "tls: {ca, cert, key} and an address that begins with tls:// go together"
            )
        return self


class Slurm(Remote):
    """Jobs of a SLURM queue, through dask-jobqueue; the keys are those of ``SlurmJobs``."""

    cores: Count
    memory: Words
    walltime: Words
    jobs: Count = 1
    queue: Words | None = None
    account: Words | None = None
    job_script_prologue: list[str] = Field(default_factory=list)
    job_directives: list[str] = Field(default_factory=list)
    interface: Words | None = None
    host: Words | None = None
    log_directory: FilePath | None = None
    local_directory: Words | None = None
    python: Words | None = None
    wait: Positive | None = None
    """[s] to wait while SLURM starts no job; for ever if None."""


class ComputeBlock(Block):
    """Exactly one place."""

    in_process: Annotated[InProcess | None, BeforeValidator(empty)] = None
    local: Annotated[Local | None, BeforeValidator(empty)] = None
    dask: Dask | None = None
    slurm: Slurm | None = None

    @model_validator(mode="after")
    def _one_place(self) -> ComputeBlock:
        named = sorted(self.model_fields_set)
        if len(named) != 1:
            given = " and ".join(named) or "none"
            raise PydanticCustomError(
                "compute",
                "expected exactly one of in_process, local, dask and slurm, got {given}",
                {"given": given},
            )
        return self

    @property
    def chosen(self) -> InProcess | Local | Dask | Slurm:
        """The block of the place."""
        chosen = self.in_process or self.local or self.dask or self.slurm
        assert chosen is not None, "exactly one is given"
        return chosen

    @property
    def name(self) -> Literal["in_process", "local", "dask", "slurm"]:
        """The name of the place."""
        (name,) = self.model_fields_set
        return name  # type: ignore[return-value]
