"""What the models of a store came to, from their cards."""
