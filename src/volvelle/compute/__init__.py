"""Where work runs: in this process, on local cores, on a Dask cluster."""

from .cluster import DaskExecutor, Tls
from .cluster_worker import differences
from .errors import (
    ExecutorError,
    PluginError,
    PrecisionError,
    UnfitWorkerError,
    UnsendableError,
)
from .executor import CRASHES, Executor, Outcome, SerialExecutor, call
from .plugin import load_named, load_plugin, plugin_sha256
from .precision import require_float64
from .processes import ProcessExecutor, available_cores
from .slurm import SlurmJobs, slurm_executor
from .travel import dumps, loads

__all__ = [
    "CRASHES",
    "DaskExecutor",
    "Executor",
    "ExecutorError",
    "Outcome",
    "PluginError",
    "PrecisionError",
    "ProcessExecutor",
    "SerialExecutor",
    "SlurmJobs",
    "Tls",
    "UnfitWorkerError",
    "UnsendableError",
    "available_cores",
    "call",
    "differences",
    "dumps",
    "load_named",
    "load_plugin",
    "loads",
    "plugin_sha256",
    "require_float64",
    "slurm_executor",
]
