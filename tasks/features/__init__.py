"""CNN features of every frame."""
