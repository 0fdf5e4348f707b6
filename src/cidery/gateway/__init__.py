"""The HTTP gateway: content by its CID, verifiable by whoever asks."""
