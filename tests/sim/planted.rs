//! Faults in the node, each of which has to be found.
