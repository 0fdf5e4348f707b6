"""HTTP as values: requests and responses, whatever carries them."""
