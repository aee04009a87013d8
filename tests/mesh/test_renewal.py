"""Certificates that are renewed while Envoy runs."""

import asyncio
import ssl
from pathlib import Path

from tests.envoy import Envoy, running_envoy
from tests.fakes.replica import Replica
from tests.tls_files import SERVER_NAMES, write_tls_files

WITHIN_S = 20.0


async def shown(envoy: Envoy) -> bytes:
    """The certificate that the mTLS listener shows."""
    folder = envoy.folder / "tls"
    context = ssl.create_default_context(cafile=folder / "ca.crt")
    context.load_cert_chain(folder / "good.crt", folder / "good.key")
    host, _, port = envoy.mtls.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        certificate: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return certificate
    finally:
        writer.transport.abort()


async def test_envoy_takes_a_renewed_certificate_without_a_restart(tmp_path: Path) -> None:
    authority = write_tls_files(tmp_path / "tls")
    async with (
        asyncio.timeout(WITHIN_S),
        Replica("one") as replica,
        running_envoy([replica.address], tls=tmp_path / "tls") as envoy,
    ):
        before = await shown(envoy)
        authority.write(tmp_path, "tls", *SERVER_NAMES, server=True)
        for name in ("tls.key", "tls.crt"):
            (tmp_path / name).rename(envoy.folder / "tls" / name)
        while await shown(envoy) == before:
            await asyncio.sleep(0.05)
