"""What every room needs and none of them is about."""

from helpers.common.lazy import offer

__getattr__, __all__ = offer(
    __name__,
    compute="one_thread threads_for",
    progress_bar="progress working",
    environment="ROOT run_folder",
    fields="number_of",
    files="write_atomically",
    markup="as_cell escaped",
    split="Split",
    errors="UserError",
)
