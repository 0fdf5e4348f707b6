"""Pubsub's input and output beside the streams: who reads a topic here, and where its followers are found."""
