"""Settings of the service: address, access and limits."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from headstart.errors import InputError, one_line

MIB = 2**20
TOKEN_VARIABLE = "HEADSTART_TOKEN"
MIN_TOKEN = 8
MAX_WORKERS = 64
_ORIGIN = re.compile(r"(https?)://([a-z0-9._\-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_\-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_\-]*[a-z0-9_])?)*")
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~\-]+)+")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeSettings:
    """Settings of the service; requests beyond a limit are refused, not delayed.

    Parameters
    ----------
    host : str
        Address to listen on; default: only this machine.
    port : int in [0, 65535]
        0 selects a free one.
    token : str, optional
        Required token of requests: ``Authorization: Bearer TOKEN``.
    allowed_hosts : tuple of str
        Accepted host names besides ``localhost`` and addresses; ``"*"`` for any.
    allowed_origins : tuple of str
        Origins (``https://app.example``) whose browser pages may use the service; ``"*"`` for any. They
        are kept as browsers write them: in lower case, without the default port.
    root_path : str
        Path under which a proxy publishes the service, such as ``/models/photos``.
    n_workers : int
        Number of processes that answer; each holds the model, and the limits count for each.
    grace_s : float
        Time after SIGTERM in which new requests are still accepted.
    max_bytes : int
        Maximum size of a request's body.
    max_images : int
        Maximum number of images per request.
    max_pixels : int
        Maximum size of an image, checked before decoding.
    timeout_s : float
        Total time of a request: arriving, waiting and answering.
    max_waiting : int
        Maximum number of waiting images; more are refused with status 503.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    root_path: str = ""
    n_workers: int = 1
    grace_s: float = 0.0
    max_bytes: int = 32 * MIB
    max_images: int = 32
    max_pixels: int = 50_000_000
    timeout_s: float = 30.0
    max_waiting: int = 256

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InputError(f"--port must be from 0 to 65535, got {self.port}")
        least = {
            "--max-mb": self.max_bytes / MIB,
            "--max-images": self.max_images,
            "--max-megapixels": self.max_pixels / 1e6,
            "--timeout": self.timeout_s,
            "--max-waiting": self.max_waiting,
        }
        for flag, value in least.items():
            if not 0 < value < float("inf"):
                raise InputError(f"{flag} must be above 0, got {value:g}")
        if not 0 <= self.grace_s < float("inf"):
            raise InputError(f"--drain must be 0 or more seconds, got {self.grace_s:g}")
        if not 1 <= self.n_workers <= MAX_WORKERS:
            raise InputError(f"--workers must be from 1 to {MAX_WORKERS}, got {self.n_workers}")
        origins = tuple(_plain_origin(origin) for origin in self.allowed_origins)
        object.__setattr__(self, "allowed_origins", origins)
        hosts = tuple(plain_host(host) for host in self.allowed_hosts)
        object.__setattr__(self, "allowed_hosts", hosts)
        if self.root_path and not _ROOT_PATH.fullmatch(self.root_path):
            raise InputError(
                "--root-path takes a path such as /models/photos, without a slash at its end; got "
                f"{one_line(self.root_path)}"
            )
        if self.max_waiting < self.max_images:
            raise InputError(
                f"--max-waiting {self.max_waiting} is below --max-images {self.max_images}: a full "
                "request would never be taken"
            )
        if self.token is not None:
            check_token(self.token)

    @property
    def is_loopback(self) -> bool:
        """Whether the service can only be reached from this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def _plain_origin(origin: str) -> str:
    """An origin as a browser writes it, or ``"*"``."""
    if origin == "*":
        return origin
    found = _ORIGIN.fullmatch(origin.lower())
    if found is None:
        raise InputError(
            "--allow-origin takes a site without a path, such as https://app.example, or *; "
            f"got {one_line(origin)}"
        )
    scheme, host, port = found.groups(default="")
    return f"{scheme}://{host}{port if port != _DEFAULT_PORTS[scheme] else ''}"


def plain_host(given: str) -> str:
    """A name of ``--allow-host`` as browsers send it, without the port, or ``"*"``.

    Raises InputError where it is no bare host name: it would never be matched.
    """
    name = given.strip().lower().removesuffix(".")
    with contextlib.suppress(UnicodeError):
        name = name.encode("idna").decode("ascii") if not name.isascii() else name
    if name == "*" or _HOST.fullmatch(name):
        return name
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(name.removeprefix("[").removesuffix("]")))
    with contextlib.suppress(ValueError):
        bare = urlsplit(name if "://" in name else f"//{name}").hostname or ""
        if _HOST.fullmatch(bare):
            raise InputError(
                f"--allow-host takes a bare host name; got {one_line(given)!r}: write --allow-host {bare}"
            )
    raise InputError(
        "--allow-host takes a bare host name, such as photos.example, or * for any; repeat it for several; "
        f"got {one_line(given)!r}"
    )


def check_token(token: str) -> None:
    """Raise InputError for a token that is illegal in a header or easily guessed."""
    is_sane = token.isascii() and token.isprintable() and " " not in token
    if not is_sane or len(token) < MIN_TOKEN:
        raise InputError(
            f"the token must be {MIN_TOKEN} or more letters, digits and signs without spaces: "
            "`openssl rand -hex 32` makes a good one"
        )


def read_token(file: Path | None) -> str | None:
    """The token in a file, else in the environment variable ``HEADSTART_TOKEN``, else None.

    There is no option for it, because command lines are visible to other users.

    Raises InputError where the file cannot be read or is empty.
    """
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    shown = one_line(str(file))
    try:
        token = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"cannot read --token-file {shown}: {reason}") from error
    if not token:
        raise InputError(f"--token-file {shown} is empty")
    return token
