"""HTTP as values: requests and responses, independent of their transport."""
