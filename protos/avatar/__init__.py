"""The contract of the avatar service; its one version is `avatar.v1`."""
