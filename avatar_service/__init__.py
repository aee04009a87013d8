"""A gRPC service that answers what a user says with a talking avatar.

One bidirectional stream takes audio or text and gives back transcripts, the reply, its voice and
lip-synced video frames on one clock. `turn/converse.py` is the page to read first.
"""
