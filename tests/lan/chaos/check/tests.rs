//! The judge has to see what is wrong: a good account, and one that is spoiled in each way.
