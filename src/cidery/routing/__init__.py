"""Where content, peers and records are found: small interfaces, and the race over those who offer them."""
