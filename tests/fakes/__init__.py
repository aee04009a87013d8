"""Stand-ins for the engines, one per Protocol of avatar_service/engines/base.py, scripted by time."""
