"""Training data: prepared datasets, random-access sources, and the pipeline of augmented clips.

`prepare` writes a dataset of scene clips, `sources` opens it, `pipeline` yields its examples in
batches. `augment` and `degrade` are pure functions of frames and an explicit generator.
"""
