"""TLS on the port: the server's certificate, and the authorities of its clients'.

The files are looked at when a client begins a handshake, and read again when they have changed, so a certificate is
renewed without a restart. If they are wrong then, the last good ones go on. TLS 1.2 is the oldest that gRPC speaks.

gRPC does not tell of a handshake that fails. What can be counted is handshakes begun, and connections that had a call;
the rest failed, or were opened by something that makes no calls, such as a balancer that only connects.
"""

import ssl
import threading
from collections import OrderedDict
from pathlib import Path

import grpc

from avatar_service import metrics
from avatar_service.access.watched_file import WatchedFiles
from avatar_service.errors import StartupError
from avatar_service.log import get_logger
from avatar_service.settings import AccessSettings

log = get_logger(__name__)

REMEMBERED = 10_000
"""Connections whose first call was seen; beyond, the oldest is forgotten and would be counted again."""


class Certificates:
    """The files of TLS, as they were last good."""

    def __init__(self, settings: AccessSettings) -> None:
        """Read them. Raises StartupError naming the file that is wrong."""
        self._paths = [Path(settings.tls_certificate), Path(settings.tls_key)]
        self._names = "AVATAR_TLS_CERT, AVATAR_TLS_KEY"
        if settings.client_ca:
            self._paths.append(Path(settings.client_ca))
            self._names += ", AVATAR_TLS_CLIENT_CA"
        self._files = WatchedFiles(self._names, *self._paths)
        # gRPC asks from threads of its own, several at once.
        self._lock = threading.Lock()
        self._first = self._read()

    @property
    def credentials(self) -> grpc.ServerCredentials:
        """For `add_secure_port`; a client certificate is required where there are authorities for it."""
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self._at_handshake,  # type: ignore[arg-type]  # it may return None, which the stub does not know
            require_client_authentication=len(self._paths) > 2,
        )

    def _at_handshake(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC before each handshake; None leaves things as they are."""
        metrics.TLS_HANDSHAKES.inc()
        with self._lock:
            if not self._files.changed():
                return None
            try:
                read = self._read()
            except StartupError as error:
                log.error("credentials_not_read", source="certificate", error=str(error))
                metrics.CREDENTIAL_SOURCES_OK.labels("certificate").set(0)
                return None
            log.info("credentials_read", source="certificate")
            return read

    def _read(self) -> grpc.ServerCertificateConfiguration:
        chain, key, *authorities = self._files.contents()
        self._check()
        metrics.CREDENTIAL_SOURCES_OK.labels("certificate").set(1)
        return grpc.ssl_server_certificate_configuration([(key, chain)], *authorities)

    def _check(self) -> None:
        """gRPC would take any bytes, and then refuse every client."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # A password function: without one OpenSSL would ask at the terminal.
            context.load_cert_chain(self._paths[0], self._paths[1], password=lambda: "")
            for authorities in self._paths[2:]:
                context.load_verify_locations(authorities)
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            raise StartupError(
                f"{self._names}: {', '.join(map(str, self._paths))} are no certificate, its key without a passphrase, "
                f"and authorities in PEM ({reason})"
            ) from None


class ServedConnections:
    """Counts TLS connections at their first call, by the address that each comes from."""

    def __init__(self) -> None:
        self._peers: OrderedDict[str, None] = OrderedDict()

    def note(self, peer: str) -> None:
        """A call came from there."""
        if peer not in self._peers:
            metrics.TLS_CONNECTIONS.inc()
            if len(self._peers) >= REMEMBERED:
                self._peers.popitem(last=False)
            self._peers[peer] = None
