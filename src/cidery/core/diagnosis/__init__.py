"""What can be found out about a CID, and what it means."""
