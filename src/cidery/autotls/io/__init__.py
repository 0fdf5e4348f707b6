"""HTTP requests and DNS look-ups for the generators of AutoTLS."""
