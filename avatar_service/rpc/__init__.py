"""The gRPC edge: server, servicer, reader, writer and the conversions to and from the contract."""
