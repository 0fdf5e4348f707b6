"""Finding out facts about a CID, and what they mean."""
