"""VEnhancer's networks: the video UNet and the ControlNet that steers it."""
