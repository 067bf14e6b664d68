"""Opening input files: lists and globs, one kind of error, a progress bar. Every reader goes through here."""

import glob
import gzip
import hashlib
import shutil
import tempfile
import traceback
import warnings
from contextlib import contextmanager
from pathlib import Path

import uproot
from rich.progress import Progress

ROOT_START = b"root"  # the first bytes of every ROOT file
GZIP_START = b"\x1f\x8b"


def expand(paths):
    """Files named by a path, a glob, or a list of them, in order.

    Raises:
        ValueError: a name that matches no file, or a folder.
    """
    names = [paths] if isinstance(paths, (str, Path)) else paths
    return [path for name in names for path in _named(str(name))]


def _named(name):
    """The files that one name means."""
    # a file may be called run[1].root, so its own name comes before what it means as a glob
    found = [name] if Path(name).exists() else sorted(glob.glob(name))
    if not found:
        raise ValueError(f"{name}: no such file")
    for match in found:
        if Path(match).is_dir():
            raise ValueError(
                f"{match}: a folder, not a file: name the files in it, such as {match}/*.root"
            )
    return [Path(match) for match in found]


def checksums(paths):
    """Name -> SHA-256 of files, for a model's card."""
    digests = {}
    for path in expand(paths):
        with open(path, "rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def stream(paths, tables, progress=False, classes=None):
    """What a reader finds in files, one file after the other.

    Args:
        paths: a file, a glob, or a list of them. progress: draw a bar on the terminal.
        tables: generator function of (open file, path, function to call with the fraction that is read).
        classes: function that gives the classes that uproot may use for one file; None: all that it knows.
    Yields:
        What `tables` yields.
    Raises:
        ValueError: as `open_root`, whatever goes wrong in `tables`.
    """
    paths = expand(paths)
    with _Bar(len(paths), progress) as bar:
        for path in paths:
            with open_root(path, None if classes is None else classes()) as file:
                yield from tables(file, path, bar.within_file)
            bar.next_file()


@contextmanager
def open_root(path, classes=None):
    """A ROOT file as uproot gives it; whatever is wrong with it, in here or while reading it, is a ValueError
    that names it.

    Args:
        path: the file. classes: name -> class of uproot, to which it adds those of the file.
    """
    with _reading(path), _classes_restored(), _unpacked(path) as unpacked:
        _check_start(unpacked)
        # everything is read once: uproot's caches would only hold memory
        caches = {"object_cache": None, "array_cache": None}
        with uproot.open(unpacked, custom_classes=classes, **caches) as file:
            size = Path(unpacked).stat().st_size
            expected = file.file.fEND
            if size < expected:
                raise ValueError(f"truncated, {size} of {expected} bytes")
            file.file.hook_before_interpret_streamers = _Once(
                "the streamer info is damaged: it names classes that are not in it"
            )
            yield file


@contextmanager
def _reading(path):
    """Turn whatever a broken file makes a reader raise into a ValueError of one line that names the file."""
    try:
        yield
    except Exception as error:  # damaged bytes surface in ROOT readers as almost any exception
        _forget_values(error)
        text = str(error).replace("\n", " ")
        if not isinstance(error, ValueError):
            reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
            text = f"not a readable ROOT file ({reason})"
        raise ValueError(text if text.startswith(f"{path}: ") else f"{path}: {text}") from error


def _forget_values(error):
    """Empty the functions that an error came through. Else it would keep the bytes of its file in memory for
    as long as someone keeps the error, as in a list of all files that could not be read.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


@contextmanager
def _unpacked(path):
    """The file itself, or what is in it if it is compressed with gzip: a temporary file."""
    with open(path, "rb") as file:
        is_packed = file.read(len(GZIP_START)) == GZIP_START
    if not is_packed:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder) / Path(path).stem
        with gzip.open(path) as packed, open(unpacked, "wb") as file:
            shutil.copyfileobj(packed, file)
        yield unpacked


def _check_start(path):
    """Refuse by its first bytes what is no ROOT file."""
    with open(path, "rb") as file:
        start = file.read(len(ROOT_START))
    if not start:
        raise ValueError("empty file")
    if start != ROOT_START:
        raise ValueError("not a ROOT file")


class _Once:
    """May be called once.

    uproot looks a class that it does not know up in the streamer info, also while it reads the streamer info:
    in a damaged file without end, until some finalizer of another object meets the recursion limit.
    """

    def __init__(self, message):
        self.message = message
        self.called = False

    def __call__(self, **_):
        if self.called:
            raise ValueError(self.message)
        self.called = True


@contextmanager
def _classes_restored():
    """uproot keeps the classes that it makes from a file's streamer info, for all files: those of a damaged
    one must not outlive it.
    """
    registries = [uproot.classes]
    for model in uproot.classes.values():
        if hasattr(model, "known_versions"):
            registries.append(model.known_versions)
    before = [dict(registry) for registry in registries]
    try:
        yield
    finally:
        for registry, known in zip(registries, before, strict=True):
            if registry != known:
                registry.clear()
                registry.update(known)


def say(path, sentence):
    """Warn of something in a file that does not stop it."""
    warnings.warn(f"{path}: {sentence}", stacklevel=2)


class _Bar:
    """A bar over files on the terminal: `within_file(fraction)` moves it, `next_file()` counts one.

    A context manager.
    """

    def __init__(self, n_files, show):
        self.done = 0
        self.bar = Progress(disable=not show, transient=True)
        self.task = self.bar.add_task("reading", total=n_files)

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
