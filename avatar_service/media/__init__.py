"""Types of audio and video, the timeline that joins them, resampling."""
