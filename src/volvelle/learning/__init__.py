"""What every learned part shares: surrogates, networks, training, selection, storage."""

from volvelle.learning.activation import (
    ACTIVATIONS,
    AlsingActivation,
    check_activation,
    user_activation,
)
from volvelle.learning.architecture import ARCHITECTURES, check_architecture, user_architecture
from volvelle.learning.errors import LearningError, StorageError
from volvelle.learning.fit import Epochs, NetworkSettings, fit_network, least_solutions
from volvelle.learning.gaussian_process import GaussianProcess, fit_gaussian_process
from volvelle.learning.losses import LOSSES, check_loss, loss_weights
from volvelle.learning.network import Network
from volvelle.learning.polynomial import Polynomial, fit_polynomial
from volvelle.learning.regressor import Regressor
from volvelle.learning.selection import Selected, select
from volvelle.learning.storage import (
    load_model,
    model_digest,
    save_model,
    storable,
    write_atomically,
)
from volvelle.learning.user_function import UserFunction

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "LOSSES",
    "AlsingActivation",
    "Epochs",
    "GaussianProcess",
    "LearningError",
    "Network",
    "NetworkSettings",
    "Polynomial",
    "Regressor",
    "Selected",
    "StorageError",
    "UserFunction",
    "check_activation",
    "check_architecture",
    "check_loss",
    "fit_gaussian_process",
    "fit_network",
    "fit_polynomial",
    "least_solutions",
    "load_model",
    "loss_weights",
    "model_digest",
    "save_model",
    "select",
    "storable",
    "user_activation",
    "user_architecture",
    "write_atomically",
]
