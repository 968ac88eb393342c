"""The rules of HTTP/1.1, pure: bytes and values in, values out; no socket, clock or loop."""
