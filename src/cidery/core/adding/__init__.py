"""Adding files and folders: reading, chunking, hashing, storing and journaling them."""
