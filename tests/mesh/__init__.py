"""Several processes of the service behind a real Envoy."""
