"""Training data: prepared datasets, random-access sources, and the pipeline of augmented clips.

`prepare` makes a dataset of scene clips out of videos, `sources` opens it, `pipeline` turns a
source into batches. `augment` and `degrade` are pure functions of frames and an explicit generator.
"""
