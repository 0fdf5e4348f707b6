"""IPNS records: names that are keys, and what they point to. Pure."""
