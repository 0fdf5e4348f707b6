"""Getting blocks from trustless gateways: over HTTP, and over streams of libp2p. Everything is verified here."""
