"""MuseTalk's files as they are published: how they are fetched, read and made into a weights folder."""
