"""What `avatar-service doctor` looks at: a file for each part of the system, and `report.py`, which runs the checks."""
