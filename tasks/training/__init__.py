"""Training: a CNN on chips or an RNN on features, checkpointed each epoch, selected on the development partition."""
