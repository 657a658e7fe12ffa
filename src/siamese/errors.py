"""The one exception that means "the input is wrong", as opposed to "the code is wrong"."""


class InputError(ValueError):
    """A file, a parameter or an argument given by the user cannot be used.

    The message is one sentence or two: what was given, what was expected and what to do. Stages and
    the command line print it without a traceback.
    """
