"""Messages to who listens: gossipsub and floodsub, and IPNS records over them."""
