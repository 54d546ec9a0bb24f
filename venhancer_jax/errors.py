"""The error for wrong input, with the way out."""


class InputError(ValueError):
    """Wrong input, explained to a person.

    The message names the value, what was expected, and what to do. Command lines print it alone,
    without a traceback, and exit with code 2.
    """
