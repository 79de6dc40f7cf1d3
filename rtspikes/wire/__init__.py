"""The wire: events as msgpack maps over ZeroMQ PUB/SUB, specified in PROTOCOL.md beside this file."""
