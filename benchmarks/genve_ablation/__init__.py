"""What each part of GenVE does, in trainings of the shipped model's size."""
