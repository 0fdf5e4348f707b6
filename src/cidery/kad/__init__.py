"""The distributed hash table (Kademlia, Amino): pure modules, and service.py which does the IO."""
