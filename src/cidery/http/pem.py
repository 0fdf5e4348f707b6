"""The first certificate of a text in PEM. Imports nothing: a client needs no more of a file."""

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def first_certificate(text: str) -> str:
    """That of the owner, without those above it, and without what stands before it; never empty, but maybe cut off."""
    before, end, _ = text.partition(_END)
    return before[max(before.find(_BEGIN), 0) :] + end + "\n"
