"""Who may call, over real sockets."""
