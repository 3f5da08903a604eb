"""The overlay: a recording's own pictures with the stored rows drawn into them, for a person to judge."""
