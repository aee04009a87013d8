"""Keeps gRPC's own log quiet: it tells on standard error of every server that goes away. GRPC_VERBOSITY overrides it.

To be imported before gRPC, which reads the variable once.
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
