"""An image of a file, as a message takes it."""

import base64
from pathlib import Path

from tasks import InvalidJob


def read_image(path: str, *, max_bytes: int) -> str:
    """The file at `path` (`~` and quotes are understood), base64.

    Raises OSError, one line, and InvalidJob for a file that is larger than `max_bytes`.
    """
    file = Path(path.strip("'\"")).expanduser()
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder: name an image in it")
    try:
        with file.open("rb") as opened:
            # No more is read than may be sent: the name may be that of a device.
            read = opened.read(max_bytes + 1)
    except OSError as exc:
        raise OSError(f"{file} cannot be read: {exc.strerror}") from exc
    if len(read) > max_bytes:
        raise InvalidJob(
            f"{file} is larger than the {max_bytes} bytes that the images of one message may have "
            "(CHAT_MAX_IMAGE_BYTES)"
        )
    return base64.b64encode(read).decode()
