"""The weights of a model on the Hub, read by ranges of their bytes: 300 MB of a table, not 16 GB of a checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kotovec.errors import RESUME, ModelError, ModelNotFoundError, first_line

SECONDS = 30.0  # to wait for an answer
_PARTIAL = 206  # the status of an answer that is a range


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository on the Hub.

    Attributes:
        name: name of the file in its repository.
        url: address of the file at one commit.
        size: size in bytes.
    """

    name: str
    url: str
    size: int

    def read(self, begin: int, count: int) -> bytes:
        """Return so many bytes from an offset; fewer at the end of the file. Waits and tries again, as the client does.

        Raises:
            ModelNotFoundError: the Hub does not give them.
            ModelError: the Hub gives whole files alone.
        """
        import huggingface_hub

        utils: Any = huggingface_hub.utils  # which exports these without saying so
        stop = min(begin + count, self.size)
        if stop <= begin:
            return b""
        headers = {**utils.build_hf_headers(), "Range": f"bytes={begin}-{stop - 1}", "Accept-Encoding": "identity"}
        try:
            with utils.http_stream_backoff("GET", self.url, headers=headers, timeout=SECONDS) as answer:
                utils.hf_raise_for_status(answer)
                if answer.status_code == _PARTIAL:  # else its body is the whole file
                    return bytes(answer.read())
                status = answer.status_code
        except Exception as error:  # connection, proxy, time-out, HTTP status: anything that the client raises
            raise ModelNotFoundError(f"{self.name} did not download ({first_line(error)})", hint=RESUME) from error
        raise ModelError(
            f"the Hub gives no part of {self.name} ({status})", hint="download the model, and give its folder"
        )


def files(repository: str, revision: str | None, names: Sequence[str]) -> list[RemoteFile]:
    """Return the files of these names in a repository, with their sizes.

    Raises:
        ModelNotFoundError: the Hub does not tell them.
    """
    import huggingface_hub as hub

    found = []
    for name in names:
        url = hub.hf_hub_url(repository, name, revision=revision)
        try:
            size = hub.get_hf_file_metadata(url, timeout=SECONDS).size
        except Exception as error:  # as above
            raise ModelNotFoundError(f"{name} did not download ({first_line(error)})", hint=RESUME) from error
        found.append(RemoteFile(name, url, size or 0))
    return found
