"""The log of an HTTP server: what a client did wrong is a line, and what we did wrong has its traceback."""

import logging

NOT_OURS = frozenset(("BadHttpMessage", "BadHttpMethod", "BadStatusLine", "LineTooLong", "InvalidHeader"))
"""Errors of a parser of requests, by the name of their type or of one that it derives from."""


class _OneLine(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        exc = record.exc_info[1] if record.exc_info else None
        if exc is not None and NOT_OURS & {kind.__name__ for kind in type(exc).__mro__}:
            reason = " ".join(str(getattr(exc, "message", exc)).split())[:200]
            record.msg, record.args = f"a request that is not HTTP: {reason}", ()
            record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
        return True


def server_log(name: str) -> logging.Logger:
    """A logger for an HTTP server below ``cidery``."""
    logger = logging.getLogger(name)
    if not any(isinstance(known, _OneLine) for known in logger.filters):
        logger.addFilter(_OneLine())
    return logger
