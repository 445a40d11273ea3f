//! Prometheus metrics, made from the node's picture at every scrape.

use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use votenode_p2p::PeerInfo;

use super::{ApiError, App};
use crate::chain::state::View as _;
use crate::chain::transaction::Kind;
use crate::node::finality::FinalityStatus;
use crate::node::status::{KindCounts, NodeStatus};

/// What the text is (OpenMetrics).
const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`
pub async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    // A node that is too busy to list its peers still has metrics, and they matter most then.
    let peers = app.node.peers().await.ok();
    let convictions = app
        .read(|snapshot| Ok(snapshot.state().conviction_count()?))
        .await
        .ok();
    let text = render(&app.node.status(), peers.as_deref(), convictions)?;
    Ok(([(CONTENT_TYPE, CONTENT)], text).into_response())
}

type KindLabel = [(&'static str, &'static str); 1];
type Number = Gauge<i64>;

struct Metrics(Registry);

impl Metrics {
    fn gauge(&mut self, name: &str, help: &str, value: impl TryInto<i64>) {
        let gauge = Number::default();
        gauge.set(value.try_into().unwrap_or(i64::MAX));
        self.0.register(name, help, gauge);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64, AtomicU64>::default();
        counter.inc_by(value);
        self.0.register(name, help, counter);
    }

    fn gauge_by_kind(&mut self, name: &str, help: &str, counts: &KindCounts) {
        let family = Family::<KindLabel, Number>::default();
        for (kind, count) in Kind::ALL.iter().zip(counts.0) {
            let value = i64::try_from(count).unwrap_or(i64::MAX);
            family.get_or_create(&[("kind", kind.name())]).set(value);
        }
        self.0.register(name, help, family);
    }

    fn counter_by_kind(&mut self, name: &str, help: &str, counts: &KindCounts) {
        let family = Family::<KindLabel, Counter>::default();
        for (kind, count) in Kind::ALL.iter().zip(counts.0) {
            family.get_or_create(&[("kind", kind.name())]).inc_by(count);
        }
        self.0.register(name, help, family);
    }
}

fn render(
    status: &NodeStatus,
    peers: Option<&[PeerInfo]>,
    convictions: Option<u64>,
) -> Result<String, ApiError> {
    let mut m = Metrics(Registry::with_prefix("votenode"));
    m.0.register(
        "build",
        "The program and its network",
        Info::new([
            ("version".to_owned(), status.version.to_owned()),
            ("network".to_owned(), status.network.to_string()),
            ("network_name".to_owned(), status.network_name.clone()),
        ]),
    );
    m.gauge(
        "start_time_ms",
        "When the node started, Unix milliseconds",
        status.started_at_ms,
    );
    m.gauge("tip_height", "Height of the best block", status.tip.height);
    m.gauge(
        "tip_timestamp_ms",
        "Timestamp of the best block, Unix milliseconds",
        status.tip.timestamp_ms,
    );
    m.gauge(
        "best_header_height",
        "Height of the best chain of headers",
        status.best_header_height,
    );
    m.gauge("roll_size", "Registered voters", status.tip.roll_size);
    m.gauge(
        "syncing",
        "1 while the node is far behind",
        i64::from(status.syncing),
    );
    m.gauge(
        "disk_full",
        "1 if the disk refused the last write",
        i64::from(status.disk_full),
    );
    m.gauge(
        "competing_chain",
        "1 if a chain with more work is not followed",
        i64::from(status.competing.is_some()),
    );
    m.gauge(
        "peers",
        "Connected peers of this network",
        status.peers as u64,
    );
    if let Some(offset) = status.clock_offset_ms {
        m.gauge(
            "clock_offset_ms",
            "Median offset of the peers' clocks",
            offset,
        );
    }
    if let Some(peers) = peers {
        let outbound = peers.iter().filter(|peer| peer.outbound).count();
        m.gauge(
            "peers_outbound",
            "Peers that this node dialled",
            outbound as u64,
        );
        if let Some(slowest) = peers.iter().filter_map(|peer| peer.rtt_ms).max() {
            m.gauge(
                "peer_round_trip_max_ms",
                "Longest round trip to a peer",
                slowest,
            );
        }
    }
    mempool_and_mining(&mut m, status);
    if let Some(status) = &status.finality {
        finality(&mut m, status);
        if let Some(convictions) = convictions {
            m.gauge(
                "equivocations",
                "Finalisers convicted of signing two things at once",
                convictions,
            );
        }
    }
    counters(&mut m, status);
    let mut text = String::new();
    encode(&mut text, &m.0).map_err(|_| ApiError::Internal)?;
    Ok(text)
}

fn mempool_and_mining(m: &mut Metrics, status: &NodeStatus) {
    let mempool = &status.mempool;
    m.gauge_by_kind(
        "mempool_transactions",
        "Transactions that wait for a block",
        &mempool.transactions,
    );
    m.gauge(
        "mempool_bytes",
        "Bytes of waiting transactions",
        mempool.bytes,
    );
    m.gauge(
        "mempool_held",
        "Transactions held until what they need comes",
        mempool.held,
    );
    m.gauge(
        "mempool_full",
        "1 if the mempool takes no more",
        i64::from(mempool.full),
    );
    let mining = &status.mining;
    m.gauge(
        "mining_enabled",
        "1 if this node mines",
        i64::from(mining.enabled),
    );
    m.gauge(
        "mining_active",
        "1 while it mines or waits to",
        i64::from(mining.phase.is_some()),
    );
    m.gauge(
        "hashes_per_second",
        "Measured over the last blocks",
        mining.hash_rate,
    );
    m.gauge(
        "other_miners",
        "Miners that told what they do",
        status.mining_states.len() as u64,
    );
}

fn finality(m: &mut Metrics, status: &FinalityStatus) {
    m.gauge(
        "checkpoint",
        "Number of the last checkpoint",
        status.checkpoint,
    );
    m.gauge(
        "checkpoint_height",
        "Height up to which blocks are final",
        status.height,
    );
    if let Some(took_ms) = status.took_ms {
        m.gauge(
            "checkpoint_took_ms",
            "How long the last checkpoint's block took from the best chain to being final",
            took_ms,
        );
    }
    m.gauge(
        "finaliser_set",
        "Number of the set of finalisers in force",
        status.set,
    );
    m.gauge(
        "finaliser_power",
        "Voting power of all finalisers",
        status.total_power,
    );
    // Nobody is heard of while there is nothing to decide; then there is nothing to say.
    if let Some(round) = status.round {
        let heard = status.finalisers.iter();
        let heard = heard.filter(|finaliser| finaliser.heard == Some(true));
        m.gauge(
            "finaliser_power_heard",
            "Voting power of the finalisers heard in the latest round",
            heard.map(|finaliser| finaliser.power).sum::<u64>(),
        );
        m.gauge(
            "finality_round",
            "Round of the consensus on the next checkpoint",
            round,
        );
    }
}

fn counters(m: &mut Metrics, status: &NodeStatus) {
    let c = &status.counters;
    m.counter_by_kind(
        "transactions_accepted",
        "Transactions taken into the mempool",
        &c.accepted,
    );
    m.counter_by_kind("transactions_rejected", "Transactions refused", &c.rejected);
    for (name, help, value) in [
        (
            "transactions_dropped",
            "Transactions that could no longer be mined",
            c.dropped,
        ),
        (
            "blocks_connected",
            "Blocks that joined the best chain",
            c.blocks_connected,
        ),
        (
            "blocks_disconnected",
            "Blocks that left the best chain",
            c.blocks_disconnected,
        ),
        ("reorganisations", "Reorganisations", c.reorganisations),
        (
            "blocks_mined",
            "Blocks that this node mined",
            c.blocks_mined,
        ),
        (
            "blocks_invalid",
            "Blocks refused as invalid",
            c.blocks_invalid,
        ),
        (
            "gossip_accepted",
            "Gossip messages accepted",
            c.gossip_accepted,
        ),
        (
            "gossip_ignored",
            "Gossip messages ignored",
            c.gossip_ignored,
        ),
        (
            "gossip_rejected",
            "Gossip messages rejected",
            c.gossip_rejected,
        ),
        ("requests_served", "Requests answered", c.requests_served),
        (
            "requests_busy",
            "Requests answered with busy",
            c.requests_busy,
        ),
        (
            "verifications",
            "Signatures and proofs verified",
            c.verified,
        ),
    ] {
        m.counter(name, help, value);
    }
}
