"""Where sessions are kept so that they can be resumed."""
