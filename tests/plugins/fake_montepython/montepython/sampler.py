"""``compute_lkl`` of MontePython 3: prior edges apart, ln L of the current point."""

import sys


def compute_lkl(cosmo, data):
    from classy import CosmoComputationError

    if cosmo.state and data.need_cosmo_update is True:
        cosmo.struct_cleanup()
    cosmo.set(data.cosmo_arguments)
    try:
        cosmo.compute()
    except CosmoComputationError as message:
        sys.stderr.write(str(message) + "\n")
        return data.boundary_loglike
    value = sum(likelihood.loglkl(cosmo, data) for likelihood in data.lkl.values())
    for name, number in cosmo.get_current_derived_parameters(
        data.get_mcmc_parameters(["derived"])
    ).items():
        data.mcmc_parameters[name]["current"] = number / data.mcmc_parameters[name]["scale"]
    return value / data.command_line.temperature
