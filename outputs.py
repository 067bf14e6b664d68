"""Outputs appear whole or not at all: they are written under a temporary name and renamed when they are done.

    with outputs.whole("counts.csv") as temporary:
        temporary.write_text(...)

What stood there before stays until then. A temporary file is `.NAME.PID.part` beside its output; those of
processes that were killed go away with the next output of that name.
"""

import errno
import os
import re
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path):
    """A temporary path to write to; it takes the place of `path` when the block ends without an error.

    Args:
        path: the output; its folder is made where it is missing.
    Yields:
        Path in the same folder and with the same suffix, which some writers go by.
    Raises:
        OSError: no space left, a folder where the file should be; names the output.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OSError(errno.ENOSPC, "no space left on the disk", str(path)) from error
        if error.filename is not None and str(error.filename) == str(temporary):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(path):
    """Remove temporary files of an output whose processes are no more."""
    name = re.compile(rf"\.{re.escape(path.stem)}\.(\d+)\.part{re.escape(path.suffix)}")
    for other in path.parent.glob(f".{_escaped(path.stem)}.*.part*"):
        match = name.fullmatch(other.name)
        if match and not _is_alive(int(match[1])):
            other.unlink(missing_ok=True)


def _escaped(text):
    """The text as a glob that means itself."""
    return re.sub(r"([*?[])", r"[\1]", text)


def _is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # someone else's
        return True
    return True


def message_of(error):
    """What went wrong, in one line: of an OSError its file and reason, without its number."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error)
