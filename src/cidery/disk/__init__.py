"""The files and databases under stores and repositories: the only place that knows LMDB and the system's file calls."""
