//! The part of request-response that runs in a connection's own task: negotiate, read, wait for the answer, write.
//!
//! Every exchange is one future with one deadline, set when its stream is negotiated (inbound) or asked for
//! (outbound); a peer that trickles bytes gains nothing by it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::io::AsyncReadExt;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{AsyncWriteExt, FutureExt};
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::core::{InboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, Stream, StreamProtocol, StreamUpgradeError,
    SubstreamProtocol,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use super::{PeerPlaces, Protocol, Reply, UNIT_BYTES};
use crate::error::RequestError;
use crate::frame::{FrameError, PREFIX_BYTES, Taken, read_frame, write_frame, write_in_pieces};

/// Refusals ("busy") under way at once per connection; beyond, streams are dropped without a word.
const MAX_REFUSALS: usize = 16;

/// A reply up to this size needs no room: what a peer never reads of it lies in its stream's window, and the places
/// bound how many there are.
const SMALL_BYTES: usize = 64 * 1024;
/// How long a peer may take over each [`SMALL_BYTES`] of a large reply. A line that is slower would not bring it in time.
const PIECE_TIME: Duration = Duration::from_secs(5);

/// A request to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(super) id: u64,
    pub(super) protocol: usize,
    pub(super) data: Vec<u8>,
}

/// What the behaviour hears.
#[derive(Debug)]
pub(crate) enum FromHandler {
    Request {
        protocol: usize,
        data: Vec<u8>,
        reply: Reply,
    },
    Answer {
        id: u64,
        result: Result<Vec<u8>, RequestError>,
    },
    /// A request that was none.
    Broken(Broken),
}

/// Why an inbound request came to nothing, as far as that is the peer's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// It was not framed as it has to be.
    #[error("a broken request: {0}")]
    Frame(FrameError),
    /// It did not come to its end in time.
    #[error("a request that did not come in time")]
    Late,
    /// It was answered at length, and the answer was not read.
    #[error("a reply that it asked for and does not read")]
    Unread,
}

impl Broken {
    /// None where the stream or the connection failed, which nobody is to blame for.
    fn of(error: FrameError) -> Option<Self> {
        match error {
            FrameError::TooLong { .. } | FrameError::Truncated | FrameError::Trailing => {
                Some(Self::Frame(error))
            }
            FrameError::Empty | FrameError::Io(_) => None,
        }
    }

    /// Score points that it costs. A connection that breaks looks like the least of it; no line is so slow that a whole
    /// exchange's time is too short for a request.
    pub(crate) fn points(&self) -> f64 {
        match self {
            Self::Frame(FrameError::TooLong { .. } | FrameError::Trailing) => 20.0,
            Self::Frame(_) => 10.0,
            Self::Late => 40.0,
            // A peer that froze with as many requests under way as one may have is not let go for it.
            Self::Unread => 30.0,
        }
    }
}

/// Offers all served protocols, and tells which was chosen.
#[derive(Debug, Clone)]
pub(crate) struct Offer(Vec<Name>);

#[derive(Debug, Clone)]
pub(crate) struct Name {
    index: usize,
    name: StreamProtocol,
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.name.as_ref()
    }
}

impl UpgradeInfo for Offer {
    type Info = Name;
    type InfoIter = std::vec::IntoIter<Name>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl<S: Send + 'static> InboundUpgrade<S> for Offer {
    type Output = (S, usize);
    type Error = std::convert::Infallible;
    type Future = futures::future::Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, stream: S, name: Name) -> Self::Future {
        futures::future::ready(Ok((stream, name.index)))
    }
}

/// The places an inbound exchange holds from its first byte to its last: one of the peer's, and one of all unless it
/// is the peer's only one.
type Places = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

/// What a finished future leaves to do.
enum Step {
    /// The request is here; hand it on and wait for the answer.
    Received(Inbound),
    /// An inbound exchange ended, well or not: there is nobody to tell.
    Served,
    /// An inbound exchange ended because the peer sent no request, or did not read the reply.
    Broken(Broken),
    /// A refusal ended.
    Refused,
    /// An outbound exchange ended.
    Answered {
        id: u64,
        result: Result<Vec<u8>, RequestError>,
    },
}

struct Inbound {
    protocol: usize,
    data: Vec<u8>,
    stream: Stream,
    places: Places,
    deadline: Instant,
}

pub(crate) struct Handler {
    protocols: Arc<[Protocol]>,
    places: Arc<PeerPlaces>,
    queue: VecDeque<Outgoing>,
    events: VecDeque<FromHandler>,
    running: FuturesUnordered<BoxFuture<'static, Step>>,
    refusals: usize,
    waker: Option<Waker>,
}

/// A request between asking for its stream and having it.
#[derive(Debug)]
pub(crate) struct Pending {
    request: Outgoing,
    deadline: Instant,
}

impl Handler {
    pub(super) fn new(protocols: Arc<[Protocol]>, places: Arc<PeerPlaces>) -> Self {
        Self {
            protocols,
            places,
            queue: VecDeque::new(),
            events: VecDeque::new(),
            running: FuturesUnordered::new(),
            refusals: 0,
            waker: None,
        }
    }

    fn run(&mut self, future: impl Future<Output = Step> + Send + 'static) {
        self.running.push(future.boxed());
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn on_inbound(&mut self, stream: Stream, protocol: usize) {
        let config = &self.protocols[protocol].config;
        let deadline = Instant::now() + config.timeout;
        let max = config.max_request_bytes;
        let first = self.places[protocol].available_permits() == config.inbound_per_peer;
        let mine = Arc::clone(&self.places[protocol]).try_acquire_owned();
        let all = Arc::clone(&self.protocols[protocol].places).try_acquire_owned();
        // Those who trickle their requests may hold all places: nobody's only request is turned away for that.
        if let Ok(mine) = mine
            && (first || all.is_ok())
        {
            self.run(receive(stream, protocol, max, (mine, all.ok()), deadline));
        } else if self.refusals < MAX_REFUSALS {
            self.refusals += 1;
            let busy = config.busy_response.clone();
            self.run(async move {
                // Whether the peer listens to the refusal is its own business.
                let _ = timeout_at(deadline, refuse(stream, max, busy)).await;
                Step::Refused
            });
        }
    }

    fn on_outbound(&mut self, stream: Stream, pending: Pending) {
        let Pending { request, deadline } = pending;
        let config = &self.protocols[request.protocol].config;
        let (max, timeout) = (config.max_response_bytes, config.timeout);
        self.run(async move {
            let id = request.id;
            let exchange = timeout_at(deadline, ask(stream, &request.data, max)).await;
            let result = exchange.unwrap_or(Err(RequestError::Timeout(timeout)));
            Step::Answered { id, result }
        });
    }

    fn on_dial_error(
        &mut self,
        pending: Pending,
        error: StreamUpgradeError<std::convert::Infallible>,
    ) {
        let timeout = self.protocols[pending.request.protocol].config.timeout;
        let error = match error {
            StreamUpgradeError::Timeout => RequestError::Timeout(timeout),
            StreamUpgradeError::NegotiationFailed => RequestError::Unsupported,
            StreamUpgradeError::Io(e) => RequestError::Io(e.to_string()),
            StreamUpgradeError::Apply(never) => match never {},
        };
        self.events.push_back(FromHandler::Answer {
            id: pending.request.id,
            result: Err(error),
        });
    }

    fn on_step(&mut self, step: Step) {
        match step {
            Step::Received(mut inbound) => {
                let (reply, answer) = oneshot::channel();
                self.events.push_back(FromHandler::Request {
                    protocol: inbound.protocol,
                    data: std::mem::take(&mut inbound.data),
                    reply,
                });
                let protocol = &self.protocols[inbound.protocol];
                let busy = protocol.config.busy_response.clone();
                let room = Arc::clone(&protocol.room);
                self.running
                    .push(respond(inbound, answer, room, busy).boxed());
            }
            Step::Served => {}
            Step::Broken(broken) => self.events.push_back(FromHandler::Broken(broken)),
            Step::Refused => self.refusals -= 1,
            Step::Answered { id, result } => {
                self.events.push_back(FromHandler::Answer { id, result });
            }
        }
    }
}

async fn receive(
    mut stream: Stream,
    protocol: usize,
    max: usize,
    places: Places,
    deadline: Instant,
) -> Step {
    match timeout_at(deadline, read_frame(&mut stream, max)).await {
        Ok(Ok(data)) => Step::Received(Inbound {
            protocol,
            data,
            stream,
            places,
            deadline,
        }),
        Ok(Err(error)) => Broken::of(error).map_or(Step::Served, Step::Broken),
        Err(_) => Step::Broken(Broken::Late),
    }
}

async fn respond(
    inbound: Inbound,
    answer: oneshot::Receiver<Option<Vec<u8>>>,
    room: Arc<Semaphore>,
    busy: Option<Vec<u8>>,
) -> Step {
    let Inbound {
        mut stream,
        places,
        deadline,
        ..
    } = inbound;
    let exchange = async {
        let Ok(Some(data)) = answer.await else {
            return stream.close().await.map(|()| Step::Served);
        };
        if data.len() <= SMALL_BYTES {
            return write_frame(&mut stream, &data).await.map(|()| Step::Served);
        }
        let units = u32::try_from(data.len().div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let Ok(_room) = room.try_acquire_many_owned(units) else {
            drop(data);
            let written = match busy {
                Some(busy) => write_frame(&mut stream, &busy).await,
                None => stream.close().await,
            };
            return written.map(|()| Step::Served);
        };
        match write_in_pieces(&mut stream, &data, SMALL_BYTES, PIECE_TIME).await? {
            Taken::Whole => Ok(Step::Served),
            Taken::TooSlowly => Ok(Step::Broken(Broken::Unread)),
        }
    };
    let step = match timeout_at(deadline, exchange).await {
        Ok(Ok(step)) => step,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the response was not taken");
            Step::Served
        }
        Err(_) => Step::Served,
    };
    drop(places);
    step
}

/// Reads a request without keeping it, so that the peer reaches the point where it listens, and says "busy".
async fn refuse(mut stream: Stream, max: usize, busy: Option<Vec<u8>>) -> io::Result<()> {
    let mut chunk = [0; 4096];
    let mut left = max + PREFIX_BYTES + 1;
    loop {
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        // Longer than any valid request: not worth an answer.
        left = left
            .checked_sub(read)
            .ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
    }
    match busy {
        Some(busy) => write_frame(&mut stream, &busy).await,
        None => stream.close().await,
    }
}

async fn ask(mut stream: Stream, data: &[u8], max: usize) -> Result<Vec<u8>, RequestError> {
    let written = write_frame(&mut stream, data).await;
    // Even when the request could not be written to the end there may be an answer: a refusal.
    match (read_frame(&mut stream, max).await, written) {
        (Ok(response), _) => Ok(response),
        (Err(_), Err(error)) => Err(RequestError::Io(error.to_string())),
        (Err(FrameError::Empty), _) => Err(RequestError::Refused),
        (Err(FrameError::Io(error)), _) => Err(RequestError::Io(error.to_string())),
        (Err(error), _) => Err(RequestError::Malformed(error.to_string())),
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Outgoing;
    type ToBehaviour = FromHandler;
    type InboundProtocol = Offer;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Pending;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer, ()> {
        let served = self.protocols.iter().enumerate();
        let names = served
            .filter(|(_, p)| p.config.serve)
            .map(|(index, p)| Name {
                index,
                name: p.name.clone(),
            });
        SubstreamProtocol::new(Offer(names.collect()), ())
    }

    fn connection_keep_alive(&self) -> bool {
        !self.running.is_empty() || !self.queue.is_empty()
    }

    fn on_behaviour_event(&mut self, request: Outgoing) {
        self.queue.push_back(request);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Pending, FromHandler>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
            }
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some(step)) => self.on_step(step),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if let Some(request) = self.queue.pop_front() {
            let protocol = &self.protocols[request.protocol];
            let timeout = protocol.config.timeout;
            let pending = Pending {
                request,
                deadline: Instant::now() + timeout,
            };
            let upgrade = ReadyUpgrade::new(protocol.name.clone());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(upgrade, pending).with_timeout(timeout),
            });
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Offer, ReadyUpgrade<StreamProtocol>, (), Pending>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                ..
            }) => self.on_inbound(stream, protocol),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info,
            }) => self.on_outbound(stream, info),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                self.on_dial_error(info, error);
            }
            _ => {}
        }
    }
}
