"""What holds for the connections of clients and proxies: when they are asked for a sign of life, when they end, and
what they may carry."""

from avatar_service.settings import Settings

KEEPALIVE_S = 10.0
"""After so long a silence a client is asked whether it is still there: one that has vanished without a word, its
machine off or its network gone, is noticed within this and the time for the answer."""
KEEPALIVE_TIMEOUT_S = 10.0
"""How long that answer may take."""
CLIENT_PINGS_S = 1.0
"""How often a client, or a proxy before it, may ask whether we are still there, also while nothing is called. One that
asks more often is told to go (`too_many_pings`). Proxies ask every few seconds, to notice a process that hangs."""
CONNECTION_AGE_S = 600.0
"""Age, give or take a tenth, at which a connection takes no further calls, so that a client which balances by itself
finds replicas that are new. Its streams go on for as long as they like: gRPC sets no limit to that unless told to."""
HANDSHAKE_S = 10.0
"""How long a connection may take until HTTP/2 runs on it; gRPC would keep a silent one for 2 min."""
SPARE_CALLS = 256
"""Calls that one connection may have beside as many streams as the process serves, since it may be a proxy's that
carries all of them: single answers, health checks, and those that are refused. Further ones wait at the client."""
METADATA_BYTES = 32_768
"""Most metadata of a call, as gRPC counts them (32 bytes for each beside its name and value): a token of 8 KB and the
certificate chain that a proxy forwards have their place."""


def connection_options(settings: Settings) -> list[tuple[str, int]]:
    """The options of the gRPC server."""
    return [
        ("grpc.max_receive_message_length", settings.limits.message_bytes),
        # Both the same: between the two gRPC would refuse some calls and take others.
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES),
        ("grpc.max_concurrent_streams", settings.server.max_sessions + SPARE_CALLS),
        ("grpc.server_handshake_timeout_ms", round(1000 * HANDSHAKE_S)),
        ("grpc.so_reuseport", 0),  # a port in use is an error, not a share of the connections
        ("grpc.keepalive_time_ms", round(1000 * KEEPALIVE_S)),
        ("grpc.keepalive_timeout_ms", round(1000 * KEEPALIVE_TIMEOUT_S)),
        # Without it gRPC 1.85 waits 60 s for the answer to a keepalive ping, whatever the option above says.
        ("grpc.http2.ping_timeout_ms", round(1000 * KEEPALIVE_TIMEOUT_S)),
        # gRPC names it so; under the name of its constant, with `recv`, it would be ignored and 5 min hold.
        ("grpc.http2.min_ping_interval_without_data_ms", round(1000 * CLIENT_PINGS_S)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_connection_age_ms", round(1000 * CONNECTION_AGE_S)),
    ]
