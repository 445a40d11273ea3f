//! Gossipsub's messages byte by byte (protobuf), for what no gossipsub would send.
//!
//! <https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.1.md>

/// A number as protobuf writes it.
fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push((number % 0x80) as u8 | 0x80);
        number /= 0x80;
    }
    bytes.push(number as u8);
    bytes
}

/// A field of bytes.
fn field(number: usize, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len()), bytes.to_vec()].concat()
}

/// Joins topics, or leaves them.
pub fn subscriptions(topics: impl Iterator<Item = String>, join: bool) -> Vec<u8> {
    topics
        .flat_map(|topic| {
            let option = [vec![0x08, u8::from(join)], field(2, topic.as_bytes())].concat();
            field(1, &option)
        })
        .collect()
}

/// A message, with nothing but topic and data.
pub fn publish(topic: &str, data: &[u8]) -> Vec<u8> {
    field(2, &[field(2, data), field(4, topic.as_bytes())].concat())
}

/// Says that it has messages of these ids.
pub fn ihave(topic: &str, ids: impl Iterator<Item = [u8; 32]>) -> Vec<u8> {
    let ids: Vec<u8> = ids.flat_map(|id| field(2, &id)).collect();
    let ihave = [field(1, topic.as_bytes()), ids].concat();
    field(3, &field(1, &ihave))
}

/// Wants messages of these ids.
pub fn iwant(ids: impl Iterator<Item = [u8; 32]>) -> Vec<u8> {
    let ids: Vec<u8> = ids.flat_map(|id| field(1, &id)).collect();
    field(3, &field(2, &ids))
}

/// Joins a topic's mesh, so many times.
pub fn graft(topic: &str, times: usize) -> Vec<u8> {
    let graft = field(3, &field(1, topic.as_bytes()));
    field(3, &graft.repeat(times))
}

/// Leaves a topic's mesh, so many times.
pub fn prune(topic: &str, times: usize) -> Vec<u8> {
    let prune = field(4, &field(1, topic.as_bytes()));
    field(3, &prune.repeat(times))
}

/// Does not want messages of these ids.
pub fn idontwant(ids: impl Iterator<Item = [u8; 32]>) -> Vec<u8> {
    let ids: Vec<u8> = ids.flat_map(|id| field(1, &id)).collect();
    field(3, &field(5, &ids))
}

/// An identity with these addresses and one protocol, as identify pushes it.
pub fn identity(addresses: &[Vec<u8>], protocol: &str) -> Vec<u8> {
    let addresses = addresses.iter().flat_map(|address| field(2, address));
    addresses.chain(field(3, protocol.as_bytes())).collect()
}

/// One after the other, each with its length before it, as they travel.
pub fn stream(messages: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    messages
        .flat_map(|message| [varint(message.len()), message].concat())
        .collect()
}
