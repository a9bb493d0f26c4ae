"""The one kind of error that is a person's to mend, and how it is shown."""


class UserError(Exception):
    """Bad input, explained in one line that says what, where and what to do next.

    The command line prints the line and exits with status 2; a notebook prints the line
    without a traceback (see `helpers.notebook.prepare`).
    """
