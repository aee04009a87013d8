"""The parts of the system that run on this machine as child processes."""
