"""Work on content without a node: no repository, no network, no event loop."""
