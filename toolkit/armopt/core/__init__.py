"""What every room speaks: records, targets, errors, events, the gate and the tree. Pure: no I/O, no TensorFlow."""
