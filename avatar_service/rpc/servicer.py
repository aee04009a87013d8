"""The calls of the contract. Whatever this server does not serve answers UNIMPLEMENTED, as the generated base does."""

import asyncio
import secrets
from collections.abc import AsyncIterator

from avatar.v1 import AvatarServiceServicer, ConverseRequest, ConverseResponse
from avatar_service.access.admission import Admission
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.channel import Channel
from avatar_service.engines.base import Engines
from avatar_service.events import Event
from avatar_service.log import bound_contextvars
from avatar_service.media.timeline import Timeline
from avatar_service.rpc.config_from_proto import ConfigParser
from avatar_service.rpc.from_proto import InputParser
from avatar_service.rpc.reader import read, read_config
from avatar_service.rpc.session_started import session_started
from avatar_service.rpc.status import rpc_errors
from avatar_service.rpc.to_proto import ResponseBuilder
from avatar_service.rpc.writer import Context, write, write_one
from avatar_service.session.session import Session
from avatar_service.settings import Settings

RESPONSES = 64
"""Events that may wait for the writer; media among them are bounded by the lead already."""


class AvatarServicer(AvatarServiceServicer):
    """One instance serves every call of the process."""

    def __init__(self, settings: Settings, engines: Engines, catalogue: Catalogue, admission: Admission) -> None:
        self._settings = settings
        self._engines = engines
        self._parser = ConfigParser(settings, catalogue)
        self._admission = admission

    # The generated base declares this for both server kinds; this one is a coroutine that writes.
    async def Converse(  # noqa: N802  # the contract's name
        self, request_iterator: AsyncIterator[ConverseRequest], context: Context
    ) -> None:
        """Hold one conversation."""
        session_id = f"s-{secrets.token_hex(8)}"
        with bound_contextvars(session_id=session_id):
            async with rpc_errors(context):
                with self._admission.admit():
                    await self._converse(session_id, request_iterator, context)

    async def _converse(self, session_id: str, requests: AsyncIterator[ConverseRequest], context: Context) -> None:
        """Run a session between a reader and a writer; when it is over, nothing of the three is left."""
        asked = await read_config(requests)
        config = self._parser.parse(asked)
        limits = self._settings.limits
        started = session_started(session_id, config, asked, self._settings.server, limits)
        await write_one(ConverseResponse(session_started=started), context)
        responses = Channel[Event]("responses", RESPONSES)
        session = Session(config, self._engines, limits, responses)
        builder = ResponseBuilder(Timeline(config.turn.rate_hz, config.turn.fps))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write(responses, builder, context))
            reading = tasks.create_task(read(requests, InputParser(config, limits), session))
            await session.run()
            reading.cancel()
            responses.close()
