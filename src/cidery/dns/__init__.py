"""Looks up TXT records and addresses: by the system's resolvers, by DNS over HTTPS, or by a fixed map."""
