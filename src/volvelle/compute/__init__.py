"""Where work runs: in this process or on local cores."""

from .errors import ExecutorError, PluginError, PrecisionError
from .executor import Executor, Outcome, SerialExecutor
from .plugin import load_named, load_plugin
from .precision import require_float64
from .processes import ProcessExecutor, available_cores

__all__ = [
    "Executor",
    "ExecutorError",
    "Outcome",
    "PluginError",
    "PrecisionError",
    "ProcessExecutor",
    "SerialExecutor",
    "available_cores",
    "load_named",
    "load_plugin",
    "require_float64",
]
