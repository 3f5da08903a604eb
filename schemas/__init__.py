"""What the data is: Arrow schemas, settings, the error tree, ids. The lowest layer; imports nothing above it."""
