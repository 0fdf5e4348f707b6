"""Conformance of any HTTP gateway: requests with known answers, after ipfs/gateway-conformance, and our own."""
