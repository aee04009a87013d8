"""What one turn does, from what the user said to the last frame."""
