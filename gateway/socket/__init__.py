"""The WebSocket: what follows what, how it is sent, and what may be asked there."""
