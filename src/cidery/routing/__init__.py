"""Finding content, peers and records: small interfaces, and asking several implementations at once."""
