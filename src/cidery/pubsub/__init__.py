"""Messages to listeners: gossipsub and floodsub, and IPNS records over them."""
