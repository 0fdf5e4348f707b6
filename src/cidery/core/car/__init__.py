"""CAR archives in and out."""
