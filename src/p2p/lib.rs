//! Peer-to-peer service.
