"""The one module that opens sockets: bounded in bytes and time, no redirects."""
