"""Where work runs: in this process or on local cores."""

from .errors import ExecutorError
from .executor import Executor, Outcome, SerialExecutor
from .processes import ProcessExecutor, available_cores

__all__ = [
    "Executor",
    "ExecutorError",
    "Outcome",
    "ProcessExecutor",
    "SerialExecutor",
    "available_cores",
]
