"""Where work runs: in this process or on local cores."""

from .errors import ExecutorError, PrecisionError
from .executor import Executor, Outcome, SerialExecutor
from .precision import require_float64
from .processes import ProcessExecutor, available_cores

__all__ = [
    "Executor",
    "ExecutorError",
    "Outcome",
    "PrecisionError",
    "ProcessExecutor",
    "SerialExecutor",
    "available_cores",
    "require_float64",
]
