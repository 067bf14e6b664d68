"""Opening input files: lists and globs, one kind of error, a progress bar. Every reader goes through here."""

import glob
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress


def expand(paths):
    """Files named by a path, a glob, or a list of them, in order.

    Raises:
        ValueError: a name that matches no file.
    """
    found = []
    for name in [paths] if isinstance(paths, (str, Path)) else paths:
        matches = sorted(glob.glob(str(name))) or ([str(name)] if Path(name).is_file() else [])
        if not matches:
            raise ValueError(f"{name}: no such file")
        found += matches
    return [Path(name) for name in found]


@contextmanager
def reading(path):
    """Turn whatever a broken file makes a reader raise into one ValueError that names the file."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(str(path)) else f"{path}: {text}") from error
    except Exception as error:  # damaged bytes surface in ROOT readers as almost any exception
        raise ValueError(f"{path}: not a readable ROOT file ({type(error).__name__}: {error})") from error


class FileProgress:
    """A bar over files on the terminal: `within_file(done)` moves it, `next_file()` counts one. A context manager."""

    def __init__(self, paths, show):
        self.done, self.bar = 0, Progress(disable=not show, transient=True)
        self.task = self.bar.add_task("reading", total=len(paths))

    def __enter__(self):
        self.bar.start()
        return self

    def __exit__(self, *error):
        self.bar.stop()

    def within_file(self, fraction):
        self.bar.update(self.task, completed=self.done + fraction)

    def next_file(self):
        self.done += 1
        self.within_file(0)
