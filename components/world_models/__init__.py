"""World models: what predicts how a body will go on."""
