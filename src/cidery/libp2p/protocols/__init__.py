"""Pure protocol machines: no socket, no event loop, no clock. Time and randomness are arguments."""
