"""Keys, peer ids and signed envelopes. Pure."""
