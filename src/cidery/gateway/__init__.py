"""The HTTP gateway: content by CID, verifiable by its reader."""
