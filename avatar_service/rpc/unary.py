"""Calls that answer with one message: their errors end them with a status, as those of streams do."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import grpc

from avatar_service.rpc.reader import decoded
from avatar_service.rpc.status import rpc_errors

Request = TypeVar("Request")
Response = TypeVar("Response")
Servicer = TypeVar("Servicer")
Context = grpc.aio.ServicerContext[Any, Any]


def answering(
    answer: Callable[[Servicer, Any], Awaitable[Response]],
) -> Callable[[Servicer, Any, Context], Awaitable[Response]]:
    """Make a method of the contract from one that takes a request and returns its response, or raises."""

    @wraps(answer)
    async def call(servicer: Servicer, request: Any, context: Context) -> Response:
        async with rpc_errors(context):
            return await answer(servicer, decoded(request))
        raise AssertionError("unreachable: an error that leaves the block has ended the call")

    return call
