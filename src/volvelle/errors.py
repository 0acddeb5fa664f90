"""The base class of every error that Volvelle raises on purpose."""


class VolvelleError(Exception):
    """Something that the user can mend.

    The message is one line: what was given, what was expected and what to do. The command line
    prints it without a traceback; each folder defines its own subclasses in its ``errors.py``.
    """
