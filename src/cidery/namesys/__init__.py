"""Names that can change what they point to: IPNS (keys) and DNSLink (domains)."""
