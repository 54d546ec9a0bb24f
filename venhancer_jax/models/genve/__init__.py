"""GenVE's networks: VEnhancer's UNet and ControlNet, and attention to a sharp key frame."""
