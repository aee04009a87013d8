"""The avatars that this service can show."""
