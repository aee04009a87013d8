"""A connection that cannot be made is one sentence: what is wrong, where, and the way out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from avatar_client import AsyncAvatarClient, NotOffered, ServiceError, Unavailable
from tests.service.client.certificate import CERTIFICATE, KEY
from tests.unit.client.scripted_service import Stream, no_script, serving

TRUSTING = grpc.ssl_channel_credentials(CERTIFICATE)


@asynccontextmanager
async def serving_tls() -> AsyncIterator[str]:
    """A server with TLS, and without our service; yields the address."""
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(KEY, CERTIFICATE)]))
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


@asynccontextmanager
async def serving_http() -> AsyncIterator[str]:
    """A server that speaks HTTP/1 alone; yields the address."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def failure(address: str, credentials: grpc.ChannelCredentials | None = None) -> ServiceError:
    """What a call to `address` raises."""
    async with AsyncAvatarClient(address, credentials=credentials) as client:
        with pytest.raises(ServiceError) as caught:
            await client.get_server_info()
    return caught.value


def test_a_server_that_wants_tls_is_told_from_one_that_is_not_there() -> None:
    async def scenario() -> None:
        async with serving_tls() as address:
            error = await failure(address)
        assert isinstance(error, Unavailable)
        assert str(error).startswith(f"{address} closed the connection: the server has ended, or takes TLS")

    asyncio.run(scenario())


@asynccontextmanager
async def cut_off(address: str, cut: asyncio.Event) -> AsyncIterator[str]:
    """A way to the server at `address` that breaks at `cut`; yields its own address."""
    host, _, port = address.partition(":")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        ways = [asyncio.create_task(pump(reader, far_writer)), asyncio.create_task(pump(far_reader, writer))]
        await cut.wait()
        for way in ways:
            way.cancel()
        writer.transport.abort()
        far_writer.transport.abort()

    way = await asyncio.start_server(connect, "127.0.0.1", 0)
    yield f"127.0.0.1:{way.sockets[0].getsockname()[1]}"
    way.close()


def test_a_connection_that_breaks_in_the_middle_is_not_taken_for_a_wrong_address() -> None:
    async def script(stream: Stream) -> None:
        await stream.start()
        await stream.until_half_close()

    async def scenario() -> None:
        cut = asyncio.Event()
        async with (
            serving(script) as server,
            cut_off(server, cut) as address,
            AsyncAvatarClient(address) as client,
            client.converse() as conversation,
        ):
            cut.set()
            with pytest.raises(Unavailable, match=rf"the connection to {address} broke \(.*\): try again"):
                await anext(aiter(conversation))

    asyncio.run(scenario())


def test_a_server_without_tls_and_a_certificate_that_is_not_trusted_are_named() -> None:
    async def scenario() -> None:
        async with serving(no_script) as address:
            assert str(await failure(address, TRUSTING)).startswith(f"{address} does not speak TLS")
        async with serving_tls() as address:
            error = await failure(address, grpc.ssl_channel_credentials())
            assert str(error).startswith(f"the certificate of {address} is not trusted")
            assert isinstance(await failure(address, TRUSTING), NotOffered), "over TLS it is reached"

    asyncio.run(scenario())


def test_a_web_server_is_not_taken_for_an_avatar_service() -> None:
    async def scenario() -> None:
        async with serving_http() as address:
            assert str(await failure(address)) == f"{address} is an HTTP server without gRPC: check the port"

    asyncio.run(scenario())


def test_a_server_that_is_not_there_or_has_no_such_name_is_named() -> None:
    async def scenario() -> None:
        assert "no avatar service answers at 127.0.0.1:1: check" in str(await failure("127.0.0.1:1"))
        assert str(await failure("no.such.host.invalid:1")).startswith("no host of the name in no.such.host.invalid:1")

    asyncio.run(scenario())


def test_another_grpc_server_does_not_offer_the_call() -> None:
    async def scenario() -> None:
        async with serving_tls() as address:
            error = await failure(address, TRUSTING)
        assert str(error) == f"the server at {address} does not offer this call (Method not found!)"

    asyncio.run(scenario())
