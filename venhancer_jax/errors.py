"""The error that means: the input is wrong, and here is the way out."""


class InputError(ValueError):
    """A wrong input, told to a person.

    The message names the value, what was expected, and what to do. Command lines print it alone,
    without a traceback, and leave with exit code 2.
    """
