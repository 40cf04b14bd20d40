"""Where trials run: workers on this machine."""
