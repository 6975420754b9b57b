"""How full what is stored in is, how fast that grows, and when it will be full."""
