"""Reading a repository of Kubo: its blocks, its LevelDB, its config. Nothing here ever writes to it."""
