"""The MuseTalk engine: PCM and a prepared avatar in, lip-synced frames out. Knows torch, nothing of the service."""
