"""AutoTLS: a certificate that browsers trust, for a node without a domain of its own. Pure but service.py and io."""
