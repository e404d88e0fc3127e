"""What the address of a Ray cluster means, and whether one answers there, before Ray itself tries for minutes."""

import logging
import os
import re
import socket
from importlib.util import find_spec

from kotovec.errors import InputError, MissingDependencyError, quoted

KNOCK_SECONDS = 5.0
# Ray's processes speak gRPC, whose clients begin with HTTP/2's preface and an empty SETTINGS frame. The answer begins
# with a SETTINGS frame, too, which is type 4 (RFC 9113, sections 3.4 and 6.5).
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000 04 00 00000000")
_START = "start one with ray start, or name another with --address HOST:PORT"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")  # what Ray replaces by this machine's address in the network


def check_reachable(address: str) -> bool:
    """Check that a Ray cluster answers: Ray itself tries for more than two minutes, and logs errors meanwhile.

    Returns:
        Whether the cluster answers on the loopback address alone. Ray would ask this machine's address in the network
        instead (for five and a half minutes), unless it takes the loopback address as that of this machine.

    Raises:
        InputError: nothing answers, or the answer is not Ray's.
        MissingDependencyError: Ray's client is not installed.
    """
    if address.startswith(("http://", "https://")):
        raise InputError(
            f"{address} is a dashboard, which takes jobs",
            hint=f"use {quoted(f'kotovec submit --address {address}')}, or --address auto, HOST:PORT or ray://HOST:PORT",
        )
    if address.startswith("ray://") and find_spec("grpc") is None:
        raise MissingDependencyError(f"{address} needs Ray's client", hint="install it: pip install 'kotovec[cluster]'")
    meant = _meant(address)
    endpoint = endpoint_of(meant)
    if endpoint is None:
        return False  # another form of address, which Ray validates
    try:
        answer = _knock(endpoint)
    except (OSError, OverflowError) as error:
        if meant == address or _meant(f"127.0.0.1:{endpoint[1]}") != meant:
            raise _silent(address, meant, error) from error
        try:
            answer = _knock(("127.0.0.1", endpoint[1]))
        except OSError:
            raise _silent(address, meant, error) from error
        _check_answer(address, answer)
        return True
    _check_answer(address, answer)
    return False


def endpoint_of(address: str) -> tuple[str, int] | None:
    """Return host and port of `HOST:PORT` or `ray://HOST:PORT`; None for any other form."""
    found = re.fullmatch(r"(?:ray://)?\[?([^/\[\]]+)\]?:(\d+)", address)
    return None if found is None else (found[1], int(found[2]))


def _knock(endpoint: tuple[str, int]) -> bytes:
    """Return the first bytes that a server answers to a client of gRPC."""
    with socket.create_connection(endpoint, timeout=KNOCK_SECONDS) as door:
        door.sendall(_HTTP2)
        return door.recv(9)


def _silent(address: str, meant: str, error: Exception) -> InputError:
    """Return the error for an address at which nothing answers."""
    if meant == address:
        return InputError(f"no Ray cluster answers at {quoted(address)}: {error}", hint=_START)
    return InputError(
        f"no Ray cluster answers at {quoted(address)}, which means {meant} here: {error}",
        hint=_START,
    )


def _check_answer(address: str, answer: bytes) -> None:
    """Check that an answer is that of a server of gRPC; one that uses TLS says nothing to others."""
    if answer[3:4] != b"\4" and os.environ.get("RAY_USE_TLS") != "1":
        raise InputError(
            f"{quoted(address)} is not a port of a Ray cluster",
            hint="use the one that ray start printed (6379, for ray:// 10001)",
        )


def _meant(address: str) -> str:
    """Return the address that Ray asks: `auto` may be what a killed Ray left, and a loopback address is replaced."""
    endpoint = endpoint_of(address)
    local = endpoint is not None and endpoint[0] in _LOOPBACK and not address.startswith("ray://")
    if address != "auto" and not local:
        return address
    from ray._private.services import canonicalize_bootstrap_address

    logging.getLogger("ray._private.services").setLevel(logging.ERROR)  # else it logs how many Rays this machine has
    try:
        return canonicalize_bootstrap_address(address) or address
    except (ConnectionError, ValueError):  # no Ray was found: Ray reports that itself
        return address
