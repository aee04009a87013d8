"""Who may use how much of the service."""
