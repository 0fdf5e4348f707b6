"""Adding files and folders: what is read, cut, hashed, stored and remembered."""
