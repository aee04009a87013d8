"""The TypeScript client: built, its own tests, and against the service."""
