"""Opening input files: lists and globs, one kind of error, a progress bar. Every reader goes through here."""

import glob
import hashlib
from contextlib import contextmanager
from pathlib import Path

import uproot
from rich.progress import Progress


def expand(paths):
    """Files named by a path, a glob, or a list of them, in order.

    Raises:
        ValueError: a name that matches no file.
    """
    found = []
    for name in [paths] if isinstance(paths, (str, Path)) else paths:
        matches = (
            [str(name)] if Path(name).is_file() else sorted(glob.glob(str(name)))
        )  # a file may be called run[1].root
        if not matches:
            raise ValueError(f"{name}: no such file")
        found += matches
    return [Path(name) for name in found]


def checksums(paths):
    """Name -> SHA-256 of files, for a model's card."""
    digests = {}
    for path in expand(paths):
        with open(path, "rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


@contextmanager
def reading(path):
    """Turn whatever a broken file makes a reader raise into one ValueError that names the file."""
    try:
        yield
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(f"{path}: ") else f"{path}: {text}") from error
    except Exception as error:  # damaged bytes surface in ROOT readers as almost any exception
        raise ValueError(f"{path}: not a readable ROOT file ({type(error).__name__}: {error})") from error


@contextmanager
def open_root(path, **options):
    """A ROOT file as uproot gives it; whatever is wrong with it, in here or while reading it, is a ValueError
    that names it.

    Args:
        path: the file. options: of `uproot.open`.
    """
    with reading(path), _classes_restored(), uproot.open(path, **options) as file:
        size, expected = Path(path).stat().st_size, file.file.fEND
        if size < expected:
            raise ValueError(f"truncated, {size} of {expected} bytes")
        file.file.hook_before_interpret_streamers = _Once(
            "the streamer info is damaged: it names classes that are not in it"
        )
        yield file


class _Once:
    """May be called once.

    uproot looks a class that it does not know up in the streamer info, also while it reads the streamer info:
    in a damaged file without end, until some finalizer of another object meets the recursion limit.
    """

    def __init__(self, message):
        self.message, self.called = message, False

    def __call__(self, **_):
        if self.called:
            raise ValueError(self.message)
        self.called = True


@contextmanager
def _classes_restored():
    """uproot keeps the classes that it makes from a file's streamer info, for all files: those of a damaged
    one must not outlive it.
    """
    classes = dict(uproot.classes)
    versions = [
        (model.known_versions, dict(model.known_versions))
        for model in classes.values()
        if hasattr(model, "known_versions")
    ]
    try:
        yield
    finally:
        for registry, before in [(uproot.classes, classes), *versions]:
            if registry != before:
                registry.clear()
                registry.update(before)


class FileProgress:
    """A bar over files on the terminal: `within_file(done)` moves it, `next_file()` counts one.

    A context manager.
    """

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
