"""GenVE: enhancement guided by a sharp picture of one frame."""
